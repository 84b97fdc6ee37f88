"""From a model file to its plan."""

from __future__ import annotations

import math
import os

from litertlm._engine.native.plan import tflite
from litertlm._engine.native.plan.lowering import lower
from litertlm._engine.native.plan.patterns import fuse
from litertlm._engine.native.plan.recognise import HANDLERS
from litertlm._engine.native.plan.steps import Cache, Op, Plan
from litertlm._engine.native.plan.symbols import Cache as CacheSymbol
from litertlm._engine.native.plan.symbols import Mask, Position, Row, Symbol, Token
from litertlm._engine.native.plan.tflite import NotRecognised
from litertlm._engine.native.plan.trace import Trace
from litertlm.errors import ModelFileError
from litertlm.modelfile import ModelFile
from litertlm.modelfile.description import Section

__all__ = ["NotRecognised", "plan"]

_MOST_POSITIONS = 1 << 24  # positions are floats in the graph, exact up to here

_EMBEDDERS = {"embeddings": "tf_lite_embedder", "per_layer_embeddings": "tf_lite_per_layer_embedder"}
"""Inputs of the decode graph that another section computes of the token."""


def plan(model: ModelFile) -> Plan:
    """Describe what a model computes.

    Args:
        model: A verified file.

    Returns:
        Its plan; positions of weights are those in the file.

    Raises:
        NotRecognised: The model computes something that this engine has no kernels for; the reason names the
            node of the graph.
        ModelFileError: A graph is damaged.
    """
    descriptor = model.descriptor()
    try:
        return _plan(descriptor, model.description.sections)
    except ModelFileError as error:
        raise ModelFileError(error.problem, path=model.path, place=error.place, hint=error.hint) from error
    finally:
        os.close(descriptor)


def _plan(descriptor: int, sections: tuple[Section, ...]) -> Plan:
    language = _open(descriptor, sections, "tf_lite_prefill_decode")
    signature = language.signatures().get("decode")
    if signature is None:
        raise NotRecognised("the model has no decode graph")
    graph = language.graph(signature.graph)
    trace = Trace(HANDLERS)
    given: dict[int, Symbol] = {}
    for name, number in signature.inputs.items():
        given[number] = _input(trace, descriptor, sections, name, graph.tensor(number))
    known = trace.run(graph, given)
    logits = _outputs(signature, given, known)
    if len(trace.contexts) != 1:
        raise NotRecognised(f"the caches and the mask have the lengths {sorted(trace.contexts)}")
    (length,) = trace.contexts
    if not 1 < length <= _MOST_POSITIONS:
        raise NotRecognised(f"a context of {length} positions is too long")
    fuse(trace.graph, logits)
    _check_tokens(trace, logits)
    caches = [
        Cache(cache.kv_heads, cache.head_dim, 0 if 0 in cache.windows else max(cache.windows))
        for cache in trace.caches
    ]
    return lower(trace.graph, caches, logits=logits, max_context=length)


def _open(descriptor: int, sections: tuple[Section, ...], model_type: str) -> tflite.Model:
    found = [
        section for section in sections if section.kind == "tflite_model" and section.model_type == model_type
    ]
    if len(found) != 1:
        raise NotRecognised(f"the file has {len(found)} graphs of the kind {model_type}")
    if any(section.kind == "tflite_weights" and section.model_type == model_type for section in sections):
        raise NotRecognised("the weights are in a section of their own")
    return tflite.Model.open(descriptor, found[0].begin, found[0].end, model_type)


def _input(
    trace: Trace, descriptor: int, sections: tuple[Section, ...], name: str, tensor: tflite.Tensor
) -> Symbol:
    """What an input of the decode graph stands for."""
    if name == "tokens" and tensor.type == "int32" and tensor.elements == 1:
        return Token(tensor.shape)
    if name == "input_pos" and tensor.type == "int32" and tensor.elements == 1:
        return Position(0, tensor.shape)
    if name == "mask" and tensor.type == "float32" and tensor.shape and tensor.elements == tensor.shape[-1]:
        trace.contexts.add(tensor.shape[-1])
        return Mask(causal=True, window=0, shape=tensor.shape)
    if name.startswith("kv_cache_") and tensor.type == "float32":
        return CacheSymbol(name, tensor.shape)
    if name in _EMBEDDERS and tensor.type == "float32":
        row = _embed(trace, _open(descriptor, sections, _EMBEDDERS[name]), _EMBEDDERS[name])
        if math.prod(row.shape) != tensor.elements:
            raise NotRecognised(
                f"the embedder gives the shape {row.shape} for the input {name!r} {tensor.shape}"
            )
        return Row(row.value, tensor.shape)
    raise NotRecognised(f"the decode graph has the input {name!r}, {tensor.type} {tensor.shape}")


def _embed(trace: Trace, model: tflite.Model, what: str) -> Row:
    """What the graph of an embedder section computes of the token."""
    for signature in model.signatures().values():
        if len(signature.inputs) != 1 or len(signature.outputs) != 1:
            continue
        graph = model.graph(signature.graph)
        (token,), (output,) = signature.inputs.values(), signature.outputs.values()
        tensor = graph.tensor(token)
        if tensor.elements == 1 and tensor.type in ("int32", "int64"):
            found = trace.run(graph, {token: Token(tensor.shape)}).get(output)
            if isinstance(found, Row):
                return found
            raise NotRecognised(f"the graph of {what} does not compute its output of the token")
    raise NotRecognised(f"{what} has no graph for one token")


def _outputs(signature: tflite.Signature, given: dict[int, Symbol], known: dict[int, Symbol]) -> int:
    """Check that every cache that comes in goes out updated, and nothing else but logits; return those."""
    caches = {symbol.name for symbol in given.values() if isinstance(symbol, CacheSymbol)}
    logits = None
    for name, number in signature.outputs.items():
        symbol = known.get(number)
        if name == "logits" and isinstance(symbol, Row):
            logits = symbol.value
        elif isinstance(symbol, CacheSymbol) and symbol.name == name and symbol.axes:
            caches.discard(name)
        else:
            raise NotRecognised(f"the decode graph has the output {name!r}")
    if logits is None or caches:
        raise NotRecognised(f"the decode graph does not give {', '.join(sorted(caches)) or 'logits'}")
    return logits


def _check_tokens(trace: Trace, logits: int) -> None:
    """Every token that can be chosen can be looked up."""
    vocabulary = trace.graph.widths[logits]
    tables = [matrix.rows for node in trace.graph.nodes if node.op is Op.EMBED for matrix in node.matrices]
    if not tables or min(tables) < vocabulary:
        raise NotRecognised(f"{vocabulary} tokens have logits, but tables of embeddings have {tables} rows")
