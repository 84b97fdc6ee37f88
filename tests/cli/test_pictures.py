"""Thumbnails and waveforms."""

from __future__ import annotations

from pathlib import Path

import numpy
import PIL.Image
import pytest
import soundfile

from litertlm.cli.pictures import read_picture, read_sound


def test_a_picture_becomes_half_blocks_of_its_colours(tmp_path: Path) -> None:
    """Two pixels in a character."""
    image = PIL.Image.new("RGB", (40, 40), "red")
    image.paste("blue", (0, 20, 40, 40))
    image.save(tmp_path / "two.png")
    picture = read_picture(str(tmp_path / "two.png"), columns=10, lines=10)
    assert (picture.width, picture.height, picture.format) == (40, 40, "PNG")
    assert len(picture.rows) == 5
    assert all(len(row) == 10 for row in picture.rows)
    assert picture.rows[0][0] == ((255, 0, 0), (255, 0, 0))
    assert picture.rows[-1][-1] == ((0, 0, 255), (0, 0, 255))


@pytest.mark.parametrize("size", [(1, 1), (3000, 10), (10, 3000), (7, 5)])
def test_any_shape_fits(tmp_path: Path, size: tuple[int, int]) -> None:
    """Slivers and dots too; transparency is white."""
    PIL.Image.new("RGBA", size, (0, 0, 0, 0)).save(tmp_path / "x.png")
    picture = read_picture(str(tmp_path / "x.png"), columns=20, lines=6)
    assert 1 <= len(picture.rows) <= 6
    assert 1 <= len(picture.rows[0]) <= 20
    assert picture.rows[0][0][0] == (255, 255, 255)


def test_what_is_no_picture_is_not_shown(tmp_path: Path) -> None:
    """Damaged files, PostScript, no file."""
    file = tmp_path / "x.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n but not really")
    assert read_picture(str(file), 10, 10) is None
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    assert read_picture(str(file), 10, 10) is None
    assert read_picture(str(tmp_path / "none.png"), 10, 10) is None


def test_a_recording_becomes_a_waveform(tmp_path: Path) -> None:
    """Scaled to its loudest part."""
    loudness = numpy.repeat([0.0, 0.5, 1.0, 0.25], 4000)
    soundfile.write(tmp_path / "x.wav", numpy.stack([loudness, loudness], 1), 8000, subtype="FLOAT")
    sound = read_sound(str(tmp_path / "x.wav"), columns=4)
    assert (sound.seconds, sound.sample_rate, sound.channels) == (2.0, 8000, 2)
    assert sound.waveform() == "▁▅█▃"
    assert sound.waveform(modern=False) == "_+#-"


def test_silence_and_noise_are_shown_and_junk_is_not(tmp_path: Path) -> None:
    """Silence is a low line."""
    soundfile.write(tmp_path / "x.wav", numpy.zeros(3), 8000)
    assert read_sound(str(tmp_path / "x.wav"), columns=40).waveform() == "▁▁▁"
    (tmp_path / "x.wav").write_bytes(b"RIFF nonsense")
    assert read_sound(str(tmp_path / "x.wav"), columns=40) is None
