"""The exception tree is what its docstring draws, and its members can be caught, read and passed on."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from litertlm import errors

CLASSES = [getattr(errors, name) for name in errors.__all__]
SAMPLES = [
    errors.ModelFileError("is damaged", path="x.litertlm", place="header", hint="Download it again."),
    errors.ModelLayoutError("is not supported", path="x.litertlm", place="section 3"),
    errors.ModelNotFoundError("there is no such file", path="x"),
    errors.ChatFileError("is not a text", path="x.chat", place="history[3].parts[0].text", hint="Ask again."),
    errors.ChatFileNotFoundError("there is no such file", path="x.chat"),
    errors.BackendUnavailable("no GPU", backend="gpu"),
    errors.ModalityUnavailable("no images", modality="image", hint="Use another model."),
    errors.ContextOverflow(1000, 50, 1024),
    errors.DeadlineExceeded(1.5),
    errors.TooManyChats(8),
    errors.EngineError("failed", code=13, log="E0000 x"),
    errors.MediaError("is no image"),
    errors.ToolCallSyntaxError("cannot be read", "call:x{", code=3),
]


def test_the_docstring_draws_the_tree() -> None:
    """Every class, with the builtin that it also is."""
    drawn = dict(re.findall(r"[├└]── (\w+)(?: \((\w+)\))?", errors.__doc__ or ""))
    assert set(drawn) == {cls.__name__ for cls in CLASSES} - {"LiteRTLMError"}
    for name, builtin in drawn.items():
        cls = getattr(errors, name)
        assert issubclass(cls, errors.LiteRTLMError)
        if builtin:
            assert builtin in {base.__name__ for base in cls.__mro__}


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_errors_can_be_pickled(error: errors.LiteRTLMError) -> None:
    """Workers send them to their parents."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.__dict__ == error.__dict__


def test_the_hint_is_part_of_the_text() -> None:
    """One sentence says what is wrong, the next what to do."""
    assert str(SAMPLES[0]) == "x.litertlm: header: is damaged. Download it again."


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_class_says_when_it_is_raised(cls: type) -> None:
    """In its docstring."""
    assert inspect.getdoc(cls)
