"""How far Beam F3 moves when the fiducials are a little wrong, as automatic and human ones are.

Each fiducial is moved on the scalp by a normal deviate in two directions, the head measured anew, Beam F3 placed anew. The
default is 3 mm in each direction: what the automatic fiducials missed the published ones by (2.4 to 2.9 mm, root mean
square), and about what people differ by among themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tmsprep.errors import ProcessingError
from tmsprep.options import CircumferencePlane
from tmsprep.scalp.beamf3 import beamf3_distances
from tmsprep.scalp.measure import Landmarks, Measurements, locate_on_scalp, measure
from tmsprep.spaces import Array
from tmsprep.surfaces import Surface

SD_MM = 3.0
DRAWS = 40
_MARGIN_MM = 40.0
"""Of scalp about the line from vertex to mark."""
_FEWEST_SHARE = 0.8
"""Of the draws that must give a place."""


@dataclass(frozen=True)
class Spread:
    """Distances of the moved Beam F3 from its place."""

    median_mm: float
    p95_mm: float
    draws: int


def beamf3_spread(
    surface: Surface,
    landmarks: Landmarks,
    *,
    seed: int,
    draws: int = DRAWS,
    plane: CircumferencePlane = CircumferencePlane.FPZ_OZ,
) -> Spread:
    """Measure the spread.

    Parameters
    ----------
    surface
        The scalp.
    landmarks
        Where the fiducials are.
    seed
        Governs the draws.
    draws
        How many.
    plane
        Of the circumference.

    Raises
    ------
    ProcessingError
        Too many draws give no place: the fiducials sit where the scalp ends.
    """
    rng = np.random.default_rng(seed)
    measured = measure(surface, landmarks, plane)
    part = _part_about(surface, measured)
    place = locate_on_scalp(part, measured).position_ras_mm
    distances: list[float] = []
    for _ in range(draws):
        moved = Landmarks(*(_moved(surface, mark, rng) for mark in _places(landmarks)))
        try:
            other = locate_on_scalp(part, measure(surface, moved, plane)).position_ras_mm
        except ProcessingError:
            continue
        distances.append(float(np.linalg.norm(other - place)))
    if len(distances) < _FEWEST_SHARE * draws:
        raise ProcessingError(f"only {len(distances)} of {draws} draws of moved fiducials give a Beam F3")
    return Spread(float(np.median(distances)), float(np.quantile(distances, 0.95)), len(distances))


def _part_about(surface: Surface, measured: Measurements) -> Surface:
    """Return the part of the scalp about the line from vertex to X mark: on it, the line is found five times as fast."""
    mark = measured.circumference.at_mm(beamf3_distances(measured.lengths).x_mm)
    middle, reach = (measured.vertex_ras_mm + mark) / 2, float(np.linalg.norm(measured.vertex_ras_mm - mark))
    near = np.linalg.norm(surface.vertices_ras_mm - middle, axis=1) < reach / 2 + _MARGIN_MM
    faces = surface.faces[near[surface.faces].all(axis=1)]
    kept = np.unique(faces)
    return Surface(surface.vertices_ras_mm[kept], np.searchsorted(kept, faces))


def _places(landmarks: Landmarks) -> tuple[Array, Array, Array, Array]:
    return landmarks.nas_ras_mm, landmarks.ini_ras_mm, landmarks.lpa_ras_mm, landmarks.rpa_ras_mm


def _moved(surface: Surface, place: Array, rng: np.random.Generator) -> Array:
    """Return the place moved by normal deviates in the plane that touches the scalp, and back on it."""
    normal = surface.vertex_normals[surface.nearest_vertex(place)]
    shift = rng.normal(0.0, SD_MM, size=3)
    return surface.nearest(place + shift - normal * (shift @ normal))
