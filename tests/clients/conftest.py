"""The clients against real servers: what the end-to-end tests have for that is used here, too."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "e2e"))
