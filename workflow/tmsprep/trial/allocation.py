"""Who gets which site: read from the trial's own file. This program never randomises, and keeps no allocation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tmsprep.errors import InputError
from tmsprep.files import read_tsv

_SESSION = "session_id"
_LABEL = re.compile(r"[0-9A-Za-z+]+")


@dataclass(frozen=True)
class Allocated:
    """One line of the allocation."""

    participant: str
    """``sub-01``."""
    session: str | None
    """``ses-1``, where targets are by session."""
    target_id: str
    """Of the markers table: ``circuit``, ``beamF3``, ..."""

    @property
    def label(self) -> str:
        """``sub-01`` or ``sub-01_ses-1``."""
        return self.participant + (f"_{self.session}" if self.session else "")


def read_allocation(path: Path) -> list[Allocated]:
    """Read an allocation: a TSV with ``participant_id``, ``target_id`` and, if needed, ``session_id``.

    Raises
    ------
    InputError
        A column or value is missing, or a participant (session) is there twice.
    """
    table = read_tsv(path, required=("participant_id", "target_id"), texts=("participant_id", "target_id", _SESSION))
    found = [_line(row, path) for _, row in table.iterrows()]
    if not found:
        raise InputError("nobody is allocated", where=path, expected="a line for each participant")
    labels = [item.label for item in found]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise InputError(f"{', '.join(twice)} is there more than once", where=path)
    return sorted(found, key=lambda item: item.label)


def _line(row: pd.Series, path: Path) -> Allocated:
    values = {str(key): value for key, value in row.items()}
    participant, target = values["participant_id"], values["target_id"]
    if not isinstance(participant, str) or not isinstance(target, str):
        raise InputError("a line lacks its participant or its target", where=path, expected="no empty cells")
    session = values.get(_SESSION)
    names = (participant.removeprefix("sub-"), session.removeprefix("ses-") if isinstance(session, str) else "1")
    if not all(_LABEL.fullmatch(name) for name in names):  # it becomes a folder's name
        raise InputError(f"{participant!r}, {session!r}: no BIDS label", where=path, expected="letters and digits")
    return Allocated(
        "sub-" + participant.removeprefix("sub-"),
        "ses-" + session.removeprefix("ses-") if isinstance(session, str) else None,
        target,
    )
