"""Images: every format, mode and array, orientation, transparency, size."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.features
import PIL.Image
import pytest

from litertlm.errors import MediaError
from litertlm.media import EncodedImage, encode_image
from litertlm.media import image as module
from litertlm.media.png import write_png
from litertlm.messages import Image

LOSSLESS = [
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_deflate"}),
    ("BMP", {}),
    ("TGA", {"compression": "tga_rle"}),
    ("PPM", {}),
    ("JPEG2000", {}),
    ("PCX", {}),
    ("SGI", {}),
    ("DDS", {}),
    ("PNG", {"exif": b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\1\0\0\0\0\0\0\0"}),
]


def encoded(source: object) -> EncodedImage:
    """Encode the image from ``source``."""
    return encode_image(Image(source))  # type: ignore[arg-type]


@pytest.mark.parametrize(("container", "options"), LOSSLESS)
def test_lossless_formats(
    container: str,
    options: dict[str, object],
    scene: np.ndarray,
    write_image: Callable[..., bytes],
    pixels_of: Callable[[bytes], np.ndarray],
) -> None:
    """Each lossless format arrives as PNG with the very same pixels."""
    result = encoded(write_image(container, **options))
    assert (result.format, result.width, result.height) == ("png", 64, 48)
    np.testing.assert_array_equal(scene, pixels_of(result.data))


@pytest.mark.parametrize("container", ["WEBP", "GIF", "AVIF", "ICO", "JPEG2000"])
def test_other_formats(
    container: str, write_image: Callable[..., bytes], pixels_of: Callable[[bytes], np.ndarray]
) -> None:
    """Each other format arrives as PNG with the pixels that Pillow sees in it."""
    if container == "AVIF" and not PIL.features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    data = write_image(container)
    result = encoded(data)
    assert result.format == "png"
    expected = np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(expected, pixels_of(result.data))


@pytest.mark.parametrize(
    ("container", "options"),
    [("PNG", {}), ("PNG", {"optimize": True}), ("JPEG", {}), ("JPEG", {"progressive": True, "quality": 30})],
)
def test_what_the_engine_reads_is_passed_on(
    container: str, options: dict[str, object], write_image: Callable[..., bytes]
) -> None:
    """A sound PNG or JPEG is passed on byte for byte, in colour and in greys, from every kind of source."""
    for mode in ("RGB", "L"):
        picture = PIL.Image.open(io.BytesIO(write_image("PNG"))).convert(mode)
        data = write_image(container, picture, **options)
        for source in (
            data,
            bytearray(data),
            io.BytesIO(data),
            f"data:image/{container};base64,{base64.b64encode(data).decode()}",
        ):
            assert EncodedImage(data, container.lower(), 64, 48) == encoded(source)  # type: ignore[arg-type]


def test_a_path(tmp_path: Path, write_image: Callable[..., bytes]) -> None:
    """A file is known by its bytes, whatever its name says."""
    path = tmp_path / "picture.jpg"
    path.write_bytes(write_image("PNG"))
    assert encoded(path).format == "png"
    assert encoded(str(path)) == encoded(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("container", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation(
    container: str,
    orientation: int,
    write_image: Callable[..., bytes],
    pixels_of: Callable[[bytes], np.ndarray],
) -> None:
    """A picture with a corner of each colour is upright whatever orientation a camera noted."""
    corners = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    upright = np.repeat(np.repeat(corners, 16, axis=0), 24, axis=1)  # 48 wide, 32 high
    stored = {  # EXIF 2.32, orientation: what the first row and the first column of the file are
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}.get(container, {})
    data = write_image(container, stored, exif=exif, **options)
    for source in (data, PIL.Image.open(io.BytesIO(data))):
        result = encoded(source)
        assert (result.width, result.height) == (48, 32)
        np.testing.assert_allclose(pixels_of(result.data).astype(int), upright, atol=12)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_metadata_is_no_reason_to_refuse(write_image: Callable[..., bytes]) -> None:
    """An image whose EXIF is garbage is taken as upright."""
    result = encoded(write_image("JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage"))
    assert (result.width, result.height) == (64, 48)


@pytest.mark.parametrize("container", ["PNG", "WEBP", "TIFF"])
def test_transparency_becomes_white(
    container: str,
    scene: np.ndarray,
    write_image: Callable[..., bytes],
    pixels_of: Callable[[bytes], np.ndarray],
) -> None:
    """Where an image is transparent it becomes white, half transparent halfway, opaque unchanged."""
    alpha = np.full((48, 64, 1), 255, np.uint8)
    alpha[:, :20] = 0
    alpha[:, 20:40] = 128
    options = {"lossless": True, "exact": True} if container == "WEBP" else {}
    result = pixels_of(
        encoded(write_image(container, np.concatenate([scene, alpha], axis=2), **options)).data
    )
    assert (result[:, :20] == 255).all()
    np.testing.assert_allclose(result[:, 20:40], (scene[:, 20:40].astype(float) + 255) / 2, atol=2)
    np.testing.assert_array_equal(result[:, 40:], scene[:, 40:])


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_transparent_colour_becomes_white(
    mode: str, write_image: Callable[..., bytes], pixels_of: Callable[[bytes], np.ndarray]
) -> None:
    """A PNG may name one grey, colour or palette entry as transparent instead of having an alpha channel."""
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[2:] = 204  # a colour of the palette that Pillow chooses
    picture = PIL.Image.fromarray(pixels).convert(mode)
    result = pixels_of(encoded(write_image("PNG", picture, transparency=picture.getpixel((0, 0)))).data)
    assert (result[:2] == 255).all()
    assert (result[2:] == 204).all()


MODES = [
    "1",
    "L",
    "LA",
    "La",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBa",
    "RGBX",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
]


@pytest.mark.parametrize("mode", MODES)
def test_pil_images_of_every_mode(mode: str, scene: np.ndarray) -> None:
    """A PIL image of any mode looks as Pillow itself would show it, and is not changed."""
    colour = PIL.Image.fromarray(scene)
    through = {"La": "LA", "RGBa": "RGBA", "PA": "P", "I": "L", "F": "L"}.get(mode, "RGB")
    picture = colour.convert(through).convert(mode)
    before = picture.tobytes()
    result = encoded(picture)
    same = {"LA": "L", "La": "L", "I": "L", "F": "L", "PA": "P", "RGBa": "RGB"}.get(mode, mode)
    expected = np.asarray(colour.convert(same).convert("RGB"), int)
    shown = np.asarray(PIL.Image.open(io.BytesIO(result.data)).convert("RGB"), int)
    np.testing.assert_allclose(shown, expected, atol=1)
    assert ("png", mode, before) == (result.format, picture.mode, picture.tobytes())


@pytest.mark.parametrize(("container", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("PPM", "I")])
def test_sixteen_bit_greys(
    container: str, mode: str, write_image: Callable[..., bytes], pixels_of: Callable[[bytes], np.ndarray]
) -> None:
    """16-bit greys are scaled to 8 bits, not cut off at 255 as a plain conversion would."""
    values = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
    picture = PIL.Image.fromarray(values)
    result = encoded(write_image(container, picture if mode == "I;16" else picture.convert("I")))
    np.testing.assert_array_equal(pixels_of(result.data).ravel(), np.arange(256))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_deep_greys_of_unknown_range(mode: str, pixels_of: Callable[[bytes], np.ndarray]) -> None:
    """Modes I and F are taken by their values; values that fit no range are refused."""
    top = {"I": 65535, "F": 1}[mode]
    picture = PIL.Image.fromarray(np.array([[0, top]], {"I": np.int32, "F": np.float32}[mode]))
    assert pixels_of(encoded(picture).data).tolist() == [[0, 255]]
    for wrong in (-1, 1e6) if mode == "I" else (-0.5, 300, np.nan):
        values = np.array([[0, wrong]], {"I": np.int32, "F": np.float32}[mode])
        with pytest.raises(MediaError, match=f"mode {mode} has values from"):
            encoded(PIL.Image.fromarray(values))


def test_cmyk_jpeg(scene: np.ndarray, write_image: Callable[..., bytes]) -> None:
    """A JPEG for printing is converted: its four inks are not what the engine expects."""
    result = encoded(write_image("JPEG", PIL.Image.fromarray(scene).convert("CMYK"), quality=95))
    assert result.format == "png"
    shown = np.asarray(PIL.Image.open(io.BytesIO(result.data)), int)
    assert np.abs(shown - scene).mean() < 6


@pytest.mark.parametrize("container", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_of_several_frames(
    container: str, write_image: Callable[..., bytes], pixels_of: Callable[[bytes], np.ndarray]
) -> None:
    """An animation or a document of several pages is its first frame."""
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"WEBP": {"lossless": True}}.get(container, {})
    data = write_image(container, frames[0], save_all=True, append_images=frames[1:], **options)
    result = encoded(data)
    assert result.format == "png"
    assert result.data != data
    assert (pixels_of(result.data) == (255, 0, 0)).all()


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 7, 255]], np.uint8), [0, 7, 255]),
        (np.array([[[0], [7], [255]]], np.uint8), [0, 7, 255]),
        (np.array([[False, True]]), [0, 255]),
        (np.array([[0, 257, 65535]], np.uint16), [0, 1, 255]),
        (np.array([[0, 257, 65535]], ">u2"), [0, 1, 255]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 0.5, 1]], np.float64), [0, 128, 255]),
        (np.array([[0, 0.5, 1]], np.float16), [0, 128, 255]),
        (np.array([[-0.001, 1.001]]), [0, 255]),
        (np.array([[[1, 2, 3]]], np.uint8), [1, 2, 3]),
        (np.array([[[1, 2, 3, 255]]], np.uint8), [1, 2, 3]),
        (np.array([[[1, 2, 3, 0]]], np.uint8), [255, 255, 255]),
        (np.array([[[0.2, 0.4, 0.6, 1.0]]]), [51, 102, 153]),
    ],
)
def test_arrays(array: np.ndarray, expected: list[int], pixels_of: Callable[[bytes], np.ndarray]) -> None:
    """Bytes, 16 bits, booleans and floating point, of one, three or four channels, all become 0..255."""
    before = array.copy()
    assert expected == pixels_of(encoded(array).data).ravel().tolist()
    np.testing.assert_array_equal(before, array)


def test_array_views(scene: np.ndarray, pixels_of: Callable[[bytes], np.ndarray]) -> None:
    """An array need not lie in memory in order: mirrored, transposed, cut out and BGR views work."""
    for view in (scene[::-1], scene[:, ::-1], scene.transpose(1, 0, 2), scene[5:9, 7:50], scene[..., ::-1]):
        np.testing.assert_array_equal(view, pixels_of(encoded(view).data))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), r"shape \(5,\) is not an image"),
        (np.zeros((4, 4, 2), np.uint8), r"shape \(4, 4, 2\) is not an image. Pass \(height, width\)"),
        (np.zeros((3, 64, 64), np.uint8), r"channels first: array.transpose\(1, 2, 0\)"),
        (np.zeros((1, 8, 8, 3), np.uint8), "batch one by one"),
        (np.zeros((0, 8), np.uint8), r"no pixels: its size is 8 x 0"),
        (np.zeros((4, 4), np.int64), r"dtype int64. Pass uint8"),
        (np.zeros((4, 4), complex), "dtype complex128"),
        (np.zeros((4, 4), object), "dtype object"),
        (np.full((4, 4), np.nan), "NaN or infinite"),
        (np.full((4, 4), np.inf, np.float32), "NaN or infinite"),
        (np.full((4, 4), 200.0), "from 200 to 200, not 0..1. Divide by 255"),
        (np.full((4, 4), -1.0), "from -1 to -1, not 0..1. Scale"),
        (np.broadcast_to(np.uint8(0), (10**4, 10**4)), "10000 x 10000 pixels, more than the limit of 89 meg"),
    ],
)
def test_arrays_refused(array: np.ndarray, message: str) -> None:
    """An array of another shape, type or range is refused by a message that names it."""
    with pytest.raises(MediaError, match=message):
        encoded(array)


def declared_png(width: int, height: int) -> bytes:
    """Return a PNG that declares a size, but has hardly any data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_huge_images_are_refused(size: tuple[int, int]) -> None:
    """A file of a hundred bytes that declares a huge image is refused without memory being taken for it."""
    with pytest.raises(MediaError, match="limit of 89 megapixels"):
        encoded(declared_png(*size))


@pytest.mark.filterwarnings("error")
def test_where_warnings_are_errors() -> None:
    """An application that turns Pillow's warning about large images into an error gets a MediaError."""
    with pytest.raises(MediaError, match="limit of 89 megapixels"):
        encoded(declared_png(10_000, 10_000))


def test_large_images_become_smaller(write_image: Callable[..., bytes]) -> None:
    """Above 4 megapixels an image is made smaller, as JPEG, in its shape and upright."""
    pixels = np.zeros((1700, 2550, 3), np.uint8)
    pixels[:, :1275] = (255, 0, 0)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    for source in (pixels, write_image("JPEG", pixels)):
        result = encoded(source)
        assert result.format == "jpeg"
        assert 2_580_480 <= result.width * result.height <= module.SENT_PIXELS
        assert abs(result.width / result.height - 1.5) < 0.01
        shown = PIL.Image.open(io.BytesIO(result.data))
        assert (result.width, result.height) == shown.size
        assert shown.getpixel((10, 10))[0] > 250  # type: ignore[index]
        assert shown.getpixel((result.width - 10, 10))[0] < 5  # type: ignore[index]
    turned = encoded(write_image("JPEG", pixels, exif=exif))
    assert turned.width < turned.height


def test_long_thin_images_keep_their_detail() -> None:
    """Only the number of pixels counts, and a side beyond what the engine takes in a JPEG."""
    result = encoded(np.zeros((100, 20_000), np.uint8))
    assert (result.format, result.width, result.height) == ("png", 20_000, 100)
    result = encoded(np.zeros((1, 100_000), np.uint8))
    assert (result.format, result.width, result.height) == ("jpeg", 32_767, 1)


def test_ballast_is_not_passed_on(write_image: Callable[..., bytes]) -> None:
    """A file much larger than its pixels is written anew, so that it does not fill the chat's history."""
    data = write_image("PNG")
    assert len(encoded(data + bytes(1 << 20)).data) < 1 << 15


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "it is a HEIC image. The package pillow-heif adds it"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "it is an SVG drawing. Render"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is PostScript"),
        (b"%PDF-1.7\n", "it is a PDF document"),
        (b"RIFF\x24\0\0\0WAVEfmt ", r"it is a WAV recording. Pass it as Audio\(...\)"),
        (b"<!DOCTYPE html><html>", "it is an HTML page"),
        (b"just text", "cannot be read as image. Readable are JPEG, PNG, WebP"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "cannot be read as a PNG image|truncated"),
    ],
)
def test_other_files_are_named(data: bytes, message: str) -> None:
    """What is no readable image is refused by the name of what it is, with what to do instead."""
    with pytest.raises(MediaError, match=message):
        encoded(data)


def test_postscript_is_never_run(write_image: Callable[..., bytes]) -> None:
    """Pillow would hand an EPS file to Ghostscript; a program is not run on a stranger's file."""
    with pytest.raises(MediaError, match="PostScript"):
        encoded(write_image("EPS"))


def test_pil_image_on_a_damaged_file(write_image: Callable[..., bytes]) -> None:
    """A PIL image that was opened but not loaded may turn out to be truncated, or be closed."""
    data = write_image("JPEG")
    with pytest.raises(MediaError, match="PIL image cannot be read: image file is truncated"):
        encoded(PIL.Image.open(io.BytesIO(data[:-100])))
    closed = PIL.Image.open(io.BytesIO(data))
    closed.close()
    with pytest.raises(MediaError, match="PIL image cannot be read"):
        encoded(closed)


def test_many_threads(scene: np.ndarray, write_image: Callable[..., bytes]) -> None:
    """Threads that encode at the same time get what one thread gets."""
    sources = [
        write_image("PNG"),
        write_image("WEBP"),
        write_image("TIFF"),
        scene,
        PIL.Image.fromarray(scene),
    ]
    expected = [encoded(source) for source in sources] * 8
    with ThreadPoolExecutor(8) as pool:
        assert expected == list(pool.map(encoded, sources * 8))


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (3, 1, 3), (1, 7), (17, 5, 3), (5, 17)])
def test_png_writer(shape: tuple[int, ...], pixels_of: Callable[[bytes], np.ndarray]) -> None:
    """Whatever is written is read back, also by a reader that checks every checksum."""
    pixels = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    data = write_png(pixels)
    PIL.Image.open(io.BytesIO(data)).verify()
    np.testing.assert_array_equal(pixels, pixels_of(data))
