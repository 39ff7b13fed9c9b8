"""From series to clusters: the one computation that is repeated for all data and for each half."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tmsprep.errors import ProcessingError
from tmsprep.options import Method
from tmsprep.target.clusters import ALL, Cluster, ScoreMap, find_clusters, refine
from tmsprep.target.scores import ScoreProblem, Scores, score_voxels
from tmsprep.target.survey import FineGrey, Voxels

_MIN_VOLUME_MM3 = 64.0
"""A second candidate has at least the volume of one 4 mm voxel."""


@dataclass(frozen=True, eq=False)
class Search:
    """Everything but the series."""

    method: Method
    voxels: Voxels
    fine: FineGrey
    problem: ScoreProblem
    top_fraction: float


@dataclass(frozen=True, eq=False)
class Found:
    """Scores and clusters."""

    scores: Scores
    map: ScoreMap
    """On the BOLD grid."""
    clusters: tuple[Cluster, ...]
    """The largest first; empty if no score is positive."""


def locate(z: NDArray[np.float32], search: Search) -> Found:
    """Score the search voxels and cluster the best.

    Parameters
    ----------
    z
        (volumes, voxels): standardised series.
    search
        What to look for, and where.

    Raises
    ------
    ProcessingError
        There is nothing to score, or nothing to compare with.
    """
    if not search.problem.search.any():
        raise ProcessingError("no grey-matter voxel of the search mask has signal within reach")
    scores = score_voxels(search.method, z, search.problem)
    coarse = _on_grid(search, scores)
    if scores.parcels is not None:
        return Found(scores, coarse, tuple(_of_parcels(coarse, search, scores.parcels)))
    fine = refine(coarse, search.fine.grid, search.fine.candidates)
    clusters = find_clusters(fine, top_fraction=search.top_fraction, min_volume_mm3=_MIN_VOLUME_MM3)
    return Found(scores, coarse, tuple(clusters))


def _of_parcels(coarse: ScoreMap, search: Search, parcels: Sequence[NDArray[np.bool_]]) -> Iterator[Cluster]:
    """Yield the largest connected part of each parcel."""
    for members in parcels:
        inside = np.zeros_like(coarse.inside)
        inside[coarse.inside] = members
        fine = refine(replace(coarse, inside=inside), search.fine.grid, search.fine.candidates)
        yield from find_clusters(fine, top_fraction=ALL, min_volume_mm3=_MIN_VOLUME_MM3)[:1]


def _on_grid(search: Search, scores: Scores) -> ScoreMap:
    inside = np.zeros(search.voxels.grid.shape, dtype=bool)
    inside[search.voxels.where] = search.problem.search
    values = np.zeros(inside.shape)
    values[inside] = scores.values
    return ScoreMap(search.voxels.grid, values, inside)
