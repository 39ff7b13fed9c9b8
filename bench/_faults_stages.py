"""Stage commands that are killed, told to stop, or run out of disk, each in a scratch copy of its inputs."""

from __future__ import annotations

import math
import os
import random
import resource
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial as bound
from pathlib import Path

from _faults_common import (
    PROGRAM,
    Ended,
    Tally,
    Tree,
    compare,
    content_of,
    is_temporary,
    kill,
    partial,
    refill,
    run,
    start,
    tree,
    wait_for,
)
from tmsprep.provenance.activity import DATASET_VARIABLE, RUN_VARIABLE
from tmsprep.provenance.lineage import Lineage, Step
from tmsprep.provenance.replay import Scratch

_MINUTES = 20
_PAGE = 4096
_ROOM = 1 << 30
_FASTEST_S = 0.05
_DENSE_S = 0.02
"""Kills after something has appeared come within so long."""


@dataclass(frozen=True)
class Bench:
    """One stage command with a scratch copy of its inputs, and what it writes undisturbed."""

    name: str
    words: tuple[str, ...]
    home: Path
    seconds: float
    """What the command takes undisturbed."""
    reference: Tree
    written: tuple[str, ...]
    """What it writes, relative to `live`."""

    @property
    def live(self) -> Path:
        """Where it runs."""
        return self.home / "live"

    @property
    def inputs(self) -> Path:
        """What is there before it runs."""
        return self.home / "inputs"

    @property
    def temporary(self) -> Path:
        """The system's temporary folder, as it sees it."""
        return self.home / "tmp"

    @property
    def environment(self) -> dict[str, str]:
        """Its environment."""
        return _environment(self.home)

    def reset(self) -> None:
        """Put the inputs back, and nothing else."""
        refill(self.inputs, self.live)
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir()

    def found(self) -> Tree:
        """Return what is there now."""
        return tree(self.live, _nothing)

    def left_in_system(self) -> list[str]:
        """Return what is in the system's temporary folder."""
        return [path.name for path in self.temporary.iterdir()]


def _nothing(_: str) -> bool:
    return False


def _environment(home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != RUN_VARIABLE}
    return kept | {DATASET_VARIABLE: str(home / "live" / "out" / "tmsprep"), "TMPDIR": str(home / "tmp")}


def prepare(lineage: Lineage, step: Step, home: Path) -> Bench:
    """Make the scratch copy of a recorded run, and run it once undisturbed."""
    live = home / "live"
    scratch = Scratch(lineage, live, [], [step])
    scratch.describe()
    words = [*PROGRAM, *scratch.words(step)[1:]]
    scratch.provide()
    for item in step.activity.generated:  # a description is there already
        scratch.place(step.activity.dataset, item.uri).unlink(missing_ok=True)
    bench = Bench(home.name, tuple(words), home, 0.0, {}, ())
    shutil.copytree(live, bench.inputs, symlinks=True)
    bench.temporary.mkdir()
    before = bench.found()
    began = time.monotonic()
    ended = run(words, bench.environment)
    seconds = time.monotonic() - began
    if ended.status:
        raise RuntimeError(f"{shlex.join(words)}\n{ended.text}")
    after = bench.found()
    written = tuple(sorted(name for name, content in after.items() if before.get(name) != content))
    return Bench(home.name, tuple(words), home, seconds, after, written)


def killed(bench: Bench, rng: random.Random) -> Tally:
    """Kill the command at a random moment, look, run it again to the end, and compare."""
    tally = Tally()
    how = rng.choices(("any moment", "while writing", "while publishing"), (2, 1, 1))[0]
    while True:
        bench.reset()
        process = start(bench.words, bench.environment, bench.home / "log")
        reached = wait_for(process, _moment(bench, process, how, rng), _MINUTES * 60)
        if kill(process) and reached:
            break
        tally.add("ended before the kill")
    tally.add("kills")
    tally.add(f"kills {how}")
    _finish(bench, tally, how)
    return tally


def _moment(bench: Bench, process: subprocess.Popen[bytes], how: str, rng: random.Random) -> Callable[[], bool]:
    """Return what to wait for before the kill."""
    if how == "any moment":
        return _after(rng.uniform(_FASTEST_S, bench.seconds))
    path = bench.live / rng.choice(bench.written)
    if how == "while writing":
        path = path.with_name(f".tmp-{process.pid}-{path.name}")
        return _appears(path, None, rng.uniform(0, _DENSE_S))
    old = content_of(path) if path.exists() else None
    return _appears(path, old, 0.0)


def _after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def _appears(path: Path, old: str | None, delay_s: float) -> Callable[[], bool]:
    def reached() -> bool:
        if not os.path.lexists(path) or (old is not None and content_of(path) == old):
            return False
        time.sleep(delay_s)
        return True

    return reached


def _finish(bench: Bench, tally: Tally, how: str) -> None:
    """Look at what is there, then run the command again to the end and compare."""
    where = f"{bench.name} ({how})"
    found = bench.found()
    tally.wrong("partial", partial(found, bench.reference), where)
    tally.add("temporary files after the kill", sum(is_temporary(name) for name in found))
    mixed = sum(name in found and found[name] == bench.reference[name] for name in bench.written)
    tally.add("kills between two final names", int(0 < mixed < len(bench.written)))
    again = run(bench.words, bench.environment)
    tally.add("resumes")
    if again.status:
        tally.wrong("failed resumes", [again.text[-500:]], where)
        return
    compare(bench.found(), bench.reference, tally, where)
    tally.wrong("left over", bench.left_in_system(), f"{where} in the system's temporary folder")


# The disk, and the scheduler


def stopped(bench: Bench, rng: random.Random) -> Tally:
    """Tell the command to stop (SIGTERM) at a random moment."""
    tally = Tally()
    bench.reset()
    process = start(bench.words, bench.environment, bench.home / "log")
    if not wait_for(process, _after(rng.uniform(0.4, 0.95) * bench.seconds), _MINUTES * 60):
        return tally
    process.terminate()
    status = process.wait()
    if status == 0 or (status < 0 and bench.found() == bench.reference):  # all was done when it was told
        return tally
    tally.add("faults")
    text = (bench.home / "log").read_text(encoding="utf-8", errors="replace")
    _judge(bench, Ended(status, text), tally, "told to stop")
    tally.wrong("left over", (name for name in bench.found() if is_temporary(name)), f"{bench.name} (told to stop)")
    _finish(bench, tally, "told to stop")
    return tally


def too_large(bench: Bench, rng: random.Random) -> Tally:
    """Limit the size of files, as `ulimit -f` does, below that of the largest output."""
    largest = max((bench.live / name).stat().st_size for name in bench.written)
    limit = int(largest * rng.uniform(0.2, 0.9))
    bench.reset()
    before = bound(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
    return _faulty(bench, run(bench.words, bench.environment, before), f"files limited to {limit} bytes")


def full_disk(bench: Bench, rng: random.Random) -> Tally:
    """Let the disk with the outputs be full at some point."""
    size = sum(-(-(bench.live / name).stat().st_size // _PAGE) * _PAGE for name in bench.written)
    free = int(size * rng.uniform(0.0, 0.9)) // _PAGE * _PAGE
    with _disk(bench.live):
        bench.reset()
        with _ballast(bench.live, free):
            ended = run(bench.words, bench.environment)
        return _faulty(bench, ended, f"{free} of {size} bytes free")


def full_temporary(bench: Bench, rng: random.Random) -> Tally:
    """Let the system's temporary folder be full."""
    free = rng.randrange(4, 64) * _PAGE
    bench.reset()
    with _disk(bench.temporary), _ballast(bench.temporary, free):
        ended = run(bench.words, bench.environment)
    if ended.status == 0:  # it needs no temporary files
        tally = Tally()
        compare(bench.found(), bench.reference, tally, f"{bench.name} (full temporary folder)")
        return tally
    return _faulty(bench, ended, f"{free} bytes free in the temporary folder")


def read_only(bench: Bench, _: random.Random) -> Tally:
    """Mount the outputs' folder read-only."""
    bench.reset()
    subprocess.run(["mount", "--bind", bench.live, bench.live], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", bench.live], check=True)
        ended = run(bench.words, bench.environment)
    finally:
        subprocess.run(["umount", bench.live], check=True)
    return _faulty(bench, ended, "read-only")


def _faulty(bench: Bench, ended: Ended, how: str) -> Tally:
    tally = Tally()
    tally.add("faults")
    _judge(bench, ended, tally, how)
    _finish(bench, tally, how)
    return tally


def _judge(bench: Bench, ended: Ended, tally: Tally, how: str) -> None:
    said = f"status {ended.status}, {ended.text[-700:]}"
    tally.wrong("unclear", [] if ended.is_clear else [said], f"{bench.name} ({how})")


@contextmanager
def _disk(folder: Path) -> Generator[None]:
    """Mount a small disk."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_ROOM}", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def _ballast(folder: Path, free: int) -> Generator[None]:
    """Leave so many bytes of a disk free."""
    room = shutil.disk_usage(folder).free
    used = _ROOM - room
    subprocess.run(["mount", "-o", f"remount,size={used + free}", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", f"remount,size={_ROOM}", folder], check=True)


def may_mount(folder: Path) -> bool:
    """Whether disks can be mounted here."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _disk(folder):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


Fault = Callable[[Bench, random.Random], Tally]


def plan_kills(seconds: Mapping[str, float], total: int, least: int) -> dict[str, int]:
    """Return how many kills each command gets: at least some, more the cheaper it is."""
    weights = {name: 1 / value for name, value in seconds.items()}
    rest = max(total - least * len(weights), 0)
    return {name: least + math.ceil(rest * weight / sum(weights.values())) for name, weight in weights.items()}


def run_all(
    lineage: Lineage,
    home: Path,
    *,
    kills: int,
    least: int,
    faults: Mapping[str, Sequence[Fault]],
    stages: Sequence[str] | None,
    workers: int,
) -> Tally:
    """Disturb every recorded stage command (or those of some stages).

    Parameters
    ----------
    lineage
        Of a finished output.
    home
        Where to work.
    kills
        At least so many in all.
    least
        Kills of each command.
    faults
        Stage (or empty, for all) to what else happens to it.
    stages
        All if None.
    workers
        Commands at a time.
    """
    total, began = Tally(), time.monotonic()
    steps = _one_of_each(step for step in lineage.steps if stages is None or step.stage in stages)
    with ThreadPoolExecutor(workers) as pool:
        made = [pool.submit(prepare, lineage, step, home / name) for name, step in steps.items()]
        benches = [item.result() for item in made]
        counts = plan_kills({bench.name: bench.seconds for bench in benches}, kills, least)
        jobs = [
            pool.submit(_disturb, bench, counts[bench.name], [*faults.get("", ()), *faults.get(bench.name, ())])
            for bench in sorted(benches, key=lambda bench: -bench.seconds * counts[bench.name])
        ]
        for job in jobs:
            total += job.result()
    total.add("commands", len(benches))
    total.seconds = time.monotonic() - began
    return total


def _one_of_each(steps: Iterator[Step]) -> dict[str, Step]:
    """Return the first run of each stage."""
    found: dict[str, Step] = {}
    for step in steps:
        found.setdefault(step.stage, step)
    return found


def _disturb(bench: Bench, kills: int, faults: Sequence[Fault]) -> Tally:
    tally, began = Tally(), time.monotonic()
    rng = random.Random(f"7-{bench.name}")
    for _ in range(kills):
        tally += killed(bench, rng)
    for fault in faults:
        tally += fault(bench, rng)
    shutil.rmtree(bench.home)
    print(f"{bench.name}: {kills} kills, {time.monotonic() - began:.0f} s", *tally.notes, sep="\n    ", flush=True)
    return tally
