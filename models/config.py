"""The shape of the bundled model and its special tokens, in one place.

The engine's exporter fixes part of the shape (see the comments); the rest is chosen so that the int8
file stays under 8 MB and the whole recipe runs on two CPU cores in under two hours.
"""

from __future__ import annotations

from dataclasses import dataclass

MODEL_NAME = "litertlm-tiny"

CONTROL = {
    "pad_token": "<pad>",
    "eos_token": "<eos>",
    "bos_token": "<bos>",
    "unk_token": "<unk>",
}
"""The four tokens every tokenizer has; their ids are 0, 1, 2, 3."""

MARKERS = {
    "image_token": "<|image|>",
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "audio_token": "<|audio|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
    "sot_token": "<|turn>",
    "eot_token": "<turn|>",
    "soc_token": "<|channel>",
    "eoc_token": "<channel|>",
    "std_token": "<|tool>",
    "etd_token": "<tool|>",
    "stc_token": "<|tool_call>",
    "etc_token": "<tool_call|>",
    "str_token": "<|tool_response>",
    "etr_token": "<tool_response|>",
    "escape_token": '<|"|>',
    "think_token": "<|think|>",
}
"""The Gemma 4 markers. The exporter finds them by these keys in the tokenizer's special token map."""

VIDEO_MARKER = "<|video|>"


@dataclass(frozen=True)
class Shape:
    """Sizes of the network."""

    vocab: int = 2048
    context: int = 2048
    prefill: int = 128

    hidden: int = 192
    mlp: int = 512
    layers: int = 6
    heads: int = 6
    kv_heads: int = 2
    head_dim: int = 32
    sliding_window: int = 512

    patch: int = 8
    soft_tokens: int = 70
    vision_layers: int = 2
    vision_mlp: int = 256
    vision_heads: int = 4
    vision_positions: int = 256

    audio_hidden: int = 64
    audio_layers: int = 2
    audio_heads: int = 4
    audio_channels: int = 8

    @property
    def vision_hidden(self) -> int:
        """The exporter feeds the vision adapter patch-sized rows, so the two must agree."""
        return self.patch * self.patch * 3

    @property
    def layer_types(self) -> list[str]:
        """Sliding and full attention in turn; the last layer has to be a full one."""
        return ["full_attention" if i % 2 else "sliding_attention" for i in range(self.layers)]


AUDIO_ADAPTER_WIDTH = 1536
"""Width of the rows the exported audio adapter takes; fixed by the exporter."""

MEL_BINS = 128
"""The first audio convolution must have as many channels as there are mel bins."""

AUDIO_RATE = 16_000

SAMPLER = {"k": 40, "p": 0.95, "temperature": 0.1}
"""Default sampling, written into the model file: sane answers without being a greedy decoder."""

SHAPE = Shape()
