"""Measuring a head as a technician does: vertex, tape lengths, 10-20 positions, and Beam F3 on the scalp.

Everything follows from the four fiducials and the surface; no image and no template is used here. Left is where LPA is,
and LPA must have the smaller RAS x.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tmsprep.errors import ProcessingError
from tmsprep.options import CircumferencePlane
from tmsprep.scalp.beamf3 import BeamF3Distances, TapeLengths, beamf3_distances
from tmsprep.scalp.geodesic import geodesic
from tmsprep.scalp.lines import Plane, Polyline, arc, section, tape_arc, tape_loop
from tmsprep.spaces import Array
from tmsprep.surfaces import Surface

VERTEX_TOLERANCE_MM = 0.1
_VERTEX_ROUNDS = 50
_ABOVE_HEAD_MM = 250.0


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Nasion, inion, left and right preauricular point, each (3,), on the scalp."""

    nas_ras_mm: Array
    ini_ras_mm: Array
    lpa_ras_mm: Array
    rpa_ras_mm: Array

    @classmethod
    def on(cls, surface: Surface, positions_ras_mm: Mapping[str, Array]) -> Landmarks:
        """Move fiducials, by name (NAS, INI, LPA, RPA), to the surface."""
        nas, ini, lpa, rpa = (surface.nearest(positions_ras_mm[name]) for name in ("NAS", "INI", "LPA", "RPA"))
        return cls(nas, ini, lpa, rpa)

    @property
    def axes(self) -> Array:
        """Unit vectors of the head towards its right, front and top, as rows (3, 3).

        Raises
        ------
        ProcessingError
            LPA does not lie to the left (smaller RAS x) of RPA, or nasion not in front of inion.
        """
        across = self.rpa_ras_mm - self.lpa_ras_mm
        right = across / np.linalg.norm(across)
        ahead = self.nas_ras_mm - self.ini_ras_mm
        ahead = ahead - right * (ahead @ right)
        front = ahead / np.linalg.norm(ahead)
        if right[0] <= 0 or front[1] <= 0:
            raise ProcessingError(
                "LPA is not left of RPA, or the nasion is not in front of the inion",
                expected="fiducials in scanner RAS mm: x grows to the right, y to the front",
                action="check the fiducials and the orientation of the T1w image",
            )
        return np.stack([right, front, np.cross(right, front)]).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Measurements:
    """What was measured on one head."""

    landmarks: Landmarks
    vertex_ras_mm: Array
    """(3,): half of nasion-inion and half of tragus-tragus."""
    nasion_inion: Polyline
    """From the nasion over the vertex."""
    tragus_tragus: Polyline
    """From LPA over the vertex."""
    circumference: Polyline
    """A loop from the front midline to the left."""

    @property
    def lengths(self) -> TapeLengths:
        """The three tape lengths."""
        return TapeLengths(self.nasion_inion.length_mm, self.tragus_tragus.length_mm, self.circumference.length_mm)


@dataclass(frozen=True, eq=False)
class BeamF3Location:
    """Beam F3 on the scalp."""

    distances: BeamF3Distances
    x_mark_ras_mm: Array
    """(3,), on the circumference."""
    line: Polyline
    """From the vertex to the X mark."""
    position_ras_mm: Array
    """(3,)."""


def measure(surface: Surface, landmarks: Landmarks, plane: CircumferencePlane = CircumferencePlane.FPZ_OZ) -> Measurements:
    """Find the vertex and measure the three tape lengths.

    `plane` says where the tape for the circumference lies. On the template's scalp the choice moves Beam F3 by 1 mm.

    Raises
    ------
    ProcessingError
        The vertex does not settle, or a plane misses the scalp: the fiducials cannot be right.
    """
    vertex = _find_vertex(surface, landmarks)
    sagittal = tape_over(surface, landmarks.nas_ras_mm, vertex, landmarks.ini_ras_mm)
    coronal = tape_over(surface, landmarks.lpa_ras_mm, vertex, landmarks.rpa_ras_mm)
    loop = _circumference(surface, landmarks, sagittal, vertex, _PLANES[plane])
    return Measurements(landmarks, vertex, sagittal, coronal, loop)


def tape_over(surface: Surface, start: Array, via: Array, end: Array) -> Polyline:
    """Lay a tape from one point over another to a third, in their plane."""
    plane = Plane.through(start, via, end)
    return tape_arc(arc(section(surface, plane, via), start, end, via), plane.normal)


def _find_vertex(surface: Surface, landmarks: Landmarks) -> Array:
    """Halve the two lines in turn until neither moves the vertex."""
    centre = (landmarks.lpa_ras_mm + landmarks.rpa_ras_mm) / 2
    above = centre + _ABOVE_HEAD_MM * landmarks.axes[2]
    vertex = tape_over(surface, landmarks.lpa_ras_mm, above, landmarks.rpa_ras_mm).at_fraction(0.5)
    for _ in range(_VERTEX_ROUNDS):
        before = vertex
        for start, end in (
            (landmarks.nas_ras_mm, landmarks.ini_ras_mm),
            (landmarks.lpa_ras_mm, landmarks.rpa_ras_mm),
        ):
            vertex = surface.nearest(tape_over(surface, start, vertex, end).at_fraction(0.5))
        if np.linalg.norm(vertex - before) < VERTEX_TOLERANCE_MM / 10:
            return vertex
    raise ProcessingError("no vertex halves both lines over the head", action="check the fiducials")


_PLANES = {CircumferencePlane.FPZ_OZ: (0.1, 0.9), CircumferencePlane.EYEBROWS_INION: (0.1 / 3, 1.0)}
"""Fractions of nasion-inion through which the tape runs in front and behind."""


def _circumference(
    surface: Surface, landmarks: Landmarks, sagittal: Polyline, vertex: Array, parts: tuple[float, float]
) -> Polyline:
    """Lay a tape around the head through two places of the midline, square to it; from the front one to the left."""
    fpz, oz = (surface.nearest(sagittal.at_fraction(part)) for part in parts)
    across = Plane.through(landmarks.nas_ras_mm, vertex, landmarks.ini_ras_mm).normal
    plane = Plane.through(fpz, oz, fpz + across)
    loop = tape_loop(section(surface, plane, fpz), plane.normal)
    middle = (fpz + oz) / 2
    left = middle - _ABOVE_HEAD_MM * landmarks.axes[0]
    there, back = arc(loop, fpz, oz, left), arc(loop, oz, fpz, 2 * middle - left)
    return Polyline(np.vstack([there.points_ras_mm, back.points_ras_mm[1:]]))


ADJUSTMENT_MM = 3.5
"""How much farther from the vertex the MRI-guided place lay on average (Mir-Moghtadaei et al. 2015,
doi:10.1016/j.brs.2015.05.008)."""


def locate_on_scalp(surface: Surface, measured: Measurements, *, beyond_mm: float = 0.0) -> BeamF3Location:
    """Find Beam F3: X along the circumference from FPz to the left, then Y from the vertex towards that mark.

    Notes
    -----
    The line to the mark is the shortest over the scalp, where a taut tape lies. A line in the plane through vertex, mark
    and the middle between the ears is 0.4 mm longer and passes 4 to 6 mm nearer to the midline at this place: so far can
    a hand-laid tape differ.
    """
    distances = beamf3_distances(measured.lengths)
    mark = surface.nearest(measured.circumference.at_mm(distances.x_mm))
    line = geodesic(surface, measured.vertex_ras_mm, mark)
    return BeamF3Location(distances, mark, line, surface.nearest(line.at_mm(distances.y_mm + beyond_mm)))


def locate_beamf4(surface: Surface, landmarks: Landmarks, plane: CircumferencePlane = CircumferencePlane.FPZ_OZ) -> Array:
    """Return Beam F4, (3,): the mirror image of Beam F3 on the mirrored head."""
    flip = np.array([-1.0, 1.0, 1.0])
    mirrored = Surface(surface.vertices_ras_mm * flip, surface.faces[:, ::-1].copy())
    turned = Landmarks(
        landmarks.nas_ras_mm * flip, landmarks.ini_ras_mm * flip, landmarks.rpa_ras_mm * flip, landmarks.lpa_ras_mm * flip
    )
    return locate_on_scalp(mirrored, measure(mirrored, turned, plane)).position_ras_mm * flip


def f3_on_scalp(surface: Surface, measured: Measurements) -> Array:
    """Find the 10-20 position F3, (3,), by contours.

    Notes
    -----
    Oostenveld and Praamstra 2001, doi:10.1016/S1388-2457(00)00527-7: FPz, Fz and Oz at 10, 30 and 90 % of nasion-inion;
    T7 and T8 at 10 and 90 % of LPA-vertex-RPA; F7 (F8) at 30 % of FPz-T7-Oz (FPz-T8-Oz); F3 at 25 % of F7-Fz-F8.
    """
    fpz, fz, oz = (surface.nearest(measured.nasion_inion.at_fraction(part)) for part in (0.1, 0.3, 0.9))
    t7, t8 = (surface.nearest(measured.tragus_tragus.at_fraction(part)) for part in (0.1, 0.9))
    f7, f8 = (surface.nearest(tape_over(surface, fpz, side, oz).at_fraction(0.3)) for side in (t7, t8))
    return surface.nearest(tape_over(surface, f7, fz, f8).at_fraction(0.25))
