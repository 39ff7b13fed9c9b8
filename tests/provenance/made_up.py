"""Output folders with records that are made up: quick to write, for tests of what reads records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CLOCK = "2026-01-01T00:{minute:02d}:00.000+00:00"


def checksum(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def make_dataset(folder: Path, links: Mapping[str, str]) -> Path:
    (folder / "prov" / "activities").mkdir(parents=True)
    content = {"Name": folder.name, "BIDSVersion": "1.10.0", "DatasetType": "derivative", "DatasetLinks": dict(links)}
    (folder / "dataset_description.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def add_record(
    dataset: Path,
    stage: str,
    minute: int,
    used: Mapping[str, str],
    generated: Mapping[str, str],
    words: Sequence[str] = (),
    **extra: Any,
) -> Path:
    """Write a record; `used` and `generated` give each URI's content."""
    content = {
        "Stage": stage,
        "Command": " ".join(["tmsprep", "stage", stage, *words]),
        "StartedAtTime": CLOCK.format(minute=minute),
        "EndedAtTime": CLOCK.format(minute=minute + 1),
        "ExitStatus": 0,
        "PeakMemoryMiB": 100.0,
        "Seed": 42,
        "Run": None,
        "Used": [{"Id": uri, "SHA256": checksum(text)} for uri, text in used.items()],
        "Generated": [{"Id": uri, "SHA256": checksum(text)} for uri, text in generated.items()],
        "Software": {"tmsprep": "0.1.0", "numpy": "2.3.5"},
        "Source": {"SHA256": "0" * 64},
        "Environment": {
            "OperatingSystem": "Linux 6", "Machine": "x86_64", "CPU": "any", "Cores": 2, "Python": "cpython", "Threads": {},
            "Container": {"Type": "none"},
        },
        "RecordSeconds": 0.01,
    }  # fmt: skip
    for uri, text in generated.items():
        if uri.startswith("bids::"):
            path = dataset / uri.removeprefix("bids::")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    name = next(iter(generated)).rpartition(":")[2].replace("/", "__")
    path = dataset / "prov" / "activities" / f"{stage}__{name}.json"
    path.write_text(json.dumps(content | extra), encoding="utf-8")
    return path


def make_output(folder: Path) -> Path:
    """An output folder: two participants, each one image made twice on the way to one file, and a table of both."""
    preprocessed = make_dataset(folder / "tmsprep-builtin", {"raw": "../../raw"})
    main = make_dataset(folder / "tmsprep", {"raw": "../../raw", "preprocessed": "../tmsprep-builtin"})
    made: dict[str, str] = {}
    for index, label in enumerate(("sub-01", "sub-02")):
        minute = index * 10
        image = f"{label}/anat/{label}_T1w.nii.gz"
        add_record(
            preprocessed,
            "anatomy",
            minute,
            {f"bids:raw:{image}": f"raw {label}"},
            {f"bids::{image}": f"T1w {label}", f"bids:unlinked:{label}_note.json": f"note {label}"},
        )
        used = {f"bids:preprocessed:{image}": f"T1w {label}", f"bids:unlinked:{label}_note.json": f"note {label}"}
        target = f"{label}/nibs/{label}_task-rest_desc-circuit_target.json"
        add_record(main, "target", minute + 2, used, {f"bids::{target}": f"target {label}"})
        made[f"bids::{target}"] = f"target {label}"
    add_record(main, "group", 30, made, {"bids::group_targets.tsv": "group"})
    return folder
