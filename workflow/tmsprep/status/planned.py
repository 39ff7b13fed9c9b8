"""Who is in the plan: the units that get a target, and what the plan says cannot be processed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

csv.field_size_limit(1 << 24)  # a row names every file of a run
_MISSING = {"", "n/a", None}


@dataclass
class Planned:
    """One unit: a participant, or one session of theirs."""

    label: str
    """``sub-01[_ses-1]``: the name of its page."""
    tasks: set[str] = field(default_factory=set[str])
    own_t1w: bool = False
    """Whether the T1w that it uses may be of its own session."""
    problems: list[str] = field(default_factory=list[str])
    """What the plan says of its images that cannot be used."""

    @property
    def subject(self) -> str:
        """``sub-01``."""
        return self.label.partition("_")[0]

    @property
    def folder(self) -> str:
        """``sub-01`` or ``sub-01/ses-1``."""
        return self.label.replace("_", "/")

    @property
    def target(self) -> str:
        """Where the target is, from the dataset's folder."""
        task = f"_task-{next(iter(self.tasks))}" if len(self.tasks) == 1 else ""
        return f"{self.folder}/nibs/{self.label}{task}_desc-circuit_target.json"


@dataclass(frozen=True)
class PlanFound:
    """The plan as the output folder has it."""

    units: dict[str, Planned]
    """Those that get a target, by label."""
    impossible: dict[str, list[str]]
    """Those that were meant to get one and cannot, and why."""
    excluded: int
    """How many the plan leaves out."""


def read_plan(table: Path, plan: Path, *, per_session: bool) -> PlanFound | None:
    """Return the plan from ``plan.tsv``, or, before that is written, from the work folder; None without either."""
    rows = list(_rows_of_table(table)) or list(_rows_of_json(plan))
    return _found(rows, per_session=per_session) if rows else None


def _rows_of_table(path: Path) -> Iterator[dict[str, Any]]:
    with suppress(OSError, csv.Error), path.open(encoding="utf-8", errors="replace", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            if row.get("participant_id") and row.get("status"):
                yield {key: None if value in _MISSING else value for key, value in row.items()}


def _rows_of_json(path: Path) -> Iterable[dict[str, Any]]:
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        return [row for row in json.loads(path.read_text(encoding="utf-8"))["Rows"] if row["participant_id"]]
    return []


def _found(rows: Iterable[Mapping[str, Any]], *, per_session: bool) -> PlanFound:
    units: dict[str, Planned] = {}
    everybody: set[str] = set()
    for row in rows:
        label = str(row["participant_id"])
        if per_session and row.get("session_id"):
            label += f"_{row['session_id']}"
        everybody.add(label)
        status, suffix = row.get("status"), row.get("suffix")
        if status == "exclude":
            continue
        unit = units.setdefault(label, Planned(label))
        if status == "error":
            unit.problems.append(str(row.get("reason") or "no reason is given"))
        elif suffix == "T1w":
            unit.own_t1w = True
        elif suffix == "bold":
            unit.tasks.add(str(row.get("task") or ""))
    wanted = {label: unit for label, unit in units.items() if unit.tasks}
    impossible = {label: unit.problems for label, unit in units.items() if not unit.tasks and unit.problems}
    return PlanFound(wanted, impossible, len(everybody - set(wanted) - set(impossible)))
