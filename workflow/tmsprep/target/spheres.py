"""Spheres in a template's space: what seeds, anchors and search masks are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmsprep.records import Point

_LATTICE_MM = 1.0


@dataclass(frozen=True)
class Sphere:
    """A ball in template space (which one, its owner says)."""

    centre_mni_mm: Point
    """RAS mm."""
    radius_mm: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Sphere:
        """Make one of ``[x, y, z, radius]`` in mm."""
        x, y, z, radius = (float(number) for number in numbers)
        return cls((x, y, z), radius)

    def inner_distance(self, points_mni_mm: ArrayLike) -> NDArray[np.float64]:
        """Return for points (n, 3) how deep inside the surface they lie in mm; negative outside."""
        offsets = np.asarray(points_mni_mm, dtype=np.float64) - self.centre_mni_mm
        return self.radius_mm - np.linalg.norm(offsets, axis=-1)

    def contains(self, points_mni_mm: ArrayLike) -> NDArray[np.bool_]:
        """Tell for points (n, 3) whether they lie inside or on the surface."""
        return self.inner_distance(points_mni_mm) >= 0

    def lattice_mni_mm(self) -> NDArray[np.float64]:
        """Return the points (n, 3) of a 1 mm lattice about the centre that lie inside."""
        steps = np.arange(-np.floor(self.radius_mm), np.floor(self.radius_mm) + 1, _LATTICE_MM)
        offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
        points = offsets + self.centre_mni_mm
        return points[self.contains(points)]
