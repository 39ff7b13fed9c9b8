"""Whole workflows that are killed and resumed with the same command; intermediate files that decay; two runs at once."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from _faults_common import (
    PROGRAM,
    Ended,
    Tally,
    Tree,
    compare,
    is_temporary,
    kill,
    partial,
    refill,
    run,
    start,
    tree,
    wait_for,
)

OPTIONS = ("--circuit", "example", "--skip-bids-validation", "--bootstrap-draws", "500", "--nprocs", "2")
_MINUTES = 60
_LATER_S = 8.0
_CLOCKED = ("logs/", "benchmarks/", "ro-crate-metadata.json")
_OF_THIS_PLACE = ("work/plan.json", "work/options.yaml", "work/.snakemake/", "work/.cache/")
_WHILE_RUNNING = frozenset({".tmsprep.lock", "work/group_arguments.txt"})
"""Gone when a run has ended."""


def left_out(name: str) -> bool:
    """Whether a file holds clocks, or absolute paths, and may differ between two runs."""
    if name.startswith(_OF_THIS_PLACE):
        return True
    _, _, inside = name.partition("/")
    records = inside.startswith(("prov/activities/", "prov/failures/"))
    return not is_temporary(name) and (inside.startswith(_CLOCKED) or (inside.startswith("prov/") and not records))


@dataclass(frozen=True)
class Flow:
    """A dataset, and the place of its output: Snakemake knows outputs by their absolute paths."""

    home: Path
    bids: Path
    preprocessing: tuple[str, ...]
    """The options that say where preprocessed data come from."""

    @property
    def out(self) -> Path:
        """Where all runs write."""
        return self.home / "out"

    @property
    def undisturbed(self) -> Path:
        """The output of a run that nobody disturbed."""
        return self.home / "undisturbed"

    @property
    def temporary(self) -> Path:
        """The system's temporary folder, as the runs see it."""
        return self.home / "tmp"

    @property
    def words(self) -> tuple[str, ...]:
        """The command, always the same."""
        return (*PROGRAM, str(self.bids), str(self.out), "participant", "group", *self.preprocessing, *OPTIONS)

    @property
    def environment(self) -> dict[str, str]:
        """Its environment."""
        self.temporary.mkdir(exist_ok=True)
        return dict(os.environ) | {"TMPDIR": str(self.temporary)}

    def found(self) -> Tree:
        """Return what is in the output."""
        return tree(self.out, left_out)

    def reference(self) -> Tree:
        """Return what should be in the output."""
        return tree(self.undisturbed, left_out)

    def run(self) -> Ended:
        """Run the command to its end."""
        return run(self.words, self.environment)

    def prepare(self) -> None:
        """Run once undisturbed, unless that was done."""
        if self.undisturbed.exists():
            return
        shutil.rmtree(self.out, ignore_errors=True)
        self.home.mkdir(parents=True, exist_ok=True)
        ended = self.run()
        if ended.status:
            raise RuntimeError(ended.text[-3000:])
        shutil.copytree(self.out, self.undisturbed, symlinks=True)


def order(flow: Flow) -> list[str]:
    """Return the outputs in the order in which the undisturbed run published them."""
    names = [name for name in flow.reference() if not name.endswith(".log")]
    return sorted(names, key=lambda name: (flow.undisturbed / name).lstat().st_mtime_ns)


def kill_once(flow: Flow, candidates: Sequence[str], rng: random.Random, tally: Tally, how: str) -> bool:
    """Start the command, kill it when one of some files appears or a little later, and look; False if it ended before."""
    absent = [name for name in candidates if not os.path.lexists(flow.out / name)]
    if not absent:
        return False
    path = flow.out / rng.choice(absent)
    process = start(flow.words, flow.environment, flow.home / "log")
    reached = wait_for(process, lambda: os.path.lexists(path), _MINUTES * 60)
    if reached and how != "while publishing":
        end = time.monotonic() + rng.uniform(0, _LATER_S)
        reached = wait_for(process, lambda: time.monotonic() >= end, _MINUTES * 60)
    if not reached:
        process.wait()
        return False
    kill_but_jobs(process) if how == "without its jobs" else kill(process)
    tally.add("kills")
    tally.add(f"kills {how}")
    found = flow.found()
    finished = {name: content for name, content in found.items() if name not in _WHILE_RUNNING}
    tally.wrong("partial", partial(finished, flow.reference()), f"workflow killed {how} at {path.name}")
    tally.add("temporary files after the kill", sum(is_temporary(name) for name in found))
    return True


def kill_but_jobs(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and Snakemake, as a memory killer may; the stage commands go on."""
    below = psutil.Process(process.pid).children()
    process.kill()
    for child in below:
        child.kill()
    psutil.wait_procs(below, timeout=20)
    process.wait()


def resume(flow: Flow, tally: Tally, where: str) -> None:
    """Run the same command to its end, and compare."""
    ended = flow.run()
    tally.add("resumes")
    if ended.status:
        tally.wrong("failed resumes", [ended.text[-1500:]], where)
    compare(flow.found(), flow.reference(), tally, where)
    left = [path.name for path in flow.temporary.iterdir()]
    tally.wrong("left over", (name for name in left if not name.startswith("snakemake")), f"{where}, temporary folder")
    checked = run((*PROGRAM, "verify", str(flow.out)), flow.environment)
    tally.wrong("not verified", [] if checked.status == 0 else [checked.text[-700:]], where)


HOW = ("any moment", "while publishing", "without its jobs", "while publishing")


def killed_many_times(flow: Flow, kills: int, snapshots: Path) -> Tally:
    """Kill one workflow from nothing again and again, each time further on, and keep what each kill left."""
    tally, began, rng = Tally(), time.monotonic(), random.Random(11)
    names = order(flow)
    shutil.rmtree(flow.out, ignore_errors=True)
    for index in range(kills):
        part = names[index * len(names) // kills : (index + 1) * len(names) // kills]
        if kill_once(flow, part, rng, tally, HOW[index % len(HOW)]):
            shutil.copytree(flow.out, snapshots / f"{index}", symlinks=True)
            print(f"workflow: kill {index + 1}, {time.monotonic() - began:.0f} s", flush=True)
    resume(flow, tally, "workflow killed many times")
    tally.add("workflows")
    return _ended(tally, began, f"workflow killed {kills} times")


def killed_from(flow: Flow, snapshot: Path | None, index: int, *, twice: bool = False) -> Tally:
    """Go on from what a kill left (or from nothing), kill at a random moment, resume to the end."""
    tally, began, rng = Tally(), time.monotonic(), random.Random(100 + index)
    names = order(flow)
    while True:
        if snapshot:
            refill(snapshot, flow.out)
        else:
            shutil.rmtree(flow.out, ignore_errors=True)
        if kill_once(flow, names, rng, tally, HOW[index % len(HOW)]):
            break
    if twice:
        kill_once(flow, names, rng, tally, HOW[(index + 1) % len(HOW)])
    where = f"workflow {index} from {snapshot.name if snapshot else 'nothing'}"
    resume(flow, tally, where)
    tally.add("workflows")
    return _ended(tally, began, where)


def killed_near_the_end(flow: Flow) -> Tally:
    """Kill a finished workflow that has its last outputs to write again, resume to the end."""
    tally, began, rng = Tally(), time.monotonic(), random.Random(3)
    refill_if_other(flow)
    without_late(flow)
    killed = kill_once(flow, order(flow), rng, tally, "while publishing")
    resume(flow, tally, "the end of a workflow")
    tally.add("workflows", int(killed))
    return _ended(tally, began, "the end of a workflow")


def _ended(tally: Tally, began: float, what: str) -> Tally:
    tally.seconds = time.monotonic() - began
    print(f"{what}: {tally.seconds:.0f} s", *tally.notes, sep="\n    ", flush=True)
    return tally


def without_late(flow: Flow) -> None:
    """Take away what the last stages wrote, so that a run is short; the output is otherwise finished."""
    for path in (*flow.out.glob("tmsprep/*.html"), *flow.out.glob("tmsprep/group_*")):
        path.unlink()


# Files that decay, and two runs at once


def decayed(flow: Flow) -> Tally:
    """Flip a byte in, or cut, finished files, keeping their times: the run again, or else `tmsprep verify`, must notice."""
    tally, began = Tally(), time.monotonic()
    refill_if_other(flow)
    names = sorted(name for name in flow.reference() if _is_intermediate(name))
    chosen = random.Random(5).sample(names, 12)
    kept = {name: (flow.out / name).read_bytes() for name in chosen}
    for index, name in enumerate(chosen):
        _damage(flow.out / name, cut=index % 4 == 3)
    flow.run()
    still = [name for name in chosen if (flow.out / name).read_bytes() != kept[name]]
    checked = run((*PROGRAM, "verify", str(flow.out)), flow.environment)
    lines = [line for line in checked.text.splitlines() if line.startswith(tuple(still))]
    unnoticed = [name for name in still if not any(line.startswith(name) for line in lines)]
    tally.add("decayed", len(chosen))
    tally.add("decayed, mended by the run", len(chosen) - len(still))
    tally.wrong("decayed, unnoticed", unnoticed, "verify")
    for name in still:
        (flow.out / name).write_bytes(kept[name])
    return _ended(tally, began, "decayed files")


def _is_intermediate(name: str) -> bool:
    return name.startswith("work/sub-") or ("/sub-" in name and not name.endswith(".html") and "/prov/" not in name)


def _damage(path: Path, *, cut: bool) -> None:
    state = path.stat()
    content = bytearray(path.read_bytes())
    if cut:
        content[len(content) * 3 // 4 :] = bytes(len(content) - len(content) * 3 // 4)  # zeros, as after a power failure
    else:
        content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def refill_if_other(flow: Flow) -> None:
    """Make the output whole again, if something before could not."""
    if flow.found() != flow.reference():
        refill(flow.undisturbed, flow.out)


def two_at_once(flow: Flow) -> Tally:
    """Start the same command twice at the same moment: one is refused, the other one is unharmed."""
    tally, began = Tally(), time.monotonic()
    refill_if_other(flow)
    without_late(flow)
    with ThreadPoolExecutor(2) as pool:
        ended = sorted(
            (item.result() for item in [pool.submit(flow.run), pool.submit(flow.run)]), key=lambda one: one.status
        )
    first, second = ended
    tally.add("second runs started at once")
    well = first.status == 0 and second.is_clear and "another run works on this output folder" in second.text
    said = f"{first.status}, {second.status}: {first.text[-500:]} | {second.text[-500:]}"
    tally.wrong("two at once, not refused", [] if well else [said], "two at once")
    compare(flow.found(), flow.reference(), tally, "two at once")
    return _ended(tally, began, "two at once")


def full_disk(flow: Flow, mounted: Path) -> Tally:
    """Let the disk with the output be full during a workflow; then there is room again, and the same command goes on.

    Parameters
    ----------
    flow
        Its output moves to the small disk for the time.
    mounted
        Where that is mounted.
    """
    tally, began = Tally(), time.monotonic()
    refill_if_other(flow)
    without_late(flow)
    aside = flow.home / "aside"
    flow.out.rename(aside)
    mounted.mkdir()
    size = sum(path.stat().st_blocks for path in aside.rglob("*") if path.is_file()) * 512
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size * 2}", "none", mounted], check=True)
    try:
        refill(aside, mounted)
        used = shutil.disk_usage(mounted).used
        subprocess.run(["mount", "-o", f"remount,size={used + (128 << 10)}", mounted], check=True)
        ended = flow.run()
        tally.add("faults")
        told = ended.status != 0 and "no space left" in ended.text.lower() and "Traceback" not in ended.text
        tally.wrong("unclear", [] if told else [f"status {ended.status}: {ended.text[-3000:]}"], "workflow on a full disk")
        subprocess.run(["mount", "-o", f"remount,size={size * 2}", mounted], check=True)
        resume(flow, tally, "workflow after a full disk")
    finally:
        subprocess.run(["umount", mounted], check=True)
        mounted.rmdir()
        aside.rename(flow.out)
    return _ended(tally, began, "workflow on a full disk")
