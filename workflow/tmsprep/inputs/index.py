"""What a BIDS dataset holds: one walk over its folders, names taken apart once, sidecars found as BIDS inherits them.

Only what this program can use is looked at: the folders ``anat``, ``func`` and ``fmap`` of each participant and
session, and JSON files above them. Folders as ``derivatives/``, ``sourcedata/``, ``code/``, ``.git`` are not entered.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tmsprep.errors import InputError
from tmsprep.files import read_json
from tmsprep.inputs.entities import DERIVED, Name, is_label, natural_key, parse_name

DATATYPES = ("anat", "func", "fmap")
PLANNING_FIELDS = (
    "B0FieldIdentifier",
    "B0FieldSource",
    "EchoTime",
    "EchoTime1",
    "EchoTime2",
    "EffectiveEchoSpacing",
    "IntendedFor",
    "PhaseEncodingDirection",
    "RepetitionTime",
    "SkullStripped",
    "TotalReadoutTime",
    "Units",
    "VolumeTiming",
)
"""The sidecar fields that the plan looks at; the others are not kept (slice times are large)."""

_IMAGE_ENDINGS = (".nii", ".nii.gz")
_MEANT_FOR_US = ("_bold", "_T1w")
_POINTER_MAX_BYTES = 32 * 1024
_POINTER_MARK = b"/annex/objects/"
_NOWHERE = "a symbolic link that leads nowhere or in a circle, in place of the folder"


@dataclass(frozen=True)
class Image:
    """One NIfTI file of the dataset."""

    path: Path
    datatype: str
    """One of `DATATYPES`."""
    name: Name

    @property
    def subject(self) -> str:
        """Without ``sub-``."""
        return self.name.entities[0][1]

    @property
    def session(self) -> str | None:
        """Without ``ses-``."""
        return self.name.get("ses")


@dataclass(frozen=True)
class Refused:
    """A file or folder that looks like data but whose name BIDS does not allow."""

    path: Path
    participant_id: str
    session_id: str | None
    reason: str
    meant_for_us: bool
    """It ends like a BOLD or T1w image, or is a participant's or session's folder."""


@dataclass(frozen=True)
class _Sidecar:
    path: Path
    entities: frozenset[tuple[str, str]]
    suffix: str


class Index:
    """The content of one dataset; make it with `build_index`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images: dict[str, list[Image]] = {}
        """Participant label to their images, in natural order of path."""
        self.sessions: dict[str, tuple[str, ...]] = {}
        """Participant label to session labels, in natural order."""
        self.refused: list[Refused] = []
        self._sidecars: dict[Path, list[_Sidecar]] = {}
        self._content: dict[Path, dict[str, Any]] = {}
        self._applying: dict[Path, tuple[Path, ...]] = {}
        self._merged: dict[Path, dict[str, Any]] = {}

    @property
    def participants(self) -> tuple[str, ...]:
        """Labels without ``sub-``, in natural order."""
        return tuple(self.images)

    def relative(self, path: Path) -> str:
        """Name a file as seen from the dataset's root."""
        return path.relative_to(self.root).as_posix()

    def sidecars(self, image: Image) -> tuple[Path, ...]:
        """Return the JSON files that apply to an image, least specific first.

        A JSON file applies if it lies in the image's folder or above, has the same suffix, and no entity that the
        image has not (BIDS, "The Inheritance Principle"). Where several of one folder apply, the one with fewer
        entities is the less specific.
        """
        if image.path not in self._applying:
            self._applying[image.path] = tuple(self._find_sidecars(image))
        return self._applying[image.path]

    def _find_sidecars(self, image: Image) -> Iterator[Path]:
        own = frozenset(image.name.entities)
        for folder in self._folders_to(image.path.parent):
            here = [
                item for item in self._sidecars.get(folder, ()) if item.suffix == image.name.suffix and item.entities <= own
            ]
            yield from (item.path for item in sorted(here, key=lambda item: (len(item.entities), item.path.name)))

    def metadata(self, image: Image) -> dict[str, Any]:
        """Return the `PLANNING_FIELDS` of an image's sidecars, merged.

        Raises
        ------
        InputError
            A sidecar is unreadable.
        """
        if image.path not in self._merged:
            merged: dict[str, Any] = {}
            for path in self.sidecars(image):
                merged |= self._read(path)
            self._merged[image.path] = merged
        return self._merged[image.path]

    def _read(self, path: Path) -> dict[str, Any]:
        if path not in self._content:
            require_content(path, self.relative(path))
            content = read_json(path)
            self._content[path] = {key: content[key] for key in PLANNING_FIELDS if key in content}
        return self._content[path]

    def _folders_to(self, folder: Path) -> Iterator[Path]:
        yield self.root
        parts = folder.relative_to(self.root).parts
        for depth in range(1, len(parts) + 1):
            yield self.root.joinpath(*parts[:depth])

    def add_file(self, entry: os.DirEntry[str], folder: Path, datatype: str | None) -> None:
        """Take in one file of `folder`; images count only inside a datatype's folder."""
        if entry.name.endswith(".json"):
            self._add_json(entry.name, folder)
        elif datatype is not None and entry.name.endswith(_IMAGE_ENDINGS):
            self._add_image(entry.name, folder, datatype)

    def _add_json(self, text: str, folder: Path) -> None:
        try:
            name = parse_name(text)
        except InputError:
            return  # dataset_description.json and the like; a JSON file that BIDS cannot name applies to nothing
        if name.extension != ".json":
            return
        sidecar = _Sidecar(folder / text, frozenset(name.entities), name.suffix)
        self._sidecars.setdefault(folder, []).append(sidecar)

    def _add_image(self, text: str, folder: Path, datatype: str) -> None:
        subject, *rest = folder.relative_to(self.root).parts[:-1]
        places = (subject, *rest)
        try:
            name = _name_in(text, places)
        except InputError as error:
            stem = text.partition(".")[0]
            self.refuse(folder / text, places, str(error), meant_for_us=stem.endswith(_MEANT_FOR_US))
            return
        if derived := [key for key, _ in name.entities if key in DERIVED]:
            reason = f"a derivative (it has {'-, '.join(derived)}-), not raw data"
            self.refuse(folder / text, places, reason, meant_for_us=False)
            return
        self.images[subject.removeprefix("sub-")].append(Image(folder / text, datatype, name))

    def refuse(self, path: Path, places: tuple[str, ...], reason: str, *, meant_for_us: bool) -> None:
        """Note a name that cannot be used; `places` are the participant's and perhaps the session's folder."""
        subject, *rest = places
        self.refused.append(Refused(path, subject, rest[0] if rest else None, reason, meant_for_us))


def build_index(bids_dir: Path) -> Index:
    """Walk a dataset once.

    Raises
    ------
    InputError
        The folder is no raw BIDS dataset, or holds no participant.
    """
    root = Path(os.path.abspath(bids_dir))  # noqa: PTH100  symbolic links stay: a dataset is known by the name given
    _require_raw_dataset(root)
    index = Index(root)
    for entry in _entries(root):
        if entry.name.startswith("sub-") and _leads_nowhere(entry):
            index.refuse(root / entry.name, (entry.name,), _NOWHERE, meant_for_us=True)
        elif entry.name.startswith("sub-") and entry.is_dir():
            if is_label(entry.name[4:]):
                _walk_participant(index, root / entry.name)
            else:
                index.refuse(root / entry.name, (entry.name,), _hostile(entry.name), meant_for_us=True)
        elif not _is_folder(entry):
            index.add_file(entry, root, None)
    if not index.images and not index.refused:
        raise InputError("the dataset holds no participant", where=root, expected="folders sub-LABEL")
    return index


def _name_in(text: str, places: tuple[str, ...]) -> Name:
    """Take apart the name of a file that lies in a participant's and perhaps a session's folder."""
    name = parse_name(text)
    if name.extension not in _IMAGE_ENDINGS:
        raise InputError(
            f"{text!r} is no BIDS file name: the extension {name.extension!r}", expected=" or ".join(_IMAGE_ENDINGS)
        )
    own = tuple(f"{key}-{value}" for key, value in name.entities if key in {"sub", "ses"})
    if own != places:
        raise InputError(f"{text!r} lies in the folder of another participant or session ({'/'.join(places)})")
    return name


def _require_raw_dataset(root: Path) -> None:
    description = root / "dataset_description.json"
    if not root.is_dir():
        raise InputError("there is no such folder", where=root, expected="the root of a BIDS dataset")
    if not description.is_file():
        raise InputError(
            "no BIDS dataset: dataset_description.json is missing",
            where=root,
            action="give the dataset's root folder, or add the file (it needs Name and BIDSVersion)",
        )
    if read_json(description).get("DatasetType", "raw") == "derivative":
        raise InputError(
            "a derivative dataset, not raw data",
            where=root,
            action="give the raw dataset as bids_dir, and these with --derivatives NAME=PATH",
        )


def _walk_participant(index: Index, folder: Path) -> None:
    label = folder.name[4:]
    index.images[label] = []
    sessions: list[str] = []
    for entry in _entries(folder):
        if _is_lost(entry):
            index.refuse(folder / entry.name, (folder.name,), _NOWHERE, meant_for_us=True)
        elif entry.name in DATATYPES and entry.is_dir():
            _walk_datatype(index, folder / entry.name)
        elif entry.name.startswith("ses-") and entry.is_dir():
            if is_label(entry.name[4:]):
                sessions.append(entry.name[4:])
                _walk_session(index, folder / entry.name)
            else:
                places = (folder.name, entry.name)
                index.refuse(folder / entry.name, places, _hostile(entry.name), meant_for_us=True)
        elif not _is_folder(entry):  # links to absent content too: they are named when they are needed
            index.add_file(entry, folder, None)
    index.sessions[label] = tuple(sessions)


def _walk_session(index: Index, folder: Path) -> None:
    for entry in _entries(folder):
        if _is_lost(entry):
            index.refuse(folder / entry.name, (folder.parent.name, folder.name), _NOWHERE, meant_for_us=True)
        elif entry.name in DATATYPES and entry.is_dir():
            _walk_datatype(index, folder / entry.name)
        elif not _is_folder(entry):  # links to absent content too: they are named when they are needed
            index.add_file(entry, folder, None)


def _walk_datatype(index: Index, folder: Path) -> None:
    for entry in _entries(folder):
        index.add_file(entry, folder, folder.name)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"the folder cannot be read ({error.strerror})", where=folder) from error
    return sorted(visible, key=lambda entry: natural_key(entry.name))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not Path(entry.path).exists()


def _is_lost(entry: os.DirEntry[str]) -> bool:
    """Tell whether a session's or datatype's folder is a link to nothing."""
    return (entry.name in DATATYPES or entry.name.startswith("ses-")) and _leads_nowhere(entry)


def _hostile(name: str) -> str:
    return f"{name!r} is no BIDS folder name: labels hold letters, digits and + only"


def require_content(path: Path, shown: str) -> None:
    """Check that a file's content is on this machine (DataLad keeps links or pointers to absent content).

    Raises
    ------
    InputError
        A broken symbolic link, a git-annex pointer in place of the image, or no file but a folder or a pipe.
    """
    absent = path.is_symlink() and not path.exists()
    if not absent and not path.is_file():
        raise InputError("a folder or a pipe in place of the file", where=shown, action="put the file there, or remove this")
    if not absent and 0 < path.stat().st_size < _POINTER_MAX_BYTES:
        with path.open("rb") as stream:
            absent = stream.read(len(_POINTER_MARK)) == _POINTER_MARK
    if absent:
        raise InputError(
            "the file's content is not on this machine (a link or pointer to absent content)",
            where=shown,
            action=f"get it, with DataLad: datalad get {shown}",
        )
