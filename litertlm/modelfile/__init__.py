"""The ``.litertlm`` container: read, verified and described before any engine sees it.

This is the one reader of the container in the package. It refuses what is not exactly well-formed, because
the engine does not check: a damaged header makes it crash. It reads header, metadata, tokenizer and the frame
of the graphs, never the weights, and needs nothing but the standard library.
"""

from litertlm.modelfile.description import Modality, ModelDescription, SamplerDefaults, Section, Token
from litertlm.modelfile.model import ModelFile, describe, open_model

__all__ = [
    "Modality",
    "ModelDescription",
    "ModelFile",
    "SamplerDefaults",
    "Section",
    "Token",
    "describe",
    "open_model",
]
