"""How weights are quantised and graphs are cut: our names, and the arguments of the exporter behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Quantisation:
    """One way to store the weights.

    Args:
        recipe: Its name in ai-edge-quantizer, `none` for float.
        gguf: The nearest type of llama.cpp.
    """

    recipe: str
    gguf: str


QUANTISATIONS: Mapping[str, Quantisation] = {
    "float": Quantisation("none", "F32"),
    "int8": Quantisation("dynamic_wi8_afp32", "Q8_0"),
    "int4": Quantisation("dynamic_wi4_afp32", "Q4_0"),
    "int2": Quantisation("dynamic_wi2c_afp32", "Q4_0"),
    "int4-block32": Quantisation("dynamic_wi4b32_afp32", "Q4_0"),
    "int4-block64": Quantisation("dynamic_wi4b64_afp32", "Q4_0"),
    "int8-hadamard": Quantisation("dynamic_wi8c_hr_afp32", "Q8_0"),
    "int4-hadamard": Quantisation("dynamic_wi4c_hr_afp32", "Q4_0"),
    "int8-weight-only": Quantisation("weight_only_wi8_afp32", "Q8_0"),
    "int4-weight-only": Quantisation("weight_only_wi4_afp32", "Q4_0"),
}

PLAIN = "plain"

LAYOUTS: Mapping[str, Mapping[str, Any]] = {
    PLAIN: {},
    "embedder": {"externalize_embedder": True, "single_token_embedder": True},
    "caches": {"cache_lengths": [256, 512]},
    "gpu": {"apply_gpu_composites": True},
    "gpu-sdpa": {"use_sdpa_composite": True, "use_rope_composite": True},
    "ring": {"sliding_window_ring_buffer_size": 64},
    "gpu-ring": {
        "apply_gpu_composites": True,
        "use_fused_sdpa_cache_update": True,
        "sliding_window_ring_buffer_size": 64,
    },
    "split": {"split_cache": True},
}
"""Extra arguments of the exporter. `plain` is what it does by itself."""
