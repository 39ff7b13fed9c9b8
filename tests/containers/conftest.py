"""Fixtures of the container tests, and when these run: they take minutes, so only where an environment variable asks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.containers import charliecloud
from tests.containers.base_image import make_base
from tests.containers.machine import REQUIRE, WANTED, need, wanted
from tests.containers.podman import Podman, make_podman
from tests.whole import Finished
from tmsprep.files import sha256
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
def computed(whole: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the builtin engine computed for the participant, and the checksums of the scans that it read."""
    folder = tmp_path_factory.mktemp("computed")
    shutil.copytree(whole.output_dir / "tmsprep-builtin" / "sub-01", folder / "sub-01")
    scans = sorted((whole.bids_dir / "sub-01").rglob("*.nii.gz"))
    digests = {path.relative_to(whole.bids_dir).as_posix(): sha256(path) for path in scans}
    (folder / "scans.json").write_text(json.dumps(digests), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def fmriprep_image(podman: Podman, own_image: str, computed: Path) -> str:
    """The stand-in, under the name of the pinned fMRIPrep."""
    assert own_image == "tmsprep:tests"  # the stand-in's Containerfile copies from it
    podman.build(STAND_IN / "Containerfile", "stand-in:tests", context=STAND_IN)
    return podman.build(STAND_IN / "Computed.Containerfile", load_images()["fmriprep"].tagged, context=computed)
