"""Stage ``denoise``: one regression in the native grid, smoothing, one interpolation to T1w and to template space.

The order, and why: (1) volumes that are not in steady state are left out; (2) volumes with head motion above the
threshold are censored; (3) drift, band, motion and global signal are fitted together on the volumes kept, and removed;
(4) censored volumes are interpolated and marked; (5) smoothing within the mask; (6) one interpolation. docs/denoise.md says
more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tmsprep import templates
from tmsprep.denoise.design import UNIQUE_GLOBAL, Band, Design, regress, temporal_snr, unique_part, weights_of
from tmsprep.denoise.output_grids import NativeVolumes, Resampled, mask_on, output_grid, resample_series
from tmsprep.denoise.regress_summary import design_fields, regressors_table, series_fields, summarise, warnings_of
from tmsprep.denoise.run_confounds import RunConfounds
from tmsprep.denoise.series import Series, read_series
from tmsprep.denoise.smoothing import smooth_within
from tmsprep.denoise.timing import Timing, read_timing
from tmsprep.errors import ConfigurationError, ProcessingError
from tmsprep.files import load_nifti, read_data, save_nifti, write_json, write_tsv
from tmsprep.spaces import Grid, Transform
from tmsprep.stages import InFile, OutFile, SidecarFields

_SCANNER, _MNI = 1, 4
_SIGNAL_SHARE = 0.1
"""A voxel has signal if its mean exceeds this share of the median over the brain."""
_FEWEST_FREEDOM = 10


def denoise_run(
    *,
    bold: InFile,
    mask: InFile,
    confounds: InFile,
    boldref_to_t1w: InFile,
    t1w_to_mni: InFile,
    t1w: InFile,
    t1w_mask: InFile,
    out_t1w_bold: OutFile,
    out_t1w_mask: OutFile,
    out_regressors: OutFile,
    out_summary: OutFile,
    out_global_beta: OutFile | None = None,
    out_mni_bold: OutFile | None = None,
    out_mni_mask: OutFile | None = None,
    fd_threshold_mm: float = 0.3,
    high_pass_hz: float = 0.01,
    low_pass_hz: float | None = 0.1,
    motion_parameters: int = 6,
    global_signal: bool = True,
    smoothing_fwhm_mm: float = 4.0,
) -> SidecarFields:
    """Regress nuisance out of a run and bring it to the T1w and to MNI152NLin2009cAsym.

    Parameters
    ----------
    bold
        Preprocessed series on the native BOLD grid: tedana's denoised one, or that of a single-echo run.
    mask
        Brain mask on the same grid.
    confounds
        fMRIPrep's confounds of the run.
    boldref_to_t1w
        ITK affine.
    t1w_to_mni
        ITK composite, to MNI152NLin2009cAsym.
    t1w
        The T1w whose axes the output takes.
    t1w_mask
        Brain mask on the T1w's grid.
    out_t1w_bold
        Residuals in the units of `bold`, mean 0 over the kept volumes; without the volumes before steady state.
    out_t1w_mask
        Where `out_t1w_bold` has signal.
    out_regressors
        A row a volume of the outputs: ``volume`` (index in the run as acquired, from 0), ``kept``, and the regressors.
    out_summary
        JSON: minutes, motion, degrees of freedom, coverage, warnings.
    out_global_beta
        On the grid of `out_t1w_bold`: the weight of the global signal's unique part (``global_signal_unique`` of the
        regressors) that, times that column, is to be added to the series for the other choice about `global_signal`.
    out_mni_bold
        As `out_t1w_bold`, on the template's axes.
    out_mni_mask
        Where `out_mni_bold` has signal.
    fd_threshold_mm
        Volumes with a framewise displacement above it are censored.
    high_pass_hz
        Lower end of the band; 0 for none.
    low_pass_hz
        Upper end of the band; none if absent.
    motion_parameters
        0, 6, 12 (with derivatives) or 24 (and squares).
    global_signal
        Whether the mean over the brain mask is a regressor.
    smoothing_fwhm_mm
        Full width at half maximum; 0 for none.

    Raises
    ------
    InputError, ContractError
        Files that do not fit together, or lack something.
    ConfigurationError
        An impossible option.
    ProcessingError
        Too few volumes or degrees of freedom are left.
    """
    _check_options(fd_threshold_mm, high_pass_hz, low_pass_hz, smoothing_fwhm_mm, (out_mni_bold, out_mni_mask))
    table = RunConfounds.load(confounds)
    timing = read_timing(table, bold, fd_threshold_mm)
    series = _with_signal(read_series(bold, mask, first=timing.first_of_series), bold)
    band = Band(high_pass_hz, low_pass_hz)
    nuisance = {name: values[timing.dummies :] for name, values in table.motion(motion_parameters).items()}
    signal = series.samples.mean(axis=1, dtype=np.float64)
    design, basis = _design(series, timing, nuisance, band, signal if global_signal else None, where=bold)
    unique = unique_part(signal, Design.make(nuisance, timing.kept, design.stopped))
    beta = weights_of(series.samples, unique)[np.newaxis] * np.float32(1 if global_signal else -1)
    snr = float(np.median(temporal_snr(series.samples, timing.kept)))
    regress(series.samples, timing.kept, basis)
    for samples in (series.samples, beta):
        smooth_within(samples, series.mask, series.grid, smoothing_fwhm_mm)

    native = NativeVolumes(series.samples, series.mask, series.grid)
    to_t1w = Transform.load(boldref_to_t1w)
    anatomy = _Space(t1w_mask, to_t1w, _xform_code(t1w), series.repetition_time_s)
    coverage = {"T1w": _write(native, anatomy, out_t1w_bold, out_t1w_mask)}
    if out_global_beta is not None:
        _write(NativeVolumes(beta, series.mask, series.grid), anatomy, out_global_beta)
    if out_mni_bold is not None and out_mni_mask is not None:
        brain = templates.load(templates.NLIN2009C).brain_mask
        standard = _Space(brain, to_t1w.followed_by(Transform.load(t1w_to_mni)), _MNI, series.repetition_time_s)
        coverage[templates.NLIN2009C] = _write(native, standard, out_mni_bold, out_mni_mask)

    summary = summarise(series, timing, design, basis.shape[1], coverage) | {"TSNRMedianBrain": round(snr, 3)}
    write_json(out_summary, summary | {"Warnings": warnings_of(summary)})
    table_of_regressors = regressors_table(design, timing).assign(**{UNIQUE_GLOBAL: unique})
    write_tsv(out_regressors, table_of_regressors, decimals=8)
    fields = series_fields(series, timing, design, smoothing_fwhm_mm)
    return {
        "out_t1w_bold": fields | {"SpatialReference": t1w},
        "out_mni_bold": fields,
        "out_global_beta": {"Description": "Weight of global_signal_unique", "SpatialReference": t1w},
        "out_t1w_mask": {"Type": "Brain", "SkullStripped": True, "SpatialReference": t1w},
        "out_mni_mask": {"Type": "Brain", "SkullStripped": True},
        "out_regressors": design_fields(design, band),
    }


def _check_options(
    fd_threshold_mm: float,
    high_pass_hz: float,
    low_pass_hz: float | None,
    smoothing_fwhm_mm: float,
    standard: tuple[Path | None, Path | None],
) -> None:
    if fd_threshold_mm <= 0:
        raise ConfigurationError(f"{fd_threshold_mm:g} mm", where="--fd-threshold-mm", expected="above 0")
    if high_pass_hz < 0 or (low_pass_hz is not None and low_pass_hz <= high_pass_hz):
        raise ConfigurationError(
            f"a band from {high_pass_hz:g} to {low_pass_hz:g} Hz",
            where="--high-pass-hz, --low-pass-hz",
            expected="0 <= high-pass < low-pass",
        )
    if smoothing_fwhm_mm < 0:
        raise ConfigurationError(f"{smoothing_fwhm_mm:g} mm", where="--smoothing-fwhm-mm", expected="0 or more")
    if (standard[0] is None) != (standard[1] is None):
        raise ConfigurationError("one of two", where="--out-mni-bold, --out-mni-mask", expected="both or none")


def _with_signal(series: Series, where: Path) -> Series:
    """Return the series in the voxels that have signal: finite, varying, and not dropped out."""
    mean = series.samples.mean(axis=0, dtype=np.float64)
    spread = series.samples.max(axis=0) - series.samples.min(axis=0)
    sound = np.isfinite(mean) & (spread > 0)
    middle = float(np.median(mean[sound])) if sound.any() else 0.0
    if middle <= 0:
        raise ProcessingError(
            "the series has no positive mean signal in the brain mask",
            where=where,
            expected="a preprocessed BOLD series with its mean",
            action="look at the series and its mask",
        )
    sound &= mean > _SIGNAL_SHARE * middle
    mask = series.mask.copy()
    mask[series.mask] = sound
    samples = series.samples if sound.all() else np.ascontiguousarray(series.samples[:, sound])
    return Series(samples, mask, series.grid, series.repetition_time_s)


def _design(
    series: Series,
    timing: Timing,
    nuisance: dict[str, NDArray[np.float64]],
    band: Band,
    global_signal: NDArray[np.float64] | None,
    *,
    where: Path,
) -> tuple[Design, NDArray[np.float64]]:
    """Return the design and its basis, or refuse where too little would be left of the data."""
    if global_signal is not None:
        nuisance = nuisance | {"global_signal": global_signal}
    stopped = band.stopped_orders(series.volumes, series.repetition_time_s)
    design = Design.make(nuisance, timing.kept, stopped)
    basis = design.basis()
    kept = int(timing.kept.sum())
    freedom = kept - basis.shape[1]
    if freedom < _FEWEST_FREEDOM:
        raise ProcessingError(
            f"{kept} volumes are kept and {basis.shape[1]} regressors removed ({stopped.size} for the band):"
            f" {freedom} degrees of freedom would be left",
            where=where,
            expected=f"at least {_FEWEST_FREEDOM}",
            action="leave this run out, or use fewer regressors, a wider band or a higher --fd-threshold-mm",
        )
    return design, basis


@dataclass(frozen=True)
class _Space:
    """An output space."""

    brain_mask: Path
    """Its grid gives the axes of the output."""
    from_boldref: Transform
    xform_code: int
    repetition_time_s: float


def _write(native: NativeVolumes, space: _Space, out_bold: Path, out_mask: Path | None = None) -> float:
    """Resample to a space and save, a single volume as 3D; return the share of the brain that has signal."""
    image = load_nifti(space.brain_mask)
    anatomy = Grid.of(image)
    brain = read_data(image) > 0.5
    if not brain.any():
        raise ProcessingError("the brain mask is empty", where=space.brain_mask, action="look at the mask")
    grid = output_grid(anatomy, brain, native.grid)
    result = resample_series(native, grid, mask_on(grid, brain, anatomy), space.from_boldref)
    if not result.mask.any():
        raise ProcessingError(
            "no voxel of the brain has signal after resampling",
            where=space.brain_mask,
            expected="BOLD and anatomy in the same place",
            action="look at the registration of this run",
        )
    _save(result, space, out_bold, out_mask)
    return result.coverage


def _save(result: Resampled, space: _Space, out_bold: Path, out_mask: Path | None) -> None:
    affine = result.grid.affine_ras_mm
    if result.data.shape[3] == 1:
        save_nifti(out_bold, result.data[..., 0], affine, xform_code=space.xform_code)
    else:
        repetition = space.repetition_time_s
        save_nifti(out_bold, result.data, affine, xform_code=space.xform_code, repetition_time_s=repetition)
    if out_mask is not None:
        save_nifti(out_mask, result.mask, affine, xform_code=space.xform_code)


def _xform_code(t1w: Path) -> int:
    """Return the code of the T1w's frame; a T1w without one is in scanner coordinates by the contract."""
    return int(load_nifti(t1w).header["sform_code"]) or _SCANNER
