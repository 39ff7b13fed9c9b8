"""Spatial similarity against the plain computation with whole maps, and parcels on a planted division."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr
from tests.target.test_scores import problem, series

from tmsprep.errors import ProcessingError
from tmsprep.options import Method
from tmsprep.target.parcels import find_parcels
from tmsprep.target.scores import ScoreProblem, score_voxels


@pytest.mark.parametrize("method", [Method.SIMILARITY, Method.SIMILARITY_LINEAR])
def test_it_is_pearson_of_the_whole_map_with_the_weights(method: Method) -> None:
    z, task = series(), problem()
    others = np.flatnonzero(task.contributes & np.isfinite(task.weights))
    rows = np.corrcoef(z.T)
    found = score_voxels(method, z, task).values
    for score, voxel in zip(found, np.flatnonzero(task.search), strict=True):
        row = rows[voxel, others]
        expected = pearsonr(np.arctanh(row) if method is Method.SIMILARITY else row, task.weights[others])[0]
        assert score == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("volumes", [15, 200])
def test_more_or_fewer_volumes_than_voxels_do_not_matter(volumes: int) -> None:
    z, task = series(volumes=volumes), problem(3)
    linear = score_voxels(Method.SIMILARITY_LINEAR, z, task).values
    others = np.flatnonzero(task.contributes & np.isfinite(task.weights))
    rows = np.corrcoef(z.T)[np.ix_(np.flatnonzero(task.search), others)]
    assert np.allclose(linear, [np.corrcoef(row, task.weights[others])[0, 1] for row in rows], atol=1e-5)


@pytest.mark.parametrize("method", [Method.SIMILARITY, Method.SIMILARITY_LINEAR])
def test_the_circuits_sign_turns_the_score(method: Method) -> None:
    z, task = series(), problem()
    turned = ScoreProblem(task.search, task.contributes, -task.weights, task.seeds)
    assert np.allclose(score_voxels(method, z, task).values, -score_voxels(method, z, turned).values, atol=1e-6)


# Parcels


def planted(seed: int = 0, volumes: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two cubes of voxels with courses of their own, one opposed to the anchor; returns search, anchor, points."""
    rng = np.random.default_rng(seed)
    points = np.argwhere(np.ones((8, 4, 4))) * 3.0
    opposed = points[:, 0] < 12
    reference, other = rng.normal(size=(2, volumes))
    courses = np.where(opposed, -reference[:, np.newaxis], other[:, np.newaxis])
    search = courses + 0.4 * rng.normal(size=(volumes, len(points)))
    anchor = reference[:, np.newaxis] + 0.4 * rng.normal(size=(volumes, 20))
    return search, anchor, points


def test_the_parcel_opposed_to_the_anchor_is_found() -> None:
    search, anchor, points = planted()
    best = find_parcels(search, anchor, points, 27.0)[0]
    assert np.array_equal(best.members, points[:, 0] < 12)
    assert best.opposition > 0.8


def test_small_parcels_and_those_that_go_along_are_none() -> None:
    search, anchor, points = planted()
    assert find_parcels(search, anchor, points, 1.0) == []
    assert (
        find_parcels(search, -anchor, points, 27.0) == [] or find_parcels(search, -anchor, points, 27.0)[0].opposition < 0.3
    )


def test_it_is_a_method_like_the_others() -> None:
    search, anchor, points = planted()
    z = np.hstack([search, anchor])
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    voxels = z.shape[1]
    is_search = np.arange(voxels) < search.shape[1]
    places = np.vstack([points, np.full((20, 3), 99.0)])
    task = ScoreProblem(is_search, ~is_search, np.zeros(voxels), (), ~is_search, places, 27.0)
    scores = score_voxels(Method.PARCEL, z, task)
    assert scores.parcels is not None
    assert np.array_equal(scores.parcels[0], points[:, 0] < 12)
    assert scores.values[scores.parcels[0]].min() > 0.8
    with pytest.raises(ProcessingError, match="no part"):
        score_voxels(Method.PARCEL, z, ScoreProblem(is_search, ~is_search, np.zeros(voxels), (), ~is_search, places, 1.0))
