"""Circuits and search masks as data: where the shipped JSON files are, and how one is read and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tmsprep.errors import InputError
from tmsprep.files import read_json

_PACKAGE = Path(__file__).resolve().parent.parent
SPACES = ("MNI152NLin6Asym", "MNI152NLin2009cAsym")
"""The template spaces that a circuit or a mask may be published in."""


def folder(kind: str) -> Path:
    """Return the folder of the shipped files of a kind: ``circuits`` or ``search_masks``."""
    return _PACKAGE / "data" / kind


def names(kind: str) -> list[str]:
    """Return the names of the shipped files of a kind, sorted."""
    return sorted(path.stem for path in folder(kind).glob("*.json"))


def read_checked(path: Path, kind: str) -> dict[str, Any]:
    """Read a JSON file and check it against the schema of its kind.

    Raises
    ------
    InputError
        The file is unreadable, or does not fit ``target/<kind>.schema.json``.
    """
    import jsonschema

    content = read_json(path)
    try:
        json.dumps(content, allow_nan=False)
    except ValueError as error:
        raise InputError("it holds NaN or an infinite number", where=path, expected="finite numbers") from error
    schema = read_json(Path(__file__).with_name(f"{kind}.schema.json"))
    errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(content), key=lambda item: item.json_path)
    if errors:
        first = errors[0]
        raise InputError(
            f"{first.json_path}: {first.message}",
            where=path,
            expected=f"what target/{kind}.schema.json says",
            action="correct the file; docs/circuits.md describes every field",
        )
    return content
