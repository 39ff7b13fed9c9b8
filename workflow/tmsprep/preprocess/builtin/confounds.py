"""Stage confounds: what may disturb the BOLD signal, a column each, under fMRIPrep's names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.errors import InputError, ProcessingError
from tmsprep.files import load_nifti, read_data, read_json, write_tsv
from tmsprep.preprocess.builtin.motion import framewise_displacement, parameters, rms_displacement
from tmsprep.preprocess.builtin.series import Volume, load_series
from tmsprep.spaces import Array, Grid, Transform, apply_affine, load_itk_affines, resample, voxel_sizes
from tmsprep.stages import InFile, OutFile, SidecarFields

MOTION_COLUMNS = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
FD_SPIKE_MM = 0.5
DVARS_SPIKE = 1.5
HIGH_PASS_S = 128.0
_TISSUE_PROBABILITIES = (0.95, 0.8, 0.6)
"""The first that leaves enough voxels is taken, and told in the sidecar."""
_FEWEST_VOXELS = 10
_HALF = 0.5
_INTENSITY_NORM = 1000.0
_IQR_TO_SD = 1.349

Series = NDArray[np.float64]


def compute_confounds(
    *,
    bold: InFile,
    mask: InFile,
    boldref_to_t1w: InFile,
    gm: InFile,
    wm: InFile,
    csf: InFile,
    motion: InFile,
    summary: InFile,
    out_confounds: OutFile,
) -> SidecarFields:
    """Write the confounds of a run.

    Parameters
    ----------
    bold
        Preprocessed series in the native grid (of multi-echo data the echo nearest to 30 ms).
    mask
        Brain mask on the same grid.
    boldref_to_t1w
        ``from-boldref_to-T1w``.
    gm, wm, csf
        Tissue probabilities in the T1w.
    motion
        ``from-orig_to-boldref``, one affine for each volume.
    summary
        JSON of stage bold-reference.
    out_confounds
        TSV with a row for each volume.
    """
    image = load_series(bold)
    grid = Grid.of(image)
    brain = read_data(load_nifti(mask)) > _HALF
    if brain.shape != grid.shape or not brain.any():
        found = f"shape {brain.shape}, {int(brain.sum())} voxels"
        raise InputError(found, where=mask, expected=f"{grid.shape}, not empty")
    content = read_json(summary)
    matrices = load_itk_affines(motion)
    if len(matrices) != image.shape[3]:
        raise InputError(f"{len(matrices)} affines for {image.shape[3]} volumes", where=motion)
    dummies = int(content["n_non_steady_state"])
    data = read_data(image)
    to_boldref = Transform.from_matrix(np.linalg.inv(Transform.load(boldref_to_t1w).affine_part()))
    tissues = _tissue_masks(grid, brain, to_boldref, gm=gm, wm=wm, csf=csf)
    table = pd.concat(
        [
            _signals(data, brain, tissues),
            _variation(data, brain),
            _motion(matrices, apply_affine(grid.affine_ras_mm, (np.asarray(grid.shape) - 1) / 2)),
            _cosines(data.shape[3], float(content["repetition_time_s"]), dummies),
        ],
        axis=1,
    )
    table = pd.concat([table, _outliers(table, dummies)], axis=1)
    write_tsv(out_confounds, table, decimals=8)
    return {"out_confounds": _descriptions(table, tissues)}


@dataclass(frozen=True)
class Tissues:
    """Masks on the BOLD grid from which tissue signals are averaged."""

    csf: NDArray[np.bool_]
    white_matter: NDArray[np.bool_]
    threshold: dict[str, float]
    """Least mean probability within a voxel, by column name."""


def _tissue_masks(grid: Grid, brain: NDArray[np.bool_], to_boldref: Transform, *, gm: Path, wm: Path, csf: Path) -> Tissues:
    """Return voxels that are all but wholly CSF, or white matter away from grey, after averaging over the BOLD voxel."""
    grey = _probability(gm, grid, to_boldref)
    masks: dict[str, NDArray[np.bool_]] = {}
    thresholds: dict[str, float] = {}
    for name, path in (("csf", csf), ("white_matter", wm)):
        pure = _probability(path, grid, to_boldref)
        for threshold in _TISSUE_PROBABILITIES:
            masks[name] = brain & (pure > threshold) & (grey < 1 - threshold)
            thresholds[name] = threshold
            if masks[name].sum() >= _FEWEST_VOXELS:
                break
        else:
            raise ProcessingError(
                f"fewer than {_FEWEST_VOXELS} voxels of pure {name.replace('_', ' ')} in the BOLD images", where=path
            )
    return Tissues(masks["csf"], masks["white_matter"], thresholds)


def _probability(path: Path, grid: Grid, to_boldref: Transform) -> Volume:
    """Return a tissue probability averaged over each BOLD voxel (by a Gaussian of the voxel's width)."""
    image = load_nifti(path)
    affine = np.asarray(image.affine, dtype=np.float64)
    width = voxel_sizes(grid.affine_ras_mm).max() / 2.355 / voxel_sizes(affine)
    smooth = np.asarray(ndimage.gaussian_filter(read_data(image), width), dtype=np.float32)
    return resample(smooth, affine, grid, to_boldref, order=1)


def _expanded(columns: dict[str, Series]) -> pd.DataFrame:
    """Return each column with its derivative and the squares of both, under fMRIPrep's suffixes."""
    table: dict[str, Series] = {}
    for name, values in columns.items():
        derivative = np.concatenate([[np.nan], np.diff(values)])
        table[name] = values
        table[f"{name}_derivative1"] = derivative
        table[f"{name}_derivative1_power2"] = derivative**2
        table[f"{name}_power2"] = values**2
    return pd.DataFrame(table)


def _signals(data: Volume, brain: NDArray[np.bool_], tissues: Tissues) -> pd.DataFrame:
    masks = {"global_signal": brain, "csf": tissues.csf, "white_matter": tissues.white_matter}
    return _expanded({name: data[mask].mean(axis=0, dtype=np.float64) for name, mask in masks.items()})


def _variation(data: Volume, brain: NDArray[np.bool_]) -> pd.DataFrame:
    plain, standardised = dvars(data[brain])
    missing = np.array([np.nan])
    return pd.DataFrame({"std_dvars": np.concatenate([missing, standardised]), "dvars": np.concatenate([missing, plain])})


def dvars(series: Volume) -> tuple[Series, Series]:
    """Return DVARS and standardised DVARS of voxel series (voxels, volumes), one shorter than the run.

    The median of all values is scaled to 1000 first. Standardised: divided by what is expected of a robust standard
    deviation and first-order autocorrelation; 1 is ordinary. Source: T. Nichols 2013, arXiv:1704.01469; voxels without
    variance are left out, as fMRIPrep does.
    """
    norm = series / np.median(series) * np.float32(_INTENSITY_NORM)
    upper, lower = np.percentile(norm, [75, 25], axis=1, method="lower")
    deviation = (upper - lower) / _IQR_TO_SD
    norm, deviation = norm[deviation > 0], deviation[deviation > 0]
    if not len(norm):
        raise ProcessingError("no voxel in the brain mask varies over time")
    centred = norm - norm.mean(axis=1, keepdims=True)
    autocorrelation = np.sum(centred[:, 1:] * centred[:, :-1], axis=1) / np.sum(centred**2, axis=1)
    expected = np.mean(np.sqrt(2 * (1 - autocorrelation)) * deviation, dtype=np.float64)
    plain = np.sqrt(np.mean(np.diff(norm, axis=1) ** 2, axis=0, dtype=np.float64))
    return plain, plain / expected


def _motion(matrices: list[Array], centre_ras_mm: Array) -> pd.DataFrame:
    rows = parameters(matrices, centre_ras_mm)
    table = _expanded(dict(zip(MOTION_COLUMNS, rows.T, strict=True)))
    displacement = {
        "framewise_displacement": framewise_displacement(rows),
        "rmsd": rms_displacement(matrices, centre_ras_mm),
    }
    return pd.concat([pd.DataFrame(displacement), table], axis=1)


def _cosines(volumes: int, repetition_s: float, skipped: int) -> pd.DataFrame:
    """Return discrete cosines of periods longer than 128 s, without the constant, 0 in the first `skipped` volumes."""
    steady = volumes - skipped
    order = max(int(np.floor(2 * steady * repetition_s / HIGH_PASS_S)), 1)
    time = (np.arange(steady) + 0.5) * np.pi / steady
    columns = {
        f"cosine{k - 1:02d}": np.concatenate([np.zeros(skipped), np.sqrt(2 / steady) * np.cos(k * time)])
        for k in range(1, order)
    }
    return pd.DataFrame(columns, index=range(volumes))


def _outliers(table: pd.DataFrame, dummies: int) -> pd.DataFrame:
    """Return one column for each volume that is not steady, and one for each steady volume disturbed by motion."""
    spikes = (table["framewise_displacement"] > FD_SPIKE_MM) | (table["std_dvars"] > DVARS_SPIKE)
    disturbed = [int(index) for index in np.flatnonzero(spikes.to_numpy()) if index > dummies]
    flagged = {f"non_steady_state_outlier{i:02d}": i for i in range(dummies)}
    flagged |= {f"motion_outlier{i:02d}": volume for i, volume in enumerate(disturbed)}
    rows = np.arange(len(table))
    return pd.DataFrame({name: (rows == volume).astype(int) for name, volume in flagged.items()}, index=table.index)


def _descriptions(table: pd.DataFrame, tissues: Tissues) -> dict[str, object]:
    fields: dict[str, object] = {name: {"Description": text} for name, text in _TEXTS.items()}
    for name, text in _TRANSLATIONS.items():
        fields[name] = {"Description": text, "Units": "mm"}
    for name, text in _ROTATIONS.items():
        fields[name] = {"Description": text, "Units": "rad"}
    for name, mask in (("csf", tissues.csf), ("white_matter", tissues.white_matter)):
        fields[name] = {
            "Description": f"mean signal of {name.replace('_', ' ')}",
            "Voxels": int(mask.sum()),
            "LeastProbability": tissues.threshold[name],
        }
    return {name: fields[name] for name in table.columns if name in fields} | {
        "Suffixes": {
            "Description": "derivative1: difference from the volume before; power2: square. The first is n/a.",
        }
    }


_MOVED = "of the head against the BOLD reference, at the centre of the grid"
_TRANSLATIONS = {
    "trans_x": f"displacement {_MOVED}; positive to the right",
    "trans_y": f"displacement {_MOVED}; positive to the front",
    "trans_z": f"displacement {_MOVED}; positive upwards",
    "framewise_displacement": "sum of absolute changes of the translations, and of the rotations at 50 mm (Power 2012)",
    "rmsd": "root mean square displacement from the volume before, over a sphere of 80 mm (Jenkinson 1999)",
}
_ROTATIONS = {
    "rot_x": "rotation about the left-right axis (Rx Ry Rz, right-handed, RAS); positive: nose up",
    "rot_y": "rotation about the posterior-anterior axis; positive: right ear down",
    "rot_z": "rotation about the inferior-superior axis; positive: nose to the left",
}
_TEXTS = {
    "global_signal": "mean signal in the brain mask",
    "dvars": "root mean square over voxels of the change from the volume before, median signal scaled to 1000",
    "std_dvars": "dvars over what is expected of the series' own variance and autocorrelation (Nichols 2013)",
}
