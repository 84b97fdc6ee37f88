"""Build a network with random weights that behaves like a trained one as far as arithmetic goes.

The usual start of training would give flat logits and norms that are all ones, so that an engine could
drop a norm or a bias and no test would see it. Here every weight is random, sums keep their size through the
layers, and the logits have the spread of a model that knows something.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import nn
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from models.random_model.families import FAMILIES
from models.random_model.shapes import Shape
from models.random_model.vocabulary import BYTES

LOGIT_SPREAD = 2.0
"""Standard deviation of the logits over the vocabulary."""

SHALLOW = 6
"""Layers that a network may have before its depth matters; the tiny ones have no more."""


def build_network(shape: Shape, tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> PreTrainedModel:
    """Return the network with seeded weights, in bfloat16, as models are published."""
    torch.manual_seed(seed)
    network = _empty(shape, tokenizer)
    with torch.no_grad():
        for module in network.modules():
            _fill(module)
        if hasattr(network.get_input_embeddings(), "scalar_embed_scale"):
            # Gemma multiplies embeddings by sqrt(width): its tied head would always repeat the last token.
            network.get_input_embeddings().weight *= 0.25
        if shape.family == "gemma4":
            _temper(network)
        _temper_depth(network, shape.network["num_hidden_layers"])
        _quieten(network, tokenizer)
        _spread_logits(network, shape.vocab)
    stops = tokenizer.convert_tokens_to_ids(list(FAMILIES[shape.family].vocabulary.stops))
    network.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=stops,
        do_sample=False,
    )
    return network.to(torch.bfloat16)


def _empty(shape: Shape, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    config_class = getattr(transformers, FAMILIES[shape.family].config_class)
    common = {
        "vocab_size": shape.vocab,
        "max_position_embeddings": 2 * shape.context,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if shape.family == "gemma4":
        text = transformers.Gemma4TextConfig(
            **common, vocab_size_per_layer_input=shape.vocab, **shape.network
        )
        # The exporter takes the text part of Gemma 4 only from the model with eyes and ears.
        config = config_class(text_config=text, vision_config=None, audio_config=None)
        return transformers.Gemma4ForConditionalGeneration(config).float().eval()
    config = config_class(**common, **shape.network)
    return transformers.AutoModelForCausalLM.from_config(config, torch_dtype=torch.float32).eval()


def _fill(module: nn.Module) -> None:
    """Random weights that keep the size of what passes through."""
    weight = getattr(module, "weight", None)
    bias = getattr(module, "bias", None)
    if isinstance(module, nn.Embedding):
        module.weight.normal_(0.0, module.embedding_dim**-0.5)
    elif isinstance(module, nn.Linear):
        module.weight.normal_(0.0, module.in_features**-0.5)
    elif isinstance(weight, nn.Parameter) and type(module).__name__.endswith("RMSNorm"):
        weight.normal_(float(_centre(weight)), 0.2)
    if isinstance(bias, nn.Parameter):
        bias.normal_(0.0, 0.2)
    scalar = getattr(module, "layer_scalar", None)
    if isinstance(scalar, torch.Tensor):
        scalar.uniform_(0.7, 1.0)


def _temper(network: PreTrainedModel) -> None:
    """Keep Gemma 4, whose norms have more to settle than others', from blowing up rounding.

    Attention scores are divided by nothing, and with norms around one they are as large as the square root of
    the head's width: softmax picks one token, and rounding decides which. The norm behind the per-layer
    embeddings enlarges a product of two, which may be next to nothing.
    """
    for name, module in network.named_modules():
        if name.endswith("q_norm"):
            module.weight *= module.weight.numel() ** -0.5
        elif name.endswith("post_per_layer_input_norm"):
            module.weight *= 0.5


def _temper_depth(network: PreTrainedModel, layers: int) -> None:
    """Keep a deep Gemma from blowing up rounding more than a shallow one does.

    A product of two makes the row inside an MLP, and a few of its values are large. They set the step of the
    8-bit rounding, whose error is thus nearly three times that of other rows, and Gemma's norm behind the MLP
    passes it on at full size, to be enlarged by every layer that follows. So the MLPs of a deep network add
    less each: as random errors add up, those of all together weigh what they do in a shallow one. Families
    without that norm add less by themselves. Gemma 4's scalars fade what earlier layers have added; they
    fade as much from the first layer to the last as in a shallow network.
    """
    if layers <= SHALLOW:
        return
    for name, module in network.named_modules():
        if name.endswith("post_feedforward_layernorm"):
            _scale_norm(module.weight, (SHALLOW / layers) ** 0.5)
        if hasattr(module, "layer_scalar"):
            module.layer_scalar **= SHALLOW / layers


def _quieten(network: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Keep replies from ending early and from being broken UTF-8: such tokens get logits near zero.

    The official engine fails a turn in which byte tokens take back text that it has given out.
    """
    texts = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    quiet = [
        number
        for number, text in enumerate(texts)
        if number in special or "\ufffd" in text or pieces[number] in BYTES
    ]
    for weight in {network.get_input_embeddings().weight, network.get_output_embeddings().weight}:
        weight[quiet] *= 0.1


def _spread_logits(network: PreTrainedModel, vocab: int) -> None:
    """Scale the last norm so that the logits spread by `LOGIT_SPREAD`."""
    tokens = torch.randint(vocab, (1, 48))
    gain = LOGIT_SPREAD / float(network(input_ids=tokens).logits[0, 16:].std(dim=-1).mean())
    decoder = network.get_decoder()
    last_norm: Any = (
        decoder.norm if hasattr(decoder, "norm") else decoder.embedding_norm
    )  # LFM2's name for it
    _scale_norm(last_norm.weight, gain)


def _scale_norm(weight: torch.Tensor, gain: float) -> None:
    """Multiply the factors of a norm as they are made, around one."""
    offset = 1 - _centre(weight)
    weight.copy_((offset + weight) * gain - offset)


def _centre(weight: torch.Tensor) -> int:
    """1 for norms that store their factor, 0 for those that store its distance from one (Gemma 2 and 3)."""
    return round(float(weight.mean()))
