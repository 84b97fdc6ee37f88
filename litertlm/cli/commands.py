"""The slash commands of ``litertlm chat``."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from litertlm import Audio, Image, Message, ModalityUnavailable, Text, ToolCall, ToolResult, describe
from litertlm.cli.exits import UsageError
from litertlm.cli.run import stats_line
from litertlm.cli.show import engine_text, summary

if TYPE_CHECKING:
    from litertlm.cli.chat import Conversation

__all__ = ["COMMANDS", "Attachment", "Command"]

PREVIEW = 80


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with the next message."""

    kind: Literal["image", "audio"]
    path: str

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return Path(self.path).name


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command.

    Attributes:
        act: Does it, given what stands behind the command's name; says whether the conversation goes on.
        usage: What stands behind its name.
        help: What it does.
    """

    act: Callable[[Conversation, str], bool]
    usage: str
    help: str


def _help(conversation: Conversation, rest: str) -> bool:
    rows = [(f"{name} {command.usage}".rstrip(), command.help) for name, command in COMMANDS.items()]
    rows += [
        ("Alt-Enter", "New line; so does \\ at a line's end"),
        ("Ctrl-C", "Stop the reply, or clear the line"),
        ("Ctrl-D", "Leave"),
    ]
    conversation.screen.table(rows)
    return True


def _attach(kind: Literal["image", "audio"]) -> Callable[[Conversation, str], bool]:
    def attach(conversation: Conversation, rest: str) -> bool:
        if kind not in conversation.client.info.modalities:
            raise ModalityUnavailable(
                f"This model takes no {'images' if kind == 'image' else 'audio'}",
                modality=kind,
                hint="litertlm show MODEL says what a model takes.",
            )
        for path in _paths(rest, kind):
            attachment = Attachment(kind, path)
            conversation.attachments.append(attachment)
            conversation.screen.attached(attachment)
        return True

    return attach


def _paths(text: str, kind: str) -> list[str]:
    """The files that were typed, dragged into the terminal or completed: one as it stands, or quoted ones."""
    if not text:
        raise UsageError(
            f"/{kind} needs a file", f"For example: /{kind} {'photo.jpg' if kind == 'image' else 'note.wav'}"
        )
    whole = Path(text).expanduser()
    if whole.is_file():
        return [str(whole)]
    try:
        words = shlex.split(text)
    except ValueError:
        words = [text]
    paths = [Path(word).expanduser() for word in words]
    for path in paths:
        if not path.is_file():
            raise UsageError(f"{path}: {'is a folder' if path.is_dir() else 'there is no such file'}")
    return [str(path) for path in paths]


def _system(conversation: Conversation, rest: str) -> bool:
    if rest:
        conversation.restart(rest)
        conversation.screen.note("New conversation, with these instructions.")
    else:
        conversation.screen.note(
            conversation.system or "There are no instructions. Give some: /system Be brief."
        )
    return True


def _clear(conversation: Conversation, rest: str) -> bool:
    conversation.restart(conversation.system)
    conversation.screen.note("History cleared!")
    return True


def _undo(conversation: Conversation, rest: str) -> bool:
    if rest and not rest.isdecimal():
        raise UsageError("/undo takes a number of turns", "For example: /undo 2")
    conversation.chat.undo(int(rest or 1))
    conversation.last = None
    conversation.screen.note("Undone: the model does not remember it.")
    return True


def _again(conversation: Conversation, rest: str) -> bool:
    with conversation.chat.regenerate_stream() as stream:
        conversation.last = conversation.screen.reply(stream)
    return True


def _save(conversation: Conversation, rest: str) -> bool:
    if not rest:
        raise UsageError("/save needs a file", "For example: /save today.chat")
    path = Path(rest).expanduser()
    conversation.chat.save(path)
    conversation.screen.note(f"Saved to {path}. Go on with: /load {path}")
    return True


def _load(conversation: Conversation, rest: str) -> bool:
    if not rest:
        raise UsageError("/load needs a file", "For example: /load today.chat")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        conversation.adopt(conversation.client.load_chat(Path(rest).expanduser()))
    for warning in found:
        conversation.screen.note(str(warning.message))
    conversation.screen.note(f"{len(conversation.chat.history)} messages. /history shows them.")
    return True


def _history(conversation: Conversation, rest: str) -> bool:
    history = conversation.chat.history
    if not history:
        conversation.screen.note("Nothing has been said yet.")
    for number, message in enumerate(history, 1):
        conversation.screen.note(f"{number}. {message.role}: {_preview(message)}")
    return True


def _preview(message: Message) -> str:
    """A message in one line."""
    said = []
    for part in message.parts:
        match part:
            case Text(text):
                said.append(text)
            case Image():
                said.append("[image]")
            case Audio():
                said.append("[audio]")
            case ToolCall() | ToolResult():
                said.append(f"[{part.name}]")
    line = " ".join(" ".join(said).split())
    return line if len(line) <= PREVIEW else f"{line[:PREVIEW]}..."


def _stats(conversation: Conversation, rest: str) -> bool:
    chat, last = conversation.chat, conversation.last
    usage, context = chat.usage, chat.context
    rows = [
        ("Last reply", stats_line(last, chat) if last else "none yet"),
        ("Conversation", f"{usage.prompt_tokens} tokens read, {usage.completion_tokens} written"),
        ("Context", f"{context.used} of {context.limit or '?'} tokens used"),
    ]
    conversation.screen.table(rows)
    return True


def _model(conversation: Conversation, rest: str) -> bool:
    info = conversation.client.info
    rows = [("File", info.path), *summary(describe(info.path))]
    rows.append(("Runs on", f"{info.backend}, {info.threads} threads, {engine_text(info)}"))
    conversation.screen.table(rows)
    return True


def _leave(conversation: Conversation, rest: str) -> bool:
    return False


COMMANDS = {
    "/help": Command(_help, "", "This list"),
    "/image": Command(_attach("image"), "FILE", "Send a picture with the next message"),
    "/audio": Command(_attach("audio"), "FILE", "Send a recording with the next message"),
    "/system": Command(_system, "TEXT", "New conversation in which the model behaves like this"),
    "/clear": Command(_clear, "", "New conversation, same instructions"),
    "/undo": Command(_undo, "[N]", "Take the latest message and its answer back, or N of them"),
    "/again": Command(_again, "", "Have the latest message answered anew"),
    "/save": Command(_save, "FILE", "Write the conversation to a file"),
    "/load": Command(_load, "FILE", "Go on with a conversation from a file"),
    "/history": Command(_history, "", "What has been said"),
    "/stats": Command(_stats, "", "Tokens and speed"),
    "/model": Command(_model, "", "What runs, and where"),
    "/exit": Command(_leave, "", "Leave; so do quit and exit"),
    "/quit": Command(_leave, "", "Leave"),
}
