"""Everything about the text of one model, behind one object."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from litertlm._engine.native.text.affixes import BUILT_IN, render_affixes
from litertlm._engine.native.text.channels import ReplyParser, open_channel
from litertlm._engine.native.text.constraint import Constraint, ConstraintCompiler
from litertlm._engine.native.text.prompt import message_values, tool_values
from litertlm._engine.native.text.template import compiled
from litertlm._engine.native.text.tokenizer import Detokenizer, read_tokenizer
from litertlm._engine.native.text.toolcalls import fences_of, writing_of
from litertlm._engine.seam import ToolSpec
from litertlm.errors import ModelFileError, OptionError, TemplateError
from litertlm.messages import Message
from litertlm.modelfile import ModelFile, Token
from litertlm.modelfile.text_format import read_text_format
from litertlm.options import ResponseFormat

__all__ = ["TextProcessor"]


class TextProcessor:
    """Messages to token ids, and token ids to replies, for one model.

    Args:
        file: An open model file; it may be closed afterwards.

    Raises:
        ModelFileError: Its tokenizer, its prompts or its way of calling tools are not known here.

    Attributes:
        start_token: Id before every conversation, whatever its prompt begins with; None for none. ``render``
            and ``encode`` do not add it.
        stop_tokens: Sequences of ids that end a reply, most of them of one id.
        suppressed_tokens: Ids that are never chosen.
        vocabulary_size: Ids of the tokenizer are below it; the model may have more logits.

    Threads: any; what its methods return is for one thread at a time.
    """

    def __init__(self, file: ModelFile) -> None:
        self._format = text = read_text_format(file)
        if not text.chat_template and text.model_type in BUILT_IN:
            raise ModelFileError(f"it has no chat template, and that of {text.model_type} is not known")
        try:
            compiled(text.chat_template)
        except TemplateError as error:
            raise ModelFileError(error.message) from None
        self._tokenizer = read_tokenizer(text.tokenizer_kind, text.tokenizer)
        self._fences = fences_of(text.model_type, text.settings)
        self._writing = writing_of(text.model_type, text.settings)
        self.start_token = next(iter(self._ids(text.start_token)), None)
        self.stop_tokens = tuple(ids for token in text.stop_tokens if (ids := self._ids(token)))
        self.suppressed_tokens = text.suppressed_tokens
        self.vocabulary_size = self._tokenizer.size
        self._compiler: ConstraintCompiler | None = None
        self._lock = threading.Lock()

    def encode(self, text: str) -> list[int]:
        """Ids of a text, no start token added; control tokens are recognised.

        Raises:
            MessageError: It is not valid Unicode.
        """
        return self._tokenizer.encode(text)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids, that of control tokens included; unknown ids give nothing."""
        return self.detokenizer().decode(ids)

    def token_bytes(self, token: int) -> bytes:
        """What one token stands for; b"" for one that the tokenizer does not know."""
        return self._tokenizer.token_bytes(token)

    def detokenizer(self) -> Detokenizer:
        """For ids that come one after the other: ``feed(id) -> str``, ``flush() -> str``."""
        return Detokenizer(self._tokenizer)

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
            TemplateError: The template is no template, fails, or does not come to an end.
            MessageError: A value in the messages cannot be expressed as JSON.
        """
        said = message_values(messages, self._writing)
        template = self._format.chat_template if chat_template is None else chat_template
        if not template and chat_template is None:
            return render_affixes(self._format.affixes, said, add_generation_prompt)
        values = {"messages": said, "add_generation_prompt": add_generation_prompt}
        if tools:
            values["tools"] = tool_values(tools, self._writing)
        if thinking is not None:
            values["enable_thinking"] = thinking
        return compiled(template).render(values)

    def parser(self, *, tools: bool, prompt: str = "") -> ReplyParser:
        """For the text of a reply as it comes: ``feed(text) -> list[Piece]``, ``finish() -> list[Piece]``.

        Args:
            tools: Whether tools were declared; otherwise tool calls are text.
            prompt: What the reply follows; if it ends inside a channel, so does the reply begin.
        """
        channels = self._format.channels
        return ReplyParser(channels, self._fences if tools else None, open_channel(prompt, channels))

    def constraint(
        self, response_format: ResponseFormat, *, vocabulary_size: int | None = None
    ) -> Constraint:
        """What tokens may come next in one reply: ``mask() -> bytes``, ``accept(id)``, ``is_finished``.

        Args:
            response_format: What the reply must look like.
            vocabulary_size: How many logits the model has; None: as many as the tokenizer has ids.

        Raises:
            OptionError: The format is not understood or too large, or no one token ends this model's replies.
        """
        with self._lock:
            if self._compiler is None:
                ends = [ids[0] for ids in self.stop_tokens if len(ids) == 1]
                if not ends:
                    raise OptionError("response_format needs a model that ends replies with one token")
                self._compiler = ConstraintCompiler(self._tokenizer, ends)
        return self._compiler.compile(response_format, vocabulary_size or self.vocabulary_size)

    def _ids(self, token: Token | None) -> tuple[int, ...]:
        """Ids of a token of the metadata: the token of that text, or what the text is encoded to."""
        if token is None:
            return ()
        if not isinstance(token, str):
            return token
        known = self._tokenizer.token_id(token)
        return tuple(self._tokenizer.encode(token)) if known is None else (known,)
