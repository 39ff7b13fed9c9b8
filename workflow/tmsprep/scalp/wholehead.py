"""Recognising a T1w image that shows no whole head: skull-stripped, or with the face removed.

Fiducials found on such an image lie on a cut, and everything measured from them is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.errors import InputError
from tmsprep.files import load_nifti, read_data
from tmsprep.scalp.headmask import Head, find_head
from tmsprep.spaces import Array, apply_affine, voxel_sizes
from tmsprep.templates import NLIN2009C
from tmsprep.templates import load as load_template

MIN_HEAD_LITRES = 2.3
"""Whole heads measure 3.2 to 5.0 litres with the neck that a scan shows, stripped ones 1.1 to 1.8."""
MIN_FACE_TISSUE = 0.52
"""Fraction of the face with tissue: 0.61 to 0.90 in whole heads, below 0.45 where the face was removed."""
MAX_FACE_ZEROS = 0.25
"""Fraction of the face that is exactly 0: below 0.05 in whole heads, above 0.5 where it was removed."""

_FACE_DEPTH_MM = 15.0
_TISSUE_OF_BRAIN = 0.2
_EVERY_BRAIN_VOXEL = 7


@dataclass(frozen=True)
class FaceEvidence:
    """How much of the face an image shows, as fractions of the face's outer 15 mm."""

    tissue: float
    zeros: float


def require_skull(head: Head) -> None:
    """Refuse a skull-stripped image. Ask this before any registration is trusted: a stripped brain misleads it.

    Raises
    ------
    InputError
        The head is too small to have a scalp.
    """
    if head.volume_litres < MIN_HEAD_LITRES:
        raise InputError(
            f"the T1w image is skull-stripped: what it shows measures {head.volume_litres:.1f} litres",
            expected=f"a whole head with scalp, above {MIN_HEAD_LITRES} litres",
            action="give the T1w image as it came from the scanner",
        )


def require_face(t1w: NDArray[np.float32], affine_ras_mm: Array, mni_to_t1w_ras_mm: Array) -> FaceEvidence:
    """Refuse a defaced image.

    Parameters
    ----------
    t1w
        (x, y, z).
    affine_ras_mm
        Of `t1w`.
    mni_to_t1w_ras_mm
        4 x 4, maps points of MNI152NLin2009cAsym to the T1w.

    Returns
    -------
    FaceEvidence
        For the record.

    Raises
    ------
    InputError
        The face is missing.
    """
    evidence = face_evidence(t1w, affine_ras_mm, mni_to_t1w_ras_mm)
    if evidence.tissue < MIN_FACE_TISSUE or evidence.zeros > MAX_FACE_ZEROS:
        raise InputError(
            f"the T1w image is defaced: {evidence.tissue:.0%} of the face shows tissue, "
            f"{evidence.zeros:.0%} is exactly zero",
            expected=f"a whole head: at least {MIN_FACE_TISSUE:.0%} tissue, at most {MAX_FACE_ZEROS:.0%} zeros",
            action="give the T1w image as it was before defacing: the nasion cannot be found on a cut",
        )
    return evidence


def face_evidence(t1w: NDArray[np.float32], affine_ras_mm: Array, mni_to_t1w_ras_mm: Array) -> FaceEvidence:
    """Look at the face of a T1w image where the template has it; parts outside the field of view do not count."""
    brain_mni_mm, face_mni_mm = _template_points()
    to_voxels = np.linalg.inv(affine_ras_mm) @ mni_to_t1w_ras_mm
    brain = ndimage.map_coordinates(t1w, apply_affine(to_voxels, brain_mni_mm).T, order=1)
    voxels = np.rint(apply_affine(to_voxels, face_mni_mm)).astype(int)
    seen = t1w[tuple(voxels[np.all((voxels >= 0) & (voxels < t1w.shape), axis=1)].T)]
    if seen.size < len(voxels) / 4:
        raise InputError(
            "the T1w image does not show the face: it lies outside the field of view",
            expected="a scan from the vertex to below the nose",
            action="give a T1w image of the whole head",
        )
    return FaceEvidence(float(np.mean(seen > _TISSUE_OF_BRAIN * np.median(brain))), float(np.mean(seen == 0)))


@cache
def _template_points() -> tuple[Array, Array]:
    """Return points of the template's brain and of the outer 15 mm of its face, (n, 3) MNI mm."""
    template = load_template(NLIN2009C)
    mask = load_nifti(template.brain_mask)
    brain = apply_affine(np.asarray(mask.affine), np.argwhere(read_data(mask) > 0)[::_EVERY_BRAIN_VOXEL])
    image = load_nifti(template.head)
    head = find_head(read_data(image), np.asarray(image.affine, dtype=np.float64))
    zooms = voxel_sizes(head.grid.affine_ras_mm)
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(head.mask, 1), sampling=zooms))[1:-1, 1:-1, 1:-1]
    points = head.grid.points_ras_mm()
    _, y, z = points.T
    face = (head.mask & (depth <= _FACE_DEPTH_MM)).ravel() & (y > 25) & (z > -70) & (z < -25)
    return brain, points[face]
