"""Why a turn is undone by replaying the history: clones are wrong once two of them have diverged.

If this fails, the engine library has been mended, and ``_engine/litert/conversation.py`` may use clones.
"""

from __future__ import annotations

from typing import Any

from litertlm import Chat, Client
from litertlm._engine.lib import ffi, lib, native_text, new_error
from litertlm._engine.litert import wire
from litertlm.messages import Message, Text

# Only the text of the messages, so that prompts share exactly the beginning that we give them.
TEMPLATE = "{% for m in messages %}{{ m.content[0].text }}{% endfor %}"
BEFORE = "once upon a time"
SHARED = " there was a"
PROMPTS = [f"{SHARED} {word}" for word in ("cat", "king", "stone", "blue", "ship", "number 7", "tool", "Bob")]


def say(conversation: Any, text: str) -> str:
    """One greedy turn on a native conversation; what it streamed."""
    stream, batch, error = ffi.new("ltlm_stream **"), ffi.new("ltlm_batch *"), new_error()
    message = native_text(wire.dump(wire.message_to_wire(Message("user", (Text(text),)))), "message")
    options = ffi.new("ltlm_turn_options *", {"max_output_tokens": 12})
    assert (
        lib.ltlm_conversation_send(conversation, message, ffi.NULL, options, 0, stream, error) == lib.LTLM_OK
    )
    streamed = b""
    while not batch.ended:
        assert lib.ltlm_stream_take(stream[0], 1, 0, -1, batch) == lib.LTLM_OK
        streamed += ffi.buffer(batch.data, batch.size)[:]
    lib.ltlm_stream_dispose(stream, error)
    return streamed.decode("utf-8", errors="replace")


def reply(client: Client, prompt: str, sibling_says: str | None) -> str:
    """What a clone answers after its sibling has said something; None: has said nothing."""
    with client.chat(sampler={"temperature": 0}, max_output_tokens=4, chat_template=TEMPLATE) as chat:
        chat.send(BEFORE)
        original = native(chat)
        clone, error = ffi.new("ltlm_conversation **"), new_error()
        assert lib.ltlm_conversation_clone(original, clone, error) == lib.LTLM_OK
        try:
            if sibling_says is not None:
                say(original, sibling_says)
            return say(clone[0], prompt)
        finally:
            lib.ltlm_conversation_dispose(clone, error)


def native(chat: Chat) -> Any:
    """The chat's native conversation."""
    return chat._timeline._conversation.handle.pointer  # type: ignore[attr-defined]


def test_a_clone_is_right_until_its_sibling_goes_another_way(official_client: Client) -> None:
    """And also if what the sibling said begins differently from the clone's prompt."""
    for prompt in PROMPTS:
        alone = reply(official_client, prompt, None)
        assert reply(official_client, prompt, None) == alone
        assert reply(official_client, prompt, "Zebra") == alone


def test_a_clone_is_wrong_once_its_sibling_shares_the_beginning_of_the_prompt(
    official_client: Client,
) -> None:
    """The engine skips the shared tokens without having their keys and values."""
    wrong = [
        prompt
        for prompt in PROMPTS
        if reply(official_client, prompt, f"{SHARED}n other") != reply(official_client, prompt, None)
    ]
    assert wrong
