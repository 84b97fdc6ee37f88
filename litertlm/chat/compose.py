"""From what a user passes to a message that can be sent, or an error before anything happens."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeAlias

from litertlm.errors import MessageError, ModalityUnavailable
from litertlm.messages import Audio, Image, Message, Part, Text, ToolCall, ToolResult

__all__ = ["PartLike", "in_order", "opening", "text_message", "tool_message", "user_message"]

PartLike: TypeAlias = "str | Text | Image | Audio"


def text_message(text: str) -> Message:
    """A user message of plain text.

    Raises:
        MessageError: It is empty, or no text.
    """
    if not isinstance(text, str):
        raise MessageError(
            f"A message is text, not {type(text).__name__}", hint="Use send_multi for images and audio."
        )
    _check_text(text)
    if not text.strip():
        raise MessageError("The message is empty", hint="Say something.")
    return Message("user", (Text(text),))


def user_message(parts: Iterable[PartLike], modalities: Collection[str], *, caller: str) -> Message:
    """A user message of text, images and recordings; the media are read and encoded here.

    Args:
        parts: Strings are text parts.
        modalities: What the client takes: ``"image"``, ``"audio"``.
        caller: The public method, for the message of an empty call.

    Raises:
        MessageError: No parts, an unknown part, or text that cannot be sent.
        MediaError: An image or a recording cannot be read.
        ModalityUnavailable: The client takes no images or no audio.
    """
    if isinstance(parts, str | Text | Image | Audio):
        parts = [parts]
    encoded = tuple(_encode(part, modalities) for part in parts)
    if not encoded:
        raise MessageError(f"litertlm: {caller}: empty parts", hint="Pass at least one part.")
    if all(isinstance(part, Text) for part in encoded):
        # Only text: the same as a plain message.
        return text_message("".join(part.text for part in encoded if isinstance(part, Text)))
    return Message("user", encoded)


def tool_message(results: ToolResult | Iterable[ToolResult]) -> Message:
    """A message with tool results.

    Raises:
        MessageError: No results, or something else.
    """
    parts = (results,) if isinstance(results, ToolResult) else tuple(results)
    if not parts or not all(isinstance(part, ToolResult) for part in parts):
        raise MessageError("send_tool_result takes one ToolResult or several")
    return Message("tool", parts)


def opening(
    system: str | None, messages: Iterable[Message], modalities: Collection[str]
) -> tuple[Message, ...]:
    """What a chat begins with: the system message, and what was said before.

    Raises:
        MessageError: A message is none, or stands where it cannot.
        MediaError, ModalityUnavailable: An image or a recording cannot be used.
    """
    begun: list[Message] = []
    if system:
        _check_text(system, "system message")
        begun.append(Message("system", (Text(system),)))
    for number, message in enumerate(messages):
        if not isinstance(message, Message):
            raise MessageError(f"initial_messages[{number}] is no Message, but {type(message).__name__}")
        if message.role == "system" and begun:
            raise MessageError(
                f"initial_messages[{number}] is a system message", hint="There is one, and it comes first."
            )
        begun.append(Message(message.role, tuple(_part(part, modalities) for part in message.parts)))
    return tuple(begun)


def _part(part: Part, modalities: Collection[str]) -> Part:
    return part if isinstance(part, ToolCall | ToolResult) else _encode(part, modalities)


def in_order(message: Message, calls: tuple[ToolCall, ...]) -> Message:
    """The same tool results in the order of the calls that they answer.

    Raises:
        MessageError: A result answers none of them, one has none or two.
    """
    if not calls:
        raise MessageError(
            "No tool call waits for a result", hint="Results answer the calls in the last reply's tool_calls."
        )
    results = {part.call_id: part for part in message.parts if isinstance(part, ToolResult)}
    ids = [call.id for call in calls]
    unknown = [call_id for call_id in results if call_id not in ids]
    missing = [call_id for call_id in ids if call_id not in results]
    if unknown:
        raise MessageError(f"There is no tool call {unknown[0]!r}", hint=f"These wait: {', '.join(ids)}.")
    if missing:
        raise MessageError(
            f"The tool call {missing[0]!r} has no result", hint="Give the results of all calls at once."
        )
    if len(results) < len(message.parts):
        raise MessageError("A tool call has two results")
    return Message("tool", tuple(results[call_id] for call_id in ids))


def _encode(part: PartLike, modalities: Collection[str]) -> Part:
    match part:
        case str():
            return _encode(Text(part), modalities)
        case Text(text):
            _check_text(text)
            return part
        case Image():
            from litertlm.media import encode_image

            _require("image", modalities)
            return Image(encode_image(part).data)
        case Audio():
            from litertlm.media import encode_audio

            _require("audio", modalities)
            return Audio(encode_audio(part).data)
        case _:
            raise MessageError(
                f"A part is a str, Text, Image or Audio, not {type(part).__name__}",
                hint="Wrap media: Image('photo.jpg'), Audio('note.wav').",
            )


def _require(modality: str, modalities: Collection[str]) -> None:
    if modality not in modalities:
        encoder = "vision" if modality == "image" else "audio"
        raise ModalityUnavailable(
            f"This client takes no {'images' if modality == 'image' else 'audio'}",
            modality=modality,
            hint=f"Use a model with {'an' if encoder == 'audio' else 'a'} {encoder} encoder, "
            f"and do not switch it off with {encoder}_backend='off'.",
        )


def _check_text(text: str, what: str = "message") -> None:
    """NUL and lone surrogates are refused here, before anything else is done with the message."""
    if "\0" in text:
        raise MessageError(
            f"The {what} contains a NUL character (at position {text.index(chr(0))})",
            hint="Remove it; a model cannot read it.",
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MessageError(
            f"The {what} is not valid Unicode text (lone surrogate at position {error.start})",
            hint="Decode the original bytes with the right encoding, or with errors='replace'.",
        ) from None
