"""The filled head mask: everything inside the scalp, ears and nose rounded as a tape would pass over them.

Works on a 2 mm grid whose axes run closest to R, A, S. Recognising what is no whole head is `tmsprep.scalp.wholehead`'s
affair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label

from tmsprep.errors import ProcessingError
from tmsprep.spaces import Array, Grid, closest_canonical, resample, voxel_sizes

Mask = NDArray[np.bool_]

GRID_MM = 2.0
_SMOOTHING_MM = 1.0
_THRESHOLD_OF_TISSUE = 0.25
_SPECK_RADIUS_MM = 2.0
_CLOSING_RADIUS_MM = 8.0
_OPENING_RADIUS_MM = 4.0


@dataclass(frozen=True)
class Head:
    """A T1w image at 2 mm and the filled mask of its head."""

    t1w: NDArray[np.float32]
    """(x, y, z), lightly smoothed."""
    mask: Mask
    """(x, y, z)."""
    grid: Grid
    """Axes closest to R, A, S along the axes of the T1w; 2 mm edges."""
    threshold: float
    """Intensity that tells tissue from air in `t1w`."""

    @property
    def volume_litres(self) -> float:
        """Volume of the mask."""
        return float(self.mask.sum() * np.prod(voxel_sizes(self.grid.affine_ras_mm)) / 1e6)


def find_head(t1w: NDArray[np.float32], affine_ras_mm: Array) -> Head:
    """Make the head mask of a T1w image.

    Parameters
    ----------
    t1w
        (x, y, z), bias field corrected; any storage order.
    affine_ras_mm
        4 x 4, of `t1w`; oblique and sheared grids are fine.

    Returns
    -------
    Head
        On a 2 mm grid.

    Raises
    ------
    ProcessingError
        The image has no contrast, or no head is left.
    """
    image, grid = _at_grid_mm(t1w, affine_ras_mm)
    threshold = _tissue_threshold(image)
    mask = _fill(image > threshold, voxel_sizes(grid.affine_ras_mm))
    if not mask.any():
        raise ProcessingError("no head was found in the T1w image", action="look at the image; is it a T1w of a head?")
    return Head(image, mask, grid, threshold)


def _at_grid_mm(t1w: NDArray[np.float32], affine_ras_mm: Array) -> tuple[NDArray[np.float32], Grid]:
    data, affine = closest_canonical(np.nan_to_num(t1w), affine_ras_mm)
    smooth = ndimage.gaussian_filter(data.astype(np.float32), _SMOOTHING_MM / voxel_sizes(affine))
    grid = Grid((data.shape[0], data.shape[1], data.shape[2]), affine).with_zooms((GRID_MM,) * 3)
    return resample(smooth, affine, grid, order=1), grid


def _tissue_threshold(image: NDArray[np.float32]) -> float:
    """Return the intensity above which a voxel is tissue: a quarter of what bright tissue measures.

    Noise in the image's corners is no guide to the threshold where the field of view is tight.
    """
    if image.min() == image.max():
        raise ProcessingError("the T1w image is constant", action="look at the image")
    bright = float(np.median(image[image > threshold_otsu(image)]))
    return _THRESHOLD_OF_TISSUE * bright


def _fill(tissue: Mask, zooms_mm: Array) -> Mask:
    """Close gaps and cavities, and remove what is thin."""
    mask = _largest(_opened(tissue, _SPECK_RADIUS_MM, zooms_mm))
    mask = _closed(mask, _CLOSING_RADIUS_MM, zooms_mm)
    mask = np.asarray(ndimage.binary_fill_holes(mask), dtype=np.bool_)
    for axis in range(3):
        mask = _fill_slices(mask, axis)
    return _largest(_opened(mask, _OPENING_RADIUS_MM, zooms_mm))


def _fill_slices(mask: Mask, axis: int) -> Mask:
    slices = np.moveaxis(mask, axis, 0)
    filled = [np.asarray(ndimage.binary_fill_holes(layer), dtype=np.bool_) for layer in slices]
    return np.moveaxis(np.stack(filled), 0, axis)


def _eroded(mask: Mask, radius_mm: float, zooms_mm: Array) -> Mask:
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=zooms_mm)) > radius_mm


def _dilated(mask: Mask, radius_mm: float, zooms_mm: Array) -> Mask:
    return ~_eroded(~mask, radius_mm, zooms_mm)


def _padded(mask: Mask, radius_mm: float, zooms_mm: Array) -> tuple[Mask, tuple[slice, ...]]:
    """Continue the mask beyond the field of view: a head that leaves it does not end there."""
    widths = np.ceil(radius_mm / zooms_mm).astype(int) + 1
    inner = tuple(slice(int(width), -int(width)) for width in widths)
    return np.pad(mask, [(int(width), int(width)) for width in widths], mode="edge"), inner


def _opened(mask: Mask, radius_mm: float, zooms_mm: Array) -> Mask:
    padded, inner = _padded(mask, radius_mm, zooms_mm)
    return _dilated(_eroded(padded, radius_mm, zooms_mm), radius_mm, zooms_mm)[inner]


def _closed(mask: Mask, radius_mm: float, zooms_mm: Array) -> Mask:
    padded, inner = _padded(mask, radius_mm, zooms_mm)
    return _eroded(_dilated(padded, radius_mm, zooms_mm), radius_mm, zooms_mm)[inner]


def _largest(mask: Mask) -> Mask:
    labels = np.asarray(label(mask, connectivity=1))
    sizes = np.bincount(labels.ravel())
    return labels == np.argmax(sizes[1:]) + 1 if sizes.size > 1 else mask
