"""The datasets of an output folder, the records in them, and where the files that they name are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tmsprep.errors import InputError
from tmsprep.files import read_json
from tmsprep.provenance.activity import FAILURES, FOLDER
from tmsprep.provenance.record import UNLINKED
from tmsprep.provenance.record_schema import ACTIVITY, check, check_links

DESCRIPTION = "dataset_description.json"
NAMES = ("tmsprep", "tedana", "tmsprep-builtin")
"""Folders of this program's datasets."""
RAW = "raw"
"""Link to the raw dataset."""
_NOT_OUTPUTS = ("prov", "logs", "benchmarks")
_FREESURFER = ("sourcedata", "freesurfer")
"""FreeSurfer's folder in fMRIPrep's dataset, which FreeSurfer and fMRIPrep look after."""
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
    """Its folder, without links."""
    name: str
    """As the folder is called in the output folder."""
    raw: Path | None = None
    """Takes the place of the link ``raw``: where the raw dataset has moved to."""

    @cached_property
    def links(self) -> dict[str, Path]:
        """Where the datasets are that its URIs name, by prefix."""
        description = self.root / DESCRIPTION
        links = check_links(read_json(description), description)
        found = {name: (self.root / target.removeprefix("file://")).resolve() for name, target in links.items()}
        return found if self.raw is None or RAW not in found else found | {RAW: self.raw.resolve()}

    def locate(self, uri: str) -> Path | None:
        """Return where a file is that a record of this dataset names; None where only its checksum is known.

        Parameters
        ----------
        uri
            ``bids::PATH`` or ``bids:LINK:PATH``.

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
        root = self.links.get(name) if name else self.root
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
        return [self.activity(path) for path in self.records()]

    def records(self) -> list[Path]:
        """Return the files of the records, in the order of their names."""
        return sorted((self.root / FOLDER).glob("*.json"))

    def failures(self) -> list[Path]:
        """Return the records of runs that failed."""
        return sorted((self.root / FAILURES).glob("*.json"))

    def activity(self, path: Path) -> Activity:
        """Read one record.

        Raises
        ------
        InputError
            It cannot be read or is not as this program writes it.
        """
        content = read_json(path)
        check(content, ACTIVITY, path)
        return Activity(self, path, content)

    def files(self) -> Iterator[Path]:
        """Yield the files that a record must cover, and links to folders, which none can."""
        for path in sorted(self.root.rglob("*")):
            relative = path.relative_to(self.root)
            left_out = relative.parts[0] in _NOT_OUTPUTS or relative.as_posix() in _WITHOUT_RECORD
            if not left_out and relative.parts[:2] != _FREESURFER and (path.is_symlink() or path.is_file()):
                yield path


def find_datasets(folder: Path, raw: Path | None = None) -> list[Dataset]:
    """Return the datasets with records in an output folder, or beside a dataset of it.

    Parameters
    ----------
    folder
        An output folder, or one dataset of it.
    raw
        The raw dataset, if it is not where their links say.

    Raises
    ------
    InputError
        There is none.
    """
    found = [Dataset(item.resolve(), item.name, raw) for item in candidates(folder) if not lacks(item)]
    if not found:
        raise InputError(
            "no dataset with provenance records",
            where=folder,
            expected=f"a folder of derivative datasets with {FOLDER.as_posix()}",
            action="give the OUTPUT_DIR of a run",
        )
    return found


def candidates(folder: Path) -> list[Path]:
    """Return the folders that are, or were, datasets of this program."""
    if not folder.is_dir():
        return []
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - a link keeps its name
    home = folder.parent if (folder / DESCRIPTION).is_file() and (folder / FOLDER).is_dir() else folder
    return [item for item in sorted(home.iterdir()) if item.is_dir() and (item.name in NAMES or (item / FOLDER).is_dir())]


def lacks(folder: Path) -> str | None:
    """Return what a dataset lacks to be one with provenance; None if nothing."""
    if not (folder / DESCRIPTION).is_file():
        return f"has no {DESCRIPTION}"
    return None if (folder / FOLDER).is_dir() else f"has no records ({FOLDER.as_posix()})"
