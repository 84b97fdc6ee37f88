"""Build the untrained Gemma 4 network and the files Hugging Face tools expect beside it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import (
    Gemma4AudioConfig,
    Gemma4Config,
    Gemma4ForConditionalGeneration,
    Gemma4TextConfig,
    Gemma4VisionConfig,
    GenerationConfig,
    PreTrainedTokenizerFast,
)

from models.config import (
    AUDIO_ADAPTER_WIDTH,
    AUDIO_RATE,
    CONTROL,
    MARKERS,
    MEL_BINS,
    VIDEO_MARKER,
    Shape,
)


def build_network(
    shape: Shape, tokenizer: PreTrainedTokenizerFast, seed: int = 0
) -> Gemma4ForConditionalGeneration:
    """Return the network with fresh, seeded weights."""
    torch.manual_seed(seed)
    network = Gemma4ForConditionalGeneration(_config(shape, tokenizer)).float()
    with torch.no_grad():
        # Hugging Face starts the position table at ones, which drowns the pixels.
        embedder = network.model.vision_tower.patch_embedder
        embedder.position_embedding_table.normal_(0, 0.02)
        embedder.input_proj.weight.normal_(0, 0.1)
    ids = _ids(tokenizer)
    network.generation_config = GenerationConfig(
        bos_token_id=ids["bos_token"],
        pad_token_id=ids["pad_token"],
        eos_token_id=[ids["eos_token"], ids["eot_token"], ids["str_token"]],
        do_sample=False,
    )
    return network


def write_processor_files(shape: Shape, folder: Path) -> None:
    """Write the image and sound preprocessing settings (one file serves both)."""
    settings = {
        "image_processor_type": "Gemma4ImageProcessor",
        "patch_size": shape.patch,
        "max_soft_tokens": shape.soft_tokens,
        "pooling_kernel_size": 3,
        "do_normalize": False,
        "do_rescale": True,
        "do_resize": True,
        "do_convert_rgb": True,
        "resample": 3,
        "feature_extractor_type": "Gemma4AudioFeatureExtractor",
        "feature_size": MEL_BINS,
        "sampling_rate": AUDIO_RATE,
        "padding_value": 0.0,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=1))


def _ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    return {k: tokenizer.convert_tokens_to_ids(v) for k, v in {**CONTROL, **MARKERS}.items()}


def _config(shape: Shape, tokenizer: PreTrainedTokenizerFast) -> Gemma4Config:
    ids = _ids(tokenizer)
    text = Gemma4TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        global_head_dim=shape.head_dim,
        layer_types=shape.layer_types,
        sliding_window=shape.sliding_window,
        vocab_size_per_layer_input=len(tokenizer),
        hidden_size_per_layer_input=0,
        num_kv_shared_layers=0,
        pad_token_id=ids["pad_token"],
        eos_token_id=ids["eos_token"],
        bos_token_id=ids["bos_token"],
        max_position_embeddings=2 * shape.context,
    )
    vision = Gemma4VisionConfig(
        hidden_size=shape.vision_hidden,
        intermediate_size=shape.vision_mlp,
        num_hidden_layers=shape.vision_layers,
        num_attention_heads=shape.vision_heads,
        num_key_value_heads=shape.vision_heads,
        head_dim=32,
        patch_size=shape.patch,
        position_embedding_size=shape.vision_positions,
    )
    audio = Gemma4AudioConfig(
        hidden_size=shape.audio_hidden,
        num_hidden_layers=shape.audio_layers,
        num_attention_heads=shape.audio_heads,
        subsampling_conv_channels=[MEL_BINS, shape.audio_channels],
        output_proj_dims=AUDIO_ADAPTER_WIDTH,
    )
    return Gemma4Config(
        text_config=text,
        vision_config=vision,
        audio_config=audio,
        boi_token_id=ids["boi_token"],
        eoi_token_id=ids["eoi_token"],
        image_token_id=ids["image_token"],
        video_token_id=tokenizer.convert_tokens_to_ids(VIDEO_MARKER),
        boa_token_id=ids["boa_token"],
        eoa_token_index=ids["eoa_token"],
        audio_token_id=ids["audio_token"],
    )
