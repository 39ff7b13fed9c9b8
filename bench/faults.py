"""Nothing is lost and nothing is silently partial, whatever is killed.

    python bench/faults.py [--json bench/results/faults.json] [--quick] [--folder DIR] [--workers N]

On the tests' tiny dataset. Every stage command is killed (SIGKILL, what the kernel's memory killer sends too) again and
again: at any moment, while it writes an output, while it publishes them; some are told to stop (SIGTERM, what schedulers
send), meet a full disk, a limit of file sizes or a read-only folder. Whole workflows are killed, too, some more than once,
and resumed with the same command. After each kill no file under its final name may be partial; after the next run all must
be what an undisturbed run writes, byte for byte (records without their clocks), and nothing else may be there. Disks are
mounted for some faults, which takes the right to: those are left out without it. --quick: 20 kills of stage commands and a
part of one workflow, on a participant that comes preprocessed.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import _faults_flow as flows
import _faults_stages as stage_faults
from _faults_common import Tally
from _faults_data import preprocessed
from _memory_data import tiny
from _table import Row, at_least, at_most, finish, note, option_parser
from tmsprep.provenance.lineage import Lineage

KILLS, LEAST, WORKFLOWS = 200, 2, 12
QUICK_KILLS, QUICK_STAGES = 20, ("plan", "describe", "carpet", "export")
CHAIN = 8
"""Kills of the one workflow whose remains at each the others go on from."""
FROM = (2, 3, 4, 4, 5, 5, 6, 6, 7, 7)


def main(words: Sequence[str]) -> int:
    """Run the benchmark; return 1 if a goal was missed."""
    parser = option_parser(__doc__, quick=f"{QUICK_KILLS} kills of stage commands, and the end of one workflow")
    parser.add_argument("--folder", type=Path, help="work in this folder, and take what was prepared there")
    parser.add_argument("--workers", type=int, default=2, help="stage commands at a time")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.folder or Path(scratch)).resolve()
        began = time.monotonic()
        flow = _flow(folder, quick=options.quick)
        flow.prepare()
        parts = quick(flow, options.workers) if options.quick else full(flow, options.workers)
        return finish([*rows(*parts, quick=options.quick), note("seconds", time.monotonic() - began, "s")], options.json)


def _flow(folder: Path, *, quick: bool) -> flows.Flow:
    bids = tiny(folder)
    if not quick:
        return flows.Flow(folder / "whole", bids, ("--preproc", "builtin"))
    given = preprocessed(bids, bids.with_name(f"{bids.name}-anatomy"), folder / "fmriprep")
    return flows.Flow(folder / "quick", bids, ("--derivatives", f"fmriprep={given}"))


def full(flow: flows.Flow, workers: int) -> tuple[Tally, Tally]:
    """Disturb everything; stage commands and workflows side by side."""
    with ThreadPoolExecutor(1) as pool:
        workflows = pool.submit(disturb_workflows, flow)
        faults = _mounting(flow.home) | {"": (stage_faults.stopped,)}
        commands = _disturb_commands(flow, workers, KILLS, LEAST, faults, None)
        return commands, workflows.result()


def quick(flow: flows.Flow, workers: int) -> tuple[Tally, Tally]:
    """Disturb a little of everything; stage commands and a workflow side by side."""
    with ThreadPoolExecutor(1) as pool:
        workflow = pool.submit(flows.killed_near_the_end, flow)
        faults = {"carpet": (stage_faults.stopped, stage_faults.too_large)}
        commands = _disturb_commands(flow, workers, QUICK_KILLS, 1, faults, QUICK_STAGES)
        return commands, workflow.result()


def _disturb_commands(
    flow: flows.Flow,
    workers: int,
    kills: int,
    least: int,
    faults: dict[str, tuple[stage_faults.Fault, ...]],
    stages: Sequence[str] | None,
) -> Tally:
    home = flow.home / "commands"
    shutil.rmtree(home, ignore_errors=True)
    lineage = Lineage(flow.undisturbed)
    return stage_faults.run_all(lineage, home, kills=kills, least=least, faults=faults, stages=stages, workers=workers)


def _mounting(home: Path) -> dict[str, tuple[stage_faults.Fault, ...]]:
    """Return the faults of the disk for some stages; those that need a mount only where one may."""
    limited: dict[str, tuple[stage_faults.Fault, ...]] = dict.fromkeys(
        ("bold-resample", "target", "report", "scalp"), (stage_faults.too_large,)
    )
    if not stage_faults.may_mount(home / "mount"):
        return limited
    disk = {
        "anatomy": (stage_faults.full_disk, stage_faults.full_temporary),
        "normalise": (stage_faults.full_temporary,),
        "bold-reference": (stage_faults.full_disk, stage_faults.full_temporary),
        "tedana": (stage_faults.full_disk,),
        "denoise": (stage_faults.full_disk,),
        "navigate": (stage_faults.full_disk, stage_faults.read_only),
        "check": (stage_faults.read_only,),
        "report": (stage_faults.full_disk, stage_faults.read_only),
        "scalp": (stage_faults.full_disk, stage_faults.read_only),
        "plan": (stage_faults.full_disk, stage_faults.read_only),
        "confounds": (stage_faults.full_disk,),
    }
    return {name: (*disk.get(name, ()), *limited.get(name, ())) for name in disk | limited}


def disturb_workflows(flow: flows.Flow) -> Tally:
    """Kill workflows, and what else may happen to them."""
    snapshots = flow.home / "snapshots"
    shutil.rmtree(snapshots, ignore_errors=True)
    total = flows.killed_many_times(flow, CHAIN, snapshots)
    for step in (flows.decayed, flows.two_at_once):
        total += step(flow)
    if stage_faults.may_mount(flow.home / "mount-flow"):
        total += flows.full_disk(flow, flow.out)
    there = {int(path.name): path for path in snapshots.iterdir()}
    for index, depth in enumerate(FROM):
        nearest = min(there, key=lambda number: abs(number - depth))
        total += flows.killed_from(flow, there[nearest], index, twice=index % 4 == 0)
    total += flows.killed_from(flow, None, len(FROM))
    shutil.rmtree(snapshots)
    return total


GOALS = {
    "partial": "partial files under a final name",
    "lost": "files lost",
    "different": "files that differ from the undisturbed run's",
    "left over": "temporary files left after the next run",
    "failed resumes": "next runs that failed",
}


def rows(commands: Tally, workflows: Tally, *, quick: bool) -> Iterator[Row]:
    """Yield the table."""
    kills = QUICK_KILLS if quick else KILLS
    yield note("stage commands", commands.counts["commands"])
    yield at_least("stage commands killed", commands.counts["kills"], kills)
    for how in ("any moment", "while writing", "while publishing"):
        yield note(f"  {how}", commands.counts[f"kills {how}"])
    yield note("  between two final names", commands.counts["kills between two final names"])
    yield note("  next runs", commands.counts["resumes"])
    for key, words in GOALS.items():
        yield at_most(f"  {words}", commands.counts[key], 0)
    yield note("  temporary files right after the kills", commands.counts["temporary files after the kill"])
    yield note("faults of disk or scheduler", commands.counts["faults"] + workflows.counts["faults"])
    yield at_most("  without one clear message", commands.counts["unclear"] + workflows.counts["unclear"], 0)
    yield at_least("workflows killed and resumed", workflows.counts["workflows"], 1 if quick else WORKFLOWS)
    yield note("  kills", workflows.counts["kills"])
    for how in dict.fromkeys(flows.HOW):
        yield note(f"    {how}", workflows.counts[f"kills {how}"])
    for key, words in GOALS.items():
        yield at_most(f"  {words}", workflows.counts[key], 0)
    yield at_most("  not verified afterwards", workflows.counts["not verified"], 0)
    if not quick:
        yield note("files that decayed", workflows.counts["decayed"])
        yield note("  mended by the next run", workflows.counts["decayed, mended by the run"])
        yield at_most("  noticed neither by it nor by verify", workflows.counts["decayed, unnoticed"], 0)
        yield at_most("second runs at the same time not refused", workflows.counts["two at once, not refused"], 0)
    yield note("stage commands took", commands.seconds, "s")
    yield note("workflows took", workflows.seconds, "s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
