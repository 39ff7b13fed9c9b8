"""Lines on the scalp: plane sections, the tape that is laid along them, and places part of the way along a line.

A tape that runs in a plane is measured on the section of the scalp with that plane. Where the scalp is hollow, at the root
of the nose or around an ear, a taut tape leaves it: the line measured is the convex hull of the section.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import ConvexHull, QhullError

from tmsprep.errors import ProcessingError
from tmsprep.spaces import Array
from tmsprep.surfaces import Surface

_ON_PLANE_MM = 1e-7


@dataclass(frozen=True, eq=False)
class Polyline:
    """Points joined by straight pieces; for a loop, the first point is repeated at the end."""

    points_ras_mm: Array
    """(n, 3)."""

    @property
    def steps_mm(self) -> Array:
        """Length of each piece, (n - 1,)."""
        return np.linalg.norm(np.diff(self.points_ras_mm, axis=0), axis=1)

    @property
    def length_mm(self) -> float:
        """Length of the line."""
        return float(self.steps_mm.sum())

    def at_mm(self, distance_mm: float) -> Array:
        """Return the point (3,) at a distance along the line; beyond the ends, the end."""
        along = np.concatenate([[0.0], np.cumsum(self.steps_mm)])
        return np.array([np.interp(distance_mm, along, column) for column in self.points_ras_mm.T])

    def at_fraction(self, fraction: float) -> Array:
        """Return the point (3,) at a fraction of the length."""
        return self.at_mm(fraction * self.length_mm)

    def reversed(self) -> Polyline:
        """Return the line run the other way."""
        return Polyline(self.points_ras_mm[::-1])

    def densified(self, step_mm: float) -> Polyline:
        """Return the line resampled at equal steps of about `step_mm`."""
        count = max(int(np.ceil(self.length_mm / step_mm)), 1)
        along = np.concatenate([[0.0], np.cumsum(self.steps_mm)])
        places = np.linspace(0, along[-1], count + 1)
        return Polyline(np.stack([np.interp(places, along, column) for column in self.points_ras_mm.T], axis=1))

    def nearest_mm(self, point_ras_mm: ArrayLike) -> float:
        """Return how far along the line the place closest to a point (3,) is."""
        point = np.asarray(point_ras_mm, dtype=np.float64)
        starts, along = self.points_ras_mm[:-1], np.diff(self.points_ras_mm, axis=0)
        squares = np.maximum(np.einsum("ij,ij->i", along, along), np.finfo(float).tiny)
        fraction = np.clip(np.einsum("ij,ij->i", point - starts, along) / squares, 0, 1)
        distances = np.linalg.norm(starts + fraction[:, None] * along - point, axis=1)
        best = int(np.argmin(distances))
        return float(self.steps_mm[:best].sum() + fraction[best] * self.steps_mm[best])

    def part(self, start_mm: float, end_mm: float) -> Polyline:
        """Return the part between two distances along the line, start below end."""
        along = np.concatenate([[0.0], np.cumsum(self.steps_mm)])
        inner = (along > start_mm) & (along < end_mm)
        return Polyline(np.vstack([self.at_mm(start_mm), self.points_ras_mm[inner], self.at_mm(end_mm)]))


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane in space: a point (3,) and a unit normal (3,)."""

    point_ras_mm: Array
    normal: Array

    @classmethod
    def through(cls, first: ArrayLike, second: ArrayLike, third: ArrayLike) -> Plane:
        """Return the plane through three points (3,).

        Raises
        ------
        ProcessingError
            The points lie on one line.
        """
        a, b, c = (np.asarray(point, dtype=np.float64) for point in (first, second, third))
        normal = np.cross(b - a, c - a)
        length = float(np.linalg.norm(normal))
        if length < 1e-6:
            raise ProcessingError("three points of a measuring plane lie on one line", action="check the fiducials")
        return cls(a, np.asarray(normal / length, dtype=np.float64))


def section(surface: Surface, plane: Plane, near_ras_mm: ArrayLike) -> Polyline:
    """Cut a closed surface with a plane; return the loop that passes closest to a point.

    Parameters
    ----------
    surface
        Closed.
    plane
        Where to cut.
    near_ras_mm
        (3,): a cut may give several loops; this chooses.

    Returns
    -------
    Polyline
        A loop (first point = last point).

    Raises
    ------
    ProcessingError
        The plane misses the surface.
    """
    loops = _loops(surface, plane)
    if not loops:
        raise ProcessingError("a measuring plane misses the scalp", action="check the fiducials")
    point = np.asarray(near_ras_mm, dtype=np.float64)
    return min(loops, key=lambda loop: float(np.linalg.norm(loop.at_mm(loop.nearest_mm(point)) - point)))


def _loops(surface: Surface, plane: Plane) -> list[Polyline]:
    """Chain the pieces in which the plane cuts the faces into loops.

    Every cut edge of a closed mesh joins two cut faces, so the cut edges, linked through their faces, form rings.
    """
    heights = (surface.vertices_ras_mm - plane.point_ras_mm) @ plane.normal
    heights = np.where(np.abs(heights) < _ON_PLANE_MM, _ON_PLANE_MM, heights)
    above = heights > 0
    cut = surface.faces[np.ptp(above[surface.faces].astype(np.int8), axis=1) > 0]
    if len(cut) == 0:
        return []
    edges = np.sort(cut[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 3, 2), axis=2)
    crossed = edges[above[edges[..., 0]] != above[edges[..., 1]]]
    unique, numbers = np.unique(crossed, axis=0, return_inverse=True)
    low, high = unique.T
    weight = (heights[low] / (heights[low] - heights[high]))[:, None]
    points = (1 - weight) * surface.vertices_ras_mm[low] + weight * surface.vertices_ras_mm[high]
    return [Polyline(points[ring]) for ring in _rings(numbers.reshape(-1, 2), len(unique))]


def _rings(links: NDArray[np.int64], count: int) -> list[list[int]]:
    """Walk a graph in which every node has two links; return its rings, each with its first node repeated."""
    neighbours: list[list[int]] = [[] for _ in range(count)]
    for first, second in links.tolist():
        neighbours[first].append(second)
        neighbours[second].append(first)
    rings: list[list[int]] = []
    seen = [False] * count
    for start in range(count):
        if seen[start]:
            continue
        ring, here = [start], start
        seen[start] = True
        while (ahead := next((node for node in neighbours[here] if not seen[node]), None)) is not None:
            seen[ahead] = True
            ring.append(ahead)
            here = ahead
        rings.append([*ring, start])
    return rings


def arc(loop: Polyline, start_ras_mm: ArrayLike, end_ras_mm: ArrayLike, via_ras_mm: ArrayLike) -> Polyline:
    """Return the part of a loop from one point to another that passes a third (all (3,), near the loop)."""
    start = loop.nearest_mm(start_ras_mm)
    points = loop.points_ras_mm[:-1]
    before = np.searchsorted(np.concatenate([[0.0], np.cumsum(loop.steps_mm)]), start, side="right")
    rolled = np.vstack([loop.at_mm(start), np.roll(points, -int(before), axis=0), loop.at_mm(start)])
    turned = Polyline(rolled)
    end, via = turned.nearest_mm(end_ras_mm), turned.nearest_mm(via_ras_mm)
    if via <= end:
        return turned.part(0.0, end)
    return turned.part(end, turned.length_mm).reversed()


def tape_loop(loop: Polyline, normal: Array) -> Polyline:
    """Lay a taut tape around a planar loop: its convex hull (a loop, starting anywhere).

    Raises
    ------
    ProcessingError
        The loop is degenerate.
    """
    ring = _hull(loop, normal)
    return Polyline(loop.points_ras_mm[np.r_[ring, ring[0]]])


def tape_arc(line: Polyline, normal: Array) -> Polyline:
    """Lay a taut tape over a planar arc, from its first to its last point: the outer side of its convex hull.

    Raises
    ------
    ProcessingError
        The arc is degenerate.
    """
    last = len(line.points_ras_mm) - 1
    return Polyline(line.points_ras_mm[np.unique(np.r_[0, _hull(line, normal), last])])


def _hull(line: Polyline, normal: Array) -> NDArray[np.int64]:
    """Return the indices of the line's points that are corners of its convex hull, in order around it."""
    try:
        return np.asarray(ConvexHull(_flat(line.points_ras_mm, normal)).vertices, dtype=np.int64)
    except QhullError as error:
        raise ProcessingError("a measuring line has no extent", action="check the fiducials") from error


def _flat(points: Array, normal: Array) -> Array:
    """Return points (n, 3) in two axes of the plane, (n, 2)."""
    helper = np.eye(3)[int(np.argmin(np.abs(normal)))]
    first = np.asarray(np.cross(normal, helper), dtype=np.float64)
    first /= np.linalg.norm(first)
    return points @ np.stack([first, np.cross(normal, first)], axis=1)
