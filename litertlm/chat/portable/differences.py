"""What is different when a chat goes on with another model, or with other tools."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from litertlm.chat.portable.record import ChatRecord
from litertlm.messages import Audio, Image

__all__ = ["Difference", "differences"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was when the chat was saved. ``str()`` is its text.

    Attributes:
        text: What it is and what it means, one line.
        blocking: Whether the chat cannot go on because of it.
    """

    text: str
    blocking: bool = False

    def __str__(self) -> str:
        return self.text


def differences(
    record: ChatRecord,
    *,
    model_type: str | None = None,
    digest: str | None = None,
    template_hash: str | None = None,
    modalities: Collection[str] | None = None,
    tools: Collection[str] | None = None,
    max_context: int | None = None,
) -> tuple[Difference, ...]:
    """Compare a chat with what is to go on with it. Whatever is None is not compared.

    Args:
        record: The chat.
        model_type: The model's family.
        digest: As in :class:`~litertlm.chat.portable.ModelIdentity`.
        template_hash: Likewise.
        modalities: What the model takes: ``"text"``, ``"image"``, ``"audio"``.
        tools: Names of the tools that have a handler.
        max_context: Context length in tokens.

    Returns:
        The differences, the blocking ones first; empty when there are none.
    """
    found = (
        *_media(record, modalities),
        _model(record, model_type, digest),
        _template(record, template_hash),
        _context(record, max_context),
        _handlers(record, tools),
    )
    return tuple(difference for difference in found if difference is not None)


def _media(record: ChatRecord, modalities: Collection[str] | None) -> list[Difference]:
    if modalities is None:
        return []
    parts = [part for message in record.history for part in message.parts]
    images = sum(isinstance(part, Image) for part in parts)
    recordings = sum(isinstance(part, Audio) for part in parts)
    found = []
    for count, modality, one, many, none in (
        (images, "image", "an image", "images", "no images"),
        (recordings, "audio", "a recording", "recordings", "no audio"),
    ):
        if count and modality not in modalities:
            what = one if count == 1 else f"{count} {many}"
            found.append(Difference(f"The chat holds {what}, but this model takes {none}", blocking=True))
    return found


def _model(record: ChatRecord, model_type: str | None, digest: str | None) -> Difference | None:
    was = record.model
    called = f" ({was.file_name})" if was.file_name else ""
    if model_type and was.model_type and model_type != was.model_type:
        return Difference(f"The chat was had with a {was.model_type} model{called}; this one is {model_type}")
    if digest and was.digest and digest != was.digest:
        family = f"{was.model_type} " if was.model_type else ""
        return Difference(f"The chat was had with another {family}model{called}")
    return None


def _template(record: ChatRecord, template_hash: str | None) -> Difference | None:
    was = record.model.template_hash
    if not template_hash or not was or template_hash == was:
        return None
    return Difference("The chat template is another one, so the model is shown the history in another form")


def _context(record: ChatRecord, max_context: int | None) -> Difference | None:
    if max_context is None or record.token_count < max_context:
        return None
    return Difference(
        f"The chat took {record.token_count:,} tokens when it was saved; the context has {max_context:,}"
    )


def _handlers(record: ChatRecord, tools: Collection[str] | None) -> Difference | None:
    if tools is None:
        return None
    missing = [tool.name for tool in record.tools if tool.name not in tools]
    if not missing:
        return None
    return Difference(
        f"There is no handler for {', '.join(missing)}: "
        f"{'its calls come' if len(missing) == 1 else 'their calls come'} back in the reply"
    )
