"""A pass of the scheduler costs the same however many jobs there are, and the nearest to the end goes first."""

from __future__ import annotations

import importlib
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.whole import Finished, as_fmriprep_outputs
from tests.workflow.conftest import copy_participant
from tmsprep.scheduling import BoundedScheduler, ReadyJobs

ROOT = Path(__file__).resolve().parents[2]
JOBS = 40
SNAKEFILE = f"""
rule all:
    input: [f"{{number}}.end" for number in range({JOBS})]

rule first:
    input: "{{number}}.txt"
    output: "{{number}}.begun"
    priority: 1
    shell: "cp {{input}} {{output}}; echo {{output}} >> order"

rule last:
    input: "{{number}}.begun"
    output: "{{number}}.end"
    priority: 2
    shell: "cp {{input}} {{output}}; echo {{output}} >> order"
"""
COUNTED = """
import sys
from snakemake.io import _IOFile

asked = 0
plain = _IOFile.size

async def size(path):
    global asked
    asked += sys._getframe(1).f_code.co_name in {"get_size", "_learn_new_sizes"}
    return await plain(path)

_IOFile.size = size
from MODULE import main
try:
    status = main()
except SystemExit as error:
    status = error.code
print("sizes asked for:", asked)
sys.exit(status)
"""
GREEDY = ("--scheduler", "greedy", "--scheduler-subsample", "5")
NO_SIZES = "--scheduler-greedy-omit-prioritize-by-temp-and-input"


def run(folder: Path, module: str, *words: str) -> str:
    """Run the workflow on one core, its inputs the larger the higher their number; return what was said."""
    folder.mkdir()
    (folder / "Snakefile").write_text(SNAKEFILE)
    for number in range(JOBS):
        (folder / f"{number}.txt").write_text("x" * (number + 1))
    command = [sys.executable, "-c", COUNTED.replace("MODULE", module), "--cores", "1", "--verbose", *words]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    assert len(list(folder.glob("*.end"))) == JOBS
    return said


def visited(said: str) -> int:
    """Return how many ready jobs were visited in the pass that visited most."""
    return max(map(int, re.findall(r"^Ready (?:subsampled )?jobs: (?:\d+ \(out of )?(\d+)", said, re.MULTILINE)))


def asked(said: str) -> int:
    """Return how often the size of an input was asked for."""
    return int(re.findall(r"sizes asked for: (\d+)", said)[0])


def order(folder: Path) -> list[str]:
    """Return the outputs in the order in which they were made."""
    return (folder / "order").read_text().split()


def test_a_pass_visits_few_jobs_and_asks_for_each_size_once(tmp_path: Path) -> None:
    ours = run(tmp_path / "ours", "tmsprep.run_snakemake", *GREEDY)
    assert visited(ours) == 5
    assert asked(ours) <= 3 * JOBS, "those of both rules, and of all"
    plain = run(tmp_path / "plain", "snakemake.cli", *GREEDY)
    assert visited(plain) == JOBS, "the reason for the module: should Snakemake mend it, the module can go"
    assert asked(plain) > 3 * asked(ours)


def test_sizes_that_decide_nothing_are_not_asked_for(tmp_path: Path) -> None:
    said = run(tmp_path / "ours", "tmsprep.run_snakemake", *GREEDY, NO_SIZES)
    assert asked(said) == 0
    made = order(tmp_path / "ours")
    assert made[0::2] == [name.replace("end", "begun") for name in made[1::2]], "each is finished before the next begins"


def test_larger_inputs_still_go_first_where_sizes_decide(tmp_path: Path) -> None:
    run(tmp_path / "ours", "tmsprep.run_snakemake", "--scheduler", "greedy")
    begun = [name for name in order(tmp_path / "ours") if name.endswith("begun")]
    assert begun == [f"{number}.begun" for number in reversed(range(JOBS))]


def test_another_scheduler_is_left_as_it_is(tmp_path: Path) -> None:
    said = run(tmp_path / "ours", "tmsprep.run_snakemake", "--scheduler", "ilp")
    assert visited(said) == JOBS
    assert asked(said) > 2 * JOBS


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_job_that_fails_ends_the_run_or_lets_the_others_go_on(tmp_path: Path, keep_going: bool) -> None:
    (tmp_path / "Snakefile").write_text(
        SNAKEFILE.replace("cp {input} {output};", "test {wildcards.number} != 7 && cp {input} {output};")
    )
    for number in range(JOBS):
        (tmp_path / f"{number}.txt").write_text("x")
    command = [sys.executable, "-m", "tmsprep.run_snakemake", "--cores", "1", *GREEDY, NO_SIZES]
    command += ["--keep-going"] if keep_going else []
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 1
    made = len(list(tmp_path.glob("*.end")))
    assert made == JOBS - 1 if keep_going else made < JOBS - 1
    assert "BUG" not in result.stderr


def test_asked_to_stop_while_it_holds_its_lock_it_does_not_wait_for_itself() -> None:
    """Python runs a signal's handler between two steps of the main thread, which may be within the lock."""
    scheduler: Any = object.__new__(BoundedScheduler)
    scheduler._lock, scheduler._open_jobs, scheduler._user_kill = threading.Lock(), threading.Semaphore(0), None
    with scheduler._lock:
        scheduler.exit_gracefully(signal.SIGTERM, None)
        assert scheduler._user_kill is None
    assert scheduler._open_jobs.acquire(timeout=10)
    assert scheduler._user_kill == "graceful"


@dataclass(frozen=True)
class Ready:
    """A job as far as it matters here."""

    number: int
    priority: int


CHANGES = st.lists(
    st.tuples(st.sampled_from(["add", "update", "remove", "discard", "take out", "clear"]), st.integers(0, 9)), max_size=40
)


@given(CHANGES, st.integers(0, 12))
def test_the_ready_jobs_of_the_highest_priority(changes: list[tuple[str, int]], number: int) -> None:
    """However the set was changed: as a list that is sorted anew each time."""
    jobs = [Ready(index, index % 4) for index in range(10)]
    ready, plain = ReadyJobs(jobs[:2]), jobs[:2]
    for change, index in changes:
        job = jobs[index]
        gone = [job] if job in plain else []
        if change in {"add", "update"}:
            plain += [] if gone else [job]
            ready.add(job) if change == "add" else ready.update([job])
            continue
        plain = [] if change == "clear" else [other for other in plain if other not in gone]
        if change == "clear":
            ready.clear()
        elif change == "take out":
            ready -= {job}
        elif change == "discard" or not gone:
            ready.discard(job)
        else:
            ready.remove(job)
    assert ready == set(plain)
    assert ready.highest(number) == sorted(plain, key=lambda job: -job.priority)[:number]


def edges(text: str) -> set[tuple[str, str]]:
    """Return the edges of a graph of rules that Snakemake drew, as pairs of rules' names."""
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', text, re.MULTILINE))
    return {(names[one], names[other]) for one, other in re.findall(r"^\s*(\d+) -> (\d+)", text, re.MULTILINE)}


def priorities() -> Mapping[str, int]:
    """Return the priority of each rule as its file has it."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk")))
    parts = re.split(r"^ *rule (\w+):", text, flags=re.MULTILINE)[1:]
    found = {
        name: re.findall(r"^ +priority: (\d+)$", body, re.MULTILINE)
        for name, body in zip(parts[0::2], parts[1::2], strict=True)
    }
    return {name: int(values[0]) for name, values in found.items() if values}


SETTING_UP = {"plan", "describe", "fmriprep_image", "templateflow", "fsaverage"}
"""What all participants wait for."""


FIRST = {"builtin": "check", "fmriprep": "check", "existing": "tedana"}
"""By engine: with which rule a participant begins."""


def test_every_rule_has_a_priority() -> None:
    """Also those that the graphs below do not show."""
    rank = priorities()
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk"))
    assert set(re.findall(r"^ *rule (\w+):", text, re.MULTILINE)) - rank.keys() == {"participants"}
    assert min(rank.values()) == rank["check"] == 1
    assert rank["check"] < rank["merged_sidecar"] < rank["fieldmap"] < rank["coregister"]


@pytest.mark.parametrize("engine", FIRST)
def test_priorities_rise_towards_the_page(whole: Finished, tmp_path: Path, engine: str) -> None:
    (tmp_path / "license.txt").write_text("none")
    config = [f"bids_dir={whole.bids_dir}", f"output_dir={tmp_path / 'out'}", "circuit=example"]
    config += {
        "builtin": ["preproc=builtin"],
        "fmriprep": ["preproc=fmriprep", f"fs_license_file={tmp_path / 'license.txt'}", "container_runtime=none"],
        "existing": [f"derivatives=['fmriprep={as_fmriprep_outputs(whole, tmp_path / 'fmriprep')}']"],
    }[engine]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path)]
    result = subprocess.run(
        [*command, "--cores", "1", "--rulegraph", "--config", *config],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found, rank = edges(result.stdout), priorities()
    assert ("denoise", "target") in found
    for needed, needing in found:
        if needing not in {"all", "participants"} and needed not in SETTING_UP:
            assert 1 <= rank[needed] < rank[needing], (needed, needing)
    work = {name for edge in found for name in edge} - {"all", "participants"}
    begins = work - SETTING_UP - {needing for needed, needing in found if needed not in SETTING_UP}
    assert min(begins, key=rank.__getitem__) == FIRST[engine], "what ends others goes before what begins one more"
    assert max(rank[name] for name in work - SETTING_UP) < min(rank[name] for name in work & SETTING_UP)


@pytest.mark.parametrize("engine", ["builtin", "existing"])
def test_the_first_page_is_there_before_the_last_participant_begins(
    whole: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """With fewer cores than participants: what a page needs does not wait for cores that others take one by one."""
    monkeypatch.syspath_prepend(ROOT / "bench")
    scale: Any = importlib.import_module("_scale_workflow")
    bids_dir, labels = tmp_path / "bids", ("01", "02", "03", "04", "05")
    shutil.copytree(whole.bids_dir, bids_dir)
    for label in labels[1:]:
        copy_participant(bids_dir, "01", label)
    flow = scale.stub_workflow(tmp_path / "workflow", scale.write_config(bids_dir, tmp_path / "out"))
    command = flow.words("participants")
    if engine == "existing":
        command += ["--config", f"derivatives=['fmriprep={as_fmriprep_outputs(whole, tmp_path / 'fmriprep', labels)}']"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    ended = re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", result.stderr, re.MULTILINE)
    assert ("anatomy" in ended) == (engine == "builtin")
    assert ended.count("report") == ended.count(FIRST[engine]) == len(labels)
    last_first_step = len(ended) - 1 - ended[::-1].index(FIRST[engine])
    assert ended.index("report") < last_first_step, ended
