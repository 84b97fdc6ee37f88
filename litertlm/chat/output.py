"""What a reply has to look like, and the object that is made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from litertlm.errors import OptionError, ReplyFormatError
from litertlm.messages import Reply
from litertlm.options import JsonSchema, Lark, Regex, ResponseFormat

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["OutputFormat", "ResponseFormatLike", "output_format"]

ResponseFormatLike: TypeAlias = "ResponseFormat | Mapping[str, Any] | type[BaseModel]"
"""A regular expression, a Lark grammar, a JSON schema (also as a dict), or a pydantic model class."""


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """A response format: what the engine is told, and how the text becomes an object.

    Attributes:
        grammar: What constrains decoding.
        model: The pydantic model to make, if one was asked for.
    """

    grammar: ResponseFormat
    model: type[BaseModel] | None = None

    def accepts(self, text: str) -> bool:
        """Whether an answer that nothing constrained certainly has the form."""
        try:
            if self.model is not None:
                self.model.model_validate_json(text)
                return True
            if isinstance(self.grammar, Regex):
                return re.fullmatch(self.grammar.pattern, text) is not None
        except (ValueError, re.error):
            pass
        return False

    def parse(self, reply: Reply) -> Any:
        """The reply's text as an object: a model, JSON values, or for other grammars the text itself.

        Raises:
            ReplyFormatError: It was cut before its end, or does not fit.
        """
        text = reply.text
        try:
            if self.model is not None:
                return self.model.model_validate_json(text)
            if isinstance(self.grammar, JsonSchema):
                return json.loads(text)
        except ValueError as error:  # pydantic's and json's errors are ValueErrors
            raise ReplyFormatError(reply, str(error)) from error
        if reply.finish_reason == "length":
            raise ReplyFormatError(reply, "it was cut before its end")
        return text


def output_format(value: ResponseFormatLike) -> OutputFormat:
    """The format that a user's ``response_format=`` means.

    Raises:
        OptionError: It is none.
    """
    if isinstance(value, Regex | JsonSchema | Lark):
        return OutputFormat(value)
    if isinstance(value, Mapping):
        return OutputFormat(JsonSchema(value))
    if isinstance(value, type) and hasattr(value, "model_json_schema"):
        return OutputFormat(JsonSchema(value.model_json_schema()), value)
    raise OptionError(
        f"response_format cannot be {value!r}",
        hint="Use Regex(...), Lark(...), JsonSchema(...), a dict with a JSON schema, or a pydantic model "
        "class.",
    )
