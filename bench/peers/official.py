"""The official library, measured by its own benchmark."""

from __future__ import annotations

import litert_lm

from bench.peers import Measurement


class OfficialPeer:
    """Implements :class:`bench.peers.Peer`."""

    def __init__(self, model: str, threads: int) -> None:
        litert_lm.set_min_log_severity(litert_lm.LogSeverity.ERROR)
        self.model, self.threads = model, threads

    def measure(self, prompt: int, decode: int) -> Measurement:
        """One run of its benchmark, which loads the model again; loading is not counted."""
        run = litert_lm.Benchmark(
            self.model,
            litert_lm.Backend.CPU(thread_count=self.threads),
            prefill_tokens=prompt,
            decode_tokens=decode,
            cache_dir="",
        ).run()
        return Measurement(run.last_prefill_tokens_per_second, run.last_decode_tokens_per_second)
