"""The places of all participants on the brain of MNI152NLin2009cAsym, the very space of their coordinates.

The surface is where the template's T1w image, inside its brain mask, passes from fluid to grey matter. It is seen along
parallel lines, so that no place is moved: each is drawn where its own line of sight meets the picture, on top of the brain.
The template is an average of many people; nobody's folds are those that are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep import templates
from tmsprep.records import Point
from tmsprep.report.group_plots import crowd_share, site_style
from tmsprep.report.pictures import Picture, jpeg_uri
from tmsprep.spaces import Array, apply_affine

LEVEL = 130.0
"""T1w value of the template between fluid (about 70) and grey matter (about 170)."""
_SMOOTHING_VOXELS = 0.6
_STEP_MM = 1.0
_VOXEL_MM = 2.0
_MARGIN_MM = 4.0
_NEAR_MM = 32.0
_DEEPEST_MM = 200.0
"""A line of sight that has gone so far has passed the whole brain."""
_WIDTH = 620
_SCALE_MM = 20
_LIGHT = (-0.35, 0.45, 0.82)
"""To the left of the viewer, above, behind the viewer: across, up, towards."""
_DARKEST, _GREY = 0.3, 226.0


@dataclass(frozen=True)
class BrainView:
    """A direction to look from, MNI RAS, head upright."""

    words: str
    towards_viewer: Point

    @cached_property
    def axes_ras(self) -> Array:
        """(3, 3): unit vectors across (rightwards in the picture), up, and towards the viewer."""
        towards = np.asarray(self.towards_viewer, dtype=np.float64)
        towards = towards / np.linalg.norm(towards)
        across = np.cross([0.0, 0.0, 1.0], towards)
        across = across / np.linalg.norm(across)
        return np.asarray(np.stack([across, np.cross(towards, across), towards]), dtype=np.float64)


FROM_THE_LEFT = BrainView("from the left; the front is at the left", (-1.0, 0.0, 0.0))
OBLIQUE = BrainView("from the left, the front and above", (-1.0, 0.75, 0.6))


@dataclass(frozen=True)
class Brain:
    """The template's brain as a field of brightness, zero outside."""

    field: NDArray[np.float32]
    affine: Array
    inside_ras_mm: Array
    """Centres of the voxels at least as bright as the surface, (n, 3)."""

    @classmethod
    def load(cls) -> Brain:
        """Read the packaged template."""
        template = templates.load(templates.NLIN2009C)
        image: Any = nib.load(template.head)
        mask: Any = nib.load(template.brain_mask)
        masked = np.where(np.asarray(mask.dataobj) > 0, np.asarray(image.dataobj), 0).astype(np.float32)
        field: Any = ndimage.gaussian_filter(masked, _SMOOTHING_VOXELS)
        affine = np.asarray(image.affine, dtype=np.float64)
        return cls(field, affine, apply_affine(affine, np.argwhere(field >= LEVEL).astype(np.float64)))

    def normals(self, places_ras_mm: Array) -> Array:
        """Return unit vectors away from the brain at places on its surface, (n, 3)."""
        to_voxels = np.linalg.inv(self.affine)
        voxels = apply_affine(to_voxels, places_ras_mm).T
        slopes: list[Any] = [ndimage.gaussian_filter1d(self.field, 1.0, axis=axis, order=1) for axis in range(3)]
        along = np.stack([ndimage.map_coordinates(slope, voxels, order=1) for slope in slopes], axis=1)
        away = -along @ to_voxels[:3, :3]
        return away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)


@dataclass(frozen=True)
class Window:
    """The part of a picture plane that is drawn, mm across and up."""

    left: float
    right: float
    bottom: float
    top: float

    @classmethod
    def around(cls, flat_mm: Array, margin_mm: float) -> Window:
        """Return the window that holds places (n, 2 or more: across, up) with a margin."""
        (left, bottom), (right, top) = flat_mm[:, :2].min(axis=0) - margin_mm, flat_mm[:, :2].max(axis=0) + margin_mm
        return cls(float(left), float(right), float(bottom), float(top))


@dataclass(frozen=True)
class Sheet:
    """The brain as it is seen from a view, and where a place lies on the picture."""

    view: BrainView
    window: Window
    pixel_mm: float
    grey: NDArray[np.uint8]
    """(rows, columns)."""

    def pixels(self, places_ras_mm: Sequence[Point]) -> Array:
        """Return the column and row of places, (n, 2)."""
        across, up = self.view.axes_ras[:2] @ np.asarray(places_ras_mm, dtype=np.float64).reshape(-1, 3).T
        return np.stack([across - self.window.left, self.window.top - up], axis=1) / self.pixel_mm


def draw_brain(brain: Brain, view: BrainView, near: Sequence[Point] = ()) -> Sheet:
    """Look at the brain: along each line of sight, the first place where the field passes `LEVEL`, lit from the left.

    The whole brain, or what lies about some places, as wide as `_WIDTH` pixels.
    """
    seen = brain.inside_ras_mm @ view.axes_ras.T
    flat = np.asarray(near, dtype=np.float64).reshape(-1, 3) @ view.axes_ras.T
    window = Window.around(flat, _NEAR_MM) if len(flat) else Window.around(seen, _MARGIN_MM)
    pixel_mm = (window.right - window.left) / _WIDTH
    across = window.left + pixel_mm * np.arange(_WIDTH)
    up = np.arange(window.top, window.bottom, -pixel_mm)
    starts = _first_depths(seen, window, pixel_mm, (len(up), _WIDTH))
    lines = np.asarray(np.stack([*np.meshgrid(across, up), starts], axis=-1), dtype=np.float64)
    wanted = np.isfinite(starts)
    met = _follow(brain, view, lines[wanted])
    shown = np.isfinite(met[:, 2])
    values = np.full(len(met), 255.0)
    values[shown] = _shade(brain, view, met[shown] @ view.axes_ras)
    grey = np.full(starts.shape, 255, dtype=np.uint8)
    grey[wanted] = values.round().astype(np.uint8)
    return Sheet(view, window, pixel_mm, grey)


def _first_depths(seen: Array, window: Window, pixel_mm: float, shape: tuple[int, int]) -> Array:
    """Return a depth in front of the brain for each pixel near it, else minus infinity: the lines start there."""
    column = np.rint((seen[:, 0] - window.left) / pixel_mm).astype(int)
    row = np.rint((window.top - seen[:, 1]) / pixel_mm).astype(int)
    inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
    depth = np.full(shape, -np.inf)
    np.maximum.at(depth, (row[inside], column[inside]), seen[inside, 2])
    around = 2 * int(np.ceil(_VOXEL_MM / pixel_mm)) + 1
    return ndimage.maximum_filter(depth, size=around) + _VOXEL_MM


def _follow(brain: Brain, view: BrainView, lines: Array) -> Array:
    """Return where lines (across, up, first depth) meet the surface; depth NaN where they miss it."""
    voxels = apply_affine(np.linalg.inv(brain.affine), lines @ view.axes_ras)
    step = np.linalg.inv(brain.affine[:3, :3]) @ view.axes_ras[2] * _STEP_MM
    met = lines.copy()
    met[:, 2] = np.nan
    going, before = np.arange(len(lines)), np.zeros(len(lines))
    for count in range(int(_DEEPEST_MM / _STEP_MM)):
        value = ndimage.map_coordinates(brain.field, voxels.T, order=1)
        hit = value >= LEVEL
        past = (value[hit] - LEVEL) / np.maximum(value[hit] - before[hit], 1e-6)
        met[going[hit], 2] = lines[going[hit], 2] - (count - np.minimum(past, 1.0)) * _STEP_MM
        going, before, voxels = going[~hit], value[~hit], voxels[~hit] - step
    return met


def _shade(brain: Brain, view: BrainView, places_ras_mm: Array) -> Array:
    light = np.asarray(_LIGHT) / np.linalg.norm(_LIGHT) @ view.axes_ras
    return (_DARKEST + (1 - _DARKEST) * np.clip(brain.normals(places_ras_mm) @ light, 0, 1)) * _GREY


def surface_pictures(targets: Sequence[Sequence[Point]], beams: Sequence[Sequence[Point]]) -> list[Picture]:
    """Draw the left half's places by site, the whole brain and closer: targets filled, the cortex under Beam F3 hollow.

    Places in the right half are behind the brain, and left out. No picture where none is left.
    """
    filled, hollow = _left(targets), _left(beams)
    places = [place for points in (*filled, *hollow) for place in points]
    if not places:
        return []
    brain = Brain.load()
    sheets = (draw_brain(brain, FROM_THE_LEFT), draw_brain(brain, OBLIQUE, near=places))
    return [_picture(sheet, filled, hollow, close=close) for sheet, close in zip(sheets, (False, True), strict=True)]


def right_half(groups: Sequence[Sequence[Point]]) -> int:
    """Count the places that the pictures leave out."""
    return sum(place[0] >= 0 for points in groups for place in points)


def _left(groups: Sequence[Sequence[Point]]) -> list[list[Point]]:
    return [[place for place in points if place[0] < 0] for points in groups]


def _picture(sheet: Sheet, targets: Sequence[Sequence[Point]], beams: Sequence[Sequence[Point]], *, close: bool) -> Picture:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    rows, columns = sheet.grey.shape
    figure = Figure(figsize=(columns / 100, rows / 100), dpi=100, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.imshow(sheet.grey, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    for groups, filled in ((beams, False), (targets, True)):
        for index, points in enumerate(groups):
            _mark(axes, sheet.pixels(points), index, size=70 if close else 22, filled=filled)
    _scale_bar(axes, sheet)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.axis("off")
    canvas.draw()
    image = Image.fromarray(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    seen = f"{'Closer, seen' if close else 'Seen'} {sheet.view.words}"
    words = f"{seen}: brain of the template with circuit targets and the cortex under Beam F3."
    return Picture(jpeg_uri(image), image.width, image.height, words, f"{seen}.")


def _mark(axes: Any, pixels: Array, site: int, *, size: float, filled: bool) -> None:
    shape, colour = site_style(site)
    face, edge, line = (colour, "white", 0.7) if filled else ("white", colour, 1.6)
    share = crowd_share(len(pixels))
    looks: dict[str, Any] = {"facecolors": face, "edgecolors": edge, "linewidths": line * share**0.5}
    axes.scatter(*pixels.T, marker=shape, s=size * share, **looks)


def _scale_bar(axes: Any, sheet: Sheet) -> None:
    rows, columns = sheet.grey.shape
    end, level = columns - 14.0, rows - 14.0
    start = end - _SCALE_MM / sheet.pixel_mm
    for colour, width in (("white", 6.0), ("#202020", 2.4)):
        axes.plot([start, end], [level, level], color=colour, linewidth=width, solid_capstyle="butt")
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
    middle = (start + end) / 2
    axes.text(middle, level - 8, f"{_SCALE_MM} mm", ha="center", va="bottom", fontsize=10, color="#202020", bbox=box)
