"""A conversation in a terminal: Markdown as it comes, pictures, sounds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from litertlm import LiteRTLMError, Reply, Stream
from litertlm.cli.exits import CommandError
from litertlm.cli.markdown import LiveReply
from litertlm.cli.pictures import Picture, Sound, read_picture, read_sound
from litertlm.cli.prompt import new_prompt
from litertlm.cli.terminal import quiet_keyboard, safe, speaks_unicode

if TYPE_CHECKING:
    from litertlm.cli.chat import Conversation
    from litertlm.cli.commands import Attachment

__all__ = ["RichScreen"]

_SHADES = " .:-=+*#%@"


class RichScreen:
    """Reads with prompt_toolkit, shows with rich."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=False)
        self._modern = speaks_unicode(sys.stdout)
        self._conversation: Conversation | None = None
        self._prompt = new_prompt(self._toolbar, colour=not self._console.no_color)

    def read(self, conversation: Conversation) -> str:
        """What the user types."""
        self._conversation = conversation
        return self._prompt.prompt()

    def greet(self, conversation: Conversation) -> None:
        """What runs, and how to get help."""
        info = conversation.client.info
        takes = ", ".join({"image": "images"}.get(kind, kind) for kind in info.modalities)
        title = Text.assemble(
            (safe(Path(info.path).stem), "bold"),
            (f"  {info.model_type} on {info.backend}, takes {takes}", "dim"),
        )
        self._console.print(title)
        self._console.print(Text("/help lists the commands, Ctrl-D leaves.", "dim"))
        self._console.print()

    def reply(self, stream: Stream) -> Reply:
        """Show a reply as it comes."""
        with quiet_keyboard(), LiveReply(self._console, modern=self._modern) as live:
            for chunk in stream:
                live.add(chunk)
        reply = stream.reply
        if not reply.text.strip():
            self.note("(The model said nothing.)")
        if reply.finish_reason == "length":
            self.note("(The answer was cut: no more tokens.)")
        self._console.print()
        return reply

    def attached(self, attachment: Attachment) -> None:
        """Show the picture or the waveform."""
        columns = max(8, min(40, self._console.width - 4))
        if attachment.kind == "image":
            picture = read_picture(attachment.path, columns, max(4, min(12, self._console.height // 3)))
            if picture:
                self._console.print(Padding(self._drawn(picture), (0, 0, 0, 2)))
            size = f"{picture.width} x {picture.height} {picture.format}" if picture else "cannot be shown"
            self.note(f"{attachment.name}: {size}; goes with your next message")
        else:
            sound = read_sound(attachment.path, columns)
            if sound:
                self._console.print(Padding(Text(sound.waveform(modern=self._modern), "cyan"), (0, 0, 0, 2)))
            self.note(f"{attachment.name}: {_length(sound)}; goes with your next message")

    def note(self, text: str) -> None:
        """Dimmed."""
        self._console.print(Text(safe(text), "dim"))

    def table(self, rows: list[tuple[str, str]]) -> None:
        """Two columns."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="cyan", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in rows:
            grid.add_row(Text(name), Text(safe(value)))
        self._console.print(Padding(grid, (0, 0, 1, 2)))

    def error(self, error: LiteRTLMError | CommandError) -> None:
        """Red."""
        self._console.print(Text(safe(error.message), "red"))
        if error.hint:
            self._console.print(Text(safe(error.hint), "dim"))
        self._console.print()

    def _drawn(self, picture: Picture) -> Text:
        """Half-blocks in two colours; without colours, letters as dark as the picture."""
        text = Text(no_wrap=True)
        for row in picture.rows:
            for upper, lower in row:
                if self._console.no_color or not self._modern or self._console.color_system is None:
                    light = sum((*upper, *lower)) / 6 / 256
                    text.append(_SHADES[int(light * len(_SHADES))])
                else:
                    style = Style(
                        color=f"rgb({','.join(map(str, upper))})", bgcolor=f"rgb({','.join(map(str, lower))})"
                    )
                    text.append("▀", style)
            text.append("\n")
        text.rstrip()
        return text

    def _toolbar(self) -> str:
        """How full the context is, and what waits to be sent."""
        conversation = self._conversation
        if conversation is None:
            return ""
        context = conversation.chat.context
        said = [safe(Path(conversation.client.info.path).stem)]
        if context.limit:
            said.append(f"context {context.used:,} of {context.limit:,} ({context.used / context.limit:.0%})")
        if conversation.attachments:
            said.append("with " + ", ".join(safe(item.name) for item in conversation.attachments))
        separator = " · " if self._modern else " | "
        return " " + separator.join(said)


def _length(sound: Sound | None) -> str:
    if sound is None:
        return "cannot be shown"
    channels = {1: "mono", 2: "stereo"}.get(sound.channels, f"{sound.channels} channels")
    return f"{sound.seconds:.1f} s, {sound.sample_rate / 1000:g} kHz, {channels}"
