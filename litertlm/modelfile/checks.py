"""Whether the parts of a model make sense, each and together.

The rules are what the engine was seen to need: without them it refuses the model in words that name no place,
fails in the first turn, or ends the process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from litertlm.errors import ModelFileError, ModelLayoutError
from litertlm.modelfile.description import Section
from litertlm.modelfile.metadata import POOLING, family
from litertlm.modelfile.protobuf import Message
from litertlm.modelfile.source import place, refuse
from litertlm.modelfile.tflite import Graphs, Shape

__all__ = [
    "DECODER",
    "check_executor",
    "check_graphs",
    "check_layout",
    "check_metadata",
    "check_sections",
    "section_name",
]

DECODER = "tf_lite_prefill_decode"

_MODEL_TYPES = frozenset(
    f"tf_lite_{name}"
    for name in (
        "prefill_decode",
        "embedder",
        "per_layer_embedder",
        "aux",
        "audio_encoder_hw",
        "end_of_audio",
        "vision_adapter",
        "vision_encoder",
        "audio_frontend",
        "audio_adapter",
        "artisan_text_decoder",
        "end_of_vision",
        "mtp_drafter",
        "mtp_aux",
        "text_encoder",
    )
)
_NEEDS = (
    ("tf_lite_vision_adapter", "tf_lite_vision_encoder"),
    ("tf_lite_end_of_vision", "tf_lite_vision_encoder"),
    ("tf_lite_audio_adapter", "tf_lite_audio_encoder_hw"),
    ("tf_lite_end_of_audio", "tf_lite_audio_encoder_hw"),
    ("tf_lite_mtp_aux", "tf_lite_mtp_drafter"),
)
_BACKENDS = frozenset(
    ("cpu", "gpu", "npu", "gpu_artisan", "cpu_artisan", "google_tensor_artisan", "tensor_llm")
)
_MEDIA_TOKENS = (
    "start_of_image_token",
    "end_of_image_token",
    "start_of_audio_token",
    "end_of_audio_token",
)
_SAMPLER_RANGES = {"type": 3, "backend": 2, "k": 1 << 31, "p": 1.0, "temperature": 1e6}
_IMAGE_RANGES = {
    "patch_width": 4096,
    "patch_height": 4096,
    "max_num_patches": 1 << 20,
    "pooling_kernel_size": 256,
}
_STATE_NAMES = ("prefill_input_name", "prefill_output_name", "decode_input_name", "decode_output_name")
_LINEAR_ATTENTION = 5
_ONE_OF_SEVERAL = re.compile(r"(prefill_\d+|decode)_cache_\d+")
_ANOTHER_EXPORT = "Use another file of the model, whose graph 'decode' updates its KV cache itself."


def section_name(number: int, section: Section) -> str:
    """Name a section for messages; they are counted from 0."""
    return f"section {number} ({section.model_type or section.kind})"


def check_sections(sections: Sequence[Section]) -> None:
    """Refuse unknown models, doubles, and a file without the parts that every language model has."""
    seen: dict[tuple[str, str], int] = {}
    for number, section in enumerate(sections):
        if section.kind in ("tflite_model", "tflite_weights"):
            if section.model_type not in _MODEL_TYPES:
                _refuse_section(number, section, f"its model_type {section.model_type!r} is unknown")
            backends = section.attributes.get("backend_constraint", "cpu")
            if (
                not isinstance(backends, str)
                or not {backend.strip().lower() for backend in backends.split(",")} <= _BACKENDS
            ):
                _refuse_section(number, section, f"its backend_constraint {backends!r} is unknown")
        if section.kind in ("generic", "deprecated", "unknown"):
            if section.model_type:
                _refuse_section(number, section, f"is {section.kind}, but has a model_type")
        else:
            first = seen.setdefault((section.kind, section.model_type), number)
            if first != number:
                _refuse_section(number, section, f"is there twice, it is section {first} already")
    kinds = {section.kind for section in sections}
    models = {section.model_type for section in sections if section.kind == "tflite_model"}
    if "llm_metadata" not in kinds:
        _missing("an embedding model, not a language model" if "embedding_metadata" in kinds else "")
        _missing("no metadata section (llm_metadata)")
    if DECODER not in models:
        _missing(f"no language model section ({DECODER})")
    if not any(
        section.kind in ("hf_tokenizer", "sp_tokenizer") and section.model_type in ("", DECODER)
        for section in sections
    ):
        _missing("no tokenizer section")
    for one, other in _NEEDS:
        if one in models and other not in models:
            _missing(f"a section {one}, but no {other}")


def check_metadata(metadata: Message, number: int, section: Section) -> None:
    """Refuse settings that the engine cannot use."""

    def bad(field: str, problem: str) -> NoReturn:
        refuse(section_name(number, section), section.begin, section.end, problem, what=field)

    if "llm_model_type" in metadata and not metadata["llm_model_type"]:
        where = place(section_name(number, section), section.begin, section.end, "llm_model_type")
        raise ModelFileError("the model's family is unknown", place=where, hint="Upgrade litertlm.")
    # A start token that is no token ends the process, no stop tokens at all only the first conversation.
    if "start_token" in metadata and not _names_token(metadata["start_token"]):
        bad("start_token", "is empty")
    if not any(_names_token(token) for token in metadata.get("stop_tokens", ())):
        bad("stop_tokens", "there is none")
    pad = metadata.get("pad_token", {})
    if pad.get("token_str") == "" or len(pad.get("token_ids", {}).get("ids", ())) > 1:
        bad("pad_token", "is not one token")
    if metadata.get("max_num_tokens", 0) < 0:
        bad("max_num_tokens", f"{metadata['max_num_tokens']} is negative")
    for channel in metadata.get("channels", ()):
        if not channel.get("channel_name"):
            bad("channels", "one has no name")
    _check_sampler(metadata.get("sampler_params", {}), bad)
    name, settings = family(metadata)
    for field in _MEDIA_TOKENS if name != "generic_model" else ():
        if field in settings and "token_str" not in settings[field]:
            bad(f"{name}.{field}", "is not a text")
    for field, most in _IMAGE_RANGES.items():
        value = settings.get(field, 0)
        if not 0 <= value <= most:
            bad(f"{name}.{field}", f"{value} is {'negative' if value < 0 else 'out of range'}")
    if settings.get("patch_width") != settings.get("patch_height"):
        bad(f"{name}.patch_width", "is not the patch_height, patches must be square")


def check_layout(decoder: Graphs, number: int, section: Section) -> None:
    """Refuse a language model whose state buffers are right, but not for graphs that an engine here runs.

    The exporter has two such layouts: graphs for each of several lengths of the KV cache, and graphs that
    leave its update to those of another section. The official engine takes neither on a CPU.

    Raises:
        ModelLayoutError: It is of one of them.
    """

    def unsupported(key: str, problem: str) -> NoReturn:
        where = place(section_name(number, section), section.begin, section.end, f"signature {key!r}")
        raise ModelLayoutError(problem, place=where, hint=_ANOTHER_EXPORT)

    for key, signature in decoder.signatures.items():
        if "decode" not in decoder.signatures and _ONE_OF_SEVERAL.fullmatch(key):
            unsupported(key, "is for one of several lengths of the KV cache, which is not supported")
        if any(name.startswith("kv_slice") for name in signature.outputs):
            unsupported(key, "leaves the update of the KV cache to another graph, which is not supported")


def check_executor(executor: Message, decoder: Graphs, number: int, section: Section) -> None:
    """Refuse state buffers that do not fit the graphs of the language model."""

    def bad(which: int, problem: str) -> NoReturn:
        what = f"state buffer {which}" if which >= 0 else "state_buffers"
        refuse(section_name(number, section), section.begin, section.end, problem, what=what)

    buffers: list[dict[str, Any]] = executor.get("llm_executor_metadata", {}).get("state_buffers", [])
    if not buffers:
        bad(-1, "there are none")
    sides = _state_tensors(decoder)
    names: set[str] = set()
    lengths: dict[int, int] = {}
    for which, buffer in enumerate(buffers):
        name = buffer.get(_STATE_NAMES[0], "")
        for field in _STATE_NAMES:
            if buffer.get(field, "") != name:
                bad(which, f"{field} {buffer.get(field, '')!r} differs from {name!r}")
            if not all(name in tensors for tensors in sides[field]):
                bad(which, f"{field} {name!r} is no tensor of the model")
        if name in names:
            bad(which, f"{name!r} is given twice")
        names.add(name)
        kind = buffer.get("type", 0)
        if not 1 <= kind <= _LINEAR_ATTENTION:
            bad(which, f"type {kind} is unknown")
        if kind == _LINEAR_ATTENTION:
            continue
        axis = buffer.get("sequence_axis")
        shapes = [tensors[name] for tensors in sides["decode_input_name"]]
        if axis is None or not all(0 <= axis < len(shape) for shape in shapes):
            bad(which, f"sequence_axis {axis} is no axis of {name!r}")
        for shape in shapes:
            if kind in (1, 2) and lengths.setdefault(kind > 2, shape[axis]) != shape[axis]:
                bad(which, f"axis {axis} of {name!r} is {shape[axis]} long, others {lengths[False]}")
    for field in ("prefill_output_name", "decode_output_name"):
        for tensors in sides[field]:
            for name in tensors:
                if name.startswith("kv_cache") and name not in names:
                    bad(-1, f"{name!r} is not among them")


def check_graphs(graphs: Mapping[str, Graphs], metadata: Message) -> None:
    """Refuse a language model without the embedders it needs, and an image size its encoder does not have."""
    inputs = {name for signature in graphs[DECODER].signatures.values() for name in signature.inputs}
    for name, model in (
        ("embeddings", "tf_lite_embedder"),
        ("per_layer_embeddings", "tf_lite_per_layer_embedder"),
    ):
        if name in inputs and model not in graphs:
            _missing(f"a language model that takes {name}, but no {model}")
    settings = family(metadata)[1]
    longest = max(image_lengths(graphs), default=0)
    pooling = settings.get("pooling_kernel_size") or POOLING
    tokens = settings.get("max_num_patches", 0) // (pooling * pooling)
    if longest and tokens > longest:
        _missing(f"images of {tokens} tokens, but an encoder for at most {longest}")


def image_lengths(graphs: Mapping[str, Graphs]) -> list[int]:
    """Return how many tokens an image can take, for each signature that makes some, if that is fixed."""
    for model in ("tf_lite_vision_adapter", "tf_lite_vision_encoder"):
        if model in graphs:
            outputs = [signature.outputs for signature in graphs[model].signatures.values()]
            shapes = [shape for shapes in outputs for shape in shapes.values()]
            return [shape[1] for shape in shapes if len(shape) == 3 and shape[1] > 0]
    return []


def _state_tensors(decoder: Graphs) -> dict[str, list[Mapping[str, Shape]]]:
    """Return by field of a state buffer: the inputs or outputs among which its name must be."""
    prefill = [signature for key, signature in decoder.signatures.items() if key.startswith("prefill")]
    decode = [signature for key, signature in decoder.signatures.items() if key.startswith("decode")]
    return {
        "prefill_input_name": [signature.inputs for signature in prefill],
        "prefill_output_name": [signature.outputs for signature in prefill],
        "decode_input_name": [signature.inputs for signature in decode],
        "decode_output_name": [signature.outputs for signature in decode],
    }


def _names_token(union: Message) -> bool:
    return bool(union.get("token_str") or union.get("token_ids", {}).get("ids"))


def _check_sampler(params: Message, bad: Callable[[str, str], NoReturn]) -> None:
    for field, most in _SAMPLER_RANGES.items():
        value = params.get(field, 0)
        if not 0 <= value <= most:  # NaN is not either
            bad(f"sampler_params.{field}", f"{value} is out of range")


def _refuse_section(number: int, section: Section, problem: str) -> NoReturn:
    refuse(section_name(number, section), section.begin, section.end, problem)


def _missing(problem: str) -> None:
    if problem:
        raise ModelFileError(f"the file has {problem}", place="header, section table")
