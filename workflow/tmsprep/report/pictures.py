"""Slices as pictures: greyscale anatomy, scores in colour, sites as signs that do not need colour, letters at the edges.

A picture is made pixel for pixel, saved as JPEG without metadata and handed on as a data URI.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmsprep.errors import InputError
from tmsprep.records import Point
from tmsprep.report.slices import Box, Cut, Plane, Volume, bright_tissue, centroid, pulled
from tmsprep.spaces import Transform

PIXEL_MM = 0.5
SCORE_COLOURS = "RdYlBu_r"
_DPI = 100
_SCORE_OPACITY = 0.7
_ON_SLICE_MM = 2.0
_MARGIN_MM = 22.0
_SCALE_BAR_MM = 20.0
_BESIDE_MIDLINE_MM = 25.0
"""A sagittal slice in the midline shows little grey and white matter."""
_SCALP_PICTURE_PIXELS = 1200
_CONTOUR_BRAIN = "#ffd21f"
_CONTOUR_WHITE_MATTER = "#35d3ff"


@dataclass(frozen=True)
class Sign:
    """A site on a picture: a letter, a shape and a colour; a line may lead to it from the scalp."""

    letter: str
    shape: str
    """A matplotlib marker."""
    colour: str
    position_ras_mm: Point
    from_ras_mm: Point | None = None


@dataclass(frozen=True)
class Picture:
    """A finished picture."""

    data_uri: str
    width: int
    height: int
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Layers:
    """What the target slices show."""

    t1w: Volume
    scores: Volume
    window: tuple[float, float]
    """T1w values drawn black and white."""
    limit: float
    """Score drawn with the outermost colours; the negative one likewise."""
    box: Box

    @classmethod
    def of(cls, t1w: Volume, mask: Volume, scores: Volume, points_ras_mm: Sequence[Point]) -> Layers:
        """Choose window, colour limit and field of view from the data."""
        inside = t1w.data[mask.data > 0.5] if t1w.data.shape == mask.data.shape else t1w.data[t1w.data > 0]
        values = np.abs(scores.data[scores.data != 0])
        limit = float(values.max()) if values.size else 1.0
        window = (0.0, float(np.percentile(inside, 99.5)) * 1.15 or 1.0)
        return cls(t1w, scores, window, limit, Box.around(mask, _MARGIN_MM, points_ras_mm))

    @property
    def has_scores(self) -> bool:
        """Whether the map holds any score."""
        return bool(np.any(self.scores.data != 0))


def target_slices(layers: Layers, through_ras_mm: Point, signs: Sequence[Sign], what: str) -> list[Picture]:
    """Draw axial, coronal and sagittal slices through a point."""
    return [_target_slice(layers, Cut.of(plane, through_ras_mm, layers.box, PIXEL_MM), signs, what) for plane in Plane]


def _target_slice(layers: Layers, cut: Cut, signs: Sequence[Sign], what: str) -> Picture:
    grey = _windowed(layers.t1w.sample(cut.points_ras_mm), layers.window)
    image = _with_scores(grey, layers.scores.sample_known(cut.points_ras_mm), layers.limit)
    figure, axes = _canvas(image, cut)
    highest = max(signs, key=lambda sign: cut.on_picture(sign.position_ras_mm)[1], default=None)
    for sign in signs:
        _draw_sign(axes, cut, sign, label_above=sign is highest)
    view = cut.plane.value
    place = f"{'xyz'[view.normal]} = {cut.position_mm:.1f} mm"
    alt = f"{view.word.capitalize()} T1-weighted slice through {what}, {place}. {_spoken(signs, cut)}"
    return _finish(figure, image, alt, f"{view.word.capitalize()}, {place}")


def _spoken(signs: Sequence[Sign], cut: Cut) -> str:
    parts = [f"{sign.letter} is {_apart(cut.distance_mm(sign.position_ras_mm))}" for sign in signs]
    return "; ".join(parts) + "." if parts else ""


def _apart(distance_mm: float) -> str:
    return "on this slice" if abs(distance_mm) <= _ON_SLICE_MM else f"{abs(distance_mm):.0f} mm off this slice"


def _windowed(values: NDArray[Any], window: tuple[float, float]) -> NDArray[np.float64]:
    low, high = window
    grey = np.clip((values.astype(np.float64) - low) / max(high - low, 1e-12), 0, 1)
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def _with_scores(grey: NDArray[np.float64], scores: NDArray[Any], limit: float) -> NDArray[np.float64]:
    from matplotlib import colormaps

    shown = np.isfinite(scores)
    colours = colormaps[SCORE_COLOURS](np.clip(np.nan_to_num(scores) / (2 * limit) + 0.5, 0, 1))[..., :3]
    image = grey.copy()
    image[shown] = (1 - _SCORE_OPACITY) * grey[shown] + _SCORE_OPACITY * colours[shown]
    return image


def _canvas(image: NDArray[np.float64], cut: Cut) -> tuple[Any, Any]:
    """Return a figure whose pixels are the image's, its axes in mm, with letters and a scale bar."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = image.shape[:2]
    figure = Figure(figsize=(columns / _DPI, rows / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.imshow(image, extent=cut.extent_mm, origin="upper", interpolation="nearest", aspect="auto")
    axes.set_xlim(*cut.extent_mm[:2])
    axes.set_ylim(*cut.extent_mm[2:])
    axes.set_axis_off()
    _draw_letters(axes, cut.plane.value.letters)
    _draw_scale_bar(axes, cut)
    return figure, axes


def _draw_letters(axes: Any, letters: tuple[str, str, str, str]) -> None:
    places = ((0.02, 0.5, "left"), (0.98, 0.5, "right"), (0.5, 0.975, "center"), (0.5, 0.025, "center"))
    vertical = ("center", "center", "top", "bottom")
    for letter, (x, y, side), level in zip(letters, places, vertical, strict=True):
        _halo_text(axes, x, y, letter, size=17, ha=side, va=level, transform=axes.transAxes)


def _halo_text(axes: Any, x: float, y: float, text: str, *, size: float, colour: str = "white", **options: Any) -> None:
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=3, foreground="black")]
    axes.text(x, y, text, color=colour, fontsize=size, fontweight="bold", family="DejaVu Sans", path_effects=halo, **options)


def _draw_scale_bar(axes: Any, cut: Cut) -> None:
    left, _, bottom, _ = cut.extent_mm
    x, y = left + 6, bottom + 6
    axes.plot([x, x + _SCALE_BAR_MM], [y, y], color="white", linewidth=3, solid_capstyle="butt")
    _halo_text(axes, x + _SCALE_BAR_MM / 2, y + 2.5, "2 cm", size=11, ha="center", va="bottom")


def _draw_sign(axes: Any, cut: Cut, sign: Sign, *, label_above: bool) -> None:
    """Draw a sign: with a dot in it on its slice, without and dashed where it is seen through from elsewhere."""
    x, y = cut.on_picture(sign.position_ras_mm)
    apart = abs(cut.distance_mm(sign.position_ras_mm))
    here = apart <= _ON_SLICE_MM
    if sign.from_ras_mm is not None:
        across, up = zip(cut.on_picture(sign.from_ras_mm), (x, y), strict=True)
        axes.plot(across, up, color="black", linewidth=3.2)
        axes.plot(across, up, color=sign.colour, linewidth=1.6, linestyle="-" if here else "--")
    style: dict[str, Any] = {"marker": sign.shape, "linestyle": "none", "markerfacecolor": "none", "markersize": 11}
    axes.plot([x], [y], **style, markeredgecolor="black", markeredgewidth=4.5)
    axes.plot([x], [y], **style, markeredgecolor=sign.colour, markeredgewidth=2)
    if here:
        dot: dict[str, Any] = {"marker": "o", "linestyle": "none", "markeredgecolor": "black", "markeredgewidth": 0.8}
        axes.plot([x], [y], **dot, markerfacecolor=sign.colour, markersize=4.5)
    label = sign.letter if here else f"{sign.letter} ({apart:.0f} mm off)"
    left, right, _, _ = cut.extent_mm
    side, shift = ("left", 6) if x < (left + right) / 2 else ("right", -6)
    level, rise = ("bottom", 3) if label_above else ("top", -3)
    _halo_text(axes, x + shift, y + rise, label, size=12, colour=sign.colour, ha=side, va=level, clip_on=True)


def _finish(figure: Any, image: NDArray[np.float64], alt: str, caption: str) -> Picture:
    from PIL import Image

    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    height, width = image.shape[:2]
    return Picture(jpeg_uri(Image.fromarray(np.ascontiguousarray(pixels))), width, height, alt, caption)


def jpeg_uri(image: Any, quality: int = 86) -> str:
    """Return a Pillow image as a data URI, without metadata."""
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=quality, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def scalp_picture(path: Path) -> Picture:
    """Take over the scalp stage's picture, without its metadata and at a page's size.

    Raises
    ------
    InputError
        The file is no readable picture.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise InputError("no readable picture", where=path, expected="the PNG of the scalp stage") from error
    image.thumbnail((_SCALP_PICTURE_PIXELS, _SCALP_PICTURE_PIXELS), Image.Resampling.LANCZOS)
    alt = "The head surface with the landmarks that the scalp stage found."
    return Picture(jpeg_uri(image), image.width, image.height, alt)


@dataclass(frozen=True)
class Outlines:
    """What the registration pictures draw over the functional image."""

    mask: Volume
    white_matter: Volume
    box: Box

    @classmethod
    def of(cls, t1w: Volume, mask: Volume, white_matter: Volume | None) -> Outlines:
        """Take white matter from its probability map, or from the T1w image's own brightness."""
        return cls(mask, white_matter or bright_tissue(t1w, mask), Box.around(mask, 18.0))


def registration_slices(
    outlines: Outlines, image: Volume, image_to_t1w: Transform | None, site_ras_mm: Point | None
) -> list[Picture]:
    """Draw an image in T1w space under the T1w image's outlines: the functional one, or without transform the T1w itself.

    Three slices through the middle of the left hemisphere, and an axial one through the site if there is one.
    """
    x, y, z = centroid(outlines.mask)
    middle = (x - _BESIDE_MIDLINE_MM, y, z)
    cuts = [Cut.of(plane, middle, outlines.box, PIXEL_MM * 1.25) for plane in Plane]
    if site_ras_mm is not None:
        cuts.append(Cut.of(Plane.AXIAL, site_ras_mm, outlines.box, PIXEL_MM * 1.25))
    positive = image.data[image.data > 0]
    window = (0.0, float(np.percentile(positive, 99.5)) if positive.size else 1.0)
    return [_registration_slice(outlines, image, image_to_t1w, cut, window) for cut in cuts]


def _registration_slice(
    outlines: Outlines, image: Volume, image_to_t1w: Transform | None, cut: Cut, window: tuple[float, float]
) -> Picture:
    points = cut.points_ras_mm if image_to_t1w is None else pulled(cut.points_ras_mm, image_to_t1w)
    pixels = _windowed(image.sample(points), window)
    figure, axes = _canvas(pixels, cut)
    for volume, colour, style in (
        (outlines.mask, _CONTOUR_BRAIN, "dashed"),
        (outlines.white_matter, _CONTOUR_WHITE_MATTER, "solid"),
    ):
        level = volume.sample(cut.points_ras_mm)
        if level.min() < 0.5 < level.max():
            axes.contour(level[::-1], levels=[0.5], extent=cut.extent_mm, colors=[colour], linewidths=0.9, linestyles=style)
    view = cut.plane.value
    place = f"{view.word}, {'xyz'[view.normal]} = {cut.position_mm:.1f} mm"
    what = "T1w image" if image_to_t1w is None else "Functional reference image in T1w space"
    alt = f"{what}, {place}, with the outlines of brain and white matter of the T1w image."
    return _finish(figure, pixels, alt, place.capitalize())


def colour_stops() -> str:
    """Return the score colours as the stops of a CSS gradient, low to high."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return ", ".join(to_hex(colormaps[SCORE_COLOURS](step / 8)) for step in range(9))
