"""Reading and replacing a chat file on disk.

A file is replaced as a whole or not at all: the new one is written beside it, made durable, and renamed.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from litertlm.errors import ChatFileError, ChatFileNotFoundError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["StrPath", "opened", "replace_file"]

StrPath: TypeAlias = "str | os.PathLike[str]"

_BINARY = getattr(os, "O_BINARY", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a FIFO without a writer would block
_PRIVATE = 0o600


@contextmanager
def opened(path: StrPath) -> Iterator[BinaryIO]:
    """A regular file, open for reading.

    Raises:
        ChatFileNotFoundError: There is none of that name.
        ChatFileError: It is a folder, a device or a pipe, or cannot be opened or read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _BINARY | _NO_WAIT)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ChatFileError("is a device or a pipe, not a file", path=path)
            yield file
    except FileNotFoundError as error:
        if isinstance(error, ChatFileError):
            raise
        raise ChatFileNotFoundError("there is no such file", path=path) from error
    except IsADirectoryError as error:
        raise ChatFileError("is a folder, not a file", path=path) from error
    except (OSError, ValueError) as error:
        if isinstance(error, ChatFileError):
            raise
        raise ChatFileError(f"cannot be read: {_reason(error)}", path=path) from error


def replace_file(path: StrPath, data: Buffer) -> None:
    """Have ``path`` hold ``data``; whatever goes wrong, it holds what it held before.

    A new file is readable by its owner only; an existing one keeps its permissions. A symbolic link stays,
    and the file that it points to is replaced.

    Raises:
        ChatFileError: It cannot be written; ``str()`` says why.
    """
    try:
        target = Path(os.path.realpath(path))
        mode = _mode_of(target, path)
    except (OSError, ValueError) as error:
        if isinstance(error, ChatFileError):
            raise
        raise ChatFileError(f"cannot be written: {_reason(error)}", path=path) from error
    # A short name of its own, as the name of the file itself may be as long as names can be.
    beside = target.parent / f".litertlm-{secrets.token_hex(8)}.tmp"
    try:
        try:
            _write(beside, data, mode)
            beside.replace(target)
        except BaseException:
            with suppress(OSError):
                beside.unlink()
            raise
        _sync_folder(target.parent)
    except PermissionError as error:
        raise ChatFileError(
            f"cannot be written: {_reason(error)}",
            path=path,
            hint=f"A new file is made beside it, so the folder {target.parent} has to be writable.",
        ) from error
    except FileNotFoundError as error:
        raise ChatFileError(
            "cannot be written: there is no such folder", path=path, hint=f"Make {target.parent} first."
        ) from error
    except OSError as error:
        raise ChatFileError(f"cannot be written: {_reason(error)}", path=path) from error


def _mode_of(target: Path, path: StrPath) -> int:
    """The permissions that the new file gets."""
    try:
        status = target.stat()
    except FileNotFoundError:
        return _PRIVATE
    if stat.S_ISDIR(status.st_mode):
        raise ChatFileError("is a folder, not a file", path=path, hint="Name a file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise ChatFileError("is a device or a pipe, not a file", path=path)
    return stat.S_IMODE(status.st_mode)


def _write(path: Path, data: Buffer, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, _PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make the renaming durable, where the system can; it has been done either way."""
    if os.name == "nt":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
