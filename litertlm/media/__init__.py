"""Images and recordings: from anything a user has to bytes that the engine decodes.

The engine reads few formats, ignores EXIF orientation, takes a truncated JPEG for a whole one and sets no
limits. So everything is decoded, checked and, unless it fits as it is, written anew here: images as PNG or
JPEG, audio as 16 kHz mono WAV. Importing this package imports neither Pillow, soundfile, soxr nor numpy.

Both functions may be called from any thread; they keep no state and change no setting of the libraries they
use.
"""

from __future__ import annotations

from litertlm.media.audio import EncodedAudio, encode_audio
from litertlm.media.image import EncodedImage, encode_image

__all__ = ["EncodedAudio", "EncodedImage", "encode_audio", "encode_image"]
