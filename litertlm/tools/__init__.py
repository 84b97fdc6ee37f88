"""Tools that a model may ask for."""

from litertlm.tools.tool import Tool

__all__ = ["Tool"]
