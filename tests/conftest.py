"""Fixtures that every suite may use."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.whole import KEPT, Finished, whole_run
from tmsprep.stages import pin_threads

ROOT = Path(__file__).resolve().parent.parent

_HEAVY = ("workflow", "preprocess", "scalp", "denoise")
"""Folders whose tests take minutes; begun first, so that no worker waits for them at the end."""


def _folder(nodeid: str) -> str:
    return nodeid.partition("::")[0].split("/")[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders that take longest."""
    items.sort(key=lambda item: _HEAVY.index(name) if (name := _folder(item.nodeid)) in _HEAVY else len(_HEAVY))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each folder of tests to one worker: what is made once for all its tests is then made once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _folder(nodeid)

    return ByFolder(config, log)


# as in every stage: what a library computes may depend on its number of threads
pin_threads()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data for checks beside the checkout; tests that need it are skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the check data (../shared/data) are not on this machine")
    return folder


@pytest.fixture(scope="session")
def layouts(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nine published layouts with empty images."""
    folder = tmp_path_factory.mktemp("layouts")
    with tarfile.open(shared_data / "layouts" / "bids_layouts.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The tiny dataset, on one core."""
    return whole_run(Path(os.environ.get(KEPT) or tmp_path_factory.mktemp("run")))
