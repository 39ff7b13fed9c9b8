"""The shortest line between two places on the scalp.

Edge flips give the locally shortest line exactly (Sharp and Crane 2020, doi:10.1145/3414685.3417839); a walk along mesh
edges is 5 % too long however fine the mesh. A rough scalp has several locally shortest lines, up to 0.8 % longer
and 3 mm beside each other: lines are pulled taut from several sides, and the shortest is taken (then 0.05 %).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tmsprep.scalp.lines import Polyline
from tmsprep.spaces import Array
from tmsprep.surfaces import Surface

_SAME_PLACE_MM = 1e-3
_MIN_WEIGHT = 1e-3
_LONG_MM = 30.0
"""From this length on, a line is pulled taut from several sides."""
_BESIDE_MM = (-15.0, -10.0, -6.0, -3.0, 3.0, 6.0, 10.0, 15.0)
"""How far beside the middle the further lines start."""


def geodesic(surface: Surface, start_ras_mm: ArrayLike, end_ras_mm: ArrayLike) -> Polyline:
    """Return the shortest line on a closed surface between two places.

    Parameters
    ----------
    surface
        Closed, without handles.
    start_ras_mm, end_ras_mm
        (3,); moved to the surface if they are not on it. They need not be vertices.

    Returns
    -------
    Polyline
        From the start to the end.
    """
    import potpourri3d as pp3d

    refined, start = with_vertex(surface, surface.nearest(start_ras_mm))
    refined, end = with_vertex(refined, refined.nearest(end_ras_mm))
    if start == end:
        return Polyline(refined.vertices_ras_mm[[start, end]])
    solver = pp3d.EdgeFlipGeodesicSolver(refined.vertices_ras_mm, refined.faces)
    line = Polyline(np.asarray(solver.find_geodesic_path(start, end), dtype=np.float64))
    if line.length_mm < _LONG_MM:
        return line
    others = (solver.find_geodesic_path_poly([start, via, end]) for via in _beside(refined, line) if via not in {start, end})
    lines = [line, *(Polyline(np.asarray(points, dtype=np.float64)) for points in others)]
    return min(lines, key=lambda item: item.length_mm)


def _beside(surface: Surface, line: Polyline) -> list[int]:
    """Return vertices on both sides of a line's middle."""
    middle = line.at_fraction(0.5)
    along = line.points_ras_mm[-1] - line.points_ras_mm[0]
    across = np.cross(surface.vertex_normals[surface.nearest_vertex(middle)], along / np.linalg.norm(along))
    return [surface.nearest_vertex(middle + distance * across) for distance in _BESIDE_MM]


def with_vertex(surface: Surface, point_ras_mm: ArrayLike) -> tuple[Surface, int]:
    """Return the surface with a vertex at a place on it, and that vertex's index.

    The face that holds the place is split in three; a place on an edge is moved inwards by a thousandth of the face.
    """
    point = np.asarray(point_ras_mm, dtype=np.float64)
    vertex = surface.nearest_vertex(point)
    if np.linalg.norm(surface.vertices_ras_mm[vertex] - point) < _SAME_PLACE_MM:
        return surface, vertex
    face, weights = _face_of(surface, point)
    weights = np.maximum(weights, _MIN_WEIGHT)
    corners = surface.faces[face]
    new = len(surface.vertices_ras_mm)
    place = (weights / weights.sum()) @ surface.vertices_ras_mm[corners]
    split = np.array([[corners[i], corners[(i + 1) % 3], new] for i in range(3)])
    faces = np.vstack([np.delete(surface.faces, face, axis=0), split])
    return Surface(np.vstack([surface.vertices_ras_mm, place]), faces), new


def _face_of(surface: Surface, point: Array) -> tuple[int, Array]:
    """Return the face that holds a place on the surface, and the place's barycentric weights (3,) there."""
    near = surface.vertices_within(point, float(np.linalg.norm(surface.nearest_vertex_ras_mm(point) - point)) * 3 + 1)
    faces = np.flatnonzero(np.isin(surface.faces, near).any(axis=1))
    corners = surface.corners_ras_mm[faces]
    weights = np.stack([_barycentric(point, triangle) for triangle in corners])
    places = np.einsum("ij,ijk->ik", np.clip(weights, 0, None), corners) / np.clip(weights, 0, None).sum(1)[:, None]
    best = int(np.argmin(np.linalg.norm(places - point, axis=1)))
    return int(faces[best]), weights[best]


def _barycentric(point: Array, triangle: Array) -> Array:
    edges = np.stack([triangle[1] - triangle[0], triangle[2] - triangle[0]], axis=1)
    second, third = np.linalg.lstsq(edges, point - triangle[0], rcond=None)[0]
    return np.array([1 - second - third, second, third])
