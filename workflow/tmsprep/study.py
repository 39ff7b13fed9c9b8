"""What the Snakefile reads: the plan and the options, as names of files and the look-ups between them.

Rules use three kinds of wildcard, each with its folder (``sub-01`` or ``sub-01/ses-1``): ``{anat}`` a T1w, ``{bold}`` one
echo (or a single-echo run) of a ``{run}``, and ``{unit}`` what gets one target. A `Study` answers what belongs to what.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

from tmsprep.errors import ConfigurationError, InputError
from tmsprep.files import atomic
from tmsprep.inputs.model import Echo, Plan, Run, Unit
from tmsprep.inputs.plan import PlanOptions, make_plan
from tmsprep.interfaces.containers import Runtime, choose
from tmsprep.options import Options, Preprocessing, from_mapping
from tmsprep.preprocess import contract
from tmsprep.preprocess.contract import anat_stem, bold_stem, folder_of_stem
from tmsprep.preprocess.existing import Existing, adapt
from tmsprep.preprocess.fmriprep.arguments import extra_options
from tmsprep.target.circuits import load_circuit, require_polarity
from tmsprep.target.library import cached_image, resolve
from tmsprep.target.masks import load_search_mask
from tmsprep.target.quality import Thresholds

DRAFT_FOLDER = "nibs"
"""NIBS-BIDS (BEP037) is a draft: the folder's name is stated here only."""
MAX_SEED = 2**31 - 100
"""What fits the libraries' 32-bit seeds, with room for the seeds that follow the first."""


def folder_of(entities: Mapping[str, str]) -> str:
    """Return ``sub-01`` or ``sub-01/ses-1``."""
    session = entities.get("ses")
    return f"sub-{entities['sub']}" + (f"/ses-{session}" if session else "")


def stem_of(subject: str, session: str | None) -> str:
    """Return ``sub-01`` or ``sub-01_ses-1``."""
    return f"sub-{subject}" + (f"_ses-{session}" if session else "")


@dataclass(frozen=True)
class Study:
    """One run of the workflow: its options, its plan, and where everything goes."""

    options: Options
    plan: Plan

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Study:
        """Check the configuration, make the plan, and keep it in the work folder (rewritten only when it changed).

        Raises
        ------
        TmsprepError
            The configuration or the dataset cannot be used.
        """
        options = from_mapping(config)
        check_options(options)
        plan = make_plan(plan_options(options))
        if (folder := existing_derivatives(options)) is not None:
            plan = adapt(plan, Existing.open(folder))
        study = cls(options, plan)
        study.keep_plan()
        return study

    def keep_plan(self) -> None:
        """Write the plan to the work folder unless the same one is there."""
        with atomic(self.plan_file) as twin:
            self.plan.to_json(twin)
            if self.plan_file.exists() and self.plan_file.read_bytes() == twin.read_bytes():
                shutil.copystat(self.plan_file, twin)  # unchanged: what was made of it stays up to date

    # Places

    @property
    def plan_file(self) -> Path:
        """The plan as JSON."""
        return self.options.work / "plan.json"

    @property
    def engine(self) -> Engine:
        """What preprocesses."""
        return engine_of(self.options)

    @property
    def preproc(self) -> Path:
        """The preprocessed dataset: existing derivatives, or the engine's own."""
        if self.existing:
            return self.existing.root
        return self.options.output_dir / self.engine.value

    @property
    def contract_root(self) -> Path:
        """Where the contract's files have their fixed names: the engine's dataset, or links into fMRIPrep's."""
        return self.options.work / "fmriprep-links" if self.engine is Engine.FMRIPREP else self.preproc

    @cached_property
    def existing(self) -> Existing | None:
        """Preprocessed derivatives that the user already has."""
        folder = existing_derivatives(self.options)
        return Existing.open(folder) if folder else None

    @property
    def tedana(self) -> Path:
        """The multi-echo dataset."""
        return self.options.output_dir / "tedana"

    @property
    def tmsprep(self) -> Path:
        """The dataset with targets."""
        return self.options.output_dir / "tmsprep"

    @property
    def truth(self) -> Path | None:
        """The known targets of a simulated dataset."""
        path = self.options.bids_dir / "derivatives" / "truth" / "targets.tsv"
        return path if path.is_file() else None

    def datasets(self) -> tuple[str, ...]:
        """Return the folders of the derivative datasets that this run writes."""
        own = () if self.existing else (self.preproc.name,)
        multi_echo = (self.tedana.name,) if any(map(self.is_multi_echo, self.runs)) else ()
        return (*own, *multi_echo, self.tmsprep.name)

    def links(self, dataset: str) -> dict[str, str]:
        """Return a dataset's ``DatasetLinks``, relative to its folder."""
        places = {"raw": self.options.bids_dir}
        if dataset != self.preproc.name:
            places["preprocessed"] = self.preproc
        if dataset == self.tmsprep.name and self.tedana.name in self.datasets():
            places["tedana"] = self.tedana
        if dataset == self.tedana.name:
            places["tmsprep"] = self.tmsprep  # where its summary goes
        home = self.options.output_dir.resolve() / dataset
        return {name: os.path.relpath(path.resolve(), home) for name, path in places.items()}

    # What there is

    @cached_property
    def units(self) -> dict[str, Unit]:
        """Units by the stem of their target files."""
        return {unit_stem(unit): unit for unit in self.plan.units}

    @cached_property
    def runs(self) -> dict[str, Run]:
        """Runs by their stem."""
        return {run.stem: run for unit in self.plan.units for run in unit.runs}

    @cached_property
    def bolds(self) -> dict[str, tuple[Run, Echo]]:
        """Echoes, and single-echo runs, by their stem."""
        return {bold_stem(run, echo): (run, echo) for run in self.runs.values() for echo in run.echoes}

    @cached_property
    def anats(self) -> dict[str, Unit]:
        """A unit that uses each T1w, by the T1w's ``sub-01[_ses-1]``."""
        return {anat_stem(unit): unit for unit in self.plan.units}

    def units_of_anat(self, anat: str) -> list[Unit]:
        """Return the units that are registered to a T1w."""
        return self._units_by_anat[anat]

    @cached_property
    def _units_by_anat(self) -> dict[str, list[Unit]]:
        found: dict[str, list[Unit]] = {}
        for unit in self.plan.units:
            found.setdefault(anat_stem(unit), []).append(unit)
        return found

    @cached_property
    def anats_of_subject(self) -> Counter[str]:
        """How many T1w references each participant has."""
        return Counter(unit.subject for unit in self.anats.values())

    def unit_of_run(self, run: str) -> Unit:
        """Return the unit that a run belongs to."""
        return self._units_of_runs[run]

    @cached_property
    def _units_of_runs(self) -> dict[str, Unit]:
        return {run.stem: unit for unit in self.plan.units for run in unit.runs}

    # Patterns of files

    def contract(self, item: contract.Item | contract.Anatomy | contract.Functional, folder: str = "{folder}") -> str:
        """Return the pattern of a file of the preprocessing contract."""
        return contract.path(self.contract_root, folder, item)

    def anatomy(self, item: contract.Anatomy, anat: str) -> str:
        """Return a T1w's file of the contract."""
        if self.existing:
            return self.existing.anatomy(self.anats[anat], item).as_posix()
        return self.contract(item, folder_of_stem(anat)).format(anat=anat)

    def nlin6_to_t1w(self, anat: str) -> list[str]:
        """Return a T1w's transform from MNI152NLin6Asym, if fMRIPrep makes one or existing derivatives hold one."""
        if self.engine is Engine.FMRIPREP:
            return [self.contract(contract.NLIN6_TO_T1W, folder_of_stem(anat)).format(anat=anat)]
        if not self.existing:
            return []
        path = self.existing.anatomy(self.anats[anat], contract.NLIN6_TO_T1W)
        return [path.as_posix()] if path.is_file() else []

    def functional(self, item: contract.Functional, run: str) -> str:
        """Return a run's file of the contract."""
        if self.existing:
            return self.existing.functional(self.unit_of_run(run), self.runs[run], item).as_posix()
        return self.contract(item, folder_of(self.runs[run].entities)).format(run=run)

    def bold(self, bold: str) -> str:
        """Return the preprocessed series of an echo or single-echo run."""
        run, _ = self.bolds[bold]
        return self.contract(contract.BOLD, folder_of(run.entities)).format(bold=bold)

    def echoes(self, run: str) -> list[str]:
        """Return the preprocessed series of a run, ascending echo time."""
        if self.existing:
            return [path.as_posix() for path in self.existing.series(self.unit_of_run(run), self.runs[run])]
        return [self.bold(bold_stem(self.runs[run], echo)) for echo in self.runs[run].echoes]

    def sidecars(self, run: str) -> list[str]:
        """Return the sidecars that apply to a run's first echo, least specific first."""
        return [str(path) for path in self.runs[run].echoes[0].sidecars]

    def anat_of_run(self, run: str) -> str:
        """Return the stem of the T1w that a run is registered to."""
        return anat_stem(self.unit_of_run(run))

    def is_multi_echo(self, run: str) -> bool:
        """Tell whether a run goes through tedana."""
        return len(self.runs[run].echoes) >= MULTI_ECHO

    def multi_echo_runs(self, unit: str) -> list[str]:
        """Return the unit's runs that go through tedana."""
        return [run.stem for run in self.units[unit].runs if self.is_multi_echo(run.stem)]

    def run_stems(self, unit: str) -> list[str]:
        """Return the stems of a unit's runs."""
        return [run.stem for run in self.units[unit].runs]

    def participant_files(self, pattern: str, units: Iterable[str] | None = None) -> list[str]:
        """Fill a unit's file pattern (``{folder}``, ``{unit}``, ``{label}``) for all units."""
        return [
            pattern.format(
                folder=unit_folder(self.units[unit]),
                unit=unit,
                anat=anat_stem(self.units[unit]),
                label=unit_label(unit),
            )
            for unit in (self.units if units is None else units)
        ]


GROUP_UNITS = "group_units"
"""Key of the configuration: the units with a result, which the group is made of."""
GROUP_WITHOUT = "group_without"
"""Key of the configuration: participants without a result, and why, for the group's page."""
"""Configuration key: the units that the group level takes in; all if absent."""

MULTI_ECHO = 3
"""Echoes from which a run goes through tedana (its documentation asks for three)."""


def unit_folder(unit: Unit) -> str:
    """Return the folder of a unit's files."""
    return folder_of({"sub": unit.subject} | ({"ses": unit.session} if unit.session else {}))


def unit_stem(unit: Unit) -> str:
    """Return the stem of a unit's target files: with the task where all its runs share it."""
    tasks = {run.entities["task"] for run in unit.runs}
    stem = stem_of(unit.subject, unit.session)
    return f"{stem}_task-{tasks.pop()}" if len(tasks) == 1 else stem


def unit_label(unit: str) -> str:
    """Return ``sub-01[_ses-1]`` of a unit's stem: the name of its page."""
    return unit.partition("_task-")[0]


def plan_options(options: Options) -> PlanOptions:
    """Return the part of the options that the plan depends on."""
    return PlanOptions(
        bids_dir=options.bids_dir,
        participant_label=options.participant_label,
        session_label=options.session_label,
        task_id=options.task_id,
        bids_filter_file=options.bids_filter_file,
        per_session=options.per_session,
    )


class Engine(Enum):
    """What fulfils the preprocessing contract; the value is the folder of its dataset."""

    EXISTING = "existing"
    FMRIPREP = "fmriprep"
    BUILTIN = "tmsprep-builtin"


def engine_of(options: Options) -> Engine:
    """Return the engine that options ask for; existing derivatives go before."""
    if existing_derivatives(options) is not None:
        return Engine.EXISTING
    return Engine.FMRIPREP if options.preproc is Preprocessing.FMRIPREP else Engine.BUILTIN


def license_file(options: Options) -> Path | None:
    """Return FreeSurfer's licence, as given or as the environment names it."""
    named = os.environ.get("FS_LICENSE")
    return options.fs_license_file or (Path(named) if named else None)


def check_fmriprep(options: Options) -> Runtime:
    """Return what will start fMRIPrep, or refuse if it cannot be started here.

    Raises
    ------
    TmsprepError
        There is no runtime or no licence.
    """
    path = license_file(options)
    if path is None or not path.is_file():
        raise ConfigurationError(
            f"there is no FreeSurfer licence at {path}" if path else "no FreeSurfer licence is named",
            where="--fs-license-file",
            expected="the file that FreeSurfer's registration gives (free); fMRIPrep wants it even without surfaces",
            action="name it, or use --preproc builtin",
        )
    return choose(options.container_runtime)


def existing_derivatives(options: Options) -> Path | None:
    """Return the path given as ``--derivatives fmriprep=PATH``.

    Raises
    ------
    ConfigurationError
        The value is not of that form.
    """
    for value in options.derivatives:
        name, separator, path = value.partition("=")
        if name != "fmriprep" or not separator:
            raise ConfigurationError(f"{value!r}", where="--derivatives", expected="fmriprep=PATH")
        return Path(path)
    return None


def check_options(options: Options) -> None:
    """Refuse options that cannot work, before anything is read.

    Raises
    ------
    TmsprepError
        With the option's name.
    """
    if not options.bids_dir.is_dir():
        raise InputError("there is no such folder", where=options.bids_dir, expected="a BIDS dataset")
    if options.output_dir.resolve() == options.bids_dir.resolve():
        raise ConfigurationError("the output folder is the dataset itself", action="choose another output folder")
    if not 1 <= options.seed <= MAX_SEED:
        raise ConfigurationError(
            f"the seed is {options.seed}", where="--seed", expected=f"1 to {MAX_SEED}: libraries take the clock for 0"
        )
    existing_derivatives(options)
    extra_options(options.fmriprep_options)
    if options.surfaces and engine_of(options) is not Engine.FMRIPREP:
        raise ConfigurationError("only fMRIPrep reconstructs surfaces", where="--surfaces", action="add --preproc fmriprep")
    for name in ("fmriprep_threads", "fmriprep_mem_mb", "bootstrap_draws"):
        if getattr(options, name) < 1:
            raise ConfigurationError("at least 1 is needed", where="--" + name.replace("_", "-"))
    _check_numbers(options)
    Thresholds.load(options.thresholds)
    for path in (options.bids_filter_file, options.fiducials):
        if path is not None and not path.is_file():
            raise InputError("the file is not there", where=path)
    load_search_mask(options.search_mask)
    weights = resolve(*circuit_of(options), options.circuit_space)
    require_polarity(weights, force=options.force_polarity)


def _check_numbers(options: Options) -> None:
    """Refuse numbers with which a stage would fail hours later, or go on with NaN."""
    limits: dict[str, tuple[float, float]] = {
        "fd_threshold_mm": (0.01, 10.0),
        "smoothing_fwhm_mm": (0.0, 30.0),
        "max_depth_mm": (1.0, 100.0),
        "handle_angle_deg": (-360.0, 360.0),
        "dummy_scans": (0, 10_000),
    }
    for name, (low, high) in limits.items():
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise ConfigurationError(f"it is {value}", where="--" + name.replace("_", "-"), expected=f"{low:g} to {high:g}")


def circuit_of(options: Options) -> tuple[str, Path | None]:
    """Return the circuit's name, and its file where it has one: the user's own, or a shipped circuit's fetched image."""
    path = Path(options.circuit)
    if path.name.endswith((".nii.gz", ".nii", ".json")):
        return path.name.split(".")[0], path
    return options.circuit, cached_image(load_circuit(options.circuit))
