"""llama.cpp through llama-cpp-python, on a GGUF file of the same weights.

Each of them is made with ``mmap`` true: weights from the mapped file, or false: loaded into memory, which
lets it rearrange them for this CPU.
"""

from __future__ import annotations

import time

import llama_cpp
import numpy as np

from peers import Answer, Measurement, prompt_tokens


class LlamaPeer:
    """Implements :class:`peers.Peer`."""

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
        token = self._likeliest()
        first = time.perf_counter()
        for _ in range(decode):
            llama.eval([token])
            token = self._likeliest()
        ended = time.perf_counter()
        return Measurement(prompt / (first - started), decode / (ended - first))

    def _likeliest(self) -> int:
        return likeliest(self.llama.ctx, -1, self.llama.n_vocab())


class LlamaChats:
    """Implements :class:`peers.Chats` by parallel decoding, as its server does it.

    One context with a KV cache that all sequences share. Prompts go in together; then every call decodes the
    next token of each chat.

    Args:
        model: The GGUF file.
        threads: CPU threads.
        mmap: Whether weights are read from the mapped file.
        most: Chats at once.
        context: Tokens that each of them can hold.
    """

    BATCH, MICRO_BATCH = 2048, 512  # its server's defaults

    def __init__(self, model: str, threads: int, mmap: bool, most: int, context: int) -> None:
        llama_cpp.llama_backend_init()
        how = llama_cpp.llama_model_default_params()
        how.use_mmap = mmap
        self._model = llama_cpp.llama_model_load_from_file(model.encode(), how)
        if not self._model:
            raise RuntimeError(f"{model} cannot be loaded")
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = most * context
        settings.n_seq_max = most
        settings.kv_unified = True
        settings.n_batch, settings.n_ubatch = self.BATCH, self.MICRO_BATCH
        settings.n_threads = settings.n_threads_batch = threads
        settings.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        if not self._context:
            raise RuntimeError(f"no context of {most} times {context} tokens can be made")
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self._batch = llama_cpp.llama_batch_init(self.BATCH, 0, 1)

    def together(self, count: int, prompt: int, tokens: int) -> list[Answer]:
        """The prompts are token ids that mean nothing; no chat template, no text, no server around it."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        prompts = [prompt_tokens(prompt, self._vocabulary) for _ in range(count)]
        began = time.perf_counter()
        rows = [
            (token, place, chat, place == prompt - 1)
            for chat, ids in enumerate(prompts)
            for place, token in enumerate(ids)
        ]
        latest = self._decoded(rows)
        for step in range(tokens - 1):
            latest = self._decoded([(latest[chat], prompt + step, chat, True) for chat in range(count)])
        seconds = time.perf_counter() - began
        return [Answer(tokens, seconds)] * count

    def _decoded(self, rows: list[tuple[int, int, int, bool]]) -> dict[int, int]:
        """Run rows of (token, position, chat, is the next wanted); the likeliest next of each chat."""
        following: dict[int, int] = {}
        batch = self._batch
        for start in range(0, len(rows), self.BATCH):
            part = rows[start : start + self.BATCH]
            batch.n_tokens = len(part)
            for i, (token, position, chat, wanted) in enumerate(part):
                batch.token[i], batch.pos[i], batch.logits[i] = token, position, wanted
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, chat
            status = llama_cpp.llama_decode(self._context, batch)
            if status:
                raise RuntimeError(f"llama_decode returned {status}")
            for i, (_, _, chat, wanted) in enumerate(part):
                if wanted:
                    following[chat] = likeliest(self._context, i, self._vocabulary)
        return following


def likeliest(context: object, row: int, vocabulary: int) -> int:
    """The greedy choice after a row of the latest batch."""
    logits = llama_cpp.llama_get_logits_ith(context, row)
    return int(np.argmax(np.ctypeslib.as_array(logits, shape=(vocabulary,))))


def mapped(model: str, threads: int) -> LlamaPeer:
    """The mapped file."""
    return LlamaPeer(model, threads, mmap=True)


def repacked(model: str, threads: int) -> LlamaPeer:
    """Loaded into memory."""
    return LlamaPeer(model, threads, mmap=False)
