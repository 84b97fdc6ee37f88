"""What the library fixes when a conversation is made: for each such setting, another native conversation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from litertlm._engine.lib import ffi, native_text
from litertlm._engine.litert import wire
from litertlm._engine.samplers import effective_sampler
from litertlm._engine.seam import Preface
from litertlm.messages import Message
from litertlm.options import Sampler, TurnOptions

__all__ = ["Shape", "native_sampler"]


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


def native_sampler(sampler: Sampler) -> dict[str, Any]:
    """As C takes it. Every field is set: an unset one would be the engine's idea of a default."""
    return {
        "set": True,
        "top_k": sampler.top_k,
        "top_p": sampler.top_p,
        "temperature": sampler.temperature,
        "seed": sampler.seed,
    }
