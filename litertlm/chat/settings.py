"""What can be said about a turn, for one call or for a whole chat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypedDict

from litertlm._engine.honoured import require_honoured
from litertlm._engine.seam import EngineInfo
from litertlm.chat.output import OutputFormat, ResponseFormatLike, output_format
from litertlm.errors import OptionError
from litertlm.events import Event
from litertlm.options import Sampler, TurnOptions, check_integer, check_number, sampler_from
from litertlm.tools import CancelToken, ToolSettings

if TYPE_CHECKING:
    from litertlm.tools import Approve

__all__ = ["SendOptions", "Settings"]

DEFAULT_TOOL_HOPS = 5
DEFAULT_TOOL_REPEATS = 3


class SendOptions(TypedDict, total=False):
    """Options of a turn: of one call, or as ``client.chat(...)`` gets them, of every turn.

    What is left out, or None, is as the chat says, and what the chat does not say is as the model or the
    template says. An option that the engine cannot honour raises OptionError; nothing is ignored. All of them
    hold for every hop of the turn.

    Keys:
        max_output_tokens: Cut a generation after this many tokens, >= 1.
        timeout: Seconds for the whole turn, > 0, waiting for other chats and running tools included.
        sampler: How tokens are chosen; fields left out are the chat's.
        repetition_penalty, presence_penalty, frequency_penalty, no_repeat_ngram, suppressed_tokens, thinking,
            thinking_budget, visual_token_budget: See :class:`~litertlm.options.TurnOptions`.
        logit_bias: What is added to the logits of tokens before sampling, by token id, -100..100 as in
            OpenAI's API: with most models 100 forces a token and -100 forbids it.
        logprobs: True: ``reply.logprobs`` tells how likely the model found each token that it generated, and
            so do chunks.
        top_logprobs: With ``logprobs``: this many of the likeliest tokens at each place, too, 0..20.
        stop: A text, or up to 16, before the first of which the reply ends.
        response_format: What the final answer must look like: :class:`~litertlm.Regex`,
            :class:`~litertlm.Lark`, :class:`~litertlm.JsonSchema`, a dict with a JSON schema, or a pydantic
            model class. The object is ``reply.parsed``. Tools may still be called before.
        max_tool_hops: Most rounds of tools in one turn, >= 0; 5 if nothing is said.
        answer_at_hop_limit: True: after the last round the model answers without tools; False: a further call
            raises ToolHopsExceeded.
        max_concurrent_tools: Most tools that run at once, >= 1; 1 if nothing is said.
        return_tool_requests: True: tool calls come back in ``reply.tool_calls``, and none is run.
        approve: Asked before a tool runs.
        tool_timeout: Seconds for a tool that has no timeout of its own, > 0.
        max_tool_result_tokens: Cut what a tool returns after this many tokens, >= 16.
        max_tool_repeats: The so-manieth equal call in one turn is not made any more, >= 2; 3 if nothing is
            said.
        signal: Stops the turn when it is cancelled; may be shared by several.
        on_event: Called with every event of the turn, in the thread that reads it.
    """

    max_output_tokens: int | None
    timeout: float | None
    sampler: Sampler | Mapping[str, Any] | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    no_repeat_ngram: int | None
    suppressed_tokens: Sequence[int] | None
    logit_bias: Mapping[int, float] | None
    thinking: bool | None
    thinking_budget: int | None
    visual_token_budget: int | None
    logprobs: bool | None
    top_logprobs: int | None
    stop: str | Sequence[str] | None
    response_format: ResponseFormatLike | None
    max_tool_hops: int | None
    answer_at_hop_limit: bool | None
    max_concurrent_tools: int | None
    return_tool_requests: bool | None
    approve: Approve | None
    tool_timeout: float | None
    max_tool_result_tokens: int | None
    max_tool_repeats: int | None
    signal: CancelToken | None
    on_event: Callable[[Event], None] | None


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a turn, validated, every default filled in.

    Attributes:
        decoding: What the engine is told.
        output: What the final answer must look like.
        Others: As in :class:`SendOptions`.
    """

    decoding: TurnOptions = TurnOptions()
    output: OutputFormat | None = None
    max_tool_hops: int = DEFAULT_TOOL_HOPS
    answer_at_hop_limit: bool = False
    max_concurrent_tools: int = 1
    return_tool_requests: bool = False
    approve: Approve | None = None
    tool_timeout: float | None = None
    max_tool_result_tokens: int | None = None
    max_tool_repeats: int = DEFAULT_TOOL_REPEATS
    signal: CancelToken | None = None
    on_event: Callable[[Event], None] | None = None

    @property
    def tools(self) -> ToolSettings:
        """How tool calls are run."""
        return ToolSettings(
            max_concurrent=self.max_concurrent_tools,
            timeout=self.tool_timeout,
            max_result_tokens=self.max_tool_result_tokens,
            max_repeats=self.max_tool_repeats,
        )

    def check_honoured(self, info: EngineInfo) -> None:
        """Raises OptionError if something is asked for that the engine does not do."""
        form = self.output.grammar if self.output else None
        require_honoured(replace(self.decoding, response_format=form), info)

    def changed(self, options: SendOptions, caller: str) -> Settings:
        """These settings with a call's options.

        Args:
            options: What was passed.
            caller: The public method, for the message of an unknown option.

        Raises:
            TypeError: There is no such option.
            OptionError: A value is out of range or of the wrong type.
        """
        said: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        unknown = [name for name in options if name not in SendOptions.__annotations__]
        if unknown:
            raise TypeError(f"{caller}() got an unexpected keyword argument {unknown[0]!r}")
        if not said:
            return self
        _check(said)
        if "response_format" in said:
            said["output"] = output_format(said.pop("response_format"))
        if "sampler" in said:
            said["sampler"] = _merged(self.decoding.sampler, sampler_from(said["sampler"]))
        if "stop" in said:
            said["stop"] = (said["stop"],) if isinstance(said["stop"], str) else tuple(said["stop"])
        if "suppressed_tokens" in said:
            said["suppressed_tokens"] = tuple(said["suppressed_tokens"])
        if "logit_bias" in said:
            said["logit_bias"] = tuple(said["logit_bias"].items())
        engines = {field.name for field in fields(TurnOptions)}
        decoding = {name: value for name, value in said.items() if name in engines}
        others = {name: value for name, value in said.items() if name not in engines}
        return replace(self, decoding=replace(self.decoding, **decoding), **others)


def _check(said: dict[str, Any]) -> None:
    """Raises OptionError unless the options that are not the engine's are in range."""
    check_integer("max_tool_hops", said.get("max_tool_hops"), 0, 10_000)
    check_integer("max_concurrent_tools", said.get("max_concurrent_tools"), 1, 1_000)
    check_integer("max_tool_repeats", said.get("max_tool_repeats"), 2, 10_000)
    check_integer("max_tool_result_tokens", said.get("max_tool_result_tokens"), 16, 2**31 - 1)
    check_number("tool_timeout", said.get("tool_timeout"), 0.001, float("inf"))
    for name in ("answer_at_hop_limit", "return_tool_requests", "thinking", "logprobs"):
        if not isinstance(said.get(name, False), bool):
            raise OptionError(f"{name} is True or False, not {said[name]!r}")
    for name in ("approve", "on_event"):
        if not callable(said.get(name, print)):
            raise OptionError(f"{name} must be a function, not {type(said[name]).__name__}")
    if "signal" in said and not isinstance(said["signal"], CancelToken):
        raise OptionError(f"signal is a CancelToken, not {type(said['signal']).__name__}")
    for name in ("stop", "suppressed_tokens"):
        if not isinstance(said.get(name, ()), Sequence):
            raise OptionError(f"{name} must be a list, not {type(said[name]).__name__}")
    if not isinstance(said.get("logit_bias", {}), Mapping):
        raise OptionError(f"logit_bias must be a dict, not {type(said['logit_bias']).__name__}")


def _merged(under: Sampler, over: Sampler) -> Sampler:
    """``over``, its unset fields filled from ``under``."""
    said = {
        field.name: getattr(over, field.name)
        for field in fields(over)
        if getattr(over, field.name) is not None
    }
    return replace(under, **said)
