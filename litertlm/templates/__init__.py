"""What the chat template will make of a conversation."""

from litertlm.templates.markers import Markers

__all__ = ["Markers"]
