"""ANTs' registration gives the same numbers for the same seed, and takes the seed that it is given."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tmsprep.errors import ConfigurationError
from tmsprep.interfaces.ants_registration import register
from tmsprep.spaces import to_ants


def images():
    rng = np.random.default_rng(0)
    fixed = ndimage.gaussian_filter(rng.normal(size=(40, 40, 40)), 3).astype(np.float32)
    moving = ndimage.shift(ndimage.rotate(fixed, 8, reshape=False), (1.5, -1, 0.7)).astype(np.float32)
    return to_ants(fixed, np.eye(4)), to_ants(moving, np.eye(4))


def affine(seed: int) -> np.ndarray:
    import ants

    fixed, moving = images()
    found = register(fixed, moving, "Affine", seed=seed, aff_metric="mattes", aff_iterations=(50, 20),
                     aff_shrink_factors=(2, 1), aff_smoothing_sigmas=(1, 0))  # fmt: skip
    return np.array(ants.read_transform(found["fwdtransforms"][0]).parameters)


def test_the_seed_decides_and_nothing_else():
    first = affine(1)
    np.testing.assert_array_equal(affine(1), first)
    assert not np.array_equal(affine(2), first)


def test_a_seed_that_means_the_clock_is_refused():
    fixed, moving = images()
    with pytest.raises(ConfigurationError, match="seed"):
        register(fixed, moving, "Rigid", seed=0)
