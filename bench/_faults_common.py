"""What the fault benchmark's parts share: commands that are killed, and folders that are compared byte by byte."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tmsprep.files import sha256

PROGRAM = (sys.executable, "-m", "tmsprep")
MARK = "tmsprep: error: "
TEMPORARY = ".tmp-"
_CLOCKS = frozenset({"StartedAtTime", "EndedAtTime", "PeakMemoryMiB", "RecordSeconds", "Run", "Source"})
"""Fields of a record that may differ between two runs on one machine; the source, where it was edited in between."""
_LOOK_S = 0.001


@dataclass
class Tally:
    """What was counted, and what was found wrong."""

    counts: Counter[str] = field(default_factory=Counter[str])
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list[str])

    def add(self, name: str, number: int = 1) -> None:
        """Count."""
        self.counts[name] += number

    def wrong(self, name: str, found: Iterable[str], where: str) -> None:
        """Count what was found, and keep it to be shown."""
        names = sorted(found)
        self.counts[name] += len(names)
        self.notes += [f"{name}: {where}: {item}" for item in names]

    def __iadd__(self, other: Tally) -> Tally:
        """Take another tally's counts."""
        self.counts.update(other.counts)
        self.seconds += other.seconds
        self.notes += other.notes
        return self


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    status: int
    text: str

    @property
    def is_clear(self) -> bool:
        """One message that says what to do, and no traceback."""
        messages = [line for line in self.text.splitlines() if line.startswith(MARK)]
        return self.status != 0 and len(messages) == 1 and "What to do" in messages[0] and "Traceback" not in self.text


def run(words: Iterable[str], environment: Mapping[str, str], before: Callable[[], None] | None = None) -> Ended:
    """Run a command to its end."""
    done = subprocess.run(
        list(words),
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        preexec_fn=before,
    )
    return Ended(done.returncode, done.stdout.decode(errors="replace"))


def start(words: Iterable[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a command as the leader of a session of its own."""
    with log.open("wb") as stream:
        return subprocess.Popen(
            list(words), stdout=stream, stderr=subprocess.STDOUT, env=dict(environment), start_new_session=True
        )


def wait_for(process: subprocess.Popen[bytes], reached: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is reached; False if the process ends first or it takes too long."""
    end = time.monotonic() + seconds
    while not reached():
        if process.poll() is not None or time.monotonic() > end:
            return False
        time.sleep(_LOOK_S)
    return process.poll() is None


def kill(process: subprocess.Popen[bytes], *, whole_tree: bool = True) -> bool:
    """Kill a process (SIGKILL), with all that it started or alone; return whether that is what ended it."""
    below: list[psutil.Process] = []
    with suppress(psutil.Error):
        below = psutil.Process(process.pid).children(recursive=True) if whole_tree else []
    process.kill()
    for child in below:
        with suppress(psutil.Error):
            child.kill()
    if whole_tree:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        psutil.wait_procs(below, timeout=20)
    return process.wait() == -signal.SIGKILL


Tree = dict[str, str]
"""Relative path to what is there: a file's sha256, a link's target, a folder."""


def tree(folder: Path, left_out: Callable[[str], bool]) -> Tree:
    """Return what a folder holds; records without what may differ between two runs."""
    found: Tree = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if left_out(name) or (path.is_dir() and not path.name.startswith(TEMPORARY)):
            continue
        found[name] = content_of(path)
    return found


def content_of(path: Path) -> str:
    """Return what stands for a file's content."""
    if path.is_symlink():
        return f"link to {path.readlink()}"
    if path.is_dir():
        return "folder"
    return _record(path) if {"activities", "failures"} & set(path.parts) else sha256(path)


def _record(path: Path) -> str:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return "no JSON"
    return json.dumps({key: value for key, value in content.items() if key not in _CLOCKS})


def partial(found: Tree, reference: Tree) -> set[str]:
    """Return what has a final name and is not what it will be; a record of a failure goes when the next run is well."""
    finished = {name for name in found if not is_temporary(name) and "/prov/failures/" not in name}
    return {name for name in finished if reference.get(name) != found[name]}


def compare(found: Tree, reference: Tree, tally: Tally, where: str) -> None:
    """Count what is lost, what differs, and what was left behind."""
    tally.wrong("lost", reference.keys() - found.keys(), where)
    tally.wrong("different", (name for name in reference.keys() & found.keys() if reference[name] != found[name]), where)
    tally.wrong("left over", found.keys() - reference.keys(), where)


def is_temporary(name: str) -> bool:
    """Whether a relative path is a temporary file, or lies in a temporary folder."""
    return any(part.startswith(TEMPORARY) for part in name.split("/"))


def refill(source: Path, target: Path) -> None:
    """Make a folder a copy of another, times too; without removing it, as something may be mounted there."""
    target.mkdir(parents=True, exist_ok=True)
    for path in target.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
