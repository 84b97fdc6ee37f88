"""Images: anything Pillow reads, upright, opaque, of bounded size, as PNG or JPEG."""

from __future__ import annotations

import io
import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from litertlm.errors import MediaError
from litertlm.media.completeness import jpeg_coding, missing_part
from litertlm.media.formats import unreadable
from litertlm.media.source import Content, is_array, read_source
from litertlm.messages import Image

if TYPE_CHECKING:
    import numpy
    import numpy.typing
    import PIL.Image
    import PIL.ImageFile

__all__ = ["MAX_BYTES", "MAX_PIXELS", "SENT_PIXELS", "EncodedImage", "encode_image"]

MAX_BYTES = 256 << 20
"""Largest image file, in bytes: about what ``MAX_PIXELS`` take uncompressed."""

MAX_PIXELS = (1 << 30) // 4 // 3
"""Largest image, in pixels: 89 megapixels, Pillow's own limit, a quarter of a GiB as RGB."""

SENT_PIXELS = 1 << 22
"""Most pixels passed on, 4 megapixels; a larger image is made smaller. The engine does that anyway, to at
most ``_SEEN_PIXELS``, but decodes the whole first (12000 x 12000 pixels took it 432 MB)."""

_SEEN_PIXELS = 1120 * 48 * 48
"""Most pixels that a model sees: the largest visual token budget of Gemma 4, and 48 x 48 pixels for each."""

_MAX_SIDE = 32_767
"""Longest side passed on: the engine calls a JPEG with a longer one bad."""

_JPEG_QUALITY = 95  # of images that were made smaller; those kept in size stay lossless
_SPARE_BYTES = 1 << 16  # what metadata may add to a file that is passed on unchanged
_NEVER_OPENED = frozenset({"EPS"})  # Pillow runs Ghostscript on it, a program, on a stranger's PostScript
_ORIENTATION = 0x0112  # the EXIF tag
_UNCHANGED_JPEG = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive; the engine knows no arithmetic coding


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image that the engine decodes.

    Attributes:
        data: The file.
        format: What the file is.
        width: In pixels, upright.
        height: In pixels, upright.
    """

    data: bytes
    format: Literal["png", "jpeg"]
    width: int
    height: int


def encode_image(image: Image) -> EncodedImage:
    """Turn an image from any source into bytes that the engine decodes.

    EXIF orientation is applied, transparency becomes white, of several frames or pages the first is taken
    (of a PIL image the current one), colour profiles are ignored. A complete, upright, opaque 8-bit PNG or
    JPEG of at most ``SENT_PIXELS`` is passed on byte for byte, with its metadata. Others become PNG,
    losslessly, or JPEG where they had to be made smaller.

    Args:
        image: Its source may be a path, bytes, a binary file object (read from where it stands), a ``data:``
            URL, a PIL image of any mode, or an array of shape (height, width), (height, width, 1), (height,
            width, 3) or (height, width, 4) of ``uint8`` 0..255, ``uint16`` 0..65535, ``bool`` or floating
            point 0..1. A PIL image or an array is not changed.

    Returns:
        The encoded image.

    Raises:
        litertlm.errors.MediaError: It cannot be read, is truncated, or is beyond ``MAX_BYTES`` or
            ``MAX_PIXELS``.

    May be called from any thread, if no other thread uses the same file object or the same unloaded PIL
    image.
    """
    source = image.source
    if is_array(source):
        return _encode(_from_array(source))
    if _is_pil(source):
        return _from_pil(source)
    return _from_file(read_source(source, "image", limit=MAX_BYTES))


def _is_pil(source: object) -> TypeGuard[PIL.Image.Image]:
    """Whether ``source`` is a PIL image; imports nothing, for who has one has imported Pillow."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(source, module.Image)


def _check_size(width: int, height: int, name: str) -> None:
    if width < 1 or height < 1:
        raise MediaError(f"{name} has no pixels: its size is {width} x {height}")
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"{name} has {width} x {height} pixels, more than the limit of {MAX_PIXELS / 1e6:.0f} megapixels",
            hint=f"Make it smaller first; a model sees at most {_SEEN_PIXELS / 1e6:.1f} megapixels of it.",
        )


def _from_file(content: Content) -> EncodedImage:
    import PIL.Image

    try:
        picture = _open(content)
        _check_size(*picture.size, content.name)
        if missing := missing_part(content.data):
            raise MediaError(f"{content.name} is truncated: {missing}")
        smaller = _sent_size(*picture.size) != picture.size
        if smaller and picture.format == "JPEG":
            # Lets libjpeg decode at a half, a quarter or an eighth, if that leaves all that a model sees.
            picture.draft(None, _shrunk(*picture.size, _SEEN_PIXELS))
        _load(picture)
        _check_size(*picture.size, content.name)  # icon formats learn their size only now
        if not smaller and (unchanged := _unchanged(picture, content.data)):
            return unchanged
        return _encode(picture, smaller=smaller)
    except MediaError:
        raise
    except PIL.UnidentifiedImageError as error:
        raise unreadable(content, "image", "") from error
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise MediaError(
            f"{content.name} has more pixels than the limit of {MAX_PIXELS / 1e6:.0f} megapixels: {error}"
        ) from error
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        if "truncated" in str(error).lower():
            raise MediaError(f"{content.name} is truncated: {error}") from error
        raise unreadable(content, "image", str(error)) from error


class _WatchedBytes(io.BytesIO):
    """A file that remembers having been read beyond its end."""

    starved = False

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.starved |= not data and size != 0
        return data


def _open(content: Content) -> PIL.ImageFile.ImageFile:
    """Read the header, in any format that Pillow and its plugins know, but those in ``_NEVER_OPENED``."""
    import PIL.Image

    PIL.Image.preinit()  # BMP, GIF, JPEG, PPM and PNG; the other forty plugins take twice as long to import
    common = [name for name in PIL.Image.ID if name not in _NEVER_OPENED]
    try:
        return PIL.Image.open(_WatchedBytes(content.data), formats=common)
    except PIL.UnidentifiedImageError:
        PIL.Image.init()
        rest = [name for name in PIL.Image.ID if name not in _NEVER_OPENED and name not in common]
        return PIL.Image.open(_WatchedBytes(content.data), formats=rest)


def _load(picture: PIL.ImageFile.ImageFile) -> None:
    """Decode the pixels, all of them, also where the application told Pillow to make do with a part."""
    import PIL.ImageFile

    file = picture.fp
    picture.load()
    if PIL.ImageFile.LOAD_TRUNCATED_IMAGES and isinstance(file, _WatchedBytes) and file.starved:
        raise OSError("image file is truncated")


def _unchanged(picture: PIL.ImageFile.ImageFile, data: bytes) -> EncodedImage | None:
    """Pass the file on as it is, if the engine would see what Pillow sees."""
    width, height = picture.size
    if (
        picture.mode not in ("L", "RGB")
        or picture.has_transparency_data
        or _orientation(picture) != 1
        or len(data) > 3 * width * height + _SPARE_BYTES
    ):
        return None
    if picture.format == "PNG" and getattr(picture, "n_frames", 1) == 1:
        return EncodedImage(data, "png", width, height)
    if picture.format == "JPEG" and jpeg_coding(data) in _UNCHANGED_JPEG:
        return EncodedImage(data, "jpeg", width, height)
    return None


def _from_pil(picture: PIL.Image.Image) -> EncodedImage:
    name = "PIL image"
    _check_size(*picture.size, name)
    try:
        picture.load()
        _check_size(*picture.size, name)
        return _encode(picture)
    except MediaError:
        raise
    except Exception as error:  # it may be open on a damaged file, or closed
        raise MediaError(f"{name} cannot be read: {error}") from error


def _orientation(picture: PIL.Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) where there is none or the metadata is damaged."""
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged metadata is no reason to refuse sound pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _shrunk(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Return the size of the same shape that has at most ``pixels`` and no side above ``_MAX_SIDE``."""
    scale = min(math.sqrt(pixels / (width * height)), _MAX_SIDE / max(width, height), 1.0)
    return max(1, math.floor(width * scale)), max(1, math.floor(height * scale))


def _sent_size(width: int, height: int) -> tuple[int, int]:
    return _shrunk(width, height, SENT_PIXELS)


def _encode(picture: PIL.Image.Image, *, smaller: bool = False) -> EncodedImage:
    """Make a loaded picture opaque, upright, 8-bit and small enough, and write it.

    Args:
        picture: Not changed.
        smaller: Whether it was decoded smaller than it is.
    """
    import numpy as np
    import PIL.Image

    orientation = _orientation(picture)
    picture = _with_eight_bits(picture)
    size = _sent_size(*picture.size)
    if size != picture.size:
        smaller = True
        picture = picture.resize(size, PIL.Image.Resampling.BICUBIC)
    picture = _opaque(_turned(picture, orientation))
    if smaller:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        return EncodedImage(file.getvalue(), "jpeg", *picture.size)
    from litertlm.media.png import write_png

    return EncodedImage(write_png(np.asarray(picture)), "png", *picture.size)


def _turned(picture: PIL.Image.Image, orientation: int) -> PIL.Image.Image:
    from PIL.Image import Transpose

    turn = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _opaque(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Lay a picture with transparency on white, the colour that most of them are drawn for."""
    import PIL.Image

    if picture.mode != "RGBA":
        return picture
    white = PIL.Image.new("RGBA", picture.size, "white")
    return PIL.Image.alpha_composite(white, picture).convert("RGB")


def _with_eight_bits(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Convert any mode to L, RGB or, where something may be transparent, RGBA."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        return _from_deep_greys(picture)
    if picture.mode == "La":  # premultiplied; Pillow has no way from there to RGBA
        picture = picture.convert("LA")
    if picture.has_transparency_data:
        return picture.convert("RGBA")
    if picture.mode in ("L", "RGB"):
        return picture
    return picture.convert("L" if picture.mode == "1" else "RGB")


def _from_deep_greys(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Convert 16-bit, 32-bit and floating point greys, for which ``convert`` would cut everything above 255.

    Pillow does not say which range a picture of mode I or F uses, so its values decide: up to 255, or 16
    bits for I; up to 1 or up to 255 for F.
    """
    import numpy as np
    import PIL.Image

    values = np.asarray(picture)
    low, high = float(values.min()), float(values.max())  # NaN if any value is
    sixteen_bit = picture.mode.startswith("I;16") or (picture.mode == "I" and high > 255)
    top = 65535.0 if sixteen_bit else 1.0 if picture.mode == "F" and high <= 1 else 255.0
    if not (low >= 0 and high <= top):
        raise MediaError(
            f"PIL image of mode {picture.mode} has values from {low:g} to {high:g}",
            hint="Scale it to 0..255 and convert it to mode L first.",
        )
    return PIL.Image.fromarray(np.rint(values * np.float32(255 / top)).astype(np.uint8))


def _from_array(array: numpy.typing.NDArray[Any]) -> PIL.Image.Image:
    import numpy as np
    import PIL.Image

    shape = array.shape
    name = f"image array of shape {shape}"
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        hint = "Pass (height, width), (height, width, 3) or (height, width, 4)."
        if array.ndim == 3 and shape[0] in (1, 3, 4):
            hint += " This one seems to have its channels first: array.transpose(1, 2, 0)."
        elif array.ndim == 4:
            hint += " Pass the images of a batch one by one."
        raise MediaError(f"{name} is not an image", hint=hint)
    _check_size(shape[1], shape[0], name)
    if array.ndim == 3 and shape[2] == 1:
        array = array[:, :, 0]
    return PIL.Image.fromarray(np.ascontiguousarray(_bytes_from(array, name)))


def _bytes_from(array: numpy.typing.NDArray[Any], name: str) -> numpy.typing.NDArray[numpy.uint8]:
    """Scale the values of an image array to 0..255."""
    import numpy as np

    scaled: numpy.typing.NDArray[numpy.uint8]
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        scaled = np.where(array, np.uint8(255), np.uint8(0))
        return scaled
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        scaled = np.rint(array * np.float32(255 / 65535)).astype(np.uint8)
        return scaled
    if array.dtype.kind != "f":
        raise MediaError(
            f"{name} has dtype {array.dtype}",
            hint="Pass uint8 0..255 (array.astype(numpy.uint8)), uint16, bool, or floating point 0..1.",
        )
    low, high = float(array.min()), float(array.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise MediaError(f"{name} has NaN or infinite values")
    if low < -0.01 or high > 1.01:  # resampling overshoots a little
        raise MediaError(
            f"{name} has floating point values from {low:g} to {high:g}, not 0..1",
            hint="Divide by 255, or convert to uint8." if low >= 0 and high <= 256 else "Scale it to 0..1.",
        )
    scaled = np.rint(np.clip(array, 0, 1) * 255.0).astype(np.uint8)
    return scaled
