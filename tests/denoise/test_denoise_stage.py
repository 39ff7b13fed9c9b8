"""The stage on files: outputs, their agreement with each other, and faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from tmsprep import stages
from tmsprep.errors import ConfigurationError, ContractError, InputError, ProcessingError
from tmsprep.files import save_nifti, sha256
from tmsprep.spaces import Grid, Transform, apply_affine, save_itk_affines

TR = 2.0
VOLUMES = 90
DUMMIES = 2
MOVED = (20, 41, 42, 70)
"""Volumes with head motion, as acquired."""
NATIVE = np.array([[-4.0, 0.3, 0, 62], [0.3, 4.0, 0.5, -70], [0, -0.5, 4.0, -40], [0, 0, 0, 1]])
SHAPE = (32, 36, 26)
OUTPUTS = ("t1w_bold.nii.gz", "t1w_mask.nii.gz", "regressors.tsv", "summary.json")


class Case:
    """Files of one small single-echo run, to be spoiled by tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.generator = np.random.default_rng(11)
        grid = Grid(SHAPE, NATIVE)
        self.centre = apply_affine(NATIVE, (np.array(SHAPE) - 1) / 2)
        self.inside = (np.linalg.norm(grid.points_ras_mm() - self.centre, axis=1) < 42).reshape(SHAPE)
        self.pull = np.eye(4)
        self.pull[:3, 3] = [2.0, -1.0, 3.0]
        self.table = self._confounds()
        self.bold = self._bold()
        self.save()

    def _confounds(self) -> pd.DataFrame:
        names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
        table = pd.DataFrame({name: np.cumsum(self.generator.standard_normal(VOLUMES)) * 0.01 for name in names})
        displacement = np.full(VOLUMES, 0.05)
        displacement[list(MOVED)] = 0.8
        displacement[0] = np.nan
        table["framewise_displacement"] = displacement
        for index in range(DUMMIES):
            table[f"non_steady_state_outlier{index:02d}"] = (np.arange(VOLUMES) == index).astype(int)
        return table

    def _bold(self) -> np.ndarray:
        count = int(self.inside.sum())
        samples = 800 + self.generator.standard_normal((VOLUMES, count))
        samples += 30 * np.outer(self.table["trans_y"], self.generator.standard_normal(count))
        samples[:DUMMIES] += 400
        samples[list(MOVED)] += 200
        data = np.zeros((*SHAPE, VOLUMES), dtype=np.float32)
        data[self.inside] = samples.T
        return data

    def save(self) -> None:
        save_nifti(self.folder / "bold.nii.gz", self.bold, NATIVE, xform_code=1, repetition_time_s=TR)
        save_nifti(self.folder / "mask.nii.gz", self.inside, NATIVE, xform_code=1)
        self.table.to_csv(self.folder / "confounds.tsv", sep="\t", index=False, na_rep="n/a")
        save_itk_affines(self.folder / "boldref_to_t1w.txt", [self.pull])
        save_itk_affines(self.folder / "t1w_to_mni.txt", [np.eye(4)])
        t1w = Grid((56, 56, 56), np.diag([2.0, 2, 2, 1]))
        affine = t1w.affine_ras_mm.copy()
        affine[:3, 3] = self.centre - 55 - self.pull[:3, 3]
        points = Grid(t1w.shape, affine).points_ras_mm()
        brain = (np.linalg.norm(points - self.centre + self.pull[:3, 3], axis=1) < 40).reshape(t1w.shape)
        save_nifti(self.folder / "t1w.nii.gz", brain.astype(np.float32), affine, xform_code=1)
        save_nifti(self.folder / "t1w_mask.nii.gz", brain, affine, xform_code=1)

    def arguments(self, **changes: Any) -> dict[str, Any]:
        folder = self.folder
        inputs = {
            "bold": folder / "bold.nii.gz",
            "mask": folder / "mask.nii.gz",
            "confounds": folder / "confounds.tsv",
            "boldref_to_t1w": folder / "boldref_to_t1w.txt",
            "t1w_to_mni": folder / "t1w_to_mni.txt",
            "t1w": folder / "t1w.nii.gz",
            "t1w_mask": folder / "t1w_mask.nii.gz",
        }
        outputs = {f"out_{name.partition('.')[0]}": folder / f"out_{name}" for name in OUTPUTS}
        return inputs | outputs | changes

    def run(self, **changes: Any) -> dict[str, Any]:
        stages.run("denoise", self.arguments(**changes))
        return json.loads((self.folder / "out_summary.json").read_text())

    def series(self) -> np.ndarray:
        """Return (volumes, voxels) of the T1w output inside its mask."""
        mask = nib.load(self.folder / "out_t1w_mask.nii.gz").get_fdata() > 0
        return nib.load(self.folder / "out_t1w_bold.nii.gz").get_fdata()[mask].T

    def regressors(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "out_regressors.tsv", sep="\t")


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_summary_regressors_and_series_tell_the_same_story(case: Case) -> None:
    summary = case.run()
    table = case.regressors()
    series = case.series()
    assert len(table) == len(series) == VOLUMES - DUMMIES
    assert list(table["volume"][table["kept"] == 0]) == list(MOVED)
    assert table["volume"].iloc[0] == DUMMIES
    assert summary["TotalVolumes"] == VOLUMES
    assert summary["DummyScansRemoved"] == DUMMIES
    assert summary["CensoredVolumes"] == len(MOVED)
    assert summary["KeptVolumes"] == VOLUMES - DUMMIES - len(MOVED)
    assert summary["CleanMinutes"] == pytest.approx(summary["KeptVolumes"] * TR / 60, abs=1e-4)
    displacement = case.table["framewise_displacement"][DUMMIES:]
    assert summary["MeanFD_mm"] == pytest.approx(displacement.mean(), abs=1e-6)
    assert summary["MaxFD_mm"] == pytest.approx(0.8)
    assert summary["DegreesOfFreedomLeft"] == summary["KeptVolumes"] - summary["Regressors"]
    assert summary["CoverageBrain_T1w"] > 0.98
    assert nib.load(case.folder / "out_t1w_bold.nii.gz").header["pixdim"][4] == TR


def test_motion_is_gone_and_censored_volumes_are_interpolated(case: Case) -> None:
    case.run(smoothing_fwhm_mm=0.0)
    series = case.series()
    table = case.regressors()
    kept = table["kept"].to_numpy() == 1
    for name in ("trans_y", "rot_z", "global_signal", "linear_trend"):
        course = table[name].to_numpy()[kept]
        course = course - course.mean()
        assert np.abs(course @ series[kept]).max() / np.linalg.norm(course) < 1e-2
    np.testing.assert_allclose(series[20 - DUMMIES], (series[19 - DUMMIES] + series[21 - DUMMIES]) / 2, atol=1e-4)
    assert np.abs(series).max() < 10  # neither the baseline of 800 nor the jumps of 200 are left


def test_regressing_before_resampling_equals_regressing_after(case: Case) -> None:
    """The stated reason for the order: they commute."""
    case.run(smoothing_fwhm_mm=0.0, global_signal=False, low_pass_hz=None, high_pass_hz=0.0)
    table = case.regressors()
    kept = table["kept"].to_numpy() == 1
    mask = nib.load(case.folder / "out_t1w_mask.nii.gz")
    voxels = np.argwhere(mask.get_fdata() > 0)
    deep = np.linalg.norm(apply_affine(mask.affine, voxels) + case.pull[:3, 3] - case.centre, axis=1) < 25
    # far from the mask's edge, resample the raw series by an independent spline and regress there
    from scipy import ndimage

    points = apply_affine(case.pull, apply_affine(mask.affine, voxels[deep]))
    places = apply_affine(np.linalg.inv(NATIVE), points).T
    volumes = [case.bold[..., index].astype(float) for index in range(DUMMIES, VOLUMES)]
    raw = np.array([ndimage.map_coordinates(volume, places, order=3) for volume in volumes])
    columns = table.drop(columns=["volume", "kept", "global_signal_unique"]).to_numpy()[kept]
    after = raw[kept] - columns @ np.linalg.lstsq(columns, raw[kept], rcond=None)[0]
    np.testing.assert_allclose(case.series()[kept][:, deep], after, atol=5e-3)


def test_the_other_choice_about_the_global_signal_follows_from_the_weights(case: Case) -> None:
    """Series without the regression = series with it + unique part x weights, and the other way round."""
    results = {}
    for choice in (True, False):
        beta = case.folder / f"beta-{choice}.nii.gz"
        case.run(global_signal=choice, out_global_beta=beta)
        mask = nib.load(case.folder / "out_t1w_mask.nii.gz").get_fdata() > 0
        unique = case.regressors()["global_signal_unique"].to_numpy()
        kept = case.regressors()["kept"].to_numpy() == 1
        results[choice] = (case.series()[kept], np.outer(unique[kept], nib.load(beta).get_fdata()[mask]))
    for choice in (True, False):
        series, added = results[choice]
        np.testing.assert_allclose(series + added, results[not choice][0], atol=1e-3)
        assert np.abs(added).max() > 0.05


def test_series_without_dummy_scans_gives_the_same_result(case: Case) -> None:
    """tedana's outputs come without the dummy scans; the confounds always have them."""
    case.run()
    whole = case.series()
    case.bold = case.bold[..., DUMMIES:]
    case.save()
    summary = case.run()
    np.testing.assert_array_equal(case.series(), whole)
    assert summary["TotalVolumes"] == VOLUMES
    assert summary["DummyScansRemoved"] == DUMMIES


def test_same_bytes_twice(case: Case) -> None:
    case.run()
    first = [sha256(case.folder / f"out_{name}") for name in OUTPUTS]
    case.run()
    assert [sha256(case.folder / f"out_{name}") for name in OUTPUTS] == first


def test_template_space_takes_the_composed_transform(case: Case) -> None:
    """With known rigid transforms the standard-space series is the native one at the composed place."""
    to_mni = np.eye(4)
    to_mni[:3, 3] = case.centre - case.pull[:3, 3] - [0, -20, 10]  # points of the template to points of T1w
    marker = case.centre + np.array([-15.0, 10, 5])
    points = Grid(SHAPE, NATIVE).points_ras_mm()
    blob = np.exp(-((points - marker) ** 2).sum(axis=1) / (2 * 8.0**2)).reshape(SHAPE)
    wave = np.sin(2 * np.pi * 0.05 * TR * np.arange(VOLUMES))
    case.bold[case.inside] = 800 + 50 * np.outer(blob[case.inside], wave)
    case.save()
    save_itk_affines(case.folder / "t1w_to_mni.txt", [to_mni])
    mni = {name: case.folder / f"{name}.nii.gz" for name in ("out_mni_bold", "out_mni_mask")}
    case.run(global_signal=False, motion_parameters=0, **mni)
    image = nib.load(mni["out_mni_bold"])
    weights = image.get_fdata().std(axis=3).ravel() ** 2
    places = Grid.of(image).points_ras_mm()
    found = (places * weights[:, np.newaxis]).sum(axis=0) / weights.sum()
    both = Transform.from_matrix(case.pull).followed_by(Transform.from_matrix(to_mni))
    np.testing.assert_allclose(both.pull_points(found)[0], marker, atol=0.5)
    assert image.header["sform_code"] == 4


def test_dropout_is_left_out_and_counted(case: Case) -> None:
    points = Grid(SHAPE, NATIVE).points_ras_mm().reshape(*SHAPE, 3)
    gone = case.inside & (points[..., 1] > case.centre[1] + 20)
    case.bold[gone] *= 0.05
    case.save()
    summary = case.run()
    assert summary["VoxelsWithSignal"] == case.inside.sum() - gone.sum()
    mask = nib.load(case.folder / "out_t1w_mask.nii.gz")
    highest = apply_affine(mask.affine, np.argwhere(mask.get_fdata() > 0))[:, 1].max()
    assert highest < case.centre[1] + 20 - case.pull[1, 3] + 3


def test_low_coverage_and_few_degrees_of_freedom_are_warned_of(case: Case) -> None:
    half = np.arange(SHAPE[2])[np.newaxis, np.newaxis] < SHAPE[2] // 2
    case.bold[~np.broadcast_to(half, SHAPE)] = 0
    case.save()
    warnings = " | ".join(case.run()["Warnings"])
    assert "degrees of freedom" in warnings
    assert "of the T1w's brain mask has BOLD signal" in warnings


def test_missing_confound_column_is_named(case: Case) -> None:
    case.table = case.table.drop(columns="rot_y")
    case.save()
    with pytest.raises(ContractError, match="rot_y"):
        case.run()
    assert not list(case.folder.glob("out_*"))


def test_all_volumes_censored_is_refused(case: Case) -> None:
    case.table["framewise_displacement"] = 2.0
    case.save()
    with pytest.raises(ProcessingError, match="all 88 volumes are censored"):
        case.run()


def test_too_few_degrees_of_freedom_are_refused_with_the_count(case: Case) -> None:
    case.table.loc[25:, "framewise_displacement"] = 2.0
    case.save()
    with pytest.raises(ProcessingError, match="degrees of freedom would be left"):
        case.run()


def test_missing_repetition_time_is_refused(case: Case) -> None:
    save_nifti(case.folder / "bold.nii.gz", case.bold, NATIVE, xform_code=1, repetition_time_s=0.0)
    with pytest.raises(ContractError, match="repetition time of 0 s"):
        case.run()


def test_truncated_series_is_refused(case: Case) -> None:
    path = case.folder / "bold.nii.gz"
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(InputError, match="end early"):
        case.run()


def test_confounds_of_another_run_are_refused(case: Case) -> None:
    case.table = case.table.iloc[:-5]
    case.save()
    with pytest.raises(ContractError, match="the confounds have 85 rows"):
        case.run()


def test_mask_on_another_grid_is_refused(case: Case) -> None:
    shifted = NATIVE.copy()
    shifted[0, 3] += 4
    save_nifti(case.folder / "mask.nii.gz", case.inside, shifted, xform_code=1)
    with pytest.raises(ContractError, match="the grid"):
        case.run()


def test_demeaned_series_is_refused(case: Case) -> None:
    case.bold -= case.bold.mean(axis=3, keepdims=True)
    case.save()
    with pytest.raises(ProcessingError, match="mean signal"):
        case.run()


def test_registration_that_misses_the_brain_is_refused(case: Case) -> None:
    case.pull[:3, 3] = [500, 0, 0]
    save_itk_affines(case.folder / "boldref_to_t1w.txt", [case.pull])
    with pytest.raises(ProcessingError, match="no voxel of the brain has signal"):
        case.run()


@pytest.mark.parametrize(
    "changes",
    [
        {"fd_threshold_mm": 0.0},
        {"high_pass_hz": 0.1, "low_pass_hz": 0.01},
        {"smoothing_fwhm_mm": -1.0},
        {"motion_parameters": 7},
        {"out_mni_bold": Path("mni.nii.gz")},
    ],
)
def test_impossible_options_are_refused(case: Case, changes: dict[str, Any]) -> None:
    with pytest.raises((ConfigurationError, ContractError)):
        case.run(**changes)
