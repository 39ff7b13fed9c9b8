"""Small BIDS datasets made on the spot: empty images, real sidecars."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from made_dataset import Dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    root = tmp_path / "dataset"
    root.mkdir()
    return Dataset(root)


@pytest.fixture(scope="session")
def layouts(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nine published layouts with empty images."""
    folder = tmp_path_factory.mktemp("layouts")
    with tarfile.open(shared_data / "layouts" / "bids_layouts.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder
