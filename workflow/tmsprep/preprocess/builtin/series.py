"""Reading a BOLD series and interpolating its volumes: what several BOLD stages share."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.errors import InputError
from tmsprep.files import load_nifti

Volume = NDArray[np.float32]

SCANNER = 1
"""xform code of images in the frame of their own scan."""

_EDGE = 0.5
_STEPS = 4096


def load_series(path: Path) -> nib.Nifti1Image:
    """Open a 4D image.

    Raises
    ------
    InputError
        The image is no series.
    """
    image = load_nifti(path)
    if image.ndim != 4 or image.shape[3] < 2:
        raise InputError(f"the image has shape {image.shape}", where=path, expected="a 4D series of at least two volumes")
    return image


def voxel_indices(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the indices of all voxels, (3, x*y*z), last axis fastest."""
    return np.indices(shape[:3], dtype=np.float64).reshape(3, -1)


def spline_coefficients(volume: Volume, order: int = 3) -> Volume:
    """Return what `scipy.ndimage.map_coordinates` interpolates between, for ``mode="mirror"``."""
    coefficients = np.empty(volume.shape, dtype=np.float32)
    ndimage.spline_filter(volume, order, output=coefficients, mode="mirror")  # pyright: ignore[reportArgumentType]
    return coefficients


def sample(volume: Volume, voxels: NDArray[np.float64], *, order: int = 3) -> Volume:
    """Interpolate a volume at voxel coordinates (3, n) by splines of the given order.

    The outermost half voxel, which belongs to the field of view but lies beyond the voxel centres, repeats the edge;
    what is further out is 0.
    """
    limits = np.asarray(volume.shape, dtype=np.float64)[:, np.newaxis] - 1
    outside = ((voxels < -_EDGE) | (voxels > limits + _EDGE)).any(axis=0)
    coefficients = spline_coefficients(volume, order) if order > 1 else volume
    values = np.empty(voxels.shape[1], dtype=np.float32)
    ndimage.map_coordinates(
        coefficients, np.clip(voxels, 0.0, limits), order=order, prefilter=False, mode="mirror", output=values
    )
    values[outside] = 0.0
    return values


def rounding_step(volume: Volume) -> float:
    """Return the power of two next below 1/4096 of the bright signal: far below the noise of any BOLD series."""
    bright = float(np.percentile(volume, 98))
    return float(2.0 ** np.floor(np.log2(bright / _STEPS))) if bright > 0 else 1.0


def rounded(values: Volume, step: float) -> Volume:
    """Return values as multiples of a power of two; such files compress to half the size."""
    return np.round(values / np.float32(step)) * np.float32(step)
