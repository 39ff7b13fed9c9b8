"""The head as a solid that can be turned: its scalp, coarse, with both sites, the cloud of resampled targets and the coil.

The same scene is drawn twice: here once, for paper and for browsers without scripts, and by ``templates/head.js`` whenever
somebody turns it. Both use the directions of `View`; a test in the browser compares them.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmsprep.files import read_tsv
from tmsprep.records import Point
from tmsprep.report.facts import Sites, find_marker
from tmsprep.report.pictures import Picture, jpeg_uri
from tmsprep.spaces import Array
from tmsprep.surfaces import Faces, Surface

CELL_MM = 5.0
"""Vertices of the scalp that share a cell of this size become one; coarse enough to be drawn many times a second."""
STEP_MM = 0.1
"""The places in the page are whole multiples of this; far below what the drawing shows."""
_STATIC_CELL_MM = 3.0
_PIXELS = 620
_DPI = 100
_HIGHEST_DEG = 40.0
_FACING = 0.05
"""A point of the scalp is seen if its normal leans towards the viewer by more than this (cosine)."""
_HANDLE_MM = 45.0
_LIGHT = (-0.35, 0.45, 0.82)
"""To the left of the viewer, above, behind the viewer: across, up, towards."""
GREY = 226.0
TARGET_COLOUR, BEAM_COLOUR, CLOUD_COLOUR = "#d6210a", "#0b57c4", "#7a2fb5"


@dataclass(frozen=True)
class View:
    """Where one looks from, in the image's own axes (scanner RAS).

    Azimuth 0 is in front of the face, -90 at the participant's left, 180 behind; elevation 90 is above.
    """

    azimuth_deg: float
    elevation_deg: float

    @property
    def axes_ras(self) -> Array:
        """(3, 3): unit vectors across (rightwards in the picture), up, and towards the viewer."""
        azimuth, elevation = np.deg2rad([self.azimuth_deg, self.elevation_deg])
        across = np.array([-np.cos(azimuth), np.sin(azimuth), 0.0])
        towards = np.array([np.cos(elevation) * np.sin(azimuth), np.cos(elevation) * np.cos(azimuth), np.sin(elevation)])
        return np.stack([across, np.cross(towards, across), towards])

    @classmethod
    def facing(cls, normal_ras: Array) -> View:
        """Return the view from where a place on the scalp with this outward normal is seen well, head upright."""
        x, y, z = normal_ras / np.linalg.norm(normal_ras)
        elevation = min(float(np.rad2deg(np.arcsin(z))), _HIGHEST_DEG)
        return cls(round(float(np.rad2deg(np.arctan2(x, y)))), round(max(elevation, 0.0)))


@dataclass(frozen=True)
class Spot:
    """A place on the scalp, with a sign that does not need colour."""

    letter: str
    words: str
    shape: str
    """``circle`` or ``diamond``."""
    colour: str
    at_ras_mm: Point
    normal_ras: Point


@dataclass(frozen=True)
class Dot:
    """A scalp place over some of the resampled targets, and their share."""

    at_ras_mm: Point
    normal_ras: Point
    share: float


@dataclass(frozen=True)
class Coil:
    """The coil's handle, from its centre on the scalp."""

    from_ras_mm: Point
    to_ras_mm: Point
    normal_ras: Point


@dataclass(frozen=True)
class Scene:
    """All that is drawn."""

    scalp: Surface
    spots: tuple[Spot, ...]
    cloud: tuple[Dot, ...]
    coil: Coil | None

    @classmethod
    def of(cls, scalp: Surface, sites: Sites, cloud: Path | None) -> Scene:
        """Collect what may be shown: nothing of a site that was not given out."""
        spots: list[Spot] = []
        if (place := sites.beamf3_scalp_ras_mm) is not None:
            spots.append(Spot("B", "Beam F3", "diamond", BEAM_COLOUR, place, _normal(scalp, place)))
        coil = None
        if (place := sites.entry_ras_mm) is not None:
            spots.append(Spot("T", "over the circuit target", "circle", TARGET_COLOUR, place, _normal(scalp, place)))
            coil = _coil(sites, _normal(scalp, place))
        shown = cloud is not None and sites.target_ras_mm is not None
        return cls(scalp, tuple(spots), _cloud(scalp, cloud) if shown and cloud else (), coil)

    @property
    def first_view(self) -> View:
        """Where the head is first seen from: the last spot's side, else the left and a little above."""
        return View.facing(np.asarray(self.spots[-1].normal_ras)) if self.spots else View(-60, 20)

    def as_json(self) -> str:
        """Return what ``head.js`` reads; it holds no string from a file."""
        coarse = clustered(self.scalp, CELL_MM)
        middle = _middle(self.scalp)
        steps = np.rint((coarse.vertices_ras_mm - middle) / STEP_MM).astype("<i2")
        content = {
            "middle": middle.round(4).tolist(),
            "radius": round(float(np.linalg.norm(coarse.vertices_ras_mm - middle, axis=1).max()), 2),
            "step": STEP_MM,
            "vertices": _base64(steps),
            "faces": _base64(coarse.faces.astype("<u2")),
            "spots": [asdict(spot) for spot in self.spots],
            "cloud": [asdict(dot) for dot in self.cloud],
            "coil": asdict(self.coil) if self.coil else None,
            "view": [self.first_view.azimuth_deg, self.first_view.elevation_deg],
            "light": list(_LIGHT),
            "grey": GREY,
            "cloudColour": CLOUD_COLOUR,
        }
        return json.dumps(content, separators=(",", ":"))


def clustered(surface: Surface, cell_mm: float) -> Surface:
    """Return a coarser surface: one vertex a cell, at the mean of those in it; faces that collapse are left out.

    Vertex clustering after Rossignac and Borrel 1993, doi:10.1007/978-3-642-78114-8_29. To look at, not to measure on.
    """
    cells = np.floor((surface.vertices_ras_mm - surface.vertices_ras_mm.min(axis=0)) / cell_mm).astype(np.int64)
    _, cluster, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    cluster = cluster.ravel()
    vertices = np.stack([np.bincount(cluster, surface.vertices_ras_mm[:, axis]) for axis in range(3)], axis=1)
    faces: Faces = cluster[surface.faces]
    first, second, third = faces.T
    whole = faces[(first != second) & (second != third) & (third != first)]
    rolled = np.take_along_axis(whole, (whole.argmin(axis=1)[:, np.newaxis] + np.arange(3)) % 3, axis=1)
    return Surface(vertices / counts[:, np.newaxis], np.unique(rolled, axis=0))


def _middle(surface: Surface) -> Array:
    return (surface.vertices_ras_mm.min(axis=0) + surface.vertices_ras_mm.max(axis=0)) / 2


def _base64(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def _point(values: Any) -> Point:
    x, y, z = (round(float(value), 3) + 0.0 for value in values)
    return (x, y, z)


def _normal(surface: Surface, place_ras_mm: Any) -> Point:
    return _point(surface.vertex_normals[surface.nearest_vertex(place_ras_mm)])


def _cloud(scalp: Surface, path: Path) -> tuple[Dot, ...]:
    """Move each target of the bootstrap to the scalp as its entry point is: to the nearest vertex."""
    table = read_tsv(path, required=("x", "y", "z", "share"))
    shares: dict[int, float] = {}
    for place, share in zip(table[["x", "y", "z"]].to_numpy(dtype=np.float64), table["share"], strict=True):
        vertex = int(scalp.nearest_vertex(place))
        shares[vertex] = shares.get(vertex, 0.0) + float(share)
    return tuple(
        Dot(_point(scalp.vertices_ras_mm[vertex]), _point(scalp.vertex_normals[vertex]), round(share, 4))
        for vertex, share in sorted(shares.items())
    )


def _coil(sites: Sites, normal_ras: Point) -> Coil | None:
    marker, entry = find_marker(sites.markers, "circuit"), sites.entry_ras_mm
    if marker is None or marker.direction_ras is None or entry is None:
        return None
    handle = np.asarray(entry) - _HANDLE_MM * np.asarray(marker.direction_ras)  # it points away from the coil's +y
    return Coil(_point(entry), _point(handle), normal_ras)


def static_picture(scene: Scene) -> Picture:
    """Draw the scene from its first view."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    axes_ras = scene.first_view.axes_ras
    figure = Figure(figsize=(_PIXELS / _DPI, _PIXELS / _DPI), dpi=_DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    middle = _middle(scene.scalp)
    _draw_scalp(axes, clustered(scene.scalp, _STATIC_CELL_MM), axes_ras, middle)
    _draw_signs(axes, scene, axes_ras, middle)
    axes.set_aspect("equal")
    axes.autoscale_view()
    axes.margins(0.13)  # room for the words at both sides
    axes.axis("off")
    for words, x, side in zip(side_words(axes_ras), (0.015, 0.985), ("left", "right"), strict=True):
        axes.text(x, 0.5, words, transform=axes.transAxes, ha=side, fontsize=11, color="#333333")
    canvas.draw()
    image = Image.fromarray(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    return Picture(jpeg_uri(image), _PIXELS, _PIXELS, _spoken(scene))


def side_words(axes_ras: Array) -> tuple[str, str]:
    """Return what of the participant is at the left and at the right edge of the picture."""
    across = axes_ras[0]
    words = ("left", "right") if abs(across[0]) >= abs(across[1]) else ("back", "front")
    forward = across[0] > 0 if abs(across[0]) >= abs(across[1]) else across[1] > 0
    return words if forward else (words[1], words[0])


def _spoken(scene: Scene) -> str:
    names = " and ".join(f"{spot.letter}, {spot.words}" for spot in scene.spots) or "no site, because none was given out"
    return f"The head, turned so that the sites are seen, with {names}."


def _draw_scalp(axes: Any, surface: Surface, axes_ras: Array, middle: Array) -> None:
    from matplotlib.collections import PolyCollection

    corners = (surface.corners_ras_mm - middle) @ axes_ras.T
    light = surface.vertex_normals @ axes_ras.T @ (np.asarray(_LIGHT) / np.linalg.norm(_LIGHT))
    shade = np.clip(light[surface.faces].mean(axis=1), 0, 1)
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    front = np.flatnonzero(flat[:, 2] > 0)
    order = front[np.argsort(corners[front, :, 2].mean(axis=1), kind="stable")]
    grey = ((0.34 + 0.66 * shade[order]) * GREY / 255)[:, np.newaxis] * np.ones(3)
    axes.add_collection(PolyCollection(list(corners[order, :, :2]), facecolors=grey, edgecolors=grey, linewidths=0.5))


def _draw_signs(axes: Any, scene: Scene, axes_ras: Array, middle: Array) -> None:
    def seen(normal: Point) -> bool:
        return float(axes_ras[2] @ np.asarray(normal)) > _FACING

    def flat(place: Point) -> Any:
        return (axes_ras @ (np.asarray(place) - middle))[:2]

    for dot in scene.cloud:
        if seen(dot.normal_ras):
            size = 4 + 70 * dot.share
            axes.scatter(*flat(dot.at_ras_mm), s=size, color=CLOUD_COLOUR, alpha=0.55, linewidths=0, zorder=3)
    if scene.coil and seen(scene.coil.normal_ras):
        ends = np.stack([flat(scene.coil.from_ras_mm), flat(scene.coil.to_ras_mm)])
        axes.plot(ends[:, 0], ends[:, 1], color="#202020", linewidth=2.4, zorder=4)
        axes.annotate("handle", ends[1], xytext=(4, 4), textcoords="offset points", fontsize=9, color="#202020", zorder=4)
    for spot in scene.spots:
        if seen(spot.normal_ras):
            x, y = flat(spot.at_ras_mm)
            marker = "o" if spot.shape == "circle" else "D"
            style: dict[str, Any] = {"marker": marker, "markerfacecolor": "none", "linestyle": "none", "zorder": 5}
            axes.plot([x], [y], **style, markersize=13, markeredgewidth=5.5, markeredgecolor="white")
            axes.plot([x], [y], **style, markersize=13, markeredgewidth=3, markeredgecolor=spot.colour)
            side = -16 if spot.letter == "B" else 14
            axes.annotate(
                spot.letter, (x, y), xytext=(0, side), textcoords="offset points", ha="center", va="center", fontsize=15,
                fontweight="bold", color=spot.colour, zorder=6, path_effects=_halo(),
            )  # fmt: skip


def _halo() -> list[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=3.5, foreground="white")]
