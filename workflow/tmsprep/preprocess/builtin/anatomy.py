"""Stage ``anatomy``: bias field, brain mask and tissue probabilities of a T1w."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tmsprep.errors import InputError
from tmsprep.files import load_nifti, read_data, save_nifti
from tmsprep.interfaces.niimath import N4
from tmsprep.preprocess.builtin.affine import Head
from tmsprep.preprocess.builtin.brainmask import extract_brain
from tmsprep.preprocess.builtin.tissue import segment
from tmsprep.spaces import Grid, apply_affine, closest_canonical, is_sheared, resample, voxel_sizes
from tmsprep.stages import InFile, OutFile, SidecarFields
from tmsprep.templates import NLIN2009C, load

Array = NDArray[np.float64]

_SCANNER = 1


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
    """Correct the bias field, find the brain, and tell its tissues apart.

    Parameters
    ----------
    t1w
        A whole, undefaced head; any storage order, oblique or sheared.
    out_t1w
        Corrected T1w: axes closest to R, A, S, right-angled voxels, the same place in scanner space.
    out_brain_mask
        The brain, on that grid.
    out_gm
        Probability of grey matter.
    out_wm
        Probability of white matter.
    out_csf
        Probability of cerebrospinal fluid.
    out_dseg
        The likeliest tissue: 1 grey, 2 white matter, 3 fluid.
    seed
        Of the registration's random sampling.

    Raises
    ------
    InputError
        The image is not three-dimensional.
    ProcessingError
        Nothing resembles an adult head, or the brain or its tissues are implausible.
    """
    original, sheared = conform(t1w)
    head = correct_bias(original)
    brain = extract_brain(head, load(NLIN2009C), seed=seed)
    tissues = segment(head.data, head.affine_ras_mm, brain)
    outputs = (
        (out_t1w, head.data),
        (out_brain_mask, brain),
        (out_gm, tissues.gm),
        (out_wm, tissues.wm),
        (out_csf, tissues.csf),
        (out_dseg, tissues.labels()),
    )
    for path, data in outputs:
        save_nifti(path, data, head.affine_ras_mm, xform_code=_SCANNER)
    litres = float(brain.sum() * np.prod(voxel_sizes(head.affine_ras_mm)) * 1e-6)
    return {
        "out_t1w": {"SkullStripped": False, "BiasFieldCorrection": "N4 (niimath)", "ResampledFromShearedGrid": sheared},
        "out_brain_mask": {"Type": "Brain", "VolumeLitres": round(litres, 4), "RawSources": []},
        "out_dseg": {"LabelMap": {"1": "GM", "2": "WM", "3": "CSF"}},
    }


def conform(path: Path) -> tuple[Head, bool]:
    """Read a T1w with axes closest to R, A, S and right-angled voxels; tell whether it had to be resampled for that.

    Raises
    ------
    InputError
        The image is not three-dimensional.
    """
    image = load_nifti(path)
    data = read_data(image)
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim != 3:
        raise InputError(f"the T1w has {data.ndim} dimensions", where=path, expected="three")
    data, affine = closest_canonical(data, np.asarray(image.affine, dtype=np.float64))
    data = np.ascontiguousarray(data)
    if not is_sheared(affine):
        return Head(data, affine), False
    grid = right_angled(Grid((data.shape[0], data.shape[1], data.shape[2]), affine))
    return Head(np.maximum(resample(data, affine, grid), 0), grid.affine_ras_mm), True


def right_angled(grid: Grid) -> Grid:
    """Return a grid with right-angled voxels of the same edges that covers a sheared one.

    Its axes are the rotation closest to the sheared axes (polar decomposition).
    """
    zooms = voxel_sizes(grid.affine_ras_mm)
    left, _, right = np.linalg.svd(grid.affine_ras_mm[:3, :3] / zooms)
    affine = np.eye(4)
    affine[:3, :3] = (left @ right) * zooms
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in grid.shape], indexing="ij")).reshape(3, -1).T
    voxels = apply_affine(np.linalg.inv(affine), apply_affine(grid.affine_ras_mm, corners))
    low = np.floor(voxels.min(axis=0))
    sizes = (np.ceil(voxels.max(axis=0)) - low + 1).astype(int)
    affine[:3, 3] = apply_affine(affine, low)
    return Grid((int(sizes[0]), int(sizes[1]), int(sizes[2])), affine)


def correct_bias(head: Head) -> Head:
    """Return the head without its slow brightness changes."""
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "t1w.nii.gz", Path(folder) / "corrected.nii.gz"
        save_nifti(source, head.data, head.affine_ras_mm, xform_code=_SCANNER)
        N4(in_file=str(source), out_file=str(result), terminal_output="allatonce").run()
        corrected = read_data(load_nifti(result))
    return Head(np.maximum(np.nan_to_num(corrected), 0), head.affine_ras_mm)
