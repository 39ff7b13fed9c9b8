"""The stages: their names, and the one way to run any of them.

A stage is one function whose signature is its command line (``tmsprep stage NAME --t1w ... --out-mask ...``). Parameters
annotated `InFile` are read, parameters annotated `OutFile` are written. From that alone `run` checks the inputs, gives the
function temporary names to write to, publishes all outputs together when it returns, and writes their sidecars.

A stage function returns the fields that only it knows for the sidecars: ``{parameter: {"Field": value}}``, or a list of
such objects for a list of outputs. It imports no other stage and knows no Snakemake.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from tmsprep.errors import ConfigurationError, InputError, ProcessingError
from tmsprep.files import disk_trouble, own_temporary_folder, publish, remove_leftovers, temporary_twin


class Role(Enum):
    """What a path parameter of a stage is."""

    INPUT = "input"
    OUTPUT = "output"
    MAYBE = "maybe"


InFile = Annotated[Path, Role.INPUT]
"""A file that the stage reads."""
OutFile = Annotated[Path, Role.OUTPUT]
"""A file that the stage writes; it is given a temporary name with the same ending."""

MaybeOutFile = Annotated[Path, Role.MAYBE]
"""An output that the stage may leave out on purpose; what an earlier run left there is then removed."""

SidecarFields = dict[str, Any]
"""What a stage function returns: parameter name to fields, or to a list of fields for a list of outputs."""

STAGES: dict[str, str] = {
    "plan": "tmsprep.inputs.table:write_plan_table",
    "check": "tmsprep.inputs.check:check_participant",
    "anatomy": "tmsprep.preprocess.builtin.anatomy:prepare_anatomy",
    "normalise": "tmsprep.preprocess.builtin.normalise:normalise_to_template",
    "fmriprep-image": "tmsprep.preprocess.fmriprep.image:prepare_image",
    "templateflow": "tmsprep.preprocess.fmriprep.prepare:prepare_templateflow",
    "fsaverage": "tmsprep.preprocess.fmriprep.prepare:prepare_fsaverage",
    "fmriprep": "tmsprep.preprocess.fmriprep.stage:run_fmriprep",
    "link-preprocessed": "tmsprep.preprocess.fmriprep.stage:link_preprocessed",
    "merge-sidecars": "tmsprep.sidecars:merge_sidecars",
    "bold-reference": "tmsprep.preprocess.builtin.reference:estimate_reference_and_motion",
    "fieldmap": "tmsprep.preprocess.builtin.fieldmap:prepare_fieldmap",
    "coregister": "tmsprep.preprocess.builtin.coregister:coregister_to_t1w",
    "bold-resample": "tmsprep.preprocess.builtin.resample:resample_echoes",
    "confounds": "tmsprep.preprocess.builtin.confounds:compute_confounds",
    "tedana": "tmsprep.denoise.multiecho:denoise_multiecho",
    "denoise": "tmsprep.denoise.regress:denoise_run",
    "target": "tmsprep.target.stage:find_target",
    "scalp": "tmsprep.scalp.stage:reconstruct_scalp",
    "beamf3": "tmsprep.scalp.stage:locate_beamf3",
    "navigate": "tmsprep.navigate.stage:write_markers",
    "export": "tmsprep.navigate.formats.stage:export_navigators",
    "carpet": "tmsprep.report.carpet:draw_carpet",
    "report": "tmsprep.report.participant:write_participant_report",
    "group": "tmsprep.report.group:write_group_report",
    "describe": "tmsprep.provenance.describe:describe_dataset",
}
"""Stage name to ``module:function``; a module is imported only when its stage is asked for."""

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


def pin_threads() -> None:
    """Give every numerical library one thread: some results depend on the number. Call before importing them."""
    from threadpoolctl import threadpool_limits

    for name in _THREAD_VARIABLES:
        os.environ[name] = "1"
    threadpool_limits(limits=1)  # numpy's BLAS is loaded already, and reads the environment no more


def find_own_programs() -> None:
    """Put the environment's programs first on the path, also where it was not activated."""
    own = str(Path(sys.executable).parent)
    others = os.environ.get("PATH", "").split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([own, *(folder for folder in others if folder != own)])


def load(name: str) -> Callable[..., SidecarFields]:
    """Import and return the function of a stage.

    Raises
    ------
    ConfigurationError
        No stage has that name.
    """
    if name not in STAGES:
        raise ConfigurationError(f"no stage is called {name!r}", expected=", ".join(STAGES))
    module, _, function = STAGES[name].partition(":")
    return getattr(importlib.import_module(module), function)


@dataclass(frozen=True)
class Signature:
    """Which parameters of a stage function are inputs and which are outputs."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    """With those that may be left out."""
    maybe: tuple[str, ...]

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Signature:
        """Read the roles from the annotations."""
        hints = get_type_hints(function, include_extras=True)
        names = [name for name in inspect.signature(function).parameters if name in hints]
        return cls(
            tuple(name for name in names if _role(hints[name]) is Role.INPUT),
            tuple(name for name in names if _role(hints[name]) in {Role.OUTPUT, Role.MAYBE}),
            tuple(name for name in names if _role(hints[name]) is Role.MAYBE),
        )


def _role(hint: Any) -> Role | None:
    if get_origin(hint) is Annotated:
        for extra in get_args(hint)[1:]:
            if isinstance(extra, Role):
                return extra
    for inner in get_args(hint):
        if (role := _role(inner)) is not None:
            return role
    return None


def path_options(function: Callable[..., Any]) -> frozenset[str]:
    """Return the options of a stage (``--t1w``, ...) whose values are paths."""
    hints = get_type_hints(function, include_extras=False)
    return frozenset("--" + name.replace("_", "-") for name, hint in hints.items() if name != "return" and _holds_path(hint))


def _holds_path(hint: Any) -> bool:
    return hint is Path or any(_holds_path(inner) for inner in get_args(hint))


def paths_of(value: Any) -> list[Path]:
    """Return the paths in an argument: none, one, or a list of them."""
    if value is None:
        return []
    return [value] if isinstance(value, Path) else list(value)


def run(name: str, arguments: Mapping[str, Any]) -> None:
    """Run a stage: inputs checked, outputs published together, sidecars written.

    Raises
    ------
    TmsprepError
        Whatever the stage found wrong; then no output exists.
    """
    from tmsprep.provenance.record import sidecar_path

    pin_threads()
    find_own_programs()
    function = load(name)
    signature = Signature.of(function)
    paths = [path for key in signature.outputs for path in paths_of(arguments.get(key))]
    written = [*paths, *(sidecar for path in paths if (sidecar := sidecar_path(path)) is not None)]
    published: list[Path] = []
    try:
        with own_temporary_folder():
            remove_leftovers(written)
            _run(name, arguments, function, signature, published)
    except BaseException:
        for path in published:  # together, or not at all
            path.unlink(missing_ok=True)
        raise
    finally:
        for path in written:
            temporary_twin(path).unlink(missing_ok=True)


def _run(
    name: str,
    arguments: Mapping[str, Any],
    function: Callable[..., SidecarFields],
    signature: Signature,
    published: list[Path],
) -> None:
    """Run a stage; `published` holds what has its final name already as long as not all has."""
    from tmsprep.provenance.activity import write_failure, write_record
    from tmsprep.provenance.record import StageRun, sidecar_path, write_sidecars

    inputs = {key: paths_of(arguments.get(key)) for key in signature.inputs}
    outputs = {key: paths_of(arguments.get(key)) for key in signature.outputs}
    twins = {path: temporary_twin(path) for paths in outputs.values() for path in paths}
    started = time.time()
    try:
        _require_inputs(inputs)
        for path in (path for key in signature.maybe for path in outputs[key]):
            _remove_earlier(path, sidecar_path(path))
        for path in twins:
            path.parent.mkdir(parents=True, exist_ok=True)
        fields = function(**_with_twins(arguments, signature.outputs, twins))
        left_out = {path for key in signature.maybe for path in outputs[key] if not twins[path].exists()}
        for path in left_out:
            del twins[path]
        outputs = {key: [path for path in paths if path not in left_out] for key, paths in outputs.items()}
        _require_outputs(name, twins)
        record = StageRun(name, dict(arguments), inputs, outputs, started, time.time())
        made = twins | write_sidecars(record, twins, fields)
        for path, twin in made.items():
            published.append(path)  # before: it may be stopped at any moment
            publish(twin, path)
        write_record(record, made, fields)
        published.clear()
    except BaseException as error:
        # now, while the disk is still full: what was written so far will be removed
        trouble = disk_trouble(error, [*dict.fromkeys(path.parent for path in twins), Path(tempfile.gettempdir())])
        write_failure(StageRun(name, dict(arguments), inputs, outputs, started, time.time()), trouble or error)
        if trouble is None:
            raise
        raise trouble from error


def _remove_earlier(*paths: Path | None) -> None:
    """Remove outputs that a stage may leave out, before it runs.

    No workflow does that for outputs that no rule declares, and a target of an earlier run must not outlive one that fails
    or abstains.
    """
    for path in paths:
        if path is not None:
            path.unlink(missing_ok=True)


def _require_inputs(inputs: Mapping[str, Sequence[Path]]) -> None:
    for key, paths in inputs.items():
        for path in paths:
            if not path.is_file():
                raise InputError(f"the file for --{key.replace('_', '-')} is not there", where=path)


def _require_outputs(name: str, twins: Mapping[Path, Path]) -> None:
    for path, twin in twins.items():
        if not twin.is_file():
            raise ProcessingError(f"stage {name} ended without writing it", where=path)


def _with_twins(arguments: Mapping[str, Any], outputs: Sequence[str], twins: Mapping[Path, Path]) -> dict[str, Any]:
    changed = dict(arguments)
    for key in outputs:
        value = arguments.get(key)
        if isinstance(value, Path):
            changed[key] = twins[value]
        elif value is not None:
            changed[key] = [twins[path] for path in value]
    return changed
