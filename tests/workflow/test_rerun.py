"""What the same command does on a finished output: nothing; and after a change exactly what depends on it.

Dry runs only, on the finished output itself: Snakemake knows outputs by their absolute paths. All is put back afterwards.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.whole import Finished, as_fmriprep_outputs, run_tmsprep
from tests.workflow.conftest import copy_participant

pytestmark = pytest.mark.slow

JOB = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", re.MULTILINE)
PAGE = {"navigate", "export", "report"}
TARGET = {"target", *PAGE}
DENOISE = {"denoise", "carpet", *TARGET}
RUN = {"bold_reference", "bold_resample", "coregister", "confounds", "tedana", *DENOISE}
DEPENDS: dict[str, set[str]] = {
    "--dummy-scans 2": RUN,
    "--smoothing-fwhm-mm 6": DENOISE,
    "--fd-threshold-mm 0.5": DENOISE,
    "--no-global-signal": DENOISE,
    "--method similarity": TARGET,
    "--bootstrap-draws 400": TARGET,
    "--max-depth-mm 28": TARGET,
    "--beamf3-variant adjusted": {"beamf3", *PAGE},
    "--handle-angle-deg 30": PAGE,
    "--entry cortex": PAGE,
    "--navigator-form sform": {"export", "report"},
    "--seed 7": {"anatomy", "normalise", "scalp", "beamf3", *RUN} - {"bold_reference", "bold_resample"},
    "--nprocs 2 --mem-mb 9000 --fmriprep-mem-mb 9000": set(),
}
"""An option that differs from the finished run's, and the rules whose outputs depend on it."""


@pytest.fixture
def kept(whole: Finished) -> Generator[Finished]:
    """The finished run, whose plan and options a dry run writes anew; they are put back, with their times."""
    work = whole.output_dir / "work"
    before = {path: (path.read_bytes(), path.stat()) for path in (work / "plan.json", work / "options.yaml")}
    yield whole
    for path, (content, state) in before.items():
        path.write_bytes(content)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def jobs(run: Finished, *words: str) -> list[tuple[str, str]]:
    """Return the jobs that a dry run plans: rule, and the rest of what it says of each."""
    same = (run.bids_dir, run.output_dir, "participant", "group", "--circuit", "example")
    result = run_tmsprep(*same, "--skip-bids-validation", "--dry-run", *words, "--", "--quiet", "host")
    assert result.returncode == 0, result.stdout[-3000:]
    return [(match[1], match[2]) for match in JOB.finditer(result.stdout) if match[1] != "participants"]


def rules(run: Finished, *words: str) -> Counter[str]:
    return Counter(rule for rule, _ in jobs(run, *words))


@contextmanager
def aside(folder: Path) -> Generator[None]:
    """Let a folder be gone for a while."""
    place = folder.with_name(f"{folder.name}-aside")
    folder.rename(place)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        place.rename(folder)


def test_the_same_command_again_plans_nothing(kept: Finished) -> None:
    assert rules(kept) == Counter()


@pytest.mark.parametrize("words", DEPENDS)
def test_an_option_plans_what_depends_on_it(kept: Finished, words: str) -> None:
    found = rules(kept, *words.split())
    assert set(found) == DEPENDS[words]
    assert {rule: count for rule, count in found.items() if count != 1} == ({"bold_resample": 3} if "dummy" in words else {})


def test_a_participant_more_touches_no_other(kept: Finished) -> None:
    copy_participant(kept.bids_dir, "01", "02")
    try:
        planned = jobs(kept)
    finally:
        shutil.rmtree(kept.bids_dir / "sub-02")
    of_participants = [(rule, said) for rule, said in planned if rule != "plan"]
    assert len(of_participants) > 10
    assert [rule for rule, said in of_participants if "sub-01" in said] == []
    assert "report" in dict(of_participants)


def stopped(run: Finished, words: Sequence[object], number: signal.Signals) -> tuple[int, str]:
    """Start the program, ask it to stop when the new participant's first stage works, and return what it ends with."""
    logs = run.tmsprep / "logs" / "sub-02"
    shutil.rmtree(logs, ignore_errors=True)
    command = [str(Path(sys.executable).with_name("tmsprep")), *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    until = time.monotonic() + 60
    while not list(logs.glob("*.log")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert list(logs.glob("*.log"))
    if number == signal.SIGINT:  # as a terminal tells all of them
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    said, _ = process.communicate(timeout=120)
    return process.returncode, said


def test_asked_to_stop_it_begins_nothing_more(kept: Finished, tmp_path: Path) -> None:
    """Neither the group of those who are finished, nor a list of failures: who was not finished has not failed."""
    bids_dir = tmp_path / "bids"
    shutil.copytree(kept.bids_dir, bids_dir)
    run = Finished(bids_dir, tmp_path / "out", 0, "")
    preprocessed = as_fmriprep_outputs(kept, tmp_path / "fmriprep", ("01", "02"))
    words = [bids_dir, run.output_dir, "participant", "group", "--circuit", "example", "--skip-bids-validation"]
    words += ["--derivatives", f"fmriprep={preprocessed}", "--nprocs", 2, "--bootstrap-draws", 500]
    assert run_tmsprep(*words).returncode == 0
    (run.tmsprep / "group.html").unlink()
    copy_participant(bids_dir, "01", "02")
    for number in (signal.SIGINT, signal.SIGTERM):
        status, said = stopped(run, words, number)
        assert status == 128 + number, said
        assert "Stopped. Run the same command again" in said
        assert "no target" not in said
        assert not (run.tmsprep / "group.html").exists()
        assert not list(run.output_dir.rglob(".tmp-*"))


# Intermediate files


def test_a_finished_participants_work_folder_may_be_removed(kept: Finished) -> None:
    with aside(kept.output_dir / "work" / "sub-01"):
        assert rules(kept) == Counter()
        assert set(rules(kept, "--smoothing-fwhm-mm", "6")) == DENOISE


def test_the_whole_work_folder_may_be_removed(kept: Finished) -> None:
    """Only the plan's table is written again, from the plan that is made anew; it says the same."""
    with aside(kept.output_dir / "work"):
        assert rules(kept) == Counter({"plan": 1})


def test_an_option_changed_after_that_is_refused(kept: Finished) -> None:
    """With the work folder goes what Snakemake remembers of the options: outputs of earlier ones must not pass for new."""
    with aside(kept.output_dir / "work"):
        words = [
            kept.bids_dir,
            kept.output_dir,
            "participant",
            "--circuit",
            "example",
            "--skip-bids-validation",
            "--dry-run",
        ]
        refused = run_tmsprep(*words, "--smoothing-fwhm-mm", "6")
        assert refused.returncode == 1
        assert "another smoothing_fwhm_mm" in refused.stdout
        assert "--forceall" in refused.stdout
        assert run_tmsprep(*words, "--smoothing-fwhm-mm", "6", "--", "--forceall").returncode == 0
        assert run_tmsprep(*words, "--participant-label", "01").returncode == 0
