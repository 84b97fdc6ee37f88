"""The recipes under `models/` are not part of the package; they are imported from the repository."""

from __future__ import annotations

import sys
from pathlib import Path

# Behind everything else, so that the installed package stays the one under test.
sys.path.append(str(Path(__file__).resolve().parents[2]))
