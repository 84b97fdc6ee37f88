"""How close our own engine's logits are to those of the reference interpreter, on the same file.

::

    python -m models.parity FILE... [--tokens 100] [--kernels NAME] [--wide]

Teacher-forced: both are given the same random tokens, one after the other, and their logits are compared at
each. The reference is the interpreter of ``ai-edge-litert`` on the file's own ``decode`` graph, with the
kernels that the official engine uses (XNNPACK). The same interpreter with TensorFlow Lite's own kernels is
the second official backend: it says how far two implementations of one file lie apart, since they round
activations to 8 bits in ways of their own. Of its optimised and its portable kernels the nearer ones count:
the former are wrong on int4 weights with Hadamard matrices, the latter on int4 weights in blocks.

Where the likeliest token is another than the reference's, that has to be a near tie: the reference prefers
its own to ours by less than the two official backends differ at most. A line of the table says for each
file: the median and the least cosine; at how many positions the likeliest token is another, and in brackets
at how many of them the backends differ by more than the preference at that very position too (they may agree
for a while, until a first rounding tips); the widest such preference; the largest difference of the
backends, their cosines, and at how many positions their likeliest tokens differ; and how far our engine is
from itself when all tokens are prefilled at once. The command fails if a cosine is below 0.998, or if
another token was the likeliest without a near tie.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
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
XNNPACK = "BUILTIN"
"""What the interpreter calls its choice of kernels; this one is the official engine's."""
OTHERS = ("BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_REF")
"""TensorFlow Lite's own kernels, optimised and portable."""


def ours(engine: NativeEngine, ids: Sequence[int], *, at_once: bool = False) -> Array:
    """Logits after each of the tokens; ``at_once``: after the last only, all prefilled together."""
    sequence = engine.new_sequence()
    rows = []
    for count in [len(ids)] if at_once else range(1, len(ids) + 1):
        generation = Generation(sequence)
        greedy = Sampler(temperature=0.0, top_k=1, top_p=1.0, seed=0)
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
        kernels: `XNNPACK` or one of `OTHERS`.
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

    def logits(self, ids: Sequence[int]) -> Array:
        """After each of the tokens."""
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
            rows.append(out["logits"].reshape(-1).copy())
        return np.stack(rows)


def cosines(one: Array, other: Array) -> Array:
    """Of each row with the same row of the other."""
    left, right = one.astype(np.float64), other.astype(np.float64)
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    result: Array = ((left * right).sum(axis=1) / norms).astype(np.float32)
    return result


@dataclass(frozen=True)
class Parity:
    """What was measured on one file.

    Args:
        cosine: Of our logits with the reference's, at each position.
        backends: Of the second backend's logits with the reference's, at each position.
        preference: By how much the reference prefers its own likeliest token to ours, at each position.
        difference: The largest difference of a logit between the two backends, at each position.
        backends_disagree: At how many positions their likeliest tokens differ.
        at_once: Cosine of our last logits with those after one prefill; None if they are equal bit for bit.
    """

    cosine: Array
    backends: Array
    preference: Array
    difference: Array
    backends_disagree: int
    at_once: float | None

    @property
    def passes(self) -> bool:
        """Whether the file's logits are the reference's but for rounding."""
        near_ties = self.preference.max() <= self.difference.max()
        return bool(self.cosine.min() >= LEAST_COSINE and near_ties)

    def __str__(self) -> str:
        others = self.preference > 0
        there_too = others & (self.preference < self.difference)
        at_once = "bit for bit" if self.at_once is None else f"{self.at_once:.6f}"
        return (
            f"{np.median(self.cosine):.5f} | {self.cosine.min():.5f} | {others.sum()} ({there_too.sum()}) "
            f"| {self.preference.max():.3f} | {self.difference.max():.3f} | {np.median(self.backends):.5f} "
            f"| {self.backends.min():.5f} | {self.backends_disagree} | {at_once} "
            f"| {'yes' if self.passes else 'NO'}"
        )


def measure(path: Path, count: int, *, wide: bool) -> Parity:
    """Run one file on both engines and on the second backend.

    Args:
        path: A model file.
        count: How many tokens.
        wide: KV cache in float32 instead of float16.

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
    reference = Reference(path, XNNPACK).logits(ids)
    seconds = [Reference(path, kernels).logits(ids) for kernels in OTHERS]
    second = min(seconds, key=lambda logits: float(np.abs(logits - reference).mean()))
    likeliest = mine.argmax(axis=1)
    return Parity(
        cosine=cosines(mine, reference),
        backends=cosines(second, reference),
        preference=reference.max(axis=1) - reference[np.arange(count), likeliest],
        difference=np.abs(second - reference).max(axis=1),
        backends_disagree=int((second.argmax(axis=1) != reference.argmax(axis=1)).sum()),
        at_once=None if np.array_equal(whole[0], mine[-1]) else float(cosines(whole, mine[-1:])[0]),
    )


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
        "| model | median cosine | least | other token | widest gap | backends: largest difference "
        "| median cosine | least | other token | at once | passes |"
    )
    print(f"|{'---|' * 11}")
    failed = False
    for path in arguments.files:
        try:
            parity = measure(path, arguments.tokens, wide=arguments.wide)
        except OptionError as refusal:
            print(f"| {path.stem} | refused: {str(refusal)[:150]} |{' |' * 9}", flush=True)
            continue
        print(f"| {path.stem} | {parity} |", flush=True)
        failed |= not parity.passes
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
