"""One persistent conversation, and the promise that a turn never corrupts it."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from litertlm._engine.seam import Conversation, Mark, Turn
from litertlm.chat.compose import PartLike, text_message, tool_message, user_message
from litertlm.chat.stream import Stream
from litertlm.errors import ChatBusy, ClosedError, ContextOverflow
from litertlm.messages import Message, Reply, Text, ToolResult, Usage
from litertlm.options import TurnOptions
from litertlm.templates import Markers

__all__ = ["Chat", "Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """How full a chat is, in tokens.

    Attributes:
        limit: Context length, None when the model does not say.
        used: In the KV cache.
    """

    limit: int | None
    used: int

    @property
    def remaining(self) -> int | None:
        """Free tokens, None when the limit is unknown."""
        return None if self.limit is None else max(0, self.limit - self.used)


class Chat:
    """One conversation that the model remembers.

    Made by :meth:`litertlm.Client.chat`. Every ``send`` adds to the same KV cache, so earlier turns, pictures
    and recordings need not be sent again. Whatever happens in a turn (an error, a timeout, Ctrl-C, a stream
    left early), the chat is afterwards as it was before it.

    Threads: any, one turn at a time; a second one raises :class:`~litertlm.errors.ChatBusy`.
    """

    def __init__(
        self,
        conversation: Conversation,
        *,
        preface: tuple[Message, ...],
        limit: int | None,
        modalities: Collection[str],
        markers: Markers,
        max_output_tokens: int | None,
    ) -> None:
        self._conversation = conversation
        self._limit = limit
        self._modalities = modalities
        self._markers = markers
        self._max_output_tokens = max_output_tokens
        # One object, so that keeping a turn is one assignment that nothing can interrupt halfway.
        self._state = _State(preface, Usage())
        self._closed = False
        # Guards which turn runs.
        self._lock = threading.Lock()
        self._turn: _RunningTurn | None = None

    @property
    def history(self) -> tuple[Message, ...]:
        """What has been said, the system message first; media as encoded bytes."""
        return self._state.history

    @property
    def usage(self) -> Usage:
        """Tokens of all turns so far."""
        return self._state.usage

    @property
    def token_count(self) -> int:
        """Tokens in the KV cache; 0 before the first turn."""
        return self._conversation.token_count

    @property
    def context(self) -> Context:
        """How full the chat is."""
        return Context(self._limit, self.token_count)

    @property
    def closed(self) -> bool:
        """Whether the chat is closed."""
        return self._closed

    def send(
        self, message: str, *, max_output_tokens: int | None = None, timeout: float | None = None
    ) -> Reply:
        """Say something and wait for the whole reply.

        Args:
            message: The user's text; control markers of the model in it stay text.
            max_output_tokens: Cut the reply after this many tokens; None: the chat's setting.
            timeout: Seconds for the whole turn, waiting for other chats included.

        Raises:
            MessageError: The message cannot be sent as it is.
            ContextOverflow: It does not fit any more.
            DeadlineExceeded: The time is over.
            ChatBusy: Another turn is running.
            ClosedError: The chat is closed.
            TemplateError: The chat template failed.
            EngineError: The engine failed.
        """
        return _read(self.send_stream(message, max_output_tokens=max_output_tokens, timeout=timeout))

    def send_stream(
        self, message: str, *, max_output_tokens: int | None = None, timeout: float | None = None
    ) -> Stream:
        """Say something and get the reply piece by piece; as :meth:`send`.

        The turn begins at once; reading may begin later.
        """
        return self._start(text_message(message), TurnOptions(max_output_tokens, timeout))

    def send_multi(
        self,
        parts: Iterable[PartLike],
        *,
        max_output_tokens: int | None = None,
        timeout: float | None = None,
    ) -> Reply:
        """Send text, images and recordings in one message; otherwise as :meth:`send`.

        Args:
            parts: In the order in which the model gets them; strings are text.
            max_output_tokens: As for :meth:`send`.
            timeout: As for :meth:`send`.

        Raises:
            MediaError: An image or a recording cannot be used.
            ModalityUnavailable: The model has no encoder for it, or it is switched off.
        """
        options = TurnOptions(max_output_tokens, timeout)
        return _read(self._start(user_message(parts, self._modalities, caller="send_multi"), options))

    def send_multi_stream(
        self,
        parts: Iterable[PartLike],
        *,
        max_output_tokens: int | None = None,
        timeout: float | None = None,
    ) -> Stream:
        """As :meth:`send_multi`, piece by piece."""
        options = TurnOptions(max_output_tokens, timeout)
        return self._start(user_message(parts, self._modalities, caller="send_multi_stream"), options)

    def send_tool_result(
        self,
        results: ToolResult | Iterable[ToolResult],
        *,
        max_output_tokens: int | None = None,
        timeout: float | None = None,
    ) -> Reply:
        """Give the model what its tool calls returned, and wait for its reply; otherwise as :meth:`send`."""
        return _read(self._start(tool_message(results), TurnOptions(max_output_tokens, timeout)))

    def cancel(self) -> None:
        """Stop the turn in progress: its reader gets :class:`~litertlm.errors.Cancelled`. Any thread."""
        turn = self._turn
        if turn is not None:
            turn.cancel()

    def close(self) -> None:
        """Stop the turn in progress and free the KV cache. Idempotent."""
        self._closed = True
        turn = self._turn
        if turn is not None:
            turn.rollback()
        self._conversation.close()

    def __enter__(self) -> Chat:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self.token_count} of {self._limit or '?'} tokens"
        return f"<Chat: {len(self.history)} messages, {state}>"

    def _start(self, message: Message, options: TurnOptions) -> Stream:
        started = time.monotonic()
        if options.max_output_tokens is None:
            options = TurnOptions(self._max_output_tokens, options.timeout)
        safe = self._markers.neutralise_message(message)
        owner = self._claim(message)
        try:
            self._check_room(safe)
            owner.mark = self._conversation.mark()
            owner.turn = self._conversation.prepare(safe, options)
            owner.turn.start()
            return Stream(owner, owner.turn, options.timeout, started)
        except BaseException:
            owner.rollback()
            raise

    def _claim(self, message: Message) -> _RunningTurn:
        with self._lock:
            if self._closed:
                raise ClosedError("The chat is closed", hint="Open a new one with client.chat().")
            before = self._turn
            if before is not None:
                if not before.undoing:
                    raise ChatBusy(
                        "Another turn is still running on this chat",
                        hint="Read its stream to the end or close it, or use a chat of its own.",
                    )
                # Undoing it was interrupted, or goes on in another thread: see it through first.
                before.rollback()
            self._turn = turn = _RunningTurn(self, message)
            return turn

    def _check_room(self, message: Message) -> None:
        if self._limit is None:
            return
        used, needed = self._conversation.token_count, self._conversation.count(message)
        # One token must be left for the answer.
        if used + needed >= self._limit:
            raise ContextOverflow(used, needed, self._limit)


@dataclass(frozen=True, slots=True)
class _State:
    """What a chat remembers beside the KV cache."""

    history: tuple[Message, ...]
    usage: Usage


class _RunningTurn:
    """The chat's side of a turn: what to undo, and what to keep.

    It does not refer to the stream, so that a stream that nobody reads any more is collected, and undone.
    """

    def __init__(self, chat: Chat, message: Message) -> None:
        self.mark: Mark | None = None
        self.turn: Turn | None = None
        self.undoing = False
        self._chat = chat
        self._message = message
        self._kept: _State | None = None
        self._lock = threading.RLock()

    def cancel(self) -> None:
        """Ask the engine to stop. Any thread."""
        if self.turn is not None:
            self.turn.cancel()

    def commit(self, reply: Reply) -> None:
        """Keep the turn."""
        chat = self._chat
        parts = ((Text(reply.text),) if reply.text else ()) + reply.tool_calls
        self._kept = _State(
            (*chat.history, self._message, Message("assistant", parts)), chat.usage + reply.usage
        )
        chat._state = self._kept
        self._release()

    def rollback(self) -> None:
        """Undo the turn, unless it was kept. Repeat it when it was interrupted; any thread."""
        self.undoing = True
        with self._lock:
            chat = self._chat
            if self.turn is not None:
                self.turn.close()
            kept = self._kept is not None and chat._state is self._kept
            if self.mark is not None and not kept and not chat._closed:
                # A closed client has nothing to go back to.
                with suppress(ClosedError):
                    chat._conversation.rewind(self.mark)
            self._release()

    def _release(self) -> None:
        if self.turn is not None:
            self.turn.close()
        if self.mark is not None:
            self.mark.close()
        if self._chat._turn is self:
            self._chat._turn = None


def _read(stream: Stream) -> Reply:
    with stream:
        for _ in stream:
            pass
        return stream.reply
