"""TMSPrep's own image: it builds, any user can run it on a read-only file system, and it computes what the checkout does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.containers.charliecloud import ch_run, to_squashfs
from tests.containers.machine import need
from tests.containers.podman import Podman
from tmsprep import __version__

pytestmark = [pytest.mark.slow, pytest.mark.containers]

EXAMPLE = ROOT / "bids_example"
STRANGER = 12345
"""A user number that the image does not know."""

CONFINED = ("--read-only", "--network=none", f"--user={STRANGER}:{STRANGER}")


def check_words(data: Path | str, report: Path | str) -> list[str]:
    """Return the words of the stage `check` on the example's first participant."""
    runs = [f"{data}/sub-01/func/sub-01_task-rest_echo-{echo}_bold.nii.gz" for echo in (1, 2, 3)]
    words = ["stage", "check", "--t1w", f"{data}/sub-01/anat/sub-01_T1w.nii.gz", "--bold", *runs]
    return [*words, "--repetition-time", "2.5", "2.5", "2.5", "--out-report", str(report)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The report that the checkout's own program writes."""
    report = tmp_path_factory.mktemp("own") / "check.json"
    command = [str(Path(sys.executable).with_name("tmsprep")), *check_words(EXAMPLE, report)]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    return report.read_bytes()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder of the stranger's."""
    folder = tmp_path / "out"
    folder.mkdir()
    os.chown(folder, STRANGER, STRANGER)
    return folder


def mounts(out: Path) -> tuple[str, ...]:
    return f"--volume={EXAMPLE}:/data:ro", f"--volume={out}:/out"


def test_the_image_says_what_it_is(podman: Podman, own_image: str) -> None:
    config = podman.inspect(own_image)["Config"]
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
    assert (labels["title"], labels["version"], labels["licenses"]) == ("TMSPrep", __version__, "Apache-2.0")
    assert "not a medical device" in labels["description"]
    assert config["User"] == "tmsprep"
    assert config["Entrypoint"] == ["tmsprep"]


def test_it_is_not_root_unless_told(podman: Podman, own_image: str) -> None:
    user = podman.start(own_image, "-u", options=("--entrypoint=id",)).stdout.strip()
    assert user not in ("0", "")


@pytest.mark.parametrize("options", [(), CONFINED], ids=["plain", "confined"])
def test_it_runs(podman: Podman, own_image: str, options: tuple[str, ...]) -> None:
    assert podman.start(own_image, "--version", options=options).stdout.strip() == __version__


def test_the_plan_of_a_dataset_that_cannot_be_written(podman: Podman, own_image: str, out: Path) -> None:
    words = ("/data", "/out", "participant", "--preproc", "builtin", "--circuit", "example", "--dry-run")
    result = podman.start(own_image, *words, options=(*CONFINED, *mounts(out)))
    assert "BIDS validator: data" in result.stdout
    assert "This was a dry-run" in result.stdout + result.stderr
    assert [path.name for path in out.iterdir()] == ["work"]


def test_a_stage_gives_what_the_checkout_gives(podman: Podman, own_image: str, out: Path, expected: bytes) -> None:
    podman.start(own_image, *check_words("/data", "/out/check.json"), options=(*CONFINED, *mounts(out)))
    report = out / "check.json"
    assert report.read_bytes() == expected
    assert (report.stat().st_uid, report.stat().st_gid) == (STRANGER, STRANGER)


def test_the_umask_decides_who_may_read(podman: Podman, own_image: str, out: Path) -> None:
    options = (*CONFINED, "--umask=0027", *mounts(out))
    podman.start(own_image, *check_words("/data", "/out/check.json"), options=options)
    assert (out / "check.json").stat().st_mode & 0o777 == 0o640


def test_charliecloud_gives_the_same(charliecloud_image: Path, tmp_path: Path, expected: bytes) -> None:
    words = check_words("/data", "/out/check.json")
    ch_run(charliecloud_image, "tmsprep", *words, binds={EXAMPLE: "/data", tmp_path: "/out"})
    assert (tmp_path / "check.json").read_bytes() == expected


def test_charliecloud_runs_it_from_one_file(charliecloud_image: Path, tmp_path: Path) -> None:
    need("mksquashfs")
    file = to_squashfs(charliecloud_image, tmp_path / "tmsprep.sqfs")
    assert ch_run(file, "tmsprep", "--version", binds={}).stdout.strip() == __version__
    file.unlink()


def test_the_build_leaves_no_settings_behind(podman: Podman, own_image: str) -> None:
    places = ("/root", "/etc/apt/apt.conf.d", "/usr/local/share", "/src", "/wheels", "/etc/pip.conf")
    found = podman.start(own_image, *places, "-type", "f", options=("--user=0", "--entrypoint=find"), check=False)
    assert {Path(line).name for line in found.stdout.split()} == {"01autoremove", "70debconf", ".bashrc", ".profile"}


def test_the_image_names_no_host_and_no_setting(podman: Podman, own_image: str) -> None:
    told = json.dumps(podman.inspect(own_image))
    assert not re.search(r"https?://|pip\.conf|\.crt|index-url|_proxy", told, re.IGNORECASE)


def test_everyone_can_read_the_program(podman: Podman, own_image: str) -> None:
    words = ("/opt/tmsprep", "!", "-type", "l", "!", "-perm", "-o+r")
    assert podman.start(own_image, *words, options=("--user=0", "--entrypoint=find")).stdout == ""
