"""What reaches a terminal, and what must not."""

from __future__ import annotations

import io
import threading

import pytest

from litertlm.cli.terminal import Paint, Spinner, TextWriter, clean, safe, size_text, speaks_unicode


class Screen(io.StringIO):
    """A stream that says that it is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


def test_no_control_character_survives_but_tab_and_line_end() -> None:
    """Other characters of any script do."""
    everything = "".join(map(chr, range(0x100)))
    kept = [character for character in safe(everything) if ord(character) < 32 or 127 <= ord(character) < 160]
    assert kept == ["\t", "\n"]
    assert safe("\x1b]0;title\x07a\x9b31mb\r\n") == "�]0;title�a�31mb\n"
    assert safe("Grüße, 世界 👋🏽") == "Grüße, 世界 👋🏽"


def test_files_and_pipes_get_the_text_as_it_is() -> None:
    """What they do with it is their affair."""
    assert clean("\x1b[31m", io.StringIO()) == "\x1b[31m"
    assert clean("\x1b[31m", Screen()) == "�[31m"


@pytest.mark.parametrize("pieces", [["a\n\nb\n\n"], ["a", "\n", "\n", "b", "\n\n"], ["a\n", "\nb"]])
def test_written_text_ends_with_one_line_end(pieces: list[str]) -> None:
    """However the pieces fall."""
    stream = io.StringIO()
    writer = TextWriter(stream)
    for piece in pieces:
        writer.write(piece)
    writer.finish()
    writer.finish()
    assert stream.getvalue() == "a\n\nb\n"


def test_nothing_written_is_no_line() -> None:
    """Finishing alone writes nothing."""
    stream = io.StringIO()
    TextWriter(stream).finish()
    assert stream.getvalue() == ""


def test_colours_need_a_terminal_that_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR and dumb terminals are respected."""
    monkeypatch.setenv("TERM", "xterm")
    assert Paint(Screen()).red("no") == "\x1b[31mno\x1b[0m"
    assert Paint(io.StringIO()).red("no") == "no"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Paint(Screen()).red("no") == "no"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert Paint(Screen()).red("no") == "no"


def test_the_spinner_appears_when_waiting_takes_long_and_leaves_nothing_behind() -> None:
    """Neither a line nor a thread."""

    class Watched(Screen):
        def write(self, text):
            if text.strip():
                appeared.set()
            return super().write(text)

    appeared = threading.Event()
    stream = Watched()
    with Spinner("Loading…", stream, delay=0.0):
        assert appeared.wait(60)
    assert "Loading…" in stream.getvalue()
    assert stream.getvalue().endswith("\r")
    assert "litertlm-spinner" not in [thread.name for thread in threading.enumerate()]


def test_the_spinner_stays_away_when_it_is_quick_or_nobody_looks() -> None:
    """A pipe never sees it."""
    quick, pipe = Screen(), io.StringIO()
    with Spinner("Loading…", quick, delay=60.0), Spinner("Loading…", pipe, delay=0.0):
        pass
    assert quick.getvalue() == ""
    assert pipe.getvalue() == ""


def test_encodings_that_lack_the_characters_are_known() -> None:
    """ASCII has none of them."""
    assert speaks_unicode(Screen())
    assert not speaks_unicode(io.TextIOWrapper(io.BytesIO(), encoding="ascii"))


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 KB"), (6_735_136, "6.7 MB"), (421_000, "421 KB")],
)
def test_sizes_are_for_people(count: int, text: str) -> None:
    """Three digits or fewer, and a unit."""
    assert size_text(count) == text
