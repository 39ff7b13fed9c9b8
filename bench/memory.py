"""Peak memory of every stage on a long scan, beside what the workflow's rules declare.

    python bench/memory.py [--json bench/results/memory.json] [--quick] [--folder DIR]

A simulated participant (T1w of 1 mm, 256 voxels along each axis; three echoes of 41 minutes, 984 volumes of 64 x 64 x 46
voxels of 3 mm, compressed 16-bit integers) goes through the whole workflow with the builtin engine, one job at a time;
then the first ten minutes of it do, which show how memory grows with the length, and a minute with each kind of field map,
as far as that. `_memory_probe` tells what is measured. A rule should declare what its stage takes and at most a fifth more:
with less it is killed on a cluster, with more nodes stand idle. --quick does the same on the tests' tiny participant, two
jobs at a time. With --folder scans and results are kept there, and what is done of it is not done again; without, it takes
an hour and 4 GB of disk.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import _memory_data as scans
from _memory_probe import Watch, supported, watched
from _table import Row, at_most, finish, note, option_parser
from tmsprep.files import read_json, write_json
from tmsprep.memory import CARRIER_MB

PROGRAM = str(Path(sys.executable).with_name("tmsprep"))
OPTIONS = ("--preproc", "builtin", "--circuit", "example", "--skip-bids-validation")
MOST_OVER = 1.2
"""Declared over measured."""
LARGEST_MB = 8000.0
_JOB = re.compile(
    r"^(?:local)?(?:rule|checkpoint) (?P<rule>\w+):$(?:\n .*)*?\n    resources: .*?\bmem_mb=(?P<mb>\d+)", re.MULTILINE
)
_STAGE_OF_RULE = {"merged_sidecar": "merge-sidecars"}


def main(words: Sequence[str]) -> int:
    """Run the benchmark; return 1 if a goal was missed."""
    parser = option_parser(__doc__, quick="the tests' tiny participant instead of the long scan")
    parser.add_argument("--folder", type=Path, help="keep scans and results in this folder, and go on with what is there")
    options = parser.parse_args(words)
    if not supported():
        print("skipped: memory: only Linux tells the largest memory of a process that it did not start")
        return finish([], options.json)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        return finish(list(measure(folder, quick=options.quick)), options.json)


def measure(folder: Path, *, quick: bool) -> Iterator[Row]:
    """Yield the rows of each scan."""
    if quick:
        yield from rows_of("tiny", process(folder, "tiny", scans.tiny(folder), cores=2))
        return
    for minutes in scans.MINUTES:
        name = f"{minutes:g} min"
        yield from rows_of(name, process(folder, name.replace(" ", ""), scans.scan(folder, minutes)))
    for kind in scans.FIELD_MAPS:
        found = process(folder, kind, scans.mapped(folder, kind), "--until", "fieldmap")
        yield from rows_of(kind, {stage: found[stage] for stage in ("fieldmap", "merge-sidecars")})


def process(folder: Path, name: str, bids: Path, *words: str, cores: int = 1) -> dict[str, dict[str, float]]:
    """Take a dataset through the workflow, unless that was done; return by stage what was measured and declared."""
    kept = folder / f"measured-{name}.json"
    if not kept.exists():
        command = [
            PROGRAM,
            str(bids),
            str(folder / f"out-{name}"),
            "participant",
            "group",
            *OPTIONS,
            "--nprocs",
            str(cores),
            "--",
            "--quiet",
            "host",
            *words,
        ]
        watch, said = watched(command)
        (folder / f"said-{name}.txt").write_text(said, encoding="utf-8")
        write_json(kept, _gathered(watch, said))
    return read_json(kept)


def _gathered(watch: Watch, said: str) -> dict[str, dict[str, float]]:
    declared = declared_mb(said)
    found = {
        stage: {"measured_mb": round(peak, 1), "declared_mb": declared.get(stage, 0)}
        for stage, peak in sorted(watch.peaks_mb.items())
    }
    return found | {"Snakemake": {"measured_mb": round(watch.snakemake_mb, 1)}}


def declared_mb(said: str) -> dict[str, int]:
    """Return by stage the most memory that a job of it declared in what Snakemake said."""
    found: dict[str, int] = {}
    for job in _JOB.finditer(said):
        rule = str(job["rule"])
        stage = _STAGE_OF_RULE.get(rule, rule.replace("_", "-"))
        found[stage] = max(found.get(stage, 0), int(job["mb"]))
    return found


def rows_of(name: str, stages: Mapping[str, Mapping[str, float]]) -> Iterator[Row]:
    """Yield the rows of one scan, largest first."""
    peaks = {stage: values["measured_mb"] for stage, values in stages.items()}
    for stage in sorted(peaks, key=lambda item: -peaks[item]):
        yield note(f"{name}: {stage}", peaks[stage], "MB")
        if "declared_mb" in stages[stage]:
            declared = stages[stage]["declared_mb"]
            yield note("  declared", declared, "MB")
            yield _between("  declared over a job's", declared / (peaks[stage] + CARRIER_MB))
    yield at_most(f"{name}: the largest", max(peaks.values()), LARGEST_MB, "MB")


def _between(measure: str, ratio: float) -> Row:
    return Row(measure, round(ratio, 3), "x", MOST_OVER, 1.0 <= ratio <= MOST_OVER)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
