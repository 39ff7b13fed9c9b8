"""A made-up participant for each test that asks for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up_participant import Participant


@pytest.fixture
def participant(tmp_path: Path) -> Callable[..., Participant]:
    """Make a participant in a folder of its own; one run on a coarse grid, because most tests look at numbers."""

    def make(folder: str = "p", **changes: Any) -> Participant:
        return Participant(tmp_path / folder, **({"scale": 4.0, "runs": 1} | changes))

    return make
