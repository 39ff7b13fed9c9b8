"""Clusters and sub-voxel placing on made-up score maps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from tests.target.conftest import rigid

from tmsprep.spaces import Grid, apply_affine
from tmsprep.target.clusters import ScoreMap, find_clusters, refine

SHAPE = (30, 28, 26)


def affine(mm: float = 2.0, tilt: float = 0.0) -> np.ndarray:
    base = np.diag([mm, mm, mm, 1.0])
    base[:3, 3] = (-70, 0, 10)
    return rigid((tilt, tilt, -tilt), (0, 0, 0)) @ base


def bump(grid: Grid, centre: np.ndarray, width: float = 6.0) -> np.ndarray:
    distance = np.linalg.norm(grid.points_ras_mm() - centre, axis=1)
    return np.exp(-(distance**2) / 2 / width**2).reshape(grid.shape)


def everywhere(grid: Grid, values: np.ndarray) -> ScoreMap:
    return ScoreMap(grid, values, np.ones(grid.shape, bool))


def test_largest_cluster_first_and_specks_left_out() -> None:
    grid = Grid(SHAPE, affine())
    values = np.full(SHAPE, -1.0)
    values[2:6, 2:6, 2:6] = 0.5  # 64 voxels, the largest
    values[20:23, 20:23, 20:23] = 0.9  # 27 voxels, the higher
    values[28, 2, 2] = 0.99  # one voxel
    clusters = find_clusters(everywhere(grid, values), top_fraction=0.1, min_volume_mm3=64)
    assert [item.voxels for item in clusters] == [64, 27]
    assert clusters[0].volume_mm3 == pytest.approx(64 * 8)
    assert clusters[1].peak_score == pytest.approx(0.9)
    assert clusters[1].position_ras_mm == pytest.approx(apply_affine(affine(), [21, 21, 21]))


def test_voxels_that_touch_by_a_corner_are_one_cluster() -> None:
    values = np.full(SHAPE, -1.0)
    values[5, 5, 5] = values[6, 6, 6] = 1.0
    assert len(find_clusters(everywhere(Grid(SHAPE, affine()), values), top_fraction=0.01, min_volume_mm3=0)) == 1


def test_the_top_tenth_is_clustered_not_the_top_nine_tenths() -> None:
    """Keeping what is above the 10th percentile is a mistake seen in the field."""
    grid = Grid(SHAPE, affine())
    values = bump(grid, apply_affine(affine(), [15, 14, 13]), 12.0)
    found = find_clusters(everywhere(grid, values), top_fraction=0.1, min_volume_mm3=0)
    assert len(found) == 1
    assert found[0].voxels == pytest.approx(0.1 * values.size, rel=0.01)


def test_only_positive_scores_count() -> None:
    grid = Grid(SHAPE, affine())
    values = bump(grid, apply_affine(affine(), [15, 14, 13])) - 2.0
    assert find_clusters(everywhere(grid, values), top_fraction=0.1, min_volume_mm3=0) == []
    assert find_clusters(ScoreMap(grid, values, np.zeros(SHAPE, bool)), top_fraction=0.1, min_volume_mm3=0) == []


def test_a_folded_cluster_gets_a_point_of_its_own() -> None:
    """The centre of gravity of a U lies outside it; the position must not."""
    grid = Grid(SHAPE, affine())
    inside = np.zeros(SHAPE, bool)
    inside[5:20, 5:7, 5:20] = inside[5:20, 13:15, 5:20] = inside[5:7, 5:15, 5:20] = True
    found = find_clusters(ScoreMap(grid, np.where(inside, 1.0, 0.0), inside), top_fraction=0.9, min_volume_mm3=0)[0]
    voxel = np.round(apply_affine(np.linalg.inv(grid.affine_ras_mm), found.position_ras_mm)).astype(int)
    assert inside[tuple(voxel)]
    assert not inside[tuple(np.round(apply_affine(np.linalg.inv(grid.affine_ras_mm), found.centre_ras_mm)).astype(int))]


@pytest.mark.parametrize("tilt", [0.0, 17.0])
def test_fine_grid_places_better_than_the_voxel(tilt: float) -> None:
    """A bump sampled at 4 mm, anywhere between voxel centres, is found within 1.8 mm: half a 2 mm voxel's diagonal."""
    about = apply_affine(np.diag([4.0, 4, 4, 1]), -np.array([9.5, 9.5, 9.5]))
    placed = np.diag([4.0, 4, 4, 1])
    placed[:3, 3] = about
    coarse_grid = Grid((20, 20, 20), rigid((tilt, tilt, -tilt), (-40.0, 28.0, 36.0)) @ placed)
    fine_grid = Grid(SHAPE, affine())
    rng = np.random.default_rng(0)
    for _ in range(10):
        centre = np.array([-40.0, 28.0, 36.0]) + rng.uniform(-2, 2, 3)
        coarse = everywhere(coarse_grid, bump(coarse_grid, centre))
        fine = refine(coarse, fine_grid, np.ones(SHAPE, bool))
        found = find_clusters(fine, top_fraction=0.05, min_volume_mm3=0)[0]
        assert np.linalg.norm(found.position_ras_mm - centre) < 1.8


def test_refine_uses_scored_voxels_only() -> None:
    grid = Grid(SHAPE, affine(4.0))
    inside = np.zeros(SHAPE, bool)
    inside[10:15, 10:15, 10:15] = True
    values = np.where(inside, 0.7, -99.0)
    fine_grid = grid.with_zooms([2, 2, 2])
    fine = refine(ScoreMap(grid, values, inside), fine_grid, np.ones(fine_grid.shape, bool))
    assert fine.values[fine.inside] == pytest.approx(0.7)
    assert fine.inside.sum() >= 8 * inside.sum()
    assert fine.inside.sum() < 14 * inside.sum()


def test_mirrored_scores_give_the_mirrored_target() -> None:
    rng = np.random.default_rng(4)
    values = ndimage.gaussian_filter(rng.normal(size=SHAPE), 2)
    inside = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1) > -0.02
    mirror = np.diag([-1.0, 1, 1, 1])
    plain = find_clusters(ScoreMap(Grid(SHAPE, affine()), values, inside), top_fraction=0.1, min_volume_mm3=60)
    turned_grid = Grid(SHAPE, mirror @ affine())
    turned = find_clusters(ScoreMap(turned_grid, values, inside), top_fraction=0.1, min_volume_mm3=60)
    assert len(plain) == len(turned) > 1
    for one, other in zip(plain, turned, strict=True):
        assert other.position_ras_mm == pytest.approx(one.position_ras_mm * [-1, 1, 1])


def test_storage_order_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    values = ndimage.gaussian_filter(rng.normal(size=SHAPE), 2)
    grid = Grid(SHAPE, affine(2.0, 9.0))
    flip = np.eye(4)
    flip[0, 0], flip[0, 3] = -1, SHAPE[0] - 1
    flipped = ScoreMap(Grid(SHAPE, grid.affine_ras_mm @ flip), values[::-1], np.ones(SHAPE, bool))
    plain = find_clusters(everywhere(grid, values), top_fraction=0.1, min_volume_mm3=60)
    turned = find_clusters(flipped, top_fraction=0.1, min_volume_mm3=60)
    for one, other in zip(plain, turned, strict=True):
        assert other.position_ras_mm == pytest.approx(one.position_ras_mm, abs=1e-6)
