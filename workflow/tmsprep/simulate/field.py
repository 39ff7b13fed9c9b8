"""Off-resonance: what it does to an echo-planar image.

Convention of SDCFlows and BIDS: with ``PhaseEncodingDirection`` "j" and total readout time T, what lies at voxel index y
shows up at ``y + f T`` for an off-resonance of f Hz, its brightness divided by the local stretch; with "j-", at ``y - f T``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.spaces import Grid, apply_affine

Array = NDArray[np.float64]

SITES_MNI_MM = (
    ((0.0, 52.0, -26.0), 16.0, 90.0),
    ((54.0, -22.0, -34.0), 15.0, 60.0),
    ((-54.0, -22.0, -34.0), 15.0, 60.0),
    ((0.0, 64.0, 10.0), 22.0, 30.0),
)
"""Centre (MNI152NLin2009cAsym mm), standard deviation (mm) and peak (Hz at 3 T): sinuses and petrous bones."""

PHASE_AXIS = 1
"""Voxel axis of the phase encoding."""
PHASE_ENCODING_SIGN = -1
"""Of the runs: ``PhaseEncodingDirection`` "j-", front to back on these grids."""


@dataclass(frozen=True)
class FieldMap:
    """Off-resonance in the head's frame; it moves with the head."""

    grid: Grid
    hertz: NDArray[np.float32]

    def at(self, points_ras_mm: Array) -> Array:
        """Return the off-resonance (Hz) at points (n, 3) of the head's frame."""
        voxels = apply_affine(np.linalg.inv(self.grid.affine_ras_mm), points_ras_mm).T
        return ndimage.map_coordinates(self.hertz, voxels, order=1, mode="nearest")


def make_field(grid: Grid, centres_ras_mm: Array) -> FieldMap:
    """Make the field of `SITES_MNI_MM`, whose centres in this head are given (n, 3), with a small shim error."""
    points = grid.points_ras_mm()
    total = np.zeros(len(points))
    for centre, (_, width_mm, peak) in zip(centres_ras_mm, SITES_MNI_MM, strict=True):
        total += peak * np.exp(-np.sum((points - centre) ** 2, axis=1) / (2 * width_mm**2))
    total += 0.08 * (points[:, 1] - points[:, 1].mean()) - 4.0
    return FieldMap(grid, total.reshape(grid.shape).astype(np.float32))


def undistorted_indices(indices: Array, field: FieldMap, to_head: Array, readout_time_s: float) -> tuple[Array, Array]:
    """Return where the signal seen at voxel `indices` (n, 3) comes from, and its brightening.

    Solves ``x + f(x) T = y`` for x along the phase-encoding axis.

    Parameters
    ----------
    indices
        Voxel indices in the distorted image.
    field
        In the head's frame.
    to_head
        4 x 4, voxel indices to the head's frame (RAS mm).
    readout_time_s
        Negative for the opposite phase-encoding direction.
    """

    def shift(at: Array) -> Array:
        return field.at(apply_affine(to_head, at)) * readout_time_s

    origin = indices.copy()
    for _ in range(8):
        origin[:, PHASE_AXIS] = indices[:, PHASE_AXIS] - shift(origin)
    step = np.zeros(3)
    step[PHASE_AXIS] = 0.5
    gradient = shift(origin + step) - shift(origin - step)
    return origin, 1.0 / np.maximum(1.0 + gradient, 0.2)
