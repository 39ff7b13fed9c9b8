"""fMRIPrep in real containers: the whole workflow through fmriprep-docker, Podman and Charliecloud.

The image is a stand-in under the pinned name: fMRIPrep's own parser, index and workflow construction, the builtin engine's
computations. So mounts, users, read-only input, licence, templates and folders are proved by running, and the targets
must be those of a builtin run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests import whole as builtin_run
from tests.conftest import ROOT
from tests.containers.charliecloud import to_folder
from tests.containers.machine import need
from tests.containers.podman import Podman
from tests.workflow.conftest import copy_participant
from tmsprep.images import load_images
from tmsprep.provenance.lineage import Lineage
from tmsprep.provenance.verify import verify

pytestmark = [pytest.mark.slow, pytest.mark.containers]

LISTED = load_images()["fmriprep"]
ENGINES = ("docker", "podman", "charliecloud")
MINUTES = 12


@dataclass(frozen=True)
class Finished:
    """A run that has ended."""

    out: Path
    status: int
    text: str

    @property
    def receipt(self) -> dict[str, Any]:
        return json.loads((self.out / "tmsprep" / "prov" / "sub-01" / "sub-01_fmriprep.json").read_text())

    @property
    def seen(self) -> dict[str, Any]:
        return json.loads((self.out / "fmriprep" / "logs" / "sub-01" / "seen.json").read_text())


@pytest.fixture(scope="module")
def dataset(whole: builtin_run.Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny dataset with a second participant, for whom fMRIPrep fails."""
    bids_dir = tmp_path_factory.mktemp("engine") / "bids"
    shutil.copytree(whole.bids_dir, bids_dir)
    copy_participant(bids_dir, "01", "crash")
    return bids_dir


@pytest.fixture(scope="module")
def licence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("licence") / "my license.txt"
    path.write_text("the licence", encoding="utf-8")
    return path


def run_tmsprep(podman: Podman, *words: object) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("tmsprep")), *map(str, words)]
    return subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=MINUTES * 60,
        env=podman.environment | {"TMSPREP_TEST_HOST_VARIABLE": "leaks"},
    )


@pytest.fixture(scope="module")
def runs(
    podman: Podman, fmriprep_image: str, dataset: Path, licence: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Finished]:
    """Run the workflow with a runtime, once."""

    @cache
    def run(runtime: str) -> Finished:
        out = tmp_path_factory.mktemp(runtime) / "out folder"
        words: list[object] = [dataset, out, "participant", "group", "--circuit", "example", "--nprocs", 2]
        words += ["--skip-bids-validation", "--preproc", "fmriprep", "--container-runtime", runtime]
        words += ["--fs-license-file", licence, "--fmriprep-options", "--fd-spike-threshold 0.4"]
        words += ["--surfaces"] if runtime == "podman" else []
        if runtime == "charliecloud":
            need("ch-run")
            words += ["--fmriprep-image", to_folder(podman, fmriprep_image)]
        result = run_tmsprep(podman, *words)
        return Finished(out, result.returncode, result.stdout)

    return run


@pytest.mark.parametrize("runtime", ENGINES)
def test_the_target_is_the_builtin_runs(runs: Callable[[str], Finished], runtime: str, whole: builtin_run.Finished) -> None:
    finished = runs(runtime)
    assert whole.status == 0, whole.text[-3000:]
    for pattern in ("*_markers.tsv", "*_statmap.nii.gz", "*_desc-denoised_bold.nii.gz"):
        one = sorted(whole.tmsprep.glob(f"sub-01/**/{pattern}"))
        two = sorted((finished.out / "tmsprep").glob(f"sub-01/**/{pattern}"))
        assert one, pattern
        assert [path.name for path in one] == [path.name for path in two], finished.text[-3000:]
        assert [sha256(path) for path in one] == [sha256(path) for path in two], pattern


@pytest.mark.parametrize("runtime", ENGINES)
def test_a_failed_participant_is_named_and_stops_nobody(runs: Callable[[str], Finished], runtime: str) -> None:
    finished = runs(runtime)
    assert finished.status == 1
    assert (finished.out / "tmsprep" / "sub-01.html").is_file(), finished.text[-3000:]
    summary = finished.text[finished.text.rindex("✗ sub-crash") :]
    assert "participant crash always fails" in summary
    log = Path(re.search(r"log: (.*sub-crash_fmriprep\.log)", summary)[1])
    assert "RUNNING: " in log.read_text()
    assert not list((finished.out / "fmriprep").glob("sub-crash*"))
    assert (finished.out / "work" / "fmriprep" / "sub-crash" / "work").is_dir()
    assert not (finished.out / "work" / "fmriprep" / "sub-01").exists()


@pytest.mark.parametrize("runtime", ENGINES)
def test_fmriprep_saw_what_it_must_and_nothing_else(runs: Callable[[str], Finished], runtime: str) -> None:
    seen = runs(runtime).seen
    assert seen["Bold"] == [f"sub-01_task-rest_echo-{echo}_bold.nii.gz" for echo in (1, 2, 3)]
    assert seen["T1w"] == ["sub-01_T1w.nii.gz"]
    assert seen["Seeds"] == [42, True]
    assert seen["Threads"] == [2, 1]
    assert seen["LicenseRead"] == "the licence"
    assert seen["Uid"] == os.getuid()
    assert seen["HostVariable"] is None
    assert [seen[f"{place}Writable"] for place in ("Output", "Work", "Home")] == [True] * 3
    assert "fsaverage" in seen["SubjectsDir"] or runtime != "podman"
    if runtime != "charliecloud":  # 0.31 has neither read-only mounts nor a network of its own
        assert seen["DatasetWritable"] is False
        assert seen["TemplatesWritable"] is False
        assert seen["Interfaces"] == ["lo"]


@pytest.mark.parametrize("runtime", ENGINES)
def test_what_ran_is_recorded(runs: Callable[[str], Finished], runtime: str) -> None:
    finished = runs(runtime)
    receipt = finished.receipt
    container = receipt["Fmriprep"]["Container"]
    assert (receipt["Fmriprep"]["Version"], container["Type"]) == ("25.2.7", runtime)
    assert receipt["Runtime"].startswith(runtime)
    assert receipt["ExitStatus"] == 0
    assert "Host" not in receipt
    assert str(finished.out.parent) not in json.dumps(receipt)
    assert receipt["StartedAt"] < receipt["EndedAt"]
    assert receipt["ExtraOptions"] == "--fd-spike-threshold 0.4"
    program = {"docker": "fmriprep-docker", "podman": "podman", "charliecloud": "ch-run"}[runtime]
    assert receipt["FmriprepCommand"][0] == program
    for name, digest in receipt["Files"].items():
        assert sha256(finished.out / "fmriprep" / name) == digest, name
    if runtime != "charliecloud":
        assert container["Tag"] == LISTED.tagged
        assert re.fullmatch(r"nipreps/fmriprep@sha256:[0-9a-f]{64}", container["URI"])
    chain = json.loads((finished.out / "tmsprep" / "dataset_description.json").read_text())["GeneratedBy"]
    assert [item["Name"] for item in chain] == ["tmsprep", "tedana", "fMRIPrep", "tmsprep"]
    assert chain[2]["Container"] == container


@pytest.mark.parametrize("runtime", ENGINES)
def test_the_outputs_are_verified_from_target_to_raw_scan(runs: Callable[[str], Finished], runtime: str) -> None:
    finished = runs(runtime)
    assert verify(finished.out).problems == ()
    lineage = Lineage(finished.out)
    chain = lineage.of_participant("sub-01")
    assert "fmriprep" in [step.stage for step in chain]
    raw = {file.path for file in lineage.raw_files(chain) if file.dataset == "raw"}
    assert {"sub-01/anat/sub-01_T1w.nii.gz", "sub-01/func/sub-01_task-rest_echo-1_bold.nii.gz"} <= raw
    record = next(step for step in chain if step.stage == "fmriprep").activity.content
    assert record["Software"]["fmriprep"] == "25.2.7"
    assert record["Container"]["Type"] == runtime
    assert any(name.startswith("logs/sub-01/") for name in record["OwnRecord"]["Files"])


@pytest.mark.parametrize("runtime", ENGINES)
def test_no_output_names_the_machine(runs: Callable[[str], Finished], runtime: str) -> None:
    finished = runs(runtime)
    for path in (finished.out / "tmsprep").rglob("*"):
        if path.suffix in {".json", ".tsv", ".html"} and not {"logs", "benchmarks"} & set(path.parts):
            assert str(finished.out) not in path.read_text(encoding="utf-8"), path


def test_derivatives_pass_the_bids_validator(runs: Callable[[str], Finished]) -> None:
    command = Path(sys.executable).with_name("bids-validator-deno")
    for dataset in ("fmriprep", "tmsprep"):
        result = subprocess.run(
            [command, "--json", "--ignoreWarnings", runs("podman").out / dataset],
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        issues = json.loads(result.stdout)["issues"]["issues"]
        assert [issue for issue in issues if issue["severity"] == "error"] == [], dataset


def test_a_second_run_starts_only_what_failed(
    runs: Callable[[str], Finished], podman: Podman, dataset: Path, licence: Path
) -> None:
    finished = runs("docker")
    before = finished.receipt["StartedAt"]
    words = [dataset, finished.out, "participant", "--circuit", "example", "--nprocs", 2, "--skip-bids-validation"]
    words += ["--preproc", "fmriprep", "--container-runtime", "docker", "--fs-license-file", licence]
    words += ["--fmriprep-options", "--fd-spike-threshold 0.4", "--dry-run"]
    text = run_tmsprep(podman, *words).stdout
    assert re.search(r"^fmriprep +1$", text, re.MULTILINE), text[-3000:]
    assert not re.search(r"^templateflow|^fmriprep_image", text, re.MULTILINE)
    assert finished.receipt["StartedAt"] == before


# Images


def test_images_are_pinned_and_checked(podman: Podman, fmriprep_image: str, tmp_path: Path) -> None:
    listed = tmp_path / "images.yaml"
    shutil.copyfile(ROOT / "containers" / "images.yaml", listed)
    words = ("fmriprep", "--container-runtime", "podman", "--file", listed)
    unpinned = run_tmsprep(podman, "images", "check", *words)
    assert (unpinned.returncode, "not pinned" in unpinned.stdout) == (1, True)
    pinned = run_tmsprep(podman, "images", "pin", *words)
    assert pinned.returncode == 0, pinned.stdout
    assert load_images(listed)["fmriprep"].digest in podman.inspect(fmriprep_image)["RepoDigests"][0]
    assert "# Every container image" in listed.read_text()
    assert run_tmsprep(podman, "images", "check", *words).returncode == 0
    listed.write_text(re.sub("sha256:[0-9a-f]+", "sha256:" + "0" * 64, listed.read_text(), count=1))
    other = run_tmsprep(podman, "images", "check", *words)
    assert (other.returncode, "another image under this name" in other.stdout) == (1, True), other.stdout


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
