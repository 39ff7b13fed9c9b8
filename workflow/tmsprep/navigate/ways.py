"""How a place is reached with a tape: from Beam F3, from the landmarks, from the nearest 10-10 position."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmsprep.errors import ProcessingError
from tmsprep.navigate.directions import Offset, nearest_label, offset
from tmsprep.navigate.markers import Placement
from tmsprep.navigate.pose import HeadAxes
from tmsprep.scalp.geodesic import geodesic
from tmsprep.spaces import Array
from tmsprep.surfaces import Surface

LANDMARKS = ("NAS", "LPA", "vertex")
"""From which the distance along the scalp is told."""
_DIGITS = 2


@dataclass(frozen=True, eq=False)
class Ways:
    """The ways to one placed marker."""

    from_beamf3: Offset | None
    """None where Beam F3 was not placed."""
    cortex_apart_mm: float | None
    """Between the two places in the cortex, straight."""
    label: str | None
    """For example ``1.2 cm anterior of F3``; None where the 10-10 positions are not known."""
    landmarks_mm: Mapping[str, float]
    """Along the scalp, by the names of `LANDMARKS`."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What ways start from."""

    scalp: Surface
    axes: HeadAxes
    landmarks_ras_mm: Mapping[str, Array]
    electrodes_ras_mm: Mapping[str, Array]
    """10-10 positions; may be empty."""
    beamf3: Placement | None

    def ways_to(self, placed: Placement) -> Ways:
        """Measure the ways to a placed marker."""
        entry = placed.pose.entry_ras_mm
        way, label, apart = None, None, None
        if self.beamf3 is not None:
            apart = float(np.linalg.norm(placed.target_ras_mm - self.beamf3.target_ras_mm))
            with suppress(ProcessingError):  # where the scalp faces the front there are no such words; the place stands
                way = offset(self.scalp, self.axes, self.beamf3.pose.entry_ras_mm, entry)
        if self.electrodes_ras_mm:
            with suppress(ProcessingError):
                label = nearest_label(self.scalp, self.axes, entry, self.electrodes_ras_mm)[1]
        lengths = {name: geodesic(self.scalp, self.landmarks_ras_mm[name], entry).length_mm for name in LANDMARKS}
        return Ways(way, apart, label, lengths)


def columns(ways: Ways | None) -> dict[str, Any]:
    """Return the columns of the markers' table."""
    way = ways.from_beamf3 if ways else None
    return {
        "scalp_place": (ways.label if ways else None) or "n/a",
        "from_beamF3": way.in_words if way else "n/a",
        "from_beamF3_forward_mm": _number(way and way.forward_mm),
        "from_beamF3_left_mm": _number(way and way.left_mm),
        "from_beamF3_scalp_mm": _number(way and way.distance_mm),
        "from_beamF3_cortex_mm": _number(ways and ways.cortex_apart_mm),
        **{f"from_{name}_scalp_mm": _number(ways and ways.landmarks_mm[name]) for name in LANDMARKS},
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else round(float(value), _DIGITS)


def descriptions() -> dict[str, Any]:
    """Return what each column means, for the sidecar."""
    start = "in the plane that touches the scalp at Beam F3, times the length of the shortest line on the scalp"
    names = {"NAS": "nasion", "LPA": "left preauricular point", "vertex": "vertex"}
    return {
        "scalp_place": {"Description": "Where the entry is, from the nearest 10-10 position on this scalp"},
        "from_beamF3": {"Description": "How to get from Beam F3 to the entry along the scalp, for a tape"},
        "from_beamF3_forward_mm": {"Description": f"Towards the face, {start}", "Units": "mm"},
        "from_beamF3_left_mm": {"Description": f"Towards the participant's left, {start}", "Units": "mm"},
        "from_beamF3_scalp_mm": {"Description": "Shortest line on the scalp from Beam F3 to the entry", "Units": "mm"},
        "from_beamF3_cortex_mm": {"Description": "Straight, between target and cortex below Beam F3", "Units": "mm"},
        **{
            f"from_{name}_scalp_mm": {"Description": f"Shortest line on the scalp from the {names[name]}", "Units": "mm"}
            for name in LANDMARKS
        },
    }
