"""What a file is, told by its first bytes, so that a refusal can name it."""

from __future__ import annotations

from litertlm.errors import MediaError
from litertlm.media.source import Content, Kind

__all__ = ["unreadable"]

_READABLE: dict[Kind, str] = {
    "image": "Readable are JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000, ICO, TGA, PPM and whatever else "
    "Pillow and its plugins open.",
    "audio": "Readable are WAV, FLAC, MP3, OGG (Vorbis, Opus), AIFF, AU, CAF and whatever else libsndfile "
    "opens; ffmpeg -i INPUT output.wav converts anything else.",
}

# (offset, bytes there, what it is, the kind it is readable as)
_SIGNATURES: tuple[tuple[int, bytes, str, Kind | None], ...] = (
    (0, b"\xff\xd8\xff", "a JPEG image", "image"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image", "image"),
    (0, b"GIF8", "a GIF image", "image"),
    (8, b"WEBP", "a WebP image", "image"),
    (0, b"II*\0", "a TIFF image", "image"),
    (0, b"MM\0*", "a TIFF image", "image"),
    (4, b"ftypavif", "an AVIF image", "image"),
    (0, b"BM", "a BMP image", "image"),
    (4, b"ftyphei", "a HEIC image", None),
    (4, b"ftyphev", "a HEIC image", None),
    (4, b"ftypmif1", "a HEIC image", None),
    (4, b"ftypM4A", "MPEG-4 audio (M4A, AAC)", None),
    (4, b"ftyp", "an MPEG-4 file (MP4, M4A, MOV)", None),
    (8, b"WAVE", "a WAV recording", "audio"),
    (8, b"AIF", "an AIFF recording", "audio"),
    (0, b"fLaC", "a FLAC recording", "audio"),
    (0, b"OggS", "an OGG recording", "audio"),
    (0, b"ID3", "an MP3 recording", "audio"),
    (0, b"\xff\xf1", "raw AAC audio (ADTS)", None),
    (0, b"\xff\xf9", "raw AAC audio (ADTS)", None),
    (0, b"#!AMR", "AMR audio", None),
    (0, b"\x30\x26\xb2\x75", "Windows Media (WMA, WMV)", None),
    (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska", None),
    (0, b"MThd", "a MIDI file", None),
    (0, b"%PDF", "a PDF document", None),
    (0, b"%!PS", "PostScript", None),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript", None),
    (0, b"PK\x03\x04", "a ZIP archive", None),
    (0, b"\x1f\x8b", "gzip-compressed", None),
)


def _what(data: bytes) -> tuple[str, Kind | None]:
    """Name what ``data`` begins like, and the kind it is readable as."""
    for offset, signature, text, kind in _SIGNATURES:
        if data.startswith(signature, offset):
            return text, kind
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in start:
        return "an SVG drawing", None
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page", None
    return "", None


def unreadable(content: Content, kind: Kind, reason: str) -> MediaError:
    """Make the error for a file that is no readable image or recording.

    Args:
        content: The file.
        kind: What it was meant to be.
        reason: The decoder's own words, "" when they say nothing new.
    """
    what, readable_as = _what(content.data)
    if what and readable_as != kind:
        message = f"{content.name} cannot be read: it is {what}"
        if readable_as is not None:
            return MediaError(message, hint=f"Pass it as {readable_as.capitalize()}(...).")
        return MediaError(message, hint=_hint_for(what, kind))
    message = f"{content.name} cannot be read" + (f" as {what}" if what else f" as {kind}")
    reason = reason.strip(" .")
    return MediaError(f"{message}: {reason}" if reason else message, hint=_READABLE[kind])


def _hint_for(what: str, kind: Kind) -> str:
    if kind == "image" and "HEIC" in what:
        return f"The package pillow-heif adds it to Pillow. {_READABLE[kind]}"
    if kind == "image" and "SVG" in what:
        return f"Render it to PNG first. {_READABLE[kind]}"
    return _READABLE[kind]
