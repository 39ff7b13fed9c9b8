"""The record of one stage run: what ran when, on what, with what, and what came out.

One JSON file a run, in ``prov/activities`` of the dataset that holds the first output; that of a run that failed in
``prov/failures``. Only here are clocks and machines; no path of the machine, no user and no host name is. Everything else
under ``prov`` is made of these records.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tmsprep.errors import TmsprepError
from tmsprep.files import publish, remove_leftovers, temporary_twin, write_json
from tmsprep.provenance import machine
from tmsprep.provenance.record import StageRun, bids_uri, command_line, dataset_root

FOLDER = Path("prov") / "activities"
FAILURES = Path("prov") / "failures"
RUNS = Path("prov") / "runs"
RUN_VARIABLE = "TMSPREP_RUN"
"""Environment variable: the workflow run that a stage belongs to."""
DATASET_VARIABLE = "TMSPREP_DATASET"
"""Environment variable: the dataset that holds the records of stages that write to none."""
RECORDED = "record"
"""Key of a stage's returned fields: what only the stage knows for its record.

``Software`` (name to version) and ``Container`` of a program that it started; ``Generated`` (path to sha256) of what that
program wrote beside the stage's own outputs.
"""


def record_path(run: StageRun, folder: Path = FOLDER) -> Path | None:
    """Return where the record belongs: in the dataset of the first output that lies in one.

    A run that writes to the work folder only, such as a check, is recorded in the dataset that the workflow names; None
    without one.
    """
    outputs = [path.resolve() for paths in run.outputs.values() for path in paths]
    if not outputs:
        return None
    for path in outputs:
        if root := dataset_root(path.parent):
            name = path.relative_to(root).as_posix().replace("/", "__")
            return root / folder / f"{run.name}__{name}.json"
    root = Path(os.environ.get(DATASET_VARIABLE, ""))
    if DATASET_VARIABLE not in os.environ or not (root / "dataset_description.json").is_file():
        return None
    return root.resolve() / folder / f"{run.name}__{outputs[0].name}.json"


def write_record(run: StageRun, published: Mapping[Path, Path], fields: Mapping[str, Any] | None) -> None:
    """Write the record of a finished run; its outputs are in place.

    Parameters
    ----------
    run
        What ran.
    published
        Outputs and their sidecars, each with the temporary name that it had.
    fields
        What the stage function returned.
    """
    dataset_root.cache_clear()  # the run may have written the description that makes a folder a dataset
    path = record_path(run)
    if path is None:
        return
    extra = dict((fields or {}).get(RECORDED, {}))
    made = {item: run.digests.get(twin) or run.digest(item) for item, twin in published.items()}
    made |= extra.pop("Generated", {})
    generated = [{"Id": bids_uri(item, path), "SHA256": digest} for item, digest in made.items()]
    _write(path, _content(run, path, generated), extra)
    if failed := record_path(run, FAILURES):
        failed.unlink(missing_ok=True)


def write_failure(run: StageRun, error: BaseException) -> None:
    """Write the record of a run that failed: nothing came out. Messages stay in the log: they may hold paths."""
    path = record_path(run, FAILURES)
    if path is None:
        return
    kind = type(error).__name__
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        kind = "stopped from outside"
    elif not isinstance(error, TmsprepError):
        kind += " (a defect of this program)"
    with suppress(Exception):  # the stage's own error is what counts
        _write(path, _content(run, path, []) | {"ExitStatus": 1, "Error": kind}, {})


def _content(run: StageRun, path: Path, generated: list[dict[str, str]]) -> dict[str, Any]:
    used = [item for paths in run.inputs.values() for item in paths if item.is_file()]
    return {
        "Stage": run.name,
        "Command": command_line(run, path),
        "StartedAtTime": iso_time(run.started),
        "EndedAtTime": iso_time(run.ended),
        "ExitStatus": 0,
        "PeakMemoryMiB": round(machine.peak_memory_mib(), 1),
        "Seed": run.arguments.get("seed"),
        "Run": os.environ.get(RUN_VARIABLE),
        "Used": [{"Id": bids_uri(item, path), "SHA256": run.digest(item)} for item in used],
        "Generated": generated,
        "Software": machine.software(),
        "Source": dict(machine.source()),
        "Environment": machine.environment(),
        "RecordSeconds": round(time.time() - run.ended, 4),  # checksums, sidecars and this record: what provenance costs
    }


def _write(path: Path, content: dict[str, Any], extra: Mapping[str, Any]) -> None:
    merged = {key: content[key] | value if isinstance(content.get(key), dict) else value for key, value in extra.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    passing = path.parent.parent / path.name  # half of a record is never among the records; nor are thousands searched
    remove_leftovers([passing])
    twin = temporary_twin(passing)
    try:
        write_json(twin, content | merged)
        publish(twin, path)
    finally:
        twin.unlink(missing_ok=True)


def iso_time(seconds: float) -> str:
    """Return seconds since the epoch as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="milliseconds")
