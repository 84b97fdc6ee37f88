"""A model, loaded once, and the chats that use it."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from litertlm._engine.model import KnowsItsModel, ModelFacts, facts_from
from litertlm.chat import Chat, OnOverflow, SendOptions, Stream
from litertlm.chat.completion import complete, score
from litertlm.chat.compose import PartLike, opening
from litertlm.chat.overflow import check_policy
from litertlm.chat.places import Place, Places
from litertlm.chat.settings import Settings
from litertlm.chat.timeline import Timeline
from litertlm.client_info import ClientInfo, info_of
from litertlm.errors import ModalityUnavailable, OptionError
from litertlm.messages import Message, Reply, Score
from litertlm.observers import Observer, Observers
from litertlm.options import (
    FALLBACK_SAMPLER,
    Backend,
    CacheType,
    EncoderBackend,
    EngineChoice,
    WeightPlace,
    check_choice,
    check_integer,
)
from litertlm.templates import Markers

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from litertlm._engine.seam import Engine, Preface
    from litertlm.chat.portable import ChatRecord
    from litertlm.tools import CancelToken, ToolLike, Toolset

__all__ = ["Client"]


class Client:
    """Opens a model; :meth:`chat` starts conversations with it.

    Args:
        model: A model file; None: the small one that comes with the package.
        backend: Where the text model runs: ``"cpu"`` or ``"gpu"``.
        vision_backend: Where images are encoded: ``"cpu"``, ``"gpu"``, ``"off"``, or ``"auto"``: as the text
            model, if the model has a vision encoder.
        audio_backend: The same for sound, except that ``"auto"`` is the CPU.
        threads: CPU threads; None: one for each physical core that the process may use.
        max_tokens: Context length wanted; None: the model's. It cannot be raised above the model's.
        cache_dir: Folder in which the engine keeps prepared weights, which makes the next start faster; None:
            a folder in the user's cache (``$LITERTLM_HOME/cache`` if that is set); ``"off"``: keep none.
        lib: The engine library's file; None: ``$LITERTLM_LIB``, else the installed one.
        engine: ``"native"``: our own engine, for models that it fully recognises, on the CPU; ``"litert"``:
            the official library; ``"auto"``: our own wherever it can, and :attr:`info` says why if it cannot.
            Chats with images or recordings go on with the official library in any case. Or an engine that is
            already there, such as :class:`litertlm.testing.FakeEngine`: no model file is opened then, and no
            other setting but ``max_chats`` may be given; the client closes it.
        weights: How our own engine reads weights: ``"mapped"``, from the file itself, at once and shared with
            other processes; ``"copied"``, from a copy in huge pages, which is faster to read and takes as
            much memory as the file; ``"auto"``: copied if that leaves most of the memory free.
        kv_cache: Precision of its KV cache: ``"float16"`` or ``"float32"``.
        kv_cache_limit: Bytes of KV that all its chats may take together; None: no limit.
        max_chats: Most chats that may be open at once, >= 1; one more raises TooManyChats. ``generate`` has
            one while it runs. None: no limit.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFileError: It is not a model, or damaged.
        ModelLayoutError: It is whole, but no engine here runs its layout.
        BackendUnavailable: The GPU cannot be used.
        ModalityUnavailable: An encoder was asked for that the model does not have.
        EngineLibraryError: The engine library is missing or does not fit.
        EngineError: The engine cannot load the model.
        OptionError: A setting is unknown, out of range, or has no effect beside ``engine``.

    A client is a context manager; closing it closes its chats. Threads: any.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        backend: Backend = "cpu",
        vision_backend: EncoderBackend = "auto",
        audio_backend: EncoderBackend = "auto",
        threads: int | None = None,
        max_tokens: int | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        lib: str | os.PathLike[str] | None = None,
        engine: EngineChoice | Engine = "auto",
        weights: WeightPlace = "auto",
        kv_cache: CacheType = "float16",
        kv_cache_limit: int | None = None,
        max_chats: int | None = None,
    ) -> None:
        check_integer("max_chats", max_chats, 1, 2**31 - 1)
        settings: dict[str, Any] = {
            "model": model,
            "backend": backend,
            "vision_backend": vision_backend,
            "audio_backend": audio_backend,
            "threads": threads,
            "max_tokens": max_tokens,
            "cache_dir": cache_dir,
            "lib": lib,
            "weights": weights,
            "kv_cache": kv_cache,
            "kv_cache_limit": kv_cache_limit,
        }
        self._engine: Engine
        self._model: ModelFacts
        if isinstance(engine, str):
            # Imported here: reading model files is half of what litertlm consists of.
            from litertlm.loading import load_engine

            self._engine, self._model = load_engine(engine=engine, **settings)
        else:
            _require_defaults(settings)
            self._engine, self._model = engine, _model_of(engine)
        self._markers = Markers(self._model.control_tokens)
        self._observers = Observers()
        self._places = Places(max_chats)

    @property
    def info(self) -> ClientInfo:
        """What is really used."""
        return info_of(self._engine.info, self._model)

    def chat(
        self,
        system: str | None = None,
        *,
        tools: Iterable[ToolLike] = (),
        initial_messages: Iterable[Message] = (),
        chat_template: str | None = None,
        on_overflow: OnOverflow = "error",
        when_busy: Literal["raise", "wait"] = "raise",
        prefill: bool = False,
        **options: Unpack[SendOptions],
    ) -> Chat:
        """Start a conversation.

        Args:
            system: How the model should behave.
            tools: What the model may call. Those with a handler are run for it; calls of the others come back
                in ``reply.tool_calls``, results go in with :meth:`~litertlm.chat.Chat.send_tool_result`.
            initial_messages: What was said before, as if in this chat; images and recordings as in a send.
            chat_template: Jinja text to use instead of the model's own template.
            on_overflow: What to do when a message does not fit the context any more: ``"error"`` raises
                ContextOverflow, ``"drop_oldest"`` forgets the oldest turns, ``"summarize"`` has the model sum
                them up first, and a function gets an :class:`~litertlm.chat.Overflow` and returns the
                messages that stay. What is left out of the context is left out of ``history`` too, and told
                in a :class:`~litertlm.events.ContextTrimmed`.
            when_busy: What a second turn does while one runs: ``"raise"`` ChatBusy, or ``"wait"``.
            prefill: Whether the system message, the tools and the initial messages are computed at once, in
                the background, so that the first answer comes sooner. Only our own engine can do that.
            **options: For every turn, see :class:`~litertlm.chat.SendOptions`.

        Raises:
            OptionError: A setting is out of range, or two tools share a name.
            MessageError: A message, a tool or the template holds what no model can read.
            MediaError, ModalityUnavailable: An initial image or recording cannot be used.
            TemplateError: The template cannot render the system message and the tools.
            TooManyChats: As many are open as ``max_chats`` allows.
            ClosedError: The client is closed.
            EngineError: The engine refused.
        """
        from litertlm.tools import Toolset

        check_choice("when_busy", when_busy, ("raise", "wait"))
        check_policy(on_overflow)
        settings = Settings().changed(options, "chat")
        toolset = Toolset(tools)
        messages = opening(system, initial_messages, self._model.modalities)
        preface = _preface(messages, toolset, settings, chat_template)
        with self._places.take() as place:
            timeline = Timeline(self._engine, preface, self._markers)
            if prefill:
                timeline.prefill()
            return self._chat(timeline, settings, toolset, on_overflow, when_busy, place)

    def load_chat(
        self,
        source: str | os.PathLike[str] | ChatRecord,
        *,
        tools: Iterable[ToolLike] = (),
        on_overflow: OnOverflow = "error",
        when_busy: Literal["raise", "wait"] = "raise",
        **options: Unpack[SendOptions],
    ) -> Chat:
        """Go on with a chat that was saved, also one that was had with another model.

        What was said is prefilled with the next turn. A warning tells each thing that is not as it was:
        another model, another chat template, tools without handlers.

        Args:
            source: A file that :meth:`litertlm.Chat.save` wrote, or a record.
            tools: Handlers for the tools of the chat, and further ones.
            on_overflow: As for :meth:`chat`.
            when_busy: As for :meth:`chat`.
            **options: In place of the saved ones.

        Raises:
            ChatFileError: The file is damaged, or no chat file.
            ModalityUnavailable: The chat holds images or recordings, which this client does not take.
            TooManyChats: As many are open as ``max_chats`` allows.
        """
        from litertlm.chat import saving
        from litertlm.chat.portable import ChatRecord, differences, read_chat
        from litertlm.tools import Toolset

        check_choice("when_busy", when_busy, ("raise", "wait"))
        check_policy(on_overflow)
        record = source if isinstance(source, ChatRecord) else read_chat(source)
        given = Toolset(tools)
        here = saving.identity(self._model)
        for difference in differences(
            record,
            model_type=here.model_type,
            digest=here.digest,
            template_hash=here.template_hash,
            modalities=self._model.modalities,
            # One that is given without a handler is meant to have none.
            tools=given.names,
            max_context=self._engine.info.max_context,
        ):
            if difference.blocking:
                raise ModalityUnavailable(
                    str(difference), hint="Open the chat with a model that has encoders."
                )
            warnings.warn(str(difference), stacklevel=2)
        saved = Settings().changed(saving.options_of(record.settings), "load_chat")
        settings = saved.changed(options, "load_chat")
        toolset = saving.declared_tools(record, given)
        preface = _preface(record.history, toolset, settings, record.settings.get("chat_template"))
        tokens = saving.token_count_of(record, self._model, preface)
        with self._places.take() as place:
            timeline = Timeline.restored(
                self._engine, preface, self._markers, lambda now: saving.states_of(record, now, tokens)
            )
            if not isinstance(source, ChatRecord):
                from litertlm.chat.portable.kv_file import kept_kv

                with kept_kv(source) as state:
                    if state is not None:
                        timeline.restore_kv(state)
            return self._chat(timeline, settings, toolset, on_overflow, when_busy, place)

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Have ``observer`` watch the turns of all chats, those that are open included, from the next one on.

        Args:
            observer: See :class:`litertlm.observers.Observer`; :func:`litertlm.telemetry.instrument` passes
                one that writes OpenTelemetry spans.

        Returns:
            Ends it. May be called again, any thread.
        """
        return self._observers.add(observer)

    def generate(self, prompt: str, *, system: str | None = None, **options: Unpack[SendOptions]) -> Reply:
        """Answer one message, in a chat that is closed afterwards; as :meth:`litertlm.Chat.send`.

        Args:
            prompt: The user's text. The chat template is applied; for bare text see :meth:`complete`.
            system: How the model should behave.
            **options: See :class:`~litertlm.chat.SendOptions`.
        """
        with self.chat(system, **options) as chat:
            return chat.send(prompt)

    def generate_multi(
        self, parts: Iterable[PartLike], *, system: str | None = None, **options: Unpack[SendOptions]
    ) -> Reply:
        """Answer one message of text, images and recordings; as :meth:`litertlm.Chat.send_multi`."""
        with self.chat(system, **options) as chat:
            return chat.send_multi(parts)

    def generate_stream(
        self,
        prompt: str | Iterable[PartLike],
        *,
        system: str | None = None,
        **options: Unpack[SendOptions],
    ) -> Stream:
        """Answer one message piece by piece; its chat is closed when the stream is over."""
        chat = self.chat(system, **options)
        try:
            stream = chat.send_stream(prompt) if isinstance(prompt, str) else chat.send_multi_stream(prompt)
        except BaseException:
            chat.close()
            raise
        chat.close_when_idle()
        return stream

    def complete(self, text: str, **options: Unpack[SendOptions]) -> Reply:
        """Continue a text as it stands, without a chat template; apart from every chat.

        Args:
            text: Control markers of the model in it are control markers.
            **options: ``max_output_tokens``, ``timeout``, ``signal``, ``sampler`` and ``stop``; with our own
                engine also penalties, ``suppressed_tokens``, ``logit_bias``, ``logprobs``, ``top_logprobs``.

        Raises:
            OptionError: Another option, or a value out of range.
            ContextOverflow, DeadlineExceeded, EngineError: As for a chat's turn.
        """
        return complete(self._engine, text, options)

    def score(
        self, text: str, *, after: str, timeout: float | None = None, signal: CancelToken | None = None
    ) -> Score:
        """How likely the model finds ``text`` after another one, without a chat template.

        Args:
            text: What is scored.
            after: What stands before it; at least one token.
            timeout: Seconds, > 0, waiting for other chats included; None: no limit.
            signal: Stops it when it is cancelled.

        Raises:
            MessageError: One of them is empty.
            ContextOverflow: They do not fit the context.
            DeadlineExceeded, Cancelled: It was stopped; the engine finishes it in the background.
            EngineError: The engine cannot score.
        """
        return score(self._engine, text, after, {"timeout": timeout, "signal": signal})

    def tokenize(self, text: str) -> list[int]:
        """The token ids of ``text``; no start token is added. Any thread, also while the model answers."""
        return self._engine.tokenize(text)

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of token ids; unknown ids give nothing, incomplete characters U+FFFD."""
        return self._engine.detokenize(tokens)

    def count_tokens(self, text: str) -> int:
        """How many tokens ``text`` has by itself; :meth:`litertlm.Chat.count` counts a message."""
        return len(self._engine.tokenize(text))

    def close(self) -> None:
        """Stop what runs, close the chats, free the model. Idempotent."""
        self._engine.close()

    def _chat(
        self,
        timeline: Timeline,
        settings: Settings,
        toolset: Toolset,
        on_overflow: OnOverflow,
        when_busy: str,
        place: Place,
    ) -> Chat:
        return Chat(
            timeline,
            settings,
            toolset=toolset,
            model=self._model,
            on_overflow=on_overflow,
            waits=when_busy == "wait",
            observers=Observers(self._observers),
            place=place,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client: {self._model.path} on {self._engine.info.backend}>"


def _preface(
    messages: tuple[Message, ...], toolset: Toolset, settings: Settings, chat_template: str | None
) -> Preface:
    # Imported here: the seam brings typing machinery that an import of litertlm does without.
    from litertlm._engine.seam import Preface, ToolSpec

    return Preface(
        messages=messages,
        tools=tuple(ToolSpec(tool.name, tool.description, tool.parameters) for tool in toolset),
        sampler=settings.decoding.sampler,
        thinking=settings.decoding.thinking,
        chat_template=chat_template,
    )


def _model_of(engine: Engine) -> ModelFacts:
    return engine.model if isinstance(engine, KnowsItsModel) else facts_from(engine.info, FALLBACK_SAMPLER)


def _require_defaults(settings: Mapping[str, Any]) -> None:
    """Raises OptionError if a setting was given: beside an engine it would be silently ignored."""
    defaults = inspect.signature(Client).parameters
    for name, value in settings.items():
        if value != defaults[name].default:
            raise OptionError(
                f"{name} has no effect beside engine", hint=f"Pass either {name} or engine, not both."
            )
