"""``tmsprep status``: from the files of an output folder to one state and one likely cause for each participant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.whole import Finished
from tests.workflow.conftest import DAMAGES
from tmsprep import runlock
from tmsprep.commands import run_subcommand
from tmsprep.status.causes import Ending, likely_cause
from tmsprep.status.judge import Report, State, look
from tmsprep.status.show import as_content, print_report

NOW = time.time()
START = NOW - 3600
PLAN_COLUMNS = ("participant_id", "session_id", "suffix", "task", "acq", "dir", "run", "echoes", "status", "reason", "files")


@dataclass
class Output:
    """A made-up output folder; times are seconds after the run's start."""

    folder: Path
    rows: list[dict[str, str]] = field(default_factory=list)
    ahead: float = 0
    """Of the file server's clock."""

    @property
    def tmsprep(self) -> Path:
        return self.folder / "tmsprep"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def plan(
        self, label: str, *, session: str = "n/a", suffix: str = "bold", status: str = "process", reason: str = "n/a"
    ) -> None:
        row = {"participant_id": label, "session_id": session, "suffix": suffix, "status": status, "reason": reason}
        self.rows.append(dict.fromkeys(PLAN_COLUMNS, "n/a") | row | ({"task": "rest"} if suffix == "bold" else {}))
        lines = ["\t".join(PLAN_COLUMNS), *("\t".join(row[name] for name in PLAN_COLUMNS) for row in self.rows)]
        write(self.tmsprep / "plan.tsv", "\n".join(lines) + "\n")

    def run(
        self, *, ended: float | None = None, status: int | None = None, per_session: bool = False, name: str = "a"
    ) -> None:
        content = {
            "Run": f"run-{name}",
            "Command": "tmsprep bids:raw: OUTPUT_DIR participant --seed 1",
            "StartedAtTime": iso(START),
            "EndedAtTime": None if ended is None else iso(START + ended),
            "ExitStatus": status,
            "Configuration": {"per_session": per_session},
            "Software": {"tmsprep": "9.9"},
        }
        write(self.tmsprep / "prov" / "runs" / f"run-{name}.json", json.dumps(content), (ended or 0) + self.ahead)

    def step(self, path: str, *, began: float, ended: float | None = None, log: str = "") -> None:
        write(self.tmsprep / "logs" / f"{path}.log", log, began)
        if ended is not None:
            write(self.tmsprep / "benchmarks" / f"{path}.tsv", "s\n1\n", ended)

    def done(self, label: str, *, at: float = 100, verdict: str = "ok", reasons: Sequence[str] = ()) -> None:
        folder = label.replace("_", "/")
        self.step(f"{folder}/{label}_task-rest_target", began=at - 20, ended=at - 10)
        self.step(f"{label}_report", began=at - 5, ended=at)
        write(self.tmsprep / f"{label}.html", "<html>", at)
        target = self.tmsprep / folder / "nibs" / f"{label}_task-rest_desc-circuit_target.json"
        write(target, json.dumps({"status": verdict, "reasons": list(reasons)}), at - 10)

    def snakemake(self, text: str, at: float = 3000) -> None:
        write(self.work / ".snakemake" / "log" / "2026-01-01T000000.1.snakemake.log", text, at)

    def look(self) -> Report:
        report = look(self.folder, self.work, NOW)
        assert report is not None
        return report

    def states(self) -> dict[str, State]:
        return {item.label: item.state for item in self.look().participants}

    def causes(self) -> dict[str, list[str]]:
        return {item.label: [trouble.finding.cause.name for trouble in item.troubles] for item in self.look().participants}


def write(path: Path, text: str, at: float = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (START + at, START + at))


def iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(seconds))


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(tmp_path / "out")


@pytest.fixture
def alive(output: Output, monkeypatch: pytest.MonkeyPatch) -> Output:
    """An output folder that a run works on, from another computer."""
    held = runlock.Holder("node1", 7, iso(START), "local", alive=True)
    monkeypatch.setattr("tmsprep.status.judge.holder", lambda _: held)
    return output


# States


def test_all_done(output: Output) -> None:
    output.plan("sub-01")
    output.plan("sub-02")
    output.plan("sub-03", status="exclude", reason="no T1w image")
    output.run(ended=200, status=0)
    output.done("sub-01", verdict="caution", reasons=["little data"])
    output.done("sub-02", verdict="abstain", reasons=["moved"])
    report = output.look()
    assert output.states() == {"sub-01": State.DONE, "sub-02": State.ABSTAINED}
    assert [item.reasons for item in report.participants] == [("little data",), ("moved",)]
    assert (report.exit_status, report.excluded, report.run.version) == (0, 1, "9.9")


def test_while_it_runs(alive: Output) -> None:
    for label in ("sub-01", "sub-02", "sub-03", "sub-04"):
        alive.plan(label)
    alive.run()
    alive.done("sub-01", at=1200)
    alive.done("sub-02", at=1800)
    alive.step("sub-03/sub-03_task-rest_tedana", began=1900)
    report = alive.look()
    assert list(alive.states().values()) == [State.DONE, State.DONE, State.RUNNING, State.WAITING]
    assert report.participants[2].running == ("tedana",)
    assert report.exit_status == 3
    assert report.seconds_left == pytest.approx(3600, abs=2)  # two in an hour, two left


def test_a_run_that_ends_while_none_fails_is_not_finished_as_long_as_it_is_alive(alive: Output) -> None:
    alive.plan("sub-01")
    alive.run()
    alive.done("sub-01")
    assert alive.look().exit_status == 3


def test_after_a_kill_nothing_has_failed(output: Output) -> None:
    for label in ("sub-01", "sub-02", "sub-03"):
        output.plan(label)
    output.run()
    output.step("sub-01/sub-01_task-rest_tedana", began=50)
    output.step("sub-02/sub-02_task-rest_check", began=50, ended=60)
    report = output.look()
    assert list(output.states().values()) == [State.STOPPED, State.STOPPED, State.NOT_STARTED]
    assert output.causes()["sub-01"] == ["lost"]
    assert report.exit_status == 3
    assert report.run.life == "killed"


def test_a_step_that_just_ends_in_a_run_that_came_to_its_end_has_failed(output: Output) -> None:
    output.plan("sub-01")
    output.run(ended=100, status=1)
    output.step("sub-01/sub-01_task-rest_tedana", began=50)
    assert output.states() == {"sub-01": State.FAILED}
    assert output.causes() == {"sub-01": ["lost"]}
    assert output.look().exit_status == 1


def test_a_failure_of_an_earlier_run_waits_for_another_try(alive: Output) -> None:
    alive.plan("sub-01")
    alive.run()
    alive.step("sub-01/sub-01_task-rest_check", began=-500, log="tmsprep: error: bad. What to do: mend it.\n")
    assert alive.states() == {"sub-01": State.WAITING}


def test_the_file_servers_clock_counts(alive: Output) -> None:
    alive.ahead = -300
    alive.plan("sub-01")
    alive.plan("sub-02")
    alive.run()
    alive.step("sub-01/sub-01_task-rest_check", began=-290)
    alive.step("sub-02/sub-02_task-rest_check", began=-310)
    assert list(alive.states().values()) == [State.RUNNING, State.WAITING]


def test_what_was_killed_before_a_run_that_came_to_its_end_has_not_failed(output: Output) -> None:
    output.plan("sub-01")
    output.run(ended=10, status=1)
    output.step("sub-01/sub-01_task-rest_check", began=-20)
    assert output.states() == {"sub-01": State.STOPPED}


def test_a_failure_counts_while_the_run_goes_on(alive: Output) -> None:
    alive.plan("sub-01")
    alive.run()
    alive.step("sub-01/sub-01_task-rest_check", began=50, log="noise\ntmsprep: error: bad. What to do: mend it.\n")
    alive.step("sub-01/sub-01_scalp", began=60)
    assert alive.states() == {"sub-01": State.FAILED}
    (trouble,) = alive.look().participants[0].troubles
    assert (trouble.step, trouble.finding.message) == ("check", "bad. What to do: mend it.")


def test_an_error_in_the_log_of_a_step_that_ended_well_is_none(output: Output) -> None:
    output.plan("sub-01")
    output.run(ended=200, status=0)
    output.step(
        "sub-01/sub-01_fmriprep", began=10, ended=20, log="Traceback (most recent call last)\nNo space left on device\n"
    )
    output.done("sub-01")
    assert output.states() == {"sub-01": State.DONE}


def test_a_page_older_than_a_step_does_not_count(output: Output) -> None:
    """Options changed, and the new run was killed: the page is of the earlier options."""
    output.plan("sub-01")
    output.run()
    output.done("sub-01", at=100)
    output.step("sub-01/sub-01_task-rest_denoise", began=300, ended=400)
    assert output.states() == {"sub-01": State.STOPPED}


def test_the_plan_says_who_cannot_be_processed(output: Output) -> None:
    output.plan("sub-01")
    output.plan("sub-01", status="error", reason="no EchoTime")
    output.plan("sub-02", status="error", reason="two T1w")
    output.run(ended=200, status=1)
    output.done("sub-01")
    report = output.look()
    assert output.states() == {"sub-01": State.DONE, "sub-02": State.FAILED}
    assert output.causes()["sub-02"] == ["plan"]
    assert report.participants[0].reasons == ("no EchoTime",)
    assert report.exit_status == 1


def test_sessions_have_states_of_their_own_and_share_a_t1w(output: Output) -> None:
    output.plan("sub-01", session="ses-1", suffix="T1w")
    output.plan("sub-01", session="ses-1")
    output.plan("sub-01", session="ses-2")
    output.plan("sub-02", session="ses-1", suffix="T1w")
    output.plan("sub-02", session="ses-1")
    output.plan("sub-02", session="ses-2", suffix="T1w")
    output.plan("sub-02", session="ses-2")
    output.run(ended=900, status=1, per_session=True)
    for label in ("sub-01", "sub-02"):
        output.step(f"{label}/ses-1/{label}_ses-1_scalp", began=50, log="tmsprep: error: no head\n")
        output.done(f"{label}_ses-2")
    states = output.states()
    assert states["sub-01_ses-1"] is State.FAILED
    assert states["sub-01_ses-2"] is State.FAILED
    assert states["sub-02_ses-1"] is State.FAILED
    assert states["sub-02_ses-2"] is State.DONE


def test_what_fails_for_all_is_told_once(output: Output) -> None:
    output.plan("sub-01")
    output.run(ended=50, status=1)
    output.step("templateflow", began=20, log="socket.gaierror: [Errno -3] Temporary failure in name resolution\n")
    report = output.look()
    assert [trouble.finding.cause.name for trouble in report.shared] == ["internet"]
    assert output.states() == {"sub-01": State.NOT_STARTED}
    assert report.exit_status == 1


def test_the_plan_of_the_work_folder_serves_before_the_table_is_written(alive: Output) -> None:
    rows = [{"participant_id": "sub-07", "session_id": None, "suffix": "bold", "task": "rest", "status": "process"}]
    write(alive.work / "plan.json", json.dumps({"Units": [], "Rows": rows}))
    alive.run()
    assert alive.states() == {"sub-07": State.WAITING}


# Snakemake's and Slurm's logs


def test_a_step_that_says_nothing_has_its_exit_status_in_snakemakes_log(alive: Output) -> None:
    alive.plan("sub-01")
    alive.plan("sub-02")
    alive.run()
    alive.step("sub-01/sub-01_task-rest_tedana", began=50)
    alive.step("sub-02/sub-02_task-rest_tedana", began=50)
    line = "Command 'set -euo pipefail;  tmsprep stage tedana > {} 2>&1' returned non-zero exit status {}.\n"
    one, two = (alive.tmsprep / "logs" / label / f"{label}_task-rest_tedana.log" for label in ("sub-01", "sub-02"))
    text = "total                30\n" + line.format(one, 137) + line.format(f"'{two}'", 3) + "7 of 30 steps (23%) done\n"
    alive.snakemake(text)
    assert alive.causes() == {"sub-01": ["memory"], "sub-02": ["unknown"]}
    assert (alive.look().steps_done, alive.look().steps_total) == (7, 30)


def test_snakemakes_log_of_an_earlier_run_does_not_count(alive: Output) -> None:
    alive.run()
    alive.plan("sub-01")
    alive.snakemake("total   30\n7 of 30 steps (23%) done\n", at=-1000)
    assert alive.look().steps_total is None


@pytest.mark.parametrize(
    ("folder", "line", "cause"),
    [
        (
            "rule_tedana/sub-01_sub-01_task-rest",
            "slurmstepd: error: *** JOB 9 ON n1 CANCELLED AT 2026 DUE TO TIME LIMIT ***",
            "time",
        ),
        ("rule_tedana/sub-01_sub-01_task-rest", "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=9.0", "memory"),
        ("group_clean_carpet_tedana", "slurmstepd: error: *** JOB 9 CANCELLED AT 2026 DUE TO NODE FAILURE ***", "node"),
        (
            "group_clean_carpet_tedana",
            "slurmstepd: error: *** JOB 9 ON n1 CANCELLED AT 2026-01-01T00:00:00 ***",
            "cancelled",
        ),
    ],
)
def test_why_slurm_ended_a_step_stands_in_its_own_log(alive: Output, folder: str, line: str, cause: str) -> None:
    alive.plan("sub-01")
    alive.plan("sub-02")
    alive.run()
    alive.step("sub-01/sub-01_task-rest_tedana", began=50)
    alive.step("sub-02/sub-02_task-rest_tedana", began=50)
    text = f"rule tedana:\n    log: {alive.tmsprep}/logs/sub-01/sub-01_task-rest_tedana.log\n{line}\n"
    write(alive.work / ".snakemake" / "slurm_logs" / folder / "9.log", text, 80)
    assert alive.causes() == {"sub-01": [cause], "sub-02": []}
    assert list(alive.states().values()) == [State.FAILED, State.RUNNING]


def test_steps_that_had_not_begun_when_their_job_failed_are_not_told_of(output: Output) -> None:
    output.plan("sub-01")
    output.plan("sub-02")
    output.run(ended=200, status=1)
    for label in ("sub-01", "sub-02"):
        for name in ("scalp", "normalise"):
            output.step(f"{label}/{label}_{name}", began=90)
    output.step("sub-01/sub-01_anatomy", began=50, log="Killed\n")
    output.step("sub-02/sub-02_anatomy", began=50)
    told = {item.label: [trouble.step for trouble in item.troubles] for item in output.look().participants}
    assert told == {"sub-01": ["anatomy"], "sub-02": ["anatomy"]}


def test_what_snakemake_tells_of_a_slurm_job(alive: Output) -> None:
    alive.plan("sub-01")
    alive.run()
    alive.step("sub-01/sub-01_fmriprep", began=50, log="still at it\n")
    log = alive.tmsprep / "logs" / "sub-01" / "sub-01_fmriprep.log"
    alive.snakemake(
        "Error in rule fmriprep:\n    message: SLURM-job '9' failed, SLURM status is: 'OUT_OF_MEMORY'. Reason: Unknown.\n"
        f"    jobid: 4\n    input: a\n    output: b\n    log: {log}, /w/9.log (check log file(s) for error details)\n"
    )
    assert alive.causes() == {"sub-01": ["memory"]}


def test_a_job_that_is_tried_again_has_not_failed_yet(alive: Output) -> None:
    alive.plan("sub-01")
    alive.run()
    alive.step("sub-01/sub-01_task-rest_tedana", began=90)
    log = alive.tmsprep / "logs" / "sub-01" / "sub-01_task-rest_tedana.log"
    said = (
        f"Error in rule tedana:\n    message: SLURM status is: 'TIMEOUT'.\n    jobid: 4\n    log: {log}, /w/9.log (check)\n"
    )
    alive.snakemake(said + "Trying to restart job 4.\n")
    slurm = alive.work / ".snakemake" / "slurm_logs"
    for folder in ("rule_tedana/sub-01_sub-01_task-rest", "group_clean_tedana"):
        write(
            slurm / folder / "9.log", f"log: {log}\nslurmstepd: error: *** JOB 9 CANCELLED AT x DUE TO TIME LIMIT ***\n", 80
        )
    assert alive.states() == {"sub-01": State.RUNNING}
    alive.snakemake(said + "Trying to restart job 4.\n" + said)
    assert alive.causes() == {"sub-01": ["time"]}


# Causes


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("a\nKilled\n", "memory"),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 9 GiB for an array\n", "memory"),
        ("slurmstepd: error: Exceeded job memory limit\n", "memory"),
        ("tmsprep: error: sub-01: fMRIPrep ended with exit status 137: Recon\n", "memory"),
        ("MemoryError\ntmsprep: error: sub-01: fMRIPrep ended with exit status 1: it said nothing\n", "memory"),
        ("Traceback (most recent call last):\nOSError: [Errno 28] No space left on device: 'x'\n", "disk"),
        ("OSError: [Errno 122] Disk quota exceeded\n", "quota"),
        ("OSError: [Errno 30] Read-only file system: 'x'\n", "read-only"),
        ("PermissionError: [Errno 13] Permission denied: 'x'\n", "permission"),
        ("tmsprep: error: --fs-license-file: no FreeSurfer licence is named.\n", "license"),
        ("ERROR: FreeSurfer license file /opt/freesurfer/license.txt not found\n", "license"),
        ("requests: Failed to resolve 'x' ([Errno -2] Name or service not known)\n", "internet"),
        ("tmsprep: error: the image docker.io/x:1 has the digest sha256:0. Expected: sha256:1.\n", "image"),
        ("Traceback (most recent call last):\n  x\nKeyboardInterrupt\n", "interrupted"),
        ("tmsprep: error: stopped from outside, by hand or by a scheduler at its limit of time or memory.\n", "cancelled"),
        ("tmsprep: error: interrupted. What to do: run it again.\n", "interrupted"),
        ("Traceback (most recent call last):\n  x\nValueError: oops\n", "defect"),
        ("Killed the time\ntmsprep: error: sub-01_bold.nii.gz: 3 volumes. What to do: scan longer.\n", "message"),
    ],
)
def test_the_likely_cause(log: str, cause: str) -> None:
    finding = likely_cause(Ending(log))
    assert finding is not None
    assert finding.cause.name == cause
    assert finding.cause.action


def test_the_line_that_tells_is_shown() -> None:
    finding = likely_cause(
        Ending("a\n", scheduler="b\nslurmstepd: error: *** JOB 9 CANCELLED DUE TO TIME LIMIT ***\nc\nd\n")
    )
    assert finding is not None
    assert finding.lines == ("slurmstepd: error: *** JOB 9 CANCELLED DUE TO TIME LIMIT ***",)


@pytest.mark.parametrize(
    ("status", "cause"), [(137, "memory"), (-9, "memory"), (143, "cancelled"), (130, "interrupted"), (1, "unknown")]
)
def test_the_exit_status_tells_where_nothing_else_does(status: int, cause: str) -> None:
    finding = likely_cause(Ending("", status=status))
    assert finding is not None
    assert finding.cause.name == cause


@pytest.mark.parametrize("log", ["", "INFO: reading\n", "skilled Killedness\n"])
def test_a_log_without_an_error_tells_of_none(log: str) -> None:
    assert likely_cause(Ending(log)) is None


# Broken files, size, and the command


@pytest.mark.parametrize(
    "junk", ["", "{", "[1, 2]", "null", '{"status": 3, "reasons": 4}', "\x00\xff\x1b[31m", '{"a":' * 5000]
)
def test_broken_files_give_no_traceback(output: Output, junk: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.plan("sub-01")
    output.done("sub-01")
    output.run(ended=200, status=0)
    for name in ("prov/runs/run-zz.json", "sub-01/nibs/sub-01_task-rest_desc-circuit_target.json", "logs/plan.log"):
        write(output.tmsprep / name, junk)
    write(output.folder / runlock.LOCK_NAME, junk)
    output.snakemake(junk)
    assert run_subcommand("status", [str(output.folder), "--all"]) == 0
    write(output.tmsprep / "plan.tsv", junk)
    assert run_subcommand("status", [str(output.folder)]) in {0, 3}
    assert "\x1b[31m" not in capsys.readouterr().out


def test_nothing_there_is_a_wrong_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_subcommand("status", [str(tmp_path)]) == 2
    assert "no output of tmsprep" in capsys.readouterr().err


def test_labels_alone_and_json(output: Output, capsys: pytest.CaptureFixture[str]) -> None:
    for label in ("sub-01", "sub-02"):
        output.plan(label)
    output.run(ended=200, status=1)
    output.done("sub-01")
    output.step("sub-02/sub-02_task-rest_check", began=50, log="tmsprep: error: bad\n")
    assert run_subcommand("status", [str(output.folder), "--failed"]) == 1
    assert capsys.readouterr().out == "sub-02\n"
    assert run_subcommand("status", [str(output.folder), "--json"]) == 1
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert content == json.loads(json.dumps(as_content(output.look()))) | {"LastChange": content["LastChange"]}
    assert content["Counts"]["failed"] == 1
    assert content["Participants"][1]["Troubles"][0]["Log"] == "tmsprep/logs/sub-02/sub-02_task-rest_check.log"


@pytest.mark.parametrize("width", [80, 140])
def test_long_messages_are_wrapped_not_cut(output: Output, width: int) -> None:
    output.plan("sub-01")
    output.run(ended=200, status=1)
    words = [f"word{index}" for index in range(80)]
    output.step("sub-01/sub-01_task-rest_check", began=50, log=f"tmsprep: error: {' '.join(words)}\n")
    console = Console(width=width, record=True, file=Path(os.devnull).open("w"))  # noqa: SIM115
    print_report(console, output.folder, output.look(), every=False)
    text = console.export_text()
    assert all(word in text for word in words)
    assert max(map(len, text.splitlines())) <= width


def test_nothing_is_written(output: Output) -> None:
    output.plan("sub-01")
    output.run()
    before = {path: path.stat().st_mtime_ns for path in output.folder.rglob("*")}
    run_subcommand("status", [str(output.folder)])
    assert {path: path.stat().st_mtime_ns for path in output.folder.rglob("*")} == before


def test_each_folder_is_read_once_and_no_log_that_says_nothing(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """For thousands of participants on a slow file system."""
    for index in range(50):
        output.plan(f"sub-{index}")
        output.done(f"sub-{index}")
        output.step(f"sub-{index}/sub-{index}_task-rest_check", began=10)
    output.run(ended=200, status=0)
    read: list[str] = []
    scandir, opened = os.scandir, Path.open
    monkeypatch.setattr(os, "scandir", lambda folder: (read.append(str(folder)), scandir(folder))[1])
    monkeypatch.setattr(
        Path, "open", lambda path, *words, **named: (read.append(str(path)), opened(path, *words, **named))[1]
    )
    output.look()
    assert [name for name, count in Counter(read).items() if count > 1] == []
    assert [name for name in read if name.endswith(".log")] == []


# A real run


@pytest.mark.slow
def test_a_whole_run_is_done_from_any_folder_and_without_its_work_folder(whole: Finished, tmp_path: Path) -> None:
    report = look(whole.output_dir, tmp_path / "removed")
    assert report is not None
    assert report.exit_status == 0
    assert [item.label for item in report.participants] == ["sub-01"]
    assert report.group is State.DONE
    with_work = look(whole.output_dir, whole.output_dir / "work")
    assert with_work is not None
    assert with_work.steps_done == with_work.steps_total
    assert with_work.steps_total is None or with_work.steps_total > 0


@pytest.mark.slow
def test_broken_participants_are_named_with_the_runs_own_messages(broken: Finished) -> None:
    command = [str(Path(sys.executable).with_name("tmsprep")), "status", str(broken.output_dir)]
    failed = subprocess.run([*command, "--failed"], check=False, capture_output=True, text=True, timeout=60)
    assert failed.returncode == 1
    assert set(failed.stdout.split()) == {f"sub-{label}" for label in DAMAGES}
    shown = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in shown.stdout + shown.stderr
    assert "EchoTime" in shown.stdout
    assert "sub-01" not in shown.stdout.split("Needs attention")[1].split("Not listed")[0]
