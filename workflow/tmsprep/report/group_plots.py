"""The group's plots, as inline SVG: every site by its shape and colour, no string from a file inside.

`groups` are the values of each site, in the order of the sites; a site without values keeps its place, and so its sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmsprep.records import Point
from tmsprep.report.group_numbers import PUBLISHED_BETWEEN_MM, PUBLISHED_WITHIN_MM, Numbers
from tmsprep.report.plots import BLUE, INK, ORANGE, OUTLINE, SETTINGS, as_svg, new_figure

SITE_SHAPES = (("circle", "o"), ("square", "s"), ("triangle", "^"), ("diamond", "D"), ("cross", "X"), ("pentagon", "p"))
SITE_COLOURS = ("#2f7fd6", "#d9730d", "#2a9d57", "#b0459c", "#8a6d1c", "#c33a3a")
_FEW = 8
"""So few values are drawn one by one; of more the distribution."""
_MANY = 1000
"""More signs than these are pixels of a picture inside the SVG: a browser takes long over so many shapes."""
_CROWD = 150
"""Of more places of one site the signs are smaller: a crowd still shows where it is dense."""
_SETTINGS: Any = SETTINGS | {"savefig.dpi": 200}  # of those pixels


def site_style(index: int) -> tuple[str, str]:
    """Return the matplotlib marker and the colour of a site, by its order: 36 pairs before one comes again."""
    return SITE_SHAPES[index % len(SITE_SHAPES)][1], _site_colour(index)


def site_sign(index: int) -> tuple[str, str]:
    """Return the shape's name and colour that stand for a site, by its order."""
    return SITE_SHAPES[index % len(SITE_SHAPES)][0], _site_colour(index)


def _site_colour(index: int) -> str:
    """With each round through the shapes the colours move on by one."""
    return SITE_COLOURS[(index + index // len(SITE_SHAPES)) % len(SITE_COLOURS)]


def crowd_share(count: int) -> float:
    """Return how much of its usual area a sign has, one of so many of its site."""
    return min(1.0, max(0.04, _CROWD / max(count, 1)))


def _as_pixels(count: int) -> bool:
    """Tell whether so many signs become pixels."""
    return count > _MANY


def strip_plot(groups: Sequence[Sequence[float]], unit_label: str, name: str, *, from_zero: bool = True) -> str:
    """Plot every value of each site as its sign, with the site's median as a bar over the middle half.

    The axis begins at zero, unless the measure's values lie together far from it.
    """
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        figure = new_figure(3.2, 0.75 + 0.36 * max(len(groups), 1))
        axes = figure.subplots()
        pixels = _as_pixels(sum(map(len, groups)))
        for index, values in enumerate(groups):
            if values:
                _strip(axes, values, len(groups) - index, site_style(index), pixels=pixels)
        _set_strip_range(axes, [value for values in groups for value in values], from_zero=from_zero)
        axes.set_yticks(range(len(groups), 0, -1), [str(number) for number in range(1, len(groups) + 1)])
        axes.set_ylim(0.4, len(groups) + 0.6)
        axes.set_ylabel("site")
        axes.set_xlabel(unit_label)
        words = f"{unit_label}: every participant as a sign, by site, with the site's median and middle half."
        return as_svg(figure, words, name)


def _strip(axes: Any, values: Sequence[float], level: float, style: tuple[str, str], *, pixels: bool) -> None:
    shape, colour = style
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    axes.fill_between([low, high], level - 0.36, level + 0.36, color=OUTLINE, alpha=0.28, linewidth=0)
    offset = 0.24 * np.sin(2.4 * np.arange(len(values)))
    share = crowd_share(len(values))
    looks: dict[str, Any] = {
        "facecolors": "none",
        "edgecolors": colour,
        "linewidths": 1.1 * share**0.5,
        "rasterized": pixels,
    }
    axes.scatter(values, level + offset, marker=shape, s=18 * share, **looks)
    axes.plot([middle] * 2, [level - 0.38, level + 0.38], color=INK, linewidth=1.8)


def _set_strip_range(axes: Any, values: Sequence[float], *, from_zero: bool) -> None:
    low, high = min(values, default=0.0), max(values, default=1.0)
    start = 0.0 if from_zero or low == high else low - 0.08 * (high - low)
    axes.set_xlim(start, high + 0.08 * (high - start) if high > start else start + 1.0)
    axes.locator_params(axis="x", nbins=5)


@dataclass(frozen=True)
class Row:
    """One row of the plot of distances."""

    words: str
    """The program's own, never from a file."""
    values: Numbers
    within: bool


def distances_plot(rows: Sequence[Row], name: str) -> str:
    """Plot distributions of distances on one axis, with their medians and the published two."""
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        figure = new_figure(6.6, 1.15 + 0.78 * len(rows))
        axes = figure.subplots()
        largest = max((float(np.max(row.values)) for row in rows if len(row.values)), default=0.0)
        end = max(largest * 1.04, PUBLISHED_BETWEEN_MM * 1.25)
        for index, row in enumerate(rows):
            _distribution(axes, row, float(len(rows) - 1 - index), end)
        # the second beginning at its line: the two would meet on a long axis
        published = ((PUBLISHED_WITHIN_MM, "within", "center"), (PUBLISHED_BETWEEN_MM, "between", "left"))
        for value, words, side in published:
            axes.axvline(value, color=INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
            axes.annotate(
                f"published,\n{words} {value:.2f}", (value, 1.0), xytext=(0, 3), xycoords=axes.get_xaxis_transform(),
                textcoords="offset points", ha=side, va="bottom", fontsize=8,
            )  # fmt: skip
        axes.set_yticks([len(rows) - 1 - index + 0.3 for index in range(len(rows))], [row.words for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.25, len(rows) - 0.02)
        axes.set_xlim(0, end)
        axes.set_xlabel("distance (mm)")
        return as_svg(figure, "Distances of circuit targets within and between people, with the published values.", name)


def _distribution(axes: Any, row: Row, base: float, end: float) -> None:
    colour = BLUE if row.within else ORANGE
    if len(row.values) < _FEW:
        axes.scatter(row.values, [base + 0.25] * len(row.values), s=24, marker="o", color=colour, alpha=0.8, linewidths=0)
    else:
        edges = np.arange(0.0, end + 1.0, 1.0 if end <= 40 else 2.0)
        counts, edges = np.histogram(row.values, bins=edges)
        heights = 0.62 * counts / counts.max()
        axes.bar(edges[:-1], heights, width=np.diff(edges), align="edge", bottom=base, color=colour, alpha=0.65, linewidth=0)
    low, middle, high = np.quantile(row.values, [0.25, 0.5, 0.75])
    axes.plot([low, high], [base - 0.08] * 2, color=INK, linewidth=2.6, solid_capstyle="butt")
    axes.plot([middle] * 2, [base - 0.17, base + 0.68], color=INK, linewidth=1.8)
    words, beside = f"median {middle:.1f}", {"xytext": (5, 0), "textcoords": "offset points"}
    axes.annotate(words, (middle, base + 0.7), fontsize=8, ha="left", va="bottom", **beside)


@dataclass(frozen=True)
class Panel:
    """A measure against clean minutes, by site."""

    words: str
    groups: Sequence[Sequence[tuple[float, float]]]
    reference_mm: float | None = None
    """Drawn as a dashed line."""


def reliability_plot(panels: Sequence[Panel], name: str) -> str:
    """Plot measures of reliability against the minutes of clean data, every participant by the sign of the site."""
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        figure = new_figure(3.3 * len(panels), 2.9)
        pixels = _as_pixels(max((sum(map(len, panel.groups)) for panel in panels), default=0))
        for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
            for index, pairs in enumerate(panel.groups):
                if pairs:
                    shape, colour = site_style(index)
                    x, y = zip(*pairs, strict=True)
                    share = crowd_share(len(pairs))
                    looks: dict[str, Any] = {"facecolors": "none", "edgecolors": colour, "rasterized": pixels}
                    axes.scatter(x, y, marker=shape, s=24 * share, linewidths=1.2 * share**0.5, **looks)
            if panel.reference_mm is not None:
                axes.axhline(panel.reference_mm, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
            axes.set_xlabel("clean minutes")
            axes.set_ylabel(panel.words)
        words = " and ".join(panel.words for panel in panels)
        return as_svg(figure, f"{words} against the minutes of clean data, every participant by the sign of the site.", name)


def cumulative_plot(scalp: Sequence[float], cortex: Sequence[float], name: str) -> str:
    """Plot which share of the participants has a circuit target nearer to Beam F3 than so many mm."""
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        figure = new_figure(3.6, 2.9)
        axes = figure.subplots()
        end = max([10.0, *scalp, *cortex]) * 1.05
        for values, words, colour, style in ((cortex, "on the cortex", BLUE, "-"), (scalp, "on the scalp", ORANGE, "--")):
            if values:
                x = np.concatenate([[0.0], np.sort(values), [end]])
                y = np.minimum(np.arange(len(values) + 2), len(values)) * 100 / len(values)
                axes.step(x, y, where="post", color=colour, linestyle=style, linewidth=1.8, label=words)
        axes.set_xlim(0, end)
        axes.set_ylim(0, 104)
        axes.set_xlabel("distance to Beam F3 (mm)")
        axes.set_ylabel("participants (%)")
        axes.grid(color=OUTLINE, alpha=0.35, linewidth=0.6)
        axes.legend(loc="upper left", fontsize=8)
        return as_svg(figure, "Share of participants whose circuit target lies within a distance of Beam F3.", name)


def arrows_plot(groups: Sequence[Sequence[tuple[Point, Point]]], name: str) -> str:
    """Draw an arrow from the cortex under Beam F3 to the circuit target of each participant, from above and from the left.

    Front is up in the view from above and at the left in the view from the left.
    """
    from matplotlib import rc_context

    with rc_context(_SETTINGS):
        figure = new_figure(6.8, 3.5)
        above, beside = figure.subplots(1, 2)
        pixels = _as_pixels(sum(map(len, groups)))
        for index, pairs in enumerate(groups):
            if pairs:
                ends = np.asarray(pairs, dtype=np.float64)
                _arrows(above, ends[..., :2], site_style(index), pixels=pixels)
                _arrows(beside, ends[..., 1:], site_style(index), pixels=pixels)
        beside.invert_xaxis()
        titles = (("seen from above", "x (mm): right is right", "y (mm): front is up"),
                  ("seen from the left", "y (mm): front is at the left", "z (mm)"))  # fmt: skip
        for axes, (title, across, up) in zip((above, beside), titles, strict=True):
            axes.set_aspect("equal", adjustable="datalim")
            axes.margins(0.08)
            axes.set_title(title, fontsize=9)
            axes.set_xlabel(across)
            axes.set_ylabel(up)
        return as_svg(figure, "An arrow from the cortex under Beam F3 to the circuit target of each participant.", name)


def _arrows(axes: Any, ends: NDArray[np.float64], style: tuple[str, str], *, pixels: bool) -> None:
    """Draw arrows (n, 2, 2: start and end, across and up) of a site."""
    from matplotlib.collections import LineCollection

    shape, colour = style
    starts, targets = ends[:, 0].T, ends[:, 1].T
    share = crowd_share(len(ends))
    line: dict[str, Any] = {
        "colors": OUTLINE,
        "alpha": 0.8 * share,
        "linewidths": 0.8,
        "capstyle": "projecting",
        "zorder": 1,
    }
    axes.add_collection(LineCollection(list(ends), rasterized=pixels, **line))
    hollow: dict[str, Any] = {"facecolors": "none", "edgecolors": colour, "linewidths": 1.1 * share**0.5}
    axes.scatter(*starts, marker=shape, s=20 * share, zorder=2, rasterized=pixels, **hollow)
    axes.scatter(*targets, marker=shape, s=24 * share, zorder=3, rasterized=pixels, color=colour, linewidths=0)


def glass_brain(targets: Sequence[Sequence[Point]], beams: Sequence[Sequence[Point]], label: str, name: str) -> str:
    """Draw places (MNI mm) on a schematic brain outline: targets filled, the cortex under Beam F3 hollow.

    Seen from behind, from the side and from above. The outline is nilearn's drawing; it helps the eye and is not one of the
    templates' surfaces.
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
            pixels = _as_pixels(sum(map(len, (*beams, *targets))))
            for index, points in enumerate(beams):
                _mark(display, points, site_style(index), filled=False, pixels=pixels)
            for index, points in enumerate(targets):
                _mark(display, points, site_style(index), filled=True, pixels=pixels)
            display.annotate(positions=False, size=10)
            for text in figure.findobj(Text):
                text.set_color(INK)
                text.set_bbox(None)
            for outline in figure.findobj(PathPatch):
                outline.set_edgecolor(OUTLINE)
            return as_svg(figure, label, name)
        finally:
            pyplot.close(figure)


def _mark(display: Any, points: Sequence[Point], style: tuple[str, str], *, filled: bool, pixels: bool) -> None:
    if not points:
        return
    shape, colour = style
    looks: dict[str, Any] = {"marker_color": colour, "edgecolors": "none"} if filled else {
        "marker_color": "none", "edgecolors": colour, "linewidths": 1.0,
    }  # fmt: skip
    size = 13 * crowd_share(len(points))
    places = np.asarray(points, dtype=np.float64)
    display.add_markers(places, marker_size=size, marker=shape, alpha=0.85, rasterized=pixels, **looks)
