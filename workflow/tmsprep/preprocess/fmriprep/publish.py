"""From the folder that fMRIPrep wrote into to the shared dataset: checked first, then moved file by file.

Nothing is published of a job that failed or lacks a file of the contract. Later stages find the contract's files under
fixed names: links to what fMRIPrep wrote, whatever entities it kept.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tmsprep.errors import ContractError, ExternalProgramError
from tmsprep.files import read_json, sha256, temporary_twin, write_json
from tmsprep.inputs.entities import parse_name
from tmsprep.inputs.model import Echo, Run, Unit
from tmsprep.preprocess.contract import BOLD, NLIN6_TO_T1W, Anatomy, Functional, Item, anat_stem, bold_stem, folder_of_stem
from tmsprep.preprocess.existing import Existing

_NO_ENTITIES_OF_A_RUN = ("echo", "part")


def unit_of(t1w: Path, bold: Iterable[Path]) -> Unit:
    """Return what a job processes, made of the images' names; echoes in the order given."""
    groups: dict[tuple[tuple[str, str], ...], list[Path]] = {}
    for path in bold:
        entities = tuple(item for item in parse_name(path.name).entities if item[0] not in _NO_ENTITIES_OF_A_RUN)
        groups.setdefault(entities, []).append(path)
    runs = tuple(
        Run(dict(entities), tuple(Echo(path, None, ()) for path in paths), 0.0, None) for entities, paths in groups.items()
    )
    return Unit(parse_name(t1w.name).entities[0][1], None, t1w, (), runs, None)


def contract_files(dataset: Existing, unit: Unit) -> dict[str, Path]:
    """Return each contract file's fixed name and where fMRIPrep put it.

    Raises
    ------
    ContractError
        One is missing; the message names it and the option that writes it.
    """
    anat = anat_stem(unit)
    of_t1w = [*(entry.value for entry in Anatomy), NLIN6_TO_T1W]
    items = [(item, _fixed(item, anat), dataset.anatomy(unit, item)) for item in of_t1w]
    for run in unit.runs:
        items += [(entry.value, _fixed(entry.value, run.stem), dataset.functional(unit, run, entry)) for entry in Functional]
        for echo, path in zip(run.echoes, dataset.series(unit, run), strict=True):
            fixed = _fixed(BOLD, bold_stem(run, echo))
            items += [(BOLD, fixed, path), (BOLD, _sidecar_name(fixed), path.with_name(_sidecar_name(path.name)))]
    for item, _, path in items:
        if not path.is_file():
            raise ContractError(
                f"fMRIPrep ended without error, but did not write {path.name}",
                where=path.parent.relative_to(dataset.root),
                expected=f"this file is {item.written}",
                action="look into fMRIPrep's log for this participant; nothing was published",
            )
    return {fixed: path for _, fixed, path in items}


def _fixed(item: Item, stem: str) -> str:
    return f"{folder_of_stem(stem)}/{item.name.format(anat=stem, run=stem, bold=stem)}"


def _sidecar_name(name: str) -> str:
    return name.removesuffix(".nii.gz") + ".json"


@dataclass(frozen=True)
class Publication:
    """A job's output on its way into the dataset."""

    source: Path
    """The folder that fMRIPrep wrote into."""
    dataset: Path
    """The shared dataset."""
    anat: str
    """The job's name."""
    note: Path
    """Remembers in the work folder what was published last, so that a re-run leaves nothing stale behind."""
    own_report: bool
    """Several jobs share the participant: the page gets the job's name."""

    def publish(self) -> dict[str, str]:
        """Move everything and return each file's sha256 by its name in the dataset; pages last.

        Raises
        ------
        ExternalProgramError
            There is nothing to publish.
        """
        moves = {path: self._name_of(path) for path in sorted(self.source.rglob("*")) if path.is_file()}
        moves = {path: name for path, name in moves.items() if name}
        if not moves:
            raise ExternalProgramError("fMRIPrep wrote nothing", where=self.source)
        self._remove_earlier(set(moves.values()))
        digests: dict[str, str] = {}
        for path, name in sorted(moves.items(), key=lambda move: (move[1].endswith(".html"), move[1])):
            digests[name] = sha256(path)
            _move(path, self.dataset / name)
        write_json(self.note, {"Files": sorted(digests)})
        return digests

    def _name_of(self, path: Path) -> str:
        """Return a file's name in the dataset; empty for what stays behind."""
        name = path.relative_to(self.source)
        subject = self.anat.partition("_")[0]
        if name.parts[0] == "logs":
            return f"logs/{self.anat}/{name.relative_to('logs').as_posix()}"
        if len(name.parts) == 1 and name.suffix == ".html":
            return f"{self.anat}.html" if self.own_report and name.stem == subject else name.name
        if len(name.parts) == 1:  # the dataset's own description; ours names the same and more
            return f"logs/{self.anat}/{name.name}" if name.name == "dataset_description.json" else ""
        return name.as_posix() if name.parts[0] == subject else ""

    def _remove_earlier(self, kept: set[str]) -> None:
        if not self.note.is_file():
            return
        for name in read_json(self.note)["Files"]:
            if name not in kept:
                (self.dataset / name).unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    """Move a file, complete or not at all, also between file systems."""
    target.parent.mkdir(parents=True, exist_ok=True)
    twin = temporary_twin(target)
    try:
        shutil.move(source, twin)
        twin.replace(target)
    finally:
        twin.unlink(missing_ok=True)
