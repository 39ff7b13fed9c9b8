"""Rigid registration by mutual information, by ANTs: images of one head, whatever their contrast."""

from __future__ import annotations

import math
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from tmsprep.errors import ProcessingError
from tmsprep.interfaces.ants_registration import register as ants_register
from tmsprep.preprocess.builtin.series import Volume
from tmsprep.spaces import (
    Array,
    Grid,
    apply_affine,
    is_sheared,
    lps_from_ras,
    ras_from_lps,
    resample,
    to_ants,
    voxel_sizes,
)

if TYPE_CHECKING:
    import ants

_PROBE_MM = 100.0
_HEAD_FRACTION = 0.5
"""Of Otsu's threshold."""
_EVEN_MM = 15.0
"""Local means are Gaussian, with this standard deviation."""
_PRIOR_SHARE = 0.02
_LEVELS = ((6, 3, 2100), (4, 2, 1200), (2, 1, 1200), (1, 0, 100))
"""Shrink factor, smoothing in voxels, most iterations."""
_COARSEST_MM = 12.0
_SAMPLES = 100_000
"""Voxels looked at in the finest level: all of a BOLD image, a fifth of a brain at 2 mm."""


def register_rigidly(fixed: ants.ANTsImage, moving: ants.ANTsImage, *, centred: bool = False, seed: int = 42) -> Array:
    """Return the 4 x 4 that maps points of `fixed` to points of `moving`, RAS mm.

    Parameters
    ----------
    fixed, moving
        Images as `as_ants` makes them.
    centred
        Start with the centres of mass on each other; else as the headers say.
    seed
        For the sampling of the metric.

    Raises
    ------
    ProcessingError
        ANTs gave up. It then says so to nobody and returns where it began, which no real registration does to the last bit.
    """
    import ants

    with tempfile.TemporaryDirectory() as folder:
        result = ants_register(
            fixed,
            moving,
            "Rigid",
            initial_transform=None if centred else "Identity",
            aff_metric="mattes",
            **_schedule(fixed),
            seed=seed,
            outprefix=f"{folder}/",
        )
        transform = ants.read_transform(result["fwdtransforms"][-1])
    if np.array_equal(transform.parameters, np.eye(4, 3).ravel()):
        raise ProcessingError(
            "the rigid registration of two images failed",
            expected="two images with contrast that overlap",
            action="look at both: is one empty, or elsewhere in space?",
        )
    return _pull_matrix(transform)


def as_ants(volume: Volume, affine_ras_mm: Array) -> ants.ANTsImage:
    """Return a volume as an ANTs image; a sheared one, which ANTs cannot represent, on a grid along R, A, S."""
    return to_ants(*_right_angled(volume, affine_ras_mm))


def without_bias(image: ants.ANTsImage) -> ants.ANTsImage:
    """Return an image with its intensity made even: divided by its local mean within the head.

    The same is done to the same tissue wherever it lies. N4 does otherwise: on images this coarse its field follows the
    anatomy, differently in each image, and without a mask it is led by the logarithms of an almost empty background.

    Raises
    ------
    ProcessingError
        The image is empty.
    """
    from skimage.filters import threshold_otsu

    volume = image.numpy()
    head = volume > _HEAD_FRACTION * threshold_otsu(volume)
    if not head.any():
        raise ProcessingError("an image to be registered shows no head")
    widths = _EVEN_MM / np.asarray(image.spacing)
    share = np.asarray(ndimage.gaussian_filter(head.astype(np.float32), widths))
    total = np.asarray(ndimage.gaussian_filter(np.where(head, volume, 0).astype(np.float32), widths))
    # far from the head, where both vanish, the median keeps noise as faint as it was
    local = (total + _PRIOR_SHARE * np.median(volume[head])) / (share + _PRIOR_SHARE)
    return image.new_image_like(np.asarray(volume / local, dtype=np.float32))


def _schedule(fixed: ants.ANTsImage) -> dict[str, Any]:
    """Return levels and sampling as ANTs wants them, coarse to fine.

    antspyx' own begin six times coarser and look at a fifth of the voxels: of a small image some twenty, from which a joint
    histogram of 32 x 32 says nothing, and the first level throws the image anywhere.
    """
    spacing = min(fixed.spacing)
    levels = [level for level in _LEVELS if level[0] == 1 or level[0] * spacing <= _COARSEST_MM]
    factors, sigmas, iterations = zip(*levels, strict=True)
    return {
        "aff_shrink_factors": factors,
        "aff_smoothing_sigmas": sigmas,
        "aff_iterations": iterations,
        "aff_random_sampling_rate": min(1.0, _SAMPLES / math.prod(fixed.shape)),
    }


def _right_angled(volume: Volume, affine_ras_mm: Array) -> tuple[Volume, Array]:
    if not is_sheared(affine_ras_mm):
        return volume, affine_ras_mm
    corners = apply_affine(affine_ras_mm, np.argwhere(np.ones((2, 2, 2))) * (np.asarray(volume.shape) - 1))
    zooms = voxel_sizes(affine_ras_mm)[np.argsort(np.abs(affine_ras_mm[:3, :3]).argmax(axis=0))]
    straight = np.diag([*zooms, 1.0])
    straight[:3, 3] = corners.min(axis=0)
    shape = np.ceil(np.ptp(corners, axis=0) / zooms).astype(int) + 1
    grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), straight)
    return resample(volume, affine_ras_mm, grid, order=1), straight


def _pull_matrix(transform: ants.ANTsTransform) -> Array:
    """Return a linear ANTs transform as a 4 x 4 in RAS mm, found by what it does to four points."""
    probes = np.concatenate([np.zeros((1, 3)), _PROBE_MM * np.eye(3)])
    moved = np.array([ras_from_lps(transform.apply_to_point([float(v) for v in lps_from_ras(p)])) for p in probes])
    matrix = np.eye(4)
    matrix[:3, :3] = (moved[1:] - moved[0]).T / _PROBE_MM
    matrix[:3, 3] = moved[0]
    return matrix
