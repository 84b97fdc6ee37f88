"""Text to token ids and back.

A token is a run of bytes. Decoding joins the bytes and reads them as UTF-8, so that decoding piece by piece
and at once are one and the same thing, whatever the model writes.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Protocol

from litertlm.errors import MessageError, ModelFileError

if TYPE_CHECKING:
    import sentencepiece
    import tokenizers

__all__ = ["Detokenizer", "HuggingFaceTokenizer", "SentencePieceTokenizer", "Tokenizer", "read_tokenizer"]

# What stands for a blank in the vocabularies of SentencePiece, and of tokenizers made after it.
BLANK = "\u2581"
UNKNOWN = " \u2047 "  # SentencePiece's own
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Tokenizer(Protocol):
    """What a tokenizer of any kind can do. Threads: any."""

    @property
    def size(self) -> int:
        """All ids are below it."""
        ...

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that are never part of plain text."""
        ...

    @property
    def leading_blanks(self) -> int:
        """So many blanks at the beginning of a text are not written, as encoding puts them there."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of a text, no start token added."""
        ...

    def token_bytes(self, token: int) -> bytes:
        """What a token stands for; b"" for one that does not exist."""
        ...

    def token_id(self, text: str) -> int | None:
        """The token that is written so, control tokens included; None when there is none."""
        ...


class Detokenizer:
    """Text of ids that come one after the other; never half a character.

    Args:
        tokenizer: Whose ids they are.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._blanks = tokenizer.leading_blanks

    def feed(self, token: int) -> str:
        """The text that is complete now; what cannot be UTF-8 becomes U+FFFD."""
        return self._without_leading(self._decoder.decode(self._tokenizer.token_bytes(token)))

    def flush(self) -> str:
        """What was held back, now that nothing follows."""
        return self._without_leading(self._decoder.decode(b"", final=True))

    def decode(self, tokens: Iterable[int]) -> str:
        """Everything at once."""
        return "".join(map(self.feed, tokens)) + self.flush()

    def _without_leading(self, text: str) -> str:
        while self._blanks and text:
            if text[0] != " ":
                self._blanks = 0
                break
            text, self._blanks = text[1:], self._blanks - 1
        return text


class HuggingFaceTokenizer:
    """A ``tokenizer.json``.

    Args:
        data: The file.

    Raises:
        ModelFileError: It is none, or of a kind whose tokens are not runs of bytes.
    """

    def __init__(self, data: bytes) -> None:
        import tokenizers

        try:
            self._tokenizer: tokenizers.Tokenizer = tokenizers.Tokenizer.from_buffer(data)
        except Exception as error:  # the package raises Exception itself
            raise ModelFileError(f"the tokenizer cannot be read ({error})") from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        steps = _decoding(self._tokenizer.decoder)
        self._byte_level, self._byte_fallback = "ByteLevel" in steps, "ByteFallback" in steps
        self.leading_blanks = max(steps.values())
        added = self._tokenizer.get_added_tokens_decoder()
        self.special_ids = frozenset(
            token
            for token, entry in added.items()
            if entry.special and not (self._byte_fallback and _BYTE.fullmatch(entry.content))
        )
        # Ids are counted through, save perhaps those of added tokens.
        self.size = max(self._tokenizer.get_vocab_size(), *(token + 1 for token in added), 0)
        self.token_bytes = cache(self._token_bytes)

    def encode(self, text: str) -> list[int]:
        """See :class:`Tokenizer`."""
        return self._tokenizer.encode(_checked(text), add_special_tokens=False).ids

    def token_id(self, text: str) -> int | None:
        """See :class:`Tokenizer`."""
        return self._tokenizer.token_to_id(text)

    def _token_bytes(self, token: int) -> bytes:
        text = self._tokenizer.id_to_token(token) if 0 <= token < self.size else None
        if text is None:
            return b""
        if self._byte_level:
            table = _bytes_of_letters()
            # A token that was added as text may hold letters that stand for no byte.
            known = all(letter in table for letter in text)
            return bytes(table[letter] for letter in text) if known else text.encode()
        byte = _BYTE.fullmatch(text) if self._byte_fallback else None
        return bytes([int(byte[1], 16)]) if byte else text.replace(BLANK, " ").encode()


class SentencePieceTokenizer:
    """A SentencePiece model.

    Args:
        data: The serialized model.

    Raises:
        ModelFileError: It is none.
    """

    def __init__(self, data: bytes) -> None:
        import sentencepiece

        self._model: sentencepiece.SentencePieceProcessor = sentencepiece.SentencePieceProcessor()
        try:
            self._model.LoadFromSerializedProto(data)
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(f"the tokenizer cannot be read ({error})") from None
        self.size = int(self._model.GetPieceSize())
        # It says so nowhere, but shows it.
        self.leading_blanks = int(self._model.EncodeAsPieces("a")[0].startswith(BLANK))
        self.token_bytes = cache(self._token_bytes)

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """See :class:`Tokenizer`."""
        model = self._model
        kinds = (model.IsControl, model.IsUnknown, model.IsUnused)
        return frozenset(token for token in range(self.size) if any(kind(token) for kind in kinds))

    def encode(self, text: str) -> list[int]:
        """See :class:`Tokenizer`."""
        return list(self._model.EncodeAsIds(_checked(text)))

    def token_id(self, text: str) -> int | None:
        """See :class:`Tokenizer`."""
        token = int(self._model.PieceToId(text))
        return None if self._model.IsUnknown(token) else token

    def _token_bytes(self, token: int) -> bytes:
        if not 0 <= token < self.size:
            return b""
        piece: str = self._model.IdToPiece(token)
        if self._model.IsByte(token):
            return bytes([int(piece[3:5], 16)])
        if self._model.IsUnknown(token):
            return UNKNOWN.encode()
        return piece.replace(BLANK, " ").encode()


def read_tokenizer(kind: str, data: bytes) -> Tokenizer:
    """The tokenizer of a model file.

    Args:
        kind: ``"huggingface"`` or ``"sentencepiece"``.
        data: Unpacked.

    Raises:
        ModelFileError: It cannot be read.
    """
    return HuggingFaceTokenizer(data) if kind == "huggingface" else SentencePieceTokenizer(data)


def _checked(text: str) -> str:
    """Raises MessageError if a text cannot be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise MessageError(f"The text is not valid Unicode: {error.reason}") from None
    return text


def _decoding(decoder: tokenizers.decoders.Decoder | None) -> dict[str, int]:
    """The steps in which a decoder works, and how many leading blanks each takes away."""
    if decoder is None:
        raise ModelFileError("the tokenizer has no decoder, which is not supported")
    steps: dict[str, int] = {}
    waiting: list[dict[str, Any]] = [json.loads(decoder.__getstate__())]
    while waiting:
        step = waiting.pop()
        kind = step["type"]
        if kind == "Sequence":
            waiting += step["decoders"]
        elif kind == "Strip":
            steps[kind] = step["start"] if step["content"] == " " else 0
        elif kind == "Metaspace":
            steps[kind] = int(step.get("prepend_scheme", "always") != "never")
        elif kind in ("ByteLevel", "ByteFallback", "Replace", "Fuse"):
            steps[kind] = 0
        else:
            raise ModelFileError(f"the tokenizer decodes by {kind}, which is not supported")
    return steps


@cache
def _bytes_of_letters() -> dict[str, int]:
    """Byte-level vocabularies write each byte as a letter: a visible one as itself, others from U+0100 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = (byte for byte in range(256) if byte not in visible)
    return {chr(byte): byte for byte in visible} | {chr(256 + n): byte for n, byte in enumerate(hidden)}
