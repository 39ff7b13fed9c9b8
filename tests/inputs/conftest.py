"""Small BIDS datasets made on the spot: empty images, real sidecars."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_dataset import Dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    root = tmp_path / "dataset"
    root.mkdir()
    return Dataset(root)
