"""The head as the simulated scanner sees it: relative spin density and R2* from the tissue maps.

Values are effective ones for gradient-echo EPI at 3 T with repetition times of 2 to 3 s; they set contrast, not physiology.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.spaces import Grid, apply_affine, voxel_sizes

Array = NDArray[np.float64]
Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Tissue:
    """Gradient-echo properties of one tissue at 3 T."""

    s0: float
    """Signal at echo time zero, relative to grey matter: spin density and saturation together."""
    t2star_s: float

    @property
    def r2star(self) -> float:
        """Relaxation rate, 1/s."""
        return 1.0 / self.t2star_s


GREY = Tissue(1.0, 0.055)
WHITE = Tissue(0.88, 0.048)
FLUID = Tissue(1.20, 0.150)
SCALP = Tissue(0.16, 0.022)
"""T2* of grey and white matter lies between the 3 T values of Wansapura 1999 (J Magn Reson Imaging 9:531-538; about 42 to 52
and 45 to 48 ms) and of Peters 2007 (doi:10.1016/j.mri.2007.02.014; 66 and 53 ms). The relative signals are choices that give
the look of EPI: white matter darker than grey, fluid bright by its long T2* and inflow, scalp faint by fat suppression."""

DROPOUT_SITES_MNI_MM = (
    ((0.0, 32.0, -24.0), 15.0, 22.0),
    ((52.0, -24.0, -30.0), 13.0, 18.0),
    ((-52.0, -24.0, -30.0), 13.0, 18.0),
)
"""Centre (MNI152NLin2009cAsym mm), standard deviation (mm) and peak extra R2* (1/s): above the sphenoid sinus and above each
petrous bone."""


@dataclass(frozen=True)
class Head:
    """Maps on a regular grid in the head's own frame (T1w scanner RAS mm)."""

    grid: Grid
    s0: Map
    """Relative signal at echo time zero, 0 outside the head; grey matter about 1."""
    r2star: Map
    """1/s."""
    grey: Map
    white: Map
    fluid: Map
    inside: Mask
    """Voxels that give signal."""

    def points_ras_mm(self) -> Array:
        """Return the places of the voxels that give signal, (n, 3)."""
        return apply_affine(self.grid.affine_ras_mm, np.argwhere(self.inside))


def regrid(data: NDArray[np.float32], affine_ras_mm: Array, grid: Grid) -> Map:
    """Bring a map onto a coarser grid: smoothed to the new voxel first, so that partial volumes are kept."""
    ratio = voxel_sizes(grid.affine_ras_mm).mean() / voxel_sizes(affine_ras_mm)
    smooth = ndimage.gaussian_filter(data, 0.35 * np.maximum(ratio - 1, 0), mode="constant", truncate=3.0)
    to_voxels = np.linalg.inv(affine_ras_mm) @ grid.affine_ras_mm
    voxels = apply_affine(to_voxels, np.indices(grid.shape).reshape(3, -1).T).T
    values = ndimage.map_coordinates(smooth, voxels, order=1, mode="constant")
    return values.reshape(grid.shape).astype(np.float32)


def head_mask(t1w: Map) -> Mask:
    """Return the filled head of a T1w image: Otsu's threshold lowered, largest part, closed and filled."""
    from skimage.filters import threshold_otsu

    smooth = ndimage.gaussian_filter(t1w, 1.0)
    bright = smooth > 0.35 * threshold_otsu(smooth[smooth > 0])
    bright = _largest_part(np.asarray(ndimage.binary_opening(bright, iterations=1), dtype=bool))
    closed = np.asarray(ndimage.binary_closing(np.pad(bright, 6), iterations=5), dtype=bool)[6:-6, 6:-6, 6:-6] | bright
    for axis in range(3):
        planes = [np.asarray(ndimage.binary_fill_holes(plane), dtype=bool) for plane in np.moveaxis(closed, axis, 0)]
        closed = np.moveaxis(np.stack(planes), 0, axis)
    return closed


def _largest_part(mask: Mask) -> Mask:
    labels = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, output=labels)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == int(sizes.argmax())


def canonical_grid(affine_ras_mm: Array, mask: Mask, spacing_mm: float, margin_mm: float = 6.0) -> Grid:
    """Return a grid along R, A, S that holds a mask."""
    points = apply_affine(affine_ras_mm, np.argwhere(mask))
    low, high = points.min(axis=0) - margin_mm, points.max(axis=0) + margin_mm
    shape = np.ceil((high - low) / spacing_mm).astype(int) + 1
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = low
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def build_head(*, t1w: Map, grey: Map, white: Map, fluid: Map, inside: Mask, grid: Grid, dropout_ras_mm: Array) -> Head:
    """Turn maps on one grid into signal properties.

    Parameters
    ----------
    t1w, grey, white, fluid
        T1w intensity and tissue probabilities on `grid`.
    inside
        The head on `grid`.
    grid
        Of all maps.
    dropout_ras_mm
        Centres of `DROPOUT_SITES_MNI_MM` in this head, (3, 3).
    """
    brain = np.clip(grey + white + fluid, 0, 1)
    white_level = float(np.median(t1w[white > 0.9]))
    relative = np.clip(t1w / white_level, 0, 0.7)  # fat, the brightest, is suppressed
    other = (1 - brain) * np.where(inside, relative, 0) * SCALP.s0
    parts = ((GREY, grey * GREY.s0), (WHITE, white * WHITE.s0), (FLUID, fluid * FLUID.s0), (SCALP, other))
    s0 = np.sum([amount for _, amount in parts], axis=0)
    weighted = np.sum([tissue.r2star * amount for tissue, amount in parts], axis=0)
    r2star = weighted / np.maximum(s0, 1e-6) + _dropout(grid, dropout_ras_mm)
    gives_signal = np.asarray(s0 > 0.01)
    return Head(
        grid,
        np.where(gives_signal, s0 * _receive_field(grid, inside), 0).astype(np.float32),
        np.where(gives_signal, r2star, 0).astype(np.float32),
        grey,
        white,
        fluid,
        gives_signal,
    )


def _dropout(grid: Grid, centres_ras_mm: Array) -> Array:
    """Return the extra R2* (1/s) from field gradients through the voxel above air."""
    points = grid.points_ras_mm()
    extra = np.zeros(len(points))
    for centre, (_, width_mm, peak) in zip(centres_ras_mm, DROPOUT_SITES_MNI_MM, strict=True):
        squared = np.sum((points - centre) ** 2, axis=1)
        extra += peak * np.exp(-squared / (2 * width_mm**2))
    return extra.reshape(grid.shape)


def _receive_field(grid: Grid, inside: Mask) -> Array:
    """Return the sensitivity of a coil array, 0.85 in the centre to 1.25 at the surface, smooth."""
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=voxel_sizes(grid.affine_ras_mm))
    smooth = ndimage.gaussian_filter(np.asarray(depth)[1:-1, 1:-1, 1:-1], 8.0 / voxel_sizes(grid.affine_ras_mm))
    return 0.85 + 0.4 * np.exp(-smooth / 25.0)
