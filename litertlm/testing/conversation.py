"""A conversation of the fake engine: a value that turns replace."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from litertlm._engine.seam import Mark, Preface, ToolSpec
from litertlm.errors import ClosedError, ModalityUnavailable, OptionError
from litertlm.messages import Audio, Image, Message
from litertlm.options import JsonSchema, Sampler, TurnOptions
from litertlm.testing.machine import Machine
from litertlm.testing.prompts import ANSWER, START, STOP, media_in, render, render_tools
from litertlm.testing.records import TurnRecord
from litertlm.testing.script import ContractError
from litertlm.testing.turn import FakeTurn, Prompt, Stage

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["FakeConversation", "State"]


@dataclass(frozen=True, slots=True)
class State:
    """What is in the KV cache.

    Attributes:
        said: Beyond the preface.
        token_count: Tokens of it all; 0 before the first turn.
        unfinished: Whether the last reply was cut, so that its stop token is yet to be prefilled.
    """

    said: tuple[Message, ...] = ()
    token_count: int = 0
    unfinished: bool = False


class FakeMark:
    """Implements :class:`litertlm._engine.seam.Mark`."""

    def __init__(self, conversation: int, state: State) -> None:
        self.conversation = conversation
        self.state = state
        self.closed = False

    def close(self) -> None:
        """Forget it."""
        self.closed = True


class FakeConversation(Stage):
    """Implements :class:`litertlm._engine.seam.Conversation`, and insists on its contract."""

    def __init__(self, machine: Machine, preface: Preface, state: State | None = None) -> None:
        self._machine = machine
        self._preface = preface
        self._state = state or State()
        self._running: FakeTurn | None = None
        self._coming: Message | None = None
        self._broken = self._closed = False
        self.number = machine.register(weakref.ref(self))

    @property
    def messages(self) -> tuple[Message, ...]:
        """Everything that was said, the preface's messages first."""
        return (*self._preface.messages, *self._state.said)

    @property
    def token_count(self) -> int:
        """Tokens of the conversation, as of the last turn that ended well."""
        return self._state.token_count

    def count(self, message: Message) -> int:
        """Tokens that sending ``message`` would prefill; exact, with media too."""
        self._check("count")
        return self._prompt(message, TurnOptions())[1].tokens

    def render(self, message: Message) -> str:
        """The text that sending ``message`` would prefill."""
        self._check("render")
        return self._prompt(message, TurnOptions())[0]

    def prepare(self, message: Message, options: TurnOptions) -> FakeTurn:
        """A turn that has not begun."""
        self._check("prepare")
        self._check_media(message)
        preface = self._preface
        # Hiding tools from a model that has none asks for nothing.
        asked = options if preface.tools else replace(options, tools=True)
        check_options(asked, self._machine.settings.options)
        text, prompt = self._prompt(message, options)
        tools: tuple[ToolSpec, ...] = preface.tools if options.tools else ()
        record = TurnRecord(
            conversation=self.number,
            messages=(*preface.messages, *self._state.said, message),
            tools=tools,
            prompt=text,
            sampler=merged(preface.sampler, options.sampler),
            thinking=preface.thinking if options.thinking is None else options.thinking,
            options=options,
        )
        return FakeTurn(self._machine, self, prompt, record)

    def mark(self) -> FakeMark:
        """Remember this state."""
        self._check("mark")
        return FakeMark(self.number, self._state)

    def rewind(self, mark: Mark) -> None:
        """Go back to a mark of this conversation."""
        with self._machine.changed:
            self._check_open()
            if not isinstance(mark, FakeMark) or mark.conversation != self.number:
                raise ContractError("rewind() was given a mark of another conversation")
            if mark.closed:
                raise ContractError("rewind() was given a mark that is closed")
            if self._running is not None:
                raise ContractError("rewind() was called while a turn runs; close the turn first")
            self._state, self._broken = mark.state, False

    def prefill(self) -> None:
        """There is nothing to compute."""

    def save_kv(self) -> None:
        """There is no KV."""

    def restore_kv(self, state: Buffer) -> bool:
        """There is no KV."""
        return False

    def fork(self) -> FakeConversation:
        """An independent conversation in the same state."""
        self._check("fork")
        return FakeConversation(self._machine, self._preface, self._state)

    def close(self) -> None:
        """Stop the turn that runs, forget everything. Idempotent."""
        with self._machine.changed:
            self._closed = True
            running = self._running
            self._machine.open.pop(self.number, None)
        if running is not None:
            running.close()

    def begin(self, turn: FakeTurn) -> None:
        """A turn starts."""
        self._check("start")
        self._running = turn
        self._coming = turn.message

    def ended_well(self, answer: Message, token_count: int, cut: bool) -> None:
        """It has ended well."""
        assert self._coming is not None
        self._state = State((*self._state.said, self._coming, answer), token_count, cut)
        self._running = self._coming = None

    def ended_badly(self) -> None:
        """It has failed or was left."""
        self._running = self._coming = None
        self._broken = True

    def did_not_begin(self) -> None:
        """It could not start: nothing has changed."""
        self._running = self._coming = None

    def new_call_id(self) -> Callable[[], str]:
        """Numbers calls through the conversation, so that the same history gives the same ids."""
        said = (*self._preface.messages, *self._state.said)
        known = {call.id for message in said for call in message.tool_calls}
        ids = (id for number in itertools.count(len(known) + 1) if (id := f"call_{number}") not in known)
        return lambda: next(ids)

    def _prompt(self, message: Message, options: TurnOptions) -> tuple[str, Prompt]:
        """What sending ``message`` prefills: as text, and counted."""
        settings, state = self._machine.settings, self._state
        first = state.token_count == 0
        fresh = (*self._preface.messages, *state.said, message) if first else (message,)
        opening = START + render_tools(self._preface.tools) if first else STOP * state.unfinished
        text = opening + "".join(map(render, fresh)) + ANSWER
        images, recordings = media_in(fresh)
        image = min(settings.image_tokens, options.visual_token_budget or settings.image_tokens)
        # A medium's tokens take the place of its placeholder.
        tokens = self._machine.tokenizer.count(text) - images - recordings
        image_tokens, audio_tokens = images * image, recordings * settings.audio_tokens
        return text, Prompt(tokens + image_tokens + audio_tokens, image_tokens, audio_tokens)

    def _check(self, call: str) -> None:
        """Raises what forbids a call."""
        with self._machine.changed:
            self._check_open()
            if self._broken:
                raise ContractError(
                    f"{call}() was called on a conversation whose last turn failed or was left. "
                    "It is unusable until it is rewound to a mark from before that turn."
                )
            if self._running is not None:
                raise ContractError(f"{call}() was called while a turn of the same conversation runs")

    def _check_open(self) -> None:
        self._machine.check_open()
        if self._closed:
            raise ClosedError("The chat is closed")

    def _check_media(self, message: Message) -> None:
        for part in message.parts:
            if not isinstance(part, Image | Audio):
                continue
            modality = "image" if isinstance(part, Image) else "audio"
            if modality not in self._machine.settings.modalities:
                raise ModalityUnavailable(f"This engine takes no {modality}", modality=modality)
            if not isinstance(part.source, bytes):
                raise ContractError("Media must be encoded to bytes before they reach an engine")


def merged(sampler: Sampler, override: Sampler) -> Sampler:
    """``sampler`` with what ``override`` sets."""
    names = [field.name for field in fields(Sampler)]
    said = {name: value for name in names if (value := getattr(override, name)) is not None}
    return replace(sampler, **said)


def check_options(options: TurnOptions, supported: frozenset[str]) -> None:
    """Raises OptionError for an option that the engine does not honour, or a schema made to be refused."""
    refused = sorted(options.wanted - supported)
    if refused:
        raise OptionError(f"This engine does not support {', '.join(refused)}")
    form = options.response_format
    if isinstance(form, JsonSchema) and "unsupported" in form.schema:
        raise OptionError("This engine does not support the schema's key 'unsupported'")
