from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from bold_phantom import read, rigid, save
from scipy import ndimage

from tmsprep.errors import InputError, ProcessingError
from tmsprep.preprocess.builtin.boundary import Target, boundary_cost, refine, white_matter_boundary
from tmsprep.preprocess.builtin.coregister import coregister_to_t1w, crop, register
from tmsprep.spaces import Transform

_T1W_GRID = np.array([[-2.0, 0, 0, 60], [0, 2.0, 0, -66], [0, 0, 2.0, -56], [0, 0, 0, 1]])
_T1W_SHAPE = (61, 67, 57)
_EPI_GRID = np.array([[-3.0, 0.1, 0, 72], [0.1, 3.0, -0.3, -75], [0, 0.3, 3.5, -60], [0, 0, 0, 1]])
_EPI_SHAPE = (48, 50, 34)
_TRUE_PULL = rigid(np.array([3.0, -4.0, 2.5]), np.array([3.0, -4.0, 2.0]), np.zeros(3))
"""Points of the T1w to points of the BOLD reference."""


class FoldedHead:
    """White matter with a folded surface, a ribbon of grey, CSF around: brightness by tissue in either contrast."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        field = ndimage.gaussian_filter(rng.standard_normal((80, 88, 76)), 3.5)
        self.folds = field / field.std()

    def depth(self, points: np.ndarray) -> np.ndarray:
        """About mm below the pial surface, negative in CSF."""
        radius = np.linalg.norm(points / [44.0, 52.0, 42.0], axis=1)
        voxels = (points / 2 + [40, 44, 38]).T
        return (1 - radius) * 46 + 7 * ndimage.map_coordinates(self.folds, voxels, order=3, mode="nearest") - 2

    def tissues(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """White, grey, CSF fractions."""
        depth = self.depth(points)
        white = 1 / (1 + np.exp(-(depth - 2.5) * 3))
        brain = 1 / (1 + np.exp(-(depth + 0.5) * 3))
        head = np.linalg.norm(points / [48.0, 56.0, 46.0], axis=1) < 1
        return white, brain - white, head * (1 - brain)

    def image(self, affine: np.ndarray, shape: tuple[int, ...], brightness: tuple[float, float, float]) -> np.ndarray:
        """Average each voxel over eight points in it."""
        total = np.zeros(int(np.prod(shape)))
        for corner in np.argwhere(np.ones((2, 2, 2))) / 2 - 0.25:
            points = nib.affines.apply_affine(affine, np.indices(shape).reshape(3, -1).T + corner)
            total += sum(b * f for b, f in zip(brightness, self.tissues(points), strict=True)) / 8
        return total.reshape(shape)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("head")
    head, rng = FoldedHead(0), np.random.default_rng(1)
    white, grey, _ = (head.image(_T1W_GRID, _T1W_SHAPE, weights) for weights in np.eye(3))
    t1w = head.image(_T1W_GRID, _T1W_SHAPE, (1000, 650, 250)) + 15 * rng.standard_normal(_T1W_SHAPE)
    epi_to_t1w = np.linalg.inv(_TRUE_PULL)
    epi = head.image(epi_to_t1w @ _EPI_GRID, _EPI_SHAPE, (600, 800, 900)) + 15 * rng.standard_normal(_EPI_SHAPE)
    shading = 1 + 0.5 * np.linspace(-1, 1, _EPI_SHAPE[1])[None, :, None]
    return {
        "t1w": save(folder / "t1w.nii.gz", t1w, _T1W_GRID),
        "brain_mask": save(folder / "mask.nii.gz", white + grey > 0.5, _T1W_GRID),
        "wm": save(folder / "wm.nii.gz", white, _T1W_GRID),
        "boldref": save(folder / "boldref.nii.gz", np.clip(epi * shading, 0, None), _EPI_GRID),
    }


def _run(files: dict[str, Path], folder: Path) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    out = {
        "out_boldref": folder / "ref.nii.gz",
        "out_boldref_to_t1w": folder / "xfm.txt",
        "out_mask": folder / "mask.nii.gz",
    }
    coregister_to_t1w(**files, sidecar=[], **out)
    return out


def _error_mm(pull: np.ndarray) -> float:
    corners = np.array([[x, y, z] for x in (-30, 30) for y in (-35, 35) for z in (-28, 28)], dtype=float)
    apart = nib.affines.apply_affine(pull, corners) - nib.affines.apply_affine(_TRUE_PULL, corners)
    return float(np.linalg.norm(apart, axis=1).mean())


def test_the_known_place_is_found_with_mask_and_bytes(tmp_path: Path, files: dict[str, Path]) -> None:
    assert _error_mm(np.eye(4)) > 4
    out, again = _run(files, tmp_path / "a"), _run(files, tmp_path / "b")
    assert _error_mm(Transform.load(out["out_boldref_to_t1w"]).affine_part()) < 0.4
    assert all(out[key].read_bytes() == again[key].read_bytes() for key in out)
    head = FoldedHead(0)
    brain = head.image(np.linalg.inv(_TRUE_PULL) @ _EPI_GRID, _EPI_SHAPE, (1, 1, 0)) > 0.5
    mask = read(out["out_mask"]) > 0
    assert 2 * (mask & brain).sum() / (mask.sum() + brain.sum()) > 0.93
    np.testing.assert_allclose(nib.load(out["out_mask"]).affine, _EPI_GRID, atol=1e-4)


def test_another_person_s_head_is_refused(tmp_path: Path, files: dict[str, Path]) -> None:
    other = FoldedHead(5)
    epi = other.image(_EPI_GRID, _EPI_SHAPE, (600, 800, 900))
    wrong = {**files, "boldref": save(tmp_path / "other.nii.gz", epi, _EPI_GRID)}
    with pytest.raises(ProcessingError, match="no registration to the T1w is credible"):
        _run(wrong, tmp_path / "out")
    assert not (tmp_path / "out" / "xfm.txt").exists()


def test_a_mask_on_another_grid_is_refused(tmp_path: Path, files: dict[str, Path]) -> None:
    wrong = {**files, "brain_mask": save(tmp_path / "mask.nii.gz", np.ones(_T1W_SHAPE), np.eye(4))}
    with pytest.raises(InputError, match="not on the grid of the T1w"):
        _run(wrong, tmp_path / "out")


def test_boundary_normals_point_out_of_white_matter_and_the_cost_knows_contrast(files: dict[str, Path]) -> None:
    t1w, mask, wm = (read(files[key]).astype(np.float32) for key in ("t1w", "brain_mask", "wm"))
    boundary = white_matter_boundary(wm, t1w, mask > 0.5, _T1W_GRID)
    head = FoldedHead(0)
    inner, outer = (head.depth(boundary.points_ras_mm + step * boundary.normals) for step in (-1, 1))
    assert np.mean(inner > outer) > 0.98
    assert np.abs(np.linalg.norm(boundary.normals, axis=1) - 1).max() < 1e-6
    epi = read(files["boldref"]).astype(np.float32)
    right = boundary_cost(boundary, Target.of(epi, _EPI_GRID), _TRUE_PULL, 2.0)
    inverted = boundary_cost(boundary, Target.of(2000 - epi, _EPI_GRID), _TRUE_PULL, 2.0)
    shifted = _TRUE_PULL.copy()
    shifted[0, 3] += 500
    assert right < 0.5
    assert inverted > 1.4
    assert boundary_cost(boundary, Target.of(epi, _EPI_GRID), shifted, 2.0) == 2.0


@pytest.mark.parametrize("axis", [1, 3])
def test_refinement_returns_from_a_few_millimetres_and_degrees(files: dict[str, Path], axis: int) -> None:
    t1w, mask, wm = (read(files[key]).astype(np.float32) for key in ("t1w", "brain_mask", "wm"))
    boundary = white_matter_boundary(wm, t1w, mask > 0.5, _T1W_GRID).thinned(3000)
    step = np.zeros(6)
    step[axis] = 2.0
    start = _TRUE_PULL @ rigid(step[:3], step[3:], np.zeros(3))
    pull, cost = refine(boundary, Target.of(read(files["boldref"]).astype(np.float32), _EPI_GRID), start, 1.5)
    assert _error_mm(pull) < 0.5
    assert cost < 0.5


def test_a_sheared_bold_grid_is_registered(files: dict[str, Path]) -> None:
    shear = np.eye(4)
    shear[0, 1] = 0.04
    sheared = _EPI_GRID @ shear
    epi = FoldedHead(0).image(np.linalg.inv(_TRUE_PULL) @ sheared, _EPI_SHAPE, (600, 800, 900)).astype(np.float32)
    t1w, mask, wm = (read(files[key]).astype(np.float32) for key in ("t1w", "brain_mask", "wm"))
    found = register(epi, sheared, crop(t1w, mask > 0.5, wm, _T1W_GRID))
    assert _error_mm(found.pull_ras_mm) < 0.4
