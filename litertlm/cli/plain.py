"""A conversation without a terminal: one line is one turn, and nothing is printed but what was asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from litertlm import LiteRTLMError, Reply, Stream
from litertlm.cli.exits import CommandError, report_error
from litertlm.cli.terminal import TextWriter, clean

if TYPE_CHECKING:
    from litertlm.cli.chat import Conversation
    from litertlm.cli.commands import Attachment

__all__ = ["PlainScreen"]


class PlainScreen:
    """Reads stdin, writes stdout; needs the base install only."""

    def read(self, conversation: Conversation) -> str:
        """The next line."""
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\n")

    def greet(self, conversation: Conversation) -> None:
        """Nothing: only replies belong in a pipe."""

    def reply(self, stream: Stream) -> Reply:
        """Write the reply as it comes."""
        writer = TextWriter(sys.stdout)
        try:
            for chunk in stream:
                writer.write(chunk.text)
        finally:
            writer.finish()
        return stream.reply

    def attached(self, attachment: Attachment) -> None:
        """One line."""
        self.note(f"Attached {attachment.name}")

    def note(self, text: str) -> None:
        """On stdout."""
        print(clean(text, sys.stdout), flush=True)

    def table(self, rows: list[tuple[str, str]]) -> None:
        """Two columns."""
        label = max((len(name) for name, _ in rows), default=0)
        for name, value in rows:
            self.note(f"{name:<{label}}  {value}".rstrip())

    def error(self, error: LiteRTLMError | CommandError) -> None:
        """On stderr."""
        report_error(error)
