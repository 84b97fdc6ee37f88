"""What the metadata means."""

from __future__ import annotations

import re
from typing import Any, Literal, cast

from litertlm.modelfile.description import SamplerDefaults, Token
from litertlm.modelfile.protobuf import Message

__all__ = [
    "POOLING",
    "channels",
    "family",
    "image_tokens",
    "sampler",
    "supports_thinking",
    "supports_tools",
    "token",
]

POOLING = 3
"""How many patches in each direction become one image token, when the metadata does not say."""


def family(metadata: Message) -> tuple[str, Message]:
    """Return the family of the model and its settings; a file that names none is a generic model."""
    for name, settings in metadata.get("llm_model_type", {}).items():
        return name, settings
    return "generic_model", {}


def token(union: Message | None) -> Token | None:
    """Return the text or the ids of a token."""
    if not union:
        return None
    if "token_str" in union:
        return cast(str, union["token_str"])
    return tuple(union.get("token_ids", {}).get("ids", ()))


def sampler(metadata: Message) -> SamplerDefaults | None:
    """Return the sampler defaults; numbers that the file leaves at zero count as unset, except for greedy."""
    params: dict[str, Any] = metadata.get("sampler_params", {})
    kinds: dict[int, Literal["top_k", "top_p", "greedy"]] = {1: "top_k", 2: "top_p", 3: "greedy"}
    kind = kinds.get(params.get("type", 0))
    if kind is None:
        return None
    return SamplerDefaults(
        kind, params.get("k") or None, params.get("p") or None, params.get("temperature"), params.get("seed")
    )


def channels(metadata: Message) -> tuple[str, ...]:
    """Return the names of the channels."""
    return tuple(channel.get("channel_name", "") for channel in metadata.get("channels", ()))


def supports_thinking(metadata: Message) -> bool:
    """Return what the metadata says; older files do not say it, but a reasoning channel does."""
    if "supports_thinking" in metadata:
        return bool(metadata["supports_thinking"])
    return any(
        channel.get("is_reasoning_channel") or channel.get("channel_name") in ("thought", "thinking")
        for channel in metadata.get("channels", ())
    )


def supports_tools(metadata: Message) -> bool:
    """Return what the metadata says; older files do not say it, but a template that renders tools does."""
    if "supports_function_calling" in metadata:
        return bool(metadata["supports_function_calling"])
    renders = re.search(r"\btools\b", metadata.get("jinja_prompt_template", "")) is not None
    return renders and family(metadata)[0] != "generic_model"


def image_tokens(metadata: Message) -> int | None:
    """Return the most tokens an image takes: patches, pooled in squares; None when it is not said."""
    settings = family(metadata)[1]
    patches, pooling = settings.get("max_num_patches", 0), settings.get("pooling_kernel_size") or POOLING
    return int(patches // (pooling * pooling)) or None
