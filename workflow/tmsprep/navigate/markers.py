"""The rows of ``markers.tsv``: one candidate each, with target, entry, coil pose, depth and status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tmsprep.navigate.pose import CoilPose
from tmsprep.records import Status
from tmsprep.spaces import Array

_DIGITS = 4


@dataclass(frozen=True)
class Site:
    """What identifies a candidate."""

    target_id: str
    label: str
    description: str
    status: Status
    reasons: tuple[str, ...]
    score: float | None = None


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a candidate is: cortex, scalp, coil."""

    target_ras_mm: Array
    """(3,), in the cortex."""
    target_mni_mm: Array
    """(3,), MNI152NLin2009cAsym."""
    pose: CoilPose
    coil_cortex_depth_mm: float | None
    """From the coil's centre on the scalp along its axis to the first grey matter; None where none was met."""

    @property
    def target_depth_mm(self) -> float:
        """From the entry to the target."""
        return float(np.linalg.norm(self.target_ras_mm - self.pose.entry_ras_mm))


@dataclass(frozen=True, eq=False)
class Marker:
    """One row: a candidate, placed unless its status is ``abstain``."""

    site: Site
    placement: Placement | None


def markers_table(markers: list[Marker]) -> pd.DataFrame:
    """Return the table, columns as in the NIBS-BIDS draft, then this program's own."""
    return pd.DataFrame([_row(marker) for marker in markers])


def _row(marker: Marker) -> dict[str, Any]:
    site, placed = marker.site, marker.placement
    pose = placed.pose if placed else None
    return {
        "target_id": site.target_id,
        "target_label": site.label,
        "target_description": site.description,
        "peeling_depth": _number(placed.target_depth_mm if placed else None),
        **_xyz("target", placed.target_ras_mm if placed else None),
        **_xyz("entry", pose.entry_ras_mm if pose else None),
        "coil_transform": _matrix_text(pose.matrix_ras_mm) if pose else "n/a",
        **_xyz("coil", pose.entry_ras_mm if pose else None),
        **_xyz("normal", pose.normal if pose else None, digits=6),
        **_xyz("direction", -pose.handle if pose else None, digits=6),
        **_xyz("target_mni", placed.target_mni_mm if placed else None),
        "coil_cortex_depth_mm": _number(placed.coil_cortex_depth_mm if placed else None),
        "score": _number(site.score, digits=6),
        "status": site.status.value,
        "reasons": "; ".join(site.reasons) or "n/a",
    }


def _xyz(name: str, values: Array | None, digits: int = _DIGITS) -> dict[str, float]:
    numbers = np.full(3, np.nan) if values is None else np.round(np.asarray(values, dtype=np.float64), digits)
    return {f"{name}_{axis}": float(number) for axis, number in zip("xyz", numbers, strict=True)}


def _number(value: float | None, digits: int = _DIGITS) -> float:
    return float("nan") if value is None else round(float(value), digits)


def _matrix_text(matrix: Array) -> str:
    """Write a 4 x 4 matrix row by row, as a JSON array of arrays."""
    rows = ("[" + ", ".join(f"{value + 0.0:.6f}" for value in np.round(row, 6)) + "]" for row in matrix)
    return "[" + ", ".join(rows) + "]"


def column_descriptions(handle_angle_deg: float) -> dict[str, Any]:
    """Return what each column means, for the sidecar."""
    return {
        "target_id": {"Description": "Identifier of the candidate, unique in this file"},
        "target_label": {
            "Description": "How the candidate was found",
            "Levels": {
                "circuit": "individual connectivity with a circuit; -2, -3: the next best clusters",
                "group": "published group coordinate, by the template transform; not individual",
                "beamF3": "Beam F3, measured on the scalp",
                "F3": "10-20 position F3, measured on the scalp",
            },
        },
        "target_description": {"Description": "The candidate in words"},
        "peeling_depth": {"Description": "Distance from the entry to the target", "Units": "mm"},
        **_described(
            "target", "Target in the cortex; for beamF3 and F3 the first grey matter along the inward scalp normal"
        ),
        **_described(
            "entry",
            "Point of the scalp over the target, by the rule in EntryRule; for beamF3 and F3 the scalp position itself",
        ),
        "coil_transform": {
            "Description": "Coil frame to scanner RAS, 4 x 4, row by row. Axes as SimNIBS has them: origin at the entry on "
            "the scalp (no allowance for hair or coil casing), z into the head, handle along -y, x = y cross z. The handle "
            f"points back and left, {handle_angle_deg:g} degrees from the mid-sagittal direction in the plane that touches "
            "the scalp",
            "Units": "mm",
        },
        **_described("coil", "Origin of the coil frame, equal to the entry"),
        **_described("normal", "Unit vector out of the head, from a quadratic fit to the scalp within 15 mm", units=None),
        **_described("direction", "Unit vector of the coil's +y axis, opposite to the handle", units=None),
        **_described("target_mni", "Target in MNI152NLin2009cAsym, for comparison only"),
        "coil_cortex_depth_mm": {
            "Description": "From the entry along the inward normal to the first grey matter (probability at least 0.5)",
            "Units": "mm",
        },
        "score": {"Description": "Mean score of the cluster; none for scalp positions"},
        "status": {
            "Description": "Whether the candidate may be used",
            "Levels": {
                "ok": "no check failed",
                "caution": "usable after a look at the reasons",
                "abstain": "not to be used; coordinates withheld",
            },
        },
        "reasons": {"Description": "Why the status is not ok, and other remarks"},
    }


def _described(name: str, text: str, units: str | None = "mm") -> dict[str, Any]:
    extra = {"Units": units} if units else {}
    frame = "" if "MNI" in text else ", scanner RAS of the T1w"
    return {f"{name}_{axis}": {"Description": f"{text}: {axis}{frame}"} | extra for axis in "xyz"}
