"""The line that the user types on: editing, history, completion, and what stands below it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import ANSI, StyleAndTextTuples
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.styles import Style

from litertlm.cli.commands import COMMANDS
from litertlm.folders import data_folder

__all__ = ["history_file", "new_prompt"]

_STYLE = Style.from_dict({"bottom-toolbar": "noreverse fg:ansibrightblack", "prompt": "bold"})
_WITH_FILE = frozenset({"/image", "/audio"})


def new_prompt(toolbar: Callable[[], str], *, colour: bool) -> PromptSession[str]:
    """A prompt whose bottom line says what ``toolbar`` returns at that time."""
    return PromptSession(
        message=_message(colour),
        multiline=True,
        prompt_continuation=lambda width, line, wraps: "" if wraps else "· ".rjust(width),
        key_bindings=_keys(),
        completer=SlashCompleter(),
        complete_while_typing=True,
        history=_history(),
        bottom_toolbar=toolbar,
        style=_STYLE,
        color_depth=None if colour else ColorDepth.DEPTH_1_BIT,
        enable_history_search=False,
        reserve_space_for_menu=6,
    )


def _message(colour: bool) -> StyleAndTextTuples | ANSI:
    return [("class:prompt", "> ")] if colour else ANSI("> ")


def history_file() -> Path:
    """Where typed lines are kept between conversations."""
    return data_folder() / "prompt-history"


def _history() -> History:
    """The kept lines, readable by their user only; none where nothing can be kept."""
    file = history_file()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        file.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(file))


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state is not None and buffer.complete_state.current_completion is not None:
            buffer.complete_state = None  # takes what the menu offers
        elif buffer.document.text_before_cursor.endswith("\\") and buffer.document.is_cursor_at_the_end:
            buffer.delete_before_cursor()
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    return keys


class SlashCompleter(Completer):
    """Completes commands, and files behind those that take one."""

    def __init__(self) -> None:
        self._files = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What the text before the cursor may become."""
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        name, space, rest = text.partition(" ")
        if space and name in _WITH_FILE:
            yield from self._files.get_completions(Document(rest, len(rest)), complete_event)
        elif not space:
            for command, what in COMMANDS.items():
                if command.startswith(text):
                    yield Completion(
                        f"{command} " if what.usage else command,
                        start_position=-len(text),
                        display=f"{command} {what.usage}".rstrip(),
                        display_meta=what.help,
                    )
