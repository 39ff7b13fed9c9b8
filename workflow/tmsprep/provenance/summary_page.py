"""``prov/summary.html``: for people, the way from a target back to the raw scans, with commands, versions and checksums.

Up to `ONE_PAGE` participants are on one page; with more, each has a page of its own and the summary leads to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tmsprep.files import read_tsv
from tmsprep.provenance.bidsprov import Records, label_of
from tmsprep.provenance.datasets import Dataset
from tmsprep.provenance.graph_picture import Box, draw
from tmsprep.provenance.lineage import SHARED, File, Lineage, Step
from tmsprep.provenance.record import UNLINKED
from tmsprep.report.page import Table, number, render

NAME = "summary.html"
ONE_PAGE = 50
_MARKERS = "_markers.tsv"
_SAME_IN_ALL = ("sub", "task", "space", "desc", "label", "from", "to", "mode", "res", "hemi")
"""Entities that do not tell a participant's runs of a stage apart."""


@dataclass(frozen=True)
class Entry:
    """A box of the picture and what is told about it."""

    box: Box
    facts: tuple[tuple[str, str], ...]
    """Name and text."""
    command: str
    used: Table | None
    generated: Table | None


@dataclass(frozen=True)
class Person:
    """One participant's part of the page."""

    label: str
    targets: Table
    graph: str
    entries: tuple[Entry, ...]


def summary(lineage: Lineage) -> dict[Path, str]:
    """Return the pages of a dataset with targets; nothing without one.

    Raises
    ------
    InputError
        A table of markers or the record of a run cannot be read.
    """
    dataset = lineage.main
    if dataset is None:
        return {}
    people = lineage.participants()
    folder = dataset.root / "prov"
    pages = _Pages(lineage, dataset)
    if len(people) <= ONE_PAGE:
        return {folder / NAME: pages.page(people, {})}
    places = {label: folder / f"prov-{label_of(label)}" / NAME for label in people}
    links = {label: place.relative_to(folder).as_posix() for label, place in places.items()}
    own = {place: pages.page([label], {}) for label, place in places.items()}
    return own | {folder / NAME: pages.page([], links)}


class _Pages:
    """Makes pages; what all have in common is looked up once."""

    def __init__(self, lineage: Lineage, dataset: Dataset) -> None:
        self._lineage = lineage
        self._dataset = dataset
        self._steps: dict[str, list[Step]] = {}
        for step in lineage.steps:
            self._steps.setdefault(step.participant, []).append(step)
        self._common: dict[str, Any] = {
            "name": dataset.name,
            "runs": _runs(lineage),
            "failures": _failures(lineage),
            "activities": len(lineage.steps),
            "shared": _shared(lineage),
        }

    def page(self, people: Sequence[str], links: dict[str, str]) -> str:
        """Return the page of some people, or of links to theirs."""
        shown = [_person(self._lineage, self._dataset, label, self._steps[label]) for label in people]
        return render("summary.html.j2", people=shown, links=links, **self._common)


# A participant


def _person(lineage: Lineage, dataset: Dataset, label: str, steps: Sequence[Step]) -> Person:
    records = Records(lineage, dataset, list(steps))
    outside = _outside(lineage, label, steps)
    anchors = {file: anchor for anchor, files in outside.items() for file in files}
    entries = [_files_entry(records, anchor, files) for anchor, files in outside.items()]
    entries += [_step_entry(lineage, records, step, anchors, steps) for step in steps]
    graph = draw([entry.box for entry in entries], f"{label}: from raw scans, at the top, to the target")
    return Person(label, _targets(dataset, label), graph, tuple(entries))


def _outside(lineage: Lineage, label: str, steps: Sequence[Step]) -> dict[str, list[File]]:
    """Group the files that no run of the participant wrote: an image with its sidecar is one group."""
    groups: dict[str, list[File]] = {}
    made = {file for step in steps for file in step.generated}
    for file in lineage.raw_files(steps):
        if file not in made:
            stem = file.name.split(".")[0]
            groups.setdefault(f"{label}-{file.dataset}-{stem}", []).append(file)
    return groups


def _files_entry(records: Records, anchor: str, files: Sequence[File]) -> Entry:
    place = files[0].dataset
    title = files[0].name.split(".")[0].rpartition("_")[2]
    line = "known by checksum only" if place == UNLINKED else " ".join([*_entities(files[0], ("sub",)), f"({place})"])
    box = Box(anchor, title, line, True, ())
    return Entry(box, (("What it is", "read, not made by this program"),), "", None, _table(records, files))


def _entities(file: File, without: Sequence[str]) -> list[str]:
    pairs = file.name.split(".")[0].split("_")[:-1]
    return [pair for pair in pairs if pair.partition("-")[0] not in without]


def _step_entry(lineage: Lineage, records: Records, step: Step, anchors: dict[File, str], steps: Sequence[Step]) -> Entry:
    own = [source.identifier for source in lineage.sources(step) if source in steps]
    parents = dict.fromkeys([*(anchors[file] for file in step.used if file in anchors), *own])
    content = step.activity.content
    which = _entities(step.generated[0], _SAME_IN_ALL)
    box = Box(step.identifier, step.stage, " ".join([*which, _duration(content)]), False, tuple(parents))
    return Entry(
        box, tuple(_facts(content)), str(content["Command"]), _table(records, step.used), _table(records, step.generated)
    )


def _table(records: Records, files: Sequence[File]) -> Table:
    return Table(("File", "sha256"), tuple((records.uri(file), file.sha256) for file in dict.fromkeys(files)))


def _facts(content: Any) -> Iterator[tuple[str, str]]:
    yield "Started, ended (UTC)", f"{content['StartedAtTime']}, {content['EndedAtTime']} ({_duration(content)})"
    yield "Exit status", str(content.get("ExitStatus", 0))
    yield "Largest memory", f"{content['PeakMemoryMiB']} MiB"
    if content.get("Seed") is not None:
        yield "Seed", str(content["Seed"])
    yield "Software", ", ".join(f"{name} {number}" for name, number in content["Software"].items())
    yield "Source code", _source(content.get("Source", {}))
    found = content["Environment"]
    threads = ", ".join(f"{name}={value}" for name, value in found["Threads"].items()) or "not set"
    yield (
        "Machine",
        f"{found['OperatingSystem']}, {found['Machine']}, {found['CPU']}, {found['Cores']} cores; threads: {threads}",
    )
    yield "Container", _container(content.get("Container") or found.get("Container") or {})
    own = content.get("OwnRecord") or {}
    if own:
        said = "; ".join(f"{key}: {value}" for key, value in own.items() if key != "Name")
        yield f"What {own.get('Name')} recorded itself", said


def _source(source: dict[str, Any]) -> str:
    if not source:
        return "not recorded"
    commit = source.get("Commit")
    words = f"commit {commit}{', with changes' if source.get('Dirty') else ''}; " if commit else ""
    return f"{words}sha256 {source['SHA256']}"


def _container(image: dict[str, str] | str) -> str:
    return image if isinstance(image, str) else " ".join(image.values()) or "none"


def _duration(content: Any) -> str:
    start, end = (datetime.fromisoformat(content[key]) for key in ("StartedAtTime", "EndedAtTime"))
    return f"{(end - start).total_seconds():.1f} s"


def _targets(dataset: Dataset, label: str) -> Table:
    import numpy as np
    import pandas as pd

    rows: list[tuple[str, ...]] = []
    columns = [f"target_{axis}" for axis in "xyz"]
    for path in sorted((dataset.root / label).rglob(f"*{_MARKERS}")):
        table = read_tsv(path, required=("target_id", "status", *columns))
        places = table[columns].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
        unit = path.name.removesuffix(_MARKERS)
        for place, (_, row) in zip(places, table.iterrows(), strict=True):
            text = ", ".join(number(value) for value in place) if np.isfinite(place).all() else "none"
            rows.append((unit, str(row["target_id"]), text, str(row["status"])))
    return Table(("Target file", "Site", "In the cortex: x, y, z (T1w scanner RAS, mm)", "Status"), tuple(rows))


# All


def _shared(lineage: Lineage) -> Table:
    steps = [step for step in lineage.steps if step.participant == SHARED]
    rows = [
        (step.stage, str(step.activity.content["Command"]), ", ".join(file.path for file in step.generated))
        for step in steps
    ]
    return Table(("Stage", "Command", "Wrote"), tuple(rows))


def _runs(lineage: Lineage) -> Table:
    head = ("Run", "Started (UTC)", "Ended (UTC)", "Exit status", "Command", "Configuration, sha256", "Source code")
    rows = [_run(content) for content in lineage.workflow_runs().values()]
    return Table(head, tuple(rows))


def _run(content: dict[str, Any]) -> tuple[str, ...]:
    status = content["ExitStatus"]
    return (
        content["Run"],
        content["StartedAtTime"],
        content["EndedAtTime"] or "not recorded: running, or stopped from outside",
        "not known" if status is None else str(status),
        content["Command"],
        content["ConfigurationSHA256"],
        _source(content["Source"]),
    )


def _failures(lineage: Lineage) -> Table:
    rows = [
        (content["Stage"], content["EndedAtTime"], str(content.get("Error", "not recorded")), content["Command"])
        for content in lineage.failures()
    ]
    return Table(("Stage", "Ended (UTC)", "Kind of error", "Command"), tuple(rows))
