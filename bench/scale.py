"""How time and memory grow with the number of participants: the graph, the overhead of each job, the group's page.

    python bench/scale.py [--json bench/results/scale.json] [--quick] [--parts graph jobs] [--run 100 1000]

Planning, building the graph of all jobs (a dry run through `tmsprep.run_snakemake`), the group's stage, and the list of who
failed are measured for 100, 1,000 and 10,000 made participants, the files of provenance for fewer. Jobs are run for as many,
or those that --run names: the workflow's own rules, their commands replaced by a script that leaves empty files, beside a
plain Snakemake workflow of the same jobs and edges with the same script: run as the program runs Snakemake
(`tmsprep.scheduling`) and, for up to 1,000 participants, by Snakemake's own command with the same settings.

Growth is judged by processor seconds, of a process and all that it started, because a shared machine makes waiting longer:
the exponent of a power of the number of participants through two sizes is 1 where time is proportional to it. The
jobs of 10,000 take most of the time, more than an hour, and 5 GB of memory: --run 100 1000 leaves them out.
"""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from _scale_data import make_dataset, make_results, names
from _scale_probe import Cost, call, run
from _scale_records import make_records
from _scale_workflow import JOBS, plain_workflow, real_workflow, stub_workflow, write_config
from _table import Row, at_most, finish, note, option_parser

PARTS = ("group", "provenance", "graph", "jobs")
PROGRAM = Path(sys.executable).with_name("tmsprep")
GOAL_EXPONENT = 1.15
TOO_SHORT_S = 0.5
"""Growth of what takes less is not judged: the clock of processor time, caches and first calls weigh as much."""
GOAL_GRAPH_S = 0.1
"""Processor seconds a participant."""
GOAL_GRAPH_MIB = 1.0
"""A participant; a machine that submits 10,000 has 10 GiB."""
GOAL_PAGE_MB = 20.0
GOAL_RATIO = 2.0
"""Of the workflow's overhead to that of the plain one."""
OWN_COMMAND_TO = 1000
"""Participants up to which Snakemake's own command is run, too: a job costs it the more, the more there are."""


@dataclass(frozen=True)
class Sizes:
    """Numbers of participants, each ascending."""

    whole: tuple[int, ...]
    run: tuple[int, ...]
    records: tuple[int, ...]


SIZES = Sizes((100, 1000, 10000), (100, 1000, 10000), (100, 300, 1000))
QUICK = Sizes((20, 100, 300), (5, 20), (20, 100))


def main(words: Sequence[str]) -> int:
    """Run the benchmark; return 1 if a goal was missed."""
    parser = option_parser(__doc__, quick=f"at most {QUICK.whole[-1]} participants, the jobs of {QUICK.run[-1]} run")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="measure these only")
    parser.add_argument("--run", type=int, nargs="+", help="run the jobs of so many participants")
    options = parser.parse_args(words)
    sizes = QUICK if options.quick else SIZES
    sizes = sizes if options.run is None else replace(sizes, run=tuple(sorted(options.run)))
    with tempfile.TemporaryDirectory() as scratch:
        rows: list[Row] = []
        for row in _measure(Path(scratch), sizes, options.parts):
            print(f"{row.measure}: {row.value} {row.unit}", file=sys.stderr, flush=True)
            rows.append(row)
        return finish(rows, options.json)


def _measure(scratch: Path, sizes: Sizes, parts: Collection[str]) -> Iterator[Row]:
    if "group" in parts:
        yield from measure_group(scratch / "group", sizes.whole)
    if "provenance" in parts:
        yield from measure_provenance(scratch / "provenance", sizes.records)
    if "graph" in parts:
        yield from measure_graph(scratch / "graph", sizes.whole)
    if "jobs" in parts:
        yield from measure_jobs(scratch / "jobs", sizes.run)


# The graph


def measure_graph(scratch: Path, sizes: Sequence[int]) -> Iterator[Row]:
    """Yield the cost of planning, of the graph, and of the list of failures, for each size."""
    plans: dict[int, Cost] = {}
    graphs: dict[int, Cost] = {}
    failed: dict[int, Cost] = {}
    for size in sizes:
        folder = scratch / str(size)
        config = write_config(make_dataset(folder / "bids", size), folder / "out")
        plans[size] = call("study", config, folder / "study.log")
        yield from _costs(f"{size} participants, plan", plans[size])
        words = real_workflow(config).words("participants", "group")
        graphs[size] = run([*words, "--dry-run"], folder / "dry-run.log")
        _require_jobs(folder / "dry-run.log", size)
        yield from _costs(f"{size} participants, graph", graphs[size])
        failed[size] = call("failures", config, folder / "failures.log")
        yield note(f"{size} participants, list of failures, CPU", failed[size].cpu_s, "s")
        shutil.rmtree(folder)
    yield _exponent("plan", plans)
    yield _exponent("graph", graphs)
    yield _exponent("list of failures", failed)
    largest = graphs[sizes[-1]]
    yield at_most("graph, CPU a participant (largest)", largest.cpu_s / sizes[-1], GOAL_GRAPH_S, "s")
    more_mib, more = largest.peak_mib - graphs[sizes[0]].peak_mib, sizes[-1] - sizes[0]
    yield at_most("graph, memory a participant more", more_mib / more, GOAL_GRAPH_MIB, "MiB")


def _require_jobs(log: Path, size: int) -> None:
    """Refuse to measure a graph without each participant's page."""
    with log.open(encoding="utf-8") as stream:
        found = {line.split()[1] for line in stream if line.startswith("report ")}
    if found != {str(size)}:
        raise RuntimeError(f"pages in the graph: {found}, not {size}")


# Jobs


def measure_jobs(scratch: Path, sizes: Sequence[int]) -> Iterator[Row]:
    """Yield the overhead of each job of the workflow and of the plain one."""
    costs: dict[int, Cost] = {}
    plain: dict[int, Cost] = {}
    for size in sizes:
        bids = make_dataset(scratch / "bids", size)
        stubs = stub_workflow(scratch / "workflow", write_config(bids, scratch / "out"))
        costs[size] = _run_jobs(stubs.words("participants"), scratch, size)
        plain[size] = _run_jobs(plain_workflow(scratch / "plain", bids, size).words("participants"), scratch, size)
        yield from _job_rows(f"{size} participants", size, costs[size], plain[size])
        if size <= OWN_COMMAND_TO:
            words = plain_workflow(scratch / "own", bids, size).words("participants", module="snakemake")
            own = _run_jobs(words, scratch, size)
            yield note(f"{size} participants, a plain job by Snakemake's own command, CPU", _ms(own, size), "ms")
        shutil.rmtree(scratch)
    if len(sizes) > 1:
        yield _exponent("jobs", costs)
        yield note("plain jobs, exponent", _slope(plain), "")


def _run_jobs(words: Sequence[str], scratch: Path, size: int) -> Cost:
    cost = run(words, scratch / "jobs.log")
    text = (scratch / "jobs.log").read_text(encoding="utf-8")
    if "(100%) done" not in text:
        raise RuntimeError(f"not all jobs of {size} participants were run")
    return cost


def _job_rows(measure: str, size: int, cost: Cost, plain: Cost) -> Iterator[Row]:
    yield note(f"{measure}, a job, CPU", _ms(cost, size), "ms")
    yield note(f"{measure}, a job, wall", 1000 * cost.wall_s / (JOBS * size), "ms")
    yield note(f"{measure}, a plain job, CPU", _ms(plain, size), "ms")
    yield at_most(f"{measure}, to plain, CPU", cost.cpu_s / plain.cpu_s, GOAL_RATIO, "x")
    yield note(f"{measure}, jobs, memory", cost.peak_mib, "MiB")


def _ms(cost: Cost, size: int) -> float:
    """Return the processor milliseconds a job."""
    return 1000 * cost.cpu_s / (JOBS * size)


# The group's page, and provenance


def measure_group(scratch: Path, sizes: Sequence[int]) -> Iterator[Row]:
    """Yield the cost of the group's stage and the size of its page."""
    costs: dict[int, Cost] = {}
    for size in sizes:
        folder = scratch / str(size)
        arguments, page, table = make_results(folder / "results", size), folder / "group.html", folder / "group_targets.tsv"
        words = [PROGRAM, "stage", "group", f"@{arguments}", "--out-targets", table, "--out-html", page]
        costs[size] = run(words, folder / "group.log")
        if table.read_text(encoding="utf-8").count("\n") != len(names(size)) + 1:
            raise RuntimeError("the group's table lacks participants")
        yield from _costs(f"{size} participants, group", costs[size])
        goal = GOAL_PAGE_MB if size == sizes[-1] else None
        yield at_most(f"{size} participants, group page", page.stat().st_size / 1e6, goal, "MB")
        shutil.rmtree(folder)
    yield _exponent("group", costs)


def measure_provenance(scratch: Path, sizes: Sequence[int]) -> Iterator[Row]:
    """Yield the cost of all files that are made of the records of runs."""
    costs: dict[int, Cost] = {}
    for size in sizes:
        output = make_records(scratch / str(size), size)
        costs[size] = call("provenance", output, scratch / "provenance.log")
        yield from _costs(f"{size} participants, provenance", costs[size])
        shutil.rmtree(output)
    yield _exponent("provenance", costs)


# Rows


def _costs(measure: str, cost: Cost) -> Iterator[Row]:
    yield note(measure, cost.wall_s, "s")
    yield note(f"{measure}, CPU", cost.cpu_s, "s")
    yield note(f"{measure}, memory", cost.peak_mib, "MiB")


def _exponent(what: str, costs: Mapping[int, Cost]) -> Row:
    small, large = sorted(costs)[-2:]
    goal = GOAL_EXPONENT if costs[large].cpu_s > TOO_SHORT_S else None
    return at_most(f"{what}, CPU exponent ({small} to {large})", _slope(costs), goal)


def _slope(costs: Mapping[int, Cost]) -> float:
    small, large = sorted(costs)[-2:]
    return math.log(costs[large].cpu_s / costs[small].cpu_s) / math.log(large / small)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
