"""What ``participants.tsv`` says: who is listed, and at which site."""

from __future__ import annotations

import csv
from pathlib import Path

from tmsprep.errors import InputError

_MISSING = {"", "n/a", "N/A"}
_ACTION = "correct the table"


def read_sites(root: Path) -> dict[str, str | None]:
    """Return participant label (without ``sub-``) to site, in the order of the table.

    The site is the column ``site``, in whatever case; None where it is absent or ``n/a``. No table: no entries.

    Raises
    ------
    InputError
        The table is unreadable, has no column ``participant_id``, or puts a participant at two sites.
    """
    path = root / "participants.tsv"
    if not path.exists():
        return {}
    header, *rows = _lines(path) or [[]]
    names = [name.strip().lower() for name in header]
    if header and "participant_id" not in names:
        raise InputError("there is no column participant_id", where=path, expected="participant_id[<tab>site...]")
    for name in ("participant_id", "site"):
        if names.count(name) > 1:
            raise InputError(f"there are {names.count(name)} columns {name}", where=path, expected="one", action=_ACTION)
    sites: dict[str, str | None] = {}
    for row in rows:
        if len(row) > len(header):
            raise InputError(
                f"{len(row)} cells in the line of {row[0]!r}", where=path, expected=f"{len(header)}", action=_ACTION
            )
        cells = dict(zip(names, (cell.strip() for cell in row), strict=False))
        label, site = cells.get("participant_id", "").removeprefix("sub-"), _value(cells.get("site", ""))
        if label and sites.setdefault(label, site) != site:
            raise InputError(
                f"sub-{label} is there twice, at the sites {sites[label]!r} and {site!r}",
                where=path,
                expected="one line for each participant",
                action=_ACTION,
            )
    return {label: site for label, site in sites.items() if label}


def _lines(path: Path) -> list[list[str]]:
    """Return the cells of each line that is not empty."""
    if not path.is_file():
        raise InputError(
            "a folder or a pipe in place of the table", where=path, action="put the table there, or remove this"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
        lines = [row for row in csv.reader(text.splitlines(), delimiter="\t", strict=True) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"no readable TSV ({error})", where=path, action="save it as text: UTF-8, tabs, no quotes"
        ) from error
    for cell in (cell for row in lines for cell in row):
        if not cell.isprintable():
            raise InputError(f"the cell {cell!r} holds control characters", where=path, action=_ACTION)
    return lines


def _value(text: str) -> str | None:
    return None if text in _MISSING else text
