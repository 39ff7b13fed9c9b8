"""Smoothing within a mask, so that the brain's edge does not darken.

Normalised convolution: the smoothed product of mask and image is divided by the smoothed mask. A constant stays that
constant up to the last voxel of the mask, and nothing from outside leaks in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.spaces import Grid, voxel_sizes

_FWHM_PER_SIGMA = float(np.sqrt(8 * np.log(2)))


def smooth_within(samples: NDArray[np.float32], mask: NDArray[np.bool_], grid: Grid, fwhm_mm: float) -> None:
    """Smooth each volume in place by a Gaussian.

    Parameters
    ----------
    samples
        (volumes, voxels of the mask)
    mask
        (x, y, z)
    grid
        Of the mask. The Gaussian runs along the voxel axes, by mm.
    fwhm_mm
        Full width at half maximum; 0 leaves everything as it is.
    """
    if fwhm_mm <= 0:
        return
    box = ndimage.find_objects(mask.astype(np.int8))[0]
    inside = mask[box]  # what is further out contributes zeros
    sigma = fwhm_mm / _FWHM_PER_SIGMA / voxel_sizes(grid.affine_ras_mm)
    weight = _gaussian(inside.astype(np.float32), sigma)[inside]
    volume = np.zeros(inside.shape, dtype=np.float32)
    for row in samples:
        volume[inside] = row
        row[:] = _gaussian(volume, sigma)[inside] / weight


def _gaussian(volume: NDArray[np.float32], sigma: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(ndimage.gaussian_filter(volume, sigma, mode="constant"), dtype=np.float32)
