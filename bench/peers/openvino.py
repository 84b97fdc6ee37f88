"""OpenVINO GenAI, on a folder that optimum-intel exported from the same shape."""

from __future__ import annotations

import numpy as np
import openvino as ov
import openvino_genai as genai

from peers import Measurement, prompt_tokens


class OpenVinoPeer:
    """Implements :class:`peers.Peer`."""

    def __init__(self, folder: str, threads: int) -> None:
        self.pipeline = genai.LLMPipeline(
            folder, "CPU", INFERENCE_NUM_THREADS=threads, PERFORMANCE_HINT="LATENCY"
        )

    def measure(self, prompt: int, decode: int) -> Measurement:
        """One generation; the rates are its own."""
        ids = np.array([prompt_tokens(prompt, 10_000)], dtype=np.int64)
        config = genai.GenerationConfig(max_new_tokens=decode + 1, do_sample=False, ignore_eos=True)
        result = self.pipeline.generate(
            genai.TokenizedInputs(ov.Tensor(ids), ov.Tensor(np.ones_like(ids))), config
        )
        metrics = result.perf_metrics
        return Measurement(prompt / (metrics.get_ttft().mean / 1e3), 1e3 / metrics.get_tpot().mean)
