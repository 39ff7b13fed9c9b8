"""Which images fMRIPrep is to process: its filter file, made from the plan.

fMRIPrep selects by PyBIDS queries, one a kind of image. Every entity that tells images of a participant apart is stated,
with null where the chosen images lack it, so that nothing passes that the plan left out. A query is the product of its
entities' values: where runs differ in two entities at once it may pass more than the plan (which costs time only).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tmsprep.inputs.entities import ENTITY_NAMES, Name, parse_name

_T1W_KEYS = ("acq", "ce", "rec", "run")
_BOLD_KEYS = ("task", "acq", "ce", "rec", "dir", "run", "echo")
_NOT_QUERIED = ("sub", "ses", "part")
"""The participant has an option of its own, the session is stated where there is one, and fMRIPrep takes magnitudes."""


def filter_content(t1w: Path, bold: Iterable[Path], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a filter file that selects one T1w image and the given BOLD images.

    Parameters
    ----------
    t1w
        The T1w image.
    bold
        All echoes of all runs.
    own
        The user's filter file: what it says of other kinds than ``t1w`` and ``bold`` is kept, of these the plan has
        heeded it already.

    References
    ----------
    fMRIPrep 25.2, "How do I select only certain files to be input to fMRIPrep?": null stands for "without this entity".
    """
    rest = {kind: _in_words(query) for kind, query in own.items() if kind not in {"t1w", "bold"}}
    queries = {
        "t1w": _query([parse_name(t1w.name)], _T1W_KEYS),
        "bold": _query([parse_name(b.name) for b in bold], _BOLD_KEYS),
    }
    return queries | rest


def _query(names: list[Name], keys: tuple[str, ...]) -> dict[str, Any]:
    present = {key for name in names for key, _ in name.entities}
    asked = [key for key in ENTITY_NAMES if key not in _NOT_QUERIED and (key in keys or key in present)]
    query: dict[str, Any] = {}
    if "ses" in present:  # a list: fMRIPrep takes a bare word apart into letters when it makes reports
        query["session"] = _values("ses", names)
    return query | {ENTITY_NAMES[key]: _one_or_all(_values(key, names)) for key in asked}


def _values(key: str, names: Iterable[Name]) -> list[Any]:
    """Return an entity's values as the names spell them, sorted, absence (None) last."""
    found = {name.get(key) for name in names}
    return [*sorted(value for value in found if value is not None), *([None] if None in found else [])]


def _in_words(query: Mapping[str, Any]) -> dict[str, Any]:
    """Write numbers as words: fMRIPrep 25.2 stops at a number (config.py, ``_process_value``), PyBIDS takes both."""

    def word(value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    return {key: [word(item) for item in value] if isinstance(value, list) else word(value) for key, value in query.items()}


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def tracks_sessions(t1w: Path, bold: Iterable[Path]) -> bool:
    """Tell whether fMRIPrep may follow sessions.

    If it does, it queries every image with the participant's list of sessions, and finds no T1w image that lies outside
    of sessions.
    """
    return parse_name(t1w.name).get("ses") is not None or all(parse_name(path.name).get("ses") is None for path in bold)
