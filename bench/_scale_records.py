"""Made records of all stage runs of many participants, as a finished run leaves them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from _scale_data import names
from _scale_workflow import SHAPE, Rule
from tmsprep.files import write_json
from tmsprep.provenance import machine
from tmsprep.provenance.activity import FOLDER, iso_time

_STARTED = 1_700_000_000.0


def make_records(output: Path, size: int) -> Path:
    """Write a dataset with targets that has records and nothing else, and return the output folder."""
    root = output / "tmsprep"
    (root / FOLDER).mkdir(parents=True)
    description = {
        "Name": "made",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "DatasetLinks": {"raw": "../../bids"},
    }
    write_json(root / "dataset_description.json", description)
    same = {"Software": machine.software(), "Source": dict(machine.source()), "Environment": machine.environment()}
    for index, name in enumerate(names(size)):
        for number, rule in enumerate(SHAPE):
            times = [iso_time(_STARTED + len(SHAPE) * index + number + part) for part in (0.0, 0.5)]
            write_json(root / FOLDER / f"{rule.name}__{name}.json", _record(rule, name, times) | same)
    return output


def _record(rule: Rule, name: str, times: list[str]) -> dict[str, Any]:
    return {
        "Stage": rule.name.replace("_", "-"),
        "Command": f"tmsprep stage {rule.name} --in {' '.join(rule.reads)} --out {' '.join(rule.writes)}",
        "StartedAtTime": times[0],
        "EndedAtTime": times[1],
        "ExitStatus": 0,
        "PeakMemoryMiB": 512.0,
        "RecordSeconds": 0.01,
        "Seed": 42,
        "Run": None,
        "Used": [_item(name, word) for word in rule.reads],
        "Generated": [_item(name, word) for word in rule.writes],
    }


def _item(name: str, word: str) -> dict[str, str]:
    link = "raw" if word == "T1w" or word in {f"bold{number}" for number in (1, 2, 3)} else ""
    digest = hashlib.sha256(f"{name}/{word}".encode()).hexdigest()
    return {"Id": f"bids:{link}:{name}/{name}_{word}.nii.gz", "SHA256": digest}
