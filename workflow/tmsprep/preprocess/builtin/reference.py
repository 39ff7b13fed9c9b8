"""Stage bold-reference: which volumes are not in a steady state, the BOLD reference, and head motion.

For multi-echo data this is asked about the first echo alone; it holds for all echoes, which are acquired together.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tmsprep.errors import ConfigurationError
from tmsprep.files import read_data, save_nifti, write_json
from tmsprep.preprocess.builtin.motion import estimate_motion, framewise_displacement, parameters
from tmsprep.preprocess.builtin.series import SCANNER, Volume, load_series, sample, voxel_indices
from tmsprep.sidecars import Sidecar
from tmsprep.spaces import Array, apply_affine, save_itk_affines
from tmsprep.stages import InFile, OutFile, SidecarFields

_INSPECTED_VOLUMES = 50
_REFERENCE_VOLUMES = 32
_OUTLIER_Z = 3.5
_MAD_TO_SD = 0.6745


def estimate_reference_and_motion(
    *,
    bold: InFile,
    sidecar: list[InFile],
    out_reference: OutFile,
    out_motion: OutFile,
    out_summary: OutFile,
    dummy_scans: int | None = None,
) -> SidecarFields:
    """Make the BOLD reference of a run and estimate the motion of each volume against it.

    Parameters
    ----------
    bold
        The raw series (of multi-echo data the first echo).
    sidecar
        Its JSON files as BIDS inherits them, least specific first.
    out_reference
        Mean of realigned, undisturbed steady-state volumes, on the grid of `bold`.
    out_motion
        ``from-orig_to-boldref``: ITK text file with one affine for each volume.
    out_summary
        JSON: volumes, non-steady-state volumes, volumes in the reference, motion.
    dummy_scans
        Number of leading volumes to treat as not steady; detected if absent.
    """
    image = load_series(bold)
    affine = np.asarray(image.affine, dtype=np.float64)
    repetition_s = Sidecar.merge(sidecar).repetition_time_s()
    data = read_data(image)
    dummies = _dummies(data, dummy_scans, bold)
    chosen = _spread(dummies, data.shape[3])
    reference, used = _reference(data[..., chosen], affine)
    del data
    save_nifti(out_reference, reference, affine, xform_code=SCANNER)
    matrices = estimate_motion(bold, out_reference)
    save_itk_affines(out_motion, matrices)
    centre = apply_affine(affine, (np.asarray(image.shape[:3]) - 1) / 2)
    displacement = framewise_displacement(parameters(matrices, centre))[dummies + 1 :]
    summary = {
        "n_volumes": len(matrices),
        "n_non_steady_state": dummies,
        "non_steady_state_source": "detected" if dummy_scans is None else "user",
        "repetition_time_s": repetition_s,
        "reference_volumes": [int(index) for index in np.asarray(chosen)[used]],
        "mean_fd_mm": round(float(np.mean(displacement)), 6) if displacement.size else None,
        "max_fd_mm": round(float(np.max(displacement)), 6) if displacement.size else None,
    }
    write_json(out_summary, summary)
    return {
        "out_reference": {"SkullStripped": False, "ReferenceVolumes": summary["reference_volumes"]},
        "out_motion": {"Frame": "each affine maps points of the reference to points of one volume", "Units": "mm"},
    }


def _dummies(data: Volume, asked: int | None, where: Path) -> int:
    volumes = data.shape[3]
    if asked is None:
        return min(count_non_steady_state(data), volumes - 2)
    if not 0 <= asked <= volumes - 2:
        raise ConfigurationError(f"{asked} dummy scans of {volumes} volumes", where=where, expected=f"0 to {volumes - 2}")
    return asked


def count_non_steady_state(data: Volume) -> int:
    """Count the leading volumes whose mean signal stands out from the first 50 (modified z-score above 3.5).

    Source: Iglewicz and Hoaglin (1993), How to detect and handle outliers.
    """
    means = data[..., :_INSPECTED_VOLUMES].mean(axis=(0, 1, 2), dtype=np.float64)
    steady = _modified_z(means) <= _OUTLIER_Z
    return int(np.argmax(steady)) if steady.any() else 0


def _modified_z(values: NDArray[np.float64]) -> NDArray[np.float64]:
    distance = np.abs(values - np.median(values))
    typical = np.median(distance)
    return _MAD_TO_SD * distance / typical if typical > 0 else np.zeros_like(distance)


def _spread(first: int, volumes: int) -> list[int]:
    """Return up to 32 volumes, evenly spread over the steady part of the run."""
    count = min(_REFERENCE_VOLUMES, volumes - first)
    return [int(index) for index in np.linspace(first, volumes - 1, count).round()]


def _reference(subset: Volume, affine_ras_mm: Array) -> tuple[Volume, NDArray[np.bool_]]:
    """Average realigned volumes, leaving out those far from the median; also say which were used.

    The middle volume gives the position: its head is nearest in time to all the others.
    """
    middle = subset.shape[3] // 2
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "subset.nii"
        save_nifti(path, subset, affine_ras_mm, xform_code=SCANNER)
        matrices = estimate_motion(path, middle)
    aligned = np.empty_like(subset)
    voxels = voxel_indices(subset.shape)
    for index, matrix in enumerate(matrices):
        pull = np.linalg.inv(affine_ras_mm) @ matrix @ affine_ras_mm
        aligned[..., index] = sample(subset[..., index], apply_affine(pull, voxels.T).T).reshape(subset.shape[:3])
    deviation = np.abs(aligned - np.median(aligned, axis=3, keepdims=True)).mean(axis=(0, 1, 2), dtype=np.float64)
    used = (_modified_z(deviation) <= _OUTLIER_Z) | (deviation <= np.median(deviation))
    return np.clip(aligned[..., used].mean(axis=3), 0, None), used
