"""Our own engine."""

from __future__ import annotations

import os

from bench.peers import Measurement, prompt_tokens
from litertlm import Client
from litertlm._engine.native.engine import NativeEngine
from litertlm._engine.native.generation import Generation
from litertlm._engine.native.settings import Decoding
from litertlm._engine.paired import PairedEngine
from litertlm.options import Sampler

GREEDY = Sampler(temperature=0.0, top_k=1, top_p=1.0, seed=0)


class NativePeer:
    """Implements :class:`bench.peers.Peer`; ``weights`` as for :class:`litertlm.Client`."""

    def __init__(self, model: str, threads: int, weights: str = "mapped") -> None:
        self.client = Client(model, threads=threads, engine="native", weights=weights)  # type: ignore[arg-type]
        engine = self.client._engine
        self.engine = engine.text if isinstance(engine, PairedEngine) else engine
        assert isinstance(self.engine, NativeEngine)

    def measure(self, prompt: int, decode: int) -> Measurement:
        """One generation on an empty sequence."""
        engine = self.engine
        sequence = engine.new_sequence()
        generation = Generation(sequence)
        generation.start(prompt_tokens(prompt, engine.vocabulary), Decoding(decode + 1, GREEDY))
        while not generation.ended:
            generation.take(None)
        if generation.failure is not None:
            raise generation.failure
        progress = generation.progress
        prefill = (progress.first_token_ns - progress.running_ns) / 1e9
        writing = (progress.ended_ns - progress.first_token_ns) / 1e9
        rates = Measurement(prompt / prefill, (progress.generated_tokens - 1) / writing)
        generation.close()
        sequence.close()
        return rates


def mapped(model: str, threads: int) -> NativePeer:
    """Weights from the mapped file."""
    return NativePeer(model, threads)


def copied(model: str, threads: int) -> NativePeer:
    """Weights from a copy in huge pages."""
    return NativePeer(model, threads, "copied")


def avx2(model: str, threads: int) -> NativePeer:
    """Weights from the mapped file, with the kernels of a CPU that has AVX2 only."""
    os.environ["LITERTLM_KERNELS"] = "avx2"
    return NativePeer(model, threads)
