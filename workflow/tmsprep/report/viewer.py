"""Slices to click through: nilearn's brainsprite viewer, fed with T1w image and scores on one grid along the world's axes.

The grid is laid by the image's affine, so the viewer never learns how the file is stored: left is left for every header.
"""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmsprep.records import Point
from tmsprep.report.pictures import SCORE_COLOURS, Layers, Sign, jpeg_uri
from tmsprep.spaces import Array

STEP_MM = 1.5
_SCORE_OPACITY = 0.7
_COLOURS = 256
_JPEG_QUALITY = 72


@dataclass(frozen=True)
class Viewer:
    """What the page puts in: two sprites, a scale of colours, and numbers."""

    anatomy_uri: str
    scores_uri: str
    colours_uri: str
    sizes: tuple[int, int, int]
    first_ras_mm: Point
    """Centre of the first voxel of the viewer's grid."""
    json: str


def library() -> str:
    """Return brainsprite's script, as nilearn ships it (MIT)."""
    return resources.files("nilearn").joinpath("plotting/data/js/brainsprite.min.js").read_text(encoding="utf-8").strip()


def make_viewer(layers: Layers, signs: list[Sign]) -> Viewer:
    """Lay the grid over the field of view of the slices and sample both images on it."""
    points = _points(layers)
    sizes = (points.shape[0], points.shape[1], points.shape[2])
    low, high = layers.window
    grey = np.clip((layers.t1w.sample(points) - low) / max(high - low, 1e-12), 0, 1)
    x, y, z = (float(value) for value in points[0, 0, 0])
    return Viewer(
        anatomy_uri=_grey_uri(_sprite(np.rint(grey * 255).astype(np.uint8))),
        scores_uri=_png_uri(_score_sprite(layers, points)),
        colours_uri=_png_uri(_colour_bar()),
        sizes=sizes,
        first_ras_mm=(x, y, z),
        json=json.dumps(_numbers(layers, signs, sizes, (x, y, z)), separators=(",", ":")),
    )


def _points(layers: Layers) -> Array:
    """Return the grid's points (x, y, z, 3), scanner RAS mm."""
    box = layers.box
    ticks = [np.arange(box.low_ras_mm[axis], box.high_ras_mm[axis], STEP_MM) + STEP_MM / 2 for axis in range(3)]
    return np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1)


def _sprite(volume: NDArray[Any]) -> NDArray[Any]:
    """Lay sagittal slices out as brainsprite wants them: y rightwards, z upwards, x from tile to tile, row by row."""
    x, y, z = volume.shape[:3]
    columns = int(np.ceil(np.sqrt(x)))
    rows = int(np.ceil(x / columns))
    sheet = np.zeros((rows * z, columns * y, *volume.shape[3:]), dtype=volume.dtype)
    for index in range(x):
        row, column = divmod(index, columns)
        sheet[row * z : (row + 1) * z, column * y : (column + 1) * y] = np.swapaxes(volume[index], 0, 1)[::-1]
    return sheet


def _score_sprite(layers: Layers, points: Array) -> NDArray[np.uint8]:
    from matplotlib import colormaps

    values = layers.scores.sample_known(points)
    shown = np.isfinite(values)
    step = np.rint((np.clip(np.nan_to_num(values) / (2 * layers.limit), -0.5, 0.5) + 0.5) * (_COLOURS - 1)).astype(np.int64)
    colours = np.rint(colormaps[SCORE_COLOURS](np.linspace(0, 1, _COLOURS)) * 255).astype(np.uint8)
    painted = colours[step]
    painted[~shown] = 0
    return _sprite(painted)


def _colour_bar() -> NDArray[np.uint8]:
    from matplotlib import colormaps

    return np.rint(colormaps[SCORE_COLOURS](np.linspace(0, 1, _COLOURS)) * 255).astype(np.uint8)[np.newaxis]


def _numbers(layers: Layers, signs: list[Sign], sizes: tuple[int, int, int], first: Point) -> dict[str, Any]:
    start = signs[0].position_ras_mm if signs else tuple(first[axis] + STEP_MM * sizes[axis] / 2 for axis in range(3))
    brain: dict[str, Any] = {
        "canvas": "slices-canvas",
        "sprite": "slices-anatomy",
        "nbSlice": dict(zip("XYZ", sizes, strict=True)),
        "crosshair": True,
        "colorCrosshair": "#ffd21f",
        "sizeCrosshair": 1,
        "colorBackground": "#000000",
        "colorFont": "#ffffff",
        "smooth": True,
    }
    if layers.has_scores:
        scale = {"img": "slices-colours", "min": -layers.limit, "max": layers.limit, "hide": True}
        brain |= {"overlay": {"sprite": "slices-scores", "nbSlice": brain["nbSlice"], "opacity": _SCORE_OPACITY}}
        brain |= {"colorMap": scale}
    return {
        "brain": brain,
        "first": list(first),
        "step": STEP_MM,
        "start": [(start[axis] - first[axis]) / STEP_MM for axis in range(3)],
        "spots": [{"letter": sign.letter, "at": list(sign.position_ras_mm)} for sign in signs],
    }


def _grey_uri(sheet: NDArray[np.uint8]) -> str:
    from PIL import Image

    return jpeg_uri(Image.fromarray(sheet, mode="L"), quality=_JPEG_QUALITY)


def _png_uri(pixels: NDArray[np.uint8]) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).quantize(_COLOURS).save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
