"""The options of a run.

One frozen dataclass, from which the command line, the configuration file's schema and the reference are made. There is no
second list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum, StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from tmsprep.errors import ConfigurationError
from tmsprep.interfaces.containers import RuntimeChoice


class Preprocessing(StrEnum):
    """Which engine makes the preprocessed data."""

    FMRIPREP = "fmriprep"
    BUILTIN = "builtin"


class Method(StrEnum):
    """How a voxel of the search mask is scored."""

    TIMECOURSE = "timecourse"
    SIMILARITY = "similarity"
    SIMILARITY_LINEAR = "similarity-linear"
    SEED = "seed"
    PARCEL = "parcel"


class Entry(StrEnum):
    """Where on the scalp the coil goes for a target in the cortex."""

    NEAREST = "nearest"
    CORTEX = "cortex"


class NavigatorForm(StrEnum):
    """Which form of the T1w's header the navigator reads."""

    AGREE = "agree"
    SFORM = "sform"


class CircumferencePlane(StrEnum):
    """Where the tape for the circumference lies."""

    FPZ_OZ = "fpz-oz"
    EYEBROWS_INION = "eyebrows-inion"


class BeamF3Variant(StrEnum):
    """Which Beam F3: the web calculator's, or 3.5 mm farther from the vertex."""

    WEB = "web"
    ADJUSTED = "adjusted"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run depends on besides the two folders.

    Names are those of the command line and the configuration file alike.
    """

    participant_label: tuple[str, ...] = ()
    """Participants to process, with or without ``sub-``; all if not given."""
    session_label: tuple[str, ...] = ()
    """Sessions to process, with or without ``ses-``; all if not given."""
    task_id: str | None = None
    """The task whose runs are used; if not given, a participant's rest runs or, without any, all runs."""
    bids_filter_file: Path | None = None
    """A JSON file that narrows the selection, in fMRIPrep's format."""
    per_session: bool = False
    """One target a session instead of one a participant."""
    skip_bids_validation: bool = False
    """Do not run the BIDS validator first."""
    work_dir: Path | None = None
    """Intermediate files; ``work`` in the output folder if not given."""
    preproc: Preprocessing = Preprocessing.BUILTIN
    """The preprocessing engine: ``builtin`` (no containers, minutes) or ``fmriprep``."""
    derivatives: tuple[str, ...] = ()
    """Existing derivatives to use, as NAME=PATH (``fmriprep=PATH``)."""
    container_runtime: RuntimeChoice = RuntimeChoice.AUTO
    """What starts fMRIPrep's image; ``none``: fMRIPrep is installed, ``auto``: the first that works here."""
    fmriprep_image: str | None = None
    """Another fMRIPrep image than ``tmsprep images list`` shows: a reference, a SIF or SquashFS file, or a folder."""
    fmriprep_options: str = ""
    """More options for fMRIPrep, quoted as one word: ``--fmriprep-options "--use-syn-sdc warn"``."""
    fmriprep_threads: int = 4
    """Processes of one fMRIPrep job at a time."""
    fmriprep_mem_mb: int = 16000
    """Memory of one fMRIPrep job (MB)."""
    fs_license_file: Path | None = None
    """FreeSurfer's licence, which fMRIPrep wants even without surfaces; ``$FS_LICENSE`` if not given."""
    templateflow_home: Path | None = None
    """The folder of fMRIPrep's templates; made in the work folder, where there is internet, if not given."""
    surfaces: bool = False
    """Let fMRIPrep reconstruct surfaces with FreeSurfer (hours more a participant)."""
    circuit: str = "sgacc"
    """A shipped circuit by name (``tmsprep circuits list``), or the path of a NIfTI map."""
    circuit_space: str = "MNI152NLin6Asym"
    """The template space of a circuit given by path without metadata."""
    force_polarity: bool = False
    """Accept a circuit map whose sign looks inverted. Recorded in the result."""
    method: Method = Method.TIMECOURSE
    """How a voxel of the search mask is scored."""
    search_mask: str = "dlpfc-spheres"
    """The search mask, by name."""
    thresholds: Path | None = None
    """A YAML file with limits of the verdict (ok, caution, abstain) that differ from the written ones (docs/target.md)."""
    bootstrap_draws: int = 10000
    """Draws of the bootstrap that says how sure a target is."""
    max_depth_mm: float = 30.0
    """Voxels further than this from the scalp are out of reach of the coil (mm)."""
    dummy_scans: int | None = None
    """Volumes at the start of a run to leave out; found from the data if not given."""
    fd_threshold_mm: float = 0.3
    """Volumes with a framewise displacement above this are left out of every fit (mm)."""
    global_signal: bool = True
    """Regress the global signal out."""
    smoothing_fwhm_mm: float = 4.0
    """Width of the smoothing kernel (mm)."""
    beamf3_variant: BeamF3Variant = BeamF3Variant.WEB
    """Beam F3 as the ``web`` calculator has it, or ``adjusted``: 3.5 mm farther from the vertex."""
    circumference_plane: CircumferencePlane = CircumferencePlane.FPZ_OZ
    """Where the tape for the circumference lies: through FPz and Oz, or through eyebrows (a third of the way from nasion to
    FPz) and inion."""
    entry: Entry = Entry.NEAREST
    """The place on the scalp for a target: ``nearest`` to it, or where the ``cortex`` points to (along the brain surface's
    normal)."""
    navigator_form: NavigatorForm = NavigatorForm.AGREE
    """Navigator files only where the T1w's qform and sform ``agree``, or also where they do not, for one that reads the
    ``sform``."""
    handle_angle_deg: float = 45.0
    """Angle between the coil handle and the midline (degrees)."""
    fiducials: Path | None = None
    """A TSV that replaces automatic fiducials: participant_id, name (NAS, INI, LPA, RPA), x, y, z in scanner RAS mm."""
    seed: int = 42
    """Governs everything random."""


@dataclass(frozen=True, kw_only=True)
class Options(Settings):
    """Everything that a run depends on."""

    bids_dir: Path
    """The BIDS dataset."""
    output_dir: Path
    """Where the derivatives go: one folder a derivative dataset."""

    @property
    def work(self) -> Path:
        """The folder of intermediate files."""
        return self.work_dir or self.output_dir / "work"


def from_mapping(content: Mapping[str, Any]) -> Options:
    """Make options of a configuration file's content.

    Raises
    ------
    ConfigurationError
        A key is unknown or missing, or a value is of the wrong kind; the message names it.
    """
    import jsonschema

    given = {key: value for key, value in content.items() if value is not None}
    validator = jsonschema.Draft202012Validator(json_schema())
    if problems := sorted(validator.iter_errors(given), key=lambda problem: list(map(str, problem.path))):
        where = ".".join(map(str, problems[0].path)) or "configuration"
        raise ConfigurationError(problems[0].message, where=where, action="see docs/options.md")
    hints = get_type_hints(Options)
    return Options(**{key: _convert(hints[key], value) for key, value in given.items()})


def to_mapping(options: Options) -> dict[str, Any]:
    """Return the options as plain JSON or YAML content; what is not given is left out."""
    return {key: _plain(value) for key, value in asdict(options).items() if value not in (None, ())}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _convert(hint: Any, value: Any) -> Any:
    kind = _kind(hint)
    if kind is tuple:
        return tuple(str(item) for item in (value if isinstance(value, (list, tuple)) else [value]))
    return kind(value)


def _kind(hint: Any) -> Any:
    """Return the one type besides None."""
    if get_origin(hint) in (Union, UnionType):
        return next(_kind(inner) for inner in get_args(hint) if inner is not NoneType)
    return get_origin(hint) or hint


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration file, made from `Options`."""
    hints = get_type_hints(Options)
    texts = descriptions()
    defaults = {item.name: item.default for item in fields(Options)}
    properties = {name: _schema_of(hints[name], texts[name], defaults[name]) for name in texts}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "TMSPrep configuration",
        "type": "object",
        "properties": properties,
        "required": ["bids_dir", "output_dir"],
        "additionalProperties": False,
    }


def descriptions() -> dict[str, str]:
    """Return each option's description, from the docstring under it."""
    from docstring_parser import parse_from_object

    parsed = [*parse_from_object(Options).params, *parse_from_object(Settings).params]
    return {param.arg_name: (param.description or "").replace("``", "`") for param in parsed}


def _schema_of(hint: Any, description: str, default: Any) -> dict[str, Any]:
    kind = _kind(hint)
    schema: dict[str, Any] = {"description": description}
    if kind is tuple:  # only strings: YAML reads the label 01 as the number 1, which is another label
        item = {"type": "string"}
        schema |= {"anyOf": [{"type": "array", "items": item}, item]}
    elif isinstance(kind, type) and issubclass(kind, Enum):
        schema |= {"enum": [item.value for item in kind]}
    else:
        names = {bool: "boolean", int: "integer", float: "number"}
        schema |= {"type": names.get(kind, "string")}
    if isinstance(default, (bool, int, float, str)):
        schema |= {"default": _plain(default)}
    return schema
