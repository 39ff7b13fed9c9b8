"""Measuring on shapes whose answer is known in closed form, and lines against an exact algorithm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tmsprep.errors import ProcessingError
from tmsprep.scalp.beamf3 import TapeLengths, beamf3_distances
from tmsprep.scalp.geodesic import geodesic, with_vertex
from tmsprep.scalp.lines import Plane, Polyline, arc, section, tape_arc, tape_loop
from tmsprep.scalp.measure import Landmarks, f3_on_scalp, locate_on_scalp, measure
from tmsprep.surfaces import Surface

from .conftest import icosphere

RADIUS_MM = 100.0
EQUATOR = {"NAS": (0, 1, 0), "INI": (0, -1, 0), "LPA": (-1, 0, 0), "RPA": (1, 0, 0)}


@pytest.fixture(scope="module")
def sphere() -> Surface:
    return icosphere(RADIUS_MM, 5)


def landmarks(surface: Surface, turn: Rotation | None = None) -> Landmarks:
    places = {name: np.array(place) * RADIUS_MM for name, place in EQUATOR.items()}
    return Landmarks.on(surface, {name: place if turn is None else turn.apply(place) for name, place in places.items()})


def direction(polar_deg: float, left_of_front_deg: float) -> np.ndarray:
    """Unit vector at an angle from the vertex, at an azimuth from the front to the left."""
    polar, azimuth = np.radians([polar_deg, left_of_front_deg])
    return np.array([-np.sin(polar) * np.sin(azimuth), np.sin(polar) * np.cos(azimuth), np.cos(polar)])


def expected_beamf3() -> np.ndarray:
    over, around = np.pi * RADIUS_MM, 2 * np.pi * RADIUS_MM * np.cos(np.radians(18))
    wanted = beamf3_distances(TapeLengths(over, over, around))
    azimuth = np.degrees(wanted.x_mm / (RADIUS_MM * np.cos(np.radians(18))))
    return RADIUS_MM * direction(np.degrees(wanted.y_mm / RADIUS_MM), azimuth)


def expected_f3() -> np.ndarray:
    """A quarter of the small circle through F7, Fz and F8."""
    f7, f8 = direction(72, 54), direction(72, -54)
    fz = direction(36, 0)
    normal = np.cross(fz - f7, f8 - f7)
    normal /= np.linalg.norm(normal)
    centre = normal * (normal @ f7)
    start, end = f7 - centre, f8 - centre
    side = np.cross(normal, start)
    half = np.arctan2((fz - centre) @ side, (fz - centre) @ start)
    whole = np.mod(np.arctan2(end @ side, end @ start) * np.sign(half), 2 * np.pi) * np.sign(half)
    return RADIUS_MM * (centre + np.cos(whole / 4) * start + np.sin(whole / 4) * side)


def test_sphere_in_closed_form(sphere: Surface) -> None:
    measured = measure(sphere, landmarks(sphere))
    assert np.linalg.norm(measured.vertex_ras_mm - [0, 0, RADIUS_MM]) < 0.2
    assert measured.lengths.nasion_inion_mm == pytest.approx(np.pi * RADIUS_MM, rel=2e-3)
    assert measured.lengths.tragus_tragus_mm == pytest.approx(np.pi * RADIUS_MM, rel=2e-3)
    around = 2 * np.pi * RADIUS_MM * np.cos(np.radians(18))
    assert measured.lengths.circumference_mm == pytest.approx(around, rel=2e-3)
    assert np.linalg.norm(locate_on_scalp(sphere, measured).position_ras_mm - expected_beamf3()) < 0.5
    assert np.linalg.norm(f3_on_scalp(sphere, measured) - expected_f3()) < 0.5


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000))
def test_turning_the_head_turns_the_result(seed: int) -> None:
    random = np.random.default_rng(seed)
    turn = Rotation.from_rotvec(np.radians(random.uniform(-15, 15, 3)))
    surface = icosphere(RADIUS_MM, 4)
    measured = measure(surface, landmarks(surface, turn))
    place = locate_on_scalp(surface, measured).position_ras_mm
    assert np.linalg.norm(turn.inv().apply(place) - expected_beamf3()) < 1.5


def test_vertex_halves_both_lines() -> None:
    """On an egg, front and back and left and right differ."""
    ball = icosphere(1.0, 5)
    x, y, z = ball.vertices_ras_mm.T
    egg = Surface(np.stack([75 * x * (1 + 0.1 * y), 95 * y + 5 * x, 90 * z * (1 - 0.1 * y)], axis=1), ball.faces)
    places = {"NAS": (2, 92, -20), "INI": (-3, -94, -15), "LPA": (-74, 2, -20), "RPA": (74, -3, -15)}
    measured = measure(egg, Landmarks.on(egg, {name: np.array(place) for name, place in places.items()}))
    for line in (measured.nasion_inion, measured.tragus_tragus):
        assert line.nearest_mm(measured.vertex_ras_mm) == pytest.approx(line.length_mm / 2, abs=0.1)


def test_mirrored_head_still_gives_the_left(sphere: Surface) -> None:
    mirror = np.array([-1.0, 1, 1])
    x, y, z = sphere.vertices_ras_mm.T
    lopsided = Surface(np.stack([np.where(x > 0, 0.9, 1.0) * x, y, z], axis=1), sphere.faces)
    mirrored = Surface(lopsided.vertices_ras_mm * mirror, lopsided.faces[:, ::-1].copy())
    for surface in (lopsided, mirrored):
        places = {name: np.array(place) * RADIUS_MM for name, place in EQUATOR.items()}
        place = locate_on_scalp(surface, measure(surface, Landmarks.on(surface, places))).position_ras_mm
        assert place[0] < -30
        assert place[1] > 30


def test_swapped_ears_are_refused(sphere: Surface) -> None:
    places = {name: np.array(place) * RADIUS_MM for name, place in EQUATOR.items()}
    places["LPA"], places["RPA"] = places["RPA"], places["LPA"]
    with pytest.raises(ProcessingError, match="LPA"):
        measure(sphere, Landmarks.on(sphere, places))


def test_tape_bridges_a_hollow() -> None:
    angles = np.linspace(0, 2 * np.pi, 361)
    radii = np.where(np.abs(angles - np.pi / 2) < 0.2, 80.0, 100.0)
    dented = Polyline(np.stack([radii * np.cos(angles), radii * np.sin(angles), np.zeros(361)], axis=1))
    bridge = 2 * 100 * np.sin(0.2) - 2 * 100 * 0.2
    assert tape_loop(dented, np.array([0, 0, 1.0])).length_mm == pytest.approx(2 * np.pi * 100 + bridge, abs=0.6)
    half = Polyline(dented.points_ras_mm[:181])
    assert tape_arc(half, np.array([0, 0, 1.0])).length_mm == pytest.approx(np.pi * 100 + bridge, abs=0.6)


@settings(max_examples=20, deadline=None)
@given(st.floats(-80, 80), st.integers(0, 1000))
def test_section_of_a_sphere_is_a_circle(height: float, seed: int) -> None:
    surface = icosphere(RADIUS_MM, 4)
    normal = np.random.default_rng(seed).normal(size=3)
    normal /= np.linalg.norm(normal)
    loop = section(surface, Plane(height * normal, normal), height * normal)
    assert loop.length_mm == pytest.approx(2 * np.pi * np.sqrt(RADIUS_MM**2 - height**2), rel=0.01)
    assert np.abs((loop.points_ras_mm - height * normal) @ normal).max() < 1e-6


def test_arc_takes_the_asked_side(sphere: Surface) -> None:
    normal = np.array([0, 0, 1.0])
    loop = section(sphere, Plane(np.zeros(3), normal), (0, 100, 0))
    front, left = np.array([0, 100.0, 0]), np.array([-100.0, 0, 0])
    short = arc(loop, front, left, direction(90, 45) * 100)
    long = arc(loop, front, left, direction(90, 200) * 100)
    assert short.length_mm == pytest.approx(np.pi * 50, rel=0.01)
    assert long.length_mm == pytest.approx(np.pi * 150, rel=0.01)
    for line in (short, long):
        assert np.allclose(line.points_ras_mm[0], front, atol=0.5)
        assert np.allclose(line.points_ras_mm[-1], left, atol=0.5)


def bumpy() -> Surface:
    ball = icosphere(90.0, 4)
    bumps = 1 + 0.06 * np.sin(ball.vertices_ras_mm @ [0.05, 0.03, 0.02]) * np.cos(ball.vertices_ras_mm @ [0.01, -0.05, 0.04])
    return Surface(ball.vertices_ras_mm * bumps[:, np.newaxis] * [0.8, 1.0, 0.95], ball.faces)


def close_pair(surface: Surface, seed: int) -> tuple[int, int]:
    """Two vertices less than a quarter of the way around: between opposite ones several lines are locally shortest."""
    random = np.random.default_rng(seed)
    while True:
        start, end = random.choice(len(surface.vertices_ras_mm), 2, replace=False)
        first, second = surface.vertices_ras_mm[[start, end]]
        if first @ second > 0.1 * np.linalg.norm(first) * np.linalg.norm(second):
            return int(start), int(end)


@pytest.mark.parametrize("seed", range(4))
def test_geodesic_against_the_exact_algorithm(seed: int) -> None:
    """pygeodesic solves the polyhedral problem exactly (Mitchell, Mount, Papadimitriou)."""
    exact = pytest.importorskip("pygeodesic.geodesic")
    surface = bumpy()
    start, end = close_pair(surface, seed)
    solver = exact.PyGeodesicAlgorithmExact(surface.vertices_ras_mm, surface.faces.astype(np.int32))
    truth, _ = solver.geodesicDistance(int(start), int(end))
    found = geodesic(surface, surface.vertices_ras_mm[start], surface.vertices_ras_mm[end])
    assert found.length_mm == pytest.approx(truth, rel=3e-3)


@pytest.mark.parametrize("seed", range(4))
def test_on_a_rough_scalp_the_shortest_of_several_taut_lines_is_taken(seed: int) -> None:
    exact = pytest.importorskip("pygeodesic.geodesic")
    ball = icosphere(90.0, 5)
    rough = 1 + np.random.default_rng(seed).normal(0, 0.003, len(ball.vertices_ras_mm))
    surface = Surface(ball.vertices_ras_mm * rough[:, np.newaxis], ball.faces)
    start, end = (surface.nearest_vertex(direction(polar, 10.0 * seed) * 90) for polar in (5, 85))
    solver = exact.PyGeodesicAlgorithmExact(surface.vertices_ras_mm, surface.faces.astype(np.int32))
    truth, _ = solver.geodesicDistance(int(start), int(end))
    found = geodesic(surface, surface.vertices_ras_mm[start], surface.vertices_ras_mm[end])
    assert found.length_mm == pytest.approx(truth, rel=1e-3)  # one taut line alone is 0.2 to 0.8 % longer


def test_geodesic_between_places_inside_faces_on_a_sphere() -> None:
    surface = icosphere(RADIUS_MM, 5)
    first, second = direction(20, 10), direction(80, 75)
    line = geodesic(surface, first * RADIUS_MM, second * RADIUS_MM)
    assert line.length_mm == pytest.approx(RADIUS_MM * np.arccos(first @ second), rel=2e-3)
    assert np.linalg.norm(line.points_ras_mm[0] - surface.nearest(first * RADIUS_MM)) < 0.02


def test_inserted_vertex_keeps_the_surface_closed() -> None:
    surface = icosphere(RADIUS_MM, 3)
    place = surface.nearest(direction(33, 21) * RADIUS_MM)
    refined, index = with_vertex(surface, place)
    assert refined.is_closed()
    assert refined.euler_number() == 2
    assert np.linalg.norm(refined.vertices_ras_mm[index] - place) < 0.05


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_nearest_point_is_not_farther_than_a_dense_sample(seed: int) -> None:
    random = np.random.default_rng(seed)
    surface = icosphere(50.0, 2)
    point = random.normal(size=3) * 60
    weights = random.dirichlet([1, 1, 1], size=2000)
    faces = random.integers(len(surface.faces), size=2000)
    sample = np.einsum("ij,ijk->ik", weights, surface.corners_ras_mm[faces])
    assert surface.distance_mm(point) <= np.linalg.norm(sample - point, axis=1).min() + 1e-9


def test_surface_round_trip_and_winding(tmp_path, sphere: Surface) -> None:
    import nibabel as nib

    path = tmp_path / "ball.surf.gii"
    sphere.save(path)
    again = Surface.load(path)
    assert np.abs(again.vertices_ras_mm - sphere.vertices_ras_mm).max() < 1e-4
    assert again.signed_volume_mm3() == pytest.approx(4 / 3 * np.pi * RADIUS_MM**3, rel=0.01)
    assert again.flipped().signed_volume_mm3() < 0
    points = nib.load(path).get_arrays_from_intent("NIFTI_INTENT_POINTSET")[0]
    assert points.coordsys.dataspace == nib.nifti1.xform_codes["NIFTI_XFORM_SCANNER_ANAT"]
    assert not Surface(sphere.vertices_ras_mm, sphere.faces[1:]).is_closed()
