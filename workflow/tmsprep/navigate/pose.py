"""Where a coil goes for a target: the place on the scalp, the direction out of the head, the handle.

Coil frame, as SimNIBS has it: origin at the scalp under the coil's centre, z into the head, the handle along -y,
x = y cross z (right-handed).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tmsprep.errors import ProcessingError
from tmsprep.spaces import Array
from tmsprep.surfaces import Surface

FIT_RADIUS_MM = 15.0
"""The scalp within this distance (a small part of a coil's face) decides the direction out of the head."""
_MIN_VERTICES = 12


@dataclass(frozen=True, eq=False)
class HeadAxes:
    """Unit vectors of the head, (3,) each, in scanner RAS."""

    left: Array
    back: Array

    @classmethod
    def of(cls, nas: ArrayLike, ini: ArrayLike, lpa: ArrayLike, rpa: ArrayLike) -> HeadAxes:
        """Make axes of fiducials (3,): left from RPA to LPA; back from nasion to inion, square to left.

        Raises
        ------
        ProcessingError
            LPA is not on the left, in RAS.
        """
        across = np.asarray(lpa, dtype=np.float64) - np.asarray(rpa, dtype=np.float64)
        left = across / np.linalg.norm(across)
        if left[0] >= 0:
            raise ProcessingError("LPA does not lie left of RPA", action="check the fiducials")
        along = np.asarray(ini, dtype=np.float64) - np.asarray(nas, dtype=np.float64)
        along = along - left * (along @ left)
        return cls(left, along / np.linalg.norm(along))


@dataclass(frozen=True, eq=False)
class CoilPose:
    """A coil on the scalp."""

    entry_ras_mm: Array
    """(3,), on the scalp."""
    normal: Array
    """(3,), unit, out of the head."""
    handle: Array
    """(3,), unit, from the coil's centre along its handle; in the tangent plane."""

    @property
    def matrix_ras_mm(self) -> Array:
        """Coil frame to scanner RAS, 4 x 4: columns x, y, z, origin."""
        y, z = -self.handle, -self.normal
        matrix = np.eye(4)
        matrix[:3, :4] = np.stack([np.cross(y, z), y, z, self.entry_ras_mm], axis=1)
        return matrix


def coil_pose(scalp: Surface, entry_ras_mm: ArrayLike, axes: HeadAxes, handle_angle_deg: float) -> CoilPose:
    """Put a coil on the scalp with its handle turned from straight back towards the nearer side.

    Parameters
    ----------
    scalp
        Closed, wound outwards.
    entry_ras_mm
        (3,), moved to the scalp if it is not on it.
    axes
        Of the head.
    handle_angle_deg
        Between the handle and the mid-sagittal direction, both seen in the plane that touches the scalp: 0 is straight
        back, 90 to the left, 45 the usual one for the left prefrontal cortex.

    Returns
    -------
    CoilPose
        With the handle to the back and left.

    Raises
    ------
    ProcessingError
        The scalp faces straight back or front there, so that "back" has no meaning in its plane.
    """
    entry = scalp.nearest(entry_ras_mm)
    normal = outward_normal(scalp, entry)
    back = axes.back - normal * (axes.back @ normal)
    if np.linalg.norm(back) < 0.1:
        raise ProcessingError("the scalp there faces straight back or front: a handle angle has no meaning")
    back /= np.linalg.norm(back)
    left = np.cross(normal, back)
    left = left if left @ axes.left > 0 else -left
    angle = np.deg2rad(handle_angle_deg)
    return CoilPose(entry, normal, np.cos(angle) * back + np.sin(angle) * left)


def outward_normal(scalp: Surface, point_ras_mm: ArrayLike) -> Array:
    """Return the direction (3,) out of the head at a place on the scalp.

    A quadratic surface is fitted to the vertices within 15 mm that face the same way, in the plane across their mean
    normal; its slope at the place gives the direction. Single triangles of a 2 mm mesh lean by several degrees.

    Raises
    ------
    ProcessingError
        Too few vertices lie there.
    """
    point = np.asarray(point_ras_mm, dtype=np.float64)
    own = scalp.vertex_normals[scalp.nearest_vertex(point)]
    near = scalp.vertices_within(point, FIT_RADIUS_MM)
    near = near[scalp.vertex_normals[near] @ own > 0]
    if near.size < _MIN_VERTICES:
        raise ProcessingError(f"the scalp has only {near.size} vertices within {FIT_RADIUS_MM:.0f} mm of the entry")
    mean = scalp.vertex_normals[near].mean(axis=0)
    mean /= np.linalg.norm(mean)
    first = np.cross(mean, np.eye(3)[int(np.argmin(np.abs(mean)))])
    first /= np.linalg.norm(first)
    second = np.cross(mean, first)
    u, v, height = np.stack([first, second, mean]) @ (scalp.vertices_ras_mm[near] - point).T
    design = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
    slope = np.linalg.lstsq(design, height, rcond=None)[0]
    normal = mean - slope[1] * first - slope[2] * second
    return normal / np.linalg.norm(normal)
