"""Parcels: the left DLPFC is divided by its own connectivity, and the parcel most opposed to sgACC is chosen.

After the Stanford neuromodulation therapy (Cole et al. 2020, doi:10.1176/appi.ajp.2019.19070720), whose code is not public;
the rule is that of the public reimplementation nih-fmrif/contarg (``hierarchical.py``): Spearman correlations within each
region, agglomerative clustering, for each parcel its size, its compactness and its summed correlation with the parcels of
sgACC, and the product of the three ranks. Clusters are joined by their average distance: with contarg's default, the
nearest pair, smooth series chain into one parcel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from scipy.stats import rankdata

Array = NDArray[np.float64]

CUT = 0.5
"""Distance (1 - rho) at which clusters are no longer joined."""
MIN_VOLUME_MM3 = 400.0
"""Smaller parcels are no candidates: 50 voxels of 2 mm."""
_LARGEST = 3


@dataclass(frozen=True)
class Parcel:
    """A candidate."""

    members: NDArray[np.bool_]
    """(search voxels,)"""
    opposition: float
    """Minus the size-weighted mean correlation with sgACC's parcels, -1 to 1; high is wanted."""


def find_parcels(search: Array, anchor: Array, points_ras_mm: Array, voxel_mm3: float) -> list[Parcel]:
    """Return the candidates, best first, at most three.

    Parameters
    ----------
    search, anchor
        (volumes, voxels): series of the search voxels and of the sgACC.
    points_ras_mm
        (search voxels, 3)
    voxel_mm3
        Volume of a voxel.

    Returns
    -------
    list[Parcel]
        Empty if no parcel is large enough and opposed to sgACC.
    """
    if min(search.shape[1], anchor.shape[1]) < 2:
        return []
    ours = [members for members in _clusters(search) if members.sum() * voxel_mm3 > MIN_VOLUME_MM3]
    theirs = _clusters(anchor)
    if not ours:
        return []
    sizes = np.array([members.sum() for members in theirs])
    rho = _unit_ranks(_medians(search, ours)).T @ _unit_ranks(_medians(anchor, theirs))
    found = [Parcel(members, -float(row @ sizes / sizes.sum())) for members, row in zip(ours, rho, strict=True)]
    return _best([parcel for parcel in found if parcel.opposition > 0], points_ras_mm)


def _unit_ranks(series: Array) -> Array:
    """Return the ranks of each column with mean 0 and length 1: their products are Spearman correlations."""
    ranks = rankdata(series, axis=0)
    ranks -= ranks.mean(axis=0)
    return ranks / np.maximum(np.linalg.norm(ranks, axis=0), np.finfo(float).tiny)


def _clusters(series: Array) -> list[NDArray[np.bool_]]:
    """Return the voxels of each cluster, (voxels,) each."""
    ranks = _unit_ranks(series)
    apart = np.clip(1 - ranks.T @ ranks, 0, 2)
    np.fill_diagonal(apart, 0)
    labels = fcluster(linkage(squareform(apart, checks=False), "average"), CUT, "distance")
    return [labels == label for label in range(1, labels.max() + 1)]


def _medians(series: Array, clusters: list[NDArray[np.bool_]]) -> Array:
    """Return each cluster's median series, (volumes, clusters)."""
    return np.column_stack([np.median(series[:, members], axis=1) for members in clusters])


def _concentration(points: Array) -> float:
    """Return size over mean distance between voxels (voxels a mm)."""
    return len(points) / float(pdist(points).mean())


def _best(found: list[Parcel], points_ras_mm: Array) -> list[Parcel]:
    """Order by the product of the ranks in size, compactness and opposition; 1 is best."""
    if not found:
        return []
    criteria = np.array(
        [[item.members.sum(), _concentration(points_ras_mm[item.members]), item.opposition] for item in found]
    )
    product = np.prod(rankdata(-criteria, axis=0), axis=1)
    order = np.lexsort((-criteria[:, 2], product))
    return [found[index] for index in order[:_LARGEST]]
