"""Fixtures of the container tests, and when these run: they take minutes, so only where an environment variable asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.containers import charliecloud
from tests.containers.base_image import make_base
from tests.containers.machine import REQUIRE, WANTED, need, wanted
from tests.containers.podman import Podman, make_podman
from tmsprep.images import load_images

CONTAINERFILE = ROOT / "containers" / "Containerfile"
STAND_IN = ROOT / "tests" / "containers" / "stand_in"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `containers` unless it is asked for."""
    if wanted():
        return
    skip = pytest.mark.skip(reason=f"container tests run with {WANTED}=1 or {REQUIRE}=1")
    for item in items:
        if item.get_closest_marker("containers"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Podman:
    """Podman with settings of its own and images that are kept between test runs."""
    need("podman", "buildah", "runc")
    return make_podman(tmp_path_factory.mktemp("podman"))


@pytest.fixture(scope="session")
def own_image(podman: Podman) -> str:
    """The name of TMSPrep's image, built from containers/Containerfile."""
    make_base(podman, CONTAINERFILE)
    return podman.build(CONTAINERFILE, "tmsprep:tests", context=ROOT)


@pytest.fixture(scope="session")
def charliecloud_image(podman: Podman, own_image: str) -> Path:
    """TMSPrep's image as a Charliecloud folder."""
    need("ch-run")
    return charliecloud.to_folder(podman, own_image)


@pytest.fixture(scope="session")
def fmriprep_image(podman: Podman, own_image: str) -> str:
    """The stand-in, under the name of the pinned fMRIPrep."""
    assert own_image == "tmsprep:tests"  # the stand-in's Containerfile copies from it
    return podman.build(STAND_IN / "Containerfile", load_images()["fmriprep"].tagged, context=STAND_IN)
