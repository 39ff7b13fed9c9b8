"""Cuts through an image along the axes of the world, not of its storage.

Every pixel of a cut is a point in scanner RAS mm; the image's affine alone says which value lies there. So a cut looks the
same whether the file is stored RAS, LAS, PSR or oblique, and the letters at its edges are right by construction.

Neurological convention: the participant's left is on the left of axial and coronal cuts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.errors import InputError
from tmsprep.files import load_nifti, read_data
from tmsprep.records import Point
from tmsprep.spaces import Array, Grid, Transform, apply_affine

_BELOW_BRAIN_MM = 16.0
_CLASSES = 3


@dataclass(frozen=True)
class _View:
    """How a plane lies in the world: axes by number (0 = x), increasing rightwards and upwards in the picture."""

    word: str
    across: int
    up: int
    normal: int
    letters: tuple[str, str, str, str]
    """At the left, right, top and bottom edge."""


class Plane(Enum):
    """The three planes of the world's axes."""

    AXIAL = _View("axial", 0, 1, 2, ("L", "R", "A", "P"))
    CORONAL = _View("coronal", 0, 2, 1, ("L", "R", "S", "I"))
    SAGITTAL = _View("sagittal", 1, 2, 0, ("P", "A", "S", "I"))


@dataclass(frozen=True)
class Volume:
    """A 3D image: `data` (x, y, z) and its affine from voxel indices to RAS+ mm."""

    data: NDArray[np.float32]
    affine_ras_mm: Array

    @classmethod
    def load(cls, path: Path) -> Volume:
        """Read a 3D image (a fourth axis of length one is dropped).

        Raises
        ------
        InputError
            The file is no 3D NIfTI image.
        """
        image = load_nifti(path)
        data = read_data(image)
        if data.ndim == 4 and data.shape[3] == 1:
            data = data[..., 0]
        if data.ndim != 3:
            raise InputError(f"the image has {data.ndim} axes", where=path, expected="a 3D image")
        return cls(np.nan_to_num(data, nan=0.0, posinf=0.0, neginf=0.0), np.asarray(image.affine, dtype=np.float64))

    @property
    def grid(self) -> Grid:
        """The grid of the voxels."""
        x, y, z = self.data.shape
        return Grid((x, y, z), self.affine_ras_mm)

    def sample(self, points_ras_mm: Array, *, order: int = 1) -> NDArray[np.float32]:
        """Return the values at points (..., 3), RAS+ mm; 0 outside. Spline order 0 or 1."""
        voxels = apply_affine(np.linalg.inv(self.affine_ras_mm), points_ras_mm)
        places = np.moveaxis(voxels, -1, 0)
        values: Any = ndimage.map_coordinates(self.data, places, order=order, mode="constant", cval=0.0)
        return np.asarray(values, dtype=np.float32)

    def sample_known(self, points_ras_mm: Array) -> NDArray[np.float32]:
        """Return values interpolated among the voxels that hold one (are not 0); NaN where most around hold none."""
        known = Volume((self.data != 0).astype(np.float32), self.affine_ras_mm).sample(points_ras_mm)
        values = self.sample(points_ras_mm)
        result = np.full(values.shape, np.nan, dtype=np.float32)
        np.divide(values, known, out=result, where=known > 0.5)
        return result


@dataclass(frozen=True)
class Box:
    """A box along the world's axes, scanner RAS mm."""

    low_ras_mm: Array
    high_ras_mm: Array

    @classmethod
    def around(cls, mask: Volume, margin_mm: float, points_ras_mm: Sequence[Point] = ()) -> Box:
        """Return the box of a mask and further points, with a margin; below the brain a small one will do.

        Raises
        ------
        InputError
            The mask is empty.
        """
        voxels = np.argwhere(mask.data > 0.5)
        if not len(voxels):
            raise InputError("the brain mask is empty", action="look at the brain extraction of this participant")
        corners = np.array([[voxels[:, axis].min(), voxels[:, axis].max()] for axis in range(3)])
        grid = np.array(np.meshgrid(*corners)).reshape(3, -1).T
        world = np.vstack([apply_affine(mask.affine_ras_mm, grid), *(np.atleast_2d(point) for point in points_ras_mm)])
        below = np.array([margin_mm, margin_mm, min(margin_mm, _BELOW_BRAIN_MM)])
        return cls(np.floor(world.min(axis=0) - below), np.ceil(world.max(axis=0) + margin_mm))


@dataclass(frozen=True)
class Cut:
    """A plane through a point, its pixels' places and its extent."""

    plane: Plane
    through_ras_mm: Point
    points_ras_mm: Array
    """(rows, columns, 3); the first row is the top of the picture."""
    extent_mm: tuple[float, float, float, float]
    """Left, right, bottom, top edge along the picture's axes."""

    @classmethod
    def of(cls, plane: Plane, through_ras_mm: Point, box: Box, pixel_mm: float) -> Cut:
        """Lay a cut through a point, over the whole box."""
        view = plane.value
        across = np.arange(box.low_ras_mm[view.across], box.high_ras_mm[view.across], pixel_mm) + pixel_mm / 2
        up = np.arange(box.low_ras_mm[view.up], box.high_ras_mm[view.up], pixel_mm) + pixel_mm / 2
        points = np.empty((len(up), len(across), 3))
        points[..., view.across] = across[np.newaxis, :]
        points[..., view.up] = up[::-1, np.newaxis]
        points[..., view.normal] = through_ras_mm[view.normal]
        edges = (across[0], across[-1], up[0], up[-1])
        half = np.array([-1, 1, -1, 1]) * pixel_mm / 2
        left, right, bottom, top = (float(value) for value in np.array(edges) + half)
        return cls(plane, through_ras_mm, points, (left, right, bottom, top))

    @property
    def position_mm(self) -> float:
        """Where the cut crosses its normal axis."""
        return self.through_ras_mm[self.plane.value.normal]

    def on_picture(self, point_ras_mm: Point) -> tuple[float, float]:
        """Return a point's place along the picture's axes (across, up), mm."""
        return point_ras_mm[self.plane.value.across], point_ras_mm[self.plane.value.up]

    def distance_mm(self, point_ras_mm: Point) -> float:
        """Return how far a point lies from the cut (positive towards R, A or S)."""
        return point_ras_mm[self.plane.value.normal] - self.position_mm


def centroid(mask: Volume) -> Point:
    """Return a mask's centre of gravity, scanner RAS mm."""
    x, y, z = apply_affine(mask.affine_ras_mm, np.argwhere(mask.data > 0.5).mean(axis=0))
    return (float(x), float(y), float(z))


def bright_tissue(t1w: Volume, mask: Volume) -> Volume:
    """Return the brightest of three classes inside the brain mask: white matter on a T1w image.

    The threshold is the upper one of multi-level Otsu (doi:10.6688/JISE.2001.17.5.1); it serves to draw an outline only.
    """
    from skimage.filters import threshold_multiotsu

    inside = mask.data > 0.5
    if mask.data.shape != t1w.data.shape:
        inside = mask.sample(t1w.grid.points_ras_mm(), order=0).reshape(t1w.data.shape) > 0.5
    values = t1w.data[inside]
    if values.size == 0:
        return Volume(np.zeros_like(t1w.data), t1w.affine_ras_mm)
    values = np.minimum(values, np.percentile(values, 99.5))
    if len(np.unique(values)) < _CLASSES:
        return Volume(np.zeros_like(t1w.data), t1w.affine_ras_mm)
    upper = float(threshold_multiotsu(values, classes=_CLASSES)[-1])
    return Volume((inside & (t1w.data > upper)).astype(np.float32), t1w.affine_ras_mm)


def pulled(points_ras_mm: Array, transform: Transform) -> Array:
    """Return points (..., 3) mapped to where `transform` takes its values from."""
    flat: NDArray[Any] = points_ras_mm.reshape(-1, 3)
    return transform.pull_points(flat).reshape(points_ras_mm.shape)
