"""Write the weights of a checkpoint in llama.cpp's format.

The names and the turned rows follow llama.cpp's own conversion: Gemma's norms are stored as their factor,
and the query and key rows of Llama and SmolLM3 are put in the order of its interleaved rotation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors import safe_open
from transformers import AutoConfig, PreTrainedTokenizerFast

from models.random_model.families import FAMILIES, Vocabulary
from models.random_model.shapes import Shape
from models.random_model.vocabulary import BYTES

_PRE_TOKENIZER = {"qwen3": "qwen2", "qwen2": "qwen2", "llama": "llama-bpe", "smollm3": "smaug-bpe"}
"""llama.cpp knows how a byte-level vocabulary splits text by name only."""


def write_gguf(shape: Shape, weight_type: str, checkpoint: Path, out_file: Path) -> None:
    """Quantise the matrices of `checkpoint` to `weight_type` ("Q8_0", ...) and write `out_file`."""
    family = FAMILIES[shape.family]
    config = AutoConfig.from_pretrained(checkpoint)
    writer = gguf.GGUFWriter(out_file, family.gguf)
    writer.add_name(shape.name)
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{weight_type}" if weight_type != "F32" else "ALL_F32"])
    _add_sizes(writer, shape, config)
    _add_vocabulary(writer, shape.family, family.vocabulary, checkpoint)
    _add_weights(writer, shape.family, config, checkpoint, gguf.GGMLQuantizationType[weight_type])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file(progress=True)
    writer.close()


def _add_sizes(writer: gguf.GGUFWriter, shape: Shape, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(shape.vocab)
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope.get("full_attention", rope)["rope_theta"])
    if shape.family in ("gemma2", "gemma3"):
        writer.add_sliding_window(config.sliding_window)
        writer.add_array(
            f"{FAMILIES[shape.family].gguf}.attention.sliding_window_pattern",
            [kind == "sliding_attention" for kind in config.layer_types],
        )
    if shape.family == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if shape.family == "phi3":
        writer.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)


def _add_vocabulary(writer: gguf.GGUFWriter, name: str, vocabulary: Vocabulary, checkpoint: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint)
    ids = tokenizer.get_vocab()
    tokens = sorted(ids, key=ids.__getitem__)
    kinds = {
        **dict.fromkeys(vocabulary.all_special, gguf.TokenType.CONTROL),
        **dict.fromkeys(vocabulary.plain, gguf.TokenType.USER_DEFINED),
    }
    byte_level = vocabulary.kind == "byte-level"
    if byte_level:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(_PRE_TOKENIZER[name])
        state = json.loads((checkpoint / "tokenizer.json").read_text())
        writer.add_token_merges([" ".join(pair) for pair in state["model"]["merges"]])
    else:
        kinds |= {"<unk>": gguf.TokenType.UNKNOWN, **dict.fromkeys(BYTES, gguf.TokenType.BYTE)}
        writer.add_tokenizer_model("llama")
        writer.add_token_scores([0.0 if token in kinds else -float(i) for i, token in enumerate(tokens)])
        writer.add_add_space_prefix(vocabulary.leading_space)
    writer.add_token_list(tokens)
    writer.add_token_types([kinds.get(token, gguf.TokenType.NORMAL) for token in tokens])
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.convert_tokens_to_ids(vocabulary.stops[0]))
    writer.add_pad_token_id(tokenizer.pad_token_id or 0)
    writer.add_add_bos_token(vocabulary.starts_with_bos)
    writer.add_chat_template(tokenizer.chat_template)


def _add_weights(
    writer: gguf.GGUFWriter,
    family: str,
    config: Any,
    checkpoint: Path,
    weight_type: gguf.GGMLQuantizationType,
) -> None:
    architectures = {name: architecture for architecture, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(architectures[FAMILIES[family].gguf], config.num_hidden_layers)
    for name, tensor in _tensors(checkpoint):
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise ValueError(f"llama.cpp has no name for {name}")
        values = np.ascontiguousarray(_as_llama_cpp_wants(family, config, name, tensor.float().numpy()))
        kind = weight_type if values.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(target, gguf.quantize(values, kind), raw_dtype=kind)


def _tensors(checkpoint: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for file in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118 - not a mapping
                yield name, weights.get_tensor(name)


def _as_llama_cpp_wants(
    family: str, config: Any, name: str, values: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    if family in ("gemma2", "gemma3") and name.endswith("norm.weight"):
        return values + 1
    if family in ("llama", "smollm3") and name.endswith(("q_proj.weight", "k_proj.weight")):
        heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
        rows, columns = values.shape
        values = values.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    return values
