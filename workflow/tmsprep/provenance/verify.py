"""Whether derivatives are what their records say: every file, every checksum, and the chain from raw scan to target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tmsprep.errors import InputError
from tmsprep.files import sha256
from tmsprep.provenance.activity import FOLDER
from tmsprep.provenance.agreement import disagreements
from tmsprep.provenance.datasets import Activity, Dataset, find_datasets
from tmsprep.provenance.lineage import Lineage


@dataclass(frozen=True)
class Problem:
    """One thing that does not fit."""

    what: str
    where: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class Verification:
    """What was checked and what was found."""

    activities: int
    files: int
    problems: tuple[Problem, ...]
    unlocated: tuple[str, ...]
    """Inputs known by checksum only: neither written by a recorded run nor in a linked dataset."""


def verify(folder: Path, raw: Path | None = None) -> Verification:
    """Check all datasets of an output folder.

    Parameters
    ----------
    folder
        An output folder, or one dataset of it.
    raw
        The raw dataset, if it is not where the records' links say.

    Raises
    ------
    InputError
        There are no records.
    """
    datasets = find_datasets(folder)
    activities: list[Activity] = []
    problems: list[Problem] = []
    for dataset in datasets:
        try:
            activities += dataset.activities()
        except InputError as error:
            problems.append(Problem(error.what, str(error.where)))
    check = _Check(datasets, activities, raw)
    problems += [*check.outputs(), *check.inputs(), *check.without_record()]
    if len(activities) == len(list(_records(datasets))):  # all could be read
        problems += [Problem(what, check.name(path)) for what, path in disagreements(Lineage(folder))]
    return Verification(len(activities), len(check.covered), tuple(_unique(problems)), tuple(sorted(check.unlocated)))


def _records(datasets: Iterable[Dataset]) -> Iterator[Path]:
    for dataset in datasets:
        yield from (dataset.root / FOLDER).glob("*.json")


def _unique(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(set(problems), key=str)


class _Check:
    """The checks, each yielding problems."""

    def __init__(self, datasets: list[Dataset], activities: list[Activity], raw: Path | None) -> None:
        self.datasets = datasets
        self.activities = activities
        self.raw = raw
        self.digest = cache(sha256)
        self.made = {item.sha256 for activity in activities for item in activity.generated}
        self.covered: set[Path] = set()
        self.unlocated: set[str] = set()

    def outputs(self) -> Iterator[Problem]:
        """Every recorded output is there and has its checksum."""
        for activity in self.activities:
            for item in activity.generated:
                path = activity.dataset.locate(item.uri, self.raw)
                if path is None:
                    continue
                self.covered.add(path.resolve())
                if not path.is_file():
                    yield Problem(f"is not there; stage {activity.stage} wrote it", self.name(path))
                elif self.digest(path) != item.sha256:
                    yield Problem(f"is not what stage {activity.stage} wrote: another checksum", self.name(path))

    def inputs(self) -> Iterator[Problem]:
        """Every input came out of a recorded run, or is the linked file that it was."""
        for activity in self.activities:
            for item in activity.used:
                path = activity.dataset.locate(item.uri, self.raw)
                if path is not None and path.is_file():
                    if self.digest(path) != item.sha256:
                        yield Problem(f"is not what stage {activity.stage} read: another checksum", self.name(path))
                    elif self._ours(path) and item.sha256 not in self.made:
                        yield Problem(
                            f"was read by stage {activity.stage}, and no record says who wrote it", self.name(path)
                        )
                elif item.sha256 not in self.made:
                    if path is None:
                        self.unlocated.add(item.uri)
                    else:
                        yield Problem(f"is not there; stage {activity.stage} read it", self.name(path))

    def without_record(self) -> Iterator[Problem]:
        """Every file of the datasets is in a record."""
        for dataset in self.datasets:
            for path in dataset.files():
                if path.resolve() not in self.covered:
                    yield Problem("no record says who wrote it", self.name(path))

    def _ours(self, path: Path) -> bool:
        return any(path.resolve().is_relative_to(dataset.root) for dataset in self.datasets)

    def name(self, path: Path) -> str:
        """Return a file's name with its dataset's folder."""
        for dataset in self.datasets:
            if path.is_relative_to(dataset.root):
                return f"{dataset.root.name}/{path.relative_to(dataset.root).as_posix()}"
        return path.as_posix()


def command(derivatives: Path, *, raw: Path | None = None) -> int:
    """Check that derivatives are what their records say; exit with 1 and a list if not.

    Every recorded file is there and has its checksum, every file has a record, every input was written by a recorded run or
    is the raw file that it was, and the BIDS-Prov files and the RO-Crate say what the records say.

    Parameters
    ----------
    derivatives
        The OUTPUT_DIR of a run, or one dataset in it.
    raw
        The raw dataset, if it has moved.
    """
    found = verify(derivatives, raw)
    for problem in found.problems:
        print(problem)
    for uri in found.unlocated:
        print(f"note: {uri}: outside the linked datasets, known by its checksum only")
    if found.problems:
        print(f"NOT VERIFIED: {len(found.problems)} problem(s)")
        return 1
    print(f"verified: {found.files} files, {found.activities} records")
    return 0
