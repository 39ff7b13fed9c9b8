"""The denoised series of a participant: a few volumes read at a time, only kept ones, z-scored per run, concatenated.

Nothing here filters, regresses or smooths: that is done before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from tmsprep.errors import InputError
from tmsprep.files import load_nifti, read_data, read_tsv
from tmsprep.spaces import Grid

_BLOCK_VOLUMES = 16
_BLOCK_VOXELS = 4096
_GRID_TOLERANCE_MM = 1e-3
_FLAT = 1e-6
"""A voxel whose standard deviation is below this share of its largest absolute value carries no signal."""


@dataclass(frozen=True)
class Run:
    """One denoised run on the participant's BOLD grid in T1w space."""

    bold: Path
    mask: Path
    kept: NDArray[np.bool_]
    """(volumes,): True for the volumes that count."""


@dataclass(frozen=True)
class Series:
    """Standardised series of some voxels."""

    z: NDArray[np.float32]
    """(kept volumes of all runs, voxels): mean 0 and standard deviation 1 within a run; 0 where there is no signal."""
    has_signal: NDArray[np.bool_]
    """(voxels,): it varies and is finite in every run."""
    deviations: NDArray[np.float64]
    """(runs, voxels): what each run's series were divided by; 1 where there is no signal."""


def open_runs(bold: Sequence[Path], masks: Sequence[Path], regressors: Sequence[Path]) -> list[Run]:
    """Pair the runs' files and check that they belong together.

    Raises
    ------
    InputError
        The lists differ in length, a run is not 4D, grids differ, or ``kept`` does not fit the run.
    """
    if not len(bold) == len(masks) == len(regressors) or not bold:
        raise InputError(
            f"{len(bold)} run(s), {len(masks)} mask(s), {len(regressors)} table(s) of regressors",
            expected="the same number of each, at least one",
        )
    runs = [Run(run, mask, _read_kept(table)) for run, mask, table in zip(bold, masks, regressors, strict=True)]
    grid = grid_of(runs)
    for run in runs:
        _check_run(run, grid)
    return runs


def grid_of(runs: Sequence[Run]) -> Grid:
    """Return the grid that the runs share."""
    return Grid.of(load_nifti(runs[0].bold))


def repetition_time_s(run: Run) -> float:
    """Return the time between volumes.

    Raises
    ------
    InputError
        The header does not say it.
    """
    value = float(load_nifti(run.bold).header["pixdim"][4])
    if value <= 0:
        raise InputError("the header states no repetition time", where=run.bold, action="let the file be made again")
    return value


def _read_kept(table: Path) -> NDArray[np.bool_]:
    column = read_tsv(table, required=("kept",))["kept"]
    words = [str(value).strip().lower().removesuffix(".0") for value in column]
    if unknown := sorted(set(words) - {"0", "1", "false", "true"}):
        raise InputError(f"the column 'kept' holds {unknown[0]!r}", where=table, expected="0 or 1")
    return np.array([word in {"1", "true"} for word in words])


def _check_run(run: Run, grid: Grid) -> None:
    image = load_nifti(run.bold)
    if len(image.shape) != 4 or image.shape[3] != run.kept.size:
        raise InputError(f"the shape is {image.shape}", where=run.bold, expected=f"4D with {run.kept.size} volumes")
    if not run.kept.any():
        raise InputError("not one volume is kept", where=run.bold, action="leave the run out")
    for path in (run.bold, run.mask):
        other = Grid.of(load_nifti(path))
        apart = np.abs(other.affine_ras_mm - grid.affine_ras_mm).max()
        if other.shape != grid.shape or apart > _GRID_TOLERANCE_MM:
            raise InputError(
                f"the grid {other.shape} differs from the first run's {grid.shape}, or lies elsewhere",
                where=path,
                expected="one T1w-space grid for all runs of a target",
                action="process runs of different resolution as separate sessions",
            )


def common_mask(runs: Sequence[Run]) -> NDArray[np.bool_]:
    """Return the voxels that are in every run's mask."""
    masks = [read_data(load_nifti(run.mask)) > 0.5 for run in runs]
    return np.logical_and.reduce(masks)


def read_series(runs: Sequence[Run], voxels: NDArray[np.bool_]) -> Series:
    """Read and standardise the series of the voxels that are True in a mask of the grid's shape."""
    parts = [_read_run(run, voxels) for run in runs]
    standardised = [_standardise(part) for part in parts]
    has_signal = np.logical_and.reduce([good for good, _ in standardised])
    z = parts[0] if len(parts) == 1 else np.concatenate(parts)
    z[:, ~has_signal] = 0
    return Series(z, has_signal, np.stack([deviation for _, deviation in standardised]))


def read_volume(path: Path, voxels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Read the voxels of a 3D image that are True in a mask, in C order of the mask.

    Raises
    ------
    InputError
        The image is not on the mask's grid.
    """
    data = read_data(load_nifti(path))
    if data.shape != voxels.shape:
        raise InputError(f"the shape is {data.shape}", where=path, expected=str(voxels.shape))
    return data[voxels].astype(np.float64)


def _read_run(run: Run, voxels: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return (kept volumes, voxels), voxels in C order of the mask."""
    # the file stays open, or each block would decompress everything before it again
    image = nib.Nifti1Image.from_filename(str(run.bold), keep_file_open=True)
    # NIfTI stores the first axis fastest, so a block is flattened in that order without a copy
    places = np.ravel_multi_index(np.nonzero(voxels), voxels.shape, order="F")
    series = np.empty((int(run.kept.sum()), places.size), dtype=np.float32)
    filled = 0
    for first in range(0, run.kept.size, _BLOCK_VOLUMES):
        block = _read_block(image, run, first)
        kept = np.flatnonzero(run.kept[first : first + _BLOCK_VOLUMES])
        flat = block.reshape(-1, block.shape[3], order="F")
        for volume in kept:
            series[filled] = flat[places, volume]
            filled += 1
    return series


def _read_block(image: nib.Nifti1Image, run: Run, first: int) -> NDArray[np.float32]:
    try:
        return np.asarray(image.dataobj[..., first : first + _BLOCK_VOLUMES], dtype=np.float32)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            f"the image data end early or are damaged ({error})",
            where=run.bold,
            expected=f"{image.shape} voxels as the header says",
            action="delete the file and let it be made again",
        ) from error


def _standardise(series: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Standardise the columns in place; return which have signal, and what they were divided by.

    Sums are float64, a block of voxels at a time.
    """
    has_signal = np.empty(series.shape[1], dtype=bool)
    deviations = np.ones(series.shape[1])
    for first in range(0, series.shape[1], _BLOCK_VOXELS):
        part = slice(first, first + _BLOCK_VOXELS)
        block = series[:, part].astype(np.float64)
        scale = np.abs(block).max(axis=0)
        block -= block.mean(axis=0)
        deviation = block.std(axis=0)
        good = np.isfinite(deviation) & (deviation > _FLAT * scale)
        has_signal[part] = good
        deviations[part] = np.where(good, deviation, 1.0)
        series[:, part] = np.where(good, block / np.where(good, deviation, 1.0), 0.0)
    return has_signal, deviations
