"""Rigid registration by mutual information: the known motion is found whatever the seed, and failure is said."""

from __future__ import annotations

import numpy as np
import pytest
from bold_phantom import LAS, SHAPE, Head, oblique, rigid

from tmsprep.errors import ProcessingError
from tmsprep.preprocess.builtin.rigid import as_ants, register_rigidly, without_bias
from tmsprep.spaces import apply_affine

MOTION = rigid(np.array([2.0, -1.5, 1.0]), np.array([2.0, -3.0, 1.5]), np.zeros(3))


def noisy(volume: np.ndarray, seed: int) -> np.ndarray:
    return (volume + np.random.default_rng(seed).normal(0, 8, volume.shape)).astype(np.float32)


@pytest.mark.parametrize("seed", [1, 3, 5, 42])
def test_the_known_motion_is_found_whatever_the_seed(seed: int) -> None:
    head, grid = Head(), oblique(LAS)
    still = without_bias(as_ants(noisy(head.image(LAS), 1), LAS))
    moved = without_bias(as_ants(noisy(head.image(grid, motion=MOTION), 2), grid))
    pull = register_rigidly(still, moved, seed=seed)
    points = apply_affine(LAS, np.argwhere(head.image(LAS) > 400))
    errors = np.linalg.norm(apply_affine(pull, points) - apply_affine(MOTION, points), axis=1)
    assert errors.max() < 0.5  # an eighth of a voxel


def test_the_same_tissue_is_made_even_the_same_way() -> None:
    """Two noisy images of one head stay alike, and a smooth shading goes."""
    volume = Head().image(LAS)
    one, two = (without_bias(as_ants(noisy(volume, seed), LAS)).numpy() for seed in (1, 2))
    inside = volume > 400
    assert np.corrcoef(one[inside], two[inside])[0, 1] > 0.98
    shading = np.exp(0.4 * np.linspace(-1, 1, SHAPE[0]))[:, None, None]
    shaded = without_bias(as_ants((volume * shading).astype(np.float32), LAS)).numpy()
    before = np.polyfit(np.argwhere(inside)[:, 0], np.log((volume * shading)[inside] / volume[inside]), 1)[0]
    after = np.polyfit(np.argwhere(inside)[:, 0], np.log(shaded[inside] / one[inside]), 1)[0]
    assert abs(after) < 0.5 * abs(before)


def test_an_empty_image_is_refused() -> None:
    with pytest.raises(ProcessingError, match="no head"):
        without_bias(as_ants(np.zeros(SHAPE, dtype=np.float32), LAS))


def test_a_registration_that_gives_up_is_refused() -> None:
    """ANTs throws, tells nobody and returns its start."""
    still = as_ants(Head().image(LAS).astype(np.float32), LAS)
    empty = as_ants(np.zeros(SHAPE, dtype=np.float32), LAS)
    with pytest.raises(ProcessingError, match="registration of two images failed"):
        register_rigidly(still, empty)
