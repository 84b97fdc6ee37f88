"""The sizes that can be built. Pure data: importing it needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """One network.

    Args:
        name: As on the command line; a slash makes a folder.
        family: Key of `FAMILIES`.
        vocab: Tokens, special ones included.
        context: Length of the exported KV cache.
        prefill: Lengths of the exported prefill graphs.
        network: Arguments of the family's configuration class; for Gemma 4, of its text part.
    """

    name: str
    family: str
    vocab: int
    context: int
    prefill: tuple[int, ...]
    network: Mapping[str, Any]


def _sizes(layers: int, hidden: int, mlp: int, heads: int, kv_heads: int, head_dim: int) -> dict[str, int]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
    }


def _rope(theta: float) -> dict[str, Any]:
    return {"rope_theta": theta, "rope_type": "default"}


def _windows(layers: int, full_every: int) -> list[str]:
    """Sliding attention, and full attention in each `full_every`-th layer."""
    return ["sliding_attention" if (i + 1) % full_every else "full_attention" for i in range(layers)]


_GEMMA3_ROPE = {"sliding_attention": _rope(1e4), "full_attention": _rope(1e6)}


def _gemma3(layers: int, hidden: int, mlp: int, heads: int, head_dim: int, window: int) -> dict[str, Any]:
    return {
        **_sizes(layers, hidden, mlp, heads, 1, head_dim),
        "query_pre_attn_scalar": head_dim,
        "sliding_window": window,
        "layer_types": _windows(layers, 6 if layers > 6 else 3),
        "rope_parameters": _GEMMA3_ROPE,
    }


def _gemma4(
    layers: int, hidden: int, mlp: int, heads: int, head_dim: int, window: int, *, per_layer: int, shared: int
) -> dict[str, Any]:
    return {
        **_sizes(layers, hidden, mlp, heads, 1, head_dim),
        "global_head_dim": 2 * head_dim,
        "sliding_window": window,
        "layer_types": _windows(layers, 5 if layers > 6 else 3),
        "hidden_size_per_layer_input": per_layer,
        "num_kv_shared_layers": shared,
    }


def _tiny(name: str, family: str, network: Mapping[str, Any], *, vocab: int = 2048) -> Shape:
    return Shape(f"tiny/{name}", family, vocab, 512, (64,), network)


_SMALL = _sizes(4, 128, 256, 4, 2, 32)

_SHAPES = (
    _tiny("qwen3", "qwen3", {**_SMALL, "rope_parameters": _rope(1e6), "tie_word_embeddings": True}),
    _tiny("qwen2", "qwen2", {**_SMALL, "rope_parameters": _rope(1e6), "tie_word_embeddings": False}),
    _tiny("llama", "llama", {**_SMALL, "rope_parameters": _rope(5e5), "tie_word_embeddings": True}),
    _tiny("phi3", "phi3", {**_SMALL, "rope_parameters": _rope(1e4)}),
    _tiny("smollm3", "smollm3", {**_SMALL, "rope_parameters": _rope(5e6), "no_rope_layer_interval": 4}),
    _tiny("mistral", "mistral", {**_SMALL, "rope_parameters": _rope(1e4), "sliding_window": 32}),
    _tiny(
        "gemma2",
        "gemma2",
        {
            **_SMALL,
            "sliding_window": 32,
            "query_pre_attn_scalar": 32,
            # The published 50 and 30 would never bend scores and logits as small as random weights make.
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 5.0,
        },
    ),
    _tiny("gemma3", "gemma3", _gemma3(6, 128, 256, 4, 32, window=32)),
    _tiny("gemma4", "gemma4", _gemma4(6, 128, 256, 4, 32, window=32, per_layer=0, shared=0)),
    _tiny("gemma4-ple", "gemma4", _gemma4(6, 128, 256, 4, 32, window=32, per_layer=32, shared=3)),
    _tiny("lfm2", "lfm2", {**_SMALL, "layer_types": ["conv", "full_attention"] * 2}),
    _tiny(
        "qwen3_5",
        "qwen3_5",
        {
            **_SMALL,
            "linear_key_head_dim": 32,
            "linear_value_head_dim": 32,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "layer_types": ["linear_attention"] * 3 + ["full_attention"],
        },
    ),
    Shape(
        "qwen3-0.6b",
        "qwen3",
        151_936,
        4096,
        (128,),
        {**_sizes(28, 1024, 3072, 16, 8, 128), "rope_parameters": _rope(1e6), "tie_word_embeddings": True},
    ),
    Shape("gemma3-270m", "gemma3", 262_144, 4096, (128,), _gemma3(18, 640, 2048, 4, 256, window=512)),
    Shape("gemma3-1b", "gemma3", 262_144, 4096, (128,), _gemma3(26, 1152, 6912, 4, 256, window=512)),
    Shape(
        "llama-1b",
        "llama",
        128_256,
        4096,
        (128,),
        {**_sizes(16, 2048, 8192, 32, 8, 64), "rope_parameters": _rope(5e5), "tie_word_embeddings": True},
    ),
    # Gemma 4 E2B with its proportions, at a third of its size.
    Shape(
        "gemma4-e2b-like",
        "gemma4",
        131_072,
        2048,
        (128,),
        _gemma4(20, 1024, 4096, 8, 128, window=512, per_layer=128, shared=10),
    ),
)

SHAPES: Mapping[str, Shape] = {shape.name: shape for shape in _SHAPES}
