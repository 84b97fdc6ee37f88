"""``litertlm run`` on the real model."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from .programs import Result, RunCommand, StartProcess

SHORT = ("--max-output-tokens", "8")


def test_prints_the_answer_and_one_line_end(cli: RunCommand, model_path: Path) -> None:
    """And nothing else, least of all what the engine logs."""
    result = cli("run", "-m", model_path, *SHORT, "Hello!")
    assert result.status == 0
    assert result.out.strip()
    assert result.out.endswith("\n")
    assert not result.out.endswith("\n\n")
    assert result.err == ""


def test_joins_several_words(cli: RunCommand, model_path: Path) -> None:
    """Quotes may be forgotten."""
    one = cli("run", "-m", model_path, *SHORT, "--temperature", "0", "How are you?")
    several = cli("run", "-m", model_path, *SHORT, "--temperature", "0", "How", "are", "you?")
    assert several == one


def test_json_is_one_object_with_everything(cli: RunCommand, model_path: Path) -> None:
    """Reply, usage, timings and model."""
    result = cli("run", "-m", model_path, *SHORT, "--json", "Hello!")
    assert result.status == 0
    assert result.err == ""
    reply = json.loads(result.out)
    assert set(reply) == {"text", "thinking", "tool_calls", "finish_reason", "usage", "timings", "model"}
    assert reply["usage"]["prompt_tokens"] > 0
    assert 0 < reply["usage"]["completion_tokens"] <= 8
    assert reply["timings"]["total"] > 0
    assert reply["model"]["path"] == str(model_path)
    assert reply["model"]["backend"] == "cpu"


def prompt_tokens(result: Result) -> int:
    """How long the message was, for the model."""
    assert result.status == 0, result
    return json.loads(result.out)["usage"]["prompt_tokens"]


def test_stdin_is_the_prompt_or_follows_it_after_a_blank_line(cli: RunCommand, model_path: Path) -> None:
    """Told by the number of tokens."""

    def ask(*prompt, stdin=b""):
        return prompt_tokens(cli("run", "-m", model_path, *SHORT, "--json", *prompt, stdin=stdin))

    both = ask("Summarise this:\n\nThe cat sat on the mat.")
    assert ask("Summarise this:", stdin=b"The cat sat on the mat.\n") == both
    alone = ask("The cat sat on the mat.")
    assert ask(stdin=b"\xef\xbb\xbfThe cat sat on the mat.\n") == alone
    assert ask("-", stdin=b"The cat sat on the mat.\n") == alone
    assert alone < both


def test_images_and_audio_need_no_prompt_and_may_come_from_stdin(
    cli: RunCommand, model_path: Path, picture: Path, recording: Path
) -> None:
    """There is a question by default."""

    def ask(*arguments, stdin=b""):
        result = cli("run", "-m", model_path, *SHORT, "--json", *arguments, stdin=stdin)
        assert result.status == 0, result
        return json.loads(result.out)["usage"]

    image = ask("--image", picture)
    assert image["image_tokens"] > 0
    assert image["audio_tokens"] == 0
    assert image == ask("--image", picture, "What is this?")
    assert image == ask("--image", "-", stdin=picture.read_bytes())
    sound = ask("--audio", recording)
    assert sound["audio_tokens"] > 0
    assert sound["image_tokens"] == 0
    assert sound == ask("--audio", recording, "What do you hear?")
    both = ask("--audio", recording, "--image", picture, "--image", picture)
    assert both["image_tokens"] == 2 * image["image_tokens"]
    assert both["audio_tokens"] == sound["audio_tokens"]


def test_system_message_and_seed_are_passed_on(cli: RunCommand, model_path: Path) -> None:
    """They make a difference, or none."""
    plain = cli("run", "-m", model_path, *SHORT, "--json", "Hello!")
    told = cli("run", "-m", model_path, *SHORT, "--json", "--system", "Be brief.", "Hello!")
    assert prompt_tokens(told) > prompt_tokens(plain)
    drawn = ("run", "-m", model_path, "--temperature", "2", *SHORT, "Hello!")
    assert cli(*drawn, "--seed", "7") == cli(*drawn, "--seed", "7")


def test_min_p_is_passed_on(cli: RunCommand, model_path: Path) -> None:
    """With 1, the likeliest word is all that is left."""
    asked = ("run", "-m", model_path, *SHORT, "Hello!")
    greedy, hot = cli(*asked, "--temperature", "0"), cli(*asked, "--temperature", "4", "--min-p", "1")
    assert hot.out == greedy.out


@pytest.mark.parametrize("option", ["--stats", "--verbose", "-v"])
def test_stats_go_to_stderr_in_one_line(cli: RunCommand, model_path: Path, option: str) -> None:
    """Under each of its names."""
    result = cli("run", "-m", model_path, *SHORT, option, "Hello!")
    assert result.status == 0
    assert result.err.count("\n") == 1
    for words in ("tokens read", "written", "first after", "context"):
        assert words in result.err


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "words"),
    [
        (("Hello!", "-m", "no-such-model.litertlm"), b"", 1, "there is no such file"),
        ((), b"", 2, "nothing to say"),
        (("--image", "-", "--audio", "-"), b"", 2, "only one"),
        (("--image", "-", "-"), b"", 2, "cannot be both"),
        (("Hello!",), b"\xff\xfe\xfd", 2, "not UTF-8"),
        (("Hello!", "--temperature", "-1"), b"", 2, "temperature"),
        (("Hello!", "--min-p", "2"), b"", 2, "min_p"),
        (("Hello!", "--min-p", "0.1", "--engine", "litert"), b"", 2, "litert engine cannot do min_p"),
        (("Hello!", "--max-output-tokens", "0"), b"", 2, "max_output_tokens"),
        (("Hello!", "--timeout", "-1"), b"", 2, "timeout"),
        (("--image", "no-such-picture.png"), b"", 1, "no-such-picture.png"),
        (("Hello!", "--nonsense"), b"", 2, "unrecognized"),
    ],
)
def test_failures_say_why_and_set_the_status(
    cli: RunCommand, model_path: Path, arguments: tuple[str, ...], stdin: bytes, status: int, words: str
) -> None:
    """1: it failed; 2: the command line is wrong."""
    model = () if "-m" in arguments else ("-m", model_path)
    result = cli("run", *model, *arguments, stdin=stdin)
    assert result.status == status
    assert result.out == ""
    assert words in result.err
    assert "Traceback" not in result.err


def test_failures_are_json_when_json_is_asked_for(cli: RunCommand, model_path: Path) -> None:
    """On stdout, with the class of the error."""
    result = cli("run", "-m", "no-such-model.litertlm", "--json", "Hello!")
    assert result.status == 1
    assert result.err == ""
    error = json.loads(result.out)["error"]
    assert error["type"] == "ModelNotFoundError"
    assert "no-such-model.litertlm" in error["message"]
    assert json.loads(cli("run", "-m", model_path, "--json").out)["error"]["type"] == "UsageError"


def test_timeout_ends_the_line_and_fails(cli: RunCommand, model_path: Path) -> None:
    """The time is for the whole turn."""
    result = cli("run", "-m", model_path, "--timeout", "0.000001", "Hello!")
    assert result.status == 1
    assert "did not finish within" in result.err


def test_a_reader_that_leaves_is_no_error(start: StartProcess, model_path: Path) -> None:
    """As in ``| head``."""
    process = start("run", "-m", model_path, "Tell me a story.")
    process.stdin.close()
    assert process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


def test_interrupt_ends_with_130_and_no_words(start: StartProcess, model_path: Path) -> None:
    """The line that was begun is ended."""
    process = start("run", "-m", model_path, "Tell me a story.")
    process.stdin.close()
    first = process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    said = first + process.stdout.read()
    assert process.wait() == 130
    assert process.stderr.read() == b""
    assert said.endswith(b"\n")
