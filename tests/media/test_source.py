"""Where images and recordings come from."""

from __future__ import annotations

import base64
import io
import os
import stat
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

from litertlm.errors import MediaError
from litertlm.media import encode_audio, encode_image, source
from litertlm.media.source import read_source
from litertlm.messages import Audio, Image

CONTENT = b"\x00the \xff content"


def read(origin: object, limit: int = 100) -> bytes:
    """Read ``origin`` as an image file."""
    return read_source(origin, "image", limit=limit).data


def data_url(text: str | bytes, header: str = "image/png;base64") -> str:
    """Build a data: URL from its encoded data."""
    return f"data:{header},{text.decode() if isinstance(text, bytes) else text}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with ``CONTENT``."""
    path = tmp_path / "picture"
    path.write_bytes(CONTENT)
    return path


def test_importing_is_light() -> None:
    """Importing the package imports none of the libraries that decode."""
    code = (
        "import sys, litertlm.media; "
        "print([name for name in ('PIL', 'numpy', 'soundfile', 'soxr') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_every_kind_of_source_gives_the_bytes(path: Path) -> None:
    """Paths as str and Path, every bytes-like type, buffered and raw file objects: all give the content."""
    assert read(path) == CONTENT
    assert read(str(path)) == CONTENT
    assert read(CONTENT) == CONTENT
    assert read(bytearray(CONTENT)) == CONTENT
    assert read(memoryview(CONTENT)) == CONTENT
    assert read(memoryview(CONTENT + CONTENT[::-1])[: len(CONTENT)]) == CONTENT
    assert read(io.BytesIO(CONTENT)) == CONTENT
    with path.open("rb", buffering=0) as file:
        assert read(file) == CONTENT


def test_a_file_name_need_not_be_utf8(tmp_path: Path) -> None:
    """A path from os.listdir works whatever its bytes, and an error message about one can be printed."""
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    try:
        Path(name).write_bytes(CONTENT)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert read(name) == CONTENT
    with pytest.raises(MediaError) as caught:
        read(name + "2")
    str(caught.value).encode()


def test_a_file_object_is_read_from_where_it_stands() -> None:
    """What was read before is left out; afterwards the file stands at its end."""
    file = io.BytesIO(b"header" + CONTENT)
    file.seek(6)
    assert read(file) == CONTENT
    with pytest.raises(MediaError, match=r"is empty.*seek"):
        read(file)


def test_a_pipe_is_read_through_its_file_object() -> None:
    """A file object that cannot seek, and gives little at a time, is read to its end."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as file, os.fdopen(writing, "wb") as other_end:
        other_end.write(CONTENT)
        other_end.close()
        assert read(file) == CONTENT


@pytest.mark.parametrize(
    "url",
    [
        data_url(base64.b64encode(CONTENT)),
        data_url(base64.b64encode(CONTENT)).replace("data", "DATA").replace(";base64", ";BASE64"),
        data_url(base64.b64encode(CONTENT).rstrip(b"=")),
        data_url(base64.urlsafe_b64encode(CONTENT)),
        data_url(urllib.parse.quote(base64.b64encode(CONTENT))),
        data_url(b"\n ".join([base64.b64encode(CONTENT)[:5], base64.b64encode(CONTENT)[5:]])),
        data_url(base64.b64encode(CONTENT), "image/png;name=a.png;base64"),
        data_url(base64.b64encode(CONTENT), ";base64"),
        data_url(base64.b64encode(CONTENT), "application/octet-stream;base64"),
        data_url(urllib.parse.quote(CONTENT), "image/png"),
    ],
)
def test_data_urls(url: str) -> None:
    """Base64 in both alphabets, with or without padding, white space and escapes, and plain escapes."""
    assert read(url) == CONTENT


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("data:image/png;base64", "no comma"),
        (data_url("A"), "base64 is damaged"),
        (data_url("AB*D"), "base64 is damaged"),
        (data_url("AB=DEFGH"), "base64 is damaged"),
        (data_url("\u00e9\u00e9\u00e9\u00e9"), "base64 is damaged"),
        (data_url(""), "is empty"),
        (data_url("AAAA", "audio/wav;base64"), r"declares 'audio/wav', not image. Pass it as Audio\(...\)"),
        (data_url("AAAA", "text/html;base64"), "declares 'text/html', not image"),
        (data_url("A" * 200), "limit of 100 bytes"),
        (data_url("%41" * 101, "image/png"), "limit of 100 bytes"),
        (data_url("A" * 1000, "image/png"), "limit of 100 bytes"),
    ],
)
def test_data_urls_refused(url: str, message: str) -> None:
    """Damaged ones, those of another kind, and large ones are refused, the last without decoding them."""
    with pytest.raises(MediaError, match=message):
        read(url)


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ("https://example.org/a.png", "is a URL, and litertlm fetches nothing"),
        ("file:///a.png", "is a URL"),
        ("file:/a.png", "no such file.*not a file: URL"),
        ("no/such.png", "no such file.*working directory"),
        ("~/no-such.png", "no such file.*expanduser"),
        ("nul\0character", "cannot be opened"),
        ("iVBORw0KGgo" * 1000, "decode base64"),
        (b"", "is empty"),
        (bytearray(101), "limit of 100 bytes"),
        (memoryview(bytes(101)), "limit of 100 bytes"),
        (io.BytesIO(bytes(101)), "limit of 100 bytes"),
        (io.StringIO("text"), "text mode"),
        (17, "type int is not supported. Pass a path, bytes, an open binary file, a data: URL, a PIL image"),
        (None, "type NoneType is not supported"),
        (["a.png"], "type list is not supported"),
        (io.BytesIO, "type type is not supported"),
    ],
)
def test_sources_refused(origin: object, message: str) -> None:
    """Everything that gives no bytes, none at all or too many is refused by a message that says why."""
    with pytest.raises(MediaError, match=message) as caught:
        read(origin)
    assert len(str(caught.value)) < 500


def test_missing_file_has_the_builtin_as_its_cause() -> None:
    """The operating system's own error is kept, for who wants to look at it."""
    with pytest.raises(MediaError) as caught:
        read("no/such.png")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_directory_and_permission(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory and a file without permission are named as such."""
    with pytest.raises(MediaError, match=r"is a directory|permission denied"):  # the latter on Windows
        read(tmp_path)

    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(source, "_open_at_once", refuse)  # for root nothing is forbidden
    with pytest.raises(MediaError, match="picture': permission denied"):
        read(path)


@pytest.mark.timeout(10)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    """A FIFO that nobody writes to is refused at once, and so is a device without an end."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(MediaError, match="is a device or a pipe"):
        read(tmp_path / "fifo")
    if Path("/dev/zero").exists() and stat.S_ISCHR(Path("/dev/zero").stat().st_mode):
        with pytest.raises(MediaError, match="is a device or a pipe"):
            read("/dev/zero")


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A sparse file beyond the limit costs nothing, and the message names size and limit."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(MediaError, match="large' has 1024 GiB, more than the limit of 256 MiB"):
        encode_image(Image(path))
    with pytest.raises(MediaError, match="limit of 512 MiB"):
        encode_audio(Audio(path))


def test_an_endless_file_object_is_refused() -> None:
    """A file object that never ends is read no further than the limit."""

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return bytes(size)

    with pytest.raises(MediaError, match="is larger than the limit of 4 MiB"):
        read(Endless(), limit=4 << 20)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("text", "text mode"),
        (None, "gave NoneType.*non-blocking"),
        (7, "gave int where bytes were expected"),
        (RuntimeError("lost the tape"), "cannot be read: RuntimeError: lost the tape"),
    ],
)
def test_file_objects_that_misbehave(result: object, message: str) -> None:
    """Whatever a file object gives or raises instead of bytes, it is a MediaError."""

    class Odd:
        def read(self, size: int) -> object:
            if isinstance(result, Exception):
                raise result
            return result

    with pytest.raises(MediaError, match=message):
        read(Odd())


def test_closed_file_and_released_memory() -> None:
    """A closed file object and a released memoryview are refused like any other."""
    file = io.BytesIO(CONTENT)
    file.close()
    with pytest.raises(MediaError, match="closed file"):
        read(file)
    view = memoryview(CONTENT)
    view.release()
    with pytest.raises(MediaError, match="cannot be read"):
        read(view)
