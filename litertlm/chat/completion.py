"""Text continued and scored as it stands, without a chat."""

from __future__ import annotations

from litertlm._engine.seam import Delta, Engine
from litertlm.chat.hop import hop_of
from litertlm.chat.limits import Limits
from litertlm.chat.settings import SendOptions, Settings
from litertlm.errors import DeadlineExceeded, MessageError, OptionError
from litertlm.messages import Reply, Score
from litertlm.tools import CancelToken

__all__ = ["complete", "score"]

HONOURED = frozenset(
    {
        "max_output_tokens",
        "timeout",
        "signal",
        "sampler",
        "repetition_penalty",
        "presence_penalty",
        "frequency_penalty",
        "no_repeat_ngram",
        "suppressed_tokens",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "stop",
    }
)
"""What means something without messages; of these, engines refuse what they cannot do."""


def complete(engine: Engine, text: str, options: SendOptions) -> Reply:
    """What the model says after ``text``.

    Raises:
        OptionError: An option that means nothing here.
        MessageError: There is no text.
        LiteRTLMError: The engine failed.
    """
    settings = Settings().changed(options, "complete")
    ignored = sorted(name for name in options if name not in HONOURED and options.get(name) is not None)
    if ignored:
        raise OptionError(f"complete() does not take {', '.join(ignored)}")
    if not isinstance(text, str) or not text:
        raise MessageError("There is no text to complete")
    limits = Limits(CancelToken(settings.signal), settings.decoding.timeout)
    limits.check()
    turn = engine.complete(text, settings.decoding)
    limits.token.add_callback(turn.cancel)
    try:
        turn.start()
        said: list[Delta] = []
        while turn.end is None:
            said += turn.take(limits.slice)
            limits.check()
        if turn.end.error is not None:
            raise turn.end.error
    except DeadlineExceeded:
        raise limits.too_late() from None
    finally:
        limits.token.detach()
        turn.close()
    hop = hop_of(said, turn.end)
    return Reply(
        hop.text,
        finish_reason=hop.finish_reason,
        usage=hop.usage,
        timings=hop.timings,
        hops=(hop,),
        logprobs=hop.logprobs,
        raw=turn.end.raw,
    )


def score(engine: Engine, text: str, after: str, options: SendOptions) -> Score:
    """How likely ``text`` is after another one; of ``options``, ``timeout`` and ``signal`` have a meaning.

    Raises:
        OptionError: One of them is wrong.
        LiteRTLMError: The engine failed, or it was stopped.
    """
    settings = Settings().changed(options, "score")
    limits = Limits(CancelToken(settings.signal), settings.decoding.timeout)
    try:
        return engine.score(after, text, limits.check)
    finally:
        limits.token.detach()
