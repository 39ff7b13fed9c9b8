"""The methods side by side: where each puts the coil, how far they are apart, and how the coil is held."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tmsprep.records import Point, Status
from tmsprep.report.facts import Marker, Sites, distance_mm, find_marker
from tmsprep.report.page import MISSING, Table, number, point

_METHODS = {
    "circuit": "Circuit target: this brain's connectivity",
    "group": "Group coordinate: best on average in other people",
    "beamF3": "Beam F3: three head lengths",
    "F3": "10-20 position F3",
}
_NEXT_TO_NOTHING = 0.2
"""A component of a unit vector below this is not put into words."""


def methods_table(sites: Sites) -> Table:
    """Return one row a method; a method that was not given out has its status and no place."""
    head = (
        "Method", "Status", "In the cortex, scanner RAS (mm)", "On the scalp, scanner RAS (mm)", "In the cortex, MNI (mm)",
        "Coil to cortex (mm)", "From the circuit target, cortex (mm)", "From its scalp point (mm)",
    )  # fmt: skip
    return Table(head, tuple(_row(sites, marker) for marker in _shown(sites)))


def _shown(sites: Sites) -> list[Marker]:
    found = (find_marker(sites.markers, label) for label in _METHODS)
    return [marker for marker in found if marker is not None]


def _status(sites: Sites, marker: Marker) -> Status:
    """Return the worse of what marker and result say: a site that either withholds is not shown."""
    return {"circuit": sites.target_status, "beamF3": sites.beamf3_status}.get(marker.label, marker.status)


def _row(sites: Sites, marker: Marker) -> tuple[str, ...]:
    status = _status(sites, marker)
    given = status is not Status.ABSTAIN
    cortex, scalp, mni = (
        place if given else None for place in (marker.target_ras_mm, marker.entry_ras_mm, marker.target_mni_mm)
    )
    itself = marker.label == "circuit"
    apart = (distance_mm(cortex, sites.target_ras_mm), distance_mm(scalp, sites.entry_ras_mm))
    return (
        _METHODS[marker.label],
        status.value,
        point(cortex),
        point(scalp),
        point(mni),
        number(marker.depth_mm if given else None),
        *("itself" if itself and given else number(value) for value in apart),
    )


def pose_table(sites: Sites) -> Table:
    """Return how the coil is held at each of the two sites that are given out."""
    head = (
        "Site",
        "Coil centre on the scalp, scanner RAS (mm)",
        "The handle points",
        "Unit vector of the handle, scanner RAS",
    )
    names = {"circuit": "Circuit target (T)", "beamF3": "Beam F3 (B)"}
    rows: list[tuple[str, ...]] = []
    for label, name in names.items():
        marker = find_marker(sites.markers, label)
        if marker is None or marker.direction_ras is None or _status(sites, marker) is Status.ABSTAIN:
            continue
        x, y, z = marker.direction_ras
        handle = (-x, -y, -z)
        rows.append((name, point(marker.entry_ras_mm), handle_words(handle), point(handle, 3)))
    return Table(head, tuple(rows))


def handle_words(handle_ras: Point) -> str:
    """Return where a handle points, in words, and its angle to the midline seen from above."""
    names = (("to the left", "to the right"), ("backwards", "forwards"), ("down", "up"))
    parts = [names[axis][handle_ras[axis] > 0] for axis in (1, 0, 2) if abs(handle_ras[axis]) >= _NEXT_TO_NOTHING]
    if not parts:
        return MISSING
    words = _joined(parts)
    across, along = abs(handle_ras[0]), abs(handle_ras[1])
    if math.hypot(across, along) < _NEXT_TO_NOTHING:
        return words
    return f"{words}; {math.degrees(math.atan2(across, along)):.0f}\N{DEGREE SIGN} from the midline, seen from above"


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
