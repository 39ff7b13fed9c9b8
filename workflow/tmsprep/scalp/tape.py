"""Tape measurements that a dataset carries, and Beam F3 from them beside the one from the MRI."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tmsprep.errors import InputError
from tmsprep.files import read_tsv
from tmsprep.scalp.beamf3 import BeamF3Distances, TapeLengths, beamf3_distances, implausible

COLUMNS = ("nasion_inion", "tragus_tragus", "circumference")
_UNITS_MM = {"mm": 1.0, "cm": 10.0}
MAX_DIFFERENCE_MM = 5.0
"""Between X or Y of the tape and of the MRI: more is a slip of the tape or a wrong fiducial."""


def has_columns(path: Path) -> bool:
    """Tell whether a table's header has a column of tape measurements."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        names = stream.readline().strip().split("\t")
    return any(f"{name}_{unit}" in names for name in COLUMNS for unit in _UNITS_MM)


def read_tape(path: Path, participant: str) -> TapeLengths | None:
    """Read a participant's tape measurements.

    Parameters
    ----------
    path
        ``participants.tsv`` or ``phenotype/beamf3.tsv``: columns ``participant_id`` and, with ``_cm`` or ``_mm`` at their
        end, ``nasion_inion``, ``tragus_tragus`` and ``circumference``.
    participant
        With ``sub-``.

    Returns
    -------
    TapeLengths or None
        None where the file has no such columns, or nothing in them for this participant.

    Raises
    ------
    InputError
        Some of the three are missing, no number, or no length of an adult head.
    """
    table = read_tsv(path, required=("participant_id",), texts=("participant_id",))
    units = {name: unit for name in COLUMNS for unit in _UNITS_MM if f"{name}_{unit}" in table.columns}
    everyone: list[dict[str, Any]] = table.to_dict("records")
    rows = [row for row in everyone if row["participant_id"] == participant]
    if not units or not rows:
        return None
    if len(rows) > 1:
        raise InputError(f"{len(rows)} lines", where=f"{path.name}, {participant}", expected="one for each participant")
    values = {name: _millimetres(rows[0].get(f"{name}_{unit}"), _UNITS_MM[unit]) for name, unit in units.items()}
    if all(value is None for value in values.values()):
        return None
    where = f"{path.name}, {participant}"
    lengths = [values.get(name) for name in COLUMNS]
    first, second, third = lengths
    if first is None or second is None or third is None:
        missing = [name for name, value in zip(COLUMNS, lengths, strict=True) if value is None]
        raise InputError(f"no number for {', '.join(missing)}", where=where, expected="all three lengths, or none")
    found = TapeLengths(first, second, third)
    if doubts := implausible(found):
        raise InputError("; ".join(doubts), where=where, action="check the unit that the column's name says")
    return found


def _millimetres(value: Any, scale: float) -> float | None:
    try:
        number = float(value) * scale
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def compare(tape: TapeLengths, mri: BeamF3Distances) -> dict[str, float]:
    """Return the lengths, X and Y from the tape, and how much they exceed those from the MRI, mm."""
    distances = beamf3_distances(tape)
    values = {
        "nasion_inion_mm": tape.nasion_inion_mm,
        "tragus_tragus_mm": tape.tragus_tragus_mm,
        "circumference_mm": tape.circumference_mm,
        "x_mm": distances.x_mm,
        "y_mm": distances.y_mm,
        "x_minus_mri_mm": distances.x_mm - mri.x_mm,
        "y_minus_mri_mm": distances.y_mm - mri.y_mm,
    }
    return {name: round(value, 3) for name, value in values.items()}


def doubts_of(difference: dict[str, float]) -> list[str]:
    """Return a sentence where tape and MRI differ too much."""
    return [
        f"{axis.upper()} from the tape differs from the MRI's by {difference[f'{axis}_minus_mri_mm']:+.1f} mm "
        f"(expected at most {MAX_DIFFERENCE_MM:g} mm)"
        for axis in ("x", "y")
        if abs(difference[f"{axis}_minus_mri_mm"]) > MAX_DIFFERENCE_MM
    ]
