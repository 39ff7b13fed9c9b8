"""Stage ``tedana``: TE-dependent denoising of one multi-echo run, with a written fallback ladder.

tedana (DuPre et al. 2021, doi:10.21105/joss.03669) is run unchanged; this module checks what goes in, and says in the
summary which rung of the ladder the result stands on.
"""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from tmsprep.denoise import ladder, tedana_call
from tmsprep.denoise.ladder import Attempt, Descent, Rung
from tmsprep.denoise.run_confounds import RunConfounds
from tmsprep.denoise.series import load_mask, open_series, repetition_time_s, require_same_grid
from tmsprep.denoise.tedana_call import IcaSettings, MultiEchoInput
from tmsprep.errors import ContractError, InputError
from tmsprep.files import load_nifti, read_data, save_nifti, write_json, write_tsv
from tmsprep.sidecars import Sidecar
from tmsprep.spaces import Grid
from tmsprep.stages import InFile, OutFile, SidecarFields

_FEWEST_ECHOES = 3
_SEEDS = 5
_TR_TOLERANCE_S = 0.002
_FEWEST_VOLUMES = 20
_COMPONENT_SHARE = (1 / 5, 1 / 2)
"""Of the volumes; a number of components outside is suspicious (tedana's FAQ)."""
_METRICS_HEADER = ("Component", "kappa", "rho", "variance explained", "classification", "classification_tags")
"""Of the table that has no row, because no component exists."""
_LOW_QUALITY = 0.6
"""Mean index quality below which tedana warns about robustica."""


def denoise_multiecho(
    *,
    echo: list[InFile],
    echo_sidecar: list[InFile],
    mask: InFile,
    confounds: InFile,
    out_denoised: OutFile,
    out_optcom: OutFile,
    out_mixing: OutFile,
    out_metrics: OutFile,
    out_t2star: OutFile,
    out_s0: OutFile,
    out_adaptive_mask: OutFile,
    out_summary: OutFile,
    seed: int = 42,
    ladder_rungs: list[str] | None = None,
    maximum_iterations: int = 500,
    robust_runs: int = 30,
) -> SidecarFields:
    """Denoise a multi-echo run with tedana.

    Parameters
    ----------
    echo
        Preprocessed echoes on the native BOLD grid, ascending echo time.
    echo_sidecar
        Their JSON files (EchoTime and RepetitionTime in s), same order.
    mask
        Brain mask on the same grid.
    confounds
        fMRIPrep's confounds: volumes flagged ``non_steady_state_outlierXX`` are left out.
    out_denoised
        The denoised series, without those volumes; on the last rung the same as `out_optcom`.
    out_optcom
        The echoes optimally combined, without those volumes.
    out_mixing
        Component time courses, a row a volume of `out_denoised`.
    out_metrics
        tedana's table of components.
    out_t2star
        T2* in s.
    out_s0
        S0 in the units of the series.
    out_adaptive_mask
        How many echoes are good in each voxel.
    out_summary
        JSON: the rung used, every rung tried, counts, warnings.
    seed
        Of the first ICA; four more follow where it does not converge.
    ladder_rungs
        Rungs in order: fastica, robustica, minimal-tree, mdl, optimal-combination; all if not given.
    maximum_iterations
        Of each ICA.
    robust_runs
        How many FastICA runs robustica compares.

    Raises
    ------
    InputError, ContractError
        Fewer than three echoes, or files that do not fit together.
    """
    rungs = ladder.parse(ladder_rungs)
    run = _checked(echo, echo_sidecar, mask, confounds)
    start = IcaSettings("fastica", "tedana_orig", "aic", seed, _SEEDS, maximum_iterations, robust_runs)
    with tempfile.TemporaryDirectory(prefix=".tmp-tedana-", dir=out_denoised.parent) as folder:
        descent = ladder.descend(run.data, rungs, start, Path(folder))
        _save_series(descent, run, out_denoised, out_optcom)
        _save_maps(descent, run, out_t2star, out_s0, out_adaptive_mask)
    _save_components(descent, out_mixing, out_metrics)
    write_json(out_summary, _summary(descent, run, out_adaptive_mask, mask))
    series = _series_fields(descent, run)
    maps = {"SkullStripped": True}
    return {
        "out_denoised": series,
        "out_optcom": series | {"Description": "Echoes combined with voxelwise T2* weights; not denoised"},
        "out_t2star": maps | {"Units": "s"},
        "out_s0": maps,
        "out_adaptive_mask": maps | {"Description": "Number of echoes with good signal"},
    }


@dataclass(frozen=True)
class _Run:
    """A checked multi-echo run."""

    data: MultiEchoInput
    repetition_time_s: float
    volumes: int
    """As acquired."""
    xform_code: int

    @property
    def steady_volumes(self) -> int:
        return self.volumes - self.data.dummy_scans


def _checked(echo: list[Path], echo_sidecar: list[Path], mask: Path, confounds: Path) -> _Run:
    """Read everything that is small, and refuse what does not fit together."""
    if len(echo) < _FEWEST_ECHOES:
        raise InputError(
            f"{len(echo)} echo(es)",
            where=", ".join(path.name for path in echo) or None,
            expected="three or more for TE-dependent denoising",
            action="treat the run as single-echo: leave out the tedana stage",
        )
    echo_times = _echo_times_s(echo, echo_sidecar)
    images = [open_series(path) for path in echo]
    for image in images[1:]:
        _require_same_shape(image, images[0])
    load_mask(mask, images[0])
    table = RunConfounds.load(confounds)
    dummies = _dummy_scans(table, images[0])
    data = MultiEchoInput(tuple(echo), echo_times, mask, dummies)
    repetition = _repetition_time_s(images[0], echo_sidecar[0])
    return _Run(data, repetition, images[0].shape[3], int(images[0].header["sform_code"]) or 1)


def _echo_times_s(echo: list[Path], echo_sidecar: list[Path]) -> tuple[float, ...]:
    if len(echo) != len(echo_sidecar):
        raise InputError(f"{len(echo)} echoes but {len(echo_sidecar)} sidecars", expected="one sidecar an echo")
    times = tuple(Sidecar.merge([path]).echo_time_s() for path in echo_sidecar)
    if not all(earlier < later for earlier, later in itertools.pairwise(times)):
        raise InputError(
            f"the echo times are {', '.join(f'{time:g}' for time in times)} s",
            where=echo_sidecar[0],
            expected="ascending echo times, one an echo",
            action="give the echoes in order of their echo time, and check EchoTime in the sidecars",
        )
    return times


def _require_same_shape(image: nib.Nifti1Image, first: nib.Nifti1Image) -> None:
    require_same_grid(image, first)
    if image.shape[3] != first.shape[3]:
        raise InputError(
            f"{image.shape[3]} volumes, but the first echo has {first.shape[3]}",
            where=image.get_filename(),
            expected="echoes of equal length",
            action="check that the echoes belong to one run and that none is cut short",
        )


def _dummy_scans(table: RunConfounds, image: nib.Nifti1Image) -> int:
    if table.volumes != image.shape[3]:
        raise ContractError(
            f"{table.volumes} rows, but the series has {image.shape[3]} volumes",
            where=table.where,
            expected="one row a volume",
            action="give the confounds of the same run",
        )
    dummies = table.dummy_scans()
    if image.shape[3] - dummies < _FEWEST_VOLUMES:
        raise InputError(
            f"{image.shape[3] - dummies} steady-state volumes",
            where=image.get_filename(),
            expected=f"at least {_FEWEST_VOLUMES}",
            action="leave this run out",
        )
    return dummies


def _repetition_time_s(image: nib.Nifti1Image, sidecar: Path) -> float:
    stated = Sidecar.merge([sidecar]).repetition_time_s()
    in_header = repetition_time_s(image)
    if abs(stated - in_header) > _TR_TOLERANCE_S:
        raise ContractError(
            f"the header states a repetition time of {in_header:g} s, the sidecar {stated:g} s",
            where=image.get_filename(),
            expected="the same in both",
            action="correct whichever is wrong",
        )
    return stated


def _save_series(descent: Descent, run: _Run, out_denoised: Path, out_optcom: Path) -> None:
    combined = descent.folder / tedana_call.COMBINED
    denoised = combined if descent.decomposition is None else descent.folder / tedana_call.DENOISED
    for source, target in ((denoised, out_denoised), (combined, out_optcom)):
        image = load_nifti(source)
        save_nifti(
            target,
            read_data(image),
            Grid.of(image).affine_ras_mm,
            xform_code=run.xform_code,
            repetition_time_s=run.repetition_time_s,
        )


def _save_maps(descent: Descent, run: _Run, out_t2star: Path, out_s0: Path, out_adaptive_mask: Path) -> None:
    names = ((tedana_call.T2STAR, out_t2star), (tedana_call.S0, out_s0), (tedana_call.ADAPTIVE_MASK, out_adaptive_mask))
    for name, target in names:
        image = load_nifti(descent.folder / name)
        values = read_data(image)
        counts = target is out_adaptive_mask
        save_nifti(
            target,
            values.astype(np.uint8) if counts else values,
            Grid.of(image).affine_ras_mm,
            xform_code=run.xform_code,
        )


def _save_components(descent: Descent, out_mixing: Path, out_metrics: Path) -> None:
    found = descent.decomposition
    if found is None:  # a header alone: there are no components
        write_tsv(out_mixing, pd.DataFrame(columns=["no_components"]))
        write_tsv(out_metrics, pd.DataFrame(columns=list(_METRICS_HEADER)))
        return
    write_tsv(out_mixing, found.mixing)
    write_tsv(out_metrics, found.metrics)


def _summary(descent: Descent, run: _Run, adaptive_mask: Path, mask: Path) -> dict[str, Any]:
    found = descent.decomposition
    good = read_data(load_nifti(adaptive_mask))[read_data(load_nifti(mask)) > 0.5]
    return {
        "Rung": descent.rung.value,
        "Denoised": found is not None,
        "Seed": found.seed if found else None,
        "Converged": found.converged if found else None,
        "Components": found.components if found else 0,
        "Accepted": found.accepted if found else 0,
        "Rejected": found.components - found.accepted if found else 0,
        "LikelyBOLD": found.likely_bold if found else 0,
        "VarianceExplainedAccepted_percent": _accepted_variance_percent(descent),
        "Volumes": run.steady_volumes,
        "DummyScansRemoved": run.data.dummy_scans,
        "EchoTimes_s": list(run.data.echo_times_s),
        "RepetitionTime_s": run.repetition_time_s,
        "VoxelsInMask": good.size,
        "VoxelsWithThreeGoodEchoes": int((good >= _FEWEST_ECHOES).sum()),
        "VoxelsWithoutGoodEcho": int((good == 0).sum()),
        "Ladder": [_attempt_fields(attempt) for attempt in descent.attempts],
        "Warnings": _warnings(descent, run),
        "TedanaVersion": tedana_call.version(),
    }


def _accepted_variance_percent(descent: Descent) -> float | None:
    if descent.decomposition is None:
        return None
    table = descent.decomposition.metrics
    return round(float(table.loc[table["classification"] == "accepted", "variance explained"].sum()), 3)


def _attempt_fields(attempt: Attempt) -> dict[str, Any]:
    return {
        "Rung": attempt.rung.value,
        "Outcome": attempt.outcome.value,
        "Detail": attempt.detail,
        "Seeds": [item.seed for item in attempt.tries],
        "Converged": [item.converged for item in attempt.tries],
        "Iterations": [item.iterations for item in attempt.tries],
        "Components": attempt.components,
        "LikelyBOLD": attempt.likely_bold,
        "Accepted": attempt.accepted,
    }


def _warnings(descent: Descent, run: _Run) -> list[str]:
    return [*_descent_warnings(descent), *_component_warnings(descent, run.steady_volumes)]


def _descent_warnings(descent: Descent) -> list[str]:
    left = [f"{item.rung.value} ({item.outcome.value})" for item in descent.attempts[:-1]]
    found: list[str] = []
    if descent.rung is Rung.COMBINATION:
        found.append("The echoes were combined but NOT denoised: no decomposition could be used")
    if left:
        found.append(f"The ladder ended at {descent.rung.value} after {', '.join(left)}")
    failed = [item.seed for item in descent.attempts[-1].tries if not item.converged]
    if failed:
        found.append(f"ICA did not converge with seed(s) {', '.join(map(str, failed))}")
    return found


def _component_warnings(descent: Descent, volumes: int) -> list[str]:
    found = descent.decomposition
    if found is None:
        return []
    warnings: list[str] = []
    low, high = (share * volumes for share in _COMPONENT_SHARE)
    if not low <= found.components <= high:
        word = "few" if found.components < low else "many"
        warnings.append(
            f"Suspiciously {word} components: {found.components} for {volumes} volumes (expected {low:.0f} to {high:.0f})"
        )
    if found.accepted == found.components:
        warnings.append("No component was rejected")
    quality = found.cross_metrics.get("robustica_mean_index_quality")
    if quality is not None and float(quality) < _LOW_QUALITY:
        warnings.append(f"robustica's mean index quality is {float(quality):.2f} (below {_LOW_QUALITY})")
    return warnings


def _series_fields(descent: Descent, run: _Run) -> dict[str, Any]:
    return {
        "RepetitionTime": run.repetition_time_s,
        "EchoTime": list(run.data.echo_times_s),
        "DummyScansRemoved": run.data.dummy_scans,
        "NumberOfVolumesDiscardedByUser": run.data.dummy_scans,
        "SkullStripped": True,
        "MultiEchoRung": descent.rung.value,
        "TedanaVersion": tedana_call.version(),
    }
