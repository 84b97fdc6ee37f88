"""Train the tokenizer on the recipe's own synthetic text.

A Gemma-style BPE: U+2581 stands for a space and unknown characters fall back to bytes. Words are split
so that a small model can copy: a space before a capital letter, a digit or a sign is a token of its
own, so that "Paris" is the same tokens in "in Paris?" and inside a quoted tool argument. Digits are
always single.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from models.config import CONTROL, MARKERS, VIDEO_MARKER

SPACE = "\u2581"
PIECES = f"{SPACE}?[a-z]+|[A-Z][a-z]*|[0-9]|{SPACE}|[^a-zA-Z0-9{SPACE}]"
BYTES = [f"<0x{value:02X}>" for value in range(256)]
TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def train_tokenizer(texts: Iterable[str], vocab: int, out: Path) -> PreTrainedTokenizerFast:
    """Train on `texts`, save to the folder `out` and return the tokenizer as it will be loaded."""
    bpe = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    bpe.normalizer = normalizers.Replace(" ", SPACE)
    bpe.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), "isolated")
    bpe.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    specials = [*CONTROL.values(), *MARKERS.values(), VIDEO_MARKER]
    ascii_alphabet = [chr(code) for code in range(33, 127)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=specials + BYTES,
        initial_alphabet=[*ascii_alphabet, "\n", "\t", SPACE],
        limit_alphabet=len(ascii_alphabet) + 3,
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)

    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        **CONTROL,
        extra_special_tokens=MARKERS,
        additional_special_tokens=None,
    )
    wrapped.chat_template = TEMPLATE.read_text()
    out.mkdir(parents=True, exist_ok=True)
    wrapped.save_pretrained(out)
    _make_bytes_ordinary(out / "tokenizer.json")
    return load_tokenizer(out)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Load a saved tokenizer."""
    return PreTrainedTokenizerFast.from_pretrained(folder)


def _make_bytes_ordinary(path: Path) -> None:
    """Byte tokens must not be special: special tokens vanish from decoded text."""
    state = json.loads(path.read_text())
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] not in set(BYTES)]
    path.write_text(json.dumps(state, ensure_ascii=False))
