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
IntArray = NDArray[np.int64]

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
    ours = _medians(search, _clusters(search))
    theirs = _medians(anchor, _clusters(anchor))
    sizes = np.array([members.sum() for _, members in theirs])
    found: list[tuple[Parcel, float]] = []
    for course, members in ours:
        rho = np.array([_spearman(course, other) for other, _ in theirs])
        opposition = -float(rho @ sizes / sizes.sum())
        if members.sum() * voxel_mm3 > MIN_VOLUME_MM3 and opposition > 0:
            found.append((Parcel(members, opposition), _concentration(points_ras_mm[members])))
    return _best(found)


def _clusters(series: Array) -> IntArray:
    """Return each voxel's cluster, from 1."""
    ranks = rankdata(series, axis=0)
    ranks -= ranks.mean(axis=0)
    ranks /= np.maximum(np.linalg.norm(ranks, axis=0), np.finfo(float).tiny)
    apart = np.clip(1 - ranks.T @ ranks, 0, 2)
    np.fill_diagonal(apart, 0)
    return fcluster(linkage(squareform(apart, checks=False), "average"), CUT, "distance").astype(np.int64)


def _medians(series: Array, labels: IntArray) -> list[tuple[Array, NDArray[np.bool_]]]:
    """Return each cluster's median series and its voxels."""
    chosen = (labels == label for label in range(1, labels.max() + 1))
    return [(np.median(series[:, members], axis=1), members) for members in chosen]


def _spearman(one: Array, two: Array) -> float:
    return float(np.corrcoef(rankdata(one), rankdata(two))[0, 1])


def _concentration(points: Array) -> float:
    """Return size over mean distance between voxels (voxels a mm)."""
    return len(points) / float(pdist(points).mean())


def _best(found: list[tuple[Parcel, float]]) -> list[Parcel]:
    """Order by the product of the ranks in size, compactness and opposition; 1 is best."""
    if not found:
        return []
    criteria = np.array([[parcel.members.sum(), compactness, parcel.opposition] for parcel, compactness in found])
    product = np.prod(rankdata(-criteria, axis=0), axis=1)
    order = np.lexsort((-criteria[:, 2], product))
    return [found[index][0] for index in order[:_LARGEST]]
