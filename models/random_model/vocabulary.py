"""Make a tokenizer of any size in the style of a family, trained on English that every Python carries.

Learnt pieces fill a small vocabulary; a large one is filled up with joined pieces ("inter" + "face") that
no text is split into but that a model with random weights may say.
"""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import sentencepiece.sentencepiece_model_pb2 as spm
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from models.random_model.families import SENTENCEPIECE_FILE, Family, Vocabulary

SPACE = "\u2581"
BYTES = tuple(f"<0x{value:02X}>" for value in range(256))
LEARNT = 6000
"""Most pieces that are learnt; the text has no more worth learning."""

_MODELS = Path(__file__).parent.parent
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen and Llama split text before BPE."""


def make_tokenizer(family: Family, size: int, folder: Path) -> PreTrainedTokenizerFast:
    """Make a tokenizer of exactly `size` tokens, save it to `folder` and return it as it will be loaded."""
    vocabulary = family.vocabulary
    tokenizer = (
        _byte_level(vocabulary, size) if vocabulary.kind == "byte-level" else _by_characters(vocabulary, size)
    )
    if vocabulary.starts_with_bos:
        bos = vocabulary.control["bos_token"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    assert tokenizer.get_vocab_size() == size
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **vocabulary.control,
        **({"extra_special_tokens": dict(vocabulary.named)} if vocabulary.named else {}),
    )
    wrapped.chat_template = (_MODELS / family.template).read_text()
    folder.mkdir(parents=True, exist_ok=True)
    wrapped.save_pretrained(folder)
    if vocabulary.kind == "sentencepiece":
        model = _sentencepiece_model(vocabulary, tokenizer)
        (folder / SENTENCEPIECE_FILE).write_bytes(model.SerializeToString())
    return PreTrainedTokenizerFast.from_pretrained(folder)


def _byte_level(vocabulary: Vocabulary, size: int) -> Tokenizer:
    """Ordinary tokens first, special ones behind them."""
    added = [*vocabulary.all_special, *vocabulary.plain]
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = split
    pieces, merges = _learn(
        learner,
        min(LEARNT, size - len(added)),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    pieces = _fill_up(pieces, size - len(added), "\u0120")
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    _add(tokenizer, vocabulary)
    return tokenizer


def _by_characters(vocabulary: Vocabulary, size: int) -> Tokenizer:
    """Special tokens first, then bytes, then pieces in which U+2581 stands for a space."""
    head = [*vocabulary.all_special, *vocabulary.plain, *BYTES]
    replace = normalizers.Replace(" ", SPACE)
    learner = Tokenizer(models.BPE())
    learner.normalizer = replace
    learner.pre_tokenizer = pre_tokenizers.Split(SPACE, "merged_with_next")
    pieces, merges = _learn(
        learner,
        min(LEARNT, size - len(head)),
        initial_alphabet=[*map(chr, range(33, 127)), "\n", "\t", SPACE],
    )
    pieces = _fill_up([*head, *pieces], size, SPACE)
    bpe = models.BPE(
        {piece: i for i, piece in enumerate(pieces)},
        merges,
        unk_token="<unk>",
        byte_fallback=True,
        fuse_unk=True,
    )
    tokenizer = Tokenizer(bpe)
    in_front = [normalizers.Prepend(SPACE)] if vocabulary.leading_space else []
    tokenizer.normalizer = normalizers.Sequence([*in_front, replace])
    # As in Gemma's own file. It finds nothing, but the exporter fails where there is no pre-tokenizer.
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    strip = [decoders.Strip(" ", 1, 0)] if vocabulary.leading_space else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    _add(tokenizer, vocabulary)
    return tokenizer


def _learn(
    learner: Tokenizer, size: int, initial_alphabet: list[str]
) -> tuple[list[str], list[tuple[str, str]]]:
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=initial_alphabet,
        limit_alphabet=len(initial_alphabet),
        max_token_length=16,
        show_progress=False,
    )
    lines = itertools.chain.from_iterable(topics[name].splitlines(keepends=True) for name in sorted(topics))
    learner.train_from_iterator(lines, trainer)
    state: dict[str, Any] = json.loads(learner.to_str())["model"]
    by_id = sorted(state["vocab"], key=state["vocab"].__getitem__)
    return by_id, [(left, right) for left, right in state["merges"]]


def _fill_up(pieces: list[str], size: int, space: str) -> list[str]:
    """Append joined pieces until there are `size`."""
    starts = [piece for piece in pieces if piece[:1] == space and piece[1:].isascii() and piece[1:].isalpha()]
    ends = [piece for piece in pieces if piece.isascii() and piece.isalpha() and len(piece) > 1]
    seen = set(pieces)
    filled = list(pieces)
    draw = random.Random(0)
    while len(filled) < size:
        joined = draw.choice(starts) + draw.choice(ends)
        if joined not in seen:
            seen.add(joined)
            filled.append(joined)
    return filled


def _add(tokenizer: Tokenizer, vocabulary: Vocabulary) -> None:
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in vocabulary.all_special]
    )
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in vocabulary.plain])


def _sentencepiece_model(vocabulary: Vocabulary, tokenizer: Tokenizer) -> spm.ModelProto:
    """The same tokens with the same ids as a SentencePiece BPE model: a piece's score is its rank."""
    kind = spm.ModelProto.SentencePiece
    kinds = {
        **{vocabulary.control[role]: kind.CONTROL for role in vocabulary.control if role != "unk_token"},
        vocabulary.control["unk_token"]: kind.UNKNOWN,
        **dict.fromkeys((*vocabulary.special, *vocabulary.plain), kind.USER_DEFINED),
        **dict.fromkeys(BYTES, kind.BYTE),
    }
    model = spm.ModelProto()
    ranks = tokenizer.get_vocab()
    first = len(kinds)
    for piece in sorted(ranks, key=ranks.__getitem__):
        score = -float(ranks[piece] - first) if piece not in kinds else 0.0
        model.pieces.add(piece=piece, score=score, type=kinds.get(piece, kind.NORMAL))
    trainer = model.trainer_spec
    trainer.model_type = spm.TrainerSpec.BPE
    trainer.vocab_size = len(ranks)
    trainer.byte_fallback = True
    for role, place in (("unk", "unk_id"), ("bos", "bos_id"), ("eos", "eos_id"), ("pad", "pad_id")):
        token = vocabulary.control.get(f"{role}_token")
        setattr(trainer, place, ranks[token] if token else -1)
        if token:
            setattr(trainer, f"{role}_piece", token)
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = vocabulary.leading_space
    model.normalizer_spec.remove_extra_whitespaces = False
    model.normalizer_spec.escape_whitespaces = True
    return model
