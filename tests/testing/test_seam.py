"""The fake keeps the contract of an engine, and insists that its user does."""

from __future__ import annotations

import threading

import pytest

from litertlm import Cancelled, ClosedError, ContextOverflow, DeadlineExceeded, EngineError, OptionError
from litertlm._engine.model import KnowsItsModel
from litertlm._engine.seam import Delta, Engine, Preface, ToolSpec, TurnEnd
from litertlm.errors import MessageError, ModalityUnavailable
from litertlm.messages import Audio, Image, Message, Text
from litertlm.options import OPTION_NAMES, JsonSchema, Lark, Regex, Sampler, TurnOptions
from litertlm.testing import ContractError, FakeEngine, ScriptError, default_reply

from .driving import Outcome, begin, read, say, text_of, user


def test_it_is_an_engine(fake: FakeEngine) -> None:
    """For the type checker, and at run time."""
    engine: Engine = fake
    assert isinstance(engine, KnowsItsModel)
    assert engine.info.keeps_cache
    assert engine.info.options == OPTION_NAMES


def test_tokens_add_up(fake: FakeEngine) -> None:
    """What was there, what was read and what was written are what is there."""
    conversation = fake.open(Preface(messages=(Message("system", (Text("Be brief."),)),)))
    before = conversation.token_count
    assert before == 0
    for text in ("hello", "and again, please", "bye"):
        needed, rendered = conversation.count(user(text)), conversation.render(user(text))
        assert needed == len(fake.tokenize(rendered))
        _, end = say(conversation, text)
        assert (end.prompt_tokens, end.reused_tokens) == (needed, before)
        assert before + end.prompt_tokens + end.completion_tokens == end.token_count
        before = conversation.token_count
        assert before == end.token_count
    conversation.close()


def test_the_preface_is_read_with_the_first_turn_only(fake: FakeEngine) -> None:
    """With its tools."""
    tool = ToolSpec("weather", "", {"type": "object"})
    conversation = fake.open(Preface((Message("system", (Text("Be brief."),)),), (tool,)))
    say(conversation, "one")
    say(conversation, "two")
    first, second = (turn.prompt for turn in fake.turns)
    assert first.startswith("<bos><|tool>weather") and "Be brief." in first
    assert second == "<|turn>user\ntwo<turn|><|turn>model\n"
    conversation.close()


def test_a_rebuilt_conversation_is_the_same(fake: FakeEngine) -> None:
    """A history in the preface gives the same reply and the same count as having lived through it."""
    lived = fake.open(Preface())
    history: list[Message] = []
    for text in ("one", "two"):
        deltas, _ = say(lived, text)
        history += [user(text), Message("assistant", (Text(text_of(deltas)),))]
    rebuilt = fake.open(Preface(messages=tuple(history)))
    assert text_of(say(rebuilt, "three")[0]) == text_of(say(lived, "three")[0])
    assert rebuilt.token_count == lived.token_count
    assert text_of(say(lived, "four")[0]) == default_reply(fake.turns[-1].messages)
    lived.close()
    rebuilt.close()


def test_a_cut_reply_is_closed_by_the_next_prompt(fake: FakeEngine) -> None:
    """So that counts stay exact."""
    conversation = fake.open(Preface())
    _, end = say(conversation, "one", TurnOptions(max_output_tokens=2))
    assert (end.cut, end.completion_tokens) == (True, 2)
    assert conversation.render(user("two")) == "<turn|><|turn>user\ntwo<turn|><|turn>model\n"
    conversation.close()


def test_media_take_their_tokens(fake: FakeEngine) -> None:
    """In the place of their placeholders; a budget makes pictures smaller."""
    conversation = fake.open(Preface())
    message = Message("user", (Image(b"png"), Audio(b"wav"), Text("what?")))
    without = conversation.count(Message("user", (Text("what?"),)))
    assert conversation.count(message) == without + 64 + 32
    turn = conversation.prepare(message, TurnOptions(visual_token_budget=10))
    turn.start()
    _, end = read(turn)
    assert (end.image_tokens, end.audio_tokens) == (10, 32)
    assert end.prompt_tokens == without + 42
    conversation.close()


def test_a_mark_can_be_gone_back_to_any_number_of_times(fake: FakeEngine) -> None:
    """After good turns and bad ones."""
    conversation = fake.open(Preface())
    say(conversation, "one")
    mark, count = conversation.mark(), conversation.token_count
    replies = []
    for _ in range(3):
        deltas, _ = say(conversation, "two")
        replies.append(text_of(deltas))
        begin(conversation, "three").close()
        conversation.rewind(mark)
        assert conversation.token_count == count
    assert len(set(replies)) == 1
    conversation.close()


def test_a_fork_goes_its_own_way(fake: FakeEngine) -> None:
    """From the same state."""
    conversation = fake.open(Preface())
    say(conversation, "one")
    fork = conversation.fork()
    assert fork.token_count == conversation.token_count
    assert fake.conversations_open == 2
    say(fork, "aside")
    other = fork.mark()
    assert text_of(say(conversation, "two")[0]) == default_reply(fake.turns[-1].messages)
    assert "aside" not in [message.text for message in fake.turns[-1].messages]
    with pytest.raises(ContractError, match="another conversation"):
        conversation.rewind(other)
    fork.close()
    conversation.close()


@pytest.mark.parametrize("how", ["error", "cancel", "left", "timeout"])
def test_a_failed_conversation_is_unusable_until_it_is_rewound(fake: FakeEngine, how: str) -> None:
    """A chat that goes on with it has a bug, and is told."""
    conversation = fake.open(Preface())
    mark = conversation.mark()
    if how == "error":
        fake.enqueue_error(EngineError("boom"))
        assert isinstance(say(conversation, "one")[1].error, EngineError)
    elif how == "timeout":
        fake.enqueue("slow", delay=2)
        assert isinstance(say(conversation, "one", TurnOptions(timeout=1))[1].error, DeadlineExceeded)
    else:
        turn = begin(conversation, "one")
        turn.take(None)
        if how == "cancel":
            turn.cancel()
            assert isinstance(read(turn)[1].error, Cancelled)
        else:
            turn.close()
    for call in (
        lambda: conversation.prepare(user("two"), TurnOptions()),
        conversation.mark,
        conversation.fork,
        lambda: conversation.count(user("two")),
        lambda: conversation.render(user("two")),
    ):
        with pytest.raises(ContractError, match="rewound"):
            call()
    conversation.rewind(mark)
    assert text_of(say(conversation, "one")[0]) == default_reply([user("one")])
    conversation.close()


def test_a_second_turn_of_the_same_conversation_is_a_bug(fake: FakeEngine) -> None:
    """So is going back while one runs, or to a mark that is closed."""
    conversation = fake.open(Preface())
    mark = conversation.mark()
    turn = begin(conversation, "one")
    with pytest.raises(ContractError, match="while a turn"):
        conversation.prepare(user("two"), TurnOptions())
    with pytest.raises(ContractError, match="while a turn"):
        conversation.rewind(mark)
    turn.close()
    mark.close()
    with pytest.raises(ContractError, match="closed"):
        conversation.rewind(mark)
    conversation.close()


def test_the_context_fills() -> None:
    """A prompt that does not fit is refused and changes nothing; a reply that does not is cut."""
    fake = FakeEngine(context=24)
    conversation = fake.open(Preface())
    needed = conversation.count(user("hi"))
    fake.enqueue("word " * 100)
    deltas, end = say(conversation, "hi")
    assert end.cut and end.token_count == 24
    assert end.completion_tokens == 24 - needed == len(deltas)
    with pytest.raises(ContextOverflow) as caught:
        begin(conversation, "more")
    assert (caught.value.used, caught.value.limit) == (24, 24)
    assert fake.turns[-1].outcome == "refused"
    assert conversation.token_count == 24
    conversation.mark()  # still usable
    fake.close()


@pytest.mark.parametrize("limit", range(1, 6))
def test_output_tokens_are_limited(fake: FakeEngine, limit: int) -> None:
    """Exactly; the stop token counts."""
    conversation = fake.open(Preface())
    fake.enqueue("one two three")
    deltas, end = say(conversation, "hi", TurnOptions(max_output_tokens=limit))
    assert end.completion_tokens == min(limit, 4)
    assert end.cut == (limit < 4)
    assert text_of(deltas) == " ".join(["one", "two", "three"][:limit])
    conversation.close()


def test_a_stop_text_ends_the_reply(fake: FakeEngine) -> None:
    """Before the first of them; nothing after it is said or called."""
    conversation = fake.open(Preface())
    fake.enqueue("one two three")
    deltas, end = say(conversation, "hi", TurnOptions(stop=("three", " two")))
    assert (text_of(deltas), end.cut, end.completion_tokens) == ("one", False, 2)
    fake.enqueue_tool_calls([("f", {})], "one two")
    deltas, _ = say(conversation, "hi", TurnOptions(stop=("two",)))
    assert not any(delta.tool_calls for delta in deltas)
    conversation.close()


def test_options_are_refused_as_configured() -> None:
    """The message names them; a schema can be made to be refused."""
    fake = FakeEngine(options={"max_output_tokens", "response_format"})
    conversation = fake.open(Preface())
    with pytest.raises(OptionError, match="repetition_penalty, stop"):
        conversation.prepare(user("hi"), TurnOptions(stop=("x",), repetition_penalty=1.2))
    with pytest.raises(OptionError, match="Lark, logit_bias, logprobs, min_p, sampler"):
        conversation.prepare(
            user("hi"),
            TurnOptions(
                response_format=Lark("start: 'a'"),
                logit_bias=((1, 1.0),),
                logprobs=True,
                sampler=Sampler(min_p=0.1),
            ),
        )
    with pytest.raises(OptionError, match="unsupported"):
        conversation.prepare(user("hi"), TurnOptions(response_format=JsonSchema({"unsupported": True})))
    fake.enqueue("anything")
    options = TurnOptions(response_format=Regex("[0-9]"), timeout=5, tools=False)
    assert text_of(say(conversation, "hi", options)[0]) == "anything"
    assert fake.turns[-1].options is options
    fake.close()
    with pytest.raises(OptionError, match="no turn options nonsense"):
        FakeEngine(options={"nonsense"})


def test_media_are_refused_as_configured() -> None:
    """A model without eyes."""
    fake = FakeEngine(modalities=("audio",))
    assert fake.model.modalities == ("text", "audio")
    assert fake.info.vision_backend is None
    conversation = fake.open(Preface())
    with pytest.raises(ModalityUnavailable):
        conversation.prepare(Message("user", (Image(b"png"),)), TurnOptions())
    with pytest.raises(ContractError, match="encoded"):
        conversation.prepare(Message("user", (Audio("note.wav"),)), TurnOptions())
    fake.close()


def test_the_sampler_and_thinking_of_a_turn_come_first(fake: FakeEngine) -> None:
    """What a turn does not set is the conversation's."""
    conversation = fake.open(Preface(sampler=Sampler(temperature=0.5, seed=1), thinking=True))
    say(conversation, "hi", TurnOptions(sampler=Sampler(seed=2), thinking=False))
    (turn,) = fake.turns
    assert turn.sampler == Sampler(temperature=0.5, seed=2)
    assert turn.thinking is False
    conversation.close()


def test_a_take_that_may_not_wait_gives_nothing(fake: FakeEngine) -> None:
    """And polling comes to the end of any delay."""
    conversation = fake.open(Preface())
    fake.enqueue("one two", prefill=0.05, delay=0.01)
    turn = begin(conversation, "hi")
    assert turn.take(0) == () and turn.end is None
    said = ""
    while turn.end is None:
        said += "".join(delta.text for delta in turn.take(0))
    assert said == "one two"
    assert turn.end.timings.total >= 0.07
    turn.close()
    conversation.close()


def test_delays_pass_at_once_and_are_accounted_for(fake: FakeEngine) -> None:
    """An hour of prefill."""
    conversation = fake.open(Preface())
    fake.enqueue("one two", prefill=3600, delay=10)
    _, end = say(conversation, "hi")
    assert (end.timings.time_to_first_token, end.timings.total) == (3610, 3620)
    assert end.timings.prefill_tokens_per_second == end.prompt_tokens / 3600
    conversation.close()


def test_delays_really_pass_if_asked() -> None:
    """For code that measures."""
    fake = FakeEngine(real_time=True)
    conversation = fake.open(Preface())
    fake.enqueue("one two", prefill=0.02, delay=0.01)
    turn = begin(conversation, "hi")
    assert turn.take(0) == ()
    _, end = read(turn)
    assert end.timings.total == pytest.approx(0.04)
    fake.enqueue("never", delay=3600)
    assert isinstance(say(conversation, "hi", TurnOptions(timeout=0.02))[1].error, DeadlineExceeded)
    fake.close()


def test_a_slow_reader_keeps_nobody_waiting(fake: FakeEngine) -> None:
    """The next in line settles for it; a turn that is over cannot be cancelled."""
    slow, quick = fake.open(Preface()), fake.open(Preface())
    turn = begin(slow, "one")
    say(quick, "two")
    assert slow.token_count > 0
    turn.cancel()
    deltas, end = read(turn)
    assert end.error is None
    assert text_of(deltas) == default_reply([user("one")])
    slow.close()
    quick.close()


def test_a_turn_waits_for_the_one_before(fake: FakeEngine) -> None:
    """As long as it is held; first come, first served."""
    first, second = fake.open(Preface()), fake.open(Preface())
    gate = fake.enqueue("first", hold="prefill")
    fake.enqueue("second")
    turn = begin(first, "one")
    gate.wait()
    waiting = Outcome(lambda: text_of(say(second, "two")[0]))
    assert turn.take(0.05) == ()
    assert len(fake.turns) == 1
    gate.release()
    assert text_of(read(turn)[0]) == "first"
    assert waiting.result() == "second"
    first.close()
    second.close()


def test_waiting_for_the_engine_can_time_out(fake: FakeEngine) -> None:
    """Nothing has changed then."""
    first, second = fake.open(Preface()), fake.open(Preface())
    with fake.hold():
        turn = begin(first, "one")
        with pytest.raises(DeadlineExceeded):
            begin(second, "two", TurnOptions(timeout=0.02))
        turn.close()
    say(second, "two")
    first.close()
    second.close()


@pytest.mark.parametrize("place", ["prefill", "decode"])
def test_cancelling_is_obeyed_at_once(fake: FakeEngine, place: str) -> None:
    """In prefill and while decoding, from another thread."""
    conversation = fake.open(Preface())
    gate = fake.enqueue("one two three", hold=place)  # type: ignore[arg-type]
    turn = begin(conversation, "hi")
    reading = Outcome(lambda: read(turn))
    gate.wait()
    turn.cancel()
    deltas, end = reading.result()  # type: ignore[misc]
    assert isinstance(end.error, Cancelled)
    assert text_of(deltas) == ("" if place == "prefill" else "one")
    assert end.token_count == end.prompt_tokens + end.completion_tokens
    assert (end.prompt_tokens == 0) == (place == "prefill")
    assert fake.turns[-1].outcome == "cancelled"
    conversation.close()


def test_a_turn_cancelled_before_its_start_takes_no_reply(fake: FakeEngine) -> None:
    """It ends as soon as it is taken from."""
    conversation = fake.open(Preface())
    mark = conversation.mark()
    fake.enqueue("for the next")
    turn = conversation.prepare(user("hi"), TurnOptions())
    turn.cancel()
    turn.start()
    assert isinstance(read(turn)[1].error, Cancelled)
    conversation.rewind(mark)
    assert text_of(say(conversation, "hi")[0]) == "for the next"
    conversation.close()


def test_completions_continue_a_text(fake: FakeEngine) -> None:
    """Apart from every conversation; enqueued replies first."""
    fake.enqueue("a time.")
    deltas, end = _complete(fake, "Once upon ")
    assert text_of(deltas) == "a time."
    assert (end.prompt_tokens, end.completion_tokens) == (3, 4)
    default, _ = _complete(fake, "Once upon ")
    assert text_of(default) == default_reply([user("Once upon ")]) != text_of(_complete(fake, "Other")[0])
    assert fake.turns[0].conversation == 0
    with pytest.raises(OptionError, match="thinking"):
        fake.complete("x", TurnOptions(thinking=True))
    with pytest.raises(ContextOverflow):
        fake.complete("word " * 3000, TurnOptions()).start()


def _complete(fake: FakeEngine, prompt: str) -> tuple[list[Delta], TurnEnd]:
    turn = fake.complete(prompt, TurnOptions())
    turn.start()
    return read(turn)


def test_tokens_have_log_probabilities_if_they_are_asked_for(fake: FakeEngine) -> None:
    """All that are counted, with the chunks that they make up; the same each time."""
    conversation = fake.open(Preface())
    mark, options = conversation.mark(), TurnOptions(logprobs=True, top_logprobs=3)
    heard = []
    for _ in range(2):
        fake.enqueue_tool_calls([("f", {"x": 1})], "one two", thinking="so")
        deltas, end = say(conversation, "hi", options)
        heard.append([delta.logprobs for delta in deltas])
        assert sum(map(len, heard[-1])) == end.completion_tokens
        assert [[token.text for token in tokens] for tokens in heard[-1][:3]] == [["so"], ["one"], [" two"]]
        assert heard[-1][-1][-1].text == "<turn|>"
        conversation.rewind(mark)
    assert heard[0] == heard[1]
    for token in (token for tokens in heard[0] for token in tokens):
        assert -5 <= token.logprob <= -1
        assert fake.detokenize([token.id]) == token.text
        assert len(token.top_logprobs) == 3
        assert (token.top_logprobs[0].id, token.top_logprobs[0].logprob) == (token.id, token.logprob)
    fake.enqueue("one two three")
    deltas, _ = say(conversation, "hi", TurnOptions(logprobs=True, max_output_tokens=2))
    assert [token.text for delta in deltas for token in delta.logprobs] == ["one", " two"]
    fake.enqueue("")
    deltas, _ = say(conversation, "hi", TurnOptions(logprobs=True))
    assert [token.text for delta in deltas for token in delta.logprobs] == ["<turn|>"]
    fake.enqueue("one two three")
    deltas, _ = say(conversation, "hi", TurnOptions(logprobs=True, stop=("two",)))
    assert [token.text for delta in deltas for token in delta.logprobs] == ["one", " ", "two"]
    fake.enqueue("one")
    assert not any(delta.logprobs for delta in say(conversation, "hi")[0])
    conversation.close()


def test_scores_depend_on_every_token_and_what_is_before_it(fake: FakeEngine) -> None:
    """The same each time."""
    score = fake.score("Is it red?", " yes it is")
    assert score == fake.score("Is it red?", " yes it is")
    assert score.total == pytest.approx(sum(score.tokens))
    assert len(score.tokens) == 3 and all(-5 <= token <= -1 for token in score.tokens)
    assert score != fake.score("Is it blue?", " yes it is")
    with pytest.raises(MessageError):
        fake.score("", "x")


def test_a_closed_engine_does_nothing() -> None:
    """Its turns end, its conversations are closed."""
    fake = FakeEngine()
    conversation = fake.open(Preface())
    gate = fake.enqueue("never", hold="prefill")
    turn = begin(conversation, "hi")
    reading = Outcome(lambda: read(turn))
    gate.wait()
    fake.close()
    fake.close()
    with pytest.raises(ClosedError):
        reading.result()
    for call in (
        lambda: fake.open(Preface()),
        lambda: fake.tokenize("x"),
        lambda: conversation.prepare(user("hi"), TurnOptions()),
    ):
        with pytest.raises(ClosedError):
            call()
    assert fake.conversations_open == 0


def test_a_gate_that_nobody_releases_is_no_hang() -> None:
    """Neither for its turn nor for the next one."""
    fake = FakeEngine(patience=0.05)
    held, other = fake.open(Preface()), fake.open(Preface())
    fake.enqueue("never", hold="decode")
    turn = begin(held, "hi")
    turn.take(None)
    with pytest.raises(ScriptError, match="Release"):
        begin(other, "hi")
    with pytest.raises(ScriptError, match="gate held"):
        turn.take(None)
    with pytest.raises(ScriptError, match="0 of 1"):
        fake.enqueue("x", hold="end").wait(timeout=0.01)
    fake.close()


def test_many_threads(fake: FakeEngine) -> None:
    """Every conversation gets its own replies, whatever the others do."""

    def talk(name: int) -> list[str]:
        conversation = fake.open(Preface())
        said = [text_of(say(conversation, f"{name} says {turn}")[0]) for turn in range(10)]
        conversation.close()
        return said

    talks = [Outcome(lambda name=name: talk(name)) for name in range(8)]  # type: ignore[misc]
    threaded = [talk.result() for talk in talks]
    assert threaded == [talk(name) for name in range(8)]
    assert threading.active_count() < 50
