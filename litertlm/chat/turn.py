"""A turn: from the message to the reply that is kept, or back to where the chat was."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from litertlm import events
from litertlm._engine.seam import Delta, Turn
from litertlm.chat.hop import events_of, hop_of
from litertlm.chat.limits import Limits
from litertlm.chat.opening import Begin, Opening
from litertlm.chat.output import OutputFormat
from litertlm.chat.room import RoomKeeper
from litertlm.chat.settings import Settings
from litertlm.chat.timeline import State, Timeline
from litertlm.errors import Cancelled, ClosedError, DeadlineExceeded, ToolHopsExceeded
from litertlm.events import Event
from litertlm.messages import Hop, Message, Reply, Text, ToolCall, Usage
from litertlm.observers import Watch
from litertlm.options import TurnOptions
from litertlm.tools import ToolsPaused

if TYPE_CHECKING:
    from litertlm.tools import ToolRun, Toolset

__all__ = ["ChatTurn"]


class ChatTurn:
    """One turn of a chat, hop by hop.

    ``events`` is read by one thread; :meth:`cancel` and :meth:`rollback` may be called from any. Nothing here
    refers to the stream that reads, so that a stream that nobody reads any more is collected, and undone.

    Args:
        timeline: Whose turn it is.
        settings: Of the turn.
        begin: What it begins with.
        toolset: The chat's tools.
        tools: Makes the calls; None when there are no tools that can be run.
        limits: When it has to stop.
        room: Makes room in the context.
        watch: Sees every event.
        done: Called when the turn is over, one way or the other.
    """

    def __init__(
        self,
        timeline: Timeline,
        settings: Settings,
        begin: Begin,
        *,
        toolset: Toolset,
        tools: ToolRun | None = None,
        limits: Limits,
        room: RoomKeeper,
        watch: Watch,
        done: Callable[[ChatTurn], None],
    ) -> None:
        self._timeline = timeline
        self._settings = settings
        self._opens = begin
        self._toolset = toolset
        self._tools = tools
        self._limits = limits
        self._room = room
        self._watch = watch
        self._done = done
        # Where the chat was when the turn began; None before that.
        self._undo_to: State | None = None
        # What has been said before the turn, and in it so far.
        self._earlier: tuple[Message, ...] = ()
        self._said: tuple[Message, ...] = ()
        self._hops: tuple[Hop, ...] = ()
        self._raw: list[str] = []
        self._native: Turn | None = None
        self._kept: State | None = None
        self._over = False
        self._failure: BaseException | None = None
        self._settling = threading.RLock()
        self.undoing = False
        self._events = self._run()
        # However it is stopped, the engine hears of it at once.
        limits.token.add_callback(self._stop_engine)

    @property
    def over(self) -> bool:
        """Whether it is kept or undone."""
        return self._over

    @property
    def failure(self) -> BaseException | None:
        """Why it was undone; None while it was not."""
        return self._failure

    def begin(self) -> list[Event]:
        """Send the message; what has happened until the engine took it."""
        happened = []
        for event in self:
            happened.append(event)
            if isinstance(event, events.HopStarted | events.ToolBatchStarted):
                break
        return happened

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        """The next event; an error undoes the turn before it is raised."""
        try:
            event = next(self._events)
            self._tell(event)
        except StopIteration:
            raise
        except BaseException as error:
            self.rollback(error)
            raise
        return event

    def check(self) -> None:
        """Raises Cancelled or DeadlineExceeded if it is time to stop."""
        self._limits.check()

    def cancel(self) -> None:
        """Stop it: its reader gets Cancelled. Any thread, any time."""
        self._limits.token.cancel()

    def rollback(self, error: BaseException | None = None) -> None:
        """Undo the turn, unless it was kept. May be repeated when it was interrupted; any thread."""
        self.undoing = True
        self._limits.token.cancel()
        with self._settling:
            if self._over:
                return
            if self._native is not None:
                self._native.close()
            kept = self._kept is not None and self._timeline.state is self._kept
            if not kept:
                self._failure = error or Cancelled("The turn was left before its end")
                if self._undo_to is not None:
                    # A closed client has nothing to go back to.
                    with suppress(ClosedError):
                        self._timeline.restore()
            self._finish()
        if self._undo_to is not None and self._failure is not None:
            self._tell(events.TurnFailed(self._failure))

    def _stop_engine(self) -> None:
        native = self._native
        if native is not None:
            native.cancel()

    def _finish(self) -> None:
        self._over = True
        self._limits.token.detach()
        self._done(self)

    def _tell(self, event: Event) -> None:
        """Report an event; a listener that raises fails the turn, unless it is over already."""
        self._watch.on_event(event)
        listener = self._settings.on_event
        if listener is None:
            return
        try:
            listener(event)
        except Exception:
            if not self._over:
                raise
            logging.getLogger("litertlm").exception("on_event raised after the end of the turn")

    # -- the turn ----------------------------------------------------------------------------------------

    def _run(self) -> Generator[Event, None, None]:
        state = self._timeline.state
        opening = self._opens(state)
        self._undo_to = state
        message, calls, rounds = opening.message, opening.calls, 0
        yield events.TurnStarted(message)
        if opening.base is not state:
            self._timeline.set_out(opening.base)
        self._earlier = opening.base.history
        while True:
            if message is None:
                if rounds >= self._settings.max_tool_hops and self._hops:
                    raise ToolHopsExceeded(self._settings.max_tool_hops, rounds, self._reply())
                message = yield from self._run_tools(calls)
                rounds += 1
                if message is None:
                    break  # put off: the calls wait for somebody to decide
            hop = yield from self._hop(message, last=rounds >= self._settings.max_tool_hops)
            self._said += (message, _answer(hop))
            message, calls = None, hop.tool_calls
            if not calls or not self._may_run(calls):
                break
        yield self._conclude(opening, calls)

    def _hop(self, message: Message, *, last: bool) -> Generator[Event, None, Hop]:
        """One generation; for a final answer in a given form possibly a second one in its place.

        Args:
            message: What is sent.
            last: Whether no tool may run after it.
        """
        yield from self._make_room(message)
        output = self._settings.output
        may_call = bool(self._timeline.preface.tools) and not (last and self._settings.answer_at_hop_limit)
        options = replace(self._settings.decoding, tools=may_call)
        if output is not None and not may_call:
            options = replace(options, response_format=output.grammar)
        if output is None or not may_call:
            hop = yield from self._generate(message, options)
        else:
            hop = yield from self._generate_freely(message, options, output)
        self._hops += (hop,)
        yield events.HopEnded(hop)
        return hop

    def _generate_freely(
        self, message: Message, options: TurnOptions, output: OutputFormat
    ) -> Generator[Event, None, Hop]:
        """A generation in which the model is free to call a tool.

        What it says instead counts only if it has the form; until that is known, nobody hears of it.
        """
        mark = self._timeline.mark()
        free = self._generate(message, options)
        yield next(free)
        held: list[Event] = []
        while True:
            try:
                held.append(next(free))
            except StopIteration as end:
                hop: Hop = end.value
                break
        if hop.tool_calls or output.accepts(hop.text):
            yield from held
            return hop
        self._timeline.rewind(mark)
        bound = self._generate(message, replace(options, tools=False, response_format=output.grammar))
        next(bound)
        return (yield from bound)

    def _generate(self, message: Message, options: TurnOptions) -> Generator[Event, None, Hop]:
        """One generation; its first event is HopStarted."""
        options = replace(options, timeout=self._limits.remaining())
        native = self._timeline.prepare(message, options)
        self._native = native
        self._limits.check()
        try:
            native.start()
        except DeadlineExceeded:
            # The engine was told only what is left of the timeout.
            raise self._limits.too_late() from None
        yield events.HopStarted(len(self._hops), message, self._earlier + self._said, options)
        said: list[Delta] = []
        while native.end is None:
            for delta in native.take(self._limits.slice):
                if delta.tool_calls:
                    delta = replace(delta, tool_calls=self._toolset.clean(delta.tool_calls))
                said.append(delta)
                yield from events_of(delta)
            self._limits.check()
        if isinstance(native.end.error, DeadlineExceeded):
            raise self._limits.too_late()
        if native.end.error is not None:
            raise native.end.error
        native.close()
        self._raw.append(native.end.raw)
        return hop_of(said, native.end)

    def _run_tools(self, calls: tuple[ToolCall, ...]) -> Generator[Event, None, Message | None]:
        """Make the calls; the message with their results, or None if they were put off."""
        assert self._tools is not None
        try:
            results = yield from self._tools.steps(calls)
        except ToolsPaused:
            return None
        self._limits.check()
        return Message("tool", results)

    def _may_run(self, calls: tuple[ToolCall, ...]) -> bool:
        return (
            self._tools is not None
            and not self._settings.return_tool_requests
            and self._toolset.can_run(calls)
        )

    def _make_room(self, message: Message) -> Iterator[Event]:
        """Take earlier messages out of the context if ``message`` does not fit."""
        so_far = self._earlier + self._said
        overflow = self._room.overflow(so_far, message)
        if overflow is None:
            return
        kept = self._room.trimmed(overflow)
        self._timeline.replace(kept)
        self._earlier, self._said = kept, ()
        stayed = {id(one) for one in kept}
        dropped = tuple(one for one in so_far if id(one) not in stayed)
        yield events.ContextTrimmed(dropped, overflow.limit)

    def _conclude(self, opening: Opening, pending: tuple[ToolCall, ...]) -> Event:
        """Keep the turn."""
        reply = self._reply(pending)
        output = self._settings.output
        if output is not None and not reply.tool_calls:
            reply = replace(reply, parsed=output.parse(reply))
        base, message = opening.base, opening.message
        if message is None or message.role != "user":
            # Tool results continue the turn of the message that led to them, if it was made in this chat.
            message, before = base.message, base.before or base
        else:
            before = base
        with self._settling:
            # What was cancelled before this point is undone, what is cancelled after it came too late.
            self._limits.token.raise_if_cancelled()
            self._kept = self._timeline.state
            if self._said:
                usage = base.usage + reply.usage
                self._kept = self._timeline.next_state(self._earlier + self._said, usage, before, message)
                self._timeline.keep(self._kept)
            self._finish()
        return events.TurnEnded(reply)

    def _reply(self, pending: tuple[ToolCall, ...] | None = None) -> Reply:
        """What the turn comes to."""
        hops = self._hops
        if not hops:
            return Reply("", tool_calls=pending or (), finish_reason="tool_calls")
        last = hops[-1]
        timings = last.timings
        if len(hops) > 1:
            timings = replace(
                timings,
                queued=sum(hop.timings.queued for hop in hops),
                time_to_first_token=hops[0].timings.time_to_first_token,
                total=time.monotonic() - self._limits.started,
            )
        calls = last.tool_calls if pending is None else pending
        return Reply(
            text=last.text,
            thinking="".join(hop.thinking for hop in hops),
            tool_calls=calls,
            finish_reason=last.finish_reason,
            usage=sum((hop.usage for hop in hops), Usage()),
            timings=timings,
            hops=hops,
            logprobs=last.logprobs,
            raw="\n".join(self._raw),
        )


def _answer(hop: Hop) -> Message:
    return Message("assistant", ((Text(hop.text),) if hop.text else ()) + hop.tool_calls)
