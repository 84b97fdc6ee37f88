"""``litertlm chat``: a conversation in the terminal, or line by line from a pipe."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Protocol

from litertlm import (
    Audio,
    Chat,
    Client,
    Image,
    LiteRTLMError,
    MediaError,
    ModalityUnavailable,
    Reply,
    Stream,
    Text,
)
from litertlm.cli.commands import COMMANDS, Attachment
from litertlm.cli.exits import FAILED, OK, CommandError, UsageError
from litertlm.cli.plain import PlainScreen
from litertlm.cli.run import open_chat, open_client
from litertlm.cli.terminal import Spinner

__all__ = ["Conversation", "Screen", "chat"]

STOPPED = "Stopped. The turn was undone: the model does not remember it."
LEAVING = frozenset({"quit", "exit"})


class Screen(Protocol):
    """Where a conversation is shown."""

    def read(self, conversation: Conversation) -> str:
        """What the user says next.

        Raises:
            EOFError: The user has left.
            KeyboardInterrupt: Ctrl-C.
        """
        ...

    def greet(self, conversation: Conversation) -> None:
        """The first words."""
        ...

    def reply(self, stream: Stream) -> Reply:
        """Show a reply as it comes."""
        ...

    def attached(self, attachment: Attachment) -> None:
        """Show what was attached to the next message."""
        ...

    def note(self, text: str) -> None:
        """Something that the program says."""
        ...

    def table(self, rows: list[tuple[str, str]]) -> None:
        """Names and values."""
        ...

    def error(self, error: LiteRTLMError | CommandError) -> None:
        """What went wrong; the conversation goes on."""
        ...


class Conversation:
    """What the slash commands work on.

    Attributes:
        client: The model.
        chat: The conversation with it; another one after ``/clear`` and ``/system``.
        system: How the model should behave, None for no instruction.
        screen: Where it is shown.
        attachments: What goes with the next message.
        last: The last reply.
        failed: Whether a turn or a command has failed.
    """

    def __init__(self, client: Client, arguments: Namespace, screen: Screen) -> None:
        self.client = client
        self.screen = screen
        self.system: str | None = arguments.system
        self.attachments: list[Attachment] = []
        self.last: Reply | None = None
        self.failed = False
        self._arguments = arguments
        self.chat: Chat = open_chat(client, arguments)

    def restart(self, system: str | None) -> None:
        """Forget what was said."""
        fresh = open_chat(self.client, self._arguments, system)
        self.chat.close()
        self.chat, self.system, self.last = fresh, system, None
        self.attachments.clear()

    def adopt(self, chat: Chat) -> None:
        """Go on with another chat."""
        self.chat.close()
        self.chat, self.last = chat, None
        first = chat.history[:1]
        self.system = first[0].text if first and first[0].role == "system" else None
        self.attachments.clear()

    def take(self, line: str) -> bool:
        """Do what a line asks for: a command, or a turn.

        Returns:
            Whether the conversation goes on.
        """
        said = line.strip()
        if not said:
            return True
        if said.lower() in LEAVING:
            return False
        name, _, rest = said.partition(" ")
        try:
            # "/usr/bin is full" is for the model; "/hepl" is a slip of the hand.
            if name in COMMANDS:
                return COMMANDS[name].act(self, rest.strip())
            if name[0] == "/" and "/" not in name[1:]:
                raise UsageError(f"there is no command {name}", "/help lists them.")
            self._turn(line.strip("\n"))
        except (LiteRTLMError, CommandError) as error:
            self.failed = True
            self.screen.error(error)
        return True

    def _turn(self, text: str) -> None:
        parts: list[Text | Image | Audio] = [
            Image(item.path) if item.kind == "image" else Audio(item.path) for item in self.attachments
        ]
        try:
            with self.chat.send_multi_stream([*parts, Text(text)]) as stream:
                self.last = self.screen.reply(stream)
        except (MediaError, ModalityUnavailable):
            self.attachments.clear()  # they would fail again; others are sent with the next try
            raise
        self.attachments.clear()


def chat(arguments: Namespace) -> int:
    """Hold a conversation.

    Returns:
        The exit status.

    Raises:
        LiteRTLMError: The model cannot be opened.
        CommandError: The terminal needs packages that are not installed.
    """
    at_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    screen: Screen = _rich_screen() if at_terminal else PlainScreen()
    with Spinner("Loading the model…") as spinner, open_client(arguments) as client:
        conversation = Conversation(client, arguments, screen)
        spinner.stop()
        screen.greet(conversation)
        while True:
            try:
                line = screen.read(conversation)
            except EOFError:
                break
            except KeyboardInterrupt:
                if not at_terminal:
                    raise
                continue  # the line is cleared
            try:
                if not conversation.take(line):
                    break
            except KeyboardInterrupt:
                if not sys.stdin.isatty():
                    raise
                screen.note(STOPPED)
        if at_terminal:
            screen.note("Goodbye!")
    return FAILED if conversation.failed and not at_terminal else OK


def _rich_screen() -> Screen:
    try:
        from litertlm.cli.screen import RichScreen
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"rich", "prompt_toolkit"}:
            raise
        raise CommandError(
            f"litertlm chat needs the package {error.name}", 'Run: pip install "litertlm[cli]"'
        ) from None
    return RichScreen()
