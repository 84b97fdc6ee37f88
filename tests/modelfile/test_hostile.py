"""Small files that are made to take long: parts that are written once and pointed to from everywhere."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

from litertlm.errors import ModelFileError
from litertlm.modelfile.flatbuffer import FlatBuffer
from litertlm.modelfile.source import Bytes

from . import containers
from .containers import Part, Tab, Tables, Text, container, flatbuffer

SLOWEST = 5.0  # seconds of processor time


def with_shared_names(signatures: int, names: int) -> bytes:
    """Graphs of many signatures that have the same list of inputs, all of which are one and the same."""
    entries = [Tab({0: ("I", 0), 2: Text(f"prefill_{number}"), 4: ("I", 0)}) for number in range(signatures)]
    graph = Tab({0: Tables([Tab({3: Text("x")})])})
    root = Tab({0: ("I", 3), 2: Tables([graph]), 4: Tables([Tab({})]), 7: Tables(entries)})
    data = bytearray(flatbuffer(root, b"TFL3"))
    reader = FlatBuffer(Bytes(bytes(data), name="graphs"))
    for entry in reader.root("model", identifier=b"TFL3").tables(7, signatures, "signature"):
        place = entry.position + entry._fields[0]
        struct.pack_into("<I", data, place, len(data) - place)
    item = flatbuffer(Tab({0: Text("x"), 1: ("I", 0)}))
    first = 4 * names + struct.unpack_from("<I", item)[0]  # from the first slot to the table
    data += struct.pack(f"<{names + 1}I", names, *(first - 4 * number for number in range(names)))
    return bytes(data + item)


def test_names_of_many_signatures(refused: Callable[[bytes], ModelFileError]) -> None:
    """They are counted together."""
    metadata, tokenizer, _ = containers.parts()
    graphs = Part("tflite_model", with_shared_names(1000, 1 << 16), "tf_lite_prefill_decode")
    started = time.process_time()
    error = refused(container([metadata, tokenizer, graphs]))
    assert time.process_time() - started < SLOWEST
    assert "at most" in error.problem
    assert error.place
