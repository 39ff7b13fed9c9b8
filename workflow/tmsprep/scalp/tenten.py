"""The positions of the 10-10 system on a scalp, by contours.

Oostenveld and Praamstra 2001, doi:10.1016/S1388-2457(00)00527-7, as FieldTrip's ``elec1020_locate`` orders the steps: the
midline, the ring through T7 and T8, and between ring and midline one contour a row through three points. A contour is the
section of the scalp with the plane through its points, laid as a tape would be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tmsprep.scalp.lines import Polyline
from tmsprep.scalp.measure import Measurements, tape_over
from tmsprep.spaces import Array
from tmsprep.surfaces import Surface

_MIDLINE = {"Fpz": 0.1, "AFz": 0.2, "Fz": 0.3, "FCz": 0.4, "Cz": 0.5, "CPz": 0.6, "Pz": 0.7, "POz": 0.8, "Oz": 0.9}
"""Fraction of nasion-inion."""
_CORONAL = {"T7": 0.1, "C5": 0.2, "C3": 0.3, "C1": 0.4, "C2": 0.6, "C4": 0.7, "C6": 0.8, "T8": 0.9}
"""Fraction of LPA-vertex-RPA."""
_RING = {"Fp": 0.1, "AF": 0.2, "F": 0.3, "FT": 0.4, "TP": 0.6, "P": 0.7, "PO": 0.8, "O": 0.9}
"""Fraction of Fpz-T7-Oz (left) and Fpz-T8-Oz (right)."""


@dataclass(frozen=True)
class _Row:
    """A row between the ring's left and right position over the midline."""

    ring: str
    """Prefix on the ring."""
    midline: str
    inner: dict[str, float]
    """Label to the fraction from the left ring position over the midline to the right one."""


_ROWS = (
    _Row("AF", "AFz", {"AF3": 0.25, "AF4": 0.75}),
    _Row("F", "Fz", {"F5": 0.125, "F3": 0.25, "F1": 0.375, "F2": 0.625, "F4": 0.75, "F6": 0.875}),
    _Row("FT", "FCz", {"FC5": 0.125, "FC3": 0.25, "FC1": 0.375, "FC2": 0.625, "FC4": 0.75, "FC6": 0.875}),
    _Row("TP", "CPz", {"CP5": 0.125, "CP3": 0.25, "CP1": 0.375, "CP2": 0.625, "CP4": 0.75, "CP6": 0.875}),
    _Row("P", "Pz", {"P5": 0.125, "P3": 0.25, "P1": 0.375, "P2": 0.625, "P4": 0.75, "P6": 0.875}),
    _Row("PO", "POz", {"PO3": 0.25, "PO4": 0.75}),
)


def ring_labels(prefix: str) -> tuple[str, str]:
    """Return the left and the right label of a prefix on the ring, for example F7 and F8."""
    left, right = {"Fp": ("1", "2"), "O": ("1", "2")}.get(prefix, ("7", "8"))
    return prefix + left, prefix + right


def ten_ten(surface: Surface, measured: Measurements) -> dict[str, Array]:
    """Return all positions of the 10-10 system on a scalp.

    Parameters
    ----------
    surface
        The scalp, closed.
    measured
        Its fiducials, vertex and tape lines.

    Returns
    -------
    dict[str, Array]
        Label to (3,) RAS mm: the ring, the midline, the rows between, and the fiducials Nz, Iz, LPA, RPA.

    Raises
    ------
    ProcessingError
        A contour's plane misses the scalp: the fiducials cannot be right.
    """
    marks = measured.landmarks
    found = {"Nz": marks.nas_ras_mm, "Iz": marks.ini_ras_mm, "LPA": marks.lpa_ras_mm, "RPA": marks.rpa_ras_mm}
    found |= _along(surface, measured.nasion_inion, _MIDLINE) | _along(surface, measured.tragus_tragus, _CORONAL)
    found["Cz"] = measured.vertex_ras_mm
    for side, middle in enumerate(("T7", "T8")):
        contour = tape_over(surface, found["Fpz"], found[middle], found["Oz"])
        found |= _along(surface, contour, {ring_labels(prefix)[side]: part for prefix, part in _RING.items()})
    for row in _ROWS:
        left, right = (found[label] for label in ring_labels(row.ring))
        found |= _along(surface, tape_over(surface, left, found[row.midline], right), row.inner)
    return found


def _along(surface: Surface, line: Polyline, parts: dict[str, float]) -> dict[str, Array]:
    return {label: np.asarray(surface.nearest(line.at_fraction(part))) for label, part in parts.items()}
