"""The template's brain with everybody's places: left stays left, front is at the left, and no place is moved."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tmsprep.report.group_surface import FROM_THE_LEFT, OBLIQUE, Brain, draw_brain, right_half, surface_pictures
from tmsprep.report.pictures import Picture

FRONTAL, OCCIPITAL = (-38.0, 38.0, 38.0), (-20.0, -95.0, 5.0)


@pytest.fixture(scope="module")
def brain() -> Brain:
    return Brain.load()


def pixels_of(picture: Picture) -> NDArray[np.int16]:
    data = base64.b64decode(picture.data_uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=np.int16)


def coloured(picture: Picture) -> NDArray[np.float64]:
    """Return the column and row of the middle of what is coloured: the brain is grey."""
    pixels = pixels_of(picture)
    rows, columns = np.nonzero(pixels.max(axis=-1) - pixels.min(axis=-1) > 90)
    return np.array([columns.mean(), rows.mean()])


def test_the_brain_is_drawn_where_the_template_has_it(brain: Brain) -> None:
    sheet = draw_brain(brain, FROM_THE_LEFT)
    columns, rows = sheet.pixels([tuple(place) for place in brain.inside_ras_mm]).round().astype(int).T
    assert (sheet.grey[rows, columns] < 250).mean() > 0.9995
    assert (sheet.grey == 255).mean() > 0.2, "and not elsewhere"


def test_the_front_is_at_the_left_and_up_is_up(brain: Brain) -> None:
    sheet = draw_brain(brain, FROM_THE_LEFT)
    rows, columns = sheet.grey.shape
    (front, high), (back, low) = sheet.pixels([FRONTAL, OCCIPITAL])
    assert front < 0.35 * columns and back > 0.8 * columns
    assert high < low < rows


@pytest.mark.parametrize("filled", [True, False])
def test_a_place_is_marked_where_it_is(brain: Brain, filled: bool) -> None:
    groups = ([[FRONTAL]], [[]]) if filled else ([[]], [[FRONTAL]])
    whole, close = surface_pictures(*groups)
    y, z = brain.inside_ras_mm[:, 1], brain.inside_ras_mm[:, 2]
    pixel_mm = (y.max() - y.min() + 8.0) / whole.width
    expected = [(y.max() + 4.0 - FRONTAL[1]) / pixel_mm, (z.max() + 4.0 - FRONTAL[2]) / pixel_mm]
    np.testing.assert_allclose(coloured(whole), expected, atol=2.0)
    np.testing.assert_allclose(coloured(close), [close.width / 2, close.height / 2], atol=3.0)


def test_distances_across_the_line_of_sight_are_true(brain: Brain) -> None:
    """20 mm upright in the closer view look shorter by the cosine of its elevation, 20 mm across it do not."""
    sheet = draw_brain(brain, OBLIQUE, near=[FRONTAL])
    towards = np.array(OBLIQUE.towards_viewer) / np.linalg.norm(OBLIQUE.towards_viewer)
    across = np.array([towards[1], -towards[0], 0.0])
    flat = 20.0 * across / np.linalg.norm(across)
    start = np.array(FRONTAL)
    places = [tuple(start), tuple(start + [0.0, 0.0, 20.0]), tuple(start + flat)]
    first, up, side = sheet.pixels(places) * sheet.pixel_mm
    assert first[1] - up[1] == pytest.approx(20.0 * np.sqrt(1 - towards[2] ** 2))
    assert np.linalg.norm(side - first) == pytest.approx(20.0)


def test_the_right_half_is_not_drawn_through_the_brain() -> None:
    right = (38.0, 38.0, 38.0)
    assert surface_pictures([[right]], [[]]) == []
    assert right_half([[right, FRONTAL], []]) == 1
    both, alone = surface_pictures([[right, FRONTAL]], [[]]), surface_pictures([[FRONTAL]], [[]])
    assert [picture.data_uri for picture in both] == [picture.data_uri for picture in alone]
