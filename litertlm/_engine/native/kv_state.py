"""What a conversation holds in its KV cache, as bytes: a long chat goes on without being read again.

::

    8 bytes       LTLMKV01
    4 bytes       length of the header, little endian
    the header    JSON: the model's digest; text and ids of every passage of the transcript
    the rest      the sequence, as the C engine writes it

The KV of a model means nothing to another one, nor to a build of the engine that lays it out otherwise; then
it is not used, and everything is prefilled as usual. It is a cache: nothing is lost without it.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

from litertlm._engine.lib import check, ffi, lib, new_error
from litertlm._engine.native.transcript import Passage, Transcript

if TYPE_CHECKING:
    from litertlm._engine.handle import Handle

__all__ = ["load_state", "save_state"]

MAGIC = b"LTLMKV01"
LENGTH = struct.Struct("<I")
MOST_HEADER = 256 << 20


def save_state(sequence: Handle, transcript: Transcript, digest: str) -> bytearray:
    """All of it.

    Args:
        sequence: Its KV.
        transcript: What is in it.
        digest: Of the model.

    Raises:
        ChatBusy: A turn is running.
    """
    passages = [[passage.text, list(passage.ids)] for passage in transcript.passages]
    header = json.dumps({"model": digest, "passages": passages}).encode()
    error = new_error()
    with sequence.using() as native:
        size = lib.ltlm_sequence_saved_bytes(native)
        state = bytearray(len(MAGIC) + LENGTH.size + len(header) + size)
        state[: len(MAGIC) + LENGTH.size] = MAGIC + LENGTH.pack(len(header))
        start = len(state) - size
        state[start - len(header) : start] = header
        memory = ffi.from_buffer("uint8_t[]", memoryview(state)[start:], require_writable=True)
        check(lib.ltlm_sequence_save(native, memory, size, error), error)
    return state


def load_state(sequence: Handle, state: Any, digest: str, vocabulary: int) -> Transcript | None:
    """Put it into an empty sequence.

    Args:
        sequence: Where to.
        state: Any buffer.
        digest: Of the model that goes on.
        vocabulary: Its token ids are below it.

    Returns:
        What is in the KV cache now; None if it does not fit, and nothing has changed.
    """
    view = memoryview(state)
    start = len(MAGIC) + LENGTH.size
    if view[: len(MAGIC)] != MAGIC or len(view) < start:
        return None
    (length,) = LENGTH.unpack(view[len(MAGIC) : start])
    if length > MOST_HEADER or start + length > len(view):
        return None
    try:
        header = json.loads(bytes(view[start : start + length]))
        if header["model"] != digest:
            return None
        passages = tuple(_passage(text, ids, vocabulary) for text, ids in header["passages"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    error = new_error()
    with sequence.using() as native:
        memory = ffi.from_buffer("uint8_t[]", view[start + length :])
        status = lib.ltlm_sequence_load(native, memory, len(memory), error)
    return Transcript(passages) if status == lib.LTLM_OK else None


def _passage(text: object, ids: list[object], vocabulary: int) -> Passage:
    known = tuple(token for token in ids if type(token) is int and 0 <= token < vocabulary)
    if not isinstance(text, str) or len(known) != len(ids):
        raise ValueError("not a text and its ids")
    return Passage(text, known)
