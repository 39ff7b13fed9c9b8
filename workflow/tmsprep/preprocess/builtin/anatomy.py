"""Stage ``anatomy``: one T1w becomes a bias-corrected T1w, a brain mask and three tissue probabilities.

World coordinates never change: axes are reordered without interpolation. Only a sheared grid, which neither ITK nor the
NIfTI qform can express, is resampled.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tmsprep import templates
from tmsprep.errors import ExternalProgramError, InputError
from tmsprep.files import load_nifti, read_data, save_nifti
from tmsprep.preprocess.builtin import brainmask, tissue
from tmsprep.preprocess.builtin.head import Array, Head, Mask, Volume
from tmsprep.preprocess.builtin.morphology import bounding_box
from tmsprep.spaces import Grid, closest_canonical, is_sheared, resample, voxel_sizes
from tmsprep.stages import InFile, OutFile, SidecarFields

TOP_PERCENTILE, TOP_VALUE = 99.9, 4095.0
"""The corrected T1w is stored as 16-bit integers, this percentile at this value."""
PROBABILITY_STEP = 1 / 256


def prepare_anatomy(
    *,
    t1w: InFile,
    out_t1w: OutFile,
    out_brain_mask: OutFile,
    out_gm: OutFile,
    out_wm: OutFile,
    out_csf: OutFile,
    out_dseg: OutFile,
    seed: int = 42,
) -> SidecarFields:
    """Correct the bias field of a T1w, find the brain, and divide it into tissues.

    Parameters
    ----------
    t1w
        Whole head of an adult, 3D, any orientation.
    out_t1w
        Bias-corrected, axes closest to R, A, S.
    out_brain_mask
        1 in the brain.
    out_gm, out_wm, out_csf
        Probabilities; their sum is 1 in the brain mask and 0 outside.
    out_dseg
        0 background, 1 grey matter, 2 white matter, 3 cerebrospinal fluid.
    seed
        Of the registration's random sampling.

    Raises
    ------
    InputError
        The image is not 3D, empty, or not finite.
    ProcessingError
        The head does not register, or brain or tissues are not those of an adult's T1w.
    """
    raw, code = _read(t1w)
    head = correct_bias(raw)
    mask = brainmask.extract_brain(head, templates.load(templates.NLIN2009C), seed=seed)
    tissues = _segment(head, mask)
    affine = head.affine_ras_mm
    save_nifti(out_t1w, np.rint(head.data).astype(np.int16), affine, xform_code=code)
    save_nifti(out_brain_mask, mask, affine, xform_code=code)
    for path, volume in ((out_gm, tissues.grey), (out_wm, tissues.white), (out_csf, tissues.fluid)):
        save_nifti(path, volume, affine, xform_code=code)
    save_nifti(out_dseg, tissues.labels(), affine, xform_code=code)
    return _fields(t1w, mask, tissues, affine)


def _read(path: Path) -> tuple[Head, int]:
    """Return the image with axes closest to R, A, S, right-angled, and its xform code."""
    image = load_nifti(path)
    data = read_data(image)
    data = data[..., 0] if data.ndim == 4 and data.shape[3] == 1 else data
    if data.ndim != 3:
        raise InputError(f"the T1w has {data.ndim} dimensions", where=path, expected="3")
    if not np.isfinite(data).all() or not np.ptp(data) > 0:
        raise InputError("the T1w is constant or holds values that are no numbers", where=path)
    code = int(image.header["sform_code"]) or int(image.header["qform_code"]) or 1
    data, affine = closest_canonical(data, np.asarray(image.affine, dtype=np.float64))
    head = Head(np.asarray(data, dtype=np.float32), affine)
    return (right_angled(head) if is_sheared(affine) else head), code


def right_angled(head: Head) -> Head:
    """Resample a sheared image onto the closest right-angled grid that covers it, same voxel edges (cubic)."""
    zooms = voxel_sizes(head.affine_ras_mm)
    left, _, right = np.linalg.svd(head.affine_ras_mm[:3, :3] / zooms)
    directions = left @ right
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in head.data.shape])).reshape(3, -1)
    along = directions.T @ (head.affine_ras_mm[:3, :3] @ corners + head.affine_ras_mm[:3, 3:])
    first = along.min(axis=1)
    x, y, z = (np.ceil((along.max(axis=1) - first) / zooms - 1e-6) + 1).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = directions * zooms
    affine[:3, 3] = directions @ first
    resampled = resample(head.data, head.affine_ras_mm, Grid((int(x), int(y), int(z)), affine))
    return Head(np.clip(resampled, head.data.min(), head.data.max()), affine)


def correct_bias(head: Head) -> Head:
    """Return the head without its bias field, scaled to `TOP_VALUE`.

    Raises
    ------
    ExternalProgramError
        niimath failed.
    """
    from tmsprep.interfaces.niimath import N4

    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.nii", Path(folder) / "after.nii"
        save_nifti(before, head.data, head.affine_ras_mm, xform_code=1)
        try:
            N4(in_file=str(before), out_file=str(after), environ={"FSLOUTPUTTYPE": "NIFTI"}).run(cwd=folder)
        except (RuntimeError, OSError) as error:
            raise ExternalProgramError(
                f"niimath's bias-field correction failed ({error})", action="look at the T1w; is there memory and space?"
            ) from error
        data = read_data(load_nifti(after))
    data = np.maximum(data, 0.0)
    scale = TOP_VALUE / float(np.percentile(data[data > 0], TOP_PERCENTILE))
    return Head(np.clip(data * scale, 0.0, np.iinfo(np.int16).max).astype(np.float32), head.affine_ras_mm)


def _segment(head: Head, mask: Mask) -> tissue.Tissues:
    box = bounding_box(mask, voxel_sizes(head.affine_ras_mm), margin_mm=2.0)
    data, inside = head.data[box], mask[box]
    zooms = voxel_sizes(head.affine_ras_mm)
    found = tissue.segment(data, inside, zooms, brainmask.tissue_means(data[inside]))
    grey, white = _stepped(found.grey), _stepped(found.white)
    white = np.minimum(white, 1 - grey)
    parts = (grey, white, np.where(inside, 1 - grey - white, 0))
    whole = [np.zeros(mask.shape, dtype=np.float32) for _ in parts]
    for volume, part in zip(whole, parts, strict=True):
        volume[box] = part
    return tissue.Tissues(*whole)


def _stepped(probability: Volume) -> Volume:
    """Round to steps that 32-bit floats add exactly, and that compress."""
    return np.rint(probability / PROBABILITY_STEP) * np.float32(PROBABILITY_STEP)


def _fields(t1w: Path, mask: Mask, tissues: tissue.Tissues, affine: Array) -> SidecarFields:
    millilitres = float(np.abs(np.linalg.det(affine[:3, :3]))) * 1e-3
    sheared = is_sheared(np.asarray(load_nifti(t1w).affine))
    volume = {"VolumeMillilitres": round(float(mask.sum()) * millilitres, 1)}
    probabilities = {
        name: {"VolumeMillilitres": round(float(part.sum()) * millilitres, 1)}
        for name, part in (("out_gm", tissues.grey), ("out_wm", tissues.white), ("out_csf", tissues.fluid))
    }
    return {
        "out_t1w": {
            "SkullStripped": False,
            "BiasFieldCorrection": "N4 (niimath)",
            "ResampledToRightAngles": sheared,
        },
        "out_brain_mask": {"Type": "Brain"} | volume,
        "out_dseg": {"LabelMap": {"0": "background", "1": "GM", "2": "WM", "3": "CSF"}},
        **probabilities,
    }
