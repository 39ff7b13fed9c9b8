"""What ``participants.tsv`` says: who is listed, and at which site."""

from __future__ import annotations

import csv
from pathlib import Path

from tmsprep.errors import InputError

_MISSING = {"", "n/a", "N/A"}


def read_sites(root: Path) -> dict[str, str | None]:
    """Return participant label (without ``sub-``) to site, in the order of the table.

    The site is the column ``site``, in whatever case; None where it is absent or ``n/a``. No table: no entries.

    Raises
    ------
    InputError
        The table is unreadable or has no column ``participant_id``.
    """
    path = root / "participants.tsv"
    if not path.exists():
        return {}
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines(), delimiter="\t"))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"no readable TSV ({error})", where=path) from error
    if not rows:
        return {}
    columns = {name.strip().lower(): name for name in rows[0] if name}
    if "participant_id" not in columns:
        raise InputError("there is no column participant_id", where=path, expected="participant_id[<tab>site...]")
    return {
        label: _value(row, columns.get("site"))
        for row in rows
        if (label := (row[columns["participant_id"]] or "").strip().removeprefix("sub-"))
    }


def _value(row: dict[str, str], column: str | None) -> str | None:
    text = (row.get(column) or "").strip() if column else ""
    return None if text in _MISSING else text
