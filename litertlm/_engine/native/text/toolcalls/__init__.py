"""The syntaxes in which models are told of tools, call them and hear their results."""

from litertlm._engine.native.text.toolcalls.families import Fences, fences_of, writing_of
from litertlm._engine.native.text.toolcalls.syntax import MalformedCallError, ToolCallSyntax

__all__ = ["Fences", "MalformedCallError", "ToolCallSyntax", "fences_of", "writing_of"]
