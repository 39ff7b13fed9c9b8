"""Drawing the carpet: head movement above, the run before and after cleaning below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_INCHES = (8.4, 6.4)
_DPI = 110
_LIMIT = 2.0
"""Standard deviations drawn black and white."""
_GREYS = 32
"""So many shades: fewer make a smaller file."""
_BLENDS = 8
"""So many steps from each colour to white, for shaded areas and the rims of letters."""
_NO_VOLUME = "#e8dcc4"
_LEFT_OUT = "#d9730d"
_STRIPS = (("G", "#1f5fa8"), ("W", "#a85508"), ("C", "#1e7a43"))
"""Letter and colour of each tissue; white letters are legible on all three."""
_ROWS_OF_A_LETTER = 0.06
"""A strip shorter than this share of the carpet has no room for its letter."""


@dataclass(frozen=True)
class Carpet:
    """Rows of one series, a block a tissue: (rows, volumes as acquired), standard deviations; NaN for no volume."""

    blocks: tuple[NDArray[np.float32], ...]


def draw(
    path: Path,
    before: Carpet,
    after: Carpet,
    fd_mm: NDArray[np.float64],
    kept: NDArray[np.bool_],
    tissues: Sequence[str],
) -> None:
    """Write the picture (PNG, 924 x 704 pixels, without metadata).

    Parameters
    ----------
    path
        Where to.
    before, after
        The run before and after cleaning.
    fd_mm
        (volumes as acquired,), framewise displacement.
    kept
        (volumes as acquired,), those that entered the fit.
    tissues
        A name for each block of the carpets.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context({"font.family": "DejaVu Sans", "font.size": 9.0}):
        figure = Figure(figsize=_INCHES, dpi=_DPI, facecolor="white", layout="constrained")
        canvas = FigureCanvasAgg(figure)
        upper, first, second = figure.subplots(3, 1, sharex=True, height_ratios=[1, 3.2, 3.2])
        _draw_movement(upper, fd_mm, kept)
        _draw_rows(first, before, tissues, "before cleaning")
        _draw_rows(second, after, tissues, "after cleaning; volumes left out are interpolated")
        second.set_xlabel("Volume (the first as acquired is 1)")
        canvas.draw()
        _save(path, np.asarray(canvas.buffer_rgba())[..., :3])


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Save (rows, columns, 3) with a palette, which takes a third of the room; nothing but the pixels is written."""
    from PIL import Image

    palette = _palette()
    # PIL's own search for the nearest colour is coarse: it takes a tint for white
    codes, places = np.unique(pixels.astype(np.int64) @ (1 << 16, 1 << 8, 1), return_inverse=True)
    colours = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
    distances = np.linalg.norm((colours[:, np.newaxis] - palette).astype(np.float64), axis=2)
    nearest = distances.argmin(axis=1).astype(np.uint8)
    image = Image.fromarray(nearest[places.reshape(pixels.shape[:2])])
    image.putpalette(palette.tobytes())
    with path.open("wb") as stream:
        image.save(stream, format="PNG", optimize=True)


def _palette() -> NDArray[np.uint8]:
    """Return (colours, 3): the greys, and each colour in steps to white."""
    from matplotlib.colors import to_rgb

    greys = np.linspace(0, 1, _GREYS)[:, np.newaxis] * np.ones(3)
    share = np.linspace(0, 1, _BLENDS, endpoint=False)[:, np.newaxis]
    named = [to_rgb(colour) for colour in (*(colour for _, colour in _STRIPS), _LEFT_OUT, _NO_VOLUME)]
    blends = [(1 - share) * np.asarray(colour) + share for colour in named]
    return np.round(255 * np.concatenate([greys, *blends])).astype(np.uint8)


def _draw_movement(axes: Any, fd_mm: NDArray[np.float64], kept: NDArray[np.bool_]) -> None:
    volumes = np.arange(1, len(fd_mm) + 1)
    axes.plot(volumes, fd_mm, color="#202020", linewidth=0.9)
    for volume in np.flatnonzero(~kept) + 1:
        axes.axvspan(volume - 0.5, volume + 0.5, color=_LEFT_OUT, alpha=0.35, linewidth=0)
    axes.set_ylim(0, max(float(fd_mm.max(initial=0.0)) * 1.1, 0.3))
    axes.set_xlim(0.5, len(fd_mm) + 0.5)
    axes.set_ylabel("FD (mm)")
    axes.set_title("Head movement; shaded: volumes left out", fontsize=9, loc="left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_rows(axes: Any, carpet: Carpet, tissues: Sequence[str], title: str) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    rows = np.concatenate(carpet.blocks)
    colours = colormaps["gray"].resampled(_GREYS).with_extremes(bad=_NO_VOLUME)
    extent = (0.5, rows.shape[1] + 0.5, max(len(rows), 1), 0)
    axes.imshow(rows, cmap=colours, vmin=-_LIMIT, vmax=_LIMIT, aspect="auto", interpolation="nearest", extent=extent)
    axes.set_yticks([])
    lacking = "; beige: no volume" if np.isnan(rows).any() else ""
    axes.set_title(f"Signal {title} (black: \u2212{_LIMIT:g} SD, white: +{_LIMIT:g} SD{lacking})", fontsize=9, loc="left")
    top = 0
    for block, tissue, (letter, colour) in zip(carpet.blocks, tissues, _STRIPS, strict=True):
        if len(block):
            share, bottom = len(block) / len(rows), 1 - (top + len(block)) / len(rows)
            strip = Rectangle((-0.024, bottom), 0.018, share, color=colour, linewidth=0)
            strip.set(transform=axes.transAxes, clip_on=False)
            axes.add_patch(strip)
            on_axes: dict[str, Any] = {"transform": axes.transAxes, "va": "center", "fontsize": 8.5}
            if len(block) >= _ROWS_OF_A_LETTER * len(rows):
                axes.text(-0.015, bottom + share / 2, letter, color="white", weight="bold", ha="center", **on_axes)
            axes.text(-0.03, bottom + share / 2, tissue, ha="right", **on_axes)
        top += len(block)
