"""Preprocessed derivatives that the user has already: who made them, and where each file of the contract is.

fMRIPrep names a T1w's outputs by the entities that its T1w images share: ``sub-01``, ``sub-01_ses-1`` or
``sub-01_ses-1_acq-x_run-2``. It may also have made one T1w reference a session. Here the outputs themselves are looked at;
nothing is assumed from the raw names alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from tmsprep.errors import ContractError, InputError, TmsprepError
from tmsprep.files import read_json
from tmsprep.inputs.model import Plan, PlanRow, RowStatus, Run, Unit
from tmsprep.preprocess.contract import BOLD, Anatomy, Functional, Item, bold_stem, folder_of_stem

OLDEST = Version("23.2")
"""The first fMRIPrep whose native series, references and transforms have the contract's names and meaning."""
OWN_ENGINE = "tmsprep-builtin"
_T1W_ENDING = "_desc-preproc_T1w.nii.gz"


@dataclass(frozen=True)
class Existing:
    """A preprocessed dataset."""

    root: Path
    maker: str
    """Name and version, as its description states them."""

    @classmethod
    def open(cls, root: Path) -> Existing:
        """Read a dataset's description.

        Raises
        ------
        InputError
            It is no dataset of fMRIPrep 23.2 or later, nor of the builtin engine.
        """
        description = root / "dataset_description.json"
        if not description.is_file():
            raise InputError(
                "no preprocessed dataset",
                where=root,
                expected="a folder with fMRIPrep's dataset_description.json",
                action="give the folder that holds fMRIPrep's sub-* folders: --derivatives fmriprep=PATH",
            )
        return cls(root, _maker(description, read_json(description)))

    def folder(self, unit: Unit, run: Run | None = None) -> str:
        """Return ``sub-01`` or ``sub-01/ses-1`` of a T1w's (or a run's) outputs."""
        stem = self.anatomy_stem(unit) if run is None else run.stem
        return folder_of_stem(stem)

    def anatomy_stem(self, unit: Unit) -> str:
        """Return the start of the names of a T1w's outputs.

        Raises
        ------
        InputError
            There is none, or there are several and none that the unit's T1w image belongs to.
        """
        found = _t1w_stems(self.root, unit.subject)
        own = unit.t1w.name.removesuffix(".gz").removesuffix(".nii").removesuffix("_T1w")
        of_session = folder_of_stem(own).replace("/", "_")
        for stem in (own, of_session, f"sub-{unit.subject}"):
            if stem in found:
                return stem
        if len(found) == 1:  # all runs were registered to it, whatever its name
            return next(iter(found))
        raise InputError(
            f"no preprocessed T1w image belongs to {unit.t1w.name}" if found else "no preprocessed T1w image",
            where=Path(f"sub-{unit.subject}"),
            expected=f"*{_T1W_ENDING}" + (f"; there are {', '.join(sorted(found))}" if found else ""),
        )

    def anatomy(self, unit: Unit, item: Anatomy | Item) -> Path:
        """Return a T1w's file of the contract."""
        name = item.name if isinstance(item, Item) else item.value.name
        return self.root / self.folder(unit) / name.format(anat=self.anatomy_stem(unit))

    def functional(self, unit: Unit, run: Run, item: Functional) -> Path:
        """Return a run's file of the contract."""
        return self.root / self.folder(unit, run) / item.value.name.format(run=run.stem)

    def series(self, unit: Unit, run: Run) -> list[Path]:
        """Return the series of a run's echoes, or the one series of a single-echo run."""
        stems = [bold_stem(run, echo) for echo in run.echoes]
        return [self.root / self.folder(unit, run) / BOLD.name.format(bold=stem) for stem in stems]

    def has_other_reference(self, unit: Unit, run: Run) -> bool:
        """Tell whether the run was registered to the T1w of its own session, which is not the unit's."""
        chosen, session = self.anatomy_stem(unit), run.entities.get("ses")
        others = _t1w_stems(self.root, unit.subject) - {chosen}
        return any(f"ses-{session}" in stem.split("_") for stem in others) and f"ses-{session}" not in chosen.split("_")


@cache
def _t1w_stems(root: Path, subject: str) -> frozenset[str]:
    home = root / f"sub-{subject}"
    files = [*home.glob(f"anat/*{_T1W_ENDING}"), *home.glob(f"ses-*/anat/*{_T1W_ENDING}")]
    return frozenset(path.name.removesuffix(_T1W_ENDING) for path in files if "_space-" not in path.name)


def _maker(description: Path, content: Mapping[str, Any]) -> str:
    generated = content.get("GeneratedBy")
    made = [item for item in (generated if isinstance(generated, list) else [generated]) if isinstance(item, dict)]
    made += [item for item in [content.get("PipelineDescription")] if isinstance(item, dict)]  # before BIDS 1.4
    for item in made:
        name, version = str(item.get("Name", "")), str(item.get("Version", ""))
        if name.lower() == OWN_ENGINE:
            return f"{OWN_ENGINE} {version}"
        if name.lower() == "fmriprep":
            _require_recent(description, version)
            return f"fMRIPrep {version}"
    names = ", ".join(str(item.get("Name")) for item in made) or "nobody"
    raise InputError(f"these derivatives were made by {names}", where=description, expected=f"fMRIPrep {OLDEST} or later")


def _require_recent(description: Path, text: str) -> None:
    try:
        # a release candidate of 23.2 has its layout already
        recent = Version(Version(text).base_version) >= OLDEST
    except InvalidVersion:
        recent = False
    if not recent:
        raise InputError(
            f"these derivatives are fMRIPrep {text or 'of unknown version'}'s",
            where=description,
            expected=f"{OLDEST} or later: before, native series and their transform to the T1w were written otherwise, and"
            " echoes were not corrected for distortion",
            action="run a recent fMRIPrep, or leave --derivatives out",
        )


# The plan, seen with what is there


def adapt(plan: Plan, existing: Existing) -> Plan:
    """Return the plan with what the derivatives hold: what is incomplete is left out, with the reason in its row.

    Parameters
    ----------
    plan
        Of the raw dataset.
    existing
        The derivatives.
    """
    notes = _Notes(plan.bids_dir, {})
    units = [adapted for unit in plan.units if (adapted := _adapt_unit(unit, existing, notes)) is not None]
    return replace(plan, units=tuple(units), rows=tuple(notes.applied(row) for row in plan.rows))


@dataclass(frozen=True)
class _Notes:
    """What becomes of raw images, by their path in the dataset."""

    bids_dir: Path
    found: dict[str, tuple[RowStatus, str]]

    def add(self, image: Path, status: RowStatus, text: str) -> None:
        self.found[image.relative_to(self.bids_dir).as_posix()] = (status, text)

    def applied(self, row: PlanRow) -> PlanRow:
        """Return the row with its note; an image that is processed keeps its remarks."""
        for status, text in (self.found[name] for name in row.files.split(",") if name in self.found):
            remarks = [row.reason] if row.reason and status is RowStatus.PROCESS else []
            reason = " ".join("; ".join([*remarks, text]).split()).replace('"', "'")
            return replace(row, status=status, reason=reason)
        return row


def _adapt_unit(unit: Unit, existing: Existing, notes: _Notes) -> Unit | None:
    try:
        used = existing.anatomy(unit, Anatomy.T1W).name
        _require(existing, {item.value: existing.anatomy(unit, item) for item in Anatomy})
    except TmsprepError as error:
        notes.add(unit.t1w, RowStatus.ERROR, str(error))
        for run in unit.runs:
            notes.add(run.echoes[0].path, RowStatus.EXCLUDE, "its preprocessed T1w is incomplete or missing")
        return None
    runs = [adapted for run in unit.runs if (adapted := _adapt_run(unit, run, existing, notes)) is not None]
    if not runs:
        notes.add(unit.t1w, RowStatus.EXCLUDE, "no functional run is preprocessed")
        return None
    notes.add(unit.t1w, RowStatus.PROCESS, f"preprocessed by {existing.maker}: {used}")
    return replace(unit, runs=tuple(runs))


def _adapt_run(unit: Unit, run: Run, existing: Existing, notes: _Notes) -> Run | None:
    adapted, remark = _with_series(unit, run, existing)
    try:
        _require_reference(unit, run, existing)
        _require(existing, {item.value: existing.functional(unit, run, item) for item in Functional})
        for path in existing.series(unit, adapted):
            _require(existing, {BOLD: path})
    except TmsprepError as error:
        notes.add(run.echoes[0].path, RowStatus.ERROR, str(error))
        return None
    if remark:
        notes.add(run.echoes[0].path, RowStatus.PROCESS, remark)
    return adapted


def _require_reference(unit: Unit, run: Run, existing: Existing) -> None:
    if existing.has_other_reference(unit, run):
        raise ContractError(
            "registered to the preprocessed T1w of its own session, not to the one that the target is given in",
            where=Path(existing.folder(unit, run)),
            action="make one target a session: --per-session",
        )


def _with_series(unit: Unit, run: Run, existing: Existing) -> tuple[Run, str]:
    """Take the combined series for single-echo where a multi-echo run's echoes are not there."""
    single = replace(run, echoes=run.echoes[:1])
    (combined,) = existing.series(unit, single)
    if len(run.echoes) == 1 or all(path.exists() for path in existing.series(unit, run)) or not combined.exists():
        return run, ""
    return single, "echoes not in the derivatives (--me-output-echos): the combined series is used as single-echo, no tedana"


def _require(existing: Existing, files: Mapping[Item, Path]) -> None:
    for item, path in files.items():
        if not path.exists():
            raise ContractError(
                f"{existing.maker}'s outputs lack {path.name}",
                where=path.parent.relative_to(existing.root),
                expected=f"all that preprocessing hands over; this file is {item.written}",
            )
