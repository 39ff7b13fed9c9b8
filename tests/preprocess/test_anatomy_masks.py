"""Balls, and a brain mask that was cut and a vessel that hangs on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.errors import ProcessingError
from tmsprep.preprocess.builtin.brainmask import fit_to_tissue, require_adult_volume
from tmsprep.preprocess.builtin.head import Head
from tmsprep.preprocess.builtin.morphology import bounding_box, closed, filled, largest_piece, opened

ZOOMS = np.array([1.0, 1.5, 2.0])


def ball(shape: tuple[int, int, int], centre_mm: tuple[float, ...], radius_mm: float, zooms=ZOOMS) -> np.ndarray:
    places = np.moveaxis(np.indices(shape), 0, -1) * zooms
    return np.linalg.norm(places - np.asarray(centre_mm), axis=-1) <= radius_mm


SHAPE = (60, 40, 30)


def test_opening_removes_a_thread_and_keeps_a_ball():
    body, thread = ball(SHAPE, (30, 30, 30), 15), np.zeros(SHAPE, dtype=bool)
    thread[40:58, 20, 15] = True
    result = opened(body | thread, 3.0, ZOOMS)
    assert not result[50:, 20, 15].any()
    assert (result & body).sum() > 0.98 * body.sum()


def test_closing_fills_a_crack_and_is_no_larger_outside():
    body = ball(SHAPE, (30, 30, 30), 18)
    cracked = body.copy()
    cracked[29:31] = False
    result = closed(cracked, 4.0, ZOOMS)
    assert (result & body).sum() > 0.97 * body.sum()
    assert not (result & ~body).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1.0, 5.0))
def test_opening_shrinks_and_closing_grows(seed, radius):
    mask = np.random.default_rng(seed).random((12, 11, 10)) > 0.4
    assert not (opened(mask, radius, ZOOMS) & ~mask).any()
    assert not (mask & ~closed(mask, radius, ZOOMS)).any()


def test_closing_does_not_lean_on_the_image_edge():
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[2, 8:12, 8:12] = True
    assert not closed(mask, 4.0, np.ones(3))[0].any()


def test_largest_piece_filled_and_boxed():
    mask = ball(SHAPE, (20, 30, 30), 12) & ~ball(SHAPE, (20, 30, 30), 5)
    pieces = mask | ball(SHAPE, (52, 30, 30), 4)
    np.testing.assert_array_equal(largest_piece(pieces), mask)
    np.testing.assert_array_equal(filled(mask), ball(SHAPE, (20, 30, 30), 12))
    box = bounding_box(mask, ZOOMS, margin_mm=3.0)
    assert box == (slice(5, 36), slice(10, 31), slice(7, 24))


def brain() -> tuple[np.ndarray, np.ndarray]:
    """A ball of grey around white in dark fluid, a bright skull apart, and a vessel of tissue brightness to it."""
    shape, zooms, centre = (80, 80, 80), np.ones(3), (40, 40, 40)
    data = np.full(shape, 20.0)
    data[ball(shape, centre, 39, zooms) & ~ball(shape, centre, 34, zooms)] = 10
    cortex = ball(shape, centre, 30, zooms)
    data[cortex] = 80
    data[ball(shape, centre, 24, zooms)] = 120
    data[40, 40, 70:76] = 90
    noise = np.random.default_rng(1).normal(0, 4, shape)
    return (data + noise).astype(np.float32), cortex


def test_a_cut_mask_regrows_to_the_tissue_and_no_farther():
    data, cortex = brain()
    cut = ball(data.shape, (40, 40, 40), 31, np.ones(3)) & ~ball(data.shape, (40, 40, 73), 6, np.ones(3))
    assert (cut & cortex).sum() < cortex.sum()
    result = fit_to_tissue(data, cut, np.ones(3))
    assert (result & cortex).sum() > 0.998 * cortex.sum()
    assert (result & ~cortex).sum() < 0.12 * cortex.sum()  # the fluid that the mask had
    assert not result[40, 40, 74:].any(), "the vessel is cut"


@pytest.mark.parametrize("litres", [0.5, 3.0])
def test_a_brain_of_impossible_volume_is_refused(litres):
    size = round((litres * 1e6) ** (1 / 3) / 4)
    mask = np.zeros((60, 60, 60), dtype=bool)
    mask[:size, :size, :size] = True
    with pytest.raises(ProcessingError, match="litres"):
        require_adult_volume(mask, Head(mask.astype(np.float32), np.diag([4.0, 4, 4, 1])))
