"""A cut shows the same world whatever way the image is stored, and the letters at its edges are right."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_participant import CENTRE, MARKER_LEFT, head, storage_affine

from tmsprep.errors import InputError
from tmsprep.report.slices import Box, Cut, Plane, Volume, bright_tissue, pulled
from tmsprep.spaces import Transform, apply_affine

STORAGES = ("RAS", "LAS", "PSR", "LIA", "SPL", "oblique", "sheared")
REACH = np.array([80.0, 100.0, 85.0])
BOX = Box(CENTRE - REACH, CENTRE + REACH)


def stored(name: str, zoom: float = 3.0) -> Volume:
    shape = (64, 72, 64)
    affine = storage_affine(name, shape, zoom)
    points = apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    return Volume(head(points)["t1w"], affine)


@pytest.mark.parametrize("name", STORAGES)
def test_bright_ball_in_the_left_appears_at_the_letter_l(name: str) -> None:
    cut = Cut.of(Plane.AXIAL, MARKER_LEFT, BOX, 1.0)
    picture = stored(name).sample(cut.points_ras_mm)
    row, column = np.argwhere(picture > 250).mean(axis=0)
    left, right, top, bottom = Plane.AXIAL.value.letters
    assert (left, right, top, bottom) == ("L", "R", "A", "P")
    assert column < picture.shape[1] / 3, "the ball is at x = -60, so on the left of the picture, where the letter L is"
    assert cut.extent_mm[0] + column + 0.5 == pytest.approx(MARKER_LEFT[0], abs=1.5)
    assert cut.extent_mm[3] - row - 0.5 == pytest.approx(MARKER_LEFT[1], abs=1.5)


@pytest.mark.parametrize("plane", list(Plane))
@pytest.mark.parametrize("name", STORAGES)
def test_every_storage_gives_the_picture_of_the_world(name: str, plane: Plane) -> None:
    """Independent truth: the phantom evaluated at each pixel's point; edges may differ by interpolation."""
    cut = Cut.of(plane, (-36.5, 25.0, 49.25), BOX, 2.0)
    difference = np.abs(stored(name).sample(cut.points_ras_mm) - head(cut.points_ras_mm)["t1w"])
    assert np.median(difference) < 1e-3
    assert np.mean(difference > 40) < 0.12


@pytest.mark.parametrize(
    ("plane", "along", "across", "up"), [(Plane.AXIAL, 2, 0, 1), (Plane.CORONAL, 1, 0, 2), (Plane.SAGITTAL, 0, 1, 2)]
)
def test_pixels_lie_where_the_axes_say(plane: Plane, along: int, across: int, up: int) -> None:
    points = Cut.of(plane, (1.0, 2.0, 3.0), BOX, 2.0).points_ras_mm
    assert np.all(points[..., along] == (1.0, 2.0, 3.0)[along])
    assert np.all(np.diff(points[..., across], axis=1) == 2.0)
    assert np.all(np.diff(points[..., up], axis=0) == -2.0), "the first row is the top"


def test_letters_name_the_directions_of_the_axes() -> None:
    """Letters are checked against the signs of RAS, not against the table that they come from."""
    names = {(0, -1): "L", (0, 1): "R", (1, -1): "P", (1, 1): "A", (2, -1): "I", (2, 1): "S"}
    for plane in Plane:
        points = Cut.of(plane, (0.0, 0.0, 0.0), BOX, 2.0).points_ras_mm
        row, column = points.shape[0] // 2, points.shape[1] // 2
        edges = (points[row, 0], points[row, -1], points[0, column], points[-1, column])
        for letter, place in zip(plane.value.letters, edges, strict=True):
            away = place - points[row, column]
            axis = int(np.argmax(np.abs(away)))
            assert letter == names[axis, int(np.sign(away[axis]))]


def test_sample_known_does_not_mix_in_the_background() -> None:
    data = np.zeros((8, 8, 8), dtype=np.float32)
    data[2:6, 2:6, 2:6] = 0.8
    values = Volume(data, np.eye(4)).sample_known(np.array([[3.5, 3.5, 3.5], [5.3, 3.0, 3.0], [5.7, 3.0, 3.0], [0, 0, 0.0]]))
    np.testing.assert_allclose(values[:2], 0.8, rtol=1e-5)
    assert np.isnan(values[2:]).all()


def test_pulled_takes_the_place_in_the_other_image() -> None:
    transform = Transform.from_matrix(np.array([[1, 0, 0, 10.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    points = np.zeros((2, 3, 3))
    np.testing.assert_allclose(pulled(points, transform)[..., 0], 10.0)


def test_bright_tissue_is_the_white_matter_of_the_phantom() -> None:
    volume = stored("oblique")
    points = volume.grid.points_ras_mm().reshape(*volume.data.shape, 3)
    parts = head(points)
    noise = np.random.default_rng(0).normal(0, 5, volume.data.shape)
    fluid = parts["brain"] & ~parts["white"] & (points[..., 2] > CENTRE[2] + 45)
    values = np.where(fluid, 30, np.minimum(volume.data, 140)) + noise
    found = (
        bright_tissue(
            Volume(values, volume.affine_ras_mm), Volume(parts["brain"].astype(np.float32), volume.affine_ras_mm)
        ).data
        > 0.5
    )
    overlap = 2 * np.sum(found & parts["white"]) / (found.sum() + parts["white"].sum())
    assert overlap > 0.98


def test_empty_mask_is_refused() -> None:
    with pytest.raises(InputError, match="brain mask is empty"):
        Box.around(Volume(np.zeros((4, 4, 4), dtype=np.float32), np.eye(4)), 5.0)
