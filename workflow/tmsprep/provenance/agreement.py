"""Whether the BIDS-Prov files and the RO-Crate still say what the records say that they were made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tmsprep.errors import InputError
from tmsprep.files import read_json
from tmsprep.provenance.bidsprov import FOLDER, Records
from tmsprep.provenance.crate import NAME
from tmsprep.provenance.datasets import Dataset
from tmsprep.provenance.lineage import Lineage, Step

_GRAPH_TYPES = {"Activities": "prov:Activity", "Files": "prov:Entity"}
_AGAIN = "`tmsprep provenance` makes it anew, once you know why"


def disagreements(lineage: Lineage) -> Iterator[tuple[str, Path]]:
    """Yield what does not fit and the file that it is about.

    An activity's identifier holds the checksum of its record: a record that was edited afterwards is found by that.
    """
    for dataset in lineage.datasets:
        digests = _digests(lineage, dataset)
        made = sorted((dataset.root / FOLDER).glob("prov-*/prov-*"))
        for path in (item for item in made if item.name.endswith(("_act.json", ".jsonld"))):
            yield from _activities(lineage, path)
        for path in (item for item in made if item.name.endswith(("_ent.json", ".jsonld"))):
            named = [(item.get("Id"), item["Digest"].get("SHA-256")) for item in _entries(path, "Files") if "Digest" in item]
            yield from _files(named, digests, path)
        crate = dataset.root / NAME
        if crate.is_file():
            named = [(item.get("identifier"), item["sha256"]) for item in _entries(crate, "@graph") if "sha256" in item]
            yield from _files([item for item in named if item[0]], digests, crate)


def _entries(path: Path, key: str) -> list[dict[str, Any]]:
    try:
        content = read_json(path)
    except InputError:
        return []
    found = content.get(key) or [item for item in content.get("@graph", []) if item.get("Type") == _GRAPH_TYPES.get(key)]
    return [item for item in found if isinstance(item, dict)]


def _digests(lineage: Lineage, dataset: Dataset) -> dict[str, set[str]]:
    """Return the checksums that the records give to each file, by its URI as the dataset sees it."""
    records = Records(lineage, dataset, [])
    found: dict[str, set[str]] = {}
    for step in lineage.steps:
        for file in (*step.used, *step.generated):
            found.setdefault(records.uri(file), set()).add(file.sha256)
    return found


def _files(named: list[tuple[Any, Any]], digests: dict[str, set[str]], path: Path) -> Iterator[tuple[str, Path]]:
    for uri, checksum in named:
        if checksum not in digests.get(uri, set()):
            yield f"says another checksum of {uri} than the records; {_AGAIN}", path


def _activities(lineage: Lineage, path: Path) -> Iterator[tuple[str, Path]]:
    known = {f"bids::prov#{step.identifier}": step for step in lineage.steps}
    for item in _entries(path, "Activities"):
        step = known.get(str(item.get("Id")))
        if step is None:
            yield _unknown(lineage, item, path)
        elif item.get("Command") != step.activity.content["Command"]:
            yield f"says another command of {step.identifier} than the record; {_AGAIN}", path


def _unknown(lineage: Lineage, item: dict[str, Any], path: Path) -> tuple[str, Path]:
    """Tell an edited record from one that is gone."""
    twin = next((step for step in lineage.steps if _same(step, item)), None)
    if twin is not None:
        return "is not the record that it was when the BIDS-Prov files were made: it was edited", twin.activity.path
    return f"names a run that no record tells of: {item.get('Id')}", path


def _same(step: Step, item: dict[str, Any]) -> bool:
    content = step.activity.content
    keys = ("Command", "StartedAtTime", "EndedAtTime")
    return step.stage == item.get("Label") and sum(content[key] == item.get(key) for key in keys) >= len(keys) - 1
