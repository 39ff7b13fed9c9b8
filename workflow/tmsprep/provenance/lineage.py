"""The graph of all records of an output folder: which run wrote a file, from which files, back to the raw scans."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from tmsprep.errors import InputError
from tmsprep.files import read_json, sha256
from tmsprep.provenance.activity import RUNS
from tmsprep.provenance.datasets import Activity, Dataset, Item, find_datasets
from tmsprep.provenance.record import UNLINKED
from tmsprep.provenance.record_schema import ACTIVITY, RUN, check

MAIN = "tmsprep"
"""Folder of the dataset with targets: its provenance is the whole chain's."""
RAW = "raw"
SHARED = "dataset"
"""Where runs belong that are no single participant's."""
_PARTICIPANT = re.compile(r"sub-([0-9A-Za-z+]+)(?![0-9A-Za-z+])")
_UID_LENGTH = 12


@dataclass(frozen=True)
class File:
    """A file, named the same from wherever it is seen."""

    dataset: str
    """Folder of a dataset of this output folder, else the link's name: ``raw``, ``preprocessed``, ``unlinked``."""
    path: str
    """Relative to the dataset, with ``/``."""
    sha256: str

    @property
    def name(self) -> str:
        """The last part."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, eq=False)
class Step:
    """A stage run with its files."""

    activity: Activity
    used: tuple[File, ...]
    generated: tuple[File, ...]

    @property
    def stage(self) -> str:
        """The stage's name."""
        return self.activity.stage

    @cached_property
    def identifier(self) -> str:
        """``STAGE-UID``: the UID is of the record's content, and differs where anything in it does."""
        return f"{self.stage}-{sha256(self.activity.path)[:_UID_LENGTH]}"

    @cached_property
    def participant(self) -> str:
        """``sub-01``, or `SHARED`."""
        for file in sorted(self.generated, key=lambda item: item.dataset == UNLINKED):
            if found := _PARTICIPANT.match(file.path):
                return found[0]
        return SHARED


class Lineage:
    """All records of an output folder, each run after those whose outputs it read."""

    def __init__(self, folder: Path, raw: Path | None = None) -> None:
        """Read the records.

        Parameters
        ----------
        folder
            An output folder, or one dataset of it: those beside it are read too, because the chain leads through them.
        raw
            The raw dataset, if it is not where their links say.

        Raises
        ------
        InputError
            There are none, one cannot be read, or they depend on each other in a circle.
        """
        datasets = find_datasets(folder, raw)
        self._set(datasets, [activity for dataset in datasets for activity in dataset.activities()])

    @classmethod
    def of(cls, datasets: Sequence[Dataset], activities: Iterable[Activity]) -> Lineage:
        """Make the graph of records that were read already.

        Raises
        ------
        InputError
            They depend on each other in a circle.
        """
        lineage = cls.__new__(cls)
        lineage._set(datasets, activities)
        return lineage

    def _set(self, datasets: Sequence[Dataset], activities: Iterable[Activity]) -> None:
        self.datasets = list(datasets)
        self._names = {dataset.root: dataset.name for dataset in datasets}
        by_time = sorted(activities, key=lambda item: (str(item.content["EndedAtTime"]), item.path.as_posix()))
        steps = [
            Step(item, self._files(item.dataset, item.used), self._files(item.dataset, item.generated)) for item in by_time
        ]
        self._writer = {(file.dataset, file.path): step for step in steps for file in step.generated}
        self._by_digest = {file.sha256: step for step in steps for file in step.generated}
        self.steps = self._in_order(steps)

    def _in_order(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """Sort by dependence; clocks, which may be those of several machines, decide only between independent runs."""
        import networkx as nx

        place = {step: index for index, step in enumerate(steps)}
        graph: Any = nx.DiGraph()
        graph.add_nodes_from(steps)
        graph.add_edges_from((source, step) for step in steps for source in self.sources(step))
        try:
            return tuple(nx.lexicographical_topological_sort(graph, key=place.__getitem__))
        except nx.NetworkXUnfeasible as error:
            circle = ", ".join(start.stage for start, _ in nx.find_cycle(graph))
            where = self.datasets[0].root.parent
            raise InputError(f"the records of {circle} depend on each other in a circle", where=where) from error

    def _files(self, dataset: Dataset, items: Iterable[Item]) -> tuple[File, ...]:
        return tuple(self.file(dataset, item) for item in items)

    def file(self, dataset: Dataset, item: Item) -> File:
        """Return the file that a record of a dataset names."""
        prefix, _, path = item.uri.removeprefix("bids:").partition(":")
        if not prefix:
            return File(dataset.name, path, item.sha256)
        linked = dataset.links.get(prefix)
        return File(self._names.get(linked, prefix) if linked else prefix, path, item.sha256)

    @property
    def main(self) -> Dataset | None:
        """The dataset with targets."""
        return next((dataset for dataset in self.datasets if dataset.name == MAIN), None)

    def writer(self, file: File) -> Step | None:
        """Return the run that wrote a file; None for raw scans and other files from outside."""
        if file.dataset == UNLINKED:
            return self._by_digest.get(file.sha256)
        return self._writer.get((file.dataset, file.path))

    def sources(self, step: Step) -> list[Step]:
        """Return the runs whose outputs a run read, each once."""
        found = (self.writer(file) for file in step.used)
        return list(dict.fromkeys(item for item in found if item is not None and item is not step))

    def ancestors(self, steps: Iterable[Step]) -> list[Step]:
        """Return runs and all that they depend on, in the order in which they ended."""
        wanted: set[Step] = set()
        waiting = list(steps)
        while waiting:
            step = waiting.pop()
            if step not in wanted:
                wanted.add(step)
                waiting += self.sources(step)
        return [step for step in self.steps if step in wanted]

    def descendants(self, steps: Iterable[Step]) -> set[Step]:
        """Return runs and all that depend on them."""
        wanted = set(steps)
        for step in self.steps:  # in order: what a run read was written before
            if wanted.intersection(self.sources(step)):
                wanted.add(step)
        return wanted

    def participants(self) -> list[str]:
        """Return ``sub-01``, ... in order."""
        return sorted({step.participant for step in self.steps} - {SHARED})

    def of_participant(self, participant: str) -> list[Step]:
        """Return a participant's runs and all that they depend on."""
        return self.ancestors(step for step in self.steps if step.participant == participant)

    def raw_files(self, steps: Iterable[Step]) -> list[File]:
        """Return the files that no recorded run wrote, in order of their names."""
        found = {file for step in steps for file in step.used if self.writer(file) is None}
        return sorted(found, key=lambda file: (file.dataset, file.path, file.sha256))

    def failures(self) -> Iterator[dict[str, Any]]:
        """Yield the records of runs that failed and have not succeeded since.

        Raises
        ------
        InputError
            One cannot be read.
        """
        for dataset in self.datasets:
            for path in dataset.failures():
                yield _checked(path, ACTIVITY)

    def prefix(self, dataset: Dataset, name: str) -> str | None:
        """Return what a dataset calls another in its URIs: empty for itself, None for one that it has no link to."""
        if name == dataset.name:
            return ""
        return next((key for key, root in dataset.links.items() if self._names.get(root, key) == name), None)

    def workflow_runs(self) -> dict[str, dict[str, Any]]:
        """Return the records of the workflow's own runs by their names, first to last.

        Raises
        ------
        InputError
            One cannot be read.
        """
        paths = sorted((self.main.root / RUNS).glob("*.json")) if self.main else []
        return {path.stem: _checked(path, RUN) for path in paths}


def _checked(path: Path, schema: dict[str, Any]) -> dict[str, Any]:
    content = read_json(path)
    check(content, schema, path)
    return content
