"""A picture of the measured head: three views of the scalp with landmarks, tape lines, Beam F3 and F3.

It is for a person who looks whether the landmarks are where they should be; it shows the participant's face.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep.scalp.lines import Polyline
from tmsprep.scalp.measure import BeamF3Location, Measurements
from tmsprep.spaces import Array
from tmsprep.surfaces import Surface

_LINES = {"nasion to inion": "#1f77b4", "ear to ear": "#2ca02c", "circumference": "#9467bd", "towards Beam F3": "#d62728"}
_POINTS = {
    "NAS": ("nasion", "o", "black"),
    "INI": ("inion", "s", "black"),
    "LPA": ("left ear point", "<", "black"),
    "RPA": ("right ear point", ">", "black"),
    "vertex": ("vertex", "^", "black"),
    "F3": ("F3 (10-20 system)", "D", "#ff7f0e"),
    "Beam F3": ("Beam F3", "*", "#d62728"),
}
_DOTS_PER_INCH = 100


@dataclass(frozen=True)
class View:
    """A direction to look from, in the head's axes (right, front, top)."""

    title: str
    across: tuple[int, int, int]
    upward: tuple[int, int, int]
    towards_viewer: tuple[int, int, int]
    sides: tuple[str, str]
    """What is at the left and at the right edge of the picture."""


_VIEWS = (
    View("Seen from the left", (0, -1, 0), (0, 0, 1), (-1, 0, 0), ("front", "back")),
    View("Seen from the front", (-1, 0, 0), (0, 0, 1), (0, 1, 0), ("R", "L")),
    View("Seen from above", (1, 0, 0), (0, 1, 0), (0, 0, 1), ("L", "R")),
)


def draw_scalp(
    path: Path, surface: Surface, *, measured: Measurements, beamf3: BeamF3Location, f3_ras_mm: Array, notes: Sequence[str]
) -> None:
    """Write the picture as PNG.

    Parameters
    ----------
    path
        Ends in ``.png``.
    surface
        The scalp.
    measured
        Landmarks and tape lines.
    beamf3
        Where Beam F3 is.
    f3_ras_mm
        (3,), the 10-20 position.
    notes
        Sentences to print below.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 6.2), dpi=_DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    lines = dict(zip(_LINES, _tape_lines(measured, beamf3), strict=True))
    points = _marks(measured, beamf3, f3_ras_mm)
    for axes, view in zip(figure.subplots(1, 3), _VIEWS, strict=True):
        _draw_view(axes, view, surface, head=measured.landmarks.axes, lines=lines, points=points)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=6, frameon=False, fontsize=10)
    figure.text(0.5, 0.965, "   ".join(notes), ha="center", fontsize=11)
    figure.subplots_adjust(left=0.02, right=0.98, top=0.88, bottom=0.16, wspace=0.05)
    figure.savefig(path, format="png", metadata={"Software": None})


def _tape_lines(measured: Measurements, beamf3: BeamF3Location) -> tuple[Polyline, ...]:
    return measured.nasion_inion, measured.tragus_tragus, measured.circumference, beamf3.line


def _marks(measured: Measurements, beamf3: BeamF3Location, f3_ras_mm: Array) -> dict[str, Array]:
    landmarks = measured.landmarks
    return {
        "NAS": landmarks.nas_ras_mm,
        "INI": landmarks.ini_ras_mm,
        "LPA": landmarks.lpa_ras_mm,
        "RPA": landmarks.rpa_ras_mm,
        "vertex": measured.vertex_ras_mm,
        "F3": f3_ras_mm,
        "Beam F3": beamf3.position_ras_mm,
    }


def _draw_view(
    axes: Any, view: View, surface: Surface, *, head: Array, lines: Mapping[str, Polyline], points: Mapping[str, Array]
) -> None:
    basis = np.asarray([view.across, view.upward, view.towards_viewer], dtype=np.float64) @ head
    _draw_surface(axes, surface, basis)
    for name, line in lines.items():
        dense = line.densified(1.0).points_ras_mm
        flat = dense @ basis.T
        flat[~_visible(surface, dense, basis[2])] = np.nan
        axes.plot(flat[:, 0], flat[:, 1], color=_LINES[name], lw=1.8, label=name)
    for name, point in points.items():
        label, marker, colour = _POINTS[name]
        flat = point @ basis.T
        if not _visible(surface, point[np.newaxis], basis[2])[0]:
            flat = np.full(3, np.nan)
        axes.plot(*flat[:2], marker, color=colour, ms=13 if marker == "*" else 7, mec="white", label=label)
    axes.set_title(view.title, fontsize=12)
    axes.text(0.01, 0.02, view.sides[0], transform=axes.transAxes, fontsize=13, weight="bold")
    axes.text(0.99, 0.02, view.sides[1], transform=axes.transAxes, fontsize=13, weight="bold", ha="right")
    axes.set_aspect("equal")
    axes.margins(0.12)
    axes.axis("off")


def _draw_surface(axes: Any, surface: Surface, basis: Array) -> None:
    """Paint the faces that look at the viewer, the far ones first, lit from the viewer and above."""
    from matplotlib.collections import PolyCollection

    corners = surface.corners_ras_mm @ basis.T
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), np.finfo(float).tiny)
    front = np.flatnonzero(normals[:, 2] > 0)
    order = front[np.argsort(corners[front, :, 2].mean(axis=1), kind="stable")]
    light = np.clip(normals[order] @ np.array([0.2, 0.5, 0.84]), 0, 1)
    grey = (0.45 + 0.5 * light)[:, np.newaxis] * np.ones(3)
    axes.add_collection(PolyCollection(list(corners[order, :, :2]), facecolors=grey, edgecolors=grey, linewidths=0.3))
    axes.autoscale_view()


def _visible(surface: Surface, points: Array, towards_viewer: Array) -> Any:
    """Tell which points (n, 3) lie on the side of the head that the viewer sees."""
    normals = np.stack([surface.vertex_normals[surface.nearest_vertex(point)] for point in points])
    return normals @ towards_viewer > -0.05
