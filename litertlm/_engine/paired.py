"""Two engines behind one seam: text on one that is fast, images and recordings on one that has encoders.

A conversation stays on the text engine until something is said in it that only the media engine can take;
then the media engine goes on from all that was said. The media engine is loaded when the first conversation
needs it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from litertlm._engine.honoured import require_honoured
from litertlm._engine.seam import Conversation, Engine, Mark, Preface, Turn
from litertlm.errors import ClosedError
from litertlm.messages import Audio, Image, Message, Score
from litertlm.options import TurnOptions

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["PairedEngine"]


class PairedEngine:
    """Implements :class:`litertlm._engine.seam.Engine`.

    Args:
        text: Runs conversations of text, completions and scores.
        load_media: Loads the engine for the others; called once, when it is needed.
        vision_backend: Where that one encodes images; None: nowhere.
        audio_backend: Where it encodes sound; None: nowhere.
        media_engine: What it is called.
        release: Called when the pair is closed.
    """

    def __init__(
        self,
        text: Engine,
        load_media: Callable[[], Engine],
        *,
        vision_backend: str | None,
        audio_backend: str | None,
        media_engine: str,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self.text = text
        self._load_media = load_media
        self._media: Engine | None = None
        self._closed = False
        self._release = release
        self._lock = threading.RLock()
        self.info = replace(
            text.info,
            vision_backend=vision_backend,
            audio_backend=audio_backend,
            media_engine=media_engine,
            options=text.info.options | ({"visual_token_budget"} if vision_backend else set()),
        )

    @property
    def media(self) -> Engine:
        """The engine that has encoders; loaded now if it was not.

        Raises:
            ClosedError: The pair is closed.
            LiteRTLMError: It cannot be loaded.
        """
        with self._lock:
            if self._closed:
                raise ClosedError("The client is closed")
            if self._media is None:
                self._media = self._load_media()
            return self._media

    def open(self, preface: Preface) -> PairedConversation:
        """A new conversation, on the engine that its messages need."""
        return PairedConversation(self, preface)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of ``text``, no start token added."""
        return self.text.tokenize(text)

    def detokenize(self, ids: Sequence[int]) -> str:
        """Text of token ids."""
        return self.text.detokenize(ids)

    def complete(self, prompt: str, options: TurnOptions) -> Turn:
        """Continue a text, without a chat template."""
        return self.text.complete(prompt, options)

    def score(self, prompt: str, text: str, check: Callable[[], None] | None = None) -> Score:
        """How likely ``text`` is to follow ``prompt``."""
        return self.text.score(prompt, text, check)

    def close(self) -> None:
        """Close both. Idempotent."""
        with self._lock:
            self._closed = True
            media = self._media
        try:
            if media is not None:
                media.close()
        finally:
            self._release()
            self.text.close()


class PairedMark:
    """Implements :class:`litertlm._engine.seam.Mark`."""

    def __init__(self, where: Conversation, at: Mark) -> None:
        self.where = where
        self.at = at

    def close(self) -> None:
        """Forget it."""
        self.at.close()


class PairedConversation:
    """Implements :class:`litertlm._engine.seam.Conversation`."""

    def __init__(self, engine: PairedEngine, preface: Preface, where: Conversation | None = None) -> None:
        self._engine = engine
        self._preface = preface
        # The conversation that goes on, and all that there were: a mark may lead back to any of them.
        self._where = where or self._suiting(preface.messages).open(preface)
        self._all = [self._where]

    @property
    def messages(self) -> tuple[Message, ...]:
        """Everything that was said, the preface's messages first."""
        return self._where.messages

    @property
    def token_count(self) -> int:
        """Tokens of the conversation so far; 0 before the first turn on an engine."""
        return self._where.token_count

    def count(self, message: Message) -> int:
        """Tokens that sending ``message`` would prefill."""
        where = self._for(message)
        # On the other engine everything is prefilled; what of that is known already is not counted twice.
        known = self._where.token_count if where is not self._where else 0
        return max(1, where.count(message) - known)

    def render(self, message: Message) -> str:
        """The text that sending ``message`` would prefill."""
        return self._for(message).render(message)

    def prepare(self, message: Message, options: TurnOptions) -> Turn:
        """A turn that has not begun."""
        where = self._for(message)
        if self._is_media(where):
            # The chat knows only what the text engine honours.
            require_honoured(options, self._engine.media.info)
        else:
            options = replace(options, visual_token_budget=None)  # there is nothing to look at
        turn = where.prepare(message, options)
        self._where = where
        return turn

    def mark(self) -> PairedMark:
        """Remember this state."""
        return PairedMark(self._where, self._where.mark())

    def rewind(self, mark: Mark) -> None:
        """Go back to ``mark``, and to the engine that it was made on."""
        if not isinstance(mark, PairedMark):
            raise TypeError("the mark is of another engine")
        mark.where.rewind(mark.at)
        self._where = mark.where

    def fork(self) -> PairedConversation:
        """An independent conversation in the same state."""
        return PairedConversation(self._engine, self._preface, self._where.fork())

    def prefill(self) -> None:
        """Begin to compute what was said so far."""
        self._where.prefill()

    def save_kv(self) -> Buffer | None:
        """What is in the KV cache, if the engine that goes on can tell."""
        return self._where.save_kv()

    def restore_kv(self, state: Buffer) -> bool:
        """Have that in the KV cache; whether it fits."""
        return self._where.restore_kv(state)

    def close(self) -> None:
        """Free the KV caches. Idempotent."""
        for conversation in self._all:
            conversation.close()

    def _for(self, message: Message) -> Conversation:
        """The conversation in which ``message`` can be said after all that was said."""
        if not _holds_media((message,)) or self._is_media(self._where):
            return self._where
        said = self._where.messages
        latest = self._all[-1]
        if latest is not self._where and latest.messages == said:
            return latest  # opened to count what is sent now
        self._all.append(self._engine.media.open(replace(self._preface, messages=said)))
        return self._all[-1]

    def _is_media(self, where: Conversation) -> bool:
        """Whether it is one of the media engine."""
        return where is not self._all[0] or _holds_media(where.messages)

    def _suiting(self, messages: tuple[Message, ...]) -> Engine:
        return self._engine.media if _holds_media(messages) else self._engine.text


def _holds_media(messages: Sequence[Message]) -> bool:
    return any(isinstance(part, Image | Audio) for message in messages for part in message.parts)
