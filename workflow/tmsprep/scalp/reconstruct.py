"""From the head mask to a closed scalp surface without handles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from skimage.measure import marching_cubes

from tmsprep.errors import ProcessingError
from tmsprep.scalp.headmask import Head
from tmsprep.spaces import Array, apply_affine
from tmsprep.surfaces import Faces, Surface

_MARGIN = 0.05
_TAUBIN_ITERATIONS = 10
_TAUBIN_SHRINK, _TAUBIN_GROW = 0.5, -0.53


def scalp_surface(head: Head) -> Surface:
    """Return the boundary of the head mask as a smooth surface.

    Parameters
    ----------
    head
        From `tmsprep.scalp.headmask.find_head`.

    Returns
    -------
    Surface
        Closed, sphere-like, wound outwards, in scanner RAS mm.

    Raises
    ------
    ProcessingError
        The surface has handles or holes: measuring along it could go wrong.
    """
    voxels, faces, _, _ = marching_cubes(np.pad(_level(head), 1), level=0.5, allow_degenerate=False)
    vertices = apply_affine(head.grid.affine_ras_mm, voxels.astype(np.float64) - 1)
    surface = _largest_part(Surface(vertices, faces.astype(np.int64)))
    surface = Surface(taubin_smooth(surface.vertices_ras_mm, surface.faces), surface.faces)
    # marching cubes does not promise a winding, and a mirrored affine turns it: the volume's sign decides
    surface = surface if surface.signed_volume_mm3() > 0 else surface.flipped()
    _require_sphere_like(surface)
    return surface


def _level(head: Head) -> NDArray[np.float32]:
    """Return a field that passes 0.5 at the boundary of the mask, and there follows the image between voxels.

    Where the boundary is that of tissue, the image says where between two voxels it lies; where it bridges a gap, it lies
    halfway. The field is above 0.5 inside the mask and below outside, so it has the mask's topology.
    """
    relative = np.clip(head.t1w / (2 * head.threshold), 0, 1)
    inside = np.where(relative < 0.5, 1.0, np.maximum(relative, 0.5 + _MARGIN))
    return np.where(head.mask, inside, np.minimum(relative, 0.5 - _MARGIN)).astype(np.float32)


def _largest_part(surface: Surface) -> Surface:
    """Keep the part of the surface with most vertices, and renumber."""
    count = len(surface.vertices_ras_mm)
    _, labels = sparse.csgraph.connected_components(_adjacency(surface.faces, count), directed=False)
    kept = labels == np.argmax(np.bincount(labels))
    numbers = np.cumsum(kept) - 1
    faces = surface.faces[kept[surface.faces[:, 0]]]
    return Surface(surface.vertices_ras_mm[kept], numbers[faces])


def _adjacency(faces: Faces, count: int) -> sparse.csr_matrix:
    starts, ends = faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()
    ones = np.ones(2 * starts.size)
    matrix = sparse.csr_matrix((ones, (np.r_[starts, ends], np.r_[ends, starts])), shape=(count, count))
    matrix.data[:] = 1
    return matrix


def taubin_smooth(vertices_ras_mm: Array, faces: Faces) -> Array:
    """Smooth without shrinking (Taubin 1995, doi:10.1145/218380.218473).

    Parameters
    ----------
    vertices_ras_mm
        (n, 3).
    faces
        (m, 3).

    Returns
    -------
    Array
        (n, 3).
    """
    neighbours = _adjacency(faces, len(vertices_ras_mm))
    averaging = sparse.diags(1 / np.asarray(neighbours.sum(axis=1)).ravel()) @ neighbours
    vertices = vertices_ras_mm
    for _ in range(_TAUBIN_ITERATIONS):
        for factor in (_TAUBIN_SHRINK, _TAUBIN_GROW):
            vertices = vertices + factor * (averaging @ vertices - vertices)
    return vertices


def _require_sphere_like(surface: Surface) -> None:
    if not surface.is_closed():
        raise ProcessingError("the scalp surface has holes", action="look at the T1w image near the edges")
    if (euler := surface.euler_number()) != 2:
        raise ProcessingError(
            f"the scalp surface has handles (Euler number {euler})",
            expected="2, as a sphere",
            action="look at the head mask; strong artefacts at the scalp cause this",
        )
