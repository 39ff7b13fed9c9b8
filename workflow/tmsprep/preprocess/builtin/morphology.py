"""Masks and balls: distances, opening, closing, largest piece, in mm whatever the voxels."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.measure import label

from tmsprep.preprocess.builtin.head import Array, Box, Mask


def distance_mm(mask: Mask, zooms_mm: Array) -> Array:
    """Return each voxel's distance to the nearest voxel that is not in the mask."""
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=zooms_mm), dtype=np.float64)


def opened(mask: Mask, radius_mm: float, zooms_mm: Array) -> Mask:
    """Remove what a ball of this radius does not fit into."""
    core = distance_mm(mask, zooms_mm) > radius_mm
    return mask & (distance_mm(~core, zooms_mm) <= radius_mm)


def closed(mask: Mask, radius_mm: float, zooms_mm: Array) -> Mask:
    """Add what a ball of this radius, outside the mask, cannot reach; the image's edge is no wall."""
    pad = int(np.ceil(radius_mm / np.min(zooms_mm))) + 1
    wide = np.pad(mask, pad)
    grown = distance_mm(~wide, zooms_mm) <= radius_mm
    back = distance_mm(grown, zooms_mm) > radius_mm
    inner = (slice(pad, -pad),) * 3
    return (wide | back)[inner]


def largest_piece(mask: Mask) -> Mask:
    """Return the largest connected piece (faces touch) of a mask that is not empty."""
    labels = np.asarray(label(mask, connectivity=1))
    return labels == np.bincount(labels.ravel())[1:].argmax() + 1


def filled(mask: Mask) -> Mask:
    """Fill what the mask encloses."""
    return np.asarray(ndimage.binary_fill_holes(mask))


def bounding_box(mask: Mask, zooms_mm: Array, *, margin_mm: float) -> Box:
    """Return the smallest box around a mask, widened by a margin, as slices."""
    margins = np.ceil(margin_mm / zooms_mm).astype(int)
    (found,) = ndimage.find_objects(mask.astype(np.uint8))
    first, second, third = (
        slice(max(side.start - margin, 0), min(side.stop + margin, size))
        for side, margin, size in zip(found, margins, mask.shape, strict=True)
    )
    return first, second, third
