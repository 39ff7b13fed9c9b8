"""A small person made on the spot: a shell of grey matter in a rotated head, with a known circuit and a known target."""

from __future__ import annotations

from dataclasses import dataclass
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
OPPOSITE_MNI = np.array([-38.0, 12.0, 60.0])
"""A place in the search mask that goes along with sgACC: the target of an inverted circuit."""
FIELD_MM = 148.0
CENTRE_RAS_MM = (-18.0, 32.0, 12.0)


def rigid(angles_deg: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


def grid(mm: float, orientation: str, tilt_deg: float = 0.0) -> Grid:
    """A grid about the left front of the head, stored in an orientation, tilted about all axes."""
    size = int(np.ceil(FIELD_MM / mm))
    affine = np.diag([mm, mm, mm, 1.0])
    affine[:3, 3] = -mm * (size - 1) / 2
    placed = rigid((tilt_deg, -tilt_deg, tilt_deg), CENTRE_RAS_MM) @ affine
    image = nib.Nifti1Image(np.zeros((size, size, size), np.uint8), placed)
    return Grid.of(reorient(image, orientation))


def reorient(image: nib.Nifti1Image, orientation: str) -> nib.Nifti1Image:
    """Store the same image with other axes; nothing moves in space."""
    start = nib.orientations.io_orientation(image.affine)
    end = nib.orientations.axcodes2ornt(tuple(orientation))
    return image.as_reoriented(nib.orientations.ornt_transform(start, end))


@dataclass
class Participant:
    """Files of one made-up participant, and the options to run the stage with."""

    folder: Path
    t1w_from_mni: np.ndarray
    arguments: dict[str, Any]
    truth_ras_mm: np.ndarray
    bold_grid: Grid

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
    noise: float = 1.0,
    seed: int = 0,
    runs: int = 1,
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
    spots = [np.exp(-((mni - place) ** 2).sum(1) / 2 / 7**2) for place in (TRUTH_MNI, SGACC_MNI, OPPOSITE_MNI)]
    pattern = ((spots[0] - spots[1] - spots[2]) * probability.ravel()).reshape(bold_grid.shape)
    bold, tables, summaries = [], [], []
    for index in range(runs):
        course = ndimage.gaussian_filter1d(rng.normal(size=volumes), 1.0)
        series = pattern[..., np.newaxis] * (course / course.std())
        series += noise * rng.standard_normal(series.shape, dtype=np.float32)
        series = 1000 + 10 * series
        path = folder / f"run-{index}_bold.nii"
        save_nifti(path, series.astype(np.float32), bold_grid.affine_ras_mm, xform_code=1, repetition_time_s=2.0)
        write_tsv(folder / f"run-{index}.tsv", pd.DataFrame({"kept": np.ones(volumes, dtype=int)}))
        write_json(folder / f"run-{index}.json", {"CleanMinutes": 25.0 / runs, "MeanFD_mm": 0.1})
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
        "draws": 200,  # enough to see that the bootstrap is there; its numbers are tested by themselves
    }
    truth = apply_affine(t1w_from_mni, TRUTH_MNI)
    return Participant(folder, t1w_from_mni, arguments, truth, bold_grid)


@pytest.fixture(autouse=True)
def _same_templates(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The made-up person lives in one template space; only tests named ``real_templates`` see that there are two."""
    if "real_templates" not in request.node.name:
        monkeypatch.setattr("tmsprep.target.person.between_templates", lambda *_: Transform.identity())


@pytest.fixture(scope="session")
def participant(tmp_path_factory: pytest.TempPathFactory) -> Participant:
    """One person for all tests that do not change the data."""
    return make_participant(tmp_path_factory.mktemp("participant"))
