"""Boundary-based registration: the contrast of a BOLD reference across the white-matter boundary of a T1w.

In BOLD-weighted images grey matter is brighter than white. At the right place this holds on nearly every part of the
boundary; that is what the cost counts. Source: Greve and Fischl 2009, doi:10.1016/j.neuroimage.2009.06.060.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from tmsprep.errors import ProcessingError
from tmsprep.preprocess.builtin.series import Volume, spline_coefficients
from tmsprep.spaces import Array, apply_affine

_SLOPE = 0.05
"""Of the cost per percent of contrast. The source has 0.5; there, every place with a contrast above 5 % counts the same,
and where contrast is high the cost is flat about its minimum (0.6 to 0.8 mm off the published place of the head that
bench/epi_to_t1w.py uses, against 0.4 to 0.5 mm)."""
_MINIMUM_IN_VIEW = 0.3
_SMOOTHING_MM = 0.7
_LEVEL = 0.5
_GREY_RANGE = (0.45, 0.97)
"""T1w intensity outside the boundary as a fraction of that inside: below is CSF, above is more white matter."""
_CHECKED_MM = 2.0


@dataclass(frozen=True)
class Boundary:
    """Points on the boundary between white and grey matter."""

    points_ras_mm: Array
    """(n, 3)."""
    normals: Array
    """(n, 3), unit vectors from white to grey matter, RAS."""

    def thinned(self, count: int) -> Boundary:
        """Return about `count` points, evenly taken."""
        step = max(len(self.points_ras_mm) // count, 1)
        return Boundary(self.points_ras_mm[::step], self.normals[::step])


def white_matter_boundary(wm: Volume, t1w: Volume, brain: NDArray[np.bool_], affine_ras_mm: Array) -> Boundary:
    """Find the boundary of white matter where grey matter lies beyond it.

    Parameters
    ----------
    wm
        White-matter probability, (x, y, z).
    t1w
        Bias-corrected T1w on the same grid.
    brain
        Brain mask on the same grid.
    affine_ras_mm
        Of that grid.

    Raises
    ------
    ProcessingError
        There is hardly any such boundary: the tissue maps are not of this T1w.
    """
    from skimage.measure import marching_cubes

    sizes = np.linalg.norm(affine_ras_mm[:3, :3], axis=0)
    masked = np.where(brain, wm, 0).astype(np.float32)
    smooth = np.asarray(ndimage.gaussian_filter(masked, _SMOOTHING_MM / sizes), dtype=np.float32)
    vertices, *_ = marching_cubes(smooth, _LEVEL)
    downhill = -_gradient_ras(smooth, vertices, affine_ras_mm)
    normals = downhill / np.maximum(np.linalg.norm(downhill, axis=1, keepdims=True), 1e-9)
    points = apply_affine(affine_ras_mm, vertices)
    boundary = Boundary(points, normals)
    kept = _faces_grey_matter(boundary, t1w, brain, affine_ras_mm)
    if kept.sum() < 1000:
        raise ProcessingError(
            f"only {int(kept.sum())} points of a boundary between white and grey matter",
            expected="tens of thousands",
            action="look at the T1w's tissue maps",
        )
    return Boundary(points[kept], normals[kept])


def _gradient_ras(volume: Volume, vertices: Array, affine_ras_mm: Array) -> Array:
    by_voxel = np.stack([_at(component, vertices) for component in np.gradient(volume)], axis=1)
    return by_voxel @ np.linalg.inv(affine_ras_mm[:3, :3])


def _at(volume: ArrayLike, voxels: Array) -> Array:
    return np.asarray(ndimage.map_coordinates(np.asarray(volume), voxels.T, order=1, mode="nearest"), dtype=np.float64)


def _faces_grey_matter(boundary: Boundary, t1w: Volume, brain: NDArray[np.bool_], affine_ras_mm: Array) -> NDArray[np.bool_]:
    to_voxels = np.linalg.inv(affine_ras_mm)
    step = _CHECKED_MM * boundary.normals
    outer = apply_affine(to_voxels, boundary.points_ras_mm + step)
    inside = _at(t1w, apply_affine(to_voxels, boundary.points_ras_mm - step))
    ratio = _at(t1w, outer) / np.maximum(inside, 1e-6)
    in_brain = _at(brain.astype(np.float32), outer) > 0.5
    return in_brain & (ratio > _GREY_RANGE[0]) & (ratio < _GREY_RANGE[1])


@dataclass(frozen=True)
class Target:
    """A BOLD reference made ready for interpolation."""

    coefficients: Volume
    to_voxels: Array
    """4 x 4, RAS mm to voxel indices."""
    floor: float
    """Below this intensity there is no signal to judge by."""

    @classmethod
    def of(cls, volume: Volume, affine_ras_mm: Array, *, smoothing_mm: float = 0.0) -> Target:
        """Prepare a volume, optionally smoothed (standard deviation in mm)."""
        sizes = np.linalg.norm(affine_ras_mm[:3, :3], axis=0)
        smooth = (
            np.asarray(ndimage.gaussian_filter(volume, smoothing_mm / sizes), dtype=np.float32) if smoothing_mm else volume
        )
        to_voxels = np.asarray(np.linalg.inv(affine_ras_mm), dtype=np.float64)
        return cls(spline_coefficients(smooth), to_voxels, 0.1 * float(np.percentile(volume, 95)))

    def at(self, points_ras_mm: Array) -> Array:
        """Interpolate at points (n, 3); NaN outside the field of view."""
        voxels = apply_affine(self.to_voxels, points_ras_mm).T
        values = np.empty(voxels.shape[1], dtype=np.float64)
        ndimage.map_coordinates(self.coefficients, voxels, order=3, prefilter=False, mode="mirror", output=values)
        edge = np.asarray(self.coefficients.shape)[:, np.newaxis] - 0.5
        outside = ((voxels < -0.5) | (voxels > edge)).any(axis=0)
        return np.where(outside, np.nan, values)


def boundary_cost(boundary: Boundary, target: Target, pull_ras_mm: Array, distance_mm: float) -> float:
    """Return the mean of 1 - tanh(0.05 Q), Q being grey minus white in percent of their mean.

    0 is perfect, 1 chance, 2 inverted contrast; 2 also where less than 30 % of the boundary is in view.

    Parameters
    ----------
    boundary
        In the T1w.
    target
        The BOLD reference.
    pull_ras_mm
        4 x 4, points of the T1w to points of the BOLD reference.
    distance_mm
        How far on either side of the boundary the image is sampled.
    """
    points = apply_affine(pull_ras_mm, boundary.points_ras_mm)
    step = distance_mm * boundary.normals @ pull_ras_mm[:3, :3].T
    white, grey = target.at(points - step), target.at(points + step)
    mean = (white + grey) / 2
    judged = np.isfinite(mean)
    if judged.mean() < _MINIMUM_IN_VIEW:
        return 2.0
    white, grey, mean = white[judged], grey[judged], np.maximum(mean[judged], target.floor)
    return float(np.mean(1 - np.tanh(_SLOPE * 100 * (grey - white) / mean)))


def rigid(parameters: NDArray[np.float64], centre_ras_mm: Array) -> Array:
    """Return the 4 x 4 of a shift in mm (first three) and a rotation vector in degrees (last three) about a point."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(parameters[3:], degrees=True).as_matrix()
    matrix[:3, 3] = centre_ras_mm + parameters[:3] - matrix[:3, :3] @ centre_ras_mm
    return matrix


def refine(
    boundary: Boundary, target: Target, start_ras_mm: Array, distance_mm: float, *, reach: float = 4.0
) -> tuple[Array, float]:
    """Minimise the boundary cost over rigid changes of a transform (Powell's method).

    Parameters
    ----------
    boundary, target, distance_mm
        As for `boundary_cost`.
    start_ras_mm
        4 x 4 pull matrix to start at.
    reach
        Length of the first steps in mm and degrees.

    Returns
    -------
    tuple[Array, float]
        The pull matrix and its cost.
    """
    centre = boundary.points_ras_mm.mean(axis=0)

    def cost(parameters: NDArray[np.float64]) -> float:
        return boundary_cost(boundary, target, start_ras_mm @ rigid(parameters, centre), distance_mm)

    result = optimize.minimize(
        cost, np.zeros(6), method="Powell", options={"direc": np.eye(6) * reach, "xtol": 0.01, "ftol": 1e-4}
    )
    return start_ras_mm @ rigid(np.asarray(result.x), centre), float(result.fun)
