"""A head whose brain mask and place in the template are known: the MNI152NLin6Asym template, moved and stored otherwise.

It is as real as a head at 2 mm that may be shipped can be, and the transform to MNI152NLin2009cAsym comes from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

from tmsprep import templates
from tmsprep.files import load_nifti, read_data, save_nifti
from tmsprep.spaces import apply_affine


@dataclass(frozen=True)
class MovedHead:
    """The template after a rigid motion of its points, `motion` (4 x 4, RAS mm)."""

    data: np.ndarray
    mask: np.ndarray
    affine_ras_mm: np.ndarray
    motion: np.ndarray

    def brain_ras_mm(self, step: int = 1) -> np.ndarray:
        """Points in the brain, in the moved head."""
        return apply_affine(self.affine_ras_mm, np.argwhere(self.mask)[::step])

    def save(self, path: Path, order: str = "RAS") -> Path:
        """Write the head with its voxels stored in this order."""
        change = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(order))
        data = nib.orientations.apply_orientation(self.data, change)
        affine = self.affine_ras_mm @ nib.orientations.inv_ornt_aff(change, self.data.shape)
        save_nifti(path, data.astype(np.int16), affine, xform_code=1)
        return path


def moved_head(angles_deg: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> MovedHead:
    """Turn the head about x, y, z and shift it."""
    template = templates.load(templates.NLIN6)
    image, mask = load_nifti(template.head), load_nifti(template.brain_mask)
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    motion[:3, 3] = shift_mm
    affine = motion @ np.asarray(image.affine)
    return MovedHead(read_data(image) * 4, read_data(mask) > 0.5, affine, motion)


def dice(one: np.ndarray, two: np.ndarray) -> float:
    """Overlap of two masks."""
    return float(2 * (one & two).sum() / (one.sum() + two.sum()))
