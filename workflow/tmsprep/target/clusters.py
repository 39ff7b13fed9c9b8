"""From a score map to candidate sites: the best scores, their clusters, one grey-matter point for each.

The scores are brought from the BOLD grid to a finer one first, on which the grey matter is known: a voxel of 3 or 4 mm
would otherwise quantise the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.spaces import Grid, apply_affine

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

ALL = 1.0
"""A top fraction that takes every positive score."""
_NEIGHBOURS_26 = np.ones((3, 3, 3), dtype=bool)
MIN_SUPPORT = 0.25
"""A fine voxel gets a score if at least this much of its (trilinear) neighbourhood on the BOLD grid was scored."""


@dataclass(frozen=True)
class Cluster:
    """Connected voxels with the best scores, and the point that stands for them."""

    position_ras_mm: Array
    """(3,): the voxel of the cluster closest to its centre of gravity."""
    centre_ras_mm: Array
    """(3,): the centre of gravity; it may lie in a sulcus."""
    mean_score: float
    peak_score: float
    voxels: int
    volume_mm3: float


@dataclass(frozen=True, eq=False)
class ScoreMap:
    """Scores on a grid; outside `inside` they mean nothing."""

    grid: Grid
    values: Array
    inside: BoolArray


def refine(coarse: ScoreMap, grid: Grid, inside: BoolArray) -> ScoreMap:
    """Interpolate scores onto a finer grid, from scored voxels only.

    Trilinear interpolation of the scores divided by that of their support: voxels that were not scored take no part.

    Parameters
    ----------
    coarse
        Scores on the BOLD grid.
    grid
        The fine grid.
    inside
        Of the fine grid's shape: where a target may be.

    Returns
    -------
    ScoreMap
        On the fine grid; `inside` reduced to voxels whose neighbourhood was scored.
    """
    to_coarse = np.linalg.inv(coarse.grid.affine_ras_mm) @ grid.affine_ras_mm
    points = apply_affine(to_coarse, np.argwhere(inside)).T
    scored = np.where(coarse.inside, coarse.values, 0.0)
    support = ndimage.map_coordinates(coarse.inside.astype(np.float64), points, order=1, mode="constant")
    total = ndimage.map_coordinates(scored, points, order=1, mode="constant")
    values = np.zeros(grid.shape)
    usable = np.zeros(grid.shape, dtype=bool)
    usable[inside] = support >= MIN_SUPPORT
    values[usable] = (total / np.maximum(support, MIN_SUPPORT))[support >= MIN_SUPPORT]
    return ScoreMap(grid, values, usable)


def find_clusters(scores: ScoreMap, *, top_fraction: float, min_volume_mm3: float) -> list[Cluster]:
    """Return the clusters of the best scores, the largest first.

    The best scores are the `top_fraction` highest of all voxels inside, and positive (Cash et al. 2021,
    doi:10.1002/hbm.25330, for the negative of a correlation). Voxels that share a face, an edge or a corner are
    connected.

    Parameters
    ----------
    scores
        The score map.
    top_fraction
        For example 0.1: scores from the 90th percentile on.
    min_volume_mm3
        Clusters smaller than this are left out, except the largest.

    Returns
    -------
    list[Cluster]
        Empty if no score is positive.
    """
    if not scores.inside.any():
        return []
    threshold = np.quantile(scores.values[scores.inside], 1 - top_fraction)
    best = scores.inside & (scores.values >= threshold) & (scores.values > 0)
    labels = np.zeros(best.shape, dtype=np.int32)
    ndimage.label(best, structure=_NEIGHBOURS_26, output=labels)
    members = [np.argwhere(labels == label) for label in range(1, labels.max() + 1)]
    clusters = [_describe(scores, voxels, max(float(threshold), 0.0)) for voxels in members]
    clusters.sort(key=lambda item: (-item.voxels, -item.mean_score, *item.position_ras_mm))
    return [item for index, item in enumerate(clusters) if index == 0 or item.volume_mm3 >= min_volume_mm3]


def _describe(scores: ScoreMap, voxels: NDArray[np.int64], threshold: float) -> Cluster:
    values = scores.values[tuple(voxels.T)]
    points = apply_affine(scores.grid.affine_ras_mm, voxels)
    centre = centre_of_gravity(points, values - threshold)
    distances = np.round(np.linalg.norm(points - centre, axis=1), 6)
    nearest = np.lexsort((*points.T, -values, distances))[0]
    voxel_mm3 = abs(float(np.linalg.det(scores.grid.affine_ras_mm[:3, :3])))
    return Cluster(
        position_ras_mm=points[nearest],
        centre_ras_mm=centre,
        mean_score=float(values.mean()),
        peak_score=float(values.max()),
        voxels=len(voxels),
        volume_mm3=len(voxels) * voxel_mm3,
    )


def centre_of_gravity(points_ras_mm: Array, excess: Array) -> Array:
    """Return the mean of points (n, 3) weighted by how far each score exceeds the threshold."""
    total = excess.sum()
    weights = excess / total if total > 0 else np.full(len(excess), 1 / len(excess))
    return weights @ points_ras_mm
