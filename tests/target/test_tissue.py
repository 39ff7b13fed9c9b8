"""Grey matter in coarser voxels, against block means and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from tests.target.conftest import rigid

from tmsprep.spaces import Grid
from tmsprep.target.tissue import TissueMap, within


def test_mean_in_voxels_is_the_block_mean() -> None:
    """Where fine voxels nest in the coarse one, the mean of their values is the answer."""
    values = np.random.default_rng(0).random((12, 12, 12)).astype(np.float32)
    fine = TissueMap(values, np.eye(4))
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = 1.0
    found = fine.mean_in_voxels(Grid((4, 4, 4), affine), np.ones((4, 4, 4), bool))
    expected = values.reshape(4, 3, 4, 3, 4, 3).mean(axis=(1, 3, 5)).ravel()
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("tilt", [0.0, 25.0])
def test_total_volume_is_kept_on_any_grid(tilt: float) -> None:
    points = np.indices((40, 40, 40)).reshape(3, -1).T
    ball = (np.linalg.norm(points - 19.5, axis=1) < 12).reshape(40, 40, 40)
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = -30
    grid = Grid((21, 21, 21), rigid((tilt, -tilt, tilt), (19.5, 19.5, 19.5)) @ affine)
    found = TissueMap(ball.astype(np.float32), np.eye(4)).mean_in_voxels(grid, np.ones(grid.shape, bool))
    assert found.sum() * 27 == pytest.approx(ball.sum(), rel=0.01)


@pytest.mark.parametrize("tilt", [0.0, 25.0])
def test_extent_leaves_nothing_out(tilt: float) -> None:
    values = np.zeros((50, 50, 50), np.float32)
    values[20:30, 22:33, 10:25] = np.random.default_rng(0).random((10, 11, 15))
    tissue = TissueMap(values, rigid((0, tilt, 0), (3, 4, 5)))
    grid = Grid((30, 30, 30), np.diag([2.0, 2, 2, 1]))
    everywhere = tissue.mean_in_voxels(grid, np.ones(grid.shape, bool)).reshape(grid.shape)
    extent = tissue.extent(grid, 0.5)
    assert not (everywhere > 0.5)[~extent].any()
    assert extent.sum() < extent.size / 4
    assert not TissueMap(0 * values, np.eye(4)).extent(grid, 0.5).any()


def test_within_is_inclusive() -> None:
    points = np.array([[0.0, 0, 0], [10, 0, 0], [10.01, 0, 0]])
    assert within(points, np.zeros((1, 3)), 10.0).tolist() == [True, True, False]
    assert not within(points, np.zeros((0, 3)), 10.0).any()
