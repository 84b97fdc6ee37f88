"""The official LiteRT-LM library behind the engine seam."""

from litertlm._engine.litert.engine import LiteRtEngine, LoadOptions

__all__ = ["LiteRtEngine", "LoadOptions"]
