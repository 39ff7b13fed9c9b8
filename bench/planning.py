"""How long planning takes, and the whole dry run, on made datasets of up to 5,000 participants.

    python bench/planning.py [--json bench/results/planning.json] [--quick]

Each participant has a T1w and two resting runs of three echoes with their sidecars; the images are empty, since the plan
does not read them. Each number is from a fresh process, and the best of two such runs unless its row says otherwise: what
else the machine does only adds time. pybids indexes the same datasets, for comparison. No check data are needed.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from _table import Row, at_most, finish, note, option_parser

SIZES = (100, 1000, 5000)
QUICK = (50, 200)
RUNS = (1, 2)
ECHO_TIMES_S = (0.013, 0.029, 0.045)
REPETITION_TIME_S = 2.0
GOAL_DRY_RUN_S = {1000: 60.0}
GOAL_GROWTH = 1.5
REPEATS = 2
ONCE_ABOVE = 1000
"""Larger datasets: the dry run and pybids are measured once, and pybids does not read the sidecars."""


@dataclass(frozen=True)
class Cost:
    """What one measurement took."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def main(words: Sequence[str]) -> int:
    """Run the benchmark; return 1 if a goal was missed."""
    options = option_parser(__doc__, quick=f"only {' and '.join(map(str, QUICK))} participants").parse_args(words)
    sizes = QUICK if options.quick else SIZES
    rows: list[Row] = []
    plans: dict[int, Cost] = {}
    dry_runs: dict[int, Cost] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch) / "bids"
            make_dataset(root, size)
            plans[size] = _best(_plan, root, size)
            dry_runs[size] = _best(_dry_run, root, size, 1 if size > ONCE_ABOVE else REPEATS)
            rows += _rows(size, plans[size], dry_runs[size])
            rows += _pybids_rows(root, size)
    small, large = sizes[-2:]
    growth = _growth({size: cost.cpu_s for size, cost in plans.items()}, small, large)
    rows.append(at_most(f"plan, CPU time per participant: {large} to {small}", growth, GOAL_GROWTH, "x"))
    growth = _growth({size: cost.cpu_s for size, cost in dry_runs.items()}, small, large)
    rows.append(note(f"dry run, CPU time per participant: {large} to {small}", growth, "x"))
    return finish(rows, options.json)


def make_dataset(root: Path, size: int) -> None:
    """Make a dataset whose images are empty."""
    root.mkdir()
    description = {"Name": f"{size} made participants", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(description), encoding="utf-8")
    for number in range(1, size + 1):
        _make_participant(root, f"sub-{number:05d}")


def _make_participant(root: Path, name: str) -> None:
    anat, func = root / name / "anat", root / name / "func"
    anat.mkdir(parents=True)
    func.mkdir()
    (anat / f"{name}_T1w.nii.gz").touch()
    for run in RUNS:
        for echo, time_s in enumerate(ECHO_TIMES_S, start=1):
            stem = f"{name}_task-rest_run-{run}_echo-{echo}_bold"
            sidecar = {"EchoTime": time_s, "RepetitionTime": REPETITION_TIME_S, "TaskName": "rest"}
            (func / f"{stem}.nii.gz").touch()
            (func / f"{stem}.json").write_text(json.dumps(sidecar), encoding="utf-8")


# Measurements


def _best(measurement: Callable[[Path, int], Cost], root: Path, size: int, repeats: int = REPEATS) -> Cost:
    """Return the least of each cost over some runs, each in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context, max_tasks_per_child=1) as pool:
        costs = [pool.submit(measurement, root, size).result() for _ in range(repeats)]
    return Cost(min(cost.wall_s for cost in costs), min(cost.cpu_s for cost in costs), min(cost.peak_mib for cost in costs))


def _plan(root: Path, size: int) -> Cost:
    """Index and plan a dataset; imports are not counted."""
    from tmsprep.inputs.plan import PlanOptions, make_plan

    wall_s, cpu_s = time.perf_counter(), time.process_time()
    plan = make_plan(PlanOptions(bids_dir=root))
    cost = Cost(time.perf_counter() - wall_s, time.process_time() - cpu_s, _peak_mib(resource.RUSAGE_SELF))
    echoes = sum(len(run.echoes) for unit in plan.units for run in unit.runs)
    _require("units and echoes planned", (len(plan.units), echoes), (size, size * len(RUNS) * len(ECHO_TIMES_S)))
    return cost


def _pybids(root: Path, size: int) -> Cost:
    """Index a dataset's names by pybids; imports are not counted."""
    return _index_by_pybids(root, size, metadata=False)


def _pybids_metadata(root: Path, size: int) -> Cost:
    """Index a dataset's names and sidecars by pybids; imports are not counted."""
    return _index_by_pybids(root, size, metadata=True)


def _index_by_pybids(root: Path, size: int, *, metadata: bool) -> Cost:
    import bids

    wall_s, cpu_s = time.perf_counter(), time.process_time()
    indexer = bids.BIDSLayoutIndexer(validate=False, index_metadata=metadata)
    layout = bids.BIDSLayout(root, validate=False, indexer=indexer)
    cost = Cost(time.perf_counter() - wall_s, time.process_time() - cpu_s, _peak_mib(resource.RUSAGE_SELF))
    _require("participants found by pybids", len(layout.get_subjects()), size)
    return cost


def _dry_run(root: Path, size: int) -> Cost:
    """Run the App's dry run, the start of both programs counted; this process has no other children."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as output:
        words = [sys.executable, "-m", "tmsprep", str(root), output, "participant", "--dry-run", "--skip-bids-validation"]
        result = subprocess.run(words, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        raise RuntimeError(f"the dry run failed:\n{result.stdout[-2000:]}")
    wall_s = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    pages = {line.split()[1] for line in result.stdout.splitlines() if line.startswith("report ")}
    _require("pages in the dry run", pages, {str(size)})
    return Cost(wall_s, used.ru_utime + used.ru_stime, _peak_mib(resource.RUSAGE_CHILDREN))


def _peak_mib(who: int) -> float:
    """Return the largest resident size of one process, or of the largest child (Linux counts in KiB)."""
    return resource.getrusage(who).ru_maxrss / 1024


def _require(what: str, found: object, expected: object) -> None:
    """Refuse to measure something that did not do its work."""
    if found != expected:
        raise RuntimeError(f"{what}: {found}, not {expected}")


# Rows


def _rows(size: int, plan: Cost, dry_run: Cost) -> Iterator[Row]:
    once = " (once)" if size > ONCE_ABOVE else ""
    yield note(f"{size} participants: index and plan", round(plan.wall_s, 2), "s")
    yield note(f"{size} participants: index and plan, peak memory", round(plan.peak_mib), "MiB")
    yield at_most(f"{size} participants: dry run{once}", round(dry_run.wall_s, 1), GOAL_DRY_RUN_S.get(size), "s")
    yield note(f"{size} participants: dry run{once}, CPU time", round(dry_run.cpu_s, 1), "s")
    yield note(f"{size} participants: dry run{once}, peak memory", round(dry_run.peak_mib), "MiB")


def _pybids_rows(root: Path, size: int) -> Iterator[Row]:
    if size > ONCE_ABOVE:
        yield note(f"{size} participants: pybids, names only (once)", round(_best(_pybids, root, size, 1).wall_s, 1), "s")
        yield note(f"{size} participants: pybids, names and sidecars", "not measured: takes minutes")
        return
    yield note(f"{size} participants: pybids, names only", round(_best(_pybids, root, size).wall_s, 2), "s")
    yield note(f"{size} participants: pybids, names and sidecars", round(_best(_pybids_metadata, root, size).wall_s, 2), "s")


def _growth(seconds: dict[int, float], small: int, large: int) -> float:
    """Return the time per participant of the large dataset relative to the small one's: 1 if linear."""
    return round((seconds[large] / large) / (seconds[small] / small), 2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
