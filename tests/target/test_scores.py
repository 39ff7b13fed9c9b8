"""Scores against an independent computation, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.errors import ConfigurationError, ProcessingError
from tmsprep.options import Method
from tmsprep.target.scores import ScoreProblem, circuit_course, effective_weights, score_voxels

VOXELS = 60


def problem(seed: int = 0, *, seeds: bool = True) -> ScoreProblem:
    rng = np.random.default_rng(seed)
    search = np.arange(VOXELS) < 12
    contributes = np.arange(VOXELS) >= 20
    members = [np.isin(np.arange(VOXELS), chosen) for chosen in ([15, 30, 31, 32], [40, 41])]
    weights = rng.normal(size=VOXELS)
    weights[50] = np.nan
    return ScoreProblem(search, contributes, weights, ((-1.0, members[0]), (0.5, members[1])) if seeds else ())


def series(seed: int = 1, volumes: int = 80) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(volumes, 5)) @ rng.normal(size=(5, VOXELS)) + rng.normal(size=(volumes, VOXELS))
    return (mixed - mixed.mean(0)) / mixed.std(0)


@pytest.mark.parametrize("method", [Method.TIMECOURSE, Method.SEED])
def test_score_is_the_row_of_the_correlation_matrix_times_the_weights(method: Method) -> None:
    """The numerator of corr(z_v, Z w0) is T * (row v of the correlation matrix) . w0 (science.md 3.2)."""
    z, task = series(), problem()
    w0 = effective_weights(method, task)
    rows = np.corrcoef(z.T)[task.search]
    course = circuit_course(z, w0)
    numerators = z[:, task.search].T @ course
    assert np.abs(numerators - len(z) * rows @ w0).max() < 1e-10
    scores = score_voxels(method, z, task)
    expected = (rows @ w0) / (np.linalg.norm(course) / np.sqrt(len(z)))
    assert np.abs(scores.values - expected).max() < 1e-12


def test_timecourse_weights_are_demeaned_over_the_voxels_that_contribute() -> None:
    task = problem()
    w0 = effective_weights(Method.TIMECOURSE, task)
    used = task.contributes & np.isfinite(task.weights)
    assert np.all(w0[~used] == 0)
    assert abs(w0[used].sum()) < 1e-12
    assert np.allclose(np.diff(w0[used]), np.diff(task.weights[used]))


def test_seed_method_is_minus_the_correlation_with_a_seed_of_weight_minus_one() -> None:
    z = series()
    inside = np.isin(np.arange(VOXELS), [30, 31, 32])
    task = ScoreProblem(np.arange(VOXELS) < 12, np.arange(VOXELS) >= 20, np.zeros(VOXELS), ((-1.0, inside),))
    found = score_voxels(Method.SEED, z, task).values
    mean = z[:, inside].mean(1)
    assert np.allclose(found, [-np.corrcoef(z[:, v], mean)[0, 1] for v in range(12)], atol=1e-12)


def test_a_search_voxel_never_votes_for_itself() -> None:
    z, task = series(), problem()
    before = score_voxels(Method.TIMECOURSE, z, task)
    z[:, 3] = np.random.default_rng(9).normal(size=len(z))
    z[:, 3] = (z[:, 3] - z[:, 3].mean()) / z[:, 3].std()
    after = score_voxels(Method.TIMECOURSE, z, task)
    assert np.array_equal(before.course, after.course)
    assert np.array_equal(np.delete(before.values, 3), np.delete(after.values, 3))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([method for method in Method if method is not Method.PARCEL]))
def test_scores_do_not_depend_on_scale_offset_or_order(seed: int, method: Method) -> None:
    rng = np.random.default_rng(seed)
    z, task = series(seed), problem(seed)
    close = 1e-9 if method in {Method.TIMECOURSE, Method.SEED} else 1e-5  # maps are products in single precision
    expected = score_voxels(method, z, task).values
    scaled = ScoreProblem(task.search, task.contributes, 3.7 * task.weights, task.seeds)
    offset = z.copy()
    offset[:, :12] = offset[:, :12] * rng.uniform(0.1, 50, 12) + rng.normal(size=12) * 100  # the voxels scored
    assert np.allclose(score_voxels(method, offset, scaled).values, expected, atol=close)
    times = rng.permutation(len(z))
    assert np.allclose(score_voxels(method, z[times], task).values, expected, atol=close)
    order = rng.permutation(VOXELS)
    moved = ScoreProblem(
        task.search[order],
        task.contributes[order],
        task.weights[order],
        tuple((weight, inside[order]) for weight, inside in task.seeds),
    )
    back = np.full(VOXELS, np.nan)
    back[order[moved.search]] = score_voxels(method, z[:, order], moved).values
    assert np.allclose(back[task.search], expected, atol=close)


@given(st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_an_inverted_circuit_inverts_the_scores(seed: int) -> None:
    z, task = series(seed), problem(seed)
    inverted = ScoreProblem(task.search, task.contributes, -task.weights, ())
    found, turned = (score_voxels(Method.TIMECOURSE, z, item).values for item in (task, inverted))
    assert np.allclose(found, -turned, atol=1e-12)


def test_single_precision_series_give_the_same_to_seven_digits() -> None:
    z, task = series(), problem()
    double, single = (score_voxels(Method.TIMECOURSE, data, task).values for data in (z, z.astype(np.float32)))
    assert np.abs(double - single).max() < 1e-6


def test_no_seeds_and_no_weights_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="seeds"):
        score_voxels(Method.SEED, series(), problem(seeds=False))
    nowhere = ScoreProblem(np.arange(VOXELS) < 12, np.zeros(VOXELS, bool), np.ones(VOXELS), ())
    with pytest.raises(ProcessingError, match="carries a weight"):
        score_voxels(Method.TIMECOURSE, series(), nowhere)
