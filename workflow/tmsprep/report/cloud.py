"""The cloud of the bootstrap as a picture: where the target was found in data drawn again, from three sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tmsprep.files import read_tsv
from tmsprep.report import plots
from tmsprep.report.facts import Sites
from tmsprep.report.slices import Plane
from tmsprep.spaces import Array

_EDGE_MM = 6.0
_LEAST_MM = 18.0
"""Half the width of a picture is at least this, so that a small cloud looks small."""

_TARGET, _CLOUD = "#e0402a", "#9a5fd0"
"""Seen on a light and on a dark ground."""


def cloud_plot(path: Path | None, sites: Sites) -> str:
    """Draw the cloud about the target in mm from it; empty where there is no cloud or no target."""
    if path is None or sites.target_ras_mm is None:
        return ""
    table = read_tsv(path, required=("x", "y", "z", "share"))
    if table.empty:
        return ""
    places = table[["x", "y", "z"]].to_numpy(dtype=np.float64) - np.asarray(sites.target_ras_mm)
    shares = table["share"].to_numpy(dtype=np.float64)
    radius = sites.target.measures.get("radius_95_mm")
    half = max(_LEAST_MM, float(np.abs(places).max()), float(radius or 0.0)) + _EDGE_MM
    from matplotlib import rc_context

    with rc_context(plots.SETTINGS):
        figure = plots.new_figure(7.2, 2.55)
        for axes, plane in zip(figure.subplots(1, 3), Plane, strict=True):
            _draw(axes, plane, places, shares, _beside(sites, half), radius)
            axes.set_xlim(-half, half)
            axes.set_ylim(-half, half)
            axes.set_aspect("equal")
        words = "Targets of resampled data about the target, seen from above, from behind and from the right, in mm."
        return plots.as_svg(figure, words, "cloud")


def _beside(sites: Sites, half_mm: float) -> Array | None:
    """Return the cortex under Beam F3 as seen from the target, if the picture reaches so far."""
    beam, target = sites.beamf3_cortex_ras_mm, sites.target_ras_mm
    if beam is None or target is None:
        return None
    away = np.subtract(beam, target)
    return away if float(np.abs(away).max()) < half_mm else None


def _draw(axes: Any, plane: Plane, places: Array, shares: Array, beam: Array | None, radius_mm: float | None) -> None:
    from matplotlib.patches import Circle

    view = plane.value
    axes.scatter(places[:, view.across], places[:, view.up], s=10 + 900 * shares, color=_CLOUD, alpha=0.45, linewidths=0)
    if radius_mm is not None:
        axes.add_patch(Circle((0, 0), radius_mm, fill=False, edgecolor=plots.INK, linestyle="--"))
    axes.plot([0], [0], marker="o", markersize=9, markerfacecolor="none", markeredgecolor=_TARGET, markeredgewidth=2)
    axes.annotate("T", (0, 0), xytext=(8, 6), textcoords="offset points", color=_TARGET, fontweight="bold")
    if beam is not None:
        x, y = beam[view.across], beam[view.up]
        style: dict[str, Any] = {"marker": "D", "markerfacecolor": "none", "markeredgewidth": 2}
        axes.plot([x], [y], markersize=8, linestyle="none", markeredgecolor=plots.BLUE, **style)
        axes.annotate("B", (x, y), xytext=(8, 6), textcoords="offset points", color=plots.BLUE, fontweight="bold")
    left, right, top, bottom = (_SIDES[letter] for letter in view.letters)
    axes.set_xlabel(f"{left} \N{LEFTWARDS ARROW}   mm   \N{RIGHTWARDS ARROW} {right}")
    axes.set_ylabel(f"{bottom} \N{LEFTWARDS ARROW}   mm   \N{RIGHTWARDS ARROW} {top}")


_SIDES = {"L": "left", "R": "right", "A": "front", "P": "back", "S": "up", "I": "down"}
