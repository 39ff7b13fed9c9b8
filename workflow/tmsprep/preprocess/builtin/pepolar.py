"""A field map from two echo-planar images with opposite phase encoding.

One field displaces the two oppositely: the field is sought that makes the two unwarped images alike (least squares,
Gauss-Newton, coarse to fine), as in Andersson et al. 2003 (doi:10.1016/S1053-8119(03)00336-7); the discretisation on
voxels follows the idea of Ruthotto et al. 2012 (doi:10.1088/0031-9155/57/18/5715).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import linalg

from tmsprep.preprocess.builtin.series import Volume
from tmsprep.spaces import Array, voxel_sizes

_LEVELS_MM = (6.0, 3.0, 1.5, 0.0)
"""Smoothing of the images (standard deviation), coarse to fine."""
_STEPS = 6
_ROUGHNESS_WEIGHT = 0.02
_CG_ITERATIONS = 60
_LARGEST_STEP_VOXELS = 1.0


@dataclass(frozen=True)
class OppositePair:
    """Two images of one head with opposite phase encoding, on one grid."""

    first: Volume
    second: Volume
    axis: int
    """Phase-encoding axis."""
    first_s: float
    """Voxels that a field of 1 Hz displaces the first image by."""
    second_s: float
    """The same of the second; of the other sign."""
    affine_ras_mm: Array


@dataclass(frozen=True)
class _Operators:
    """Sparse matrices on flat volumes."""

    along: sparse.csr_matrix
    """Derivative along the phase-encoding axis."""
    roughness: sparse.csr_matrix


def estimate_field(pair: OppositePair) -> Volume:
    """Return the field in Hz on the grid of the pair, zero being the frequency at which neither image is displaced."""
    unit_s = (abs(pair.first_s) + abs(pair.second_s)) / 2
    ratios = pair.first_s / unit_s, pair.second_s / unit_s
    scale = float(np.percentile(np.concatenate([pair.first.ravel(), pair.second.ravel()]), 98))
    shift = np.zeros(pair.first.size)
    shape = pair.first.shape
    operators = _Operators(_derivative(shape, pair.axis), _roughness(shape, voxel_sizes(pair.affine_ras_mm)))
    for width_mm in _LEVELS_MM:
        images = [_prepared(volume, scale, width_mm, pair.affine_ras_mm) for volume in (pair.first, pair.second)]
        for _ in range(_STEPS):
            step = _gauss_newton_step(images, ratios, pair.axis, shift, operators)
            shift += step
            if np.abs(step).max() < 0.02:
                break
    return (shift / unit_s).reshape(shape).astype(np.float32)


def _prepared(volume: Volume, scale: float, width_mm: float, affine_ras_mm: Array) -> Volume:
    smooth = ndimage.gaussian_filter(volume / scale, width_mm / voxel_sizes(affine_ras_mm)) if width_mm else volume / scale
    return np.asarray(smooth, dtype=np.float32)


def _gauss_newton_step(
    images: list[Volume], ratios: tuple[float, float], axis: int, shift: Array, operators: _Operators
) -> Array:
    """Return the change of the displacement (voxels, flat) that lessens the difference of the unwarped images."""
    along, roughness = operators.along, operators.roughness
    stretch = along @ shift
    residual = np.zeros_like(shift)
    jacobian = sparse.csr_matrix(along.shape)
    for image, ratio, sign in zip(images, ratios, (1.0, -1.0), strict=True):
        value, slope = _moved(image, axis, ratio * shift)
        residual += sign * value * (1 + ratio * stretch)
        jacobian = jacobian + sign * ratio * (sparse.diags(slope * (1 + ratio * stretch)) + sparse.diags(value) @ along)
    gradient = jacobian.T @ residual + _ROUGHNESS_WEIGHT * (roughness @ shift)
    hessian = (jacobian.T @ jacobian + _ROUGHNESS_WEIGHT * roughness).tocsr()
    preconditioner = sparse.diags(1 / np.maximum(hessian.diagonal(), 1e-9))
    step, _ = linalg.cg(hessian, -gradient, rtol=1e-2, maxiter=_CG_ITERATIONS, M=preconditioner)
    largest = np.abs(step).max()
    return step * min(1.0, _LARGEST_STEP_VOXELS / largest) if largest > 0 else step


def _moved(image: Volume, axis: int, shift: Array) -> tuple[Array, Array]:
    """Return an image read `shift` voxels further along an axis, and its slope there; both flat."""
    voxels = np.indices(image.shape, dtype=np.float64)
    voxels[axis] += shift.reshape(image.shape)
    coordinates = voxels.reshape(3, -1)
    slopes = np.gradient(image, axis=axis)
    value = ndimage.map_coordinates(image, coordinates, order=1, mode="nearest", output=np.float64)
    slope = ndimage.map_coordinates(slopes, coordinates, order=1, mode="nearest", output=np.float64)
    return np.asarray(value), np.asarray(slope)


def _derivative(shape: tuple[int, ...], axis: int) -> sparse.csr_matrix:
    """Return central differences along one axis as a sparse matrix on flat volumes."""
    size = shape[axis]
    one = sparse.lil_matrix(0.5 * (sparse.eye(size, k=1) - sparse.eye(size, k=-1)))
    one[0, :2], one[-1, -2:] = [-1, 1], [-1, 1]
    return _on_axis(sparse.csr_matrix(one), shape, axis)


def _on_axis(matrix: sparse.csr_matrix, shape: tuple[int, ...], axis: int) -> sparse.csr_matrix:
    before, after = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
    return sparse.csr_matrix(sparse.kron(sparse.kron(sparse.identity(before), matrix), sparse.identity(after)))


def _roughness(shape: tuple[int, ...], sizes_mm: Array) -> sparse.csr_matrix:
    """Return the matrix of the squared gradient of a field, differences of neighbours over their distance in 3 mm."""
    total = sparse.csr_matrix((int(np.prod(shape)),) * 2)
    for axis, size in enumerate(shape):
        steps = (sparse.eye(size - 1, size, k=1) - sparse.eye(size - 1, size)).tocsr()
        total = total + _on_axis((steps.T @ steps).tocsr(), shape, axis) * float((3.0 / sizes_mm[axis]) ** 2)
    return total
