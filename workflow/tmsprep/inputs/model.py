"""The plan as data: who and what is processed, with which files, and why the rest is not.

The workflow reads these and nothing else of the dataset. Paths are absolute in memory and relative to the dataset in
JSON, so that the same dataset gives the same plan wherever it lies.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from tmsprep.files import read_json, write_tsv
from tmsprep.inputs.entities import format_stem


class RowStatus(StrEnum):
    """What becomes of an image or a run."""

    PROCESS = "process"
    EXCLUDE = "exclude"
    """Left out by rule or by choice."""
    ERROR = "error"
    """Meant to be processed, but cannot: the program ends with a non-zero status."""


@dataclass(frozen=True)
class Echo:
    """One echo of a run: one 4D image."""

    path: Path
    echo_time_s: float | None
    """None only where a single-echo run's sidecars do not say it."""
    sidecars: tuple[Path, ...]
    """JSON files that apply, least specific first: later ones override."""


@dataclass(frozen=True)
class FieldmapPlan:
    """What corrects the distortion of a run."""

    kind: str
    """``phasediff`` (phasediff, magnitude1[, magnitude2]), ``phases`` (phase1, phase2, magnitude1[, magnitude2]),
    ``fieldmap`` (fieldmap, magnitude) or ``epi`` (two or more images with opposite phase encoding)."""
    images: tuple[Path, ...]
    """In the order given for `kind`."""
    sidecars: tuple[tuple[Path, ...], ...]
    """For each image the JSON files that apply, least specific first."""


@dataclass(frozen=True)
class Run:
    """One functional run that is processed."""

    entities: dict[str, str]
    """Short BIDS keys in BIDS order, without echo and part."""
    echoes: tuple[Echo, ...]
    """Ascending echo time; one, or three and more."""
    repetition_time_s: float
    fieldmap: FieldmapPlan | None
    duration_s: float | None = None
    """Known only once the images are read."""

    @property
    def stem(self) -> str:
        """The start of every output's name: ``sub-01_ses-1_task-rest_run-1``."""
        return format_stem(self.entities)


@dataclass(frozen=True)
class Unit:
    """What one target is computed from: a participant, or one session of theirs."""

    subject: str
    """Without ``sub-``."""
    session: str | None
    """Without ``ses-``; None: the runs of all sessions."""
    t1w: Path
    t1w_sidecars: tuple[Path, ...]
    runs: tuple[Run, ...]
    site: str | None


@dataclass(frozen=True)
class PlanRow:
    """One T1w image or one functional run of the dataset (or a participant with neither), and what becomes of it."""

    participant_id: str
    """With ``sub-``."""
    session_id: str | None
    """With ``ses-``."""
    suffix: str | None
    """``T1w``, ``bold``, or None where the row stands for a participant or session as a whole."""
    task: str | None
    acq: str | None
    dir: str | None
    run: str | None
    echoes: int | None
    """Magnitude echoes in the dataset; None for other than bold."""
    status: RowStatus
    reason: str
    """Why not processed; for what is processed, remarks that matter."""
    files: str
    """Relative to the dataset, separated by commas."""


@dataclass(frozen=True)
class Plan:
    """The whole plan of a dataset."""

    bids_dir: Path
    units: tuple[Unit, ...]
    rows: tuple[PlanRow, ...]

    @property
    def has_errors(self) -> bool:
        """Whether something that was meant to be processed cannot be."""
        return any(row.status is RowStatus.ERROR for row in self.rows)

    def write_tsv(self, path: Path) -> None:
        """Write the rows as ``plan.tsv``."""
        import pandas as pd

        table = pd.DataFrame([asdict(row) | {"status": row.status.value} for row in self.rows], columns=pd.Index(_COLUMNS))
        table["echoes"] = table["echoes"].astype("Int64")
        write_tsv(path, table)

    def to_json(self, path: Path) -> None:
        """Write everything but the dataset's place; paths relative to it."""
        content = {
            "Units": [_unit_content(unit, self.bids_dir) for unit in self.units],
            "Rows": [asdict(row) for row in self.rows],
        }
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def from_json(cls, path: Path, bids_dir: Path) -> Plan:
        """Read what `to_json` wrote, for the dataset at `bids_dir`."""
        content = read_json(path)
        units = tuple(_unit(item, bids_dir) for item in content["Units"])
        rows = tuple(_plan_row(item) for item in content["Rows"])
        return cls(bids_dir, units, rows)


_COLUMNS = list(PlanRow.__annotations__)


def _unit_content(unit: Unit, root: Path) -> dict[str, Any]:
    return {
        "subject": unit.subject,
        "session": unit.session,
        "t1w": _relative(unit.t1w, root),
        "t1w_sidecars": [_relative(path, root) for path in unit.t1w_sidecars],
        "site": unit.site,
        "runs": [_run_content(run, root) for run in unit.runs],
    }


def _run_content(run: Run, root: Path) -> dict[str, Any]:
    echoes = [
        {
            "path": _relative(echo.path, root),
            "echo_time_s": echo.echo_time_s,
            "sidecars": [_relative(path, root) for path in echo.sidecars],
        }
        for echo in run.echoes
    ]
    return {
        "entities": run.entities,
        "repetition_time_s": run.repetition_time_s,
        "duration_s": run.duration_s,
        "echoes": echoes,
        "fieldmap": None if run.fieldmap is None else _fieldmap_content(run.fieldmap, root),
    }


def _fieldmap_content(fieldmap: FieldmapPlan, root: Path) -> dict[str, Any]:
    return {
        "kind": fieldmap.kind,
        "images": [_relative(path, root) for path in fieldmap.images],
        "sidecars": [[_relative(path, root) for path in paths] for paths in fieldmap.sidecars],
    }


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _plan_row(content: dict[str, Any]) -> PlanRow:
    row = PlanRow(**content)
    return replace(row, status=RowStatus(content["status"]))


def _unit(content: dict[str, Any], root: Path) -> Unit:
    return Unit(
        subject=content["subject"],
        session=content["session"],
        t1w=root / content["t1w"],
        t1w_sidecars=_paths(content["t1w_sidecars"], root),
        runs=tuple(_run(item, root) for item in content["runs"]),
        site=content["site"],
    )


def _run(content: dict[str, Any], root: Path) -> Run:
    fieldmap = content["fieldmap"]
    return Run(
        entities=dict(content["entities"]),
        echoes=tuple(
            Echo(root / item["path"], item["echo_time_s"], _paths(item["sidecars"], root)) for item in content["echoes"]
        ),
        repetition_time_s=content["repetition_time_s"],
        fieldmap=None if fieldmap is None else _fieldmap(fieldmap, root),
        duration_s=content["duration_s"],
    )


def _fieldmap(content: dict[str, Any], root: Path) -> FieldmapPlan:
    sidecars = tuple(_paths(paths, root) for paths in content["sidecars"])
    return FieldmapPlan(content["kind"], _paths(content["images"], root), sidecars)


def _paths(names: list[str], root: Path) -> tuple[Path, ...]:
    return tuple(root / name for name in names)
