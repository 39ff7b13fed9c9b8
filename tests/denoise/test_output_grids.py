"""Where voxels end up: sides, axes, edges."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from tmsprep.denoise.output_grids import NativeVolumes, mask_on, output_grid, resample_series
from tmsprep.spaces import Grid, Transform, apply_affine, voxel_sizes

CENTRE = np.array([5.0, -12.0, 20.0])


def centred(axes: np.ndarray, shape: tuple[int, int, int]) -> Grid:
    """Return a grid with the given voxel axes (3, 3; mm) around CENTRE."""
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = CENTRE - axes @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def turned(x: float, y: float, z: float) -> np.ndarray:
    return nib.eulerangles.euler2mat(z, y, x)


T1W = centred(np.diag([2.0, 2.0, 2.0]), (60, 70, 60))
PSR = np.array([[0, 0, 1.0], [-1, 0, 0], [0, 1, 0]])  # first axis to P, second to S, third to R
ORIENTATIONS = {
    "RAS": np.diag([4.0, 4.0, 4.0]),
    "LAS": np.diag([-4.0, 4.0, 4.0]),
    "PSR": PSR @ np.diag([4.0, 4.0, 4.0]),
    "oblique LAS": turned(0.3, 0.2, -0.25) @ np.diag([-4.0, 4.0, 4.0]),
}


def ball(grid: Grid, radius_mm: float, centre: np.ndarray = CENTRE) -> np.ndarray:
    return (np.linalg.norm(grid.points_ras_mm() - centre, axis=1) <= radius_mm).reshape(grid.shape)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_a_marker_lands_where_the_transform_says(name: str) -> None:
    """A blob left, in front and above in T1w space, seen through a moved head, must come back to that place."""
    native_grid = centred(ORIENTATIONS[name], (30, 30, 30))
    pull = np.eye(4)  # points of T1w to points of the BOLD reference
    pull[:3, :3] = turned(0.05, -0.08, 0.1)
    pull[:3, 3] = [3.0, -4.0, 2.0]
    marker_t1w = CENTRE + np.array([-22.0, 18.0, 14.0])
    marker_bold = apply_affine(pull, marker_t1w)
    points = native_grid.points_ras_mm()
    blob = np.exp(-((points - marker_bold) ** 2).sum(axis=1) / (2 * 7.0**2)).reshape(native_grid.shape)
    mask = np.ones(native_grid.shape, dtype=bool)
    native = NativeVolumes(np.stack([blob[mask], 2 * blob[mask]]).astype(np.float32), mask, native_grid)
    brain = ball(T1W, 45)
    grid = output_grid(T1W, brain, native_grid)
    result = resample_series(native, grid, mask_on(grid, brain, T1W), Transform.from_matrix(pull))
    weights = result.data[..., 0].ravel() ** 2
    found = (grid.points_ras_mm() * weights[:, np.newaxis]).sum(axis=0) / weights.sum()
    np.testing.assert_allclose(found, marker_t1w, atol=0.3)
    np.testing.assert_allclose(result.data[..., 1], 2 * result.data[..., 0], atol=1e-5)


def test_each_axis_takes_the_voxel_edge_of_the_bold_axis_along_it() -> None:
    edges = np.array([3.0, 4.0, 5.0])  # along P, S, R
    native = centred(PSR @ np.diag(edges), (40, 40, 40))
    grid = output_grid(T1W, ball(T1W, 40), native)
    np.testing.assert_allclose(voxel_sizes(grid.affine_ras_mm), [5.0, 3.0, 4.0])
    np.testing.assert_allclose(np.sign(np.diag(grid.affine_ras_mm)[:3]), 1)


def test_grid_holds_the_brain_and_two_voxels_around_it_and_no_more() -> None:
    brain = ball(T1W, 40, CENTRE + np.array([4, 0, -6]))
    grid = output_grid(T1W, brain, centred(ORIENTATIONS["LAS"], (30, 30, 30)))
    covered = np.argwhere(mask_on(grid, brain, T1W))
    assert (covered.min(axis=0) >= 2).all()
    assert (covered.max(axis=0) <= np.array(grid.shape) - 3).all()
    assert (covered.min(axis=0) <= 3).all()
    assert (covered.max(axis=0) >= np.array(grid.shape) - 4).all()


def test_runs_whose_headers_differ_by_rounding_share_one_grid() -> None:
    brain = ball(T1W, 40)
    first = output_grid(T1W, brain, centred(np.diag([3.0, 3.0, 3.0]), (40, 40, 40)))
    second = output_grid(T1W, brain, centred(np.diag([-3.00001, 2.99999, 3.0]), (40, 44, 36)))
    assert first.shape == second.shape
    np.testing.assert_array_equal(first.affine_ras_mm, second.affine_ras_mm)


def test_constant_brain_stays_constant_to_its_edge_and_is_zero_beyond() -> None:
    native_grid = centred(ORIENTATIONS["oblique LAS"], (30, 30, 30))
    mask = ball(native_grid, 41)
    native = NativeVolumes(np.full((1, mask.sum()), 7.0, dtype=np.float32), mask, native_grid)
    brain = ball(T1W, 44)
    grid = output_grid(T1W, brain, native_grid)
    result = resample_series(native, grid, mask_on(grid, brain, T1W), Transform.identity())
    np.testing.assert_allclose(result.data[result.mask], 7.0, rtol=1e-5)
    assert not result.data[~result.mask].any()


def test_coverage_counts_what_the_scan_missed() -> None:
    """A slab that ends at the centre covers half of the brain, and only that half is in the mask."""
    native_grid = centred(np.diag([4.0, 4.0, 4.0]), (30, 30, 30))
    mask = ball(native_grid, 60) & (native_grid.points_ras_mm()[:, 2].reshape(native_grid.shape) < CENTRE[2])
    native = NativeVolumes(np.ones((1, mask.sum()), dtype=np.float32), mask, native_grid)
    brain = ball(T1W, 44)
    grid = output_grid(T1W, brain, native_grid)
    result = resample_series(native, grid, mask_on(grid, brain, T1W), Transform.identity())
    assert result.coverage == pytest.approx(0.5, abs=0.04)
    assert grid.points_ras_mm()[result.mask.ravel(), 2].max() <= CENTRE[2] + 2
