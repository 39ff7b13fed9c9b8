"""Rigid registration by mutual information, by ANTs: images of one head, whatever their contrast."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import numpy as np

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
    """
    import ants

    with tempfile.TemporaryDirectory() as folder:
        result = ants_register(
            fixed,
            moving,
            "Rigid",
            initial_transform=None if centred else "Identity",
            aff_metric="mattes",
            seed=seed,
            outprefix=f"{folder}/",
        )
        return _pull_matrix(ants.read_transform(result["fwdtransforms"][-1]))


def as_ants(volume: Volume, affine_ras_mm: Array) -> ants.ANTsImage:
    """Return a volume as an ANTs image; a sheared one, which ANTs cannot represent, on a grid along R, A, S."""
    return to_ants(*_right_angled(volume, affine_ras_mm))


def without_bias(image: ants.ANTsImage) -> ants.ANTsImage:
    """Return an image with its intensity made even, by ANTs' N4 (doi:10.1109/TMI.2010.2046908)."""
    import ants

    return ants.n4_bias_field_correction(image, shrink_factor=4)


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
