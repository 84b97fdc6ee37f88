"""Opening: paths of every kind, what is not a file, and the life of a ModelFile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from litertlm import modelfile
from litertlm.errors import ClosedError, ModelFileError, ModelNotFoundError

from . import containers


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small whole model file."""
    path = tmp_path / "small.litertlm"
    path.write_bytes(containers.model())
    return path


def test_description_of_a_small_model(model: Path) -> None:
    """What the file holds comes out, and what it does not say stays unset."""
    found = modelfile.describe(model)
    assert (found.path, found.size, found.version) == (str(model), model.stat().st_size, (1, 7, 0))
    assert (found.model_type, found.modalities, found.max_context) == ("gemma4", ("text",), 64)
    assert (found.chat_template, found.stop_tokens, found.start_token) == ("{{ messages }}", ((1,),), None)
    assert (found.sampler, found.max_image_tokens, found.tokenizer) == (None, None, "huggingface")
    assert dict(found.properties) == {"Authors": "somebody", "revision": 7}
    assert [section.kind for section in found.sections] == ["llm_metadata", "hf_tokenizer", "tflite_model"]
    decoder = found.section("tflite_model", "tf_lite_prefill_decode")
    assert decoder is found.sections[2]
    assert decoder.begin + decoder.size == decoder.end == found.size


@pytest.mark.parametrize("name", ["model", "model.bin", "model.LITERTLM", "mödel.litertlm", "a b"])
def test_any_name(tmp_path: Path, name: str) -> None:
    """The name does not decide what a file is; str, bytes and PathLike are taken."""
    path = tmp_path / name
    path.write_bytes(containers.model())
    for spelled in (path, str(path), os.fsencode(path)):
        assert modelfile.describe(spelled).path == str(path)


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are not text exist on Linux")
def test_name_that_is_not_utf8(tmp_path: Path) -> None:
    """A file name of arbitrary bytes works."""
    path = os.fsencode(tmp_path / os.fsdecode(b"\xff\xfe"))
    Path(os.fsdecode(path)).write_bytes(containers.model())
    assert modelfile.describe(path).model_type == "gemma4"
    with pytest.raises(ModelNotFoundError):
        modelfile.describe(path + b"x")


def test_missing_file_names_neighbours(model: Path) -> None:
    """The error of a missing file lists similar names in its folder."""
    with pytest.raises(ModelNotFoundError, match=r"there is no such file.*small\.litertlm") as caught:
        modelfile.open_model(model.with_name("smal.litertlm"))
    assert isinstance(caught.value, FileNotFoundError)


def test_missing_folder_and_file_as_folder(model: Path) -> None:
    """The parts of a path that do not exist are told apart."""
    with pytest.raises(ModelNotFoundError, match="There is no folder"):
        modelfile.open_model(model.parent / "nowhere" / "x.litertlm")
    with pytest.raises(ModelNotFoundError):
        modelfile.open_model(model / "x.litertlm")


def test_folder(model: Path) -> None:
    """For a folder the hint names the model in it."""
    with pytest.raises(ModelFileError, match=r"is a folder.*small\.litertlm"):
        modelfile.open_model(model.parent)


@pytest.mark.parametrize("path", ["", "a\0b", b"\0"])
def test_impossible_paths(path: str | bytes) -> None:
    """An empty path, and one with NUL, is refused like any other that leads nowhere."""
    with pytest.raises(ModelFileError):
        modelfile.open_model(path)


@pytest.mark.parametrize("path", [None, 3, 1.5, object()])
def test_not_a_path(path: object) -> None:
    """What is no path at all is a TypeError: a mistake of the program, not of the file."""
    with pytest.raises(TypeError):
        modelfile.open_model(path)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.timeout(10)
def test_pipes_and_devices_do_not_block(tmp_path: Path) -> None:
    """A pipe without a writer is refused at once, and a device is not opened."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", "/dev/tty"):
        with pytest.raises(ModelFileError, match=r"is not a regular file|cannot be opened"):
            modelfile.open_model(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(model: Path) -> None:
    """A file that may not be read says so."""
    model.chmod(0)
    with pytest.raises(ModelFileError, match="permission denied"):
        modelfile.open_model(model)


def test_descriptors_are_independent(model: Path) -> None:
    """Each descriptor has a position of its own and outlives the ModelFile."""
    data = model.read_bytes()
    with modelfile.open_model(model) as opened:
        first, second = opened.descriptor(), opened.descriptor()
        assert os.read(first, 8) == b"LITERTLM"
    try:
        assert os.read(second, 8) == b"LITERTLM"
        assert os.read(first, 4) == data[8:12]
    finally:
        os.close(first)
        os.close(second)


def test_descriptor_is_the_verified_file(model: Path) -> None:
    """When another file takes the name, descriptors still lead to the one that was verified."""
    with modelfile.open_model(model) as opened:
        other = model.with_name("other")
        other.write_bytes(b"something else")
        if sys.platform != "win32":
            other.replace(model)
        descriptor = opened.descriptor()
        try:
            assert os.read(descriptor, 8) == b"LITERTLM"
        finally:
            os.close(descriptor)


def test_close(model: Path) -> None:
    """Closing twice is fine; a closed file gives no descriptor."""
    opened = modelfile.open_model(model)
    opened.close()
    opened.close()
    with pytest.raises(ClosedError):
        opened.descriptor()
    assert "closed" in repr(opened)


def open_descriptors() -> int:
    """How many descriptors this process has; 0 where that cannot be told."""
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


def test_refused_files_leave_no_descriptor(model: Path) -> None:
    """Opening a damaged file many times does not use up descriptors."""
    model.write_bytes(containers.model()[:-1])
    before = open_descriptors()
    for _ in range(50):
        with pytest.raises(ModelFileError):
            modelfile.open_model(model)
    after = open_descriptors()
    assert after == before


def test_reads_no_weights(tmp_path: Path) -> None:
    """A file of 600 MB, most of it weights and sparse on disk, is opened having read less than 1 MB of it."""
    first, second, decoder = containers.parts()
    size = 600 << 20
    decoder.data = containers.tflite(
        {"decode": ({"tokens": (1, 1)}, {"logits": (1, 8)})}, constants=[(1 << 20, size - (1 << 20))]
    )
    begin = 3 * containers.ALIGNMENT
    decoder.end = begin + size
    path = tmp_path / "large.litertlm"
    path.write_bytes(containers.container([first, second, decoder]))
    os.truncate(path, begin + size)
    code = (
        "import os, sys\n"
        "from litertlm import modelfile\n"
        "count, read = [0], os.pread\n"
        "def counted(*args):\n"
        "    data = read(*args)\n"
        "    count[0] += len(data)\n"
        "    return data\n"
        "os.pread = counted\n"
        "assert modelfile.describe(sys.argv[1]).size > 600 << 20\n"
        "print(count[0])\n"
    )
    if hasattr(os, "pread"):
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        assert 0 < int(done.stdout) < 1 << 20
