"""Plots of numbers as inline SVG: sharp on paper and on a telephone, and in the page's own colours.

Strings from files never enter a plot; they stay in the page, where they are escaped.
"""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

INK = "#0a0b0c"
"""Stands for the page's text colour; replaced by ``currentColor`` when the SVG is written."""
OUTLINE = "#80878f"
"""Seen on a light and on a dark ground."""
BLUE, ORANGE = "#2f7fd6", "#d9730d"
SETTINGS: Any = {
    "svg.hashsalt": "tmsprep",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "path.simplify": True,
}


def new_figure(width_in: float, height_in: float) -> Any:
    """Return an empty figure that is written as SVG."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def as_svg(figure: Any, label: str, name: str) -> str:
    """Return the figure as an SVG element with a text alternative; `name` keeps ids of several plots apart."""
    stream = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    text = stream.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
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

    with rc_context(SETTINGS):
        figure = new_figure(6.4, 2.9)
        upper, lower = figure.subplots(2, 1, sharex=True)
        volumes = np.arange(1, len(fd_mm) + 1)
        upper.plot(volumes, fd_mm, color=BLUE, linewidth=0.9)
        lower.plot(volumes, dvars, color=ORANGE, linewidth=0.9)
        upper.set_ylabel("FD (mm)")
        lower.set_ylabel("std. DVARS" if dvars_name == "std_dvars" else "DVARS")
        lower.set_xlabel("Volume")
        upper.set_ylim(0, max(np.nanmax(fd_mm, initial=0.0) * 1.1, (threshold_mm or 0.2) * 1.3))
        upper.set_xlim(0.5, len(fd_mm) + 0.5)
        if threshold_mm is not None:
            upper.axhline(threshold_mm, color=INK, linewidth=0.8, linestyle="--")
        if kept is not None:
            _shade_censored(upper, lower, kept)
        return as_svg(figure, "Head movement and signal change over the volumes of the run.", name)


def _shade_censored(upper: Any, lower: Any, kept: NDArray[np.bool_]) -> None:
    edges = np.flatnonzero(np.diff(np.concatenate([[True], kept, [True]]).astype(np.int8)))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        for axes in (upper, lower):
            axes.axvspan(start + 0.5, end + 0.5, color=INK, alpha=0.18, linewidth=0)
    censored = np.flatnonzero(~kept) + 1
    upper.plot(
        censored, np.ones(len(censored)), linestyle="none", marker="|", markersize=5, color=INK, clip_on=False,
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

    with rc_context(SETTINGS):
        figure = new_figure(4.6, 3.3)
        axes = figure.subplots()
        size = 14 + 12 * np.sqrt(np.clip(np.nan_to_num(variance), 0, None))
        axes.scatter(
            kappa[accepted], rho[accepted], s=size[accepted], marker="o", facecolors="none", edgecolors=BLUE,
            linewidths=1.3, label=f"kept ({accepted.sum()})",
        )  # fmt: skip
        axes.scatter(
            kappa[~accepted], rho[~accepted], s=size[~accepted], marker="x", color=ORANGE, linewidths=1.3,
            label=f"removed ({(~accepted).sum()})",
        )  # fmt: skip
        axes.set_xlabel("kappa: how much it behaves like blood oxygenation")
        axes.set_ylabel("rho: how much it behaves otherwise")
        axes.legend(loc="best", fontsize=8)
        return as_svg(figure, "Each component's kappa against its rho; kept ones are circles, removed ones crosses.", name)
