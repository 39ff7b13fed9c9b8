"""A quick look at whether a T1w image shows a whole head or a stripped brain.

Asked before anything else, without registration: in four real heads the filled volume was 3.5 to 4.8 litres (2.6 and
more where the field of view ends at the brain's lowest point), and 1.2 to 1.8 litres when they were stripped. This
estimate is for that question alone; the scalp itself is made by the stage `scalp`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.errors import InputError
from tmsprep.spaces import voxel_sizes

SMALLEST_HEAD_LITRES = 2.3
"""Between the largest stripped brain (1.8; 2.2 stripped 6 mm too wide) and the tightest view of a whole head (2.6)."""

_GRID_MM = 3.0
_CLOSING_MM = 9.0
_TISSUE_FRACTION = 0.25
_LARGE_FRACTION = 0.1


def head_volume_litres(data: NDArray[Any], affine_ras_mm: NDArray[np.float64]) -> float:
    """Return the volume of the filled head.

    Otsu's threshold parts tissue from air; a quarter of the tissue's median is the final threshold (fat and muscle are
    brighter than skin); the large components are closed and filled in 3D and in each slice of each axis.

    Parameters
    ----------
    data
        (x, y, z), any scale.
    affine_ras_mm
        4 x 4; only the voxel's size counts, so any orientation will do.

    Raises
    ------
    InputError
        The image is constant: there is no head in it.
    """
    from skimage.filters import threshold_otsu
    from skimage.measure import block_reduce

    factors = np.maximum(np.round(_GRID_MM / voxel_sizes(affine_ras_mm)), 1).astype(int)
    blocks: Any = tuple(factors.tolist())
    coarse: NDArray[Any] = block_reduce(np.asarray(data, dtype=np.float32), blocks, np.mean)
    bright = float(np.percentile(coarse, 99.5))
    if not bright > float(coarse.min()):
        raise InputError("the T1w image is constant", expected="a head")
    clipped = np.clip(coarse, None, bright)
    tissue = clipped[clipped > threshold_otsu(clipped)]
    mask = _large(clipped > _TISSUE_FRACTION * float(np.median(tissue)))
    voxel_mm = float(np.mean(voxel_sizes(affine_ras_mm) * factors))
    filled = _filled(mask, closing_voxels=max(round(_CLOSING_MM / voxel_mm), 1))
    voxel_litres = abs(float(np.linalg.det(affine_ras_mm[:3, :3]))) * float(np.prod(factors)) / 1e6
    return float(np.count_nonzero(filled)) * voxel_litres


def _large(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest component and those of a tenth of its size: a thick skull may part the scalp from the brain."""
    labels = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, output=labels)
    sizes = np.bincount(labels.ravel(), minlength=2)
    sizes[0] = 0
    return (sizes >= _LARGE_FRACTION * sizes.max())[labels] & mask


def _filled(mask: NDArray[np.bool_], closing_voxels: int) -> NDArray[np.bool_]:
    """Close and fill; padding keeps the closing from being cut where the field of view is tight."""
    padded = np.pad(mask, closing_voxels + 1)
    ball = ndimage.generate_binary_structure(3, 1)
    padded = ndimage.binary_closing(padded, ball, iterations=closing_voxels)
    inner = padded[tuple(slice(closing_voxels + 1, -closing_voxels - 1) for _ in range(3))]
    whole = np.asarray(ndimage.binary_fill_holes(inner), dtype=bool)
    for axis in range(3):
        for index in range(whole.shape[axis]):
            place = (slice(None),) * axis + (index,)
            whole[place] = ndimage.binary_fill_holes(whole[place])
    return whole
