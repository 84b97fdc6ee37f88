"""A reply in Markdown while it is still being written.

Blocks that are complete are printed once and for all; only the block being written is drawn again and again,
its tail if it is taller than the terminal. So a long reply scrolls like any other text.
"""

from __future__ import annotations

import re
from types import TracebackType

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from litertlm import Chunk
from litertlm.cli.terminal import safe

__all__ = ["LiveReply", "complete_blocks", "markdown"]

# HTML of a model is shown as it stands, not swallowed.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_BREAK = re.compile(r"\n[ \t]*\n+(?=\S)")


def markdown(text: str) -> Markdown:
    """``text`` rendered, with its line ends kept and its links shown with their addresses."""
    rendered = Markdown("", code_theme="ansi_dark", hyperlinks=False)
    rendered.markup = text
    rendered.parsed = _PARSER.parse(text)
    _keep_line_ends(rendered.parsed)
    return rendered


def _keep_line_ends(tokens: list[Token]) -> None:
    for token in tokens:
        if token.type == "softbreak":
            token.type = "hardbreak"
        if token.children:
            _keep_line_ends(token.children)


def complete_blocks(text: str) -> int:
    """How much of the beginning of ``text`` consists of blocks that nothing later can change.

    A block ends at a blank line outside of fenced code, unless what follows is indented and so belongs to it.
    """
    end = 0
    for gap in _BREAK.finditer(text):
        if not _inside_fence(text[: gap.start() + 1]):
            end = gap.end()
    return end


def _inside_fence(text: str) -> bool:
    opened = ""
    for fence in _FENCE.findall(text):
        if not opened:
            opened = fence
        elif fence[0] == opened[0] and len(fence) >= len(opened):
            opened = ""
    return bool(opened)


class _Tail:
    """The last lines of something, as many as fit on the terminal."""

    def __init__(self, content: Markdown | Text) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._content, options.update(height=None), pad=False)
        for line in lines[-max(1, console.height - 3) :]:
            yield from line
            yield Segment.line()


class LiveReply:
    """Shows a reply while it is being written; a context manager."""

    def __init__(self, console: Console, *, modern: bool) -> None:
        self._console = console
        self._text = ""
        self._thinking = ""
        self._spinner = Spinner("dots" if modern else "line", Text("…" if modern else "...", "dim"))
        # Drawn when the terminal is refreshed; not with every piece, of which there may be thousands.
        self._live = Live(
            get_renderable=self._drawn,
            console=console,
            transient=True,
            refresh_per_second=12,
            redirect_stderr=False,
        )
        self._printed = False

    def add(self, chunk: Chunk) -> None:
        """Show another piece."""
        if chunk.thinking:
            self._thinking += safe(chunk.thinking)
        first = not (self._text or self._printed)
        self._text += safe(chunk.text)
        if first and self._text.strip():
            self._live.refresh()  # the first word at once
        end = complete_blocks(self._text)
        if end:
            done, self._text = self._text[:end], self._text[end:]
            self._print(done)

    def _drawn(self) -> RenderableType:
        """What is not complete yet. Called by the thread that refreshes the terminal."""
        if self._text.strip():
            return _Tail(markdown(self._text))
        if self._thinking and not self._printed:
            return _Tail(Text("\n".join(self._thinking.strip().splitlines()[-3:]), "dim italic"))
        return self._spinner

    def _print(self, text: str) -> None:
        if text.strip():
            if self._printed:
                self._console.print()
            self._console.print(markdown(text))
            self._printed = True

    def __enter__(self) -> LiveReply:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        self._print(self._text)
