"""Ways along a spherical scalp, where every length and direction is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.scalp.conftest import icosphere
from tmsprep.errors import ProcessingError
from tmsprep.navigate.directions import Side, nearest_label, offset
from tmsprep.navigate.pose import HeadAxes
from tmsprep.surfaces import Surface

RADIUS_MM = 90.0
AXES = HeadAxes.of((0, 90, 0), (0, -90, 0), (-90, 0, 0), (90, 0, 0))
START = np.array([-0.6, 0.5, np.sqrt(1 - 0.61)]) * RADIUS_MM


@pytest.fixture(scope="module")
def sphere() -> Surface:
    return icosphere(RADIUS_MM, 5)


def walk(start: np.ndarray, forward_mm: float, left_mm: float) -> np.ndarray:
    """Return where one arrives on the sphere (its exponential map)."""
    normal = start / np.linalg.norm(start)
    forward = np.array([0, 1.0, 0]) - normal * normal[1]
    forward /= np.linalg.norm(forward)
    left = np.cross(normal, forward)
    assert left[0] < 0
    direction = forward_mm * forward + left_mm * left
    angle = np.linalg.norm(direction) / RADIUS_MM
    return RADIUS_MM * (np.cos(angle) * normal + np.sin(angle) * direction / np.linalg.norm(direction))


@pytest.mark.parametrize(("forward", "left"), [(14, 6), (-20, 0.5), (0, -9), (8, -25), (-30, 30)])
def test_the_way_on_a_sphere(sphere: Surface, forward: float, left: float) -> None:
    found = offset(sphere, AXES, START, walk(START, forward, left))
    assert found.forward_mm == pytest.approx(forward, abs=0.6)
    assert found.left_mm == pytest.approx(left, abs=0.6)
    assert found.distance_mm == pytest.approx(np.hypot(forward, left), abs=0.1)
    assert found.side is Side.LEFT


def test_words_on_the_left_are_those_of_the_mirror_image_on_the_right(sphere: Surface) -> None:
    end = walk(START, 14, 6)
    mirror = np.array([-1, 1, 1])
    left, right = offset(sphere, AXES, START, end), offset(sphere, AXES, START * mirror, end * mirror)
    assert left.in_words == right.in_words == "14 mm forward and 6 mm down (towards the ear)"
    assert left.left_mm == pytest.approx(-right.left_mm, abs=0.5)
    assert offset(sphere, AXES, end, START).in_words.startswith("14 mm back and")
    assert "up (towards the midline)" in offset(sphere, AXES, end, START).in_words


def test_words_in_the_midline_name_the_side(sphere: Surface) -> None:
    top = np.array([0, np.sin(0.5), np.cos(0.5)]) * RADIUS_MM
    assert offset(sphere, AXES, top, walk(top, 0, 12)).in_words == "12 mm left"


def test_turning_the_head_changes_nothing(sphere: Surface) -> None:
    turn = Rotation.from_rotvec([0.2, -0.1, 0.3])
    axes = HeadAxes(turn.apply(AXES.left), turn.apply(AXES.back))
    end = walk(START, 10, -7)
    turned = Surface(turn.apply(sphere.vertices_ras_mm), sphere.faces)
    one, other = offset(sphere, AXES, START, end), offset(turned, axes, turn.apply(START), turn.apply(end))
    assert (one.forward_mm, one.left_mm) == pytest.approx((other.forward_mm, other.left_mm), abs=1e-3)


def test_nearest_label(sphere: Surface) -> None:
    labels = {"F3": START, "F5": walk(START, 0, 30), "Fz": walk(START, 0, -60)}
    assert nearest_label(sphere, AXES, walk(START, 12, 0), labels) == ("F3", "1.2 cm anterior of F3")
    assert nearest_label(sphere, AXES, walk(START, 0, 20), labels)[0] == "F5"
    assert nearest_label(sphere, AXES, START, labels) == ("F3", "at F3")
    with pytest.raises(ProcessingError, match="10-10"):
        nearest_label(sphere, AXES, START, {})


def test_where_the_scalp_faces_the_front_forward_has_no_meaning(sphere: Surface) -> None:
    with pytest.raises(ProcessingError, match="faces along"):
        offset(sphere, AXES, (0, RADIUS_MM, 0), (0, RADIUS_MM * np.cos(0.2), RADIUS_MM * np.sin(0.2)))
