"""How far Beam F3 moves when the fiducials are a little wrong, as automatic and human ones are.

Each fiducial is moved on the scalp by a normal deviate in two directions, the head measured anew, Beam F3 placed anew. The
default is 3 mm in each direction: what the automatic fiducials missed the published ones by (2.4 to 2.9 mm, root mean
square), and about what people differ by among themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tmsprep.errors import ProcessingError
from tmsprep.scalp.beamf3 import beamf3_distances
from tmsprep.scalp.geodesic import geodesic
from tmsprep.scalp.measure import Landmarks, Measurements, measure
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


def beamf3_spread(surface: Surface, landmarks: Landmarks, *, seed: int, draws: int = DRAWS) -> Spread:
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

    Raises
    ------
    ProcessingError
        Too many draws give no place: the fiducials sit where the scalp ends.
    """
    rng = np.random.default_rng(seed)
    measured = measure(surface, landmarks)
    placer = _Placer.about(surface, measured)
    place = placer.place(measured)
    distances: list[float] = []
    for _ in range(draws):
        moved = Landmarks(*(_moved(surface, place, rng) for place in _places(landmarks)))
        try:
            other = placer.place(measure(surface, moved))
        except ProcessingError:
            continue
        distances.append(float(np.linalg.norm(other - place)))
    if len(distances) < _FEWEST_SHARE * draws:
        raise ProcessingError(f"only {len(distances)} of {draws} draws of moved fiducials give a Beam F3")
    return Spread(float(np.median(distances)), float(np.quantile(distances, 0.95)), len(distances))


@dataclass(frozen=True, eq=False)
class _Placer:
    """Places Beam F3 with the shortest lines sought on the part of the scalp about them only: five times as fast."""

    surface: Surface
    part: Surface

    @classmethod
    def about(cls, surface: Surface, measured: Measurements) -> _Placer:
        mark = measured.circumference.at_mm(beamf3_distances(measured.lengths).x_mm)
        middle, reach = (measured.vertex_ras_mm + mark) / 2, float(np.linalg.norm(measured.vertex_ras_mm - mark))
        near = np.linalg.norm(surface.vertices_ras_mm - middle, axis=1) < reach / 2 + _MARGIN_MM
        faces = surface.faces[near[surface.faces].all(axis=1)]
        kept = np.unique(faces)
        return cls(surface, Surface(surface.vertices_ras_mm[kept], np.searchsorted(kept, faces)))

    def place(self, measured: Measurements) -> Array:
        distances = beamf3_distances(measured.lengths)
        mark = self.part.nearest(measured.circumference.at_mm(distances.x_mm))
        line = geodesic(self.part, measured.vertex_ras_mm, mark)
        return self.part.nearest(line.at_mm(distances.y_mm))


def _places(landmarks: Landmarks) -> tuple[Array, Array, Array, Array]:
    return landmarks.nas_ras_mm, landmarks.ini_ras_mm, landmarks.lpa_ras_mm, landmarks.rpa_ras_mm


def _moved(surface: Surface, place: Array, rng: np.random.Generator) -> Array:
    """Return the place moved by normal deviates in the plane that touches the scalp, and back on it."""
    normal = surface.vertex_normals[surface.nearest_vertex(place)]
    shift = rng.normal(0.0, SD_MM, size=3)
    return surface.nearest(place + shift - normal * (shift @ normal))
