"""BIDS-Prov files of the records: activities, files, software and environments, one set a participant.

The proposal (BEP028, https://bids.neuroimaging.io/bep028) is in review; names of files and fields follow its newest
schema, which says ``Files`` where an older text says ``ProvEntities``. One thing is done otherwise: files of the dataset
are described in ``_ent.json`` and not in their sidecars, because an activity's identifier depends on its times, and
outputs must be the same bytes whenever they are made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tmsprep.errors import InputError
from tmsprep.files import json_text, read_json
from tmsprep.provenance.datasets import DESCRIPTION, Dataset
from tmsprep.provenance.lineage import MAIN, SHARED, File, Lineage, Step
from tmsprep.provenance.record import UNLINKED

FOLDER = Path("prov")
_PROV = "http://www.w3.org/ns/prov#"
CONTEXT: dict[str, Any] = {
    "@version": 1.1,
    "prov": _PROV,
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "bidsprov": "https://bids.neuroimaging.io/bep028#",
    "Id": "@id",
    "Type": "@type",
    "Label": "rdfs:label",
    "Description": "rdfs:comment",
    "StartedAtTime": {"@id": "prov:startedAtTime", "@type": "xsd:dateTime"},
    "EndedAtTime": {"@id": "prov:endedAtTime", "@type": "xsd:dateTime"},
    "GeneratedBy": {"@id": "prov:wasGeneratedBy", "@type": "@id"},
    "AssociatedWith": {"@id": "prov:wasAssociatedWith", "@type": "@id"},
    "Used": {"@id": "prov:used", "@type": "@id"},
    "ActedOnBehalfOf": {"@id": "prov:actedOnBehalfOf", "@type": "@id"},
    "AtLocation": "prov:atLocation",
    "AlternativeIdentifier": {"@id": "prov:alternateOf", "@type": "@id"},
    "Command": "bidsprov:Command",
    "Version": "bidsprov:Version",
    "OperatingSystem": "bidsprov:OperatingSystem",
    "Digest": {"@id": "bidsprov:Digest", "@type": "@json"},
    "EnvironmentVariables": {"@id": "bidsprov:EnvironmentVariables", "@type": "@json"},
    "Dependencies": {"@id": "bidsprov:Dependencies", "@type": "@json"},
}
"""JSON-LD terms, as in the proposal's context; they resolve without any request."""
_TYPES = {
    "Software": "prov:Agent",
    "Environments": "prov:Entity",
    "Activities": "prov:Activity",
    "Files": "prov:Entity",
    "Datasets": "prov:Collection",
}
"""What an object of each kind is in W3C PROV."""


def label_of(participant: str) -> str:
    """Return the value of the entity ``prov``: ``sub01`` of ``sub-01``."""
    return participant.replace("-", "")


def records(lineage: Lineage) -> dict[Path, str]:
    """Return the BIDS-Prov files of every dataset with their texts; those of the one with targets hold the whole chain."""
    return {path: text for dataset in lineage.datasets for path, text in _of_dataset(lineage, dataset)}


def _of_dataset(lineage: Lineage, dataset: Dataset) -> Iterator[tuple[Path, str]]:
    sets = {name: steps for name in (SHARED, *lineage.participants()) if (steps := _steps(lineage, dataset, name))}
    for name, steps in sets.items():
        label = f"prov-{label_of(name)}"
        folder = dataset.root / FOLDER / label
        for suffix, content in Records(lineage, dataset, steps).files().items():
            path = folder / (f"{label}.jsonld" if suffix == "jsonld" else f"{label}_{suffix}.json")
            yield path, json_text(content)
    yield from _table(dataset.root / FOLDER, [(f"prov-{label_of(name)}", name) for name in sets])


def _table(folder: Path, rows: list[tuple[str, str]]) -> Iterator[tuple[Path, str]]:
    words = {SHARED: "Runs that are no single participant's: descriptions, plan, group."}
    lines = ["provenance_label\tdescription"]
    lines += [f"{label}\t{words.get(name, f'Runs for {name}, and what they depend on.')}" for label, name in rows]
    yield folder / "provenance.tsv", "\n".join(lines) + "\n"
    described = {"description": {"Description": "What the provenance files are about."}}
    yield folder / "provenance.json", json_text(described)


def _steps(lineage: Lineage, dataset: Dataset, participant: str) -> list[Step]:
    """Return a participant's runs: all on the way to the targets, or those of another dataset."""
    own = [step for step in lineage.steps if step.participant == participant]
    if dataset.name != MAIN:
        return [step for step in own if step.activity.dataset.root == dataset.root]
    return own if participant == SHARED else lineage.ancestors(own)


class Records:
    """The provenance objects of some runs, as one dataset sees them."""

    def __init__(self, lineage: Lineage, dataset: Dataset, steps: list[Step]) -> None:
        """Take the runs; they are described in their order."""
        self._lineage = lineage
        self._dataset = dataset
        self._steps = steps

    def files(self) -> dict[str, dict[str, Any]]:
        """Return the content of each file by its suffix, and the aggregated JSON-LD."""
        software = _unique(item for step in self._steps for item in self._software(step))
        environments = _unique(self._environment(step) for step in self._steps)
        activities = [self._activity(step) for step in self._steps]
        files, datasets = self._files(), self._datasets()
        records = {
            "Software": software,
            "Environments": environments,
            "Activities": activities,
            "Files": files,
            "Datasets": datasets,
        }
        # a plain graph: the proposal's examples sort objects by type in a way that common libraries do not read
        graph = [{"Type": _TYPES[kind]} | item for kind, items in records.items() for item in items]
        return {
            "act": {"Activities": activities},
            "ent": {"Files": files, "Datasets": datasets},
            "soft": {"Software": software},
            "env": {"Environments": environments},
            "jsonld": {"@context": CONTEXT, "@graph": graph},
        }

    def uri(self, file: File) -> str:
        """Return a file's identifier as this dataset sees it; one outside every link by its checksum."""
        prefix = None if file.dataset == UNLINKED else self._lineage.prefix(self._dataset, file.dataset)
        if prefix is None:
            return f"bids::prov#provEntity-{file.sha256[:12]}"
        return f"bids:{prefix}:{file.path}"

    def _activity(self, step: Step) -> dict[str, Any]:
        content = step.activity.content
        return {
            "Id": f"bids::prov#{step.identifier}",
            "Label": step.stage,
            "Command": content["Command"],
            "AssociatedWith": [item["Id"] for item in self._software(step)],
            "Used": [*dict.fromkeys(self.uri(file) for file in step.used), self._environment(step)["Id"]],
            "StartedAtTime": content["StartedAtTime"],
            "EndedAtTime": content["EndedAtTime"],
        }

    def _files(self) -> list[dict[str, Any]]:
        everything = (file for step in self._steps for file in (*step.used, *step.generated))
        return _unique(self._file(file) for file in everything)

    def _file(self, file: File) -> dict[str, Any]:
        place = {} if file.dataset == UNLINKED else {"AtLocation": file.path}
        writer = self._lineage.writer(file)
        made = {"GeneratedBy": [f"bids::prov#{writer.identifier}"]} if writer else {}
        return {"Id": self.uri(file), "Label": file.name, **place, **made, "Digest": {"SHA-256": file.sha256}}

    def _datasets(self) -> list[dict[str, Any]]:
        """Return this dataset and those that it is made of, with their makers as they say themselves."""
        places = {"": self._dataset.root} | self._dataset.links
        return [_dataset(prefix, root) for prefix, root in places.items()]

    def _software(self, step: Step) -> list[dict[str, Any]]:
        return [
            _program(name, number, step.activity.content.get("Source", {}) if name == MAIN else {})
            for name, number in step.activity.content["Software"].items()
        ]

    def _environment(self, step: Step) -> dict[str, Any]:
        content = step.activity.content
        found = content["Environment"]
        image = content.get("Container") or found.get("Container") or {}
        body = {
            "Label": f"{found['OperatingSystem']} {found['Machine']}",
            "OperatingSystem": found["OperatingSystem"],
            "EnvironmentVariables": found["Threads"],
            "Dependencies": content["Software"],
            "Description": f"{found['CPU']}, {found['Cores']} cores, {found['Python']}; container: {_container(image)}",
        }
        return {"Id": f"bids::prov#environment-{_short(json.dumps(body, sort_keys=True))}", **body}


def _program(name: str, number: str, source: dict[str, Any]) -> dict[str, Any]:
    """Return a program; ours with its commit, unless the code differed from it."""
    known = "Commit" in source and not source.get("Dirty")
    place = {"AlternativeIdentifier": [f"swh:1:rev:{source['Commit']}"]} if known else {}
    code = source.get("SHA256", "")
    said = {"Description": f"sha256 of the source code: {code}"} if code else {}
    return {"Id": f"bids::prov#{name}-{_short(name, number, code)}", "Label": name, "Version": number, **place, **said}


def _container(image: dict[str, str] | str) -> str:
    if not isinstance(image, dict):
        return image
    return " ".join(str(value) for value in image.values()) or "none"


def _dataset(prefix: str, root: Path) -> dict[str, Any]:
    """Describe a dataset with its makers, as it says itself: it may be anyone's."""
    try:
        content = read_json(root / DESCRIPTION)
    except InputError:
        content = {}
    listed = content.get("GeneratedBy")
    found = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    makers = [" ".join(str(item[key]) for key in ("Name", "Version") if item.get(key)) for item in found]
    said = {"Description": "made by " + ", ".join(makers)} if any(makers) else {}
    return {"Id": f"bids:{prefix}:.", "Label": str(content.get("Name") or prefix or "this dataset"), **said}


def _short(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:8]


def _unique(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({item["Id"]: item for item in items}.values())
