"""What provenance costs: share of run time and of disk, measured on a whole run.

    python bench/provenance.py [--json bench/results/provenance.json] [--quick] [--output DIR]

Each record says how long its own making took (checksums of inputs and outputs, sidecars, the record); the BIDS-Prov files,
the RO-Crate and the summary page are timed here, when they are made anew; `tmsprep verify` and the replay of one
participant's targets are for information. Disk counts everything under ``prov``, the crate, and all sidecars, although
sidecars hold more than provenance. The run is that of `make example`; with --quick the tiny dataset of the tests; with
--output a finished one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from _table import Row, at_most, finish, note, option_parser
from tmsprep.provenance.crate import NAME
from tmsprep.provenance.lineage import Lineage, Step
from tmsprep.provenance.publish import publish_provenance
from tmsprep.provenance.record import sidecar_path

ROOT = Path(__file__).resolve().parent.parent
GOAL_TIME = 2.0
GOAL_DISK = 5.0
PROGRAM = str(Path(sys.executable).with_name("tmsprep"))
OPTIONS = ("--preproc", "builtin", "--circuit", "example", "--skip-bids-validation")


def main(words: Sequence[str]) -> int:
    """Run the benchmark; return 1 if a goal was missed."""
    parser = option_parser(__doc__, quick="the tiny dataset of the tests instead of the example")
    parser.add_argument("--output", type=Path, help="the output folder of a finished run, instead of a run of its own")
    options = parser.parse_args(words)
    if options.output:
        return finish(list(measure(options.output)), options.json)
    with tempfile.TemporaryDirectory() as scratch:
        bids_dir = tiny(Path(scratch) / "bids") if options.quick else ROOT / "bids_example"
        output = Path(scratch) / "out"
        subprocess.run([PROGRAM, bids_dir, output, "participant", "group", *OPTIONS], check=True, capture_output=True)
        return finish(list(measure(output)), options.json)


def tiny(folder: Path) -> Path:
    """Make the tiny dataset of the tests."""
    sys.path.insert(0, str(ROOT))
    from tests.tiny import make_tiny

    return make_tiny(folder)


def measure(output: Path) -> Iterator[Row]:
    """Yield the rows of a finished run."""
    lineage = Lineage(output)
    working = sum(map(seconds, lineage.steps))
    recording = sum(float(step.activity.content["RecordSeconds"]) for step in lineage.steps)
    publishing = timed(lambda: publish_provenance(output))
    yield note("stage runs recorded", len(lineage.steps))
    yield note("time of all stages, without provenance", working, "s")
    yield note("checksums, sidecars and records", recording, "s")
    yield note("BIDS-Prov, RO-Crate, summary", publishing, "s")
    yield at_most("provenance, share of run time", 100 * (recording + publishing) / working, GOAL_TIME, "%")
    everything, own = sizes(lineage)
    yield note("all outputs", everything / 1e6, "MB")
    yield note("records, crate and sidecars", own / 1e6, "MB")
    yield at_most("provenance, share of disk", 100 * own / everything, GOAL_DISK, "%")
    yield note(
        "tmsprep verify", timed(lambda: subprocess.run([PROGRAM, "verify", output], check=True, capture_output=True)), "s"
    )
    label = lineage.participants()[0]
    words = [PROGRAM, "replay", output, "--participant-label", label, "--from", "target"]
    yield note("tmsprep replay --from target", timed(lambda: subprocess.run(words, check=True, capture_output=True)), "s")


def seconds(step: Step) -> float:
    """Return how long a stage worked."""
    times = [datetime.fromisoformat(step.activity.content[key]) for key in ("StartedAtTime", "EndedAtTime")]
    return (times[1] - times[0]).total_seconds()


def timed(action: object) -> float:
    """Return how long a call takes (s)."""
    assert callable(action)
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def sizes(lineage: Lineage) -> tuple[int, int]:
    """Return the bytes of all files of the datasets, and of those that are provenance."""
    everything, own = 0, 0
    for dataset in lineage.datasets:
        files = [path for path in dataset.root.rglob("*") if path.is_file()]
        sidecars = {sidecar_path(path) for path in files} - {None}
        for path in files:
            size = path.stat().st_size
            everything += size
            if "prov" in path.relative_to(dataset.root).parts[:1] or path.name == NAME or path in sidecars:
                own += size
    return everything, own


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
