"""Scores: how well the series of a search voxel follows the circuit. One problem, one kind of result, five methods.

``timecourse`` and ``seed`` reduce the circuit to one time course, ``s = Z w0``, and score a voxel by its correlation with
it. With standardised columns of Z the numerator of that correlation is ``T * sum_j r_vj w0_j``: the voxel's row of the
correlation matrix, weighted by the circuit. ``similarity`` divides the same sum by the spread of the row, so that it becomes
the correlation of the voxel's whole map with the circuit. ``parcel`` divides the search region first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmsprep.errors import ConfigurationError, ProcessingError
from tmsprep.options import Method
from tmsprep.target.parcels import find_parcels
from tmsprep.target.similarity import similarity

Array = NDArray[np.float64]

_BLOCK = 1024


@dataclass(frozen=True, eq=False)
class ScoreProblem:
    """What a method is given besides the series. All arrays are over the same voxels as the columns of the series."""

    search: NDArray[np.bool_]
    """(voxels,): the voxels to score."""
    contributes: NDArray[np.bool_]
    """(voxels,): may have a weight: grey matter with signal, not in or near the search mask."""
    weights: Array
    """(voxels,): the circuit's weights; NaN where it says nothing."""
    seeds: tuple[tuple[float, NDArray[np.bool_]], ...]
    """For each seed of the circuit: its signed weight, and (voxels,) the voxels inside."""
    anchor: NDArray[np.bool_] | None = None
    """(voxels,): in the circuit's negative anchor (sgACC); for ``parcel``."""
    points_ras_mm: Array | None = None
    """(voxels, 3); for ``parcel``."""
    voxel_mm3: float = 1.0


@dataclass(frozen=True, eq=False)
class Scores:
    """The outcome of a method."""

    values: Array
    """(search voxels,): from -1 to 1; high is wanted."""
    course: Array
    """(volumes,): the time course that the voxels were compared with."""
    weight_voxels: int
    """How many voxels carried a weight."""
    parcels: tuple[NDArray[np.bool_], ...] | None = None
    """(search voxels,) each: the sites themselves, best first, where the method divides the region; None: take the top."""


def score_voxels(method: Method, z: NDArray[np.floating], problem: ScoreProblem) -> Scores:
    """Score the search voxels.

    Parameters
    ----------
    method
        ``timecourse``: correlation with the weighted sum over the brain (Fox et al. 2013, PMC3594474).
        ``seed``: correlation with the signed sum of the seeds' mean series; for a single seed of weight -1 this is
        minus the correlation with the seed.
        ``similarity``: Pearson correlation of the voxel's Fisher-z map with the circuit's weights;
        ``similarity-linear`` the same without Fisher's z.
        ``parcel``: the opposition of the voxel's parcel to sgACC (`tmsprep.target.parcels`).
    z
        (volumes, voxels): standardised series.
    problem
        Search voxels and circuit.

    Raises
    ------
    ConfigurationError
        ``seed`` was asked of a circuit that has no seeds.
    ProcessingError
        No voxel with signal carries a weight, or no parcel is a candidate.
    """
    if method is Method.PARCEL:
        return _score_parcels(z, problem)
    weights = effective_weights(method, problem)
    course = circuit_course(z, weights)
    if not np.any(weights) or np.ptp(course) == 0:
        raise ProcessingError(
            "no grey-matter voxel with signal carries a weight of the circuit",
            expected="signal in the circuit's regions outside the search mask",
            action="look at the coverage and at the registration; or choose another circuit",
        )
    search = np.flatnonzero(problem.search)
    if method in {Method.SIMILARITY, Method.SIMILARITY_LINEAR}:
        others = np.flatnonzero(_usable(problem))
        values = similarity(z, search, others, problem.weights[others], fisher=method is Method.SIMILARITY)
        return Scores(values, course, others.size)
    return Scores(correlate(z, search, course), course, int(np.count_nonzero(weights)))


def _score_parcels(z: NDArray[np.floating], problem: ScoreProblem) -> Scores:
    if problem.anchor is None or problem.points_ras_mm is None:
        raise ConfigurationError("method 'parcel' needs the voxels' places and the sgACC")
    anchor = problem.anchor & problem.contributes
    search, reference = z[:, problem.search].astype(np.float64), z[:, anchor].astype(np.float64)
    parcels = find_parcels(search, reference, problem.points_ras_mm[problem.search], problem.voxel_mm3)
    if not parcels:
        raise ProcessingError("no part of the search mask is large enough and opposed to sgACC")
    values = np.zeros(search.shape[1])
    for parcel in parcels:
        values[parcel.members] = parcel.opposition
    course = -reference.mean(axis=1)
    return Scores(values, course, int(anchor.sum()), tuple(parcel.members for parcel in parcels))


def effective_weights(method: Method, problem: ScoreProblem) -> Array:
    """Return ``w0`` (voxels,) of a method: zero wherever a voxel may not contribute."""
    return _seed_weights(problem) if method is Method.SEED else _timecourse_weights(problem)


def _usable(problem: ScoreProblem) -> NDArray[np.bool_]:
    return problem.contributes & np.isfinite(problem.weights)


def _timecourse_weights(problem: ScoreProblem) -> Array:
    """Return the circuit's weights, de-meaned over the voxels that contribute."""
    usable = _usable(problem)
    result = np.zeros(problem.weights.shape)
    if usable.any() and np.ptp(problem.weights[usable]) > 0:
        result[usable] = problem.weights[usable] - problem.weights[usable].mean()
    return result


def _seed_weights(problem: ScoreProblem) -> Array:
    if not problem.seeds:
        raise ConfigurationError(
            "method 'seed' needs a circuit that consists of seeds",
            expected="for example circuit sgacc",
            action="choose such a circuit, or method 'timecourse'",
        )
    result = np.zeros(problem.weights.shape)
    for weight, inside in problem.seeds:
        usable = inside & problem.contributes
        if usable.any():
            result[usable] += weight / usable.sum()
    return result


def circuit_course(z: NDArray[np.floating], weights: Array) -> Array:
    """Return ``Z w0`` (volumes,), summed in float64 over blocks of volumes."""
    course = np.empty(z.shape[0])
    for first in range(0, z.shape[0], _BLOCK):
        part = slice(first, first + _BLOCK)
        course[part] = _times(z[part], weights)
    return course


def _times(z: NDArray[np.floating], weights: Array) -> Array:
    total = np.zeros(z.shape[0])
    for first in range(0, weights.size, _BLOCK):
        part = slice(first, first + _BLOCK)
        if weights[part].any():
            total += z[:, part].astype(np.float64) @ weights[part]
    return total


def correlate(z: NDArray[np.floating], columns: NDArray[np.int64], course: Array) -> Array:
    """Return the Pearson correlation of columns of z with a time course; 0 for a column without variance."""
    centred = course - course.mean()
    centred /= np.linalg.norm(centred)
    result = np.zeros(columns.size)
    for first in range(0, columns.size, _BLOCK):
        block = z[:, columns[first : first + _BLOCK]].astype(np.float64)
        block -= block.mean(axis=0)
        norms = np.linalg.norm(block, axis=0)
        result[first : first + _BLOCK] = (centred @ block) / np.where(norms > 0, norms, np.inf)
    return result
