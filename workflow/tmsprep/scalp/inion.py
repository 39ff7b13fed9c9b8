"""The inion on the individual head: where the bone at the back leaves the skin.

The scalp's profile shows no bump there in most heads. Beneath it, the bone follows the skin down to the external
protuberance; from there it recedes and the neck muscles fill the wedge. That edge is what a finger feels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.scalp.lines import Plane, Polyline, arc, section
from tmsprep.spaces import Array, apply_affine
from tmsprep.surfaces import Surface

_ABOVE_MM, _BELOW_MM = 28.0, 35.0
_STEP_MM = 0.5
_NORMAL_SMOOTHING_STEPS = 16
_DEEPEST_MM = 45.0
_FAT_WITHIN_MM = 15.0
_BONE_OF_FAT = 0.25
_LATERAL_MM = (-5.0, -2.5, 0.0, 2.5, 5.0)
_MAX_SHIFT_MM = 16.0
_MIN_SEEN = 0.4
_MIN_SLOPE = 0.25
_MAX_RESIDUAL_MM = 2.5


@dataclass(frozen=True)
class Knee:
    """The hinge of two straight lines fitted to the depth of bone below the skin."""

    shift_mm: float
    """Along the profile downwards from the template's inion."""
    slope: float
    """How fast the bone recedes below it, mm a mm."""
    residual_mm: float
    """Mean distance of the depths from the two lines."""


def bone_inion(
    t1w: NDArray[np.float32],
    affine_ras_mm: Array,
    surface: Surface,
    *,
    midline: Plane,
    vertex_ras_mm: Array,
    expected_ras_mm: Array,
    up: Array,
) -> Array | None:
    """Find the inion near where the template has it.

    Parameters
    ----------
    t1w
        (x, y, z).
    affine_ras_mm
        Of `t1w`.
    surface
        The scalp.
    midline
        The mid-sagittal plane.
    vertex_ras_mm, expected_ras_mm
        (3,): top of the head and the template's inion.
    up
        (3,), unit, towards the top of the head.

    Returns
    -------
    Array or None
        (3,) on the profile; None where the image does not show the edge within 16 mm.
    """
    below = expected_ras_mm - (_BELOW_MM + 5) * up
    back = arc(section(surface, midline, vertex_ras_mm), vertex_ras_mm, below, expected_ras_mm).densified(_STEP_MM)
    start = back.nearest_mm(expected_ras_mm)
    knee = _find_knee(*_bone_depths(t1w, affine_ras_mm, back, midline, start))
    return back.at_mm(start + knee.shift_mm) if knee is not None and _credible(knee) else None


def _bone_depths(
    t1w: NDArray[np.float32], affine_ras_mm: Array, back: Polyline, midline: Plane, start_mm: float
) -> tuple[Array, Array]:
    """Return places along the profile (downwards from the expected inion) and the depth of bone there, mm; NaN if unseen."""
    points = back.points_ras_mm
    along = np.linspace(0, back.length_mm, len(points)) - start_mm
    inward = _inward(points, midline)
    used = (along > -_ABOVE_MM) & (along < _BELOW_MM)
    depths: Array = np.arange(0.0, _DEEPEST_MM, _STEP_MM, dtype=np.float64)
    image = _straightened(t1w, affine_ras_mm, points[used], inward[used], across=midline.normal, depths=depths)
    shallow = int(_FAT_WITHIN_MM / _STEP_MM)
    bright = float(np.median(image[:, :shallow].max(axis=1)))
    return along[used], np.array([_first_dark(row, shallow, _BONE_OF_FAT * bright) for row in image]) * _STEP_MM


def _inward(points: Array, midline: Plane) -> Array:
    """Return the unit normals (n, 3) of the profile, in its plane, towards the middle of the head."""
    smooth = ndimage.gaussian_filter1d(points, _NORMAL_SMOOTHING_STEPS, axis=0, mode="nearest")
    tangents = np.gradient(smooth, axis=0)
    normals = np.cross(tangents, midline.normal)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    # over the back of the head, inward is the side of the line's chord
    chord = (points[0] + points[-1]) / 2 - points
    return normals if np.einsum("ij,ij->", normals, chord) > 0 else -normals


def _straightened(
    t1w: NDArray[np.float32], affine_ras_mm: Array, points: Array, inward: Array, *, across: Array, depths: Array
) -> Array:
    """Sample the image below the profile, (places, depths), averaged over 10 mm across the midline."""
    sheet = points[:, np.newaxis] + depths[np.newaxis, :, np.newaxis] * inward[:, np.newaxis]
    to_voxels = np.linalg.inv(affine_ras_mm)
    total = np.zeros(sheet.shape[:2])
    for lateral in _LATERAL_MM:
        voxels = apply_affine(to_voxels, (sheet + lateral * across).reshape(-1, 3)).T
        total += ndimage.map_coordinates(t1w, voxels, order=1).reshape(total.shape)
    return ndimage.gaussian_filter(total / len(_LATERAL_MM), (2, 1))


def _first_dark(row: Array, shallow: int, threshold: float) -> float:
    """Return the index of the first value below `threshold` beyond the brightest shallow one (the fat); NaN if none."""
    fat = int(np.argmax(row[:shallow]))
    dark = np.flatnonzero(row[fat:] < threshold)
    return float(fat + dark[0]) if dark.size else float("nan")


def _find_knee(along_mm: Array, depth_mm: Array) -> Knee | None:
    """Fit a level line that starts to fall at the knee; the knee with the least mean absolute residual wins."""
    seen = np.isfinite(depth_mm)
    if seen.mean() < _MIN_SEEN:
        return None
    knees: list[Knee] = []
    for shift in np.arange(-_MAX_SHIFT_MM - 4, _MAX_SHIFT_MM + 4 + _STEP_MM, _STEP_MM):
        design = np.stack([np.ones(int(seen.sum())), np.maximum(along_mm[seen] - shift, 0)], axis=1)
        lines = np.linalg.lstsq(design, depth_mm[seen], rcond=None)[0]
        residual = float(np.abs(design @ lines - depth_mm[seen]).mean())
        knees.append(Knee(float(shift), float(lines[1]), residual))
    return min(knees, key=lambda knee: knee.residual_mm)


def _credible(knee: Knee) -> bool:
    return abs(knee.shift_mm) <= _MAX_SHIFT_MM and knee.slope >= _MIN_SLOPE and knee.residual_mm <= _MAX_RESIDUAL_MM
