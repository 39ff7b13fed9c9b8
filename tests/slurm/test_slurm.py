"""Three participants on a real Slurm, with a run, a job and a process killed on the way: nothing is lost or another.

They come preprocessed, which spares minutes; with TMSPREP_SLURM_BUILTIN=1 the builtin engine preprocesses them, too.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest

from tests.whole import Finished, as_fmriprep_outputs, finished
from tests.workflow.conftest import copy_participant
from tmsprep import slurm
from tmsprep.provenance.compare import compare
from tmsprep.runlock import holder, lock_file

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

Found = TypeVar("Found")

MINUTES = 15
PROGRAM = str(Path(sys.executable).with_name("tmsprep"))
QUICK = ["--seconds-between-status-checks", "3", "--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "10"]
OPTIONS = ["--skip-bids-validation", "--bootstrap-draws", "500"]
BUILTIN = os.environ.get("TMSPREP_SLURM_BUILTIN") == "1"
FIRST = ("anatomy",) if BUILTIN else ("scalp", "tedana")
"""The program is killed in the first of these, whoever's."""
CANCELLED, KILLED = "target", "report"
"""Stages whose job is cancelled, and whose process is killed, in the run that goes on: none was submitted before it."""


@pytest.fixture(scope="module")
def three(whole: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny dataset with its participant under three labels."""
    bids_dir = tmp_path_factory.mktemp("three") / "bids"
    shutil.copytree(whole.bids_dir, bids_dir)
    for label in ("02", "03"):
        copy_participant(bids_dir, "01", label)
    return bids_dir


@pytest.fixture(scope="module")
def options(whole: Finished, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What all runs are told."""
    if BUILTIN:
        return ["--circuit", "example", "--preproc", "builtin", *OPTIONS]
    preprocessed = as_fmriprep_outputs(whole, tmp_path_factory.mktemp("fmriprep"), ("01", "02", "03"))
    return ["--circuit", "example", "--derivatives", f"fmriprep={preprocessed}", *OPTIONS]


@pytest.fixture(scope="module")
def local(three: Path, options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The three on this machine, undisturbed, and cut off from any network as a cluster's nodes are from the internet."""
    output_dir = tmp_path_factory.mktemp("local") / "out"
    words = ["unshare", "--net", PROGRAM, three, output_dir, "participant", "group", *options, "--nprocs", 2]
    result = subprocess.run([str(word) for word in words], check=False, capture_output=True, text=True, timeout=MINUTES * 60)
    assert result.returncode == 0, result.stdout + result.stderr
    return Finished(three, output_dir, result.returncode, result.stdout)


class Run:
    """A run on the cluster, in a session of its own."""

    def __init__(self, bids_dir: Path, output_dir: Path, options: Sequence[str]) -> None:
        self.output_dir = output_dir
        self.log = output_dir.parent / "terminal.txt"
        words = [PROGRAM, str(bids_dir), str(output_dir), "participant", "group", *options, "--profile", "slurm"]
        words += ["--", *QUICK]
        with self.log.open("w", encoding="utf-8") as stream:
            self.process = subprocess.Popen(words, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def until(self, found: Callable[[], Found | None]) -> Found:
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


def stage_process(output_dir: Path, stage: str) -> Callable[[], int | None]:
    """Return what finds the process of a stage, of whichever participant comes to it."""

    def find() -> int | None:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            named = ("stage", stage) in pairwise(words)
            if named and any(f"{output_dir}/" in word for word in words):
                return int(folder.name)
        return None

    return find


def first_of(finders: Mapping[str, Callable[[], int | None]]) -> tuple[str, int] | None:
    """Return the first that finds something, by name, and what."""
    return next(((name, found) for name, find in finders.items() if (found := find()) is not None), None)


def job_of(process: int) -> str:
    """Return the number of the Slurm job that a process belongs to."""
    variables = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
    return next(item.partition("=")[2] for item in variables if item.startswith("SLURM_JOB_ID="))


def test_killed_on_the_cluster_it_ends_with_the_bytes_of_the_local_run(
    three: Path, local: Finished, options: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    output_dir = tmp_path_factory.mktemp("cluster") / "out"
    first = Run(three, output_dir, options)
    first.until(partial(first_of, {stage: stage_process(output_dir, stage) for stage in FIRST}))
    first.kill()
    until = time.monotonic() + 10  # the last of what was killed may take a moment to go
    while (held := holder(output_dir)) is not None and held.alive and time.monotonic() < until:
        time.sleep(0.1)
    assert held is not None
    assert not held.alive
    left = slurm.jobs_of(output_dir)
    assert left, "jobs outlive the program that submitted them"

    second = Run(three, output_dir, options)
    second.until(lambda: 1 if "going on where it stopped" in second.text else None)
    still = {stage: stage_process(output_dir, stage) for stage in (CANCELLED, KILLED)}
    while still:
        stage, process = second.until(partial(first_of, still))
        still.pop(stage)
        if stage == KILLED:
            os.kill(process, signal.SIGKILL)
        else:
            cancelled = job_of(process)
            assert cancelled not in left
            subprocess.run(["scancel", cancelled], check=True)
    refused = finished(three, output_dir, *options[2:])
    assert refused.status == 1
    assert "another run works on this output folder" in refused.text
    second.process.wait(MINUTES * 60)

    assert second.process.returncode == 0, second.text[-6000:]
    # one that the program was submitting when it was killed may have come to the queue after the look above
    told = re.search(r"(\d+) job\(s\) of it ended", second.text)
    assert told is not None
    assert int(told[1]) >= len(left)
    assert "Trying to restart job" in second.text
    assert not lock_file(output_dir).exists()
    found = compare(local.output_dir, output_dir)
    assert found.identical_files == found.files > 100
    assert not list(output_dir.rglob(".tmp-*"))
    table = second.text.split("Targets (scanner RAS")[1]
    assert re.findall(r"sub-\d+", table) == ["sub-01", "sub-02", "sub-03"]


def test_what_is_done_is_not_submitted_again(
    three: Path, options: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    output_dir = next(tmp_path_factory.getbasetemp().glob("cluster*")) / "out"
    again = Run(three, output_dir, options)
    assert again.process.wait(120) == 0
    assert "has been submitted" not in again.text
