"""How sure a target is: what other data, other halves, other methods and other choices would have given.

Every number here is a distance in mm from the target, or between two targets, unless its name says otherwise. None of them
knows the truth; bench/accuracy.py measures how they relate to it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tmsprep.errors import ConfigurationError, ProcessingError
from tmsprep.options import Method
from tmsprep.target.bootstrap import BLOCK_S, PIECE_S, Pieces, bootstrap_scores, draw_counts
from tmsprep.target.locate import Found, Search, locate
from tmsprep.target.many import ClusterRule
from tmsprep.target.nuisance import RunDesign, refit, standardise
from tmsprep.target.scores import correlate

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

UNSEEN_MM = 4.0
"""What resampling cannot see, 95 %: the folds of grey matter and the 2 mm grid shift every draw alike. From simulated people
with a known target (bench/accuracy.py); added in quadrature."""
RADII = {"bootstrap_radius_mm": 0.95, "bootstrap_median_mm": 0.5}
SHIFTS = 1000
LEAST_SHIFT_S = 60.0
"""A shifted course is at least this far from itself."""
HALF_BLOCK_S = 300.0
"""Odd and even blocks are five minutes long."""
_LEAST_PART = 1 / 3
"""Of the volumes: with less, a part says nothing about the whole (six minutes have one minute of even blocks)."""
_CHANCE_PAIRS = 20_000
_WORKERS = 2
"""Threads, for seconds. The rule asks for one core: a job of two would wait behind all the jobs of one on a busy machine."""
_RESAMPLED = (Method.TIMECOURSE, Method.SEED, Method.SIMILARITY, Method.SIMILARITY_LINEAR)
"""Methods whose scores follow from sums over volumes; a parcel's do not."""
_COMPARED = (Method.TIMECOURSE, Method.SIMILARITY_LINEAR, Method.SEED, Method.PARCEL)


@dataclass(frozen=True, eq=False)
class Data:
    """The series of one target, and how they came about."""

    z: NDArray[np.float32]
    """(kept volumes of all runs, voxels): standardised."""
    designs: tuple[RunDesign, ...]
    """One a run, in the order of the rows."""
    repetition_s: float

    @property
    def rows(self) -> list[int]:
        """Kept volumes of each run."""
        return [int(design.design.kept.sum()) for design in self.designs]

    def times_s(self) -> Array:
        """Return when each kept volume was acquired, runs one after the other (kept volumes,)."""
        starts = np.cumsum([0, *(design.design.kept.size for design in self.designs)])
        volumes = [np.flatnonzero(design.design.kept) + start for design, start in zip(self.designs, starts, strict=False)]
        return np.concatenate(volumes) * self.repetition_s


@dataclass(frozen=True, eq=False)
class Cloud:
    """The targets of the bootstrap."""

    positions_ras_mm: Array
    """(places, 3): each place once."""
    share: Array
    """(places,): of the draws."""
    cluster_share: Array
    """(fine voxels,): share of draws in whose cluster a voxel of `voxels` lies."""
    voxels: NDArray[np.int64]
    """(fine voxels, 3): indices on the fine grid."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """All measures by name, and the cloud (None where the method cannot be resampled)."""

    measures: dict[str, float]
    cloud: Cloud | None


@dataclass(frozen=True, eq=False)
class Alternatives:
    """What the alternatives need besides the data."""

    draws: int
    """Of the bootstrap."""
    seed: int
    """Governs the bootstrap, the shifts and the chance distance."""
    global_beta: Array | None
    """(runs, voxels): what, times the unique global signal, is to be added to each standardised series for the other choice
    about it; None if it is not known."""


def assess(data: Data, search: Search, found: Found, alternatives: Alternatives) -> Reliability:
    """Measure how sure the best candidate of `found` is.

    Parameters
    ----------
    data
        The series.
    search
        What was looked for; the alternatives change one thing of it.
    found
        The outcome with all data; it has a cluster.
    alternatives
        Draws, seed, and the other choice about the global signal.
    """
    target = found.clusters[0].position_ras_mm
    with ThreadPoolExecutor(_WORKERS) as pool:  # each part is independent: their order changes nothing
        resampled = pool.submit(_bootstrap, data, search, found, alternatives) if search.method in _RESAMPLED else None
        parts = [
            pool.submit(_other_methods, data, search, target),
            pool.submit(halves, data, search),
            pool.submit(_other_global_signal, data, search, target, alternatives.global_beta),
            pool.submit(_against_chance, data, search, found, alternatives.seed),
            pool.submit(_without_runs, data, search, target),
        ]
        measures: dict[str, float] = {}
        for part in parts:
            measures |= part.result()
        if resampled is None:
            return Reliability(measures, None)
        cloud, radii = resampled.result()
    return Reliability(measures | radii, cloud)


def halves(data: Data, search: Search) -> dict[str, float]:
    """Return the distances between targets of the two halves, and of odd and even blocks; the regression fitted anew."""
    total = sum(data.rows)
    order = np.arange(total)
    block = (data.times_s() // HALF_BLOCK_S).astype(int)
    parts = {"split_half_mm": (order < total // 2, order >= total // 2), "odd_even_mm": (block % 2 == 0, block % 2 == 1)}
    found: dict[str, float] = {}
    for name, pair in parts.items():
        if min(int(rows.sum()) for rows in pair) < total * _LEAST_PART:
            continue
        sites = [_target_of(_part(data, rows), search) for rows in pair]
        if sites[0] is not None and sites[1] is not None:
            found[name] = float(np.linalg.norm(sites[0] - sites[1]))
    return found


def _part(data: Data, rows: BoolArray) -> NDArray[np.float32] | None:
    return refit(data.z, data.designs, np.split(rows, np.cumsum(data.rows)[:-1]))


def _target_of(z: NDArray[np.float32] | None, search: Search) -> Array | None:
    if z is None:
        return None
    try:
        clusters = locate(z, search).clusters
    except (ProcessingError, ConfigurationError):
        return None
    return clusters[0].position_ras_mm if clusters else None


def _other_methods(data: Data, search: Search, target: Array) -> dict[str, float]:
    """Return how far the other methods' targets are."""
    found: dict[str, float] = {}
    for method in _COMPARED:
        same = {method, search.method} <= {Method.SIMILARITY, Method.SIMILARITY_LINEAR}
        if method is search.method or same:
            continue
        other = _target_of(data.z, replace(search, method=method))
        if other is not None:
            found[f"to_{method.value.replace('-', '_')}_mm"] = float(np.linalg.norm(other - target))
    return found


def _without_runs(data: Data, search: Search, target: Array) -> dict[str, float]:
    """Return the largest distance to the target when one run is left out."""
    if len(data.rows) < 2:
        return {}
    bounds = np.cumsum([0, *data.rows])
    distances: list[float] = []
    for first, last in pairwise(bounds):
        other = _target_of(np.delete(data.z, slice(first, last), axis=0), search)
        if other is not None:
            distances.append(float(np.linalg.norm(other - target)))
    return {"without_one_run_mm": max(distances)} if distances else {}


def _other_global_signal(data: Data, search: Search, target: Array, beta: Array | None) -> dict[str, float]:
    """Return how far the target is with the other choice about the global signal."""
    columns = [design.unique_global for design in data.designs]
    if beta is None or any(column is None for column in columns):
        return {}
    parts: list[NDArray[np.float32]] = []
    first = 0
    for design, column, weights in zip(data.designs, columns, beta, strict=True):
        kept = design.design.kept
        part = np.multiply.outer(np.asarray(column, dtype=np.float32)[kept], weights.astype(np.float32))
        part += data.z[first : first + int(kept.sum())]
        first += int(kept.sum())
        standardise(part)
        parts.append(part)
    other = _target_of(np.concatenate(parts), search)
    return {} if other is None else {"other_global_signal_mm": float(np.linalg.norm(other - target))}


def _against_chance(data: Data, search: Search, found: Found, seed: int) -> dict[str, float]:
    """Return what chance gives: for the score the circuit's course shifted in time, for the place two random voxels."""
    rng = np.random.default_rng(seed)
    course, total = found.scores.course, data.z.shape[0]
    least = min(round(LEAST_SHIFT_S / data.repetition_s), total // 3)
    shifts = rng.integers(least, total - least + 1, size=SHIFTS)
    courses = np.stack([np.roll(course, shift) for shift in shifts], axis=1)
    courses = (courses - courses.mean(axis=0)) / np.linalg.norm(courses - courses.mean(axis=0), axis=0)
    scored = data.z[:, search.problem.search]
    norms = np.linalg.norm(scored, axis=0)
    peaks = (courses.astype(np.float32).T @ (scored / np.where(norms > 0, norms, np.inf))).max(axis=1)
    peak = float(correlate(data.z, np.flatnonzero(search.problem.search), course).max())
    points = search.fine.points_ras_mm[search.fine.in_mask & search.fine.reachable]
    pairs = rng.integers(0, len(points), size=(2, _CHANCE_PAIRS))
    distances = np.linalg.norm(points[pairs[0]] - points[pairs[1]], axis=1)
    return {
        "chance_score_p": float((1 + np.sum(peaks >= peak)) / (1 + SHIFTS)),
        "chance_score_95": float(np.quantile(peaks, 0.95)),
        "chance_distance_mm": float(np.median(distances)),
    }


def _bootstrap(data: Data, search: Search, found: Found, alternatives: Alternatives) -> tuple[Cloud, dict[str, float]]:
    """Return the cloud of targets, and the radii about the target that hold 95 % and half of them.

    Where another cluster is nearly as large, some draws land there: the first radius is then large and the second is not.
    """
    scored = data.z[:, search.problem.search]
    a_piece = max(1, round(PIECE_S / data.repetition_s))
    a_block = max(1, round(BLOCK_S / (a_piece * data.repetition_s)))
    pieces = Pieces.of(scored, found.scores.course, a_piece)
    counts = draw_counts(len(pieces.size), a_block, alternatives.draws, alternatives.seed)
    scores = bootstrap_scores(pieces, counts, _row_spread(data, search, found))
    rule = cluster_rule(search)
    sites = rule.sites(scores)
    positions = sites.positions_ras_mm[np.isfinite(sites.positions_ras_mm[:, 0])]
    target = found.clusters[0].position_ras_mm
    distance = np.linalg.norm(positions - target, axis=1)
    places, times = np.unique(np.round(positions, 4), axis=0, return_counts=True)
    order = np.lexsort((*places.T, -times))
    cloud = Cloud(places[order], times[order] / alternatives.draws, sites.share, rule.voxels)
    # a draw without a target counts as one at the farthest place that a target may have
    farthest = np.linalg.norm(search.fine.points_ras_mm[search.fine.in_mask & search.fine.reachable] - target, axis=1).max()
    every = np.append(distance, np.full(len(scores) - len(positions), farthest))
    radii = {name: float(np.quantile(every, share, method="inverted_cdf")) for name, share in RADII.items()}
    return cloud, radii | {"radius_95_mm": float(np.hypot(radii["bootstrap_radius_mm"], UNSEEN_MM))}


def cluster_rule(search: Search) -> ClusterRule:
    """Return the rule for many score vectors of a search."""
    inside = np.zeros(search.voxels.grid.shape, dtype=bool)
    inside[search.voxels.where] = search.problem.search
    return ClusterRule.make(search.voxels.grid, inside, search.fine.grid, search.fine.candidates, search.top_fraction)


def _row_spread(data: Data, search: Search, found: Found) -> Array | None:
    """Return what turns the correlation with the course into the spatial similarity of all data."""
    if search.method in {Method.TIMECOURSE, Method.SEED}:
        return None
    values = correlate(data.z, np.flatnonzero(search.problem.search), found.scores.course)
    similar = found.scores.values
    ratio = np.divide(values, similar, out=np.full(values.size, np.nan), where=np.abs(similar) > 1e-6)
    return np.where(np.isfinite(ratio) & (ratio > 0), ratio, np.nanmedian(ratio[ratio > 0]))
