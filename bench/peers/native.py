"""Our own engine."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial

from litertlm import Chat, Client
from litertlm._engine.native.engine import NativeEngine
from litertlm._engine.native.generation import Generation
from litertlm._engine.native.plan import plan
from litertlm._engine.native.plan.steps import Matrix, Op, Plan, WeightFormat
from litertlm._engine.native.settings import Decoding
from litertlm._engine.paired import PairedEngine
from litertlm.modelfile import open_model
from litertlm.options import Sampler
from peers import Answer, Measurement, at_once, message_of, prompt_tokens

GREEDY = Sampler(temperature=0.0, top_k=1, top_p=1.0, min_p=0.0, seed=0)
FLOAT16 = 2  # bytes


class NativePeer:
    """Implements :class:`peers.Peer`; ``weights`` as for :class:`litertlm.Client`."""

    def __init__(self, model: str, threads: int, weights: str = "mapped") -> None:
        self.client = Client(model, threads=threads, engine="native", weights=weights)  # type: ignore[arg-type]
        engine = self.client._engine
        self.engine = engine.text if isinstance(engine, PairedEngine) else engine
        assert isinstance(self.engine, NativeEngine)
        with open_model(model) as file:
            self.plan = plan(file)

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

    def reads(self, prompt: int, decode: int) -> dict[str, float]:
        """Bytes that it has to read for one token, on average over ``decode`` of them after ``prompt``.

        ``weights``: matrices that a product reads, with their scales, as they lie in the file. A table of
        embeddings counts only if it is the matrix of the logits too; otherwise a row of it is looked up.
        ``kv``: keys and values of the positions that each attention looks at, its window considered, in
        float16.
        """
        return {
            "weights": float(weight_bytes(self.plan)),
            "kv": sum(kv_bytes(self.plan, prompt + i + 1) for i in range(decode)) / decode,
        }


class NativeChats:
    """Implements :class:`peers.Chats`."""

    def __init__(self, model: str, threads: int, weights: str = "auto") -> None:
        self.client = Client(
            model,
            threads=threads,
            engine="native",
            weights=weights,  # type: ignore[arg-type]
            vision_backend="off",
            audio_backend="off",
        )
        self._held: list[Chat] = []

    def together(self, count: int, prompt: int, tokens: int) -> list[Answer]:
        """They are decoded in one pass over the weights."""
        with ExitStack() as stack:
            chats = [stack.enter_context(self._chat()) for _ in range(count)]
            messages = [message_of(prompt, number, chat.count) for number, chat in enumerate(chats)]

            def ask(chat: Chat, message: str) -> int:
                return chat.send(message, max_output_tokens=tokens).usage.completion_tokens

            return at_once([partial(ask, *pair) for pair in zip(chats, messages, strict=True)])

    def hold(self, count: int, prompt: int) -> list[int]:
        """They stay open until the process ends."""
        for number in range(count):
            chat = self._chat()
            chat.send(message_of(prompt, number, chat.count), max_output_tokens=1)
            self._held.append(chat)
        return [chat.token_count for chat in self._held]

    def _chat(self) -> Chat:
        return self.client.chat(sampler={"temperature": 0})


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


def weight_bytes(plan: Plan) -> int:
    """Of all matrices that a product reads, with their scales; one that several share counts once."""
    read = {index for step in plan.steps if step.op == Op.LINEAR for index in step.matrices}
    return sum(_matrix_bytes(plan.matrices[index]) for index in read)


def kv_bytes(plan: Plan, positions: int) -> int:
    """Of the keys and values that one token looks at, its own included, over all attentions."""
    total = 0
    for step in plan.steps:
        if step.op == Op.ATTEND:
            cache = plan.caches[step.cache]
            window = (*step.shape, 0, 0)[1] or positions
            total += min(window, positions) * 2 * cache.kv_heads * cache.head_dim * FLOAT16
    return total


def _matrix_bytes(matrix: Matrix) -> int:
    bits = {WeightFormat.INT4: 4, WeightFormat.INT4_BLOCK: 4, WeightFormat.INT2: 2, WeightFormat.FLOAT32: 32}
    scale = 2 if matrix.format == WeightFormat.INT4_BLOCK else 4
    return matrix.rows * matrix.columns * bits.get(matrix.format, 8) // 8 + matrix.scale_count * scale
