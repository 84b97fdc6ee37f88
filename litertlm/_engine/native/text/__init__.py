"""Everything between messages and token ids, in Python alone: no native code of ours, no engine.

::

    processor.py      TextProcessor: all of the below for one model file; the only name used from outside
    tokenizer.py      text <-> ids, and ids -> text as they come
    template.py       chat templates, in a sandbox that behaves like the official engine's
    affixes.py        prompts of models that have no chat template
    prompt.py         messages and tools -> the values that a template sees
    channels.py       replies -> text, thinking, tool calls
    toolcalls/        the syntaxes of tool calls, one module each
    constraint.py     response formats -> which tokens may come next

Guarantees: a prompt that is rendered holds exactly what the messages hold, so control markers in user text
must have been neutralised above (:mod:`litertlm.templates`). What goes wrong is a typed error
(``TemplateError``, ``OptionError``, ``MessageError``, ``ModelFileError``). What the model writes never raises:
a tool call that cannot be read is a piece of the reply that says why.
"""

from litertlm._engine.native.text.pieces import Called, Malformed, Piece, Said, Thought
from litertlm._engine.native.text.processor import TextProcessor

__all__ = ["Called", "Malformed", "Piece", "Said", "TextProcessor", "Thought"]
