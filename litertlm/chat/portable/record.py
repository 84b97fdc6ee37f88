"""What a chat is, without handles: frozen values that a file, a pickle or another process can carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from litertlm.messages import Message, Usage

__all__ = ["ChatRecord", "ModelIdentity", "ToolRecord"]


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model a chat was had with; compared with the one that is to go on with it.

    Attributes:
        model_type: The model's family, for example ``"gemma4"``.
        file_name: Name of the model file, without folders.
        digest: What tells two models of a family apart, for example a hash of the metadata; "" when unknown.
        template_hash: Hash of the chat template, "" when unknown.
    """

    model_type: str = ""
    file_name: str = ""
    digest: str = ""
    template_hash: str = ""


@dataclass(frozen=True, slots=True)
class ToolRecord:
    """A tool as it was declared to the model. Its handler is code, and is not kept."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})


@dataclass(frozen=True, slots=True)
class ChatRecord:
    """A chat between two turns.

    Making one checks nothing; writing one does, and says what cannot be stored and where it is.

    Attributes:
        history: What has been said, the system message first if there is one; media as encoded bytes.
        turns: For each turn, in order, the index in ``history`` of the message that began it. What stands
            before the first of them was there from the beginning.
        model: Which model it was had with.
        tools: Declared to the model.
        settings: JSON values by name; what they mean is the chat's affair, and unknown names are kept.
        usage: Tokens of all turns.
        token_count: Of the conversation when it was saved, 0 when unknown.
        created: When the chat began; has a time zone.
        saved: When this record was made; has a time zone.
        written_by: The program and the format of the file that it was read from, "" when it was not.
        notes: What reading it passed over, a line each.
    """

    history: tuple[Message, ...] = ()
    turns: tuple[int, ...] = ()
    model: ModelIdentity = ModelIdentity()
    tools: tuple[ToolRecord, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    usage: Usage = Usage()
    token_count: int = 0
    created: datetime = field(default_factory=_now)
    saved: datetime = field(default_factory=_now)
    written_by: str = field(default="", compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def system(self) -> str:
        """The system text, "" when there is none."""
        first = self.history[:1]
        return first[0].text if first and first[0].role == "system" else ""

    @property
    def preface(self) -> tuple[Message, ...]:
        """The messages that were there before the first turn, the system message among them."""
        return self.history[: self.turns[0]] if self.turns else self.history
