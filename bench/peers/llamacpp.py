"""llama.cpp through llama-cpp-python, on a GGUF file of the same weights."""

from __future__ import annotations

import time

import llama_cpp
import numpy as np

from bench.peers import Measurement, prompt_tokens


class LlamaPeer:
    """Implements :class:`bench.peers.Peer`."""

    def __init__(self, model: str, threads: int, *, mmap: bool) -> None:
        self.llama = llama_cpp.Llama(
            model,
            n_ctx=2048,
            n_batch=512,
            n_ubatch=512,
            n_threads=threads,
            n_threads_batch=threads,
            use_mmap=mmap,
            flash_attn=True,
            verbose=False,
        )

    def measure(self, prompt: int, decode: int) -> Measurement:
        """Prefill in batches of 512, then one token after the other, greedy."""
        llama = self.llama
        llama.reset()
        tokens = prompt_tokens(prompt, llama.n_vocab())
        started = time.perf_counter()
        llama.eval(tokens)
        token = int(np.argmax(self._logits()))
        first = time.perf_counter()
        for _ in range(decode):
            llama.eval([token])
            token = int(np.argmax(self._logits()))
        ended = time.perf_counter()
        return Measurement(prompt / (first - started), decode / (ended - first))

    def _logits(self) -> np.ndarray:
        pointer = llama_cpp.llama_get_logits_ith(self.llama.ctx, -1)
        return np.ctypeslib.as_array(pointer, shape=(self.llama.n_vocab(),))


def mapped(model: str, threads: int) -> LlamaPeer:
    """The mapped file."""
    return LlamaPeer(model, threads, mmap=True)


def repacked(model: str, threads: int) -> LlamaPeer:
    """Loaded into memory, which lets it rearrange the weights for this CPU."""
    return LlamaPeer(model, threads, mmap=False)
