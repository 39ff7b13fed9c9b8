"""JSON Schema of the BIDS-Prov files, written from the proposal's own schema.

The facts (required keys, arrays with at least one item, names of checksums) are those of ``objects/metadata.yaml`` of the
proposal's branch of the BIDS specification (BEP028, bclenet/bids-specification, commit 2947e58): ``Activities``, ``Files``,
``Datasets``, ``Software``, ``Environments``.
"""

from __future__ import annotations

from typing import Any

_URI = {"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$"}
_URIS = {"type": "array", "minItems": 1, "items": _URI}
_TEXT = {"type": "string", "minLength": 1}
_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?$"}
_CHECKSUMS = {
    "type": "object",
    "propertyNames": {"enum": ["SHA-256"]},
    "additionalProperties": {"pattern": "^[0-9a-f]{64}$"},
}


def _objects(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    common = {"Id": _URI, "Label": _TEXT, "Description": _TEXT}
    item = {
        "type": "object",
        "required": required,
        "properties": common | properties,
        "additionalProperties": False,
    }
    return {"type": "array", "minItems": 1, "items": item}


def _file(**keys: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(keys), "properties": keys, "additionalProperties": False}


SCHEMAS: dict[str, dict[str, Any]] = {
    "act": _file(
        Activities=_objects(
            ["Id", "Label", "Command"],
            {
                "Command": {"type": ["string", "null"]},
                "AssociatedWith": _URIS,
                "Used": _URIS,
                "StartedAtTime": _TIME,
                "EndedAtTime": _TIME,
            },
        )
    ),
    "ent": _file(
        Files=_objects(["Id", "Label"], {"Digest": _CHECKSUMS, "AtLocation": _TEXT, "GeneratedBy": _URIS}),
        Datasets=_objects(["Id", "Label"], {"GeneratedBy": _URIS}),
    ),
    "soft": _file(
        Software=_objects(
            ["Id", "Label", "Version"], {"Version": _TEXT, "AlternativeIdentifier": _URIS, "ActedOnBehalfOf": _URIS}
        )
    ),
    "env": _file(
        Environments=_objects(
            ["Id", "Label"],
            {
                "AlternativeIdentifier": _URIS,
                "EnvironmentVariables": {"type": "object"},
                "OperatingSystem": _TEXT,
                "Dependencies": {"type": "object", "additionalProperties": _TEXT},
            },
        )
    ),
}
"""By suffix."""
