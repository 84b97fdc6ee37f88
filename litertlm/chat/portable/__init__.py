"""Chats as values and as files: saved, loaded, pickled, logged.

Imported when a chat is saved or loaded, not with litertlm. Everything here may be used from any thread.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from typing import TYPE_CHECKING, Any, Literal

from litertlm.chat.portable.archive import json_of, pack, program, unpack
from litertlm.chat.portable.differences import Difference, differences
from litertlm.chat.portable.document import document_of
from litertlm.chat.portable.files import StrPath, opened, replace_file
from litertlm.chat.portable.kv_file import write_kv
from litertlm.chat.portable.record import ChatRecord, ModelIdentity, ToolRecord
from litertlm.errors import ChatFileError, OptionError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "ChatRecord",
    "Difference",
    "ModelIdentity",
    "ToolRecord",
    "differences",
    "from_bytes",
    "read_chat",
    "to_bytes",
    "to_dict",
    "write_chat",
]


def write_chat(path: StrPath, record: ChatRecord, kv_cache: Buffer | None = None) -> None:
    """Write a chat file, or leave what is there as it is.

    The file is made beside its place and renamed, so that there is a whole one at any time, also after a
    power failure. A new file is readable by its owner only; an existing one keeps its permissions, and a
    symbolic link keeps pointing where it does.

    Args:
        path: Of any name; ``.chat`` is customary.
        record: The chat.
        kv_cache: What is in its KV cache, for a file beside it; None: there is to be none.

    Raises:
        ChatFileError: Something in the chat cannot be stored, or the file cannot be written.
    """
    replace_file(path, _packed(record, path))
    write_kv(path, kv_cache)


def read_chat(path: StrPath) -> ChatRecord:
    """Read a chat file, whoever made it: it is checked throughout, and nothing in it is run.

    Raises:
        ChatFileNotFoundError: There is no such file.
        ChatFileError: It is no chat file, damaged, of a newer format, or beyond a limit.
    """
    try:
        with opened(path) as file:
            return unpack(file)
    except ChatFileError as error:
        raise _naming(error, path) from error.__cause__


def to_bytes(record: ChatRecord) -> bytes:
    """What :func:`write_chat` would write; the same bytes for the same record.

    Raises:
        ChatFileError: Something in the chat cannot be stored.
    """
    return pack(record)


def from_bytes(data: bytes) -> ChatRecord:
    """What :func:`to_bytes` was given.

    Raises:
        ChatFileError: It is no chat file, damaged, of a newer format, or beyond a limit.
    """
    return unpack(io.BytesIO(data))


def to_dict(record: ChatRecord, *, media: Literal["hash", "base64"] = "hash") -> dict[str, Any]:
    """The document of a chat as plain JSON values, for logs; see docs/chat-files.md.

    Args:
        record: The chat.
        media: ``"hash"``: parts with media have ``sha256`` and ``size``; ``"base64"``: ``base64``, too.

    Raises:
        ChatFileError: Something in the chat cannot be stored.
        OptionError: ``media`` is something else.
    """
    if media not in ("hash", "base64"):
        raise OptionError(f"media must be 'hash' or 'base64', not {media!r}")

    def keep(data: bytes) -> dict[str, Any]:
        found = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        return found if media == "hash" else {"base64": base64.b64encode(data).decode("ascii"), **found}

    document: dict[str, Any] = json.loads(json_of(document_of(record, keep, program())))
    return document


def _packed(record: ChatRecord, path: StrPath) -> bytes:
    try:
        return pack(record)
    except ChatFileError as error:
        raise _naming(error, path) from error.__cause__


def _naming(error: ChatFileError, path: StrPath) -> ChatFileError:
    """The same error with the name of the file."""
    return type(error)(error.problem, path=path, place=error.place, hint=error.hint)
