"""Small tokenizers of the kinds that models come with, trained when a test asks for one."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SIZE = 1200
LINES = Path(__file__).read_text(encoding="utf-8").splitlines() * 4


@cache
def byte_level() -> bytes:
    """Every byte a letter, as in GPT-2, Qwen and Llama 3."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    specials = ["<pad>", "<eos>", "<|im_start|>", "<|im_end|>"]
    made.train_from_iterator(
        LINES, trainers.BpeTrainer(vocab_size=SIZE, special_tokens=specials, initial_alphabet=alphabet)
    )
    made.add_tokens(["<tool_call>"])
    return made.to_str().encode()


@cache
def prefixed() -> bytes:
    """A blank is put before every text and taken away again, as in Llama 2 and Mistral."""
    made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words = [word for line in LINES for word in line.split()]
    made.train_from_iterator(words, trainers.BpeTrainer(vocab_size=SIZE, special_tokens=specials))
    return made.to_str().encode()


@cache
def undecodable() -> bytes:
    """A tokenizer whose tokens are no runs of bytes."""
    made = Tokenizer(models.BPE())
    made.decoder = decoders.WordPiece()
    return made.to_str().encode()


@cache
def sentence_piece(plain: bool) -> bytes:
    """A SentencePiece model; a plain one keeps texts as they are, others put a blank before and tidy up."""
    settings: dict[str, Any] = {"pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3}
    if plain:
        settings |= {
            "add_dummy_prefix": False,
            "remove_extra_whitespaces": False,
            "normalization_rule_name": "identity",
            "user_defined_symbols": ["<start_of_turn>", "<end_of_turn>", "\n", "\n\n"],
            "control_symbols": ["<control>"],
        }
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES),
        model_writer=model,
        model_type="bpe",
        vocab_size=500,
        byte_fallback=True,
        minloglevel=2,
        **settings,
    )
    return model.getvalue()
