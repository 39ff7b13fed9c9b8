from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from bold_phantom import LAS, SHAPE, Head, oblique, rigid, save
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.preprocess.builtin.motion import (
    estimate_motion,
    framewise_displacement,
    matrices_from_1d,
    parameters,
    rms_displacement,
)

_CENTRE = np.array([0.0, 10.0, -5.0])


def _reoriented(affine: np.ndarray, code: str) -> tuple[np.ndarray, tuple[int, int, int]]:
    image = nib.Nifti1Image(np.zeros(SHAPE, dtype=np.uint8), affine)
    change = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(code))
    turned = image.as_reoriented(change)
    return np.asarray(turned.affine), turned.shape


_GRIDS = {
    "LAS": (LAS, SHAPE),
    "oblique": (oblique(LAS), SHAPE),
    "PSR": _reoriented(LAS, "PSR"),
    "RAI": _reoriented(LAS, "RAI"),
}


def _series(
    affine: np.ndarray, shape: tuple[int, int, int], amplitude: float, noise: float
) -> tuple[np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(3)
    head = Head()
    motions = [np.eye(4)]
    motions += [rigid(rng.uniform(-1, 1, 3) * amplitude, rng.uniform(-1, 1, 3) * amplitude, _CENTRE) for _ in range(6)]
    volumes = np.stack([head.image(affine, shape, motion) for motion in motions], axis=-1)
    return volumes + noise * 800 * rng.standard_normal(volumes.shape), motions


def _largest_error(found: list[np.ndarray], true: list[np.ndarray]) -> tuple[float, float]:
    """Largest displacement at the centre in mm, largest angle in degrees."""
    errors = [one @ np.linalg.inv(other) for one, other in zip(found, true, strict=True)]
    shifts = [np.linalg.norm(nib.affines.apply_affine(error, [0.0, 0.0, 0.0])) for error in errors]
    angles = [np.degrees(np.arccos(np.clip((np.trace(error[:3, :3]) - 1) / 2, -1, 1))) for error in errors]
    return max(shifts), max(angles)


@pytest.mark.parametrize("name", list(_GRIDS))
@pytest.mark.parametrize(("amplitude", "noise"), [(1.0, 0.01), (4.0, 0.0)])
def test_known_motion_is_found_on_any_grid(tmp_path: Path, name: str, amplitude: float, noise: float) -> None:
    affine, shape = _GRIDS[name]
    volumes, motions = _series(affine, shape, amplitude, noise)
    path = save(tmp_path / "bold.nii.gz", volumes, affine)
    millimetres, degrees = _largest_error(estimate_motion(path, 0), motions)
    assert millimetres < 0.1
    assert degrees < 0.1


def test_an_image_as_reference_is_the_same_as_its_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volumes, _ = _series(LAS, SHAPE, 1.0, 0.0)
    path = save(tmp_path / "bold.nii.gz", volumes, LAS)
    reference = save(tmp_path / "reference.nii.gz", volumes[..., 0], LAS)
    monkeypatch.chdir(tmp_path)
    relative = estimate_motion(Path(path.name), Path(reference.name))
    np.testing.assert_allclose(relative, estimate_motion(path, 0), atol=1e-3)


@given(st.lists(st.floats(-5, 5), min_size=6, max_size=6))
def test_parameters_describe_the_matrix(values: list[float]) -> None:
    matrix = rigid(np.array(values[:3]), np.array(values[3:]), _CENTRE)
    row = parameters([matrix], _CENTRE)[0]
    np.testing.assert_allclose(row, [*values[:3], *np.radians(values[3:])], atol=1e-9)


def test_a_sheared_grid_moves_voxels_as_niimath_moves_them() -> None:
    sheared = LAS @ np.array([[1, 0.05, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    rows = np.array([[0, 0, 0, 0, 4.0, 0.0]])
    straight, skewed = (matrices_from_1d(rows, SHAPE, affine)[0] for affine in (LAS, sheared))
    voxels = [np.linalg.inv(affine) @ matrix @ affine for affine, matrix in ((LAS, straight), (sheared, skewed))]
    np.testing.assert_allclose(voxels[0], voxels[1], atol=1e-9)


def test_framewise_displacement_of_a_worked_example() -> None:
    rows = np.array([[0, 0, 0, 0, 0, 0], [1, -2, 0, 0.01, 0, 0], [1, -2, 0.5, 0, 0, -0.02]])
    np.testing.assert_allclose(framewise_displacement(rows), [np.nan, 3.5, 2.0])


def test_rms_displacement_is_the_average_over_a_sphere() -> None:
    change = rigid(np.array([0.4, -0.2, 0.1]), np.array([0.5, -0.3, 0.8]), _CENTRE)
    before = rigid(np.array([1.0, 0, 0]), np.array([0, 2.0, 0]), _CENTRE)
    rng = np.random.default_rng(0)
    ball = rng.standard_normal((200_000, 3))
    ball *= (80 * rng.uniform(size=(200_000, 1)) ** (1 / 3)) / np.linalg.norm(ball, axis=1, keepdims=True)
    moved = nib.affines.apply_affine(change, ball + _CENTRE) - ball - _CENTRE
    expected = np.sqrt(np.mean(np.sum(moved**2, axis=1)))
    found = rms_displacement([before, change @ before], _CENTRE)
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(expected, rel=5e-3)
