"""``litertlm chat``, from a pipe and in a terminal."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from .programs import OpenTerminal, RunCommand

SHORT = ("--max-output-tokens", "8")

PROMPT = r"context [\d,]+ of"
"""Below the prompt, once it takes keys; those pressed earlier may be lost."""

BUSY = "[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] …"
"""Before the first words of a reply."""


def test_a_line_from_a_pipe_is_a_turn(cli: RunCommand, model_path: Path) -> None:
    """One line, one turn; blank lines are nothing; only what was asked for is printed."""
    result = cli("chat", "-m", model_path, *SHORT, stdin=b"Hello!\n\n  \n/history\n")
    assert result.status == 0
    assert result.err == ""
    assert "1. user: Hello!\n2. assistant: " in result.out


def test_words_and_commands_that_leave(cli: RunCommand, model_path: Path) -> None:
    """Leaving ends the conversation, whatever follows."""
    for word in ("quit", "EXIT", "/exit", "/quit"):
        result = cli("chat", "-m", model_path, stdin=f"{word}\nHello!\n".encode())
        assert (result.status, result.out) == (0, "")


def test_long_messages_are_cut_in_the_history(cli: RunCommand, model_path: Path) -> None:
    """A preview has 80 characters."""
    said = "word " * 30
    result = cli("chat", "-m", model_path, *SHORT, stdin=f"{said}\n/history\n".encode())
    line = next(line for line in result.out.splitlines() if line.startswith("1. user: "))
    assert line == f"1. user: {said[:80]}..."


def test_clear_keeps_the_instructions_and_system_replaces_them(cli: RunCommand, model_path: Path) -> None:
    """Both begin a new conversation."""
    script = b"Hello!\n/clear\n/history\n/system Be loud.\n/history\n/system\n"
    result = cli("chat", "-m", model_path, *SHORT, "--system", "Be brief.", stdin=script)
    assert result.status == 0
    assert "History cleared!\n1. system: Be brief.\n" in result.out
    assert "1. system: Be loud.\nBe loud.\n" in result.out


def test_attached_files_go_with_the_next_message_only(
    cli: RunCommand, model_path: Path, picture: Path, recording: Path
) -> None:
    """Names with spaces work as they stand, and quoted."""
    script = f"/image {picture}\n/audio '{recording}'\nWhat?\nAnd?\n/history\n".encode()
    result = cli("chat", "-m", model_path, *SHORT, stdin=script)
    assert (result.status, result.err) == (0, "")
    assert "Attached a red one.png\nAttached beep.wav\n" in result.out
    assert "1. user: [image] [audio] What?\n" in result.out
    assert "3. user: And?\n" in result.out


def test_errors_are_told_and_the_conversation_goes_on(
    cli: RunCommand, model_path: Path, tmp_path: Path
) -> None:
    """Slips and bad files are told on stderr; a path is not a command; the status remembers."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    script = f"/hepl\n/image\n/image none.png\n/image {broken}\nWhat?\n/usr/bin is full\n/history\n".encode()
    result = cli("chat", "-m", model_path, *SHORT, stdin=script)
    assert result.status == 1
    assert result.err.count("error:") == 4
    assert "there is no command /hepl" in result.err
    assert "1. user: /usr/bin is full\n" in result.out
    assert "What?" not in result.out


def test_help_stats_and_model(cli: RunCommand, model_path: Path) -> None:
    """The commands that only tell something."""
    result = cli("chat", "-m", model_path, *SHORT, stdin=b"/help\n/stats\nHello!\n/stats\n/model\n")
    assert result.status == 0
    for words in ("/image FILE", "none yet", "tokens read", "Context", str(model_path)):
        assert words in result.out


def test_a_terminal_conversation(
    terminal: OpenTerminal, model_path: Path, home: Path, picture: Path, recording: Path
) -> None:
    """Words, a picture, a sound, an error, and what is kept between conversations."""
    screen = terminal("chat", "-m", model_path, *SHORT, LITERTLM_HOME=str(home))
    screen.expect("Ctrl-D leaves")
    screen.expect("context 0 of")
    screen.send("Hello!\r")
    screen.expect(r"context [1-9]\d* of")
    screen.send(f"/image {picture}\r")
    screen.expect("▀+")
    screen.expect("a red one.png: 64 x 64 PNG")
    screen.expect("with a red one.png")
    screen.send(f"/audio {recording}\r")
    screen.expect("▁+▂*▃")
    screen.expect("beep.wav: 1.0 s, 16 kHz, mono")
    screen.expect("with a red one.png, beep.wav")
    screen.send("/nonsense\r")
    screen.expect("there is no command /nonsense")
    screen.expect(PROMPT)
    screen.send("quit\r")
    screen.expect("Goodbye!")
    assert screen.wait() == 0
    file = home / "data" / "prompt-history"
    assert "+Hello!" in file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_reply_can_be_stopped_and_the_conversation_goes_on(
    terminal: OpenTerminal, model_path: Path
) -> None:
    """Ctrl-C stops the reply, which leaves no trace; the next command works."""
    screen = terminal("chat", "-m", model_path, "--temperature", "0")
    screen.expect("context 0 of")
    screen.send("Tell me a story.\r")
    screen.expect(BUSY)
    screen.expect(r"\w{2}")
    screen.send("\x03")
    screen.expect("Stopped. The turn was undone")
    screen.expect("context 0 of")
    screen.send("/history\r")
    screen.expect("Nothing has been said yet")
    screen.expect(PROMPT)
    screen.send("/exit\r")
    assert screen.wait() == 0
    assert "Traceback" not in screen.text


def test_ctrl_c_clears_the_line_and_ctrl_d_leaves(terminal: OpenTerminal, model_path: Path) -> None:
    """At the prompt."""
    screen = terminal("chat", "-m", model_path, *SHORT)
    screen.expect(PROMPT)
    screen.send("never sent")
    screen.expect("sent")
    screen.send("\x03")
    screen.expect(PROMPT)
    screen.send("/history\r")
    screen.expect("Nothing has been said yet")
    screen.expect(PROMPT)
    screen.send("\x04")
    screen.expect("Goodbye!")
    assert screen.wait() == 0


def test_lines_can_be_joined_and_pasted(terminal: OpenTerminal, model_path: Path) -> None:
    """A backslash, Alt-Enter and pasted line ends do not send the message."""
    screen = terminal("chat", "-m", model_path, *SHORT)
    screen.expect(PROMPT)
    screen.send("one\\\rtwo\x1b\r\x1b[200~three\nfour\x1b[201~\r")
    screen.expect(r"context [1-9]\d* of")
    screen.send("/history\r")
    screen.expect("1. user: one two three four")
    screen.expect(PROMPT)
    screen.send("\x04")
    assert screen.wait() == 0


def test_ctrl_c_in_run_leaves_no_traceback(terminal: OpenTerminal, model_path: Path) -> None:
    """Status 130, and the prompt of the shell on a line of its own."""
    screen = terminal("run", "-m", model_path, "Tell me a story.")
    # The spinner comes and goes on the same terminal, so wait for words that are not its own.
    screen.expect(r"(?!Loading|the|model|Reading|Thinking)\b\w{2}")
    screen.send("\x03")
    assert screen.wait() == 130
    assert "Traceback" not in screen.text
    assert screen.text.endswith("\n")


def test_without_the_extra_one_line_says_what_to_install(
    terminal: OpenTerminal, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal needs it; a pipe does not."""
    hidden = "import sys\nsys.modules.update(rich=None, prompt_toolkit=None, markdown_it=None)\n"
    (tmp_path / "sitecustomize.py").write_text(hidden, encoding="utf-8")
    path = f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}"
    screen = terminal("chat", "-m", model_path, PYTHONPATH=path)
    assert screen.wait() == 1
    assert 'pip install "litertlm[cli]"' in screen.text
    assert "Traceback" not in screen.text
    monkeypatch.setenv("PYTHONPATH", path)
    command = [sys.executable, "-m", "litertlm", "chat", "-m", str(model_path), *SHORT]
    piped = subprocess.run(command, input=b"Hello!\n", capture_output=True, check=False)
    assert (piped.returncode, piped.stderr) == (0, b"")
    assert piped.stdout.strip()


def test_going_back_and_answering_anew(cli: RunCommand, model_path: Path) -> None:
    """An undone turn is gone from the history; an answer anew replaces the old one."""
    script = b"Hello!\nTell me a joke.\nThanks.\n/undo 2\n/again\n/history\n/undo\n/undo\n/undo x\n"
    result = cli("chat", "-m", model_path, *SHORT, stdin=script)
    assert "Undone: the model does not remember it.\n" in result.out
    assert "1. user: Hello!\n2. assistant: " in result.out
    assert "3. " not in result.out
    assert "There are not 1 turns to go back" in result.err
    assert "/undo takes a number of turns" in result.err


def test_a_conversation_survives_a_restart(cli: RunCommand, model_path: Path, tmp_path: Path) -> None:
    """Saved by one process and gone on with by another; a damaged file is told and nothing is lost."""
    file = tmp_path / "my talk.chat"
    saved = cli("chat", "-m", model_path, *SHORT, stdin=f"My name is Ada.\n/save {file}\n".encode())
    assert (saved.status, saved.err) == (0, "")
    script = f"/load {file}\nThanks.\n/history\n".encode()
    loaded = cli("chat", "-m", model_path, *SHORT, stdin=script)
    assert (loaded.status, loaded.err) == (0, "")
    assert "2 messages." in loaded.out
    assert "1. user: My name is Ada.\n" in loaded.out
    assert "3. user: Thanks.\n" in loaded.out
    file.write_bytes(file.read_bytes()[:-10])
    broken = cli("chat", "-m", model_path, *SHORT, stdin=f"Hello!\n/load {file}\n/history\n".encode())
    assert "my talk.chat" in broken.err
    assert "1. user: Hello!\n" in broken.out
