"""Plots of numbers as inline SVG: sharp on paper and on a telephone, and in the page's own colours.

Strings from files never enter a plot; they stay in the page, where they are escaped.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmsprep.records import Point

_INK = "#0a0b0c"
"""Stands for the page's text colour; replaced by ``currentColor`` when the SVG is written."""
_OUTLINE = "#80878f"
"""Seen on a light and on a dark ground."""
_BLUE, _ORANGE = "#2f7fd6", "#d9730d"
_SETTINGS: Any = {
    "svg.hashsalt": "tmsprep",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "path.simplify": True,
}
SITE_SHAPES = (("circle", "o"), ("square", "s"), ("triangle", "^"), ("diamond", "D"), ("cross", "X"), ("pentagon", "p"))
SITE_COLOURS = ("#2f7fd6", "#d9730d", "#2a9d57", "#b0459c", "#8a6d1c", "#c33a3a")


def _figure(width_in: float, height_in: float) -> Any:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def _svg(figure: Any, label: str, name: str) -> str:
    """Return the figure as an SVG element with a text alternative; `name` keeps ids of several plots apart."""
    stream = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    text = stream.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<!--.*?-->", "", text, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', text))
    text = re.sub(r'\s+id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).strip()


def motion_plot(
    fd_mm: NDArray[np.float64],
    dvars: NDArray[np.float64],
    dvars_name: str,
    kept: NDArray[np.bool_] | None,
    threshold_mm: float | None,
    *,
    name: str,
) -> str:
    """Plot framewise displacement and DVARS over volumes; censored volumes are shaded and ticked."""
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        figure = _figure(6.4, 2.9)
        upper, lower = figure.subplots(2, 1, sharex=True)
        volumes = np.arange(1, len(fd_mm) + 1)
        upper.plot(volumes, fd_mm, color=_BLUE, linewidth=0.9)
        lower.plot(volumes, dvars, color=_ORANGE, linewidth=0.9)
        upper.set_ylabel("FD (mm)")
        lower.set_ylabel("std. DVARS" if dvars_name == "std_dvars" else "DVARS")
        lower.set_xlabel("Volume")
        upper.set_ylim(0, max(np.nanmax(fd_mm, initial=0.0) * 1.1, (threshold_mm or 0.2) * 1.3))
        upper.set_xlim(0.5, len(fd_mm) + 0.5)
        if threshold_mm is not None:
            upper.axhline(threshold_mm, color=_INK, linewidth=0.8, linestyle="--")
        if kept is not None:
            _shade_censored(upper, lower, kept)
        return _svg(figure, "Head movement and signal change over the volumes of the run.", name)


def _shade_censored(upper: Any, lower: Any, kept: NDArray[np.bool_]) -> None:
    edges = np.flatnonzero(np.diff(np.concatenate([[True], kept, [True]]).astype(np.int8)))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        for axes in (upper, lower):
            axes.axvspan(start + 0.5, end + 0.5, color=_INK, alpha=0.18, linewidth=0)
    censored = np.flatnonzero(~kept) + 1
    upper.plot(
        censored, np.ones(len(censored)), linestyle="none", marker="|", markersize=5, color=_INK, clip_on=False,
        transform=upper.get_xaxis_transform(),
    )  # fmt: skip


def components_plot(
    kappa: NDArray[np.float64],
    rho: NDArray[np.float64],
    variance: NDArray[np.float64],
    accepted: NDArray[np.bool_],
    name: str,
) -> str:
    """Scatter kappa against rho; kept components are circles, removed ones crosses, larger with more variance."""
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        figure = _figure(4.6, 3.3)
        axes = figure.subplots()
        size = 14 + 12 * np.sqrt(np.clip(np.nan_to_num(variance), 0, None))
        axes.scatter(
            kappa[accepted], rho[accepted], s=size[accepted], marker="o", facecolors="none", edgecolors=_BLUE,
            linewidths=1.3, label=f"kept ({accepted.sum()})",
        )  # fmt: skip
        axes.scatter(
            kappa[~accepted], rho[~accepted], s=size[~accepted], marker="x", color=_ORANGE, linewidths=1.3,
            label=f"removed ({(~accepted).sum()})",
        )  # fmt: skip
        axes.set_xlabel("kappa: how much it behaves like blood oxygenation")
        axes.set_ylabel("rho: how much it behaves otherwise")
        axes.legend(loc="best", fontsize=8)
        return _svg(figure, "Each component's kappa against its rho; kept ones are circles, removed ones crosses.", name)


def _site_style(index: int) -> tuple[str, str]:
    return SITE_SHAPES[index % len(SITE_SHAPES)][1], SITE_COLOURS[index % len(SITE_COLOURS)]


def site_sign(index: int) -> tuple[str, str]:
    """Return the shape's name and colour that stand for a site, by its order."""
    return SITE_SHAPES[index % len(SITE_SHAPES)][0], SITE_COLOURS[index % len(SITE_COLOURS)]


def strip_plot(groups: Sequence[Sequence[float]], unit_label: str, name: str) -> str:
    """Plot every value of each site as a point, with the site's median as a bar."""
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        figure = _figure(3.2, 0.75 + 0.34 * max(len(groups), 1))
        axes = figure.subplots()
        for index, values in enumerate(groups):
            shape, colour = _site_style(index)
            level = len(groups) - index
            offset = 0.24 * np.sin(2.4 * np.arange(len(values)))
            axes.scatter(values, level + offset, marker=shape, s=20, facecolors="none", edgecolors=colour, linewidths=1.2)
            if values:
                axes.plot([np.median(values)] * 2, [level - 0.35, level + 0.35], color=_INK, linewidth=1.6)
        axes.set_xlim(0, max((max(values) for values in groups if values), default=0.0) * 1.08 or 1.0)
        axes.locator_params(axis="x", nbins=5)
        axes.set_yticks(range(len(groups), 0, -1), [str(number) for number in range(1, len(groups) + 1)])
        axes.set_ylim(0.4, len(groups) + 0.6)
        axes.set_ylabel("site")
        axes.set_xlabel(unit_label)
        return _svg(figure, f"{unit_label}: every participant as a point, by site, with the site's median.", name)


def glass_brain(groups: Sequence[Sequence[Point]], label: str, name: str) -> str:
    """Draw points (MNI mm) on a schematic brain outline, seen from behind, from the side and from above.

    The outline is nilearn's drawing; it helps the eye and is not one of the templates' surfaces.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot, rc_context
    from matplotlib.patches import PathPatch
    from matplotlib.text import Text
    from nilearn.plotting import plot_glass_brain

    with rc_context(_SETTINGS):
        figure = pyplot.figure(figsize=(7.0, 2.7))
        try:
            display: Any = plot_glass_brain(
                None, display_mode="ortho", figure=figure, annotate=False, black_bg=False, alpha=0.5, axes=(0, 0, 1, 1)
            )
            for index, points in enumerate(groups):
                if points:
                    shape, colour = _site_style(index)
                    display.add_markers(
                        np.asarray(points, dtype=np.float64), marker_color=colour, marker_size=26, marker=shape,
                        edgecolors="none", alpha=0.85,
                    )  # fmt: skip
            display.annotate(positions=False, size=10)
            for text in figure.findobj(Text):
                text.set_color(_INK)
                text.set_bbox(None)
            for outline in figure.findobj(PathPatch):
                outline.set_edgecolor(_OUTLINE)
            return _svg(figure, label, name)
        finally:
            pyplot.close(figure)
