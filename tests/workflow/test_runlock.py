"""One run at a time on an output folder, whatever happened to the one before."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tmsprep import runlock
from tmsprep.errors import InputError
from tmsprep.provenance.activity import DATASET_VARIABLE
from tmsprep.runlock import end_orphans, exclusive, holder, lock_file

HOLD = """
import sys, subprocess, time
from pathlib import Path
from tmsprep.runlock import exclusive
with exclusive(Path(sys.argv[1]), "local") as (descriptor, killed):
    child = [subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])] if "child" in sys.argv else []
    print("held", child[0].pid if child else 0, flush=True)
    time.sleep(60)
"""


@contextmanager
def another_run(output_dir: Path, *words: str) -> Generator[tuple[subprocess.Popen[str], int]]:
    """A process that holds the lock, and the number of the child that inherited it."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, output_dir, *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline().split()[1])
    try:
        yield process, child
    finally:
        process.kill()
        process.wait()
        if child:
            os.kill(child, signal.SIGKILL)


def write_lock(output_dir: Path, host: str, age_s: float) -> None:
    content = {"host": host, "pid": 1, "started": "2026-01-01T00:00:00Z", "executor": "slurm"}
    lock_file(output_dir).write_text(json.dumps(content), encoding="utf-8")
    os.utime(lock_file(output_dir), (time.time() - age_s,) * 2)


def test_a_second_run_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    with another_run(tmp_path) as (process, _):
        found = holder(tmp_path)
        assert found is not None
        assert found.alive
        assert found.pid == process.pid
        with pytest.raises(
            InputError, match=f"another run works on this output folder, started by process {process.pid} on"
        ):
            exclusive(tmp_path, "local").__enter__()
        assert holder(tmp_path) == found, "a refused run changes nothing"


def test_after_kill_9_the_next_run_goes_on_and_knows(tmp_path: Path) -> None:
    with another_run(tmp_path) as (process, _):
        process.kill()
        process.wait()
        found = holder(tmp_path)
        assert found is not None
        assert not found.alive
        with exclusive(tmp_path, "local") as (_, killed):
            assert killed is not None
            assert killed.pid == process.pid
    assert not lock_file(tmp_path).exists()
    with exclusive(tmp_path, "local") as (_, killed):
        assert killed is None


def test_while_what_it_started_lives_the_lock_holds(tmp_path: Path) -> None:
    with another_run(tmp_path, "child") as (process, child):
        process.kill()
        process.wait()
        with pytest.raises(InputError, match="another run works"):
            exclusive(tmp_path, "local").__enter__()
        os.kill(child, signal.SIGSTOP)  # also where it does nothing
        assert holder(tmp_path).alive  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.parametrize(("age_s", "free"), [(10, False), (100, False), (200, True)])
def test_a_run_on_another_machine_counts_as_alive_while_it_gives_signs(tmp_path: Path, age_s: float, free: bool) -> None:
    write_lock(tmp_path, "node-42", age_s)
    found = holder(tmp_path)
    assert found is not None
    assert found.alive is not free
    if free:
        with exclusive(tmp_path, "local") as (_, killed):
            assert killed is not None
            assert killed.executor == "slurm"
    else:
        with pytest.raises(InputError, match="on node-42"):
            exclusive(tmp_path, "local").__enter__()
        assert json.loads(lock_file(tmp_path).read_text())["host"] == "node-42"


@pytest.mark.parametrize("content", [b"", b'{"host": "no', b'{"host": "a", "pid": "x"}'])
def test_a_damaged_lock_file_is_of_a_run_that_was_killed(tmp_path: Path, content: bytes) -> None:
    lock_file(tmp_path).write_bytes(content)
    assert (found := holder(tmp_path)) is not None
    assert not found.alive
    with exclusive(tmp_path, "local") as (_, killed):
        assert killed is not None


def test_without_locks_in_the_file_system_signs_of_life_have_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(runlock._LOCKS, "absent", False)
    monkeypatch.setattr(runlock.fcntl, "flock", refuse)
    with another_run(tmp_path) as (process, _):
        assert (found := holder(tmp_path)) is not None
        assert found.alive
        with pytest.raises(InputError, match="another run worked on this output folder"):
            exclusive(tmp_path, "local").__enter__()
        process.kill()
        process.wait()
        with exclusive(tmp_path, "local") as (_, killed):
            assert killed is not None


def test_nobody_there(tmp_path: Path) -> None:
    assert holder(tmp_path / "absent") is None
    assert not (tmp_path / "absent").exists()


def test_orphans_of_this_output_end_and_no_others(tmp_path: Path) -> None:
    mine, other = tmp_path / "out" / "tmsprep", tmp_path / "out2" / "tmsprep"
    processes = [
        subprocess.Popen(["sleep", "60"], env=os.environ | {DATASET_VARIABLE: folder.as_posix()}) for folder in (mine, other)
    ]
    try:
        assert end_orphans(mine) == 1
        assert processes[0].poll() is not None
        assert processes[1].poll() is None
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_dry_run_leaves_the_word_of_a_killed_one(tmp_path: Path) -> None:
    write_lock(tmp_path, "node-42", 200)
    before = lock_file(tmp_path).read_bytes()
    with exclusive(tmp_path, "local", takes_over=False) as (_, killed):
        assert killed is not None
    assert lock_file(tmp_path).read_bytes() == before
    lock_file(tmp_path).unlink()
    with exclusive(tmp_path, "local", takes_over=False) as (_, killed):
        assert killed is None
        assert holder(tmp_path).alive  # pyright: ignore[reportOptionalMemberAccess]
    assert not lock_file(tmp_path).exists()
