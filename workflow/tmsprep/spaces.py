"""Affines, transforms and coordinate frames.

The only module that flips an axis. Inside TMSPrep every point and every affine is RAS+ in mm; ITK and ANTs speak LPS, and
the change between the two happens here alone.

A transform named ``from-A_to-B`` resamples an image of A onto the grid of B. To do that it maps *points* of B to points
of A: `Transform.pull_points` is that map, so points go from MNI to T1w by ``from-T1w_to-MNI...``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from tmsprep.errors import InputError

if TYPE_CHECKING:
    import ants

Array = NDArray[np.float64]

LPS_FROM_RAS: Array = np.diag([-1.0, -1.0, 1.0, 1.0])
"""4 x 4; its own inverse."""

_SHEAR_TOLERANCE = 1e-3
_SMALLEST_DETERMINANT = 1e-9
_VOLUME_RATIOS = (0.1, 10.0)
_ANEW = "run the registration (preprocessing) again"


def apply_affine(affine: ArrayLike, points: ArrayLike) -> Array:
    """Map points (..., 3) by a 4 x 4 affine."""
    matrix = np.asarray(affine, dtype=np.float64)
    return np.asarray(points, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]


def lps_from_ras(points_ras_mm: ArrayLike) -> Array:
    """Return points (..., 3) in LPS mm."""
    return np.asarray(points_ras_mm, dtype=np.float64) * [-1.0, -1.0, 1.0]


def ras_from_lps(points_lps_mm: ArrayLike) -> Array:
    """Return points (..., 3) in RAS mm."""
    return lps_from_ras(points_lps_mm)


def voxel_sizes(affine_ras_mm: ArrayLike) -> Array:
    """Return the three voxel edges in mm."""
    return np.linalg.norm(np.asarray(affine_ras_mm, dtype=np.float64)[:3, :3], axis=0)


def is_sheared(affine_ras_mm: ArrayLike) -> bool:
    """Tell whether the voxel axes are not at right angles (cosine above 1e-3)."""
    matrix = np.asarray(affine_ras_mm, dtype=np.float64)[:3, :3]
    directions = matrix / np.linalg.norm(matrix, axis=0)
    return bool(np.abs(directions.T @ directions - np.eye(3)).max() > _SHEAR_TOLERANCE)


@dataclass(frozen=True)
class Grid:
    """A voxel grid in space: `shape` in voxels, `affine_ras_mm` from voxel indices to RAS+ mm."""

    shape: tuple[int, int, int]
    affine_ras_mm: Array

    @classmethod
    def of(cls, image: nib.Nifti1Image) -> Grid:
        """Return the grid of an image's first three axes."""
        shape = tuple(int(size) for size in image.shape[:3])
        return cls((shape[0], shape[1], shape[2]), np.asarray(image.affine, dtype=np.float64))

    def points_ras_mm(self) -> Array:
        """Return the voxel centres, (x*y*z, 3), last voxel axis fastest."""
        indices = np.indices(self.shape, dtype=np.float64).reshape(3, -1).T
        return apply_affine(self.affine_ras_mm, indices)

    def with_zooms(self, zooms_mm: Sequence[float]) -> Grid:
        """Return a grid that covers the same field of view along the same axes with other voxel edges in mm."""
        old = voxel_sizes(self.affine_ras_mm)
        new = np.asarray(zooms_mm, dtype=np.float64)
        shape = np.maximum(np.ceil(np.asarray(self.shape) * old / new - 1e-6), 1).astype(int)
        affine = self.affine_ras_mm.copy()
        affine[:3, :3] = affine[:3, :3] / old * new
        centre = apply_affine(self.affine_ras_mm, (np.asarray(self.shape) - 1) / 2)
        affine[:3, 3] = centre - affine[:3, :3] @ ((shape - 1) / 2)
        return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)

    def contains(self, points_ras_mm: ArrayLike) -> NDArray[np.bool_]:
        """Tell for each point (..., 3) whether it lies in the field of view (voxel centres' box)."""
        voxels = apply_affine(np.linalg.inv(self.affine_ras_mm), points_ras_mm)
        return np.all((voxels >= -0.5) & (voxels <= np.asarray(self.shape) - 0.5), axis=-1)


@dataclass(frozen=True)
class AffineStep:
    """An affine: `pull_ras_mm`, 4 x 4, maps points of B to points of A, RAS+ mm."""

    pull_ras_mm: Array

    def pull_points(self, points_ras_mm: Array) -> Array:
        """Map points (n, 3) of B to A, RAS+ mm."""
        return apply_affine(self.pull_ras_mm, points_ras_mm)


@dataclass(frozen=True)
class FieldStep:
    """A displacement field: `displacement_ras_mm`, (x, y, z, 3), is added to the points of B; `grid` is where it lies."""

    displacement_ras_mm: NDArray[np.float32]
    grid: Grid

    def pull_points(self, points_ras_mm: Array) -> Array:
        """Map points (n, 3) of B to A, RAS+ mm; outside the field they stay.

        Linear between voxel centres, as ITK defines a ``DisplacementFieldTransform``: a spline (nitransforms) moves points
        by up to half a millimetre otherwise where a coarse field is steep.
        """
        voxels = apply_affine(np.linalg.inv(self.grid.affine_ras_mm), points_ras_mm)
        last = np.asarray(self.grid.shape) - 1
        inside = np.all((voxels >= 0) & (voxels <= last), axis=1)
        moved = np.array(points_ras_mm, dtype=np.float64)
        for axis in range(3):
            moved[inside, axis] += ndimage.map_coordinates(
                self.displacement_ras_mm[..., axis], voxels[inside].T, output=np.float64, order=1, mode="nearest"
            )
        return moved


Step = AffineStep | FieldStep


class Transform:
    """A spatial transform ``from-A_to-B``: one or more steps, each of which maps points of B towards A.

    Use `load`, `from_matrix` or `followed_by` to make one.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(steps)

    @classmethod
    def load(cls, path: Path) -> Transform:
        """Read an ITK transform: ``.h5`` composite, or ``.txt`` / ``.mat`` with one affine.

        Raises
        ------
        InputError
            The file is absent or of another kind, or its transform cannot be one between two heads: not finite, mirroring,
            not invertible.
        """
        from tmsprep.itk_composite import read_steps

        if not path.exists():
            raise InputError("the transform is not there", where=path)
        if path.suffix == ".h5":
            steps = read_steps(path)
        else:
            matrices = load_itk_affines(path)
            if len(matrices) != 1:
                raise InputError(f"holds {len(matrices)} transforms", where=path, expected="one affine")
            steps: list[Step] = [AffineStep(matrices[0])]
        _require_between_heads(path, steps)
        return cls(steps)

    @classmethod
    def from_matrix(cls, pull_matrix_ras_mm: ArrayLike) -> Transform:
        """Make a transform of a 4 x 4 matrix that maps points of B to points of A, RAS+ mm."""
        return cls([AffineStep(np.asarray(pull_matrix_ras_mm, dtype=np.float64))])

    @classmethod
    def identity(cls) -> Transform:
        """Return the transform that moves nothing."""
        return cls.from_matrix(np.eye(4))

    def followed_by(self, later: Transform) -> Transform:
        """Return ``from-A_to-C`` from this ``from-A_to-B`` and `later`, a ``from-B_to-C``."""
        # as in ITK, the last step is applied to the points of C first
        return Transform([*self._steps, *later._steps])

    def pull_points(self, points_ras_mm: ArrayLike) -> Array:
        """Map points (n, 3) of B to A, RAS+ mm."""
        points = np.atleast_2d(np.asarray(points_ras_mm, dtype=np.float64))
        for step in reversed(self._steps):
            points = step.pull_points(points)
        return points

    def affine_part(self) -> Array:
        """Return the product of the affine steps, as a 4 x 4 pull matrix (RAS+ mm); warps are left out."""
        matrix = np.eye(4)
        for step in reversed(self._steps):
            if isinstance(step, AffineStep):
                matrix = step.pull_ras_mm @ matrix
        return matrix


def _require_between_heads(path: Path, steps: Sequence[Step]) -> None:
    for step in steps:
        numbers = step.pull_ras_mm if isinstance(step, AffineStep) else step.displacement_ras_mm
        if not np.all(np.isfinite(numbers)):
            raise InputError("the transform holds values that are not finite", where=path, action=_ANEW)
        if isinstance(step, FieldStep) and not _is_invertible(step.grid.affine_ras_mm):
            raise InputError("the displacement field lies on no possible grid", where=path, action=_ANEW)
        if isinstance(step, AffineStep):
            _require_proper(path, float(np.linalg.det(step.pull_ras_mm[:3, :3])))


def _is_invertible(affine: Array) -> bool:
    return bool(np.all(np.isfinite(affine))) and abs(float(np.linalg.det(affine[:3, :3]))) > _SMALLEST_DETERMINANT


def _require_proper(path: Path, determinant: float) -> None:
    if determinant < 0:
        raise InputError(
            f"the transform mirrors: its determinant is {determinant:.3g}",
            where=path,
            expected="a head's left to stay on the left",
            action=_ANEW,
        )
    low, high = _VOLUME_RATIOS
    if not low <= determinant <= high:
        raise InputError(
            f"the transform changes volumes by the factor {determinant:.3g} (its determinant)",
            where=path,
            expected=f"{low:g} to {high:g} between two heads",
            action=_ANEW,
        )


def resample(
    data: NDArray[Any],
    affine_ras_mm: Array,
    grid: Grid,
    transform: Transform | None = None,
    *,
    order: int = 3,
    mask: NDArray[np.bool_] | None = None,
    fill: float = 0.0,
) -> NDArray[np.float32]:
    """Resample 3D or 4D data onto a grid in one interpolation.

    Parameters
    ----------
    data
        (x, y, z) or (x, y, z, t) in the frame A.
    affine_ras_mm
        Of `data`.
    grid
        Where to, in the frame B.
    transform
        ``from-A_to-B``; identity if absent.
    order
        Spline order: 0 nearest, 1 linear, 3 cubic.
    mask
        Of `grid`'s shape: voxels outside it get `fill` and are not computed.
    fill
        Value outside the field of view.

    Returns
    -------
    NDArray[np.float32]
        Shape of `grid` (and t).
    """
    inside = np.ones(grid.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    targets = apply_affine(grid.affine_ras_mm, np.argwhere(inside))
    sources = targets if transform is None else transform.pull_points(targets)
    voxels = apply_affine(np.linalg.inv(affine_ras_mm), sources).T
    volumes = data[..., np.newaxis] if data.ndim == 3 else data
    result = np.full((*grid.shape, volumes.shape[3]), fill, dtype=np.float32)
    for index in range(volumes.shape[3]):
        volume = np.asarray(volumes[..., index], dtype=np.float32)
        result[inside, index] = ndimage.map_coordinates(volume, voxels, order=order, mode="constant", cval=fill)
    return result[..., 0] if data.ndim == 3 else result


_ITK_HEADER = "#Insight Transform File V1.0"


def save_itk_affines(path: Path, pull_matrices_ras_mm: Sequence[ArrayLike]) -> None:
    """Write affines as an ITK text file (LPS, AffineTransform), one transform each, in order."""
    lines = [_ITK_HEADER]
    for index, pull in enumerate(pull_matrices_ras_mm):
        matrix = LPS_FROM_RAS @ np.asarray(pull, dtype=np.float64) @ LPS_FROM_RAS
        numbers = [*matrix[:3, :3].ravel(), *matrix[:3, 3]]
        lines += [
            f"#Transform {index}",
            "Transform: AffineTransform_double_3_3",
            "Parameters: " + " ".join(f"{number:.12g}" for number in numbers),
            "FixedParameters: 0 0 0",
        ]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def load_itk_affines(path: Path) -> list[Array]:
    """Read an ITK text file of matrix-offset transforms; return 4 x 4 pull matrices (RAS+ mm).

    Raises
    ------
    InputError
        The file is no such file, or holds a transform that is no affine.
    """
    text = path.read_text(encoding="ascii", errors="replace")
    if not text.startswith(_ITK_HEADER):
        raise InputError("no ITK transform text file", where=path)
    kinds = _itk_fields(text, "Transform:")
    parameters = _itk_fields(text, "Parameters:")
    centres = _itk_fields(text, "FixedParameters:")
    if not kinds or not len(kinds) == len(parameters) == len(centres):
        raise InputError("incomplete ITK transform text file", where=path)
    return [_itk_matrix(path, *fields) for fields in zip(kinds, parameters, centres, strict=True)]


def _itk_fields(text: str, key: str) -> list[str]:
    return [line[len(key) :].strip() for line in text.splitlines() if line.startswith(key)]


def _itk_matrix(path: Path, kind: str, parameters: str, centre: str) -> Array:
    matrix = np.eye(4)
    try:
        numbers = np.array(parameters.split(), dtype=np.float64)
        fixed = np.array(centre.split(), dtype=np.float64)[:3]
    except ValueError as error:
        raise InputError(f"no numbers in the transform ({error})", where=path, action=_ANEW) from error
    if fixed.size < 3:
        raise InputError(f"the transform has {fixed.size} fixed parameters", where=path, expected="3 or more")
    if kind.startswith("Euler3DTransform") and numbers.size == 6:
        matrix[:3, :3] = _euler_zxy(*numbers[:3])
        translation = numbers[3:6]
    elif kind.startswith(("AffineTransform", "MatrixOffsetTransformBase")) and numbers.size == 12:
        matrix[:3, :3] = numbers[:9].reshape(3, 3)
        translation = numbers[9:]
    else:
        raise InputError(
            f"transform of kind {kind} with {numbers.size} parameters",
            where=path,
            expected="AffineTransform with 12, or Euler3DTransform with 6",
        )
    matrix[:3, 3] = translation + fixed - matrix[:3, :3] @ fixed
    return LPS_FROM_RAS @ matrix @ LPS_FROM_RAS


def _euler_zxy(x: float, y: float, z: float) -> Array:
    """Rotation Rz Rx Ry, radians: ITK's default order (Euler3DTransform documentation)."""
    cx, sx, cy, sy, cz, sz = np.cos(x), np.sin(x), np.cos(y), np.sin(y), np.cos(z), np.sin(z)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def to_ants(data: NDArray[Any], affine_ras_mm: Array) -> ants.ANTsImage:
    """Return a 3D array as an ANTs image at the same place in space.

    Raises
    ------
    InputError
        The grid is sheared: ANTs cannot represent it.
    """
    import ants

    if is_sheared(affine_ras_mm):
        raise InputError("the image grid is sheared", action="resample it to right-angled voxels first")
    lps = LPS_FROM_RAS @ affine_ras_mm
    spacing = voxel_sizes(lps)
    return ants.from_numpy(
        np.asarray(data, dtype=np.float32),
        origin=[float(value) for value in lps[:3, 3]],
        spacing=[float(value) for value in spacing],
        direction=lps[:3, :3] / spacing,
    )


def from_ants(image: ants.ANTsImage) -> tuple[NDArray[np.float32], Array]:
    """Return an ANTs image's data and its affine (RAS+ mm)."""
    lps = np.eye(4)
    lps[:3, :3] = np.asarray(image.direction) * np.asarray(image.spacing)
    lps[:3, 3] = image.origin
    return np.asarray(image.numpy(), dtype=np.float32), LPS_FROM_RAS @ lps


def closest_canonical(data: NDArray[Any], affine_ras_mm: Array) -> tuple[NDArray[Any], Array]:
    """Reorder and flip axes, without interpolation, so that they run closest to R, A, S; the place in space stays."""
    image = nib.as_closest_canonical(nib.Nifti1Image(data, affine_ras_mm))
    return np.asarray(image.dataobj), np.asarray(image.affine, dtype=np.float64)
