"""What a record and a dataset's links must look like: everything read from an output folder is checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tmsprep.errors import InputError

_ANY_TEXT = {"type": "string"}
_TEXTS = {"type": "object", "additionalProperties": _ANY_TEXT}
_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
_FILES = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["Id", "SHA256"],
        "properties": {
            "Id": {"type": "string", "pattern": r"^bids:[^\x00-\x1f\x7f\ud800-\udfff]{1,1000}$"},
            "SHA256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        },
    },
}
_COMMON: dict[str, Any] = {
    "Command": _ANY_TEXT,
    "StartedAtTime": _TIME,
    "Software": _TEXTS,
    "Source": {
        "type": "object",
        "required": ["SHA256"],
        "properties": {"SHA256": _ANY_TEXT, "Commit": _ANY_TEXT, "Dirty": {"type": "boolean"}},
    },
    "Environment": {
        "type": "object",
        "required": ["OperatingSystem", "Machine", "CPU", "Cores", "Python", "Threads"],
        "properties": {
            **dict.fromkeys(("OperatingSystem", "Machine", "CPU", "Python"), _ANY_TEXT),
            "Cores": {"type": ["integer", "null"]},
            "Threads": _TEXTS,
            "Container": _TEXTS,
        },
    },
}
ACTIVITY: dict[str, Any] = {
    "type": "object",
    "required": [
        "Stage", "Command", "StartedAtTime", "EndedAtTime", "PeakMemoryMiB", "Used", "Generated", "Software", "Source",
        "Environment",
    ],
    "properties": _COMMON
    | {
        "Stage": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]*$"},
        "EndedAtTime": _TIME,
        "ExitStatus": {"type": "integer"},
        "PeakMemoryMiB": {"type": "number"},
        "RecordSeconds": {"type": "number"},
        "Seed": {"type": ["integer", "null"]},
        "Run": {"type": ["string", "null"]},
        "Error": _ANY_TEXT,
        "Used": _FILES,
        "Generated": _FILES,
        "Container": _TEXTS,
        "OwnRecord": {"type": "object"},
    },
}  # fmt: skip
"""Of a stage run, also of one that failed."""
RUN: dict[str, Any] = {
    "type": "object",
    "required": [
        "Run", "Command", "StartedAtTime", "EndedAtTime", "ExitStatus", "Configuration", "ConfigurationSHA256", "Software",
        "Source",
    ],
    "properties": _COMMON
    | {
        "Run": {"type": "string", "pattern": "^[A-Za-z0-9-]+$"},
        "EndedAtTime": {"anyOf": [_TIME, {"type": "null"}]},
        "ExitStatus": {"type": ["integer", "null"]},
        "Configuration": {"type": "object"},
        "ConfigurationSHA256": _ANY_TEXT,
    },
}  # fmt: skip
"""Of a run of the workflow."""


def check(content: Mapping[str, Any], schema: dict[str, Any], where: Path) -> None:
    """Refuse a record that is not as this program writes it.

    Raises
    ------
    InputError
        With the first thing that is wrong.
    """
    error = next(_validator(id(schema)).iter_errors(content), None)
    if error is not None:
        place = ".".join(str(item) for item in error.absolute_path) or "the record"
        raise InputError(
            f"{place} is not as this program writes it: {error.message[:200]}",
            where=where,
            action="derive the participant again",
        )


@cache
def _validator(schema: int) -> Any:
    import jsonschema

    return jsonschema.Draft202012Validator({id(item): item for item in (ACTIVITY, RUN)}[schema])


def check_links(content: Mapping[str, Any], where: Path) -> dict[str, str]:
    """Return ``DatasetLinks``.

    Raises
    ------
    InputError
        It is no object of texts.
    """
    links = content.get("DatasetLinks", {})
    if not isinstance(links, dict) or not all(isinstance(item, str) and "\0" not in item for item in links.values()):
        raise InputError("DatasetLinks is not an object of paths", where=where, expected='{"raw": "../raw", ...}')
    return links
