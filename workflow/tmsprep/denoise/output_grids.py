"""Where the cleaned series goes: grids in T1w and template space, and the one interpolation that leads there.

The interpolation comes last and once. Regression acts on time, smoothing and interpolation on space, all linear: regression
commutes with the other two exactly, and smoothing with a rigid interpolation but for what splines and edges do. Regression
and smoothing are done first because the native grid has the fewest voxels, and serves all output spaces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from tmsprep.spaces import Grid, Transform, apply_affine, resample, voxel_sizes

_MARGIN_VOXELS = 2
_ZOOM_DECIMALS = 3
_STENCIL_MARGIN = 4
"""Voxels around the native mask that splines may reach."""


def output_grid(anatomy: Grid, brain: NDArray[np.bool_], bold: Grid) -> Grid:
    """Return the grid along the anatomy's axes, with the BOLD's voxel size, around the brain.

    Each anatomical axis takes the voxel edge of the BOLD axis that runs closest to it. The grid is cut to the box of
    the brain mask and two voxels around it. It depends only on the anatomy and the BOLD's voxel size (rounded to 1 um) and
    axes, so that all runs of one protocol share it.

    Parameters
    ----------
    anatomy
        Grid of the T1w or template.
    brain
        Brain mask on that grid.
    bold
        Native grid of the series.
    """
    zooms = np.round(voxel_sizes(bold.affine_ras_mm), _ZOOM_DECIMALS)
    full = anatomy.with_zooms([float(zooms[axis]) for axis in _closest_axes(anatomy, bold)])
    points = apply_affine(anatomy.affine_ras_mm, np.argwhere(brain))
    voxels = apply_affine(np.linalg.inv(full.affine_ras_mm), points)
    low = np.floor(voxels.min(axis=0)).astype(int) - _MARGIN_VOXELS
    high = np.ceil(voxels.max(axis=0)).astype(int) + _MARGIN_VOXELS
    return cropped(full, low, high)


def cropped(grid: Grid, low: NDArray[np.int64], high: NDArray[np.int64]) -> Grid:
    """Return the part of a grid between two voxels (both included; beyond its ends where they say so)."""
    affine = grid.affine_ras_mm.copy()
    affine[:3, 3] = apply_affine(affine, low)
    shape = high - low + 1
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def _closest_axes(anatomy: Grid, bold: Grid) -> NDArray[np.int64]:
    """Return for each anatomical voxel axis the BOLD axis closest to its direction."""
    directions = [grid.affine_ras_mm[:3, :3] / voxel_sizes(grid.affine_ras_mm) for grid in (anatomy, bold)]
    return optimize.linear_sum_assignment(-np.abs(directions[0].T @ directions[1]))[1]


@dataclass(frozen=True)
class NativeVolumes:
    """The cleaned series in the native grid, ready to be interpolated."""

    samples: NDArray[np.float32]
    """(volumes, voxels of the mask)"""
    mask: NDArray[np.bool_]
    """(x, y, z): voxels with signal."""
    grid: Grid


@dataclass(frozen=True)
class Resampled:
    """A series on an output grid."""

    data: NDArray[np.float32]
    """(x, y, z, volumes); 0 outside `mask`."""
    mask: NDArray[np.bool_]
    """(x, y, z): inside the brain mask and where the series has signal."""
    grid: Grid
    coverage: float
    """Share of the brain mask that has signal."""


def resample_series(native: NativeVolumes, grid: Grid, brain: NDArray[np.bool_], transform: Transform) -> Resampled:
    """Bring a series onto a grid in one cubic interpolation.

    Parameters
    ----------
    native
        The series.
    grid
        Where to.
    brain
        Brain mask on `grid`.
    transform
        ``from-boldref_to-`` the space of `grid`.
    """
    targets = np.argwhere(brain)
    sources = transform.pull_points(apply_affine(grid.affine_ras_mm, targets))
    voxels = apply_affine(np.linalg.inv(native.grid.affine_ras_mm), sources).T
    covered = ndimage.map_coordinates(native.mask.astype(np.float32), voxels, order=1) >= 0.5
    mask = np.zeros(grid.shape, dtype=bool)
    mask[tuple(targets[covered].T)] = True
    data = np.zeros((*grid.shape, native.samples.shape[0]), dtype=np.float32, order="F")
    volume_of = _fills_outside(native)
    places = voxels[:, covered] - _box(native.mask)[0][:, np.newaxis]
    for index, row in enumerate(native.samples):
        data[mask, index] = ndimage.map_coordinates(volume_of(row), places, order=3, mode="nearest")
    return Resampled(data, mask, grid, float(covered.mean()))


def mask_on(grid: Grid, mask: NDArray[np.bool_], mask_grid: Grid) -> NDArray[np.bool_]:
    """Return a mask on another grid of the same space: where its linear interpolation reaches one half."""
    return resample(mask.astype(np.float32), mask_grid.affine_ras_mm, grid, order=1) >= 0.5


def _box(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first and last voxel + 1 of the mask's box with room for the spline, within the image."""
    inside = np.argwhere(mask)
    low = np.maximum(inside.min(axis=0) - _STENCIL_MARGIN, 0)
    high = np.minimum(inside.max(axis=0) + 1 + _STENCIL_MARGIN, mask.shape)
    return low, high


def _fills_outside(native: NativeVolumes) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return what makes a volume (cut to the mask's box) of a row of samples.

    Outside the mask each voxel repeats the nearest one inside: with zeros there, a spline would darken the brain's edge
    and ring inside it.
    """
    low, high = _box(native.mask)
    inside = native.mask[tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))]
    columns = np.full(inside.shape, -1, dtype=np.int64)
    columns[inside] = np.arange(inside.sum())
    nearest = ndimage.distance_transform_edt(
        ~inside, sampling=voxel_sizes(native.grid.affine_ras_mm), return_distances=False, return_indices=True
    )
    columns = columns[tuple(np.asarray(nearest))]
    return lambda row: row[columns]
