"""ITK composites: what is written is read back, by ANTs and nitransforms too, and twice the same bytes."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest

from tmsprep.errors import InputError
from tmsprep.itk_composite import read_steps, write_steps
from tmsprep.spaces import AffineStep, FieldStep, Grid, Transform, apply_affine, lps_from_ras, ras_from_lps


def steps() -> tuple[AffineStep, FieldStep]:
    """An oblique affine and a smooth field on an oblique, anisotropic grid whose axes run L, A, S."""
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    pull, grid = np.eye(4), np.eye(4)
    pull[:3, :3] = turn @ np.diag([1.1, 0.9, 1.05])
    pull[:3, 3] = (5.0, -12.0, 33.0)
    grid[:3, :3] = turn @ np.diag([-3.0, 4.0, 5.0])
    grid[:3, 3] = (30.0, -40.0, -50.0)
    shape = (21, 19, 17)
    places = np.moveaxis(np.indices(shape), 0, -1) / np.array(shape)
    field = np.stack([3 * np.sin(np.pi * places[..., 0]), 2 * places[..., 1], -4 * places[..., 2] ** 2], axis=-1)
    return AffineStep(pull), FieldStep(field.astype(np.float32), Grid(shape, grid))


def inner_points(field: FieldStep) -> np.ndarray:
    rng = np.random.default_rng(0)
    return apply_affine(field.grid.affine_ras_mm, rng.uniform(3, np.array(field.grid.shape) - 4, (60, 3)))


def test_round_trip(tmp_path):
    affine, field = steps()
    write_steps(tmp_path / "x.h5", [affine, field])
    first, second = read_steps(tmp_path / "x.h5")
    assert isinstance(first, AffineStep)
    assert isinstance(second, FieldStep)
    np.testing.assert_allclose(first.pull_ras_mm, affine.pull_ras_mm, atol=1e-5)
    np.testing.assert_array_equal(second.displacement_ras_mm, field.displacement_ras_mm)
    np.testing.assert_allclose(second.grid.affine_ras_mm, field.grid.affine_ras_mm, atol=1e-9)
    assert second.grid.shape == field.grid.shape


def test_ants_and_nitransforms_read_the_same_transform(tmp_path):
    """Known pair by hand: the field is added first, then the affine."""
    ants = pytest.importorskip("ants")
    from scipy import ndimage

    affine, field = steps()
    path = tmp_path / "x.h5"
    write_steps(path, [affine, field])
    points = inner_points(field)
    voxels = apply_affine(np.linalg.inv(field.grid.affine_ras_mm), points).T
    added = [ndimage.map_coordinates(field.displacement_ras_mm[..., axis], voxels, order=1) for axis in range(3)]
    truth = apply_affine(affine.pull_ras_mm, points + np.stack(added, axis=1))
    table = pd.DataFrame(lps_from_ras(points), columns=["x", "y", "z"])
    theirs = ants.apply_transforms_to_points(3, table, [str(path)])[["x", "y", "z"]].to_numpy()
    np.testing.assert_allclose(ras_from_lps(theirs), truth, atol=1e-3)
    np.testing.assert_allclose(Transform.load(path).pull_points(points), truth, atol=1e-3)
    np.testing.assert_allclose(Transform.load(path).affine_part(), affine.pull_ras_mm, atol=1e-5)


def test_same_steps_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_steps(tmp_path / f"{name}.h5", steps())
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_what_ants_writes_is_read(tmp_path):
    """Rewriting ANTs' own file changes no point."""
    ants = pytest.importorskip("ants")
    rng = np.random.default_rng(1)
    data = np.zeros((24, 24, 24), dtype=np.float32)
    data[6:18, 7:17, 8:16] = 100
    fixed = ants.from_numpy(data + rng.normal(0, 1, data.shape).astype(np.float32))
    moving = ants.from_numpy(np.roll(data, 1, axis=0))
    made = ants.registration(
        fixed, moving, "SyN", reg_iterations=(5, 0), aff_iterations=(10, 5, 0, 0), write_composite_transform=True,
        outprefix=str(tmp_path / "ants"),
    )["fwdtransforms"]  # fmt: skip
    write_steps(tmp_path / "ours.h5", read_steps(tmp_path / made.split("/")[-1]))
    table = pd.DataFrame(rng.uniform(5, 18, (40, 3)), columns=["x", "y", "z"])
    one, two = (ants.apply_transforms_to_points(3, table, [str(path)]) for path in (made, tmp_path / "ours.h5"))
    np.testing.assert_allclose(one[["x", "y", "z"]].to_numpy(), two[["x", "y", "z"]].to_numpy(), atol=1e-4)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(InputError, match="no readable ITK composite"):
        read_steps(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        for name in ("0", "1"):
            file.create_group(f"TransformGroup/{name}")
        file["TransformGroup/1/TransformType"] = [b"BSplineTransform_double_3_3"]
        file["TransformGroup/1/TransformParameters"] = [0.0]
        file["TransformGroup/1/TransformFixedParameters"] = [0.0]
    with pytest.raises(InputError, match="BSpline"):
        read_steps(tmp_path / "other.h5")
