"""What the terminal shows: the plan before, the failures and the targets after."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tmsprep.errors import ERROR_MARK
from tmsprep.files import read_tsv
from tmsprep.inputs.model import Unit
from tmsprep.preprocess.contract import anat_stem, folder_of_stem
from tmsprep.provenance.record import without_folders
from tmsprep.study import Study, unit_label, unit_stem

_SLACK_S = 2.0
"""File servers' clocks are this close."""
_STYLES = {
    "process": "green",
    "exclude": "yellow",
    "error": "bold red",
    "ok": "green",
    "caution": "yellow",
    "abstain": "bold red",
}


_PIPE_WIDTH = 140
_SHOWN_ROWS = 60


def make_console() -> Console:
    """Return a console that does not squeeze tables where the output is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)


def plan_table(study: Study) -> Table:
    """Return the plan as a table: participants, sessions and runs, and what becomes of them.

    Long plans are cut here; ``plan.tsv`` holds all of them.
    """
    rows = study.plan.rows
    hidden = f", first {_SHOWN_ROWS} of {len(rows)} rows" if len(rows) > _SHOWN_ROWS else ""
    table = Table(title=f"Plan: {len(study.units)} target(s){hidden}", title_justify="left", box=SIMPLE_HEAD)
    for name in ("image", "status"):
        table.add_column(name, no_wrap=True)
    table.add_column("remark", ratio=1)
    for row in rows[:_SHOWN_ROWS]:
        entities = {"task": row.task, "acq": row.acq, "dir": row.dir, "run": row.run}
        named = "_".join(f"{key}-{value}" for key, value in entities.items() if value)
        image = "_".join(word for word in (row.participant_id, row.session_id, named, row.suffix) if word)
        echoes = f" ({row.echoes} echoes)" if row.echoes and row.echoes > 1 else ""
        status = Text(row.status.value, style=_STYLES.get(row.status.value, ""))
        table.add_row(Text(image + echoes), status, Text(row.reason))
    return table


def failures(study: Study) -> dict[str, list[tuple[Path, str]]]:
    """Return, for each participant that is not well, what its logs say went wrong.

    A page of an earlier run does not count where a stage has failed since: each run of a stage writes its log anew.
    """
    failed: dict[str, list[tuple[Path, str]]] = {}
    for unit in study.plan.units:
        label = unit_label(unit_stem(unit))
        logs = _logs_of(study, unit)
        messages = _messages(logs)
        if messages or not _is_newest(study.tmsprep / f"{label}.html", logs):
            failed[label] = messages
    return failed


def _is_newest(page: Path, logs: Iterable[Path]) -> bool:
    """Tell whether a page is there, and no stage began after it: one that was killed leaves no message, but an old page."""
    if not page.exists():
        return False
    until = page.stat().st_mtime + _SLACK_S
    return all(log.stat().st_mtime <= until for log in logs if not log.name.endswith("_report.log"))


def shared_failures(study: Study) -> list[tuple[Path, str]]:
    """Return what went wrong in stages that all participants wait for (the group's comes after them)."""
    logs = (study.tmsprep / "logs").glob("*.log")
    return _messages(log for log in logs if not log.name.startswith(("sub-", "group")))


def _logs_of(study: Study, unit: Unit) -> list[Path]:
    """Return the logs of a unit, and of its T1w image where that lies in another session."""
    logs = study.tmsprep / "logs"
    label, anat = unit_label(unit_stem(unit)), anat_stem(unit)
    found = {log for log in [logs / f"{label}_report.log"] if log.is_file()}
    found |= set((logs / folder_of_stem(label)).rglob("*.log")) | set((logs / folder_of_stem(anat)).glob(f"{anat}_*.log"))
    return sorted(found)


def _messages(logs: Iterable[Path]) -> list[tuple[Path, str]]:
    found: list[tuple[Path, str]] = []
    for log in sorted(logs):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        if marked := [line for line in lines if line.startswith(ERROR_MARK)]:
            found.append((log, marked[-1].removeprefix(ERROR_MARK)))
        elif any(line.startswith("Traceback") for line in lines):
            found.append((log, f"a defect of this program: {lines[-1]}"))
    return found


def without_result(study: Study, failed: Mapping[str, list[tuple[Path, str]]]) -> list[str]:
    """Return a line for each participant without a result: who, and why, without the folders that a message may name."""
    told = {label: "; ".join(text for _, text in messages) for label, messages in failed.items() if messages}
    for row in study.plan.rows:
        if row.status == "error":
            told.setdefault("_".join(word for word in (row.participant_id, row.session_id) if word), row.reason)
    for label in failed:
        told.setdefault(label, "no log says why")
    return [f"{label}: {without_folders(' '.join(reason.split()))}" for label, reason in sorted(told.items())]


def print_failures(console: Console, study: Study, failed: Mapping[str, list[tuple[Path, str]]]) -> None:
    """Say for whom nothing came out, why, and where the log is."""
    for row in study.plan.rows:
        if row.status == "error":
            console.print(Text(f"✗ {row.participant_id} {row.session_id or ''}: {row.reason}", style="bold red"))
    shared = shared_failures(study) if failed else []
    for log, message in shared:
        console.print(Text(f"✗ for all participants: {message}\n    log: {log}", style="bold red"), soft_wrap=True)
    unknown = [] if shared else [(study.tmsprep / "logs", "no log says why; see Snakemake's output above")]
    for label, messages in failed.items():
        console.print(Text(f"✗ {label}: no target", style="bold red"))
        for log, message in messages or unknown:
            console.print(Text(f"    {message}\n    log: {log}"), soft_wrap=True)


def targets_table(path: Path) -> Table:
    """Return the group's targets as a table (mm; scanner RAS of each T1w)."""
    targets = read_tsv(path)
    table = Table(title="Targets (scanner RAS of each T1w, mm)", title_justify="left")
    columns = {
        "participant_id": "participant",
        "site": "site",
        "status": "status",
        "target_x": "x",
        "target_y": "y",
        "target_z": "z",
        "beamf3_distance_mm": "to Beam F3",
        "distance_to_truth_mm": "to truth",
    }
    shown = {key: title for key, title in columns.items() if key in targets.columns}
    for key, title in shown.items():
        table.add_column(title, justify="left" if targets[key].dtype == object else "right")
    for _, row in targets.iterrows():
        table.add_row(*(Text(_cell(row[key]), style=_STYLES.get(str(row[key]), "")) for key in shown))
    return table


def _cell(value: object) -> str:
    if isinstance(value, Real):  # a column of whole numbers is read as integers
        return "n/a" if math.isnan(value) else f"{float(value):.1f}"
    return str(value)
