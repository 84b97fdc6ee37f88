"""Whatever way a chat took, it is the chat that made only the surviving turns."""

from __future__ import annotations

from litertlm import Chat, Client

GREEDY = {"temperature": 0}
WORDS = ("Hello!", "My name is Ada.", "What is my name?", "Tell me a story.")


def said(chat: Chat, *messages: str) -> list[str]:
    """Answers of a few tokens."""
    return [chat.send(message, sampler=GREEDY, max_output_tokens=16).text for message in messages]


def straight(client: Client, *messages: str) -> tuple[list[str], int]:
    """What a chat says that takes the straight way, and how many tokens it takes."""
    with client.chat() as chat:
        return said(chat, *messages), chat.token_count


def test_undone_turns_were_never_made(native: Client) -> None:
    """Answers and token counts are those of a chat that never made them."""
    with native.chat() as chat:
        said(chat, *WORDS[:2], "Something else entirely.")
        chat.undo()
        answer = said(chat, WORDS[2])
        assert (answer, chat.token_count) == (
            straight(native, *WORDS[:3])[0][-1:],
            straight(native, *WORDS[:3])[1],
        )


def test_undoing_computes_nothing_again(native: Client) -> None:
    """All but the new message is found in the KV cache."""
    with native.chat() as chat:
        said(chat, *WORDS[:3])
        chat.undo()
        before = chat.token_count
        reply = chat.send(WORDS[3], sampler=GREEDY, max_output_tokens=4)
        assert reply.usage.reused_tokens >= before - 1


def test_forks_share_and_part(native: Client) -> None:
    """Each goes on as if it were alone."""
    with native.chat() as chat:
        said(chat, *WORDS[:2])
        with chat.fork() as other:
            here, there = said(chat, WORDS[2]), said(other, WORDS[3])
            assert other.history[:4] == chat.history[:4]
        assert here == straight(native, *WORDS[:3])[0][-1:]
        assert there == straight(native, *WORDS[:2], WORDS[3])[0][-1:]


def test_a_fork_computes_nothing_again(native: Client) -> None:
    """It shares the pages of the chat that it came from, also when that is closed."""
    chat = native.chat()
    said(chat, *WORDS[:2])
    other = chat.fork()
    before = chat.token_count
    chat.close()
    with other:
        assert other.send("And?", sampler=GREEDY, max_output_tokens=4).usage.reused_tokens >= before - 1


def test_a_new_chat_begins_with_what_another_one_has_read(native: Client) -> None:
    """A system message is prefilled once for all chats that begin with it."""
    system = "You are a patient assistant who answers in few words. " * 8
    with native.chat(system) as first:
        said(first, "Hello!")
    with native.chat(system) as second:
        reply = second.send("Good morning!", sampler=GREEDY, max_output_tokens=4)
        assert reply.usage.reused_tokens > 64
        assert reply.usage.prompt_tokens < 40


def test_a_system_message_inside_of_the_users_message_is_kept_too(native: Client) -> None:
    """Templates of some families put it there; the chat that read it may be closed by then."""
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{% set system.text = m.content %}"
        "{% else %}<|turn>{{ m.role }}\n{{ system.text if loop.index0 == 1 }}\n\n{{ m.content }}<turn|>\n"
        "{% endif %}{% endfor %}<|turn>model\n"
    )
    template = "{% set system = namespace(text='') %}" + template
    system = "You are a patient assistant who answers in few words. " * 8
    with native.chat(system, chat_template=template) as first:
        said(first, "Hello!")
    with native.chat(system, chat_template=template) as second:
        reply = second.send("Good morning!", sampler=GREEDY, max_output_tokens=4)
        assert reply.usage.reused_tokens > 64
        assert reply.usage.prompt_tokens < 40


def test_a_stop_text_leaves_what_stands_before_it(native: Client) -> None:
    """The next turn goes on after the shown text."""
    with native.chat() as chat:
        whole = chat.send("Tell me a story.", sampler=GREEDY, max_output_tokens=24).text
        chat.undo()
        stop = whole.split()[3]
        cut = chat.send("Tell me a story.", sampler=GREEDY, max_output_tokens=24, stop=[stop])
        assert cut.text == whole[: whole.index(stop)]
        assert cut.finish_reason == "stop"
        said(chat, "And then?")
