"""What the benchmarks have in common: their options, the rows they measure, the table and the JSON file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One measured number, or a word such as a status; without a goal it is for information."""

    measure: str
    value: float | str
    unit: str
    goal: float | None
    holds: bool


def at_least(measure: str, value: float, goal: float | None, unit: str = "") -> Row:
    """Return a row whose value should reach its goal, if it has one."""
    return Row(measure, round(value, 4), unit, goal, goal is None or bool(value >= goal))


def at_most(measure: str, value: float, goal: float | None, unit: str = "") -> Row:
    """Return a row whose value should not pass its goal, if it has one."""
    return Row(measure, round(value, 4), unit, goal, goal is None or bool(value <= goal))


def note(measure: str, value: float | str, unit: str = "") -> Row:
    """Return a row for information."""
    return Row(measure, value if isinstance(value, str) else round(value, 4), unit, None, holds=True)


def option_parser(description: str | None, quick: str) -> argparse.ArgumentParser:
    """Return a parser of the options that all benchmarks have; `quick` says what `--quick` does."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parent.parent.parent / "shared" / "data")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help=quick)
    return parser


def absent(what: str, data: Path, *patterns: str) -> bool:
    """Say that a measurement is skipped if a file of the check data that it needs is absent."""
    for pattern in patterns:
        if not any(data.glob(pattern)):
            print(f"skipped: {what}: no {pattern} in {data}")
            return True
    return False


def finish(rows: Sequence[Row], json_path: Path | None) -> int:
    """Print the table, write the JSON file if one is named, and return the exit status: 1 if a goal was missed."""
    if rows:
        _print_table(rows)
    if json_path:
        # also without rows: an earlier run's numbers must not pass for those of a run that was skipped
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.holds for row in rows) else 1


def _print_table(rows: Sequence[Row]) -> None:
    values = [row.value if isinstance(row.value, str) else f"{row.value:.6g}" for row in rows]
    first, second = max(len(row.measure) for row in rows), max(map(len, [*values, "value"])) + 2
    print(f"{'measure':<{first}}{'value':>{second}} {'unit':<5}{'goal':>6}  holds")
    for row, value in zip(rows, values, strict=True):
        goal, holds = ("", "") if row.goal is None else (f"{row.goal:g}", "yes" if row.holds else "NO")
        print(f"{row.measure:<{first}}{value:>{second}} {row.unit:<5}{goal:>6}  {holds}".rstrip())
    missed = sum(not row.holds for row in rows)
    print(f"goals missed: {missed}" if missed else "all goals met")
