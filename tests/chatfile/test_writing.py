"""A chat file is replaced as a whole, or stays as it was."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from litertlm.chat.portable import ChatRecord, files, from_bytes, read_chat, to_bytes, write_chat
from litertlm.errors import ChatFileError, ChatFileNotFoundError
from litertlm.messages import Image, Message, Text

from .samples import SAMPLE

NEW = replace(SAMPLE, settings={"new": True})
BIG = replace(SAMPLE, history=(Message("user", (Image(b"\x89PNG" + bytes(300_000)),)),), turns=())

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The sample, saved in a folder of its own."""
    path = tmp_path / "weather.chat"
    write_chat(path, SAMPLE)
    return path


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_takes_the_place_of_the_old(path: Path) -> None:
    """And nothing else is left in the folder."""
    write_chat(path, NEW)
    assert read_chat(path) == NEW
    assert list(path.parent.iterdir()) == [path]


def test_who_reads_the_old_file_goes_on_reading_it(path: Path) -> None:
    """The new one is another file."""
    with path.open("rb") as old:
        write_chat(path, NEW)
        assert from_bytes(old.read()) == SAMPLE


def fail(error: BaseException) -> Callable[..., Any]:
    """A function that fails."""

    def failing(*args: object, **kwargs: object) -> Any:
        raise error

    return failing


ERRORS = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EIO, "Input/output error"),
    PermissionError(errno.EACCES, "Permission denied"),
    KeyboardInterrupt(),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", ["open", "fdopen", "fchmod", "fsync", "replace"])
def test_any_failure_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    """At whatever step, and nothing is left beside it."""
    expected = ChatFileError if isinstance(error, OSError) else type(error)
    with monkeypatch.context() as patched:
        if step == "replace":
            patched.setattr(Path, step, fail(error))
        else:
            patched.setattr(files.os, step, fail(error), raising=False)
        with pytest.raises(expected) as caught:
            write_chat(path, NEW)
    if isinstance(caught.value, ChatFileError):
        assert caught.value.path == str(path)
        assert f"cannot be written: {error.strerror}" in str(caught.value)  # type: ignore[attr-defined]
    assert read_chat(path) == SAMPLE
    if step != "fdopen":  # that leaves a descriptor which nobody closes
        assert list(path.parent.iterdir()) == [path]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the system refuse to write more than ``size`` bytes to a file."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@posix
@pytest.mark.parametrize("size", [0, 1, 100_000, 299_999])
def test_a_file_that_the_system_cuts_short_is_given_up(path: Path, size: int) -> None:
    """As when the disk is full."""
    with largest_file(size), pytest.raises(ChatFileError, match="cannot be written: File too large"):
        write_chat(path, BIG)
    assert read_chat(path) == SAMPLE
    assert list(path.parent.iterdir()) == [path]


def test_a_process_that_dies_leaves_the_old_file(path: Path) -> None:
    """Killed between the writing and the renaming; what it left beside does not matter afterwards."""
    code = (
        "import os, sys, pathlib\n"
        "from litertlm.chat.portable import ChatRecord, write_chat\n"
        "pathlib.Path.replace = lambda *args: os._exit(9)\n"
        "write_chat(sys.argv[1], ChatRecord())\n"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 9
    assert read_chat(path) == SAMPLE
    write_chat(path, NEW)
    assert read_chat(path) == NEW


def test_what_cannot_be_stored_leaves_the_old_file(path: Path) -> None:
    """The error names both, the file and the place."""
    with pytest.raises(ChatFileError) as caught:
        write_chat(path, ChatRecord(history=(Message("user", (Text("\ud800"),)),)))
    assert str(caught.value).startswith(f"{path}: history[0].parts[0].text is not valid Unicode text")
    assert caught.value.path == str(path)
    assert read_chat(path) == SAMPLE


@posix
def test_a_new_file_is_for_its_owner_only(path: Path) -> None:
    """Whatever the umask is: a chat is private."""
    before = os.umask(0)
    try:
        write_chat(path.parent / "other.chat", SAMPLE)
    finally:
        os.umask(before)
    assert mode(path.parent / "other.chat") == 0o600


@posix
@pytest.mark.parametrize("permissions", [0o644, 0o640, 0o400, 0o660])
def test_an_existing_file_keeps_its_permissions(path: Path, permissions: int) -> None:
    """Also those that the umask would take away."""
    path.chmod(permissions)
    write_chat(path, NEW)
    assert mode(path) == permissions


@posix
def test_a_link_stays_and_its_target_is_replaced(path: Path) -> None:
    """Through several links, and to a place where there is nothing yet."""
    folder = path.parent / "links"
    folder.mkdir()
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("../weather.chat")
    write_chat(folder / "a", NEW)
    assert (folder / "a").is_symlink()
    assert read_chat(path) == NEW
    (folder / "c").symlink_to("../not-yet.chat")
    write_chat(folder / "c", NEW)
    assert read_chat(path.parent / "not-yet.chat") == NEW
    assert sorted(item.name for item in folder.iterdir()) == ["a", "b", "c"]


@posix
def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    """It leads nowhere."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for call in (lambda: write_chat(tmp_path / "a", SAMPLE), lambda: read_chat(tmp_path / "a")):
        with pytest.raises(ChatFileError, match="Too many levels of symbolic links"):
            call()


@posix
def test_a_folder_that_may_not_be_written_to() -> None:
    """Says so; the file itself could be written."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_chat(folder / "a.chat", SAMPLE)
        (folder / "a.chat").chmod(0o666)
        folder.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            with pytest.raises(ChatFileError) as caught:
                write_chat(folder / "a.chat", NEW)
            assert read_chat(folder / "a.chat") == SAMPLE
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)
        assert str(caught.value) == (
            f"{folder / 'a.chat'}: cannot be written: Permission denied. "
            f"A new file is made beside it, so the folder {folder.resolve()} has to be writable."
        )


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    """Is not made."""
    with pytest.raises(ChatFileError, match="there is no such folder"):
        write_chat(tmp_path / "no" / "a.chat", SAMPLE)
    assert not list(tmp_path.iterdir())


def test_the_longest_names_work(tmp_path: Path) -> None:
    """The name of the temporary file does not depend on them."""
    path = tmp_path / ("x" * 255)
    write_chat(path, SAMPLE)
    assert read_chat(path) == SAMPLE


@posix
def test_folders_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    """At once: opening a pipe would wait."""
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "a pipe"),
        (Path("/dev/null"), "a device"),
    ):
        for call in (lambda path=path: write_chat(path, SAMPLE), lambda path=path: read_chat(path)):
            with pytest.raises(ChatFileError, match=message):
                call()


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    """Can be told from one that is damaged."""
    with pytest.raises(ChatFileNotFoundError, match="there is no such file") as caught:
        read_chat(tmp_path / "none.chat")
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.path == str(tmp_path / "none.chat")


def test_a_damaged_file_is_named(path: Path) -> None:
    """With the path, once."""
    path.write_bytes(to_bytes(SAMPLE)[:-1])
    with pytest.raises(ChatFileError) as caught:
        read_chat(path)
    assert str(caught.value).count(str(path)) == 1


@pytest.mark.parametrize("call", [read_chat, lambda path: write_chat(path, SAMPLE)], ids=["read", "write"])
def test_a_name_that_cannot_be(call: Callable[[str], object]) -> None:
    """A NUL is in no name."""
    with pytest.raises(ChatFileError, match="null byte"):
        call("a\0b")
