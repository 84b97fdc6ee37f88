"""One persistent conversation, and the promise that a turn never corrupts it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from types import TracebackType
from typing import TYPE_CHECKING

from litertlm._engine.model import ModelFacts
from litertlm.chat.compose import PartLike, text_message, tool_message, user_message
from litertlm.chat.context import Context
from litertlm.chat.gate import Gate
from litertlm.chat.limits import Limits
from litertlm.chat.opening import Begin, again, answering, edited, making_calls, pending_calls, saying
from litertlm.chat.overflow import OnOverflow
from litertlm.chat.places import Place
from litertlm.chat.room import RoomKeeper
from litertlm.chat.settings import SendOptions, Settings
from litertlm.chat.stream import Stream, read_through
from litertlm.chat.timeline import Timeline, first_state, state_before
from litertlm.chat.turn import ChatTurn
from litertlm.messages import Message, Reply, ToolCall, ToolResult, Usage
from litertlm.observers import Observer, Observers, TurnInfo, Watch
from litertlm.tools import CancelToken

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from typing_extensions import Unpack

    from litertlm.chat.portable import ChatRecord
    from litertlm.tools import ToolRun, Toolset

__all__ = ["Chat"]


class Chat:
    """One conversation that the model remembers.

    Made by :meth:`litertlm.Client.chat`. Every ``send`` adds to the same KV cache, so earlier turns, pictures
    and recordings need not be sent again. Whatever happens in a turn (an error, a timeout, Ctrl-C, a stream
    left early), the chat is afterwards as it was before it.

    All sends take the options of :class:`~litertlm.chat.SendOptions` as keywords, and raise:

    * MessageError, MediaError, ModalityUnavailable: The message cannot be sent as it is.
    * OptionError: An option is out of range, or one that the engine does not honour.
    * ContextOverflow: The message does not fit any more.
    * Cancelled, DeadlineExceeded: The turn was stopped, or ran out of time.
    * ToolError, ToolHopsExceeded: A tool failed, or the model went on calling tools.
    * ReplyFormatError: The reply does not have the ``response_format``.
    * ChatBusy: Another turn is running on this chat.
    * ClosedError: The chat is closed.
    * TemplateError, EngineError: The chat template or the engine failed.

    Threads: any, one turn at a time; what a second one gets, ``when_busy`` of :meth:`~litertlm.Client.chat`
    says.
    """

    def __init__(
        self,
        timeline: Timeline,
        settings: Settings,
        *,
        toolset: Toolset,
        model: ModelFacts,
        on_overflow: OnOverflow,
        waits: bool,
        observers: Observers,
        place: Place,
    ) -> None:
        self._timeline = timeline
        self._settings = settings
        self._toolset = toolset
        self._model = model
        self._created = datetime.now(timezone.utc)
        self._on_overflow = on_overflow
        self._gate = Gate(waits=waits)
        self._observers = observers
        self._place = place
        self._closes = False
        # Where async handlers run; None: on a loop of their own.
        self.handlers_loop: AbstractEventLoop | None = None

    # -- what there is -----------------------------------------------------------------------------------

    @property
    def history(self) -> tuple[Message, ...]:
        """What has been said, the system message first; media as encoded bytes."""
        return self._timeline.state.history

    @property
    def usage(self) -> Usage:
        """Tokens of all turns so far."""
        return self._timeline.state.usage

    @property
    def token_count(self) -> int:
        """Tokens of the conversation as of its latest turn; 0 before the first, and when that is not known.

        A loaded chat knows it unless the model or the tools are others, or it goes back behind its saving.
        """
        return self._timeline.token_count

    @property
    def context(self) -> Context:
        """How full the chat is."""
        return Context(self._timeline.engine.info.max_context, self.token_count)

    @property
    def pending_tool_calls(self) -> tuple[ToolCall, ...]:
        """Calls of the last reply that wait for :meth:`send_tool_result` or :meth:`run_tools`."""
        return pending_calls(self.history)

    @property
    def closed(self) -> bool:
        """Whether the chat is closed."""
        return self._gate.closed

    def count(self, message: str | Iterable[PartLike]) -> int:
        """Tokens that sending ``message`` now would add to the context, its media and template included.

        Before the first turn, the system message and the tools are among them. Exact for text; an upper bound
        with images or audio.

        Raises:
            MessageError, MediaError, ModalityUnavailable: It cannot be sent.
            TemplateError: The template fails on it.
        """
        return self._timeline.count(user_message(message, self._model.modalities, caller="count"))

    def render(self, message: str | Iterable[PartLike]) -> str:
        """The text that sending ``message`` now would prefill; nothing is sent. Raises as :meth:`count`."""
        return self._timeline.render(user_message(message, self._model.modalities, caller="render"))

    # -- turns -------------------------------------------------------------------------------------------

    def send(self, message: str, **options: Unpack[SendOptions]) -> Reply:
        """Say something and wait for the whole reply.

        Args:
            message: The user's text; control markers of the model in it stay text.
            **options: See :class:`~litertlm.chat.SendOptions`.
        """
        return read_through(self._begin(saying(text_message(message)), options, "send"))

    def send_stream(self, message: str, **options: Unpack[SendOptions]) -> Stream:
        """Say something and get the reply piece by piece; as :meth:`send`.

        The turn begins at once; reading may begin later. Tools run in the thread that reads.
        """
        return self._begin(saying(text_message(message)), options, "send_stream")

    def send_multi(self, parts: Iterable[PartLike], **options: Unpack[SendOptions]) -> Reply:
        """Send text, images and recordings in one message; otherwise as :meth:`send`.

        Args:
            parts: In the order in which the model gets them; strings are text.
            **options: See :class:`~litertlm.chat.SendOptions`.
        """
        return read_through(self.send_multi_stream(parts, **options))

    def send_multi_stream(self, parts: Iterable[PartLike], **options: Unpack[SendOptions]) -> Stream:
        """As :meth:`send_multi`, piece by piece."""
        message = user_message(parts, self._model.modalities, caller="send_multi")
        return self._begin(saying(message), options, "send_multi")

    def send_tool_result(
        self, results: ToolResult | Iterable[ToolResult], **options: Unpack[SendOptions]
    ) -> Reply:
        """Give the model what the calls of its last reply returned, and wait for its reply.

        Args:
            results: One for each of :attr:`pending_tool_calls`, in any order.
            **options: See :class:`~litertlm.chat.SendOptions`.

        Raises:
            MessageError: Nothing is pending, a result is missing, or one belongs to no call.
        """
        return read_through(self.send_tool_result_stream(results, **options))

    def send_tool_result_stream(
        self, results: ToolResult | Iterable[ToolResult], **options: Unpack[SendOptions]
    ) -> Stream:
        """As :meth:`send_tool_result`, piece by piece."""
        return self._begin(answering(tool_message(results)), options, "send_tool_result")

    def run_tools(self, **options: Unpack[SendOptions]) -> Reply:
        """Make the calls that an approval put off, and wait for the model's reply.

        Args:
            **options: See :class:`~litertlm.chat.SendOptions`; ``approve`` is asked again.

        Raises:
            MessageError: Nothing is pending, or one of the calls has no handler.
        """
        return read_through(self.run_tools_stream(**options))

    def run_tools_stream(self, **options: Unpack[SendOptions]) -> Stream:
        """As :meth:`run_tools`, piece by piece."""
        return self._begin(making_calls(self._toolset), options, "run_tools")

    def regenerate(self, **options: Unpack[SendOptions]) -> Reply:
        """Take the latest turn back and have its message answered anew; if that fails, the old answer stays.

        Args:
            **options: See :class:`~litertlm.chat.SendOptions`.

        Raises:
            MessageError: There is no turn yet.
        """
        return read_through(self.regenerate_stream(**options))

    def regenerate_stream(self, **options: Unpack[SendOptions]) -> Stream:
        """As :meth:`regenerate`, piece by piece."""
        return self._begin(again(), options, "regenerate")

    def edit(self, index: int, text: str, **options: Unpack[SendOptions]) -> Reply:
        """Change what the user said, and have it answered; everything after it is forgotten.

        If that fails, the chat is as it was before.

        Args:
            index: Of a user message in :attr:`history`; negative ones count from the end.
            text: Takes the place of its text; its images and recordings stay.
            **options: See :class:`~litertlm.chat.SendOptions`.

        Raises:
            MessageError: There is no such message, or it was there from the beginning.
        """
        return read_through(self.edit_stream(index, text, **options))

    def edit_stream(self, index: int, text: str, **options: Unpack[SendOptions]) -> Stream:
        """As :meth:`edit`, piece by piece."""
        return self._begin(edited(index, text), options, "edit")

    def cancel(self) -> None:
        """Stop the turn in progress: its reader gets :class:`~litertlm.errors.Cancelled`. Any thread."""
        guest = self._gate.guest
        if guest is not None:
            guest.cancel()

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Have ``observer`` watch the turns of this chat and its forks; what is returned ends it."""
        return self._observers.add(observer)

    # -- going back --------------------------------------------------------------------------------------

    def undo(self, turns: int = 1) -> tuple[Message, ...]:
        """Take the latest turns back, as if they had not been made.

        Returns:
            The messages that are gone.

        Raises:
            MessageError: There are not as many turns.
            ChatBusy: A turn is running.
        """
        with self._gate.held():
            state = self._timeline.state
            target = state_before(state, turns)
            self._timeline.go_to(target)
            kept = {id(message) for message in target.history}
            return tuple(message for message in state.history if id(message) not in kept)

    def reset(self) -> None:
        """Start again with the same settings: only what was there from the beginning stays.

        Raises:
            ChatBusy: A turn is running.
        """
        with self._gate.held():
            self._timeline.go_to(first_state(self._timeline.state))

    def fork(self) -> Chat:
        """An independent chat that goes on from here.

        Raises:
            ChatBusy: A turn is running.
            TooManyChats: The client has as many open as it may have.
        """
        with self._gate.held(), self._place.another() as place:
            return Chat(
                self._timeline.fork(),
                self._settings,
                toolset=self._toolset,
                model=self._model,
                on_overflow=self._on_overflow,
                waits=self._gate.waits,
                observers=self._observers.forked(),
                place=place,
            )

    def record(self) -> ChatRecord:
        """The chat as a value without handles, for :meth:`litertlm.Client.load_chat`; what a pickle carries.

        Raises:
            ChatBusy: A turn is running.
        """
        with self._gate.held():
            return self._record()

    def _record(self) -> ChatRecord:
        from litertlm.chat.saving import record_of

        return record_of(self._timeline, self._settings, self._model, created=self._created)

    def save(self, path: str | os.PathLike[str], *, kv_cache: bool = False) -> None:
        """Write the chat to a file, from which :meth:`litertlm.Client.load_chat` goes on.

        An earlier file is replaced as a whole or stays as it is. Handlers of tools are code, and not kept.

        Args:
            path: Of any name; ``.chat`` is customary.
            kv_cache: Whether the KV cache is written too, to ``path`` with ``.kv`` after it; see
                :mod:`litertlm.chat.portable.kv_file`.

        Raises:
            ChatFileError: It cannot be written.
            ChatBusy: A turn is running.
        """
        from litertlm.chat.portable import write_chat

        with self._gate.held():
            record, state = self._record(), self._timeline.save_kv() if kv_cache else None
        write_chat(path, record, state)

    def __copy__(self) -> Chat:
        return self.fork()

    def __deepcopy__(self, memo: object) -> Chat:
        return self.fork()

    def __reduce__(self) -> tuple[Callable[[bytes], ChatRecord], tuple[bytes]]:
        from litertlm.chat.portable import from_bytes, to_bytes

        return from_bytes, (to_bytes(self.record()),)

    def close(self) -> None:
        """Stop the turn in progress and free the KV cache. Idempotent."""
        self._gate.close()
        self._timeline.close()
        self._place.free()

    def close_when_idle(self) -> None:
        """Close after the turn in progress, or now if there is none."""
        self._closes = True
        if self._gate.guest is None:
            self.close()

    def __enter__(self) -> Chat:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _repr_markdown_(self) -> str:
        from litertlm.chat.display import markdown_of

        return markdown_of(self.history)

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.token_count} of {self.context.limit or '?'} tokens"
        return f"<Chat: {len(self.history)} messages, {state}>"

    # -- inside ------------------------------------------------------------------------------------------

    def _begin(self, begin: Begin, options: SendOptions, caller: str) -> Stream:
        settings = self._settings.changed(options, caller)
        settings.check_honoured(self._timeline.engine.info)
        limits = Limits(CancelToken(settings.signal), settings.decoding.timeout)
        watch = self._observers.watch(self._turn_info)
        turn = ChatTurn(
            self._timeline,
            settings,
            begin,
            toolset=self._toolset,
            tools=self._tool_run(settings, limits, watch),
            limits=limits,
            room=RoomKeeper(self._timeline, self.context.limit, self._on_overflow, limits),
            watch=watch,
            done=self._leave,
        )
        try:
            self._gate.enter(turn)
            return Stream(turn)
        except BaseException as error:
            turn.rollback(error)
            raise

    def _tool_run(self, settings: Settings, limits: Limits, watch: Watch) -> ToolRun | None:
        """What makes the calls of one turn; None if no tool can be run."""
        if not any(tool.handler for tool in self._toolset):
            return None
        from litertlm.tools import ToolRun

        return ToolRun(
            self._toolset,
            settings.tools,
            token=limits.token,
            chat=self,
            deadline=limits.deadline,
            turn_timeout=limits.timeout,
            approve=settings.approve,
            count_tokens=lambda text: len(self._timeline.engine.tokenize(text)),
            loop=self.handlers_loop,
            on_handler=watch.on_handler,
        )

    def _turn_info(self) -> TurnInfo:
        return TurnInfo(self, self._model.name, self._timeline.engine.info.engine, tuple(self._toolset))

    def _leave(self, turn: ChatTurn) -> None:
        self._gate.leave(turn)
        if self._closes:
            self.close()
