"""The participant's own left-DLPFC hot spot: where it is (the truth), and which other patches surround it.

The hot spot is a Gaussian bump of coupling to the circuit on grey matter. What is called *the target* is the
coupling-weighted centre of gravity of the bump over grey matter, snapped to the nearest grey-matter voxel: a
centre of gravity of a folded sheet may lie in a sulcus, and no method could be asked to find that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.errors import ProcessingError
from tmsprep.simulate.frames import HeadFrames
from tmsprep.simulate.head import Head
from tmsprep.spaces import apply_affine, voxel_sizes
from tmsprep.target.masks import SearchMask

Array = NDArray[np.float64]

FWHM_MM = 15.0
EDGE_MM = 9.0
"""Least distance to the edge of the search mask, so that the mask does not cut the hot spot."""
DEPTH_MM = (8.0, 21.0)
"""Distance from the scalp that is allowed."""
GREY = 0.5
_SIGMA = FWHM_MM / 2.3548
_REACH_MM = 2.5 * _SIGMA


@dataclass(frozen=True)
class Patch:
    """A Gaussian bump of coupling to the circuit."""

    centre_ras_mm: Array
    coupling: float
    """Peak, relative to the hot spot's."""
    fwhm_mm: float


@dataclass(frozen=True)
class HotSpot:
    """The truth of one participant."""

    centre_ras_mm: Array
    """Of the bump."""
    target_ras_mm: Array
    """Coupling-weighted centre of gravity over grey matter, snapped to grey matter: what a method should find."""
    target_2009c_mm: Array
    depth_mm: float
    """Distance of the target to the scalp."""
    others: tuple[Patch, ...]
    """Other patches of the search mask that couple to the circuit: more weakly, or with the other sign."""

    @property
    def patches(self) -> tuple[Patch, ...]:
        """The hot spot and the others."""
        return (Patch(self.centre_ras_mm, 1.0, FWHM_MM), *self.others)


def scalp_depth_mm(head: Head, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the distance of each voxel of `head.grid` to the outside of the head `mask`, mm."""
    padded = np.pad(mask, 1)
    distance = ndimage.distance_transform_edt(padded, sampling=voxel_sizes(head.grid.affine_ras_mm))
    return np.asarray(distance)[1:-1, 1:-1, 1:-1]


def draw_hot_spot(
    head: Head, mask: NDArray[np.bool_], frames: HeadFrames, search: SearchMask, generator: np.random.Generator
) -> HotSpot:
    """Draw where this participant's hot spot is.

    Parameters
    ----------
    head
        Grey matter decides where it can be.
    mask
        The filled head on `head.grid`, for the distance to the scalp.
    frames
        To the templates.
    search
        The search mask, in MNI152NLin6Asym.
    generator
        Random numbers of this participant.

    Raises
    ------
    ProcessingError
        No place fulfils the conditions.
    """
    indices, points, edge = _searchable(head, frames, search)
    depth = scalp_depth_mm(head, mask)
    inside = depth[tuple(indices.T)]
    allowed = (edge >= EDGE_MM) & (inside >= DEPTH_MM[0]) & (inside <= DEPTH_MM[1])
    if not allowed.any():
        raise ProcessingError(
            "no grey matter in the search mask fulfils the conditions for a hot spot",
            expected=f"grey matter {EDGE_MM} mm inside the mask, {DEPTH_MM[0]} to {DEPTH_MM[1]} mm under the scalp",
            action="look at the tissue maps and the registration to the template",
        )
    centre = points[allowed][generator.integers(int(allowed.sum()))]
    target = target_of(head, centre)
    at = np.rint(apply_affine(np.linalg.inv(head.grid.affine_ras_mm), target)).astype(int)
    return HotSpot(
        centre, target, frames.to_2009c(target)[0], float(depth[tuple(at)]), _others(points, edge, centre, generator)
    )


def _searchable(head: Head, frames: HeadFrames, search: SearchMask) -> tuple[NDArray[np.int64], Array, Array]:
    """Return the grey-matter voxels in the search mask: indices, points (RAS mm), distance to the mask's edge (mm)."""
    indices = np.argwhere(head.grey > GREY)
    points = apply_affine(head.grid.affine_ras_mm, indices)
    centres = frames.of_nlin6(np.array([sphere.centre_mni_mm for sphere in search.spheres]))
    near = np.linalg.norm(points[:, np.newaxis] - centres, axis=2).min(axis=1) < 35.0
    indices, points = indices[near], points[near]
    edge = search.edge_distance(frames.to_nlin6(points))
    keep = edge > 0
    return indices[keep], points[keep], edge[keep]


def target_of(head: Head, centre_ras_mm: Array) -> Array:
    """Return the coupling-weighted centre of gravity of the bump over grey matter, snapped to grey matter (RAS mm)."""
    indices = np.argwhere(head.grey > GREY)
    points = apply_affine(head.grid.affine_ras_mm, indices)
    squared = np.sum((points - centre_ras_mm) ** 2, axis=1)
    near = squared < _REACH_MM**2
    weights = np.exp(-squared[near] / (2 * _SIGMA**2)) * head.grey[tuple(indices[near].T)]
    gravity = weights @ points[near] / weights.sum()
    return points[near][np.argmin(np.sum((points[near] - gravity) ** 2, axis=1))]


def _others(points: Array, edge: Array, centre: Array, generator: np.random.Generator) -> tuple[Patch, ...]:
    """Draw a weak rival and two patches of the other sign, as far from the hot spot as the mask allows."""
    chosen = [centre]
    patches: list[Patch] = []
    for coupling in (-0.6, -0.5, 0.35):
        distances = np.linalg.norm(points[:, np.newaxis] - np.array(chosen), axis=2)
        away = (distances[:, 0] > 24.0) & (distances.min(axis=1) > 16.0) & (edge > 4.0)
        if not away.any():
            continue
        place = points[away][generator.integers(int(away.sum()))]
        chosen.append(place)
        patches.append(Patch(place, coupling, 14.0))
    return tuple(patches)
