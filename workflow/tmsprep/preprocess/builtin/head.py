"""A head image in memory, and the same at another voxel size or cut to a box."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.files import load_nifti, read_data
from tmsprep.spaces import Grid, apply_affine, resample, voxel_sizes

Array = NDArray[np.float64]
Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Head:
    """A head image in memory: `data` (x, y, z) and `affine_ras_mm`, right-angled voxels."""

    data: Volume
    affine_ras_mm: Array

    @classmethod
    def read(cls, path: Path) -> Head:
        """Read an image."""
        image = load_nifti(path)
        return cls(read_data(image), np.asarray(image.affine, dtype=np.float64))

    @property
    def grid(self) -> Grid:
        """The image's grid."""
        shape = self.data.shape
        return Grid((shape[0], shape[1], shape[2]), self.affine_ras_mm)

    def at(self, zooms_mm: float) -> Head:
        """Return the head with voxels of this edge, smoothed as that needs; unchanged where they are no smaller now."""
        old = voxel_sizes(self.affine_ras_mm)
        if np.all(old > 0.9 * zooms_mm):
            return self
        # a Gaussian with the full width at half maximum that is missing to the new voxel
        widths = np.sqrt(np.maximum(zooms_mm**2 - old**2, 0.0)) / 2.355 / old
        grid = self.grid.with_zooms([zooms_mm] * 3)
        smooth = ndimage.gaussian_filter(self.data, widths)
        return Head(resample(smooth, self.affine_ras_mm, grid, order=1), grid.affine_ras_mm)

    def cropped(self, box: Box) -> Head:
        """Return the part in a box, at its place in space."""
        affine = self.affine_ras_mm.copy()
        affine[:3, 3] = apply_affine(affine, [side.start for side in box])
        return Head(self.data[box], affine)
