"""What the architectures have in common with the published models: network class, tokens, chat template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from models.config import CONTROL, MARKERS, VIDEO_MARKER

TokenizerKind = Literal["byte-level", "byte-fallback", "sentencepiece"]


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of one family.

    Args:
        kind: Byte-level BPE as in GPT-2 and Qwen, or BPE over characters with byte tokens as in Gemma; the
            latter is shipped as a `tokenizer.json` or as a SentencePiece model.
        control: Tokens with a role that Transformers knows (`bos_token`, ...).
        stops: Tokens that end a reply.
        special: More tokens that only the chat template may write.
        named: Special tokens with a name of their own, which the exporter looks up.
        plain: Tokens of their own that are ordinary text otherwise, such as `<think>`.
        starts_with_bos: Whether the tokenizer puts `bos_token` in front of every text.
        leading_space: Whether the tokenizer puts a space in front of every text.
    """

    kind: TokenizerKind
    control: Mapping[str, str]
    stops: tuple[str, ...]
    special: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    plain: tuple[str, ...] = ()
    starts_with_bos: bool = False
    leading_space: bool = False

    @property
    def all_special(self) -> tuple[str, ...]:
        """Every special token once, the ones with a role first."""
        return tuple(dict.fromkeys([*self.control.values(), *self.named.values(), *self.special]))


@dataclass(frozen=True)
class Family:
    """One architecture.

    Args:
        config_class: Name of the configuration class in Transformers.
        vocabulary: Its tokens.
        template: Its chat template, a file below `models/`.
        thinks: Whether the family has a thinking channel.
        calls_tools: Whether the template prints tools.
        gguf: The architecture's name in GGUF; None if there is no twin.
    """

    config_class: str
    vocabulary: Vocabulary
    template: str
    thinks: bool = False
    calls_tools: bool = False
    gguf: str | None = None


SENTENCEPIECE_FILE = "tokenizer.model"
"""Name of the SentencePiece model in a checkpoint."""

_TEMPLATES = "random_model/templates/"
_TOOL_FENCES = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
_THINK_FENCES = ("<think>", "</think>")
_PAD_EOS_BOS_UNK = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
_UNK_BOS_EOS = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}

_QWEN = Vocabulary(
    "byte-level",
    {"pad_token": "<|endoftext|>", "eos_token": "<|im_end|>"},
    stops=("<|im_end|>", "<|endoftext|>"),
    special=("<|im_start|>",),
    plain=_TOOL_FENCES,
)
_QWEN_THINKING = Vocabulary(
    "byte-level", _QWEN.control, _QWEN.stops, _QWEN.special, plain=_TOOL_FENCES + _THINK_FENCES
)
_GEMMA_TURNS = ("<start_of_turn>", "<end_of_turn>")

FAMILIES: Mapping[str, Family] = {
    "qwen3": Family(
        "Qwen3Config",
        _QWEN_THINKING,
        _TEMPLATES + "chatml.jinja",
        thinks=True,
        calls_tools=True,
        gguf="qwen3",
    ),
    "qwen2": Family("Qwen2Config", _QWEN, _TEMPLATES + "chatml.jinja", calls_tools=True, gguf="qwen2"),
    "qwen3_5": Family(
        "Qwen3_5TextConfig", _QWEN_THINKING, _TEMPLATES + "chatml.jinja", thinks=True, calls_tools=True
    ),
    "smollm3": Family(
        "SmolLM3Config",
        Vocabulary(
            "byte-level",
            {"pad_token": "<|end_of_text|>", "eos_token": "<|im_end|>"},
            stops=("<|im_end|>", "<|end_of_text|>"),
            special=("<|begin_of_text|>", "<|im_start|>"),
            plain=_TOOL_FENCES + _THINK_FENCES,
        ),
        _TEMPLATES + "chatml.jinja",
        thinks=True,
        calls_tools=True,
        gguf="smollm3",
    ),
    "lfm2": Family(
        "Lfm2Config",
        Vocabulary(
            "byte-level",
            {"pad_token": "<|pad|>", "bos_token": "<|startoftext|>", "eos_token": "<|im_end|>"},
            stops=("<|im_end|>", "<|endoftext|>"),
            special=("<|endoftext|>", "<|im_start|>", "<|tool_call_start|>", "<|tool_call_end|>"),
            starts_with_bos=True,
        ),
        _TEMPLATES + "lfm2.jinja",
        calls_tools=True,
    ),
    "llama": Family(
        "LlamaConfig",
        Vocabulary(
            "byte-level",
            {
                "bos_token": "<|begin_of_text|>",
                "eos_token": "<|eot_id|>",
                "pad_token": "<|finetune_right_pad_id|>",
            },
            stops=("<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"),
            special=(
                "<|end_of_text|>",
                "<|start_header_id|>",
                "<|end_header_id|>",
                "<|eom_id|>",
                "<|python_tag|>",
            ),
            starts_with_bos=True,
        ),
        _TEMPLATES + "llama3.jinja",
        calls_tools=True,
        gguf="llama",
    ),
    "mistral": Family(
        "MistralConfig",
        Vocabulary(
            "sentencepiece",
            _UNK_BOS_EOS,
            stops=("</s>",),
            special=(
                "[INST]",
                "[/INST]",
                "[AVAILABLE_TOOLS]",
                "[/AVAILABLE_TOOLS]",
                "[TOOL_CALLS]",
                "[TOOL_RESULTS]",
                "[/TOOL_RESULTS]",
            ),
            starts_with_bos=True,
            leading_space=True,
        ),
        _TEMPLATES + "mistral.jinja",
        calls_tools=True,
    ),
    "phi3": Family(
        "Phi3Config",
        Vocabulary(
            "sentencepiece",
            {**_UNK_BOS_EOS, "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"},
            stops=("<|end|>", "<|endoftext|>"),
            special=("</s>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
            starts_with_bos=True,
        ),
        _TEMPLATES + "phi3.jinja",
        gguf="phi3",
    ),
    "gemma2": Family(
        "Gemma2Config",
        Vocabulary(
            "sentencepiece",
            _PAD_EOS_BOS_UNK,
            stops=("<eos>", "<end_of_turn>"),
            special=_GEMMA_TURNS,
            starts_with_bos=True,
        ),
        _TEMPLATES + "gemma.jinja",
        gguf="gemma2",
    ),
    "gemma3": Family(
        "Gemma3TextConfig",
        Vocabulary(
            "byte-fallback",
            _PAD_EOS_BOS_UNK,
            stops=("<eos>", "<end_of_turn>"),
            special=_GEMMA_TURNS,
            starts_with_bos=True,
        ),
        _TEMPLATES + "gemma.jinja",
        calls_tools=True,
        gguf="gemma3",
    ),
    "gemma4": Family(
        "Gemma4Config",
        Vocabulary(
            "byte-fallback",
            CONTROL,
            stops=("<eos>", MARKERS["eot_token"], MARKERS["str_token"]),
            special=(VIDEO_MARKER,),
            named=MARKERS,
        ),
        "chat_template.jinja",
        thinks=True,
        calls_tools=True,
    ),
}
"""By the name that Transformers calls `model_type`."""
