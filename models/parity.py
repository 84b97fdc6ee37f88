"""How close our own engine's logits are to those of the reference interpreter, on the same file.

::

    python -m models.parity FILE... [--tokens 100] [--kernels NAME] [--wide]

Teacher-forced: both are given the same random tokens, one after the other, and their logits are compared at
each. The reference is the interpreter of ``ai-edge-litert`` on the file's own ``decode`` graph. For each
file: the least and the median cosine, at how many positions the likeliest token is the same, and, where it is
not, how close the reference's two likeliest lie together at most. And how far the same engine is from itself
when all tokens are prefilled at once.
"""

from __future__ import annotations

import argparse
import os
import random
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
    """The reference interpreter on the graphs of a model file."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._kept: list[Any] = []
        self._embedders: dict[str, Any] = {}
        with open_model(path) as file, tempfile.TemporaryDirectory() as folder, path.open("rb") as content:
            for section in file.description.sections:
                if section.kind != "tflite_model":
                    continue
                content.seek(section.begin)
                graph = Path(folder, f"{section.model_type}.tflite")
                graph.write_bytes(content.read(section.end - section.begin))
                if section.model_type == "tf_lite_prefill_decode":
                    self._kept.append(Interpreter(model_path=str(graph), num_threads=2))
                    self._decode = self._kept[-1].get_signature_runner("decode")
                elif section.model_type in ("tf_lite_embedder", "tf_lite_per_layer_embedder"):
                    interpreter = Interpreter(model_path=str(graph))
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


def compare(path: Path, count: int, *, wide: bool) -> str:
    """A line of the table."""
    try:
        client = Client(
            path,
            engine="native",
            vision_backend="off",
            audio_backend="off",
            kv_cache="float32" if wide else "float16",
            weights="mapped",
        )
    except OptionError as refusal:
        return f"| {path.stem} | refused: {str(refusal)[:150]} | | | | |"
    with client:
        engine = client._engine
        assert isinstance(engine, NativeEngine)
        source = random.Random(3)
        ids = [source.randrange(20, min(engine.vocabulary, 10_000)) for _ in range(count)]
        mine, whole = ours(engine, ids), ours(engine, ids, at_once=True)
    reference = Reference(path).logits(ids)
    cosine = cosines(mine, reference)
    same = mine.argmax(axis=1) == reference.argmax(axis=1)
    ordered = np.sort(reference, axis=1)
    gaps = (ordered[:, -1] - ordered[:, -2])[~same]
    spread = float(np.abs(mine - reference).max(axis=1).max())
    at_once = "bit for bit" if np.array_equal(whole[0], mine[-1]) else f"{cosines(whole, mine[-1:])[0]:.6f}"
    return (
        f"| {path.stem} | {cosine.min():.5f} | {np.median(cosine):.5f} | {same.sum()} of {count} "
        f"| {gaps.max() if len(gaps) else 0:.3f} of {spread:.3f} | {at_once} |"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m models.parity", description=str(__doc__).split("\n")[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--kernels", help="name of an instruction set's kernels")
    parser.add_argument("--wide", action="store_true", help="KV cache in float32")
    arguments = parser.parse_args()
    if arguments.kernels:
        os.environ["LITERTLM_KERNELS"] = arguments.kernels
    print(
        "| model | least cosine | median | same likeliest | gap where not, of largest difference | at once |"
    )
    print("|---|---|---|---|---|---|")
    for path in arguments.files:
        print(compare(path, arguments.tokens, wide=arguments.wide), flush=True)


if __name__ == "__main__":
    main()
