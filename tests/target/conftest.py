"""A small person made on the spot: a shell of grey matter in a rotated head, with a known circuit and a known target."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from tmsprep import stages
from tmsprep.files import save_nifti, write_json, write_tsv
from tmsprep.records import TargetResult
from tmsprep.spaces import Grid, Transform, apply_affine, save_itk_affines

TRUTH_MNI = np.array([-44.0, 36.0, 34.0])
SGACC_MNI = np.array([6.0, 16.0, -10.0])


def rigid(angles_deg: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


def grid(mm: float, orientation: str, tilt_deg: float = 0.0) -> Grid:
    """A grid of the head's size about the origin, stored in an orientation, tilted about all axes."""
    size = int(np.ceil(190 / mm))
    affine = np.diag([mm, mm, mm, 1.0])
    affine[:3, 3] = -mm * (size - 1) / 2
    image = nib.Nifti1Image(np.zeros((size, size, size), np.uint8), rigid((tilt_deg, -tilt_deg, tilt_deg), (0, 0, 0)) @ affine)
    start = nib.orientations.io_orientation(affine)
    ornt = nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(tuple(orientation)))
    return Grid.of(image.as_reoriented(ornt))


@dataclass
class Participant:
    """Files of one made-up participant, and the options to run the stage with."""

    folder: Path
    t1w_from_mni: np.ndarray
    arguments: dict[str, Any]
    truth_ras_mm: np.ndarray
    bold_grid: Grid
    extra: dict[str, Any] = field(default_factory=dict)

    def run(self, **options: Any) -> TargetResult:
        out = {"out_scores": self.folder / "scores.nii.gz", "out_result": self.folder / "result.json"}
        stages.run("target", self.arguments | out | options)
        return TargetResult.load(out["out_result"])

    def error_mm(self, result: TargetResult) -> float:
        return float(np.linalg.norm(np.array(result.candidates[0].target_ras_mm) - self.truth_ras_mm))


def grey_probability(points_mni: np.ndarray) -> np.ndarray:
    """A shell 12 mm thick like a cortex, and a ball where sgACC is."""
    radii = np.array([70.0, 85.0, 75.0])
    centre = np.array([0.0, -10.0, 5.0])
    radius = np.linalg.norm((points_mni - centre) / radii, axis=1)
    shell = np.clip((radius - 0.80) / 0.04, 0, 1) * np.clip((1.0 - radius) / 0.04, 0, 1)
    ball = np.clip((14 - np.linalg.norm(points_mni - SGACC_MNI, axis=1)) / 3, 0, 1)
    return np.maximum(shell, ball)


def make_participant(
    folder: Path,
    *,
    orientation: str = "RAS",
    tilt_deg: float = 0.0,
    bold_mm: float = 4.0,
    volumes: int = 120,
    noise: float = 2.0,
    seed: int = 0,
    runs: int = 1,
    change: Any = None,
) -> Participant:
    folder.mkdir(parents=True, exist_ok=True)
    t1w_from_mni = rigid((5, -4, 8), (3.0, 12.0, -7.0))
    mni_from_t1w = np.linalg.inv(t1w_from_mni)
    t1w_grid = grid(2.0, "RAS")
    bold_grid = grid(bold_mm, orientation, tilt_deg)
    files = {name: folder / f"{name}.nii.gz" for name in ("t1w", "gm", "mask")}
    grey = grey_probability(apply_affine(mni_from_t1w, t1w_grid.points_ras_mm())).reshape(t1w_grid.shape)
    save_nifti(files["gm"], grey.astype(np.float32), t1w_grid.affine_ras_mm, xform_code=1)
    save_nifti(files["t1w"], grey.astype(np.float32), t1w_grid.affine_ras_mm, xform_code=1)
    mni = apply_affine(mni_from_t1w, bold_grid.points_ras_mm())
    probability = grey_probability(mni).reshape(bold_grid.shape)
    brain = ndimage.binary_dilation(probability > 0, iterations=1)
    save_nifti(files["mask"], brain.astype(np.uint8), bold_grid.affine_ras_mm, xform_code=1)
    # pull matrices: from-MNI_to-T1w maps points of the T1w to MNI
    save_itk_affines(folder / "mni_to_t1w.txt", [mni_from_t1w])
    save_itk_affines(folder / "t1w_to_mni.txt", [t1w_from_mni])

    rng = np.random.default_rng(seed)
    sgacc = np.exp(-((mni - SGACC_MNI) ** 2).sum(1) / 2 / 8**2)
    spot = np.exp(-((mni - TRUTH_MNI) ** 2).sum(1) / 2 / 7**2)
    pattern = ((spot - sgacc) * probability.ravel()).reshape(bold_grid.shape)
    bold, tables, summaries = [], [], []
    for index in range(runs):
        # white noise in index space would differ between storage orders: draw it per point of a fixed lattice instead
        course = ndimage.gaussian_filter1d(rng.normal(size=volumes), 1.0)
        series = pattern[..., np.newaxis] * (course / course.std())
        series = series + noise * ndimage.gaussian_filter(
            rng.normal(size=series.shape), (1, 1, 1, 0), axes=(0, 1, 2, 3)
        )
        series = 1000 + 10 * series
        if change is not None:
            series = change(series)
        path = folder / f"run-{index}_bold.nii.gz"
        save_nifti(path, series.astype(np.float32), bold_grid.affine_ras_mm, xform_code=1, repetition_time_s=2.0)
        write_tsv(folder / f"run-{index}.tsv", pd.DataFrame({"kept": np.ones(volumes, dtype=int)}))
        write_json(folder / f"run-{index}.json", {"CleanMinutes": 25.0 / runs, "MeanFD": 0.1})
        bold.append(path)
        tables.append(folder / f"run-{index}.tsv")
        summaries.append(folder / f"run-{index}.json")
    arguments: dict[str, Any] = {
        "bold": bold,
        "bold_mask": [files["mask"]] * runs,
        "regressors": tables,
        "summary": summaries,
        "t1w": files["t1w"],
        "gm": files["gm"],
        "mni_to_t1w": folder / "mni_to_t1w.txt",
        "t1w_to_mni": folder / "t1w_to_mni.txt",
    }
    truth = apply_affine(t1w_from_mni, TRUTH_MNI)
    return Participant(folder, t1w_from_mni, arguments, truth, bold_grid)


@pytest.fixture(autouse=True)
def _same_templates(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The made-up person is defined in one template space: the two coincide, except where a test asks for the real ones."""
    if "real_templates" not in request.keywords:
        monkeypatch.setattr("tmsprep.target.person.between_templates", lambda *_: Transform.identity())
