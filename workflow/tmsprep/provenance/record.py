"""What a stage run leaves behind for those who come later: a sidecar for each output.

A sidecar is the same for the same inputs and version, whatever the machine: it names files by BIDS URIs, never by path,
and holds no clock.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tmsprep.files import read_json, sha256, temporary_twin, write_json
from tmsprep.provenance import machine

UNLINKED = "unlinked"
"""Prefix of files outside every linked dataset: known by name and checksum only."""
_CLOSED = (".mrk.json", "_decision_tree.json")
"""JSON whose schema is another program's: nothing is added."""
_FOLDERS = re.compile(r"(?<![\w.:/])/(?:[^/\s'\",\])]+/)+")
"""The folders of an absolute path in a text."""
_SIDECAR_ENDINGS = (".nii.gz", ".nii", ".tsv", ".h5", ".txt", ".surf.gii")


@dataclass(frozen=True)
class StageRun:
    """One run of one stage, as it happened."""

    name: str
    arguments: dict[str, Any]
    inputs: dict[str, list[Path]]
    outputs: dict[str, list[Path]]
    started: float
    """Seconds since the epoch."""
    ended: float
    digests: dict[Path, str] = field(default_factory=dict[Path, str])
    """What `digest` found."""

    def digest(self, path: Path) -> str:
        """Return a file's SHA-256, computed once a run: inputs do not change while a stage runs."""
        if path not in self.digests:
            self.digests[path] = sha256(path)
        return self.digests[path]


@cache
def dataset_root(folder: Path) -> Path | None:
    """Return the closest folder at or above `folder` that holds a ``dataset_description.json``."""
    for candidate in (folder, *folder.parents):
        if (candidate / "dataset_description.json").is_file():
            return candidate
    return None


def bids_uri(path: Path, seen_from: Path) -> str:
    """Name a file or a dataset by a BIDS URI as seen from another file's dataset.

    The dataset's ``DatasetLinks`` give the prefix; a dataset inside a linked one is named from there. A file outside every
    linked dataset is named by its name alone, as ``bids:unlinked:NAME`` (its sha256, recorded beside it, identifies it).
    """
    target = path.resolve()
    if seen_from.name == "dataset_description.json":  # it states the links: the same whether there was an earlier one
        return f"bids:{UNLINKED}:{path.name}"
    own = dataset_root(seen_from.parent.resolve())
    other = dataset_root(target if target.is_dir() else target.parent)
    unlinked = f"bids:{UNLINKED}:{path.name}"
    if own is None or other is None:
        return unlinked
    places = _links(own) | {own: ""}
    root = next((folder for folder in (other, *other.parents) if folder in places), None)
    if root is None:
        return unlinked
    relative = target.relative_to(root)
    if root == other and relative.parts[:1] == ("derivatives",):  # below the raw dataset, yet no part of it
        return unlinked
    return f"bids:{places[root]}:{'' if target == root else relative.as_posix()}"


@cache
def _links(root: Path) -> dict[Path, str]:
    links = read_json(root / "dataset_description.json").get("DatasetLinks", {})
    return {_linked_path(root, link): prefix for prefix, link in links.items()}


def _linked_path(root: Path, link: str) -> Path:
    return (root / link.removeprefix("file://")).resolve()


def sidecar_path(path: Path) -> Path | None:
    """Return where a file's sidecar belongs, or None for files that carry none."""
    for ending in _SIDECAR_ENDINGS:
        if path.name.endswith(ending):
            return path.with_name(path.name.removesuffix(ending) + ".json")
    return None


def write_sidecars(run: StageRun, twins: Mapping[Path, Path], fields: Mapping[str, Any] | None) -> dict[Path, Path]:
    """Write the sidecars of a finished run under temporary names.

    Parameters
    ----------
    run
        What ran.
    twins
        Output to the temporary file that holds its content.
    fields
        What the stage function returned; a path among the values is a file that the reader is pointed to.

    Returns
    -------
    dict[Path, Path]
        Sidecar to its temporary file, to be published with the outputs. JSON outputs take the fields themselves.
    """
    made: dict[Path, Path] = {}
    for key, paths in run.outputs.items():
        own = (fields or {}).get(key, {})
        for index, path in enumerate(paths):
            if twins[path].is_symlink():  # what it points to was described by who wrote it
                continue
            extra = own[index] if isinstance(own, list) else own
            if path.name.endswith(_CLOSED):
                continue
            if path.suffix == ".json":
                _extend_json(twins[path], _provenance(run, path) | _with_uris(extra, path))
            elif (sidecar := sidecar_path(path)) is not None and dataset_root(path.parent.resolve()):
                content = _with_uris(extra, path) | _provenance(run, path) | {"SHA256": run.digest(twins[path])}
                made[sidecar] = temporary_twin(sidecar)
                write_json(made[sidecar], content)
    return made


def _with_uris(fields: Mapping[str, Any], seen_from: Path) -> dict[str, Any]:
    """Name the files among the values by BIDS URIs."""
    return {key: bids_uri(value, seen_from) if isinstance(value, Path) else value for key, value in fields.items()}


def _extend_json(path: Path, extra: Mapping[str, Any]) -> None:
    """Add fields; what the stage itself wrote stays, such as a dataset's whole ``GeneratedBy`` chain."""
    own = read_json(path)
    write_json(path, own | {key: value for key, value in extra.items() if key not in own})


def _provenance(run: StageRun, path: Path) -> dict[str, Any]:
    sources = [source for paths in run.inputs.values() for source in paths]
    return {
        "Sources": [bids_uri(source, path) for source in sources],
        "SourcesSHA256": [run.digest(source) for source in sources],
        "Command": command_line(run, path),
        "GeneratedBy": machine.programs(),
    }


def command_line(run: StageRun, seen_from: Path) -> str:
    """Return the command that ran, quoted for a shell, with BIDS URIs for paths."""
    words = ["tmsprep", "stage", run.name]
    for key, value in run.arguments.items():
        words += _option("--" + key.replace("_", "-"), value, seen_from)
    return shlex.join(words)


def _option(name: str, value: Any, seen_from: Path) -> list[str]:
    """Return an option's words as the command line takes them; none for what was not given."""
    if value is None or (isinstance(value, (list, tuple)) and not value):
        return []
    if isinstance(value, bool):
        return [name if value else name.replace("--", "--no-", 1)]
    if isinstance(value, str) and value.startswith("-"):  # else taken for an option
        return [f"{name}={without_folders(value)}"]
    values = value if isinstance(value, (list, tuple)) else [value]
    if name == "--link":  # NAME=PATH of a dataset; the way to it may name a user
        values = [f"{item.partition('=')[0]}=bids:{item.partition('=')[0]}:" for item in values]
    return [name, *(bids_uri(item, seen_from) if isinstance(item, Path) else _word(item) for item in values)]


def without_folders(text: str) -> str:
    """Cut absolute paths in a text to their last part: they may name a user or a machine."""
    return _FOLDERS.sub("", text)


def _word(value: Any) -> str:
    return without_folders(value) if isinstance(value, str) else json.dumps(value)
