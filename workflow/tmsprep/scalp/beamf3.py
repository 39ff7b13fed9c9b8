"""Beam F3 from three tape lengths, with the constants of the web calculator.

Pure arithmetic: no image, no surface. Where the point lies on a scalp is `tmsprep.scalp.measure`'s affair.

The equations printed in the article of 2009 give non-physical results; what clinics use is the web calculator, so that is
what is computed here.
"""

from __future__ import annotations

import json as json_format
import math
from dataclasses import dataclass
from typing import Literal

from tmsprep.errors import ConfigurationError

Unit = Literal["mm", "cm", "in"]

_MM_PER_UNIT: dict[Unit, float] = {"mm": 1.0, "cm": 10.0, "in": 25.4}

PLAUSIBLE_MM: dict[str, tuple[float, float]] = {
    "nasion-inion": (300.0, 420.0),
    "tragus-tragus": (300.0, 420.0),
    "circumference": (500.0, 650.0),
}
"""Lengths of adult heads in mm; outside them a wrong unit or a slipped tape is likelier than such a head."""


@dataclass(frozen=True)
class TapeLengths:
    """Three lengths measured on a head, in mm."""

    nasion_inion_mm: float
    """Over the vertex."""
    tragus_tragus_mm: float
    """Over the vertex."""
    circumference_mm: float

    def named(self) -> dict[str, float]:
        """Return the lengths in mm by the names of `PLAUSIBLE_MM`."""
        return {
            "nasion-inion": self.nasion_inion_mm,
            "tragus-tragus": self.tragus_tragus_mm,
            "circumference": self.circumference_mm,
        }


@dataclass(frozen=True)
class BeamF3Distances:
    """Where Beam F3 is, in mm along the scalp."""

    x_mm: float
    """Along the circumference, leftwards from the front midline."""
    y_mm: float
    """From the vertex, along the line towards the X mark."""


def beamf3_distances(lengths: TapeLengths) -> BeamF3Distances:
    """Compute Beam F3 as the web calculator does.

    Parameters
    ----------
    lengths
        Positive lengths. The result scales with them.

    Returns
    -------
    BeamF3Distances
        In mm.

    Notes
    -----
    Method: Beam et al. 2009, doi:10.1016/j.brs.2008.09.006. Equations: the calculator's, as published by Z. Li
    (github.com/zhenlidada/Finding-F3, ``Beam_F3.m``, "webpage version"): F3 is where two chords cross in a projection of
    the head whose half axes are 0.4 of the two lengths over the vertex. Angles are in degrees; 298 (not 288), the
    missing cos(324) and 0.91 are the calculator's own and are kept.
    """
    radius_sagittal = 0.4 * lengths.nasion_inion_mm
    radius_coronal = 0.4 * lengths.tragus_tragus_mm
    slope_a = (radius_coronal * _sin(324) + radius_sagittal / 2) / radius_coronal
    slope_b = radius_sagittal * _sin(298) / (radius_sagittal * _cos(298) - radius_coronal / 2)
    x = 0.5 * (radius_sagittal - radius_coronal * slope_b) / (slope_a - slope_b)
    y = slope_a * x - radius_sagittal / 2
    theta_deg = math.degrees(math.atan(y / x))
    return BeamF3Distances(
        x_mm=lengths.circumference_mm / 4 * (90 + theta_deg) / 90,
        y_mm=0.91 * math.hypot(x, y),
    )


def _sin(degrees: float) -> float:
    return math.sin(math.radians(degrees))


def _cos(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def implausible(lengths: TapeLengths) -> tuple[str, ...]:
    """Return one sentence for each length outside `PLAUSIBLE_MM`."""
    return tuple(
        f"{name} {value:.0f} mm is outside the plausible {PLAUSIBLE_MM[name][0]:.0f} to {PLAUSIBLE_MM[name][1]:.0f} mm"
        for name, value in lengths.named().items()
        if not PLAUSIBLE_MM[name][0] <= value <= PLAUSIBLE_MM[name][1]
    )


def command(
    *,
    nasion_inion: float,
    tragus_tragus: float,
    circumference: float,
    unit: Unit = "cm",
    json: bool = False,
    allow_implausible: bool = False,
) -> None:
    """Compute Beam F3 from three tape measurements, with the web calculator's constants.

    Parameters
    ----------
    nasion_inion
        From nasion to inion over the vertex.
    tragus_tragus
        From tragus to tragus over the vertex.
    circumference
        Head circumference, through FPz and Oz.
    unit
        Unit of the three lengths, and of the table: mm, cm or in.
    json
        Print JSON (lengths in mm) in place of a table.
    allow_implausible
        Compute even if a length lies outside what adult heads measure.
    """
    scale = _MM_PER_UNIT[unit]
    lengths = TapeLengths(nasion_inion * scale, tragus_tragus * scale, circumference * scale)
    _check(lengths, unit, allow_implausible)
    distances = beamf3_distances(lengths)
    print(_as_json(lengths, distances) if json else _as_table(lengths, distances, unit))


def _check(lengths: TapeLengths, unit: Unit, allow_implausible: bool) -> None:
    for name, value in lengths.named().items():
        if not (math.isfinite(value) and value > 0):
            raise ConfigurationError("the length is not a positive number", where=f"--{name}")
        low, high = PLAUSIBLE_MM[name]
        if not (low <= value <= high or allow_implausible):
            raise ConfigurationError(
                f"{_in(value, unit)} is no plausible length of an adult head",
                where=f"--{name}",
                expected=f"{_in(low, unit)} to {_in(high, unit)}",
                action=f"measure again{_unit_hint(name, value, unit)}, or add --allow-implausible if it is right",
            )


def _unit_hint(name: str, value_mm: float, unit: Unit) -> str:
    low, high = PLAUSIBLE_MM[name]
    number = value_mm / _MM_PER_UNIT[unit]
    fitting = [other for other, scale in _MM_PER_UNIT.items() if low <= number * scale <= high]
    return f", or use --unit {fitting[0]} if that is the unit of {number:g}" if fitting else ""


def _in(value_mm: float, unit: Unit) -> str:
    return f"{value_mm / _MM_PER_UNIT[unit]:.4g} {unit}"


def _as_json(lengths: TapeLengths, distances: BeamF3Distances) -> str:
    content = {
        "x_mm": round(distances.x_mm, 4),
        "y_mm": round(distances.y_mm, 4),
        "nasion_inion_mm": round(lengths.nasion_inion_mm, 4),
        "tragus_tragus_mm": round(lengths.tragus_tragus_mm, 4),
        "circumference_mm": round(lengths.circumference_mm, 4),
        "plausible": not implausible(lengths),
        "method": "Beam F3, web calculator's constants",
        "notice": "research software; a clinician decides",
    }
    return json_format.dumps(content, indent=2)


def _as_table(lengths: TapeLengths, distances: BeamF3Distances, unit: Unit) -> str:
    digits = 1 if unit == "mm" else 2
    rows = [(name, value, "") for name, value in lengths.named().items()]
    rows += [
        ("X", distances.x_mm, "left of the front midline, along the circumference"),
        ("Y", distances.y_mm, "from the vertex, towards the X mark"),
    ]
    scale = _MM_PER_UNIT[unit]
    lines = [f"{name:<14}{value / scale:>8.{digits}f} {unit}  {note}".rstrip() for name, value, note in rows]
    warnings = [f"CAUTION: {sentence}" for sentence in implausible(lengths)]
    return "\n".join(["Beam F3 (web calculator's constants)", *lines, *warnings, "Research software; a clinician decides."])
