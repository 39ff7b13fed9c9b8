"""Three participants on a real Slurm, with a run, a job and a process killed on the way: nothing is lost or another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny import make_tiny
from tests.workflow.conftest import Finished, copy_participant, finished
from tmsprep import slurm
from tmsprep.provenance.compare import compare
from tmsprep.runlock import holder, lock_file

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

MINUTES = 15
PROGRAM = str(Path(sys.executable).with_name("tmsprep"))
QUICK = ["--seconds-between-status-checks", "3", "--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "10"]
OPTIONS = ["--circuit", "example", "--preproc", "builtin", "--skip-bids-validation", "--bootstrap-draws", "500"]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny dataset with its participant under three labels."""
    bids_dir = make_tiny(tmp_path_factory.mktemp("three") / "bids")
    for label in ("02", "03"):
        copy_participant(bids_dir, "01", label)
    return bids_dir


@pytest.fixture(scope="module")
def local(three: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The three on this machine, undisturbed, and cut off from any network as a cluster's nodes are from the internet."""
    output_dir = tmp_path_factory.mktemp("local") / "out"
    words = ["unshare", "--net", PROGRAM, three, output_dir, "participant", "group", *OPTIONS, "--nprocs", 2]
    result = subprocess.run([str(word) for word in words], check=False, capture_output=True, text=True, timeout=MINUTES * 60)
    assert result.returncode == 0, result.stdout + result.stderr
    return Finished(three, output_dir, result.returncode, result.stdout)


class Run:
    """A run on the cluster, in a session of its own."""

    def __init__(self, bids_dir: Path, output_dir: Path) -> None:
        self.output_dir = output_dir
        self.log = output_dir.parent / "terminal.txt"
        words = [PROGRAM, str(bids_dir), str(output_dir), "participant", "group", *OPTIONS, "--profile", "slurm"]
        words += ["--", *QUICK]
        with self.log.open("w", encoding="utf-8") as stream:
            self.process = subprocess.Popen(words, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def until(self, found: Callable[[], int | None]) -> int:
        """Wait for something to be there while the run is going on."""
        until = time.monotonic() + MINUTES * 60
        while time.monotonic() < until:
            if (result := found()) is not None:
                return result
            assert self.process.poll() is None, self.text[-4000:]
            time.sleep(0.2)
        raise AssertionError(f"nothing came\n{self.text[-4000:]}")

    def kill(self) -> None:
        """Kill the program and Snakemake as when the login node falls; what runs on the cluster runs on."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def stage_process(output_dir: Path, stage: str, label: str) -> Callable[[], int | None]:
    """Return what finds the process of a stage of a participant."""

    def find() -> int | None:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if stage in words and "stage" in words and any(f"{output_dir}/" in word and label in word for word in words):
                return int(folder.name)
        return None

    return find


def job_of(process: int) -> str:
    """Return the number of the Slurm job that a process belongs to."""
    variables = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
    return next(item.partition("=")[2] for item in variables if item.startswith("SLURM_JOB_ID="))


def test_killed_on_the_cluster_it_ends_with_the_bytes_of_the_local_run(
    three: Path, local: Finished, tmp_path_factory: pytest.TempPathFactory
) -> None:
    output_dir = tmp_path_factory.mktemp("cluster") / "out"
    first = Run(three, output_dir)
    first.until(stage_process(output_dir, "anatomy", "sub-01"))
    first.kill()
    left = slurm.jobs_of(output_dir)
    assert left, "jobs outlive the program that submitted them"
    until = time.monotonic() + 10  # the last of what was killed may take a moment to go
    while (held := holder(output_dir)) is not None and held.alive and time.monotonic() < until:
        time.sleep(0.1)
    assert held is not None
    assert not held.alive

    second = Run(three, output_dir)
    second.until(lambda: 1 if "going on where it stopped" in second.text else None)
    cancelled = job_of(second.until(stage_process(output_dir, "normalise", "sub-02")))
    assert cancelled not in left
    assert f"{len(left)} job(s) of it ended" in second.text
    refused = finished(three, output_dir, *OPTIONS[2:])
    assert refused.status == 1
    assert "another run works on this output folder" in refused.text
    subprocess.run(["scancel", cancelled], check=True)
    victim = second.until(stage_process(output_dir, "tedana", "sub-03"))
    os.kill(victim, signal.SIGKILL)
    second.process.wait(MINUTES * 60)

    assert second.process.returncode == 0, second.text[-6000:]
    assert "Trying to restart job" in second.text
    assert not lock_file(output_dir).exists()
    found = compare(local.output_dir, output_dir)
    assert found.identical_files == found.files > 150
    assert not list(output_dir.rglob(".tmp-*"))
    assert "3" in second.text.split("Targets (scanner RAS")[1]


def test_what_is_done_is_not_submitted_again(three: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    output_dir = next(tmp_path_factory.getbasetemp().glob("cluster*")) / "out"
    again = Run(three, output_dir)
    assert again.process.wait(120) == 0
    assert "has been submitted" not in again.text
