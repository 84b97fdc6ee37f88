"""Everything between messages and token ids, in Python alone: no native code of ours, no engine.

::

    processor.py      TextProcessor: all of the below for one model file; the only name used from outside
    tokenizer.py      text <-> ids, and ids -> text as they come
    template.py       chat templates: compile, render, say where one failed
    sandbox.py        what templates may do and how much of it, like in the official engine
    printing.py       how templates write values
    affixes.py        prompts of models that have no chat template
    prompt.py         messages and tools -> the values that a template sees
    channels.py       replies -> text, thinking, tool calls
    pieces.py         what replies consist of
    toolcalls/        the syntaxes of tool calls, one module each
    constraint.py     response formats -> which tokens may come next

The facade, ``TextProcessor(file)`` of an open :class:`litertlm.modelfile.ModelFile`::

    start_token: int | None
    stop_tokens: tuple[tuple[int, ...], ...]
    suppressed_tokens: tuple[int, ...]
    vocabulary_size: int
    encode(text) -> list[int]
    decode(ids) -> str
    token_bytes(token) -> bytes
    detokenizer() -> Detokenizer            feed(id) -> str, flush() -> str
    render(messages, tools=(), *, thinking=None, add_generation_prompt=True, chat_template=None) -> str
    parser(*, tools, prompt="") -> ReplyParser          feed(text) -> list[Piece], finish() -> list[Piece]
    constraint(response_format, *, vocabulary_size=None) -> Constraint
                                            mask() -> bytes, accept(id), is_satisfied, is_finished

Guarantees: a prompt that is rendered holds exactly what the messages hold, so control markers in user text
must have been neutralised above (:mod:`litertlm.templates`). What goes wrong is a typed error:
``TemplateError``, ``OptionError``, ``MessageError`` or ``ModelFileError``. What the model writes never
raises; a tool call that cannot be read is a piece of the reply that says why.
"""

from litertlm._engine.native.text.channels import ReplyParser
from litertlm._engine.native.text.constraint import Constraint
from litertlm._engine.native.text.pieces import Called, Malformed, Piece, Said, Thought
from litertlm._engine.native.text.processor import TextProcessor
from litertlm._engine.native.text.tokenizer import Detokenizer

__all__ = [
    "Called",
    "Constraint",
    "Detokenizer",
    "Malformed",
    "Piece",
    "ReplyParser",
    "Said",
    "TextProcessor",
    "Thought",
]
