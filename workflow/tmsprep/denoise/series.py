"""A BOLD series as the denoising stages hold it: one row a volume, one column a voxel of the mask.

Read a volume at a time, so that memory grows with the mask and not with the field of view.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from tmsprep.errors import ContractError, InputError
from tmsprep.files import load_nifti, read_data
from tmsprep.spaces import Grid

_GRID_TOLERANCE_MM = 0.01
_TIME_UNITS_S = {"sec": 1.0, "unknown": 1.0, "msec": 1e-3, "usec": 1e-6}
_PLAUSIBLE_TR_S = (0.05, 20.0)


@dataclass(frozen=True)
class Series:
    """Samples of a BOLD series inside a mask."""

    samples: NDArray[np.float32]
    """(volumes, voxels), voxels in the order of ``np.argwhere(mask)``."""
    mask: NDArray[np.bool_]
    """(x, y, z)"""
    grid: Grid
    repetition_time_s: float

    @property
    def volumes(self) -> int:
        """Number of volumes."""
        return self.samples.shape[0]


def open_series(path: Path) -> nib.Nifti1Image:
    """Open a 4D image, data not yet read.

    Raises
    ------
    InputError
        It is no series.
    """
    image = load_nifti(path)
    if image.ndim != 4:
        raise InputError(f"the image has shape {image.shape}", where=path, expected="four dimensions: a BOLD series")
    return image


def repetition_time_s(image: nib.Nifti1Image) -> float:
    """Return the repetition time that an image's header states, s.

    Raises
    ------
    ContractError
        The header has none, or one that no BOLD series has.
    """
    unit = str(image.header.get_xyzt_units()[1])
    value = float(image.header["pixdim"][4]) * _TIME_UNITS_S.get(unit, 1.0)
    if not _PLAUSIBLE_TR_S[0] <= value <= _PLAUSIBLE_TR_S[1]:
        raise ContractError(
            f"the header states a repetition time of {value:g} s",
            where=image.get_filename(),
            expected=f"{_PLAUSIBLE_TR_S[0]:g} to {_PLAUSIBLE_TR_S[1]:g} s",
            action="write the series again with its repetition time (pixdim[4], in seconds)",
        )
    return value


def load_mask(path: Path, like: nib.Nifti1Image) -> NDArray[np.bool_]:
    """Read a mask on the grid of `like`.

    Raises
    ------
    ContractError
        The grids differ, or the mask is empty.
    """
    image = load_nifti(path)
    require_same_grid(image, like)
    mask = read_data(image) > 0.5
    if not mask.any():
        raise ContractError("the mask is empty", where=path, action="look at the brain mask of this run")
    return mask


def require_same_grid(image: nib.Nifti1Image, like: nib.Nifti1Image) -> None:
    """Refuse images that do not lie voxel on voxel.

    Raises
    ------
    ContractError
        Shape or affine (by more than 0.01 mm) differ.
    """
    grid, other = Grid.of(image), Grid.of(like)
    same_place = np.allclose(grid.affine_ras_mm, other.affine_ras_mm, atol=_GRID_TOLERANCE_MM)
    if grid.shape != other.shape or not same_place:
        raise ContractError(
            f"the grid {grid.shape} is not that of {Path(str(like.get_filename())).name} {other.shape}",
            where=image.get_filename(),
            expected="the native BOLD grid: same shape and affine",
            action="give files of the same run from the same preprocessing",
        )


def read_series(path: Path, mask_path: Path, *, first: int = 0) -> Series:
    """Read a series inside a mask.

    Parameters
    ----------
    path
        4D image.
    mask_path
        Mask on the same grid.
    first
        Index of the first volume to keep.

    Raises
    ------
    InputError, ContractError
        The files do not fit together, or end early.
    """
    image = open_series(path)
    mask = load_mask(mask_path, image)
    # one open stream: reading volume by volume would otherwise decompress the file from its start each time
    stream = nib.Nifti1Image.from_filename(path, keep_file_open=True)
    samples = np.empty((image.shape[3] - first, int(mask.sum())), dtype=np.float32)
    for row in range(samples.shape[0]):
        samples[row] = _read_volume(stream, first + row, path)[mask]
    return Series(samples, mask, Grid.of(image), repetition_time_s(image))


def _read_volume(image: nib.Nifti1Image, index: int, path: Path) -> NDArray[np.float32]:
    try:
        return np.asarray(image.dataobj[..., index], dtype=np.float32)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            f"the image data end early or are damaged, at volume {index} ({error})",
            where=path,
            expected=f"{image.shape} voxels as the header says",
            action="copy or convert the file again",
        ) from error
