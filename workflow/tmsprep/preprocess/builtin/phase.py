"""Field maps from phase images: scaled to radians, unwrapped, turned into Hz, made whole."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.errors import ExternalProgramError, ProcessingError
from tmsprep.files import save_nifti
from tmsprep.preprocess.builtin.series import SCANNER, Volume
from tmsprep.spaces import Array, voxel_sizes

_TURN = 2 * np.pi
_RADIAN_SLACK = 0.05
_SMOOTHING_MM = 2.0
_FILLING_MM = (4.0, 8.0, 16.0, 32.0, 64.0)
_ENOUGH_WEIGHT = 0.05


def in_radians(phase: Volume, units: object) -> Volume:
    """Scale a phase image to radians from -pi to pi.

    Images not said to be in radians span one turn from their lowest to their highest value (4096 steps on some scanners,
    8192 or milliradians on others), with 0 in the middle.
    """
    low, high = float(phase.min()), float(phase.max())
    looks_like_radians = high - low <= _TURN * (1 + _RADIAN_SLACK) and not _is_integer(phase)
    if units == "rad" or looks_like_radians:
        return wrapped(phase)
    if high <= low:
        raise ProcessingError("the phase image is constant")
    return ((phase - low) / (high - low) * _TURN - np.pi).astype(np.float32)


def _is_integer(phase: Volume) -> bool:
    return bool(np.all(phase == np.round(phase)))


def wrapped(phase: Volume) -> Volume:
    """Return radians brought into -pi to pi."""
    return (np.mod(phase + np.pi, _TURN) - np.pi).astype(np.float32)


def head_mask(magnitude: Volume) -> NDArray[np.bool_]:
    """Return where a magnitude image has signal: one piece, without holes."""
    from skimage.filters import threshold_otsu

    smooth = np.asarray(ndimage.gaussian_filter(magnitude, 1.0))
    mask = smooth > 0.5 * threshold_otsu(smooth)
    opened = np.asarray(ndimage.binary_opening(mask, iterations=2))
    if not opened.any():
        raise ProcessingError("the magnitude image of the field map shows no head")
    labels = np.empty(mask.shape, dtype=np.int32)
    ndimage.label(opened, output=labels)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest = np.asarray(ndimage.binary_dilation(labels == sizes.argmax(), iterations=1)) & mask
    return np.asarray(ndimage.binary_fill_holes(largest))


def unwrap(phase_rad: Volume, magnitude: Volume, mask: NDArray[np.bool_], affine_ras_mm: Array) -> Volume:
    """Unwrap a phase image by niimath's ROMEO; the turn that makes the middle of the head nearest to 0 is chosen.

    Raises
    ------
    ExternalProgramError
        niimath failed.
    """
    from tmsprep.interfaces.niimath_bold import UnwrapPhase

    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.nii" for name in ("phase", "magnitude", "mask", "unwrapped")}
        for name, volume in (("phase", phase_rad), ("magnitude", magnitude), ("mask", mask)):
            save_nifti(paths[name], volume, affine_ras_mm, xform_code=SCANNER)
        unwrapping = UnwrapPhase()
        for name, path in paths.items():
            setattr(unwrapping.inputs, name, path)
        unwrapping.inputs.environ = {"FSLOUTPUTTYPE": "NIFTI"}
        try:
            unwrapping.run(cwd=folder)
        except OSError as error:
            raise ExternalProgramError(f"niimath -romeo failed: {error}") from error
        unwrapped = np.asarray(nib.load(paths["unwrapped"]).dataobj, dtype=np.float32)
    middle = np.asarray(ndimage.binary_erosion(mask, iterations=3), dtype=bool)
    turns = np.round(np.median(unwrapped[middle if middle.any() else mask]) / _TURN)
    return unwrapped - np.float32(turns * _TURN)


def made_whole(field: Volume, weight: Volume, affine_ras_mm: Array) -> Volume:
    """Smooth a field where it was measured (2 mm), and continue it beyond by ever wider averages.

    Parameters
    ----------
    field
        (x, y, z).
    weight
        How far to trust each voxel; 0 where nothing was measured.
    affine_ras_mm
        Of both.
    """
    sizes = voxel_sizes(affine_ras_mm)
    whole = np.zeros_like(field)
    open_ = np.ones(field.shape, dtype=bool)
    for width_mm in (_SMOOTHING_MM, *_FILLING_MM):
        total = np.asarray(ndimage.gaussian_filter(weight, width_mm / sizes))
        average = np.asarray(ndimage.gaussian_filter(weight * field, width_mm / sizes)) / np.maximum(total, 1e-12)
        reached = open_ & (total > _ENOUGH_WEIGHT * weight.max())
        whole[reached] = average[reached]
        open_ &= ~reached
    if open_.any() and not open_.all():
        nearest = ndimage.distance_transform_edt(open_, sampling=sizes, return_distances=False, return_indices=True)
        whole = whole[tuple(np.asarray(nearest))]
    return whole
