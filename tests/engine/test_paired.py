"""Two engines behind one seam: which of them takes what, and that a chat moves between them whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from litertlm import Audio, Client, ClosedError, Image, ModalityUnavailable, OptionError
from litertlm._engine.paired import PairedEngine
from litertlm.testing import FakeEngine

PICTURE = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
PICTURE += b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"


class Pair:
    """A pair of fakes, and how often the second was loaded."""

    def __init__(self) -> None:
        self.text = FakeEngine(modalities=("text",), options={"max_output_tokens"})
        self.media = FakeEngine()
        self.loads = 0
        self.engine = PairedEngine(
            self.text, self._load, vision_backend="cpu", audio_backend=None, media_engine="fake"
        )

    def _load(self) -> FakeEngine:
        self.loads += 1
        return self.media


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Closed afterwards."""
    made = Pair()
    yield made
    made.engine.close()


def test_text_never_loads_the_media_engine(pair: Pair) -> None:
    """A chat of text stays where it is."""
    pair.text.enqueue("Hello!")
    with Client(engine=pair.engine) as client, client.chat() as chat:
        assert chat.send("Hi").text == "Hello!"
        assert client.info.media_engine == "fake"
    assert pair.loads == 0


def test_a_picture_takes_the_chat_to_the_media_engine_with_all_that_was_said(pair: Pair) -> None:
    """Nothing is forgotten on the way, and it stays there."""
    pair.text.enqueue("Hello!")
    pair.media.enqueue("Black.")
    pair.media.enqueue("Yes.")
    with Client(engine=pair.engine) as client, client.chat("Be brief.") as chat:
        chat.send("Hi")
        assert chat.send_multi([Image(PICTURE), "What colour?"]).text == "Black."
        assert chat.send("Sure?").text == "Yes."
        first, second = pair.media.turns
        assert [message.role for message in first.messages] == ["system", "user", "assistant", "user"]
        assert [message.text for message in first.messages[:3]] == ["Be brief.", "Hi", "Hello!"]
        assert len(second.messages) == 6
    assert pair.loads == 1


def test_undoing_the_picture_goes_back_to_the_text_engine(pair: Pair) -> None:
    """The state before it was on the other engine."""
    pair.text.enqueue("One.")
    pair.media.enqueue("Black.")
    pair.text.enqueue("Two.")
    with Client(engine=pair.engine) as client, client.chat() as chat:
        chat.send("1")
        chat.send_multi([Image(PICTURE), "?"])
        chat.undo()
        assert chat.send("2").text == "Two."
        assert [message.text for message in chat.history] == ["1", "One.", "2", "Two."]
        assert len(pair.text.turns) == 2


def test_a_fork_of_a_chat_with_a_picture_is_on_the_media_engine(pair: Pair) -> None:
    """With all that can be said of pictures."""
    with Client(engine=pair.engine) as client, client.chat() as chat:
        chat.send_multi([Image(PICTURE), "?"])
        with chat.fork() as fork:
            fork.send_multi([Image(PICTURE), "?"], visual_token_budget=8)
    assert [turn.options.visual_token_budget for turn in pair.media.turns] == [None, 8]


def test_an_option_that_the_media_engine_lacks_is_refused() -> None:
    """Before a picture takes the chat there; it stays where it is."""
    text, media = FakeEngine(modalities=("text",)), FakeEngine(options={"max_output_tokens"})
    pair = PairedEngine(text, lambda: media, vision_backend="cpu", audio_backend=None, media_engine="fake")
    with Client(engine=pair) as client, client.chat(logit_bias={5: 1.0}) as chat:
        with pytest.raises(OptionError, match="cannot do logit_bias"):
            chat.send_multi([Image(PICTURE), "?"])
        assert chat.send("Hi").text
        assert (len(text.turns), len(media.turns)) == (1, 0)


def test_a_failed_picture_leaves_the_chat_on_the_text_engine(pair: Pair) -> None:
    """As if it had never been sent."""
    pair.text.enqueue("One.")
    pair.media.enqueue_error(RuntimeError("no such luck"))
    pair.text.enqueue("Two.")
    with Client(engine=pair.engine) as client, client.chat() as chat:
        chat.send("1")
        with pytest.raises(RuntimeError, match="no such luck"):
            chat.send_multi([Image(PICTURE), "?"])
        assert chat.send("2").text == "Two."
        assert pair.text.turns[-1].messages[0].text == "1"


def test_a_fork_stays_on_its_engine(pair: Pair) -> None:
    """It goes on where its chat is."""
    pair.media.enqueue("Black.")
    pair.media.enqueue("Fork.")
    with Client(engine=pair.engine) as client, client.chat() as chat:
        chat.send_multi([Image(PICTURE), "?"])
        with chat.fork() as other:
            assert other.send("And?").text == "Fork."
    assert not pair.text.turns


def test_room_is_counted_once_when_a_chat_moves(pair: Pair) -> None:
    """What is known of the chat already is not counted again."""
    pair.text.enqueue("Hello!")
    with Client(engine=pair.engine) as client, client.chat() as chat:
        chat.send("Hi")
        used = chat.token_count
        needed = chat._timeline.count(chat.history[0])
        assert used > 0
        assert needed > 0


def test_what_the_pair_cannot_take_is_refused(pair: Pair) -> None:
    """There is no encoder for sound."""
    with Client(engine=pair.engine) as client, client.chat() as chat, pytest.raises(ModalityUnavailable):
        chat.send_multi([Audio(b"RIFF"), "?"])


def test_a_closed_pair_loads_nothing(pair: Pair) -> None:
    """Also not for a chat that comes late."""
    pair.engine.close()
    with pytest.raises(ClosedError):
        _ = pair.engine.media
    assert pair.loads == 0
