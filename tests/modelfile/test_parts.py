"""Tokenizer, graphs and metadata: each refused when it cannot work, with its section named."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litertlm import modelfile
from litertlm.errors import ModelFileError, ModelLayoutError

from . import containers
from .containers import Part, container, hf_tokenizer, item, llm_metadata, parts, proto, tflite

Refused: TypeAlias = Callable[[bytes], ModelFileError]

TEXT_TOKEN = proto((2, "<x>"))
ID_TOKEN = proto((1, proto((1, b"\x05"))))


def with_part(number: int, **changes: object) -> bytes:
    """The small model with one part changed."""
    all_parts = parts()
    for name, value in changes.items():
        setattr(all_parts[number], name, value)
    return container(all_parts)


def packed(raw: bytes, size: int | None = None) -> bytes:
    """Pack bytes as a tokenizer section, declaring this raw size."""
    return struct.pack("<Q", len(raw) if size is None else size) + zlib.compress(raw)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"short", "too short", id="short"),
        pytest.param(hf_tokenizer(raw_size=0), "raw size 0 is impossible", id="raw size 0"),
        pytest.param(hf_tokenizer(raw_size=1 << 40), "is impossible, at most 268435456", id="raw size 1 TB"),
        pytest.param(hf_tokenizer(raw_size=100), "but declares 100", id="raw size larger"),
        pytest.param(hf_tokenizer(raw_size=10), "more than the 10 bytes", id="raw size smaller"),
        pytest.param(hf_tokenizer()[:-5], "its packed data does not end", id="cut"),
        pytest.param(hf_tokenizer() + b"\0", "bytes after its packed data", id="longer"),
        pytest.param(hf_tokenizer()[:-1] + b"\0", "does not unpack", id="checksum"),
        pytest.param(packed(b"hello"), "is not JSON", id="not JSON"),
        pytest.param(packed(b"[1]"), "no tokenizer model", id="a list"),
        pytest.param(packed(b'{"a": 1}'), "no tokenizer model", id="another object"),
        pytest.param(packed(b"[" * 100_000), "is not JSON", id="deep JSON"),
        pytest.param(packed(b"\xff" * 3_000_000), "is not a JSON object", id="large, not JSON"),
        pytest.param(packed(bytes(300 << 20), 1 << 20), "more than the 1048576 bytes", id="bomb"),
    ],
)
def test_refuses_hf_tokenizer(refused: Refused, data: bytes, problem: str) -> None:
    """A packed tokenizer unpacks to exactly what it declares, and is a tokenizer."""
    error = refused(with_part(1, data=data))
    assert problem in error.problem
    assert error.place.startswith("section 1 (hf_tokenizer), bytes 327")


def test_large_hf_tokenizer(tmp_path: Path) -> None:
    """A tokenizer of tens of megabytes is accepted, its padding token found across pieces."""
    vocab = {f"token{i}": i for i in range(200_000)} | {"<pad>": 200_000}
    metadata = llm_metadata((13, proto((2, "<pad>"))))
    first, second, third = parts()
    first.data, second.data = metadata, hf_tokenizer({"model": {"vocab": vocab}})
    path = tmp_path / "large.litertlm"
    path.write_bytes(container([first, second, third]))
    assert modelfile.describe(path).tokenizer == "huggingface"


def sentencepiece(*extra: bytes, count: int = 3, piece: str = "piece") -> bytes:
    """Write a SentencePiece model with these pieces besides its own."""
    pieces = [proto((1, f"{piece}{i}"), (2, float(-i))) for i in range(count)]
    pieces += [proto((1, "<unk>"), (2, 0.0), (3, 2)), proto((1, "<0x0A>"), (2, 0.0), (3, 6)), *extra]
    return proto(*((1, data) for data in pieces), (2, proto((4, 1))), (3, proto((1, "identity"))))


def test_sentencepiece(tmp_path: Path) -> None:
    """A SentencePiece model is taken for one, with short pieces and long; padding is found in it."""
    path = tmp_path / "sp.litertlm"
    first, second, third = parts()
    first.data = llm_metadata((13, proto((2, "<pad>"))))
    second.kind = "sp_tokenizer"
    for piece in ("piece", "x" * 200):
        second.data = sentencepiece(proto((1, "<pad>"), (3, 3)), piece=piece)
        path.write_bytes(container([first, second, third]))
        assert modelfile.describe(path).tokenizer == "sentencepiece"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(sentencepiece()[:20], "is cut", id="cut in a piece"),
        pytest.param(sentencepiece()[:-3], "is cut", id="cut after the pieces"),
        pytest.param(proto((3, b"")), "has no pieces", id="no pieces"),
        pytest.param(b"\xff" * 64, "longer than 64 bits", id="not protobuf"),
        pytest.param(sentencepiece(proto((1, "a\0b"), (2, 0.0))), "piece.piece: has a NUL", id="NUL"),
        pytest.param(sentencepiece(proto((1, b"\xff"))), "piece.piece: is not UTF-8", id="not UTF-8"),
        pytest.param(sentencepiece(proto((1, ""), (2, 0.0))), "a piece has no text", id="empty"),
        pytest.param(sentencepiece(proto((2, 0.0))), "a piece has no text", id="no text"),
        pytest.param(sentencepiece(proto((1, "t"), (2, 0.0), (3, 9))), "unknown type 9", id="type"),
    ],
)
def test_refuses_sentencepiece(refused: Refused, data: bytes, problem: str) -> None:
    """A SentencePiece model is well-formed, and its pieces are; NUL in one would abort the engine."""
    assert problem in str(refused(with_part(1, kind="sp_tokenizer", data=data)))


def test_padding_token_must_be_in_the_tokenizer(refused: Refused) -> None:
    """The engine refuses a padding token that the tokenizer splits; here it is named."""
    error = refused(with_part(0, data=llm_metadata((13, proto((2, "<p!d>"))))))
    assert "padding token '<p!d>'" in error.problem


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        pytest.param((1, b""), "start_token: is empty", id="start token without a token"),
        pytest.param((1, proto((2, ""))), "start_token: is empty", id="start token without text"),
        pytest.param((1, proto((1, b""))), "start_token: is empty", id="start token without ids"),
        pytest.param((13, proto((2, ""))), "pad_token: is not one token", id="padding without text"),
        pytest.param((13, proto((1, proto((1, b"\1\2"))))), "pad_token: is not one", id="two padding ids"),
        pytest.param((8, proto((2, "<"))), "channels: one has no name", id="nameless channel"),
        pytest.param((4, proto((1, 9))), "sampler_params.type: 9", id="sampler type"),
        pytest.param((4, proto((2, -1))), "sampler_params.k: -1", id="negative k"),
        pytest.param((4, proto((3, 1.5))), "sampler_params.p: 1.5", id="p above 1"),
        pytest.param((4, proto((3, float("nan")))), "sampler_params.p: nan", id="p not a number"),
        pytest.param((4, proto((4, -1.0))), "sampler_params.temperature: -1.0", id="negative temperature"),
        pytest.param((4, proto((4, float("inf")))), "temperature: inf", id="infinite temperature"),
        pytest.param((4, proto((6, 9))), "sampler_params.backend: 9", id="sampler backend"),
        pytest.param((7, "twice"), "jinja_prompt_template: is given twice", id="template twice"),
    ],
)
def test_refuses_metadata(refused: Refused, field: tuple[int, bytes], problem: str) -> None:
    """Settings that crash the engine or fail in it are refused by name."""
    error = refused(with_part(0, data=llm_metadata(field)))
    assert error.place.startswith("section 0 (llm_metadata), bytes")
    assert problem in str(error)


@pytest.mark.parametrize(
    ("family", "problem"),
    [
        pytest.param(b"", "family is unknown", id="none"),
        pytest.param(proto((99, b"")), "family is unknown", id="a newer one"),
        pytest.param(proto((8, b""), (5, b"")), "excludes", id="two"),
        pytest.param(
            proto((8, proto((1, ID_TOKEN)))), "start_of_image_token: is not a text", id="token by id"
        ),
        pytest.param(proto((8, proto((15, 8), (16, 9)))), "patches must be square", id="oblong patches"),
        pytest.param(proto((8, proto((17, -1)))), "max_num_patches: -1 is negative", id="negative patches"),
        pytest.param(proto((8, proto((18, 1 << 30)))), "out of range|negative|impossible", id="huge pooling"),
    ],
)
def test_refuses_family(refused: Refused, family: bytes, problem: str) -> None:
    """A family the engine does not know, and settings of it that it cannot use, are refused."""
    with_family = with_part(0, data=llm_metadata(family=family))
    assert any(words in str(refused(with_family)) for words in problem.split("|"))


def test_no_stop_tokens(refused: Refused) -> None:
    """Without stop tokens the engine opens no conversation."""
    assert "stop_tokens: there is none" in str(refused(with_part(0, data=proto((5, 64), (7, "x")))))


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        pytest.param([0], "no metadata section", id="no metadata"),
        pytest.param([1], "no tokenizer section", id="no tokenizer"),
        pytest.param([2], "no language model section", id="no language model"),
    ],
)
def test_refuses_missing_parts(refused: Refused, changed: Sequence[int], problem: str) -> None:
    """Metadata, tokenizer and language model must be there."""
    kept = [part for number, part in enumerate(parts()) if number not in changed]
    assert problem in refused(container(kept)).problem


def encoder(name: str, tokens: int = 70) -> Part:
    """Write graphs that make so many tokens."""
    return Part("tflite_model", tflite({"run": ({"x": (1, 9)}, {"y": (1, tokens, 8)})}), f"tf_lite_{name}")


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        pytest.param(encoder("nonsense"), "'tf_lite_nonsense' is unknown", id="unknown model"),
        pytest.param(encoder("prefill_decode"), "is section 2 already", id="second language model"),
        pytest.param(encoder("vision_adapter"), "but no tf_lite_vision_encoder", id="adapter alone"),
        pytest.param(encoder("end_of_audio"), "but no tf_lite_audio_encoder_hw", id="end of audio alone"),
        pytest.param(Part("hf_tokenizer", hf_tokenizer()), "is section 1 already", id="second tokenizer"),
        pytest.param(Part("generic", b"x", "tf_lite_aux"), "but has a model_type", id="model of no kind"),
        pytest.param(
            Part("tflite_weights", b"w", "tf_lite_aux", items=[item("backend_constraint", "toaster")]),
            "'toaster' is unknown",
            id="unknown backend",
        ),
    ],
)
def test_refuses_extra_parts(refused: Refused, extra: Part, problem: str) -> None:
    """Unknown and doubled parts are refused, and those that need another one."""
    assert problem in str(refused(container([*parts(), extra])))


def test_images(tmp_path: Path, refused: Refused) -> None:
    """An encoder makes a model take images; the metadata must not want more tokens than it makes."""
    first, *others = parts()
    path = tmp_path / "images.litertlm"
    for patches, expected in ((None, 70), (630, 70), (270, 30)):
        settings_ = proto((17, patches)) if patches else b""
        first.data = llm_metadata(family=proto((8, settings_)))
        path.write_bytes(container([first, *others, encoder("vision_encoder")]))
        found = modelfile.describe(path)
        assert (found.modalities, found.max_image_tokens) == (("text", "image"), expected)
    first.data = llm_metadata(family=proto((8, proto((17, 6300)))))
    assert "images of 700 tokens" in refused(container([first, *others, encoder("vision_encoder")])).problem


def test_embedder_must_be_there(refused: Refused) -> None:
    """A language model that takes embeddings is of no use without what makes them."""
    data = tflite({"decode": ({"embeddings": (1, 1, 8)}, {"logits": (1, 1, 8)})})
    assert "no tf_lite_embedder" in refused(with_part(2, data=data)).problem


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(bytes(32), "too short", id="short"),
        pytest.param(bytes(256), "identifier: is not TFL3", id="zeros"),
        pytest.param(tflite({}, version=2), "TFLite version 2", id="version"),
        pytest.param(containers.decoder()[:1200], "outside", id="cut"),
        pytest.param(tflite({}, constants=[(4096, 1)]), "1 bytes at 4096 are not in", id="weights outside"),
        pytest.param(tflite({}, constants=[(64, 2**64 - 1)]), "are not in", id="endless weights"),
    ],
)
def test_refuses_graphs(refused: Refused, data: bytes, problem: str) -> None:
    """A TFLite section is one, and what it points to lies inside it."""
    error = refused(with_part(2, data=data))
    assert problem in str(error)
    assert error.place.startswith("section 2 (tf_lite_prefill_decode), byte")


def test_graphs_that_go_on_after_their_end(refused: Refused) -> None:
    """A section's end that was moved forward shows by the data behind it."""
    data = tflite({"decode": ({}, {})}, length=4096)
    end = 3 * containers.ALIGNMENT + 4000
    assert "goes on after the section's end" in refused(with_part(2, data=data, end=end)).problem


def state(name: str = "kv_cache_k_0", **changes: object) -> bytes:
    """Write a state buffer; ``f7=3`` sets field 7, ``f7=""`` leaves it out."""
    fields: dict[int, int | str] = {1: name, 2: name, 3: name, 4: name, 6: 1, 7: 2}
    fields.update({int(key[1:]): value for key, value in changes.items()})  # type: ignore[misc]
    return proto((2, proto(*(pair for pair in fields.items() if pair[1] != ""))))


VALUE = state("kv_cache_v_0", f6=2, f7=3)


@pytest.mark.parametrize(
    ("buffers", "problem"),
    [
        pytest.param(b"", "there are none", id="none"),
        pytest.param(VALUE, "'kv_cache_k_0' is not among them", id="one left out"),
        pytest.param(state() + state() + VALUE, "given twice", id="twice"),
        pytest.param(state(f3="other") + VALUE, "differs from", id="names differ"),
        pytest.param(state("other") + VALUE, "no tensor of the model", id="unknown name"),
        pytest.param(state(f6=0) + VALUE, "type 0 is unknown", id="type"),
        pytest.param(state(f7="") + VALUE, "sequence_axis None", id="no axis"),
        pytest.param(state(f7=4) + VALUE, "sequence_axis 4", id="axis outside"),
        pytest.param(state(f7=-1) + VALUE, "sequence_axis -1", id="negative axis"),
        pytest.param(state(f7=1) + VALUE, "64 long, others 2", id="another axis"),
    ],
)
def test_refuses_state_buffers(refused: Refused, buffers: bytes, problem: str) -> None:
    """State buffers fit the graphs of the language model, all of them and each once."""
    executor = Part("executor_metadata", proto((1, buffers)))
    assert problem in str(refused(container([*parts(), executor])))


def kv(context: int) -> dict[str, tuple[int, ...]]:
    """The KV cache of a model with one layer."""
    return {"kv_cache_k_0": (1, 2, context, 8), "kv_cache_v_0": (1, 2, 8, context)}


SLICES = {"kv_slice_k_0": (1, 2, 1, 8), "kv_slice_v_0": (1, 2, 8, 1)}
SEVERAL_LENGTHS = tflite(
    {
        f"{graph}_cache_{length}": ({"tokens": (1, 1), **kv(length)}, kv(length))
        for length in (32, 64)
        for graph in ("prefill_16", "decode")
    }
)
UPDATED_ELSEWHERE = tflite({key: ({"tokens": (1, 1), **kv(64)}, SLICES) for key in ("prefill_16", "decode")})


@pytest.mark.parametrize(
    ("graphs", "key", "problem"),
    [
        pytest.param(SEVERAL_LENGTHS, "prefill_16_cache_32", "one of several lengths", id="several lengths"),
        pytest.param(UPDATED_ELSEWHERE, "prefill_16", "to another graph", id="updated elsewhere"),
    ],
)
def test_whole_files_of_other_layouts(refused: Refused, graphs: bytes, key: str, problem: str) -> None:
    """They are not called damaged: the signature is named that no engine here runs."""
    executor = Part("executor_metadata", proto((1, state() + VALUE)))
    sections = parts()
    sections[2].data = graphs
    error = refused(container([*sections, executor]))
    assert isinstance(error, ModelLayoutError)
    assert error.place.startswith("section 2 (tf_lite_prefill_decode), bytes")
    assert error.place.endswith(f"signature {key!r}")
    assert problem in error.problem
    assert "damaged" not in str(error)


def test_a_state_buffer_of_another_length_is_damage(refused: Refused) -> None:
    """Where the graphs do not say that it is meant so."""
    graphs = {
        "prefill_16": ({"tokens": (1, 16), **kv(32)}, kv(32)),
        "decode": ({"tokens": (1, 1), **kv(64)}, {**kv(64), "logits": (1, 1, 32)}),
    }
    executor = Part("executor_metadata", proto((1, state(f6=1, f7=3) + VALUE)))
    sections = parts()
    sections[2].data = tflite(graphs)
    error = refused(container([*sections, executor]))
    assert not isinstance(error, ModelLayoutError)
    assert "damaged" in str(error)


def test_context_length(tmp_path: Path) -> None:
    """It is what the metadata says, but never more than the KV cache holds."""
    path = tmp_path / "model.litertlm"
    executor = Part("executor_metadata", proto((1, state() + VALUE)))
    for said, expected in ((0, 64), (48, 48), (64, 64), (4096, 64)):
        first, *others = parts()
        first.data = proto(containers.STOP, (5, said), (6, proto((8, b""))))
        for extra in ([], [executor]):
            path.write_bytes(container([first, *others, *extra]))
            assert modelfile.describe(path).max_context == expected


def test_metadata_in_the_description(tmp_path: Path) -> None:
    """Sampler, tokens, channels and abilities are described."""
    path = tmp_path / "model.litertlm"
    sampler = proto((1, 2), (2, 40), (3, 0.5), (4, 1.0), (5, 7))
    fields = [(1, TEXT_TOKEN), (2, TEXT_TOKEN), (4, sampler), (8, proto((1, "thought"))), (14, "0.12.0")]
    path.write_bytes(with_part(0, data=llm_metadata(*fields)))
    found = modelfile.describe(path)
    assert found.sampler == modelfile.SamplerDefaults("top_p", 40, 0.5, 1.0, 7)
    assert (found.start_token, found.stop_tokens, found.channels) == ("<x>", ((1,), "<x>"), ("thought",))
    assert (found.supports_thinking, found.supports_tools, found.min_runtime_version) == (
        True,
        False,
        "0.12.0",
    )
    path.write_bytes(with_part(0, data=llm_metadata(*fields, (11, 0), (12, 1))))
    found = modelfile.describe(path)
    assert (found.supports_thinking, found.supports_tools) == (False, True)


@given(st.sampled_from((0, 1, 2)), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_edit_of_a_part(tmp_path: Path, number: int, edits: list[tuple[int, int]]) -> None:
    """Whatever happens to the bytes of a part, the file opens or raises a ModelFileError with a place."""
    data = bytearray(parts()[number].data)
    for at, value in edits:
        data[at % len(data)] = value
    path = tmp_path / "edited.litertlm"
    path.write_bytes(with_part(number, data=bytes(data)))
    try:
        modelfile.describe(path)
    except ModelFileError as error:
        assert error.place
        assert json.dumps(str(error))
