"""The datasets of an output folder, the records in them, and where the files that they name are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tmsprep.errors import InputError
from tmsprep.files import read_json
from tmsprep.provenance.activity import FAILURES, FOLDER
from tmsprep.provenance.record import UNLINKED

DESCRIPTION = "dataset_description.json"
_NOT_OUTPUTS = ("prov", "logs", "benchmarks", "sourcedata")
_WITHOUT_RECORD = frozenset({"plan.json", "SHA256SUMS", "ro-crate-metadata.json"})
"""Written by the program itself, not by a stage."""


@dataclass(frozen=True)
class Item:
    """A file as a record names it."""

    uri: str
    sha256: str


@dataclass(frozen=True)
class Activity:
    """One stage run, read from its record."""

    dataset: Dataset
    path: Path
    content: Mapping[str, Any]

    @property
    def stage(self) -> str:
        """Its name."""
        return str(self.content["Stage"])

    @cached_property
    def used(self) -> tuple[Item, ...]:
        """What it read."""
        return _items(self.content["Used"])

    @cached_property
    def generated(self) -> tuple[Item, ...]:
        """What it wrote."""
        return _items(self.content["Generated"])


def _items(entries: list[dict[str, str]]) -> tuple[Item, ...]:
    return tuple(Item(entry["Id"], entry["SHA256"]) for entry in entries)


@dataclass(frozen=True)
class Dataset:
    """One derivative dataset."""

    root: Path

    @cached_property
    def links(self) -> dict[str, Path]:
        """Where the datasets are that its URIs name, by prefix."""
        links = read_json(self.root / DESCRIPTION).get("DatasetLinks", {})
        return {name: (self.root / target).resolve() for name, target in links.items()}

    def locate(self, uri: str, raw: Path | None = None) -> Path | None:
        """Return where a file is that a record of this dataset names; None where only its checksum is known.

        Parameters
        ----------
        uri
            ``bids::PATH`` or ``bids:LINK:PATH``.
        raw
            Takes the place of the link ``raw``.

        Raises
        ------
        InputError
            The URI is none, or leads out of its dataset.
        """
        scheme, _, rest = uri.partition(":")
        name, separator, relative = rest.partition(":")
        if scheme != "bids" or not separator:
            raise InputError(f"{uri!r} is no BIDS URI", where=self.root)
        if name == UNLINKED:
            return None
        root = raw if name == "raw" and raw is not None else (self.links.get(name) if name else self.root)
        if root is None:
            raise InputError(f"no link is called {name!r}", where=self.root / DESCRIPTION)
        if ".." in Path(relative).parts or Path(relative).is_absolute():
            raise InputError(f"{uri!r} leads out of its dataset", where=self.root)
        return root / relative

    def activities(self) -> list[Activity]:
        """Read the records, in the order of their names.

        Raises
        ------
        InputError
            One cannot be read or lacks a field.
        """
        return [self._activity(path) for path in sorted((self.root / FOLDER).glob("*.json"))]

    def failures(self) -> list[Path]:
        """Return the records of runs that failed."""
        return sorted((self.root / FAILURES).glob("*.json"))

    def _activity(self, path: Path) -> Activity:
        content = read_json(path)
        wanted = ("Stage", "Command", "Used", "Generated", "Software", "Environment", "StartedAtTime", "EndedAtTime")
        if missing := [key for key in wanted if key not in content]:
            raise InputError(f"the record lacks {', '.join(missing)}", where=path, action="derive the participant again")
        return Activity(self, path, content)

    def files(self) -> Iterator[Path]:
        """Yield the files that a record must cover."""
        for path in sorted(self.root.rglob("*")):
            relative = path.relative_to(self.root)
            if path.is_file() and relative.parts[0] not in _NOT_OUTPUTS and relative.as_posix() not in _WITHOUT_RECORD:
                yield path


def find_datasets(folder: Path) -> list[Dataset]:
    """Return the datasets with records: a folder itself, or those in it.

    Raises
    ------
    InputError
        There is none.
    """
    candidates = [folder, *sorted(item for item in folder.iterdir() if item.is_dir())] if folder.is_dir() else []
    found = [Dataset(item.resolve()) for item in candidates if (item / DESCRIPTION).is_file() and (item / FOLDER).is_dir()]
    if not found:
        raise InputError(
            "no dataset with provenance records",
            where=folder,
            expected=f"a folder of derivative datasets with {FOLDER.as_posix()}",
            action="give the OUTPUT_DIR of a run",
        )
    return found
