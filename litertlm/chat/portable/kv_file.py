"""The KV cache of a saved chat in a file beside it, so that a long chat goes on without being read again.

It is large (about 100 kB a token on a model of 0.6 billion parameters), and of use to the same model on our
own engine only. It is a cache: whoever deletes it loses nothing but time.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from litertlm.chat.portable.files import StrPath, opened, replace_file
from litertlm.errors import ChatFileError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["kept_kv", "kv_file", "write_kv"]


def kv_file(path: StrPath) -> Path:
    """Where the KV cache of the chat in ``path`` is."""
    return Path(f"{os.fspath(path)}.kv")


def write_kv(path: StrPath, state: Buffer | None) -> None:
    """Write it beside a chat file; None: there is none, and an earlier one is removed.

    Raises:
        ChatFileError: It cannot be written.
    """
    if state is not None:
        replace_file(kv_file(path), state)
        return
    with suppress(OSError):
        kv_file(path).unlink()


@contextmanager
def kept_kv(path: StrPath) -> Iterator[mmap.mmap | None]:
    """What is kept beside a chat file, for the length of the block; None when there is nothing to be read."""
    with ExitStack() as stack:
        state = None
        with suppress(ChatFileError):
            file = stack.enter_context(opened(kv_file(path)))
            if os.fstat(file.fileno()).st_size:
                state = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        yield state
