"""Fixtures for files that must be refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from litertlm import modelfile
from litertlm.errors import ModelFileError


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[bytes], ModelFileError]:
    """Write bytes to a file and return the error that opening it raises."""

    def refuse(data: bytes) -> ModelFileError:
        path = tmp_path / "model.litertlm"
        path.write_bytes(data)
        with pytest.raises(ModelFileError) as caught:
            modelfile.open_model(path)
        assert caught.value.path == str(path)
        return caught.value

    return refuse
