"""From clusters to the result: candidates in both frames, the measures that say how far to trust them, the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmsprep.errors import ProcessingError
from tmsprep.records import Candidate, Point
from tmsprep.target.clusters import Cluster
from tmsprep.target.locate import Found
from tmsprep.target.masks import SearchMask
from tmsprep.target.person import Person
from tmsprep.target.quality import Judge, Thresholds, judge_target

MAX_CANDIDATES = 3
"""How many sites are handed on."""


@dataclass(frozen=True)
class Outcome:
    """Candidates, best first, and measures of the best."""

    candidates: tuple[Candidate, ...]
    measures: dict[str, float]


def summarise(found: Found, person: Person, mask: SearchMask, reliability: Mapping[str, float]) -> Outcome:
    """Describe the best clusters; `reliability` holds more measures of the best one.

    Raises
    ------
    ProcessingError
        A candidate lies in the right hemisphere, which no input may bring about.
    """
    best = found.clusters[:MAX_CANDIDATES]
    candidates = tuple(_candidate(cluster, person) for cluster in best)
    _require_left(candidates)
    measures = {
        "search_voxels": float(found.map.inside.sum()),
        "weight_voxels": float(found.scores.weight_voxels),
    }
    if best:
        measures |= _measures(best[0], found, person, mask) | dict(reliability)
    return Outcome(candidates, {name: round(value, 6) for name, value in measures.items()})


def _measures(cluster: Cluster, found: Found, person: Person, mask: SearchMask) -> dict[str, float]:
    point = cluster.position_ras_mm
    in_mask_space = person.template_points(point[np.newaxis], mask.space)
    apart = person.routes_apart_mm(point)
    return ({} if apart is None else {"nlin6_routes_mm": apart}) | {
        "peak_score": cluster.peak_score,
        "score_percentile_95": float(np.quantile(found.map.values[found.map.inside], 0.95)),
        "edge_distance_mm": float(mask.edge_distance(in_mask_space)[0]),
        "snapped_mm": float(np.linalg.norm(point - cluster.centre_ras_mm)),
        "mni_round_trip_mm": person.round_trip_mm(point),
    }


def _candidate(cluster: Cluster, person: Person) -> Candidate:
    point = cluster.position_ras_mm
    depth = person.depth_mm(point)
    return Candidate(
        target_ras_mm=_rounded(point),
        target_mni_mm=_rounded(person.mni_mm(point)),
        score=round(cluster.mean_score, 6),
        peak_score=round(cluster.peak_score, 6),
        cluster_voxels=cluster.voxels,
        cluster_volume_mm3=round(cluster.volume_mm3, 3),
        depth_mm=None if depth is None else round(depth, 3),
    )


def _rounded(point: NDArray[np.float64]) -> Point:
    x, y, z = (round(float(value), 4) for value in point)
    return (x, y, z)


def _require_left(candidates: Sequence[Candidate]) -> None:
    for item in candidates:
        if item.target_mni_mm[0] >= 0:
            raise ProcessingError(
                f"a candidate lies at MNI {item.target_mni_mm}, not in the left hemisphere",
                expected="x below 0",
                action="check the T1w's orientation and the normalisation; use no result of this participant",
            )


def judge_outcome(judge: Judge, outcome: Outcome, limits: Thresholds) -> None:
    """Judge the best candidate, or say that there is none."""
    if not outcome.candidates:
        judge.abstain("no voxel of the search mask has a positive score")
        return
    judge_target(judge, outcome.measures, limits)
