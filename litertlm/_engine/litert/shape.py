"""What the library fixes when a conversation is made: for each such setting, another native conversation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from litertlm._engine.lib import ffi, native_text
from litertlm._engine.litert import wire
from litertlm._engine.seam import Preface
from litertlm.messages import Message
from litertlm.options import Sampler, TurnOptions

__all__ = ["Shape", "effective_sampler", "native_sampler"]


@dataclass(frozen=True, slots=True)
class Shape:
    """The settings of a turn that make up the native conversation it runs on.

    Attributes:
        sampler: Every field set.
        thinking: As the chat template is told; None: nothing.
        tools: Whether the tools are declared.
        constrained: Whether replies can be constrained. A constraint stays when its turn is over, and the
            flag alone changes what the engine does with tools, so an unconstrained turn takes another one.
    """

    sampler: Sampler
    thinking: bool | None
    tools: bool
    constrained: bool

    @classmethod
    def of(cls, preface: Preface, options: TurnOptions, model: Sampler) -> Shape:
        """What a turn with these options needs; ``model`` is the model's sampler."""
        return cls(
            effective_sampler(options.sampler, preface.sampler, model),
            preface.thinking if options.thinking is None else options.thinking,
            bool(preface.tools) and options.tools,
            options.response_format is not None,
        )

    @contextmanager
    def native_options(
        self, preface: Preface, messages: tuple[Message, ...], *, switches: bool
    ) -> Iterator[Any]:
        """The C options struct; its strings live as long as the block.

        Args:
            preface: Whose tools and template it takes.
            messages: All that was said, a system message first.
            switches: Whether the library has thinking switches; the template is told in any case.
        """
        system = messages[0] if messages and messages[0].role == "system" else None
        rest = [wire.message_to_wire(message) for message in messages if message is not system]
        documents: dict[str, Any] = {
            # Bare text that happens to parse as JSON would be taken as JSON.
            "system_json": wire.message_to_wire(system)["content"] if system else None,
            "messages_json": rest or None,
            "tools_json": wire.tools_to_wire(preface.tools) if self.tools else None,
            "extra_context_json": None if self.thinking is None else {"enable_thinking": self.thinking},
        }
        texts = {
            name: native_text(wire.dump(value), name.removesuffix("_json"))
            for name, value in documents.items()
            if value is not None
        }
        if preface.chat_template is not None:
            texts["chat_template"] = native_text(preface.chat_template, "chat template")
        kept = {name: ffi.new("char[]", text) for name, text in texts.items()}
        values = {
            **kept,
            "sampler": native_sampler(self.sampler),
            "thinking": {None: 0, True: 1, False: -1}[self.thinking] if switches else 0,
            "constrained": self.constrained,
        }
        yield ffi.new("ltlm_conversation_options *", values)


def effective_sampler(*asked: Sampler) -> Sampler:
    """Each field from the first that sets it, the last setting all; all greedy ones are equal."""

    def first(name: str) -> Any:
        return next(value for sampler in asked if (value := getattr(sampler, name)) is not None)

    if first("temperature") == 0 or first("top_k") == 1:
        # Greedy is top-k 1: at temperature 0 the engine would divide by it.
        return Sampler(temperature=1.0, top_k=1, top_p=1.0, seed=0)
    return Sampler(first("temperature"), first("top_k"), first("top_p"), first("seed"))


def native_sampler(sampler: Sampler) -> dict[str, Any]:
    """As C takes it. Every field is set: an unset one would be the engine's idea of a default."""
    return {
        "set": True,
        "top_k": sampler.top_k,
        "top_p": sampler.top_p,
        "temperature": sampler.temperature,
        "seed": sampler.seed,
    }
