"""A model file, opened and verified."""

from __future__ import annotations

import difflib
import os
import stat
import sys
from pathlib import Path
from types import TracebackType

from litertlm.errors import ClosedError, ModelFileError, ModelNotFoundError
from litertlm.modelfile.description import ModelDescription
from litertlm.modelfile.verify import verify

__all__ = ["ModelFile", "describe", "open_model"]

_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class ModelFile:
    """An open ``.litertlm`` file that has been verified; made by :func:`open_model`.

    A context manager. Safe to use from several threads.

    Attributes:
        path: As it was named.
        size: Length in bytes.
        description: What the file says about itself.
    """

    def __init__(self, descriptor: int, description: ModelDescription) -> None:
        self._descriptor: int | None = descriptor
        self.path = description.path
        self.size = description.size
        self.description = description

    def descriptor(self) -> int:
        """Return a new descriptor of the file, at position 0; the caller closes it.

        It is the very file that was verified, also when another one stands under its name by now.

        Raises:
            ClosedError: The file is closed.
        """
        if self._descriptor is None:
            raise ClosedError(f"The model file {self.path} is closed")
        fresh = _reopen(self.path, self._descriptor)
        if fresh is None:
            fresh = os.dup(self._descriptor)
            os.lseek(fresh, 0, os.SEEK_SET)
        return fresh

    def close(self) -> None:
        """Close the file; descriptors handed out stay open. May be called again."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> ModelFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self._descriptor is None else "open"
        return f"<ModelFile {self.path!r} {state}>"


def open_model(path: str | os.PathLike[str] | bytes | os.PathLike[bytes]) -> ModelFile:
    """Open a model file and verify it, without reading its weights.

    Args:
        path: The file, whatever its name ends in.

    Returns:
        The open file; close it, or use it in ``with``.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFileError: It is not a readable, whole and well-formed model; the error names the place.
        ModelLayoutError: It is, but of a layout that no engine here runs.
    """
    name = os.fsdecode(path)
    descriptor, size = _open(name)
    try:
        description = verify(descriptor, size, name)
    except ModelFileError as error:
        os.close(descriptor)
        named = type(error)(error.problem, path=name, place=error.place, hint=error.hint)
        raise named from error.__cause__
    except BaseException:
        os.close(descriptor)
        raise
    return ModelFile(descriptor, description)


def describe(path: str | os.PathLike[str] | bytes | os.PathLike[bytes]) -> ModelDescription:
    """Verify a model file and say what it holds. No engine is needed.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFileError: As in :func:`open_model`.
    """
    with open_model(path) as model:
        return model.description


def _open(path: str) -> tuple[int, int]:
    """Return an open descriptor and the size of a regular file; never waits for a pipe or opens a device."""
    if "\0" in path:
        raise ModelFileError(f"the path {path!r} contains a NUL character")
    if not path:
        raise ModelNotFoundError("the path is empty", hint="Name a .litertlm file.")
    try:
        _require_file(path, Path(path).stat())
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError as error:
        raise ModelNotFoundError("there is no such file", path=path, hint=_suggestion(path)) from error
    except NotADirectoryError as error:
        raise ModelNotFoundError("a part of the path is not a folder", path=path) from error
    except PermissionError as error:
        raise ModelFileError(
            "may not be read (permission denied)", path=path, hint="Change its permissions or its owner."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelFileError(f"cannot be opened ({reason})", path=path) from error
    try:
        status = os.fstat(descriptor)
        _require_file(path, status)  # it may have been replaced in between
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status.st_size


def _require_file(path: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        names = _models_in(path)
        hint = f"Name the file in it: {', '.join(names[:3])}." if names else "Name a .litertlm file."
        raise ModelFileError("is a folder", path=path, hint=hint)
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError("is not a regular file", path=path, hint="Name a .litertlm file.")


def _reopen(path: str, descriptor: int) -> int | None:
    """Open the path again if it still leads to the same file; a plain dup would share its position."""
    names = [f"/proc/self/fd/{descriptor}", path] if sys.platform == "linux" else [path]
    for name in names:
        try:
            fresh = os.open(name, _FLAGS)
        except OSError:
            continue
        if os.path.samestat(os.fstat(fresh), os.fstat(descriptor)):
            return fresh
        os.close(fresh)
    return None


def _models_in(folder: str) -> list[str]:
    try:
        with os.scandir(folder or os.curdir) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(".litertlm"))
    except OSError:
        return []


def _suggestion(path: str) -> str:
    folder, name = os.path.split(path)
    names = _models_in(folder)
    close = difflib.get_close_matches(name, names, 3, 0.6) or names[:3]
    if close:
        return f"In that folder there is: {', '.join(close)}."
    return "Check the path." if Path(folder).is_dir() else f"There is no folder {folder!r} either."
