"""The cortex beneath a place on the scalp."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from tmsprep.spaces import Array, apply_affine

MAX_DEPTH_MM = 40.0
"""Farther than this below the scalp, grey matter is no cortex that a coil there would reach."""
MIN_GREY_MATTER = 0.5
_STEP_MM = 0.25
_FLAT = 1e-3
_PATCH_MM, _SMOOTH_MM = 16, 4.0
"""Half the edge of the piece of brain mask whose slope is taken, and the width over which folds are smoothed away."""


def cortex_below(
    grey_matter: NDArray[np.float32], affine_ras_mm: Array, entry_ras_mm: ArrayLike, normal: ArrayLike
) -> Array | None:
    """Return the first grey matter met on the way into the head.

    Parameters
    ----------
    grey_matter
        Probability, (x, y, z).
    affine_ras_mm
        Of `grey_matter`.
    entry_ras_mm
        (3,), on the scalp.
    normal
        (3,), unit, out of the head: the way runs against it.

    Returns
    -------
    Array or None
        (3,) RAS mm: the first point with a probability of at least 0.5; None within 40 mm.
    """
    depths = np.arange(0.0, MAX_DEPTH_MM + _STEP_MM / 2, _STEP_MM)
    along = np.asarray(normal, dtype=np.float64)
    points: Array = np.asarray(entry_ras_mm, dtype=np.float64) - depths[:, np.newaxis] * along
    voxels = apply_affine(np.linalg.inv(affine_ras_mm), points).T
    probability = ndimage.map_coordinates(grey_matter, voxels, order=1, mode="constant", cval=0.0)
    met = np.flatnonzero(probability >= MIN_GREY_MATTER)
    return points[met[0]] if met.size else None


def cortex_normal(brain_mask: NDArray[np.float32], affine_ras_mm: Array, point_ras_mm: ArrayLike) -> Array | None:
    """Return the direction (3,) out of the brain at a point of the cortex.

    The slope of the brain mask, smoothed over a fold's width, at the point: the normal of the brain's surface, not of a
    single sulcal wall.

    Parameters
    ----------
    brain_mask
        (x, y, z), 1 inside.
    affine_ras_mm
        Of `brain_mask`.
    point_ras_mm
        (3,)

    Returns
    -------
    Array or None
        A unit vector; None where the mask has no slope (deep inside, or far outside).
    """
    steps = np.arange(-_PATCH_MM, _PATCH_MM + 1.0)
    around = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1) + np.asarray(point_ras_mm)
    voxels = apply_affine(np.linalg.inv(affine_ras_mm), around.reshape(-1, 3)).T
    patch = ndimage.map_coordinates(brain_mask.astype(np.float32), voxels, order=1, mode="constant", cval=0.0)
    smooth = ndimage.gaussian_filter(patch.reshape(around.shape[:3]), _SMOOTH_MM)
    middle = _PATCH_MM
    slope = np.array([np.gradient(smooth, axis=axis)[middle, middle, middle] for axis in range(3)], dtype=np.float64)
    size = float(np.linalg.norm(slope))
    return None if size < _FLAT else -slope / size
