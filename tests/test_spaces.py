"""Frames and transforms against ANTs, nibabel and known pairs."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.errors import InputError
from tmsprep.spaces import (
    Grid,
    Transform,
    apply_affine,
    closest_canonical,
    from_ants,
    is_sheared,
    load_itk_affines,
    resample,
    save_itk_affines,
    to_ants,
    voxel_sizes,
)

STORAGE = {
    "RAS": np.diag([2.0, 2, 3, 1]),
    "LAS": np.array([[-2.0, 0, 0, 40], [0, 2, 0, -30], [0, 0, 3, -20], [0, 0, 0, 1]]),
    "PSR": np.array([[0, 0, 3.0, -20], [-2, 0, 0, 30], [0, 2, 0, -25], [0, 0, 0, 1]]),
}


def oblique() -> np.ndarray:
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return nib.affines.from_matvec(turn @ np.diag([-2, 2, 3]), [35, -30, -20])


ALL = {**STORAGE, "oblique": oblique()}


def marked(affine: np.ndarray, place_ras_mm: tuple[float, float, float]) -> np.ndarray:
    """An image with one smooth bright spot at a place in space."""
    shape = (24, 26, 22)
    points = apply_affine(affine, np.argwhere(np.ones(shape, dtype=bool)))
    return np.exp(-(((points - place_ras_mm) / 6) ** 2).sum(axis=1)).reshape(shape).astype(np.float32)


def spot(data: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Centre of mass in space."""
    weights = np.clip(data, 0, None).ravel()
    points = apply_affine(affine, np.argwhere(np.ones(data.shape, dtype=bool)))
    return (points * weights[:, None]).sum(axis=0) / weights.sum()


@pytest.mark.parametrize("name", ALL)
def test_ants_sees_the_image_at_the_same_place(name: str) -> None:
    affine = ALL[name]
    data = marked(affine, tuple(apply_affine(affine, (11, 12, 10))))
    image = to_ants(data, affine)
    back, back_affine = from_ants(image)
    np.testing.assert_allclose(back_affine, affine, atol=1e-5)
    np.testing.assert_array_equal(back, data)
    # ANTs' own arithmetic: index to LPS point
    import ants

    point = ants.transform_index_to_physical_point(image, (11, 12, 10))
    np.testing.assert_allclose(np.array(point) * [-1, -1, 1], apply_affine(affine, (11, 12, 10)), atol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_a_left_marker_stays_left(name: str) -> None:
    affine = ALL[name]
    centre = apply_affine(affine, (11.5, 12.5, 10.5))
    left = centre + [-8, 4, 3]
    grid = Grid((30, 30, 30), nib.affines.from_matvec(np.eye(3) * 2, centre - 29))
    moved = resample(marked(affine, tuple(left)), affine, grid, order=3)
    found = spot(moved, grid.affine_ras_mm)
    np.testing.assert_allclose(found, left, atol=0.3)
    assert found[0] < centre[0]


@pytest.mark.parametrize("name", ALL)
def test_canonical_order_moves_nothing(name: str) -> None:
    affine = ALL[name]
    data = marked(affine, tuple(apply_affine(affine, (9, 14, 8))))
    turned, turned_affine = closest_canonical(data, affine)
    assert nib.aff2axcodes(turned_affine) == ("R", "A", "S")
    np.testing.assert_allclose(spot(turned, turned_affine), spot(data, affine), atol=1e-4)


def test_a_sheared_grid_is_recognised_and_refused_by_ants() -> None:
    sheared = oblique()
    sheared[0, 1] += 0.3
    assert is_sheared(sheared)
    assert not any(is_sheared(affine) for affine in ALL.values())
    with pytest.raises(InputError, match="sheared"):
        to_ants(np.zeros((4, 4, 4)), sheared)


def test_a_sheared_grid_is_resampled_to_the_right_place() -> None:
    sheared = oblique()
    sheared[0, 1] += 0.6
    place = apply_affine(sheared, (11, 12, 10))
    grid = Grid((40, 40, 40), nib.affines.from_matvec(np.eye(3) * 2, place - 40))
    moved = resample(marked(sheared, tuple(place)), sheared, grid, order=3)
    np.testing.assert_allclose(spot(moved, grid.affine_ras_mm), place, atol=0.5)


@given(
    turns=st.tuples(*[st.floats(-3, 3)] * 3),
    shift=st.tuples(*[st.floats(-90, 90)] * 3),
)
@settings(max_examples=30, deadline=None)
def test_itk_text_files_keep_a_matrix(tmp_path_factory: pytest.TempPathFactory, turns: tuple, shift: tuple) -> None:
    from scipy.spatial.transform import Rotation

    matrix = nib.affines.from_matvec(Rotation.from_euler("xyz", turns).as_matrix(), shift)
    path = tmp_path_factory.mktemp("itk") / "a.txt"
    save_itk_affines(path, [matrix, np.eye(4)])
    first, second = load_itk_affines(path)
    np.testing.assert_allclose(first, matrix, atol=1e-9)
    np.testing.assert_array_equal(second, np.eye(4))


def test_itk_text_files_mean_to_ants_what_they_mean_here(tmp_path: Path) -> None:
    import ants

    matrix = nib.affines.from_matvec([[0.9, -0.4, 0.1], [0.4, 0.9, 0], [0, 0.1, 1.1]], [5, -7, 11])
    path = tmp_path / "a.txt"
    save_itk_affines(path, [matrix])
    points = np.array([[10.0, 20, 30], [-40, 5, 60]])
    transform = ants.read_transform(str(path))
    lps = np.array([transform.apply_to_point((-x, -y, z)) for x, y, z in points])
    np.testing.assert_allclose(lps * [-1, -1, 1], Transform.load(path).pull_points(points), atol=1e-4)


def test_an_euler_transform_of_ants_is_read_alike(tmp_path: Path) -> None:
    import ants

    path = tmp_path / "euler.mat"
    made = ants.create_ants_transform(
        transform_type="Euler3DTransform",
        dimension=3,
        parameters=(0.2, -0.1, 0.4, 3, 4, 5),
        fixed_parameters=(10, 20, 30, 0),
    )
    text = (
        "#Insight Transform File V1.0\n#Transform 0\nTransform: Euler3DTransform_double_3_3\n"
        "Parameters: 0.2 -0.1 0.4 3 4 5\nFixedParameters: 10 20 30 0\n"
    )
    path.write_text(text)
    points = np.array([[10.0, 20, 30], [-40, 5, 60]])
    lps = np.array([made.apply_to_point((-x, -y, z)) for x, y, z in points])
    np.testing.assert_allclose(lps * [-1, -1, 1], Transform.load(path).pull_points(points), atol=1e-4)


def test_chained_transforms_apply_in_the_right_order() -> None:
    a_to_b = Transform.from_matrix(nib.affines.from_matvec(np.eye(3) * 2, [0, 0, 0]))
    b_to_c = Transform.from_matrix(nib.affines.from_matvec(np.eye(3), [10, 0, 0]))
    # a point of C goes to B (+10), then to A (x 2)
    np.testing.assert_allclose(a_to_b.followed_by(b_to_c).pull_points([[1, 1, 1]]), [[22, 2, 2]])
    np.testing.assert_allclose(apply_affine(a_to_b.followed_by(b_to_c).affine_part(), [1, 1, 1]), [22, 2, 2])


def test_another_voxel_size_keeps_the_field_of_view() -> None:
    grid = Grid((20, 30, 25), ALL["oblique"])
    other = grid.with_zooms([4, 4, 4])
    np.testing.assert_allclose(voxel_sizes(other.affine_ras_mm), 4)
    middle = apply_affine(grid.affine_ras_mm, (np.array(grid.shape) - 1) / 2)
    np.testing.assert_allclose(apply_affine(other.affine_ras_mm, (np.array(other.shape) - 1) / 2), middle)
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in grid.shape])).reshape(3, -1).T
    assert other.contains(apply_affine(grid.affine_ras_mm, corners)).all()


def test_a_transform_file_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("hello")
    with pytest.raises(InputError, match=r"x\.txt"):
        Transform.load(path)
    with pytest.raises(InputError, match="not there"):
        Transform.load(tmp_path / "y.h5")
