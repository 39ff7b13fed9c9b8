"""What the same command does on a finished output: nothing; and after a change exactly what depends on it.

Dry runs only, on the finished output itself: Snakemake knows outputs by their absolute paths. All is put back afterwards.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.whole import Finished, run_tmsprep
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
