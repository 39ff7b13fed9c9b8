"""Smoothing against a direct sum, and what it must leave alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.denoise.smoothing import smooth_within
from tmsprep.spaces import Grid, apply_affine

SHAPE = (12, 14, 10)
AFFINE = np.array([[-3.0, 0, 0, 10], [0, 3.0, 0, -5], [0, 0, 4.0, 2], [0, 0, 0, 1]])
GRID = Grid(SHAPE, AFFINE)


def ragged_mask(seed: int = 0) -> np.ndarray:
    centre = (np.array(SHAPE) - 1) / 2
    distance = sum(((index - c) / c) ** 2 for index, c in zip(np.indices(SHAPE), centre, strict=True))
    return (distance < 1) & (np.random.default_rng(seed).random(SHAPE) > 0.1)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), fwhm=st.floats(0, 12), value=st.floats(-1000, 1000, width=16))
def test_a_constant_stays_that_constant_up_to_the_edge(seed: int, fwhm: float, value: float) -> None:
    mask = ragged_mask(seed)
    samples = np.full((2, mask.sum()), value, dtype=np.float32)
    smooth_within(samples, mask, GRID, fwhm)
    np.testing.assert_allclose(samples, value, rtol=1e-5, atol=1e-6)


def test_equals_a_direct_weighted_mean_by_distance_in_mm() -> None:
    mask = ragged_mask()
    samples = np.random.default_rng(1).standard_normal((1, mask.sum())).astype(np.float32)
    points = apply_affine(AFFINE, np.argwhere(mask))
    squared = ((points[:, np.newaxis] - points[np.newaxis]) ** 2).sum(axis=2)
    weights = np.exp(-squared / (2 * (6 / 2.3548200450309493) ** 2))
    direct = weights @ samples[0] / weights.sum(axis=1)
    smooth_within(samples, mask, GRID, 6.0)
    np.testing.assert_allclose(samples[0], direct, atol=2e-3)  # the filter cuts the Gaussian at 4 sigma


def test_zero_width_changes_nothing() -> None:
    mask = ragged_mask()
    samples = np.random.default_rng(1).standard_normal((2, mask.sum())).astype(np.float32)
    before = samples.copy()
    smooth_within(samples, mask, GRID, 0)
    np.testing.assert_array_equal(samples, before)
