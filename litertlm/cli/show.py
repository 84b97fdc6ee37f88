"""``litertlm show``: what a model file says about itself. No engine is needed."""

from __future__ import annotations

import dataclasses
import json
import sys
import textwrap
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from litertlm import ClientInfo, ModelDescription, describe
from litertlm.bundled import bundled_model
from litertlm.cli.exits import OK
from litertlm.cli.terminal import Paint, clean, size_text, speaks_unicode, width
from litertlm.loading import native_refusal

__all__ = ["engine_text", "show", "summary"]

_PARTS = {
    "tf_lite_prefill_decode": "language model",
    "tf_lite_embedder": "embeddings",
    "tf_lite_per_layer_embedder": "per-layer embeddings",
    "tf_lite_vision_encoder": "vision encoder",
    "tf_lite_vision_adapter": "vision adapter",
    "tf_lite_end_of_vision": "end of image",
    "tf_lite_audio_encoder_hw": "audio encoder",
    "tf_lite_audio_adapter": "audio adapter",
    "tf_lite_end_of_audio": "end of audio",
    "tf_lite_mtp_drafter": "drafter",
}
_KINDS = {
    "hf_tokenizer": "tokenizer",
    "sp_tokenizer": "tokenizer",
    "llm_metadata": "metadata",
    "executor_metadata": "executor settings",
}
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def show(arguments: Namespace) -> int:
    """Describe a model file.

    Returns:
        The exit status.

    Raises:
        ModelFileError: It is no model, or damaged.
    """
    description = describe(arguments.model if arguments.model is not None else bundled_model())
    if arguments.json:
        document = {**_as_json(description), "engine_reason": native_refusal(description.path)}
        print(json.dumps(document, ensure_ascii=False, indent=2))
    elif arguments.template:
        print(clean(description.chat_template, sys.stdout).rstrip("\n"))
    else:
        for line in _report(description):
            print(line)
    return OK


def engine_text(info: ClientInfo) -> str:
    """Which engine runs a model, and why that is not litertlm's own."""
    if info.engine == "native":
        return info.library
    because = f", because {info.engine_reason}" if info.engine_reason else ""
    return f"official engine {info.library_version or 'of unknown version'}{because}"


def summary(description: ModelDescription) -> list[tuple[str, str]]:
    """What matters most to the model's user: names and values."""
    takes = [
        {"text": "text", "image": "images", "audio": "audio"}.get(kind, kind)
        for kind in description.modalities
    ]
    if description.max_image_tokens and "images" in takes:
        takes[takes.index("images")] += f" (up to {description.max_image_tokens:,} tokens each)"
    channels = f" (channel {', '.join(description.channels)})" if description.channels else ""
    context = f"{description.max_context:,} tokens" if description.max_context else "the file does not say"
    return [
        ("Kind", f"{description.model_type}, {size_text(description.size)}"),
        ("Takes", ", ".join(takes)),
        ("Context", context),
        ("Thinking", f"yes{channels}" if description.supports_thinking else "no"),
        ("Tools", "yes" if description.supports_tools else "no"),
        ("Sampling", _sampling(description)),
        (
            "Tokenizer",
            {"huggingface": "Hugging Face", "sentencepiece": "SentencePiece"}[description.tokenizer],
        ),
    ]


def _sampling(description: ModelDescription) -> str:
    sampler = description.sampler
    if sampler is None:
        return "the file does not say"
    if sampler.kind == "greedy":
        return "greedy"
    values = {
        "temperature": sampler.temperature,
        "top-k": sampler.top_k,
        "top-p": sampler.top_p,
        "seed": sampler.seed,
    }
    return (
        ", ".join(f"{name} {value:.4g}" for name, value in values.items() if value is not None)
        or sampler.kind
    )


def _report(description: ModelDescription) -> Iterator[str]:
    paint = Paint(sys.stdout)
    columns = width()
    yield paint.bold(clean(Path(description.path).name, sys.stdout))
    facts = summary(description)
    refusal = native_refusal(description.path)
    facts.append(("Engine", "litertlm's own" if refusal is None else f"the official one: {refusal}"))
    facts.append(("Stops at", _stops(description)))
    facts += [(_title(name), str(value)) for name, value in description.properties.items()]
    if description.min_runtime_version:
        facts.append(("Needs", f"engine {description.min_runtime_version} or later"))
    label = min(24, max(len(name) for name, _ in facts)) + 2
    for name, value in facts:
        lines = textwrap.wrap(clean(value, sys.stdout), max(20, columns - label - 2)) or [""]
        for count, line in enumerate(lines):
            head = clean(name, sys.stdout) if count == 0 else ""
            yield f"  {paint.dim(f'{head:<{label}}')}{line}"
    yield ""
    yield from _sections(description, paint, columns)


def _sections(description: ModelDescription, paint: Paint, columns: int) -> Iterator[str]:
    names = [
        clean(
            _PARTS.get(section.model_type) or section.model_type or _KINDS.get(section.kind, section.kind),
            sys.stdout,
        )
        for section in description.sections
    ]
    label = min(max(map(len, names), default=0), max(12, columns - 30))
    room = max(0, min(30, columns - label - 22))
    total = sum(section.size for section in description.sections) or 1
    for name, section in zip(names, description.sections, strict=True):
        share = section.size / total
        bar = paint.cyan(_bar(share, room))
        yield f"  {name[:label]:<{label}}  {size_text(section.size):>9}  {share:>4.0%}  {bar}".rstrip()


def _bar(share: float, columns: int) -> str:
    if not speaks_unicode(sys.stdout):
        return "#" * round(share * columns)
    eighths = round(share * columns * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def _stops(description: ModelDescription) -> str:
    texts = [
        f"{token!r}" if isinstance(token, str) else f"#{' #'.join(map(str, token))}"
        for token in description.stop_tokens
    ]
    if len(texts) > 6:
        texts = [*texts[:5], f"and {len(texts) - 5} more"]
    return ", ".join(texts) or "the file does not say"


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize() if name != "uuid" else "UUID"


def _as_json(description: ModelDescription) -> dict[str, object]:
    plain = {field.name: getattr(description, field.name) for field in dataclasses.fields(description)}
    plain["sections"] = [
        {
            "kind": section.kind,
            "model_type": section.model_type,
            "begin": section.begin,
            "size": section.size,
            "attributes": dict(section.attributes),
        }
        for section in description.sections
    ]
    plain["sampler"] = dataclasses.asdict(description.sampler) if description.sampler else None
    plain["properties"] = dict(description.properties)
    return plain
