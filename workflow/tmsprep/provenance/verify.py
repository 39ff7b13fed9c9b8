"""Whether derivatives are what their records say: every file, every checksum, and the chain from raw scan to target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from tmsprep.errors import InputError
from tmsprep.files import sha256
from tmsprep.provenance.activity import FOLDER
from tmsprep.provenance.agreement import disagreements
from tmsprep.provenance.datasets import DESCRIPTION, Activity, Dataset, Item, candidates, find_datasets, lacks
from tmsprep.provenance.lineage import Lineage
from tmsprep.stages import STAGES

_LINKS_ONLY = frozenset({"link-preprocessed"})
"""Stages whose outputs are links: who wrote the file is another stage."""


WORK = "work"
"""Folder of intermediate files, unless another one was named."""


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
    datasets = find_datasets(folder, raw)
    problems = [Problem(what, item.name) for item in candidates(folder) if (what := lacks(item))]
    activities: list[Activity] = []
    for dataset in datasets:
        for path in dataset.records():
            try:
                activities.append(dataset.activity(path))
            except InputError as error:
                problems.append(Problem(f"cannot be used: {error.what}", f"{dataset.name}/{FOLDER.as_posix()}/{path.name}"))
    readable = not problems
    check = _Check(datasets, activities)
    problems += [*check.links(), *check.outputs(), *check.inputs(), *check.writers(), *check.without_record()]
    try:
        lineage = Lineage.of(datasets, activities)
        if readable:
            problems += [Problem(what, where) for what, where in disagreements(lineage)]
    except InputError as error:
        problems.append(Problem(error.what, str(error.where)))
    return Verification(len(activities), len(check.covered), tuple(_unique(problems)), tuple(sorted(check.unlocated)))


def _unique(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(set(problems), key=str)


class _Check:
    """The checks, each yielding problems."""

    def __init__(self, datasets: list[Dataset], activities: list[Activity]) -> None:
        self.datasets = datasets
        self.activities = activities
        self.digest = cache(sha256)
        self.made = {item.sha256 for activity in activities for item in activity.generated}
        self.covered: set[Path] = set()
        self.unlocated: set[str] = set()

    def links(self) -> Iterator[Problem]:
        """Every dataset beside this one that it is linked to is there."""
        for dataset in self.datasets:
            where = f"{dataset.name}/{DESCRIPTION}"
            try:
                for name, root in dataset.links.items():
                    if root.parent == dataset.root.parent and not root.is_dir():
                        yield Problem(f"links to the dataset {name!r}, which is not there", where)
            except (InputError, OSError, ValueError, RuntimeError) as error:
                what = error.what if isinstance(error, InputError) else f"its links cannot be followed ({error})"
                yield Problem(what, where)

    def _located(self, activity: Activity, item: Item) -> Path | Problem | None:
        """Return where a file is, None where only its checksum is known, or why neither can be told."""
        try:
            path = activity.dataset.locate(item.uri)
            return path if path is None else path.parent.resolve() / path.name
        except (InputError, OSError, ValueError, RuntimeError) as error:
            what = error.what if isinstance(error, InputError) else f"{item.uri!r} cannot be followed ({error})"
            return Problem(what, self.name(activity.path))

    def outputs(self) -> Iterator[Problem]:
        """Every recorded output is there and has its checksum."""
        for activity in self.activities:
            for item in activity.generated:
                path = self._located(activity, item)
                if isinstance(path, Problem):
                    yield path
                elif path is not None:
                    self.covered.add(path)
                    if not _is_file(path):
                        yield Problem(f"is not there; stage {activity.stage} wrote it", self.name(path))
                    elif self.digest(path) != item.sha256:
                        yield Problem(f"is not what stage {activity.stage} wrote: another checksum", self.name(path))
                elif (found := self._work.get(item.uri.rpartition(":")[2])) and not any(
                    self.digest(path) == item.sha256 for path in found
                ):
                    yield Problem(f"is not what stage {activity.stage} wrote: another checksum", _from(WORK, found[0]))

    @cached_property
    def _work(self) -> dict[str, list[Path]]:
        """The intermediate files beside the datasets, by name: records know them by name and checksum only."""
        found: dict[str, list[Path]] = {}
        for work in {dataset.root.parent / WORK for dataset in self.datasets}:
            for path in (*work.glob("sub-*/*"), *work.glob("sub-*/ses-*/*")):
                if _is_file(path):
                    found.setdefault(path.name, []).append(path)
        return found

    def inputs(self) -> Iterator[Problem]:
        """Every input came out of a recorded run, or is the linked file that it was."""
        for activity in self.activities:
            for item in activity.used:
                path = self._located(activity, item)
                if isinstance(path, Problem):
                    yield path
                elif path is not None and _is_file(path):
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

    def writers(self) -> Iterator[Problem]:
        """Every run is of a stage that there is, and every output has one writer."""
        writer: dict[Path, Activity] = {}
        for activity in self.activities:
            if activity.stage not in STAGES:
                yield Problem(
                    f"tells of a stage that this program does not have: {activity.stage}", self.name(activity.path)
                )
            if activity.stage in _LINKS_ONLY:
                continue
            for item in activity.generated:
                path = self._located(activity, item)
                if isinstance(path, Path):
                    first = writer.setdefault(path, activity)
                    if first is not activity:
                        both = f"{first.path.name} and {activity.path.name}"
                        yield Problem(f"has two records that say who wrote it: {both}", self.name(path))

    def without_record(self) -> Iterator[Problem]:
        """Every file of the datasets is in a record, and none is a link that leads away."""
        for dataset in self.datasets:
            for path in dataset.files():
                if path.parent.resolve() / path.name not in self.covered:
                    left = any(part.startswith(".tmp-") for part in path.relative_to(dataset.root).parts)
                    what = "was left by a run that was killed: remove it" if left else "no record says who wrote it"
                    yield Problem(what, self.name(path))
                elif path.is_symlink() and not self._ours(path):
                    yield Problem("is a link that leads out of the datasets", self.name(path))

    def _ours(self, path: Path) -> bool:
        try:
            return any(path.resolve().is_relative_to(dataset.root) for dataset in self.datasets)
        except (OSError, RuntimeError):  # a link in a circle
            return False

    def name(self, path: Path) -> str:
        """Return a file's name with its dataset's folder."""
        for dataset in self.datasets:
            if path.is_relative_to(dataset.root):
                return f"{dataset.name}/{path.relative_to(dataset.root).as_posix()}"
        return path.as_posix()


def _from(folder: str, path: Path) -> str:
    """Return a path from the last folder of that name on."""
    parts = path.parts
    return "/".join(parts[len(parts) - 1 - parts[::-1].index(folder) :])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError, RuntimeError):
        return False


def printable(text: str) -> str:
    """Return text that cannot steer a terminal: what is not printable is shown as an escape."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


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
        print(printable(str(problem)))
    for uri in found.unlocated:
        print(printable(f"note: {uri}: outside the linked datasets, known by its checksum only"))
    if found.problems:
        print(f"NOT VERIFIED: {len(found.problems)} problem(s)")
        return 1
    print(f"verified: {found.files} files, {found.activities} records")
    return 0
