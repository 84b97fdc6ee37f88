"""Where an image or a recording comes from: path, bytes, file object or ``data:`` URL, read into memory.

Nothing is fetched over a network, and nothing that could block or never end is read.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias, TypeGuard

from litertlm.errors import MediaError

if TYPE_CHECKING:
    import numpy.typing

__all__ = ["Content", "Kind", "is_array", "read_source", "size_text"]

Kind: TypeAlias = Literal["image", "audio"]

_ACCEPTED: dict[Kind, str] = {
    "image": "a path, bytes, an open binary file, a data: URL, a PIL image or a numpy array",
    "audio": "a path, bytes, an open binary file, a data: URL or a numpy array",
}
_CHUNK = 1 << 20  # bytes asked of a file object at a time
_SHOWN = 100  # characters of a path or URL that a message repeats


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a media file.

    Attributes:
        data: All of them, at least one.
        name: How messages call the thing, for example ``"image 'photo.jpg'"``.
    """

    data: bytes
    name: str


def is_array(source: object) -> TypeGuard[numpy.typing.NDArray[Any]]:
    """Whether ``source`` is a numpy array; imports nothing, for who has an array has imported numpy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(source, numpy.ndarray)


def size_text(count: int) -> str:
    """Write a number of bytes for a reader: ``"256 MiB"``."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} bytes"


def read_source(source: object, kind: Kind, *, limit: int) -> Content:
    """Read an image or audio file into memory.

    Args:
        source: A path, bytes, a binary file object (read from where it stands to its end, and left there),
            or a ``data:`` URL as a ``str``. Any other ``str`` is a path.
        kind: What it is meant to be.
        limit: Most bytes to read.

    Returns:
        The bytes, undecoded.

    Raises:
        litertlm.errors.MediaError: There is nothing there, it cannot be read, or it is larger than ``limit``.

    May be called from any thread, if no other thread reads the same file object.
    """
    if isinstance(source, str):
        if source[:5].lower() == "data:":
            return _from_data_url(source, kind, limit)
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source):
            raise MediaError(
                f"{kind} {_shown(source)} is a URL, and litertlm fetches nothing",
                hint="Pass a path, or download it yourself and pass the bytes.",
            )
        return _from_path(source, kind, limit)
    if isinstance(source, os.PathLike):
        return _from_path(source, kind, limit)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _from_buffer(source, kind, limit)
    if isinstance(source, io.TextIOBase):
        raise MediaError(f"{kind} file object is opened in text mode", hint='Open it with mode "rb".')
    if callable(getattr(source, "read", None)) and not isinstance(source, type):
        return _from_file_object(source, kind, limit)  # type: ignore[arg-type]
    raise MediaError(
        f"{kind} source of type {type(source).__name__} is not supported", hint=f"Pass {_ACCEPTED[kind]}."
    )


def _shown(text: object) -> str:
    """Quote a path or URL, escaped (file names need not be UTF-8) and shortened."""
    quoted = repr(text)
    return quoted if len(quoted) <= _SHOWN else f"{quoted[:_SHOWN]}...'"


def _content(data: bytes, name: str, limit: int, hint_if_empty: str = "") -> Content:
    if not data:
        raise MediaError(f"{name} is empty", hint=hint_if_empty)
    if len(data) > limit:
        raise _too_large(name, limit, len(data))
    return Content(data, name)


def _too_large(name: str, limit: int, size: int | None) -> MediaError:
    has = f"has {size_text(size)}, more than" if size is not None else "is larger than"
    return MediaError(f"{name} {has} the limit of {size_text(limit)}")


def _from_buffer(source: bytes | bytearray | memoryview, kind: Kind, limit: int) -> Content:
    name = f"{kind} given as bytes"
    try:
        size = source.nbytes if isinstance(source, memoryview) else len(source)
        if size > limit:
            raise _too_large(name, limit, size)
        data = bytes(source)
    except ValueError as error:  # a released memoryview; MediaError is a ValueError too
        if isinstance(error, MediaError):
            raise
        raise MediaError(f"{name} cannot be read: {error}") from error
    return _content(data, name, limit)


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting: a FIFO without a writer would block."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _from_path(source: str | os.PathLike[Any], kind: Kind, limit: int) -> Content:
    path = os.fspath(source)
    name = f"{kind} {_shown(path)}"
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise MediaError(
                    f"{name} is a device or a pipe, not a file",
                    hint="To read from a pipe, pass a file object such as sys.stdin.buffer.",
                )
            if status.st_size > limit:
                raise _too_large(name, limit, status.st_size)
            data = file.read()
    except FileNotFoundError as error:
        raise MediaError(f"{name}: no such file", hint=_hint_for_missing(path)) from error
    except IsADirectoryError as error:
        raise MediaError(f"{name} is a directory", hint="Pass the path of one file.") from error
    except PermissionError as error:
        raise MediaError(f"{name}: permission denied") from error
    except MediaError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        reason = getattr(error, "strerror", None) or error  # the former does not repeat the path
        raise MediaError(f"{name} cannot be opened: {reason}", hint=_hint_for_missing(path)) from error
    return _content(data, name, limit)


def _hint_for_missing(path: object) -> str:
    if isinstance(path, str) and len(path) > 200:
        return "A str is a path or a data: URL; decode base64 text to bytes first."
    if isinstance(path, str) and path.startswith("~"):
        return "'~' is not expanded; use pathlib.Path(...).expanduser()."
    if isinstance(path, str) and path.startswith("file:"):
        return "Pass the path itself, not a file: URL."
    return f"A relative path starts from the working directory, {_working_directory()}."


def _working_directory() -> str:
    try:
        return _shown(str(Path.cwd()))
    except OSError:
        return "which does not exist any more"


def _from_file_object(file: BinaryIO, kind: Kind, limit: int) -> Content:
    name = f"{kind} file object"
    chunks: list[bytes] = []
    size = 0
    while size <= limit:
        try:
            chunk = file.read(_CHUNK)
        except Exception as error:  # the object is the caller's; whatever it raises, it could not be read
            raise MediaError(f"{name} cannot be read: {type(error).__name__}: {error}") from error
        if isinstance(chunk, str):
            raise MediaError(f"{name} is opened in text mode", hint='Open it with mode "rb".')
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise MediaError(
                f"{name} gave {type(chunk).__name__} where bytes were expected",
                hint="A non-blocking file has to be read by the caller." if chunk is None else "",
            )
        if not chunk:
            break
        chunks.append(bytes(chunk))
        size += len(chunk)
    else:
        raise _too_large(name, limit, None)
    return _content(
        b"".join(chunks), name, limit, "It may stand at its end already: seek(0), or pass the bytes."
    )


def _from_data_url(url: str, kind: Kind, limit: int) -> Content:
    """Decode a ``data:`` URL (RFC 2397): base64, of either alphabet and with spaces, or percent-encoded."""
    from urllib.parse import unquote_to_bytes

    name = f"{kind} in a data: URL"
    header, comma, body = url[len("data:") :].partition(",")
    if not comma:
        raise MediaError(f"{name}: there is no comma before the data in {_shown(url)}")
    mime, *parameters = (part.strip().lower() for part in header.split(";"))
    if mime and not mime.startswith((f"{kind}/", "application/")):
        other = {"image": "Image", "audio": "Audio"}.get(mime.split("/")[0])
        raise MediaError(
            f"{name}: the URL declares {_shown(mime)}, not {kind}",
            hint=f"Pass it as {other}(...)." if other else "",
        )
    if len(body) > 4 * limit:  # no encoding takes more than three characters per byte, and some white space
        raise _too_large(name, limit, None)
    raw = unquote_to_bytes(body.encode("utf-8", "replace"))
    if "base64" not in parameters:
        return _content(raw, name, limit)
    digits = raw.translate(bytes.maketrans(b"-_", b"+/"), b" \t\r\n\f\v").rstrip(b"=")
    if len(digits) // 4 * 3 > limit:
        raise _too_large(name, limit, len(digits) // 4 * 3)
    try:
        data = base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except binascii.Error as error:
        raise MediaError(f"{name}: the base64 is damaged: {error}") from error
    return _content(data, name, limit)
