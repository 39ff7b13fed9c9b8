"""Head motion: estimated by niimath, expressed as matrices in space and as six parameters.

A motion matrix is 4 x 4 in RAS+ mm and maps where a piece of tissue is in the reference to where it is in one volume:
the motion of the head, and at once the pull matrix of ``from-orig_to-boldref``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tmsprep.errors import ExternalProgramError
from tmsprep.spaces import Array, apply_affine, voxel_sizes

FD_RADIUS_MM = 50.0
"""Of the sphere on which rotations become mm (Power et al. 2012, doi:10.1016/j.neuroimage.2011.10.018)."""
RMSD_RADIUS_MM = 80.0
"""Of the sphere over which displacement is averaged (Jenkinson 1999, FMRIB report TR99MJ1)."""


def estimate_motion(bold: Path, reference: Path | int) -> list[Array]:
    """Align every volume of a series rigidly to a reference, by niimath.

    Parameters
    ----------
    bold
        4D NIfTI.
    reference
        A 3D image on the same grid, or the index of a volume.

    Returns
    -------
    list[Array]
        A motion matrix for each volume.

    Raises
    ------
    ExternalProgramError
        niimath failed, or wrote something else than a row of six finite numbers for each volume.
    """
    from tmsprep.interfaces.niimath_bold import EstimateMotion

    image = nib.load(bold)
    with tempfile.TemporaryDirectory() as folder:
        rows_path = Path(folder) / "motion.1D"
        # niimath runs in the temporary folder, where relative paths mean nothing
        motion = EstimateMotion(bold=bold.resolve(), parameters=rows_path)
        if isinstance(reference, int):
            motion.inputs.reference_volume = reference
        else:
            motion.inputs.reference_image = reference.resolve()
        try:
            motion.run(cwd=folder)
        except OSError as error:
            raise ExternalProgramError(f"niimath -moco failed: {error}", where=bold) from error
        rows = np.loadtxt(rows_path, ndmin=2)
    if rows.shape != (image.shape[3], 6) or not np.isfinite(rows).all():
        raise ExternalProgramError(
            f"niimath -moco wrote an array of shape {rows.shape}", where=bold, expected=f"({image.shape[3]}, 6), finite"
        )
    return matrices_from_1d(rows, image.shape[:3], np.asarray(image.affine, dtype=np.float64))


def matrices_from_1d(rows: NDArray[np.float64], shape: Sequence[int], affine_ras_mm: Array) -> list[Array]:
    """Turn 3dvolreg-style rows (roll, pitch, yaw in degrees; dS, dL, dP in mm) into motion matrices.

    The axes are the voxel axes of the image named for the anatomical axis that each runs closest to; the rotation is
    roll (about I-S), then pitch (R-L), then yaw (A-P), about the centre of the grid; the shift follows it; the whole
    maps a volume to the reference. Found by applying known motion to images in four orientations; tests/preprocess/
    test_motion.py repeats that.
    """
    frame = _scanner_like_frame(shape, affine_ras_mm)
    to_world = affine_ras_mm @ np.linalg.inv(frame)
    matrices: list[Array] = []
    for roll, pitch, yaw, superior, left, posterior in rows:
        onto_reference = np.eye(4)
        # intrinsic axes in upper case: R = R_P(yaw) R_L(pitch) R_S(roll), axes L, P, S being x, y, z
        onto_reference[:3, :3] = Rotation.from_euler("YXZ", [yaw, pitch, roll], degrees=True).as_matrix()
        onto_reference[:3, 3] = left, posterior, superior
        matrices.append(to_world @ np.linalg.inv(onto_reference) @ np.linalg.inv(to_world))
    return matrices


def _scanner_like_frame(shape: Sequence[int], affine_ras_mm: Array) -> Array:
    """Return the 4 x 4 from voxel indices to mm along the voxel axes nearest L, P, S, zero at the grid's centre."""
    sizes = voxel_sizes(affine_ras_mm)
    orientation = nib.orientations.io_orientation(affine_ras_mm)
    towards_lps = np.array([-1.0, -1.0, 1.0])
    frame = np.zeros((4, 4))
    frame[3, 3] = 1.0
    for voxel_axis, (world_axis, sign) in enumerate(orientation):
        row = int(world_axis)
        frame[row, voxel_axis] = sign * sizes[voxel_axis] * towards_lps[row]
    frame[:3, 3] = -frame[:3, :3] @ ((np.asarray(shape, dtype=np.float64) - 1) / 2)
    return frame


def parameters(matrices: Sequence[Array], centre_ras_mm: Array) -> NDArray[np.float64]:
    """Return (volumes, 6): how the head moved, trans_x, trans_y, trans_z in mm, rot_x, rot_y, rot_z in radians.

    Translations are the displacement of `centre_ras_mm`, positive towards right, anterior, superior. The rotation about
    that point is Rx Ry Rz, right-handed about the R, A and S axes.
    """
    rows = np.zeros((len(matrices), 6))
    for row, matrix in zip(rows, matrices, strict=True):
        row[:3] = apply_affine(matrix, centre_ras_mm) - centre_ras_mm
        row[3:] = Rotation.from_matrix(matrix[:3, :3]).as_euler("XYZ")
    return rows


def framewise_displacement(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Power's FD in mm for each volume, NaN for the first: sum of |d trans| and 50 mm |d rot|.

    Source: doi:10.1016/j.neuroimage.2011.10.018.
    """
    steps = np.abs(np.diff(rows, axis=0)) * ([1.0] * 3 + [FD_RADIUS_MM] * 3)
    return np.concatenate([[np.nan], steps.sum(axis=1)])


def rms_displacement(matrices: Sequence[Array], centre_ras_mm: Array) -> NDArray[np.float64]:
    """Return the RMS displacement in mm over a sphere of 80 mm between successive volumes, NaN for the first.

    Source: M. Jenkinson, Measuring transformation error by RMS deviation, FMRIB technical report TR99MJ1.
    """
    values = [np.nan]
    for before, after in pairwise(matrices):
        change = after @ np.linalg.inv(before) - np.eye(4)
        shift = change[:3, :3] @ centre_ras_mm + change[:3, 3]
        values.append(float(np.sqrt(RMSD_RADIUS_MM**2 / 5 * np.sum(change[:3, :3] ** 2) + shift @ shift)))
    return np.asarray(values)
