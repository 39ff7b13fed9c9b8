"""Grey matter in the voxels of another grid, and nearness.

Everything is asked at points in space, so storage order and obliquity of an image play no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from tmsprep.files import load_nifti, read_data
from tmsprep.spaces import Grid, apply_affine, voxel_sizes

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_MAX_SAMPLES = 5
_BLOCK = 200_000


@dataclass(frozen=True)
class TissueMap:
    """A probability image of the T1w: `values` (x, y, z) on the grid of `affine_ras_mm`."""

    values: NDArray[np.float32]
    affine_ras_mm: Array

    @classmethod
    def load(cls, path: Path) -> TissueMap:
        """Read one."""
        image = load_nifti(path)
        return cls(read_data(image), np.asarray(image.affine, dtype=np.float64))

    @property
    def grid(self) -> Grid:
        """The grid of the image."""
        x, y, z = self.values.shape
        return Grid((x, y, z), self.affine_ras_mm)

    def extent(self, grid: Grid, least: float) -> BoolArray:
        """Return which voxels of another grid lie in the box about everything above `least`, with a margin.

        Parameters
        ----------
        grid
            The other grid.
        least
            A probability.

        Returns
        -------
        BoolArray
            Of the grid's shape. Outside it no voxel can have a mean above `least`.
        """
        above = np.argwhere(self.values > least)
        if len(above) == 0:
            return np.zeros(grid.shape, dtype=bool)
        margin = 1 + np.ceil(voxel_sizes(grid.affine_ras_mm).max() / voxel_sizes(self.affine_ras_mm).min())
        indices = np.indices(grid.shape, dtype=np.float32).reshape(3, -1).T
        centres = apply_affine(np.linalg.inv(self.affine_ras_mm) @ grid.affine_ras_mm, indices)
        inside = np.all((centres >= above.min(axis=0) - margin) & (centres <= above.max(axis=0) + margin), axis=1)
        return inside.reshape(grid.shape)

    def mean_in_voxels(self, grid: Grid, voxels: BoolArray) -> Array:
        """Return the mean probability in the volume of some voxels of another grid.

        Each voxel is sampled (linearly) at regularly spaced points, about as far apart as this image's own voxels.

        Parameters
        ----------
        grid
            The other grid.
        voxels
            Of the grid's shape.

        Returns
        -------
        Array
            (True voxels,), in C order of `voxels`.
        """
        offsets = _offsets(grid, self.affine_ras_mm)
        indices = np.argwhere(voxels).astype(np.float64)
        to_own = np.linalg.inv(self.affine_ras_mm) @ grid.affine_ras_mm
        result = np.zeros(len(indices))
        for first in range(0, len(indices), _BLOCK):
            part = slice(first, first + _BLOCK)
            for offset in offsets:
                points = apply_affine(to_own, indices[part] + offset).T
                result[part] += ndimage.map_coordinates(self.values, points, output=np.float64, order=1, cval=0.0)
        return result / len(offsets)


def _offsets(grid: Grid, affine_ras_mm: Array) -> Array:
    """Return sub-voxel positions (n, 3), in voxels of the grid, symmetric about the voxel's centre."""
    fine = voxel_sizes(affine_ras_mm).min()
    counts = np.clip(np.round(voxel_sizes(grid.affine_ras_mm) / fine), 1, _MAX_SAMPLES).astype(int)
    axes = [(np.arange(count) + 0.5) / count - 0.5 for count in counts]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def within(points_ras_mm: Array, others_ras_mm: Array, distance_mm: float) -> BoolArray:
    """Tell for points (n, 3) whether one of the others (m, 3) is within a distance."""
    if len(others_ras_mm) == 0:
        return np.zeros(len(points_ras_mm), dtype=bool)
    # a hair more than asked, so that rounding cannot decide about a voxel that lies exactly there
    found, _ = KDTree(others_ras_mm).query(points_ras_mm, distance_upper_bound=distance_mm + 1e-6)
    return np.isfinite(found)
