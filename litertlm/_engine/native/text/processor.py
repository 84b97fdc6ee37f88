"""Everything about the text of one model, behind one object."""

from __future__ import annotations

from collections.abc import Sequence

from litertlm._engine.native.text.channels import ReplyParser
from litertlm._engine.native.text.constraint import Constraint
from litertlm._engine.native.text.tokenizer import Detokenizer
from litertlm._engine.seam import ToolSpec
from litertlm.messages import Message
from litertlm.modelfile import ModelFile
from litertlm.options import ResponseFormat

__all__ = ["TextProcessor"]


class TextProcessor:
    """Messages to token ids, and token ids to replies, for one model.

    Args:
        file: An open model file; it may be closed afterwards.

    Attributes:
        start_tokens: Ids before every conversation; empty for none. ``render`` and ``encode`` do not add them.
        stop_tokens: Sequences of ids that end a reply, most of them of one id.
        suppressed_tokens: Ids that are never chosen.
        vocabulary_size: Ids of the tokenizer are below it; the model's logits may be longer.

    Threads: any; what its methods return is for one thread at a time.
    """

    start_tokens: tuple[int, ...]
    stop_tokens: tuple[tuple[int, ...], ...]
    suppressed_tokens: tuple[int, ...]
    vocabulary_size: int

    def __init__(self, file: ModelFile) -> None: ...

    def encode(self, text: str) -> list[int]:
        """Ids of a text, no start token added; control tokens are recognised.

        Raises:
            MessageError: It is not valid Unicode.
        """
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, that of control tokens included; unknown ids give nothing."""
        ...

    def detokenizer(self) -> Detokenizer:
        """For ids that come one after the other: ``feed(id) -> str``, ``flush() -> str``."""
        ...

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        thinking: bool | None = None,
        add_generation_prompt: bool = True,
        chat_template: str | None = None,
    ) -> str:
        """The prompt of a conversation, media as their placeholders.

        Args:
            messages: All that was said, the new message last.
            tools: Declared to the model.
            thinking: As the template is told; None: nothing.
            add_generation_prompt: Whether the model's turn is begun at the end.
            chat_template: Jinja text instead of the model's own; None: the model's.

        Raises:
            TemplateError: The template is no template, fails, or writes too much.
            MessageError: A value in the messages cannot be expressed as JSON.
        """
        ...

    def parser(self, *, tools: bool) -> ReplyParser:
        """For text of a reply as it comes: ``feed(text) -> list[Piece]``, ``finish() -> list[Piece]``.

        Args:
            tools: Whether tools were declared; otherwise tool calls are text.
        """
        ...

    def constraint(self, response_format: ResponseFormat) -> Constraint:
        """What tokens may come next in one reply: ``mask() -> bytes``, ``accept(id)``, ``is_finished``.

        Raises:
            OptionError: The format is no regular expression or schema, or too large.
        """
        ...
