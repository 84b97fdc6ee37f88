"""The official library."""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from functools import partial
from typing import Any

import litert_lm

from peers import Answer, Measurement, at_once, message_of

__all__ = ["OfficialChats", "OfficialPeer", "clone", "prompt_length"]


class OfficialPeer:
    """Implements :class:`peers.Peer` by the library's own benchmark."""

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


class OfficialChats:
    """Implements :class:`peers.Chats`.

    Args:
        model: The file.
        threads: CPU threads.
        cache: Folder for prepared weights.
        context: Tokens that a chat can hold; at most what the model can.
    """

    def __init__(self, model: str, threads: int, cache: str, context: int = 4096) -> None:
        litert_lm.set_min_log_severity(litert_lm.LogSeverity.SILENT)
        self.engine = litert_lm.Engine(
            model,
            backend=litert_lm.Backend.CPU(thread_count=threads),
            max_num_tokens=context,
            cache_dir=cache,
        )
        self._held: list[Any] = []

    def together(self, count: int, prompt: int, tokens: int) -> list[Answer]:
        """They are answered one after the other: it does one thing at a time."""
        with ExitStack() as stack:
            chats = [stack.enter_context(self.chat()) for _ in range(count)]
            messages = [self._message(chat, prompt, number) for number, chat in enumerate(chats)]
            pairs = list(zip(chats, messages, strict=True))
            before = [prompt_length(self.engine, *pair) for pair in pairs]

            def ask(chat: Any, message: str) -> int:
                chat.send_message(message, max_output_tokens=tokens)
                return 0

            answers = at_once([partial(ask, *pair) for pair in pairs])
            # Counted only now: while another chat is answered, it would wait.
            after = [chat.token_count for chat in chats]
        written = [end - begin for begin, end in zip(before, after, strict=True)]
        return [Answer(one, answer.seconds) for one, answer in zip(written, answers, strict=True)]

    def hold(self, count: int, prompt: int) -> list[int]:
        """They stay open until the process ends."""
        for number in range(count):
            chat = self.chat()
            chat.send_message(self._message(chat, prompt, number), max_output_tokens=1)
            self._held.append(chat)
        return [chat.token_count for chat in self._held]

    def chat(self) -> Any:
        """A new one, greedy."""
        sampler = litert_lm.SamplerConfig(top_k=1, top_p=1.0, temperature=1.0, seed=0)
        return self.engine.create_conversation(sampler_config=sampler)

    def _message(self, chat: Any, prompt: int, number: int) -> str:
        return message_of(prompt, number, lambda message: prompt_length(self.engine, chat, message))


def prompt_length(engine: Any, chat: Any, message: str) -> int:
    """Tokens that sending a message would prefill."""
    return len(engine.tokenize(chat.render_message_to_string(message)))


def clone(chat: Any) -> Any:
    """A conversation in the same state: the C interface has that, the binding does not.

    The library's clones are cheap until they are used, and wrong when two of a family are used in turn.
    """
    make = chat._lib.litert_lm_conversation_clone
    make.argtypes, make.restype = [ctypes.c_void_p], ctypes.c_void_p
    pointer = make(chat._ptr)
    if not pointer:
        raise RuntimeError("the conversation cannot be cloned")
    return litert_lm.Conversation(chat._lib, pointer, chat._engine, automatic_tool_calling=False)
