"""How close our own engine's logits are to those of the reference interpreter, on the same file.

::

    python -m models.parity FILE... [--tokens 100] [--kernels NAME] [--wide]

Teacher-forced: both are given the same random tokens, one after the other, and their logits are compared at
each. The reference is the interpreter of ``ai-edge-litert`` on the file's own ``decode`` graph, with the
kernels that the official engine uses on the CPU (XNNPACK).

How far official backends lie apart is measured in two ways: the same interpreter with TensorFlow Lite's own
kernels, which round activations to 8 bits in a way of their own, and with XNNPACK and a KV cache that is kept
in 16 bits, as on a GPU and in our engine. Where the likeliest token is another than the reference's, that
has to be a near tie: the reference prefers its own to ours by less than one of the two differs from it.

A line of the table says for each file: the median and the least cosine; at how many positions the likeliest
token is another; the widest such preference; for either backend the largest difference of a logit, the
least cosine, and at how many positions its likeliest token is another; and how far our engine is from itself
when all tokens are prefilled at once. The command fails if a cosine is below 0.998, or if another token was
the likeliest without a near tie.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from litertlm import Client, OptionError
from litertlm._engine.native.engine import NativeEngine
from litertlm._engine.native.generation import Generation
from litertlm._engine.native.settings import Decoding
from litertlm.modelfile import open_model
from litertlm.options import Sampler

Array = npt.NDArray[np.float32]
HIDDEN = -10000.0
LEAST_COSINE = 0.998
RELATED = 0.9
XNNPACK = "BUILTIN"
"""What the interpreter calls its choice of kernels; this one is the official engine's."""
OWN_KERNELS = ("BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_REF")
"""TensorFlow Lite's own, optimised and portable."""


def ours(engine: NativeEngine, ids: Sequence[int], *, at_once: bool = False) -> Array:
    """Logits after each of the tokens; ``at_once``: after the last only, all prefilled together."""
    sequence = engine.new_sequence()
    rows = []
    for count in [len(ids)] if at_once else range(1, len(ids) + 1):
        generation = Generation(sequence)
        greedy = Sampler(temperature=0.0, top_k=1, top_p=1.0, min_p=0.0, seed=0)
        generation.start(ids[:count], Decoding(1, greedy, keep_logits=True))
        while not generation.ended:
            generation.take(None)
        rows.append(generation.logits(engine.vocabulary))
        generation.close()
    sequence.close()
    return np.stack(rows)


class Reference:
    """The reference interpreter on the graphs of a model file.

    Args:
        path: The file.
        kernels: `XNNPACK` or one of `OWN_KERNELS`.
    """

    def __init__(self, path: Path, kernels: str) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._kept: list[Any] = []
        self._embedders: dict[str, Any] = {}
        with open_model(path) as file, tempfile.TemporaryDirectory() as folder, path.open("rb") as content:
            for section in file.description.sections:
                if section.kind != "tflite_model":
                    continue
                content.seek(section.begin)
                graph = Path(folder, f"{section.model_type}.tflite")
                graph.write_bytes(content.read(section.end - section.begin))
                interpreter = Interpreter(
                    model_path=str(graph),
                    num_threads=2,
                    experimental_op_resolver_type=OpResolverType[kernels],
                )
                if section.model_type == "tf_lite_prefill_decode":
                    self._kept.append(interpreter)
                    self._decode = interpreter.get_signature_runner("decode")
                elif section.model_type in ("tf_lite_embedder", "tf_lite_per_layer_embedder"):
                    self._kept.append(interpreter)
                    (name,) = interpreter.get_signature_list()
                    per_layer = section.model_type == "tf_lite_per_layer_embedder"
                    what = "per_layer_embeddings" if per_layer else "embeddings"
                    self._embedders[what] = interpreter.get_signature_runner(name)

    def logits(self, ids: Sequence[int], kept: npt.DTypeLike = np.float32) -> Array:
        """After each of the tokens; ``kept`` is how the KV cache is stored between them."""
        inputs = self._decode.get_input_details()
        cache = {
            name: np.zeros(tensor["shape"], tensor["dtype"])
            for name, tensor in inputs.items()
            if name.startswith("kv_")
        }
        context = inputs["mask"]["shape"][-1]
        rows = []
        for position, token in enumerate(ids):
            mask = np.full((1, 1, 1, context), HIDDEN, np.float32)
            mask[..., : position + 1] = 0
            given: dict[str, Any] = {"input_pos": np.array([position], np.int32), "mask": mask}
            if "tokens" in inputs:
                given["tokens"] = np.array([[token]], np.int32)
            for what, embed in self._embedders.items():
                (given[what],) = embed(token_ids=np.array([[token]], np.int32)).values()
            out = self._decode(**given, **cache)
            cache = {name: out[name] for name in cache}
            for values in cache.values():
                by_position = np.moveaxis(values, values.shape.index(context), 0)
                by_position[position] = by_position[position].astype(kept)
            rows.append(out["logits"].reshape(-1).copy())
        return np.stack(rows)


def cosines(one: Array, other: Array) -> Array:
    """Of each row with the same row of the other."""
    left, right = one.astype(np.float64), other.astype(np.float64)
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    with np.errstate(invalid="ignore"):  # not a number where all logits are zero
        result: Array = ((left * right).sum(axis=1) / norms).astype(np.float32)
    return result


def own_kernels(path: Path, ids: Sequence[int], reference: Array) -> Array | None:
    """Logits by TensorFlow Lite's own kernels, the portable ones, which are slow, only if they have to be.

    Either have mistakes that would pass for noise: the optimised ones on int4 weights with Hadamard matrices,
    the portable ones on int4 weights in blocks, and both on Gemma 2 with embeddings in its graph. None if
    neither has anything to do with the reference.
    """
    for kernels in OWN_KERNELS:
        logits = Reference(path, kernels).logits(ids)
        if np.median(cosines(logits, reference)) >= RELATED:
            return logits
    return None


class Gap:
    """Between the reference's logits and another's, position by position.

    Attributes:
        cosine: Of the logits.
        difference: The largest of a logit.
        preference: By how much the reference prefers its own likeliest token to the other's.
    """

    def __init__(self, other: Array, reference: Array) -> None:
        self.cosine = cosines(other, reference)
        self.difference: Array = np.abs(other - reference).max(axis=1)
        chosen = reference[np.arange(len(reference)), other.argmax(axis=1)]
        self.preference: Array = reference.max(axis=1) - chosen

    @property
    def other_tokens(self) -> int:
        """At how many positions the likeliest token is another."""
        return int((self.preference > 0).sum())


def passes(ours: Gap, backends: Sequence[Gap]) -> bool:
    """Whether our logits are the reference's but for rounding."""
    noise = max(backend.difference.max() for backend in backends)
    return bool(ours.cosine.min() >= LEAST_COSINE and ours.preference.max() <= noise)


def measure(path: Path, count: int, *, wide: bool) -> tuple[str, bool]:
    """Run one file on both engines and on the other backends.

    Args:
        path: A model file.
        count: How many tokens.
        wide: KV cache in float32 instead of float16.

    Returns:
        The cells of the table, and whether the file passes.

    Raises:
        OptionError: Our engine refuses the file.
    """
    with Client(
        path,
        engine="native",
        vision_backend="off",
        audio_backend="off",
        kv_cache="float32" if wide else "float16",
        weights="mapped",
    ) as client:
        engine = client._engine
        assert isinstance(engine, NativeEngine)
        source = random.Random(3)
        ids = [source.randrange(20, min(engine.vocabulary, 10_000)) for _ in range(count)]
        mine, whole = ours(engine, ids), ours(engine, ids, at_once=True)
    xnnpack = Reference(path, XNNPACK)
    reference, half = xnnpack.logits(ids), xnnpack.logits(ids, kept=np.float16)
    gap = Gap(mine, reference)
    own = own_kernels(path, ids, reference)
    backends = [Gap(logits, reference) for logits in (own, half) if logits is not None]
    at_once = cosines(whole, mine[-1:])[0]
    cells = [
        f"{np.median(gap.cosine):.5f}",
        f"{gap.cosine.min():.5f}",
        f"{gap.other_tokens}",
        f"{gap.preference.max():.3f}",
        *([] if own is not None else ["wrong"]),
        *(f"{b.difference.max():.3f}, {b.cosine.min():.5f}, {b.other_tokens}" for b in backends),
        "bit for bit" if np.array_equal(whole[0], mine[-1]) else f"{at_once:.6f}",
        "yes" if (good := passes(gap, backends)) else "NO",
    ]
    return " | ".join(cells), good


def main() -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m models.parity", description=str(__doc__).split("\n")[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--kernels", help="name of an instruction set's kernels")
    parser.add_argument("--wide", action="store_true", help="KV cache in float32")
    arguments = parser.parse_args()
    if arguments.kernels:
        os.environ["LITERTLM_KERNELS"] = arguments.kernels
    print(
        "| model | median cosine | least | other token | widest preference "
        "| own kernels | 16-bit cache | at once | passes |"
    )
    print(f"|{'---|' * 9}")
    failed = False
    for path in arguments.files:
        try:
            cells, good = measure(path, arguments.tokens, wide=arguments.wide)
        except OptionError as refusal:
            cells, good = f"refused: {str(refusal)[:150]} |{' |' * 6}", True
        print(f"| {path.stem} | {cells} |", flush=True)
        failed |= not good
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
