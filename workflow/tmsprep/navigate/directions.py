"""Where a place on the scalp is, in words and millimetres along the scalp, for somebody with a tape and no navigator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from tmsprep.errors import ProcessingError
from tmsprep.navigate.pose import HeadAxes, outward_normal
from tmsprep.scalp.geodesic import geodesic
from tmsprep.spaces import Array
from tmsprep.surfaces import Surface

_START_MM = 5.0
"""The first part of the shortest line, over which its direction is taken: longer than a triangle's edge."""
_STEEP = 0.1


class Side(StrEnum):
    """Of the head, where a way starts."""

    LEFT = "left"
    RIGHT = "right"
    MIDDLE = "middle"


@dataclass(frozen=True)
class Offset:
    """How to get from one place on the scalp to another: walk off in one direction, so far along the scalp."""

    distance_mm: float
    """Along the shortest line on the scalp."""
    forward_mm: float
    """Towards the face, in the plane that touches the scalp at the start; negative: towards the back."""
    left_mm: float
    """Square to it, towards the participant's left; negative: towards the right."""
    side: Side
    """Where it starts: decides whether left is down towards the ear or up towards the midline."""

    @property
    def in_words(self) -> str:
        """For example ``14 mm forward and 6 mm down (towards the ear)``."""
        words = (
            "forward" if self.forward_mm > 0 else "back",
            self._across("down (towards the ear)", "up (towards the midline)"),
        )
        return " and ".join(f"{leg:.0f} mm {word}" for leg, word in self._legs(words)) or "at the same place"

    @property
    def in_anatomical_words(self) -> str:
        """For example ``1.4 cm anterior and 0.6 cm lateral of``; ``at`` where it is no way at all."""
        words = "anterior" if self.forward_mm > 0 else "posterior", self._across("lateral", "medial")
        way = " and ".join(f"{leg / 10:.1f} cm {word}" for leg, word in self._legs(words))
        return f"{way} of" if way else "at"

    def _legs(self, words: tuple[str, str]) -> list[tuple[float, str]]:
        """Return the length of each leg, mm, with its word; a leg below a mm is none."""
        legs = zip((abs(self.forward_mm), abs(self.left_mm)), words, strict=True)
        return [(leg, word) for leg, word in legs if round(leg) >= 1]

    def _across(self, outwards: str, inwards: str) -> str:
        if self.side is Side.MIDDLE:
            return "left" if self.left_mm > 0 else "right"
        return outwards if (self.left_mm > 0) == (self.side is Side.LEFT) else inwards


def offset(scalp: Surface, axes: HeadAxes, start_ras_mm: ArrayLike, end_ras_mm: ArrayLike) -> Offset:
    """Measure the way along the scalp from one place to another.

    The length is that of the shortest line, the direction that in which it leaves its start: on a flat scalp these are the
    two legs of a right angle, on a round one the way to walk (the logarithmic map of the start).

    Parameters
    ----------
    scalp
        Closed, scanner RAS mm.
    axes
        Of the head.
    start_ras_mm, end_ras_mm
        (3,), moved to the scalp if they are not on it.

    Raises
    ------
    ProcessingError
        The scalp faces straight front or back at the start: "forward" has no meaning there.
    """
    line = geodesic(scalp, start_ras_mm, end_ras_mm)
    length = line.length_mm
    if length < 1e-6:
        return Offset(0.0, 0.0, 0.0, Side.MIDDLE)
    start = line.points_ras_mm[0]
    normal = outward_normal(scalp, start)
    forward = _tangent(-axes.back, normal)
    left = np.cross(normal, forward)
    left = left if left @ axes.left > 0 else -left
    leaves = _tangent(line.at_mm(min(_START_MM, length)) - start, normal)
    return Offset(length, length * float(leaves @ forward), length * float(leaves @ left), _side(normal, axes))


def _side(normal: Array, axes: HeadAxes) -> Side:
    leans = float(normal @ axes.left)
    if abs(leans) < _STEEP:
        return Side.MIDDLE
    return Side.LEFT if leans > 0 else Side.RIGHT


def _tangent(direction: Array, normal: Array) -> Array:
    flat = direction - normal * (direction @ normal)
    size = float(np.linalg.norm(flat))
    if size < _STEEP * float(np.linalg.norm(direction)):
        raise ProcessingError("the scalp there faces along the direction asked for")
    return flat / size


def nearest_label(
    scalp: Surface, axes: HeadAxes, place_ras_mm: ArrayLike, labels_ras_mm: Mapping[str, Array]
) -> tuple[str, str]:
    """Return the nearest 10-10 label, and the place in words from it, for example ``1.2 cm anterior of F3``.

    Raises
    ------
    ProcessingError
        There is no label.
    """
    if not labels_ras_mm:
        raise ProcessingError("no 10-10 position is known")
    place = np.asarray(place_ras_mm, dtype=np.float64)
    name = min(labels_ras_mm, key=lambda label: float(np.linalg.norm(labels_ras_mm[label] - place)))
    way = offset(scalp, axes, labels_ras_mm[name], place)
    return name, f"{way.in_anatomical_words} {name}"
