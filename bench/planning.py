"""How long planning takes as a study grows: the plan, Snakemake's dry run, and plain pybids on the same dataset.

    python bench/planning.py [--json bench/results/planning.json] [--quick]

Datasets are made here: each participant has a T1w and two resting runs of three echoes, with sidecars; images hold nothing,
because a plan reads none. Each measurement is a process of its own; memory is the largest of its processes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from _table import Row, at_most, finish, note, option_parser

SIZES, SIZES_QUICK = (100, 1000, 5000), (50, 200)
PYBIDS_MOST = 1000
"""Plain pybids with metadata takes minutes beyond."""
GOAL_SIZE, GOAL_SECONDS, GOAL_RATIO = 1000, 60.0, 1.5
ECHO_TIMES_S = (0.0132, 0.0305, 0.0478)

_PLAN = "import sys; from pathlib import Path; from tmsprep.inputs.plan import PlanOptions, make_plan; " + (
    "plan = make_plan(PlanOptions(Path(sys.argv[1]))); assert len(plan.units) == int(sys.argv[2]), len(plan.units)"
)
_PYBIDS = "import sys; from bids import BIDSLayout, BIDSLayoutIndexer; " + (
    "layout = BIDSLayout(sys.argv[1], indexer=BIDSLayoutIndexer(validate=False, index_metadata=True)); "
    "assert len(layout.get_subjects()) == int(sys.argv[2])"
)


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    seconds: float
    memory_mib: float


def main(words: Sequence[str]) -> int:
    """Run the benchmark; return 1 if a goal was missed."""
    options = option_parser(__doc__, f"{' and '.join(map(str, SIZES_QUICK))} participants").parse_args(words)
    rows: list[Row] = []
    plans: dict[int, float] = {}
    for size in SIZES_QUICK if options.quick else SIZES:
        print(f"{size} participants ...", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            dataset = make_dataset(Path(folder) / "bids", size)
            plans[size] = measured_plan(dataset, size, rows)
            measured_dry_run(dataset, Path(folder) / "out", size, rows)
            if size <= PYBIDS_MOST:
                rows.append(note(f"{size}: plain pybids with metadata", python(_PYBIDS, dataset, size).seconds, "s"))
    rows.append(linearity(plans))
    return finish(rows, options.json)


def make_dataset(root: Path, participants: int) -> Path:
    """Write the names and sidecars of a dataset."""
    root.mkdir()
    description = {"Name": "made", "BIDSVersion": "1.9.0", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    for number in range(1, participants + 1):
        subject = f"sub-{number:05d}"
        anat, func = root / subject / "anat", root / subject / "func"
        anat.mkdir(parents=True)
        func.mkdir()
        (anat / f"{subject}_T1w.nii.gz").touch()
        for run in (1, 2):
            for echo, echo_time_s in enumerate(ECHO_TIMES_S, start=1):
                stem = f"{subject}_task-rest_run-{run}_echo-{echo}_bold"
                (func / f"{stem}.nii.gz").touch()
                sidecar = {"EchoTime": echo_time_s, "RepetitionTime": 2.0, "TaskName": "rest"}
                (func / f"{stem}.json").write_text(json.dumps(sidecar))
    return root


def measured_plan(dataset: Path, size: int, rows: list[Row]) -> float:
    """Measure index and plan in a fresh process; return the seconds."""
    cost = python(_PLAN, dataset, size)
    rows += [
        note(f"{size}: index and plan", cost.seconds, "s"),
        note(f"{size}: index and plan, memory", cost.memory_mib, "MiB"),
    ]
    return cost.seconds


def measured_dry_run(dataset: Path, out: Path, size: int, rows: list[Row]) -> None:
    """Measure the whole dry run, Snakemake's graph of jobs included."""
    program = str(Path(sys.executable).with_name("tmsprep"))
    cost = measured([program, str(dataset), str(out), "participant", "--dry-run", "--skip-bids-validation"])
    goal = GOAL_SECONDS if size == GOAL_SIZE else None
    rows += [
        at_most(f"{size}: whole dry run", cost.seconds, goal, "s"),
        note(f"{size}: whole dry run, memory", cost.memory_mib, "MiB"),
    ]


def linearity(plans: dict[int, float]) -> Row:
    """Return how much a participant costs more in the largest dataset than in the one before it, start-up included."""
    before, largest = sorted(plans)[-2:]
    ratio = (plans[largest] / largest) / (plans[before] / before)
    return at_most(f"plan, time a participant: {largest} over {before}", ratio, GOAL_RATIO)


def python(code: str, *arguments: object) -> Cost:
    """Measure some Python in a process of its own."""
    return measured([sys.executable, "-c", code, *map(str, arguments)])


def measured(command: Sequence[str]) -> Cost:
    """Run a command in a wrapper whose children's memory is told apart from that of earlier commands."""
    wrapper = "import resource, subprocess, sys, time; start = time.perf_counter(); " + (
        "result = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True); "
        "print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024); "
        "sys.stderr.write(result.stderr); sys.exit(result.returncode)"
    )
    result = subprocess.run([sys.executable, "-c", wrapper, *command], capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{command[0]} failed: {result.stderr[-2000:]}")
    seconds, memory_mib = map(float, result.stdout.split())
    return Cost(seconds, memory_mib)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
