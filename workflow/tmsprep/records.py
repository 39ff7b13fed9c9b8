"""What stages hand to each other beside images: targets, fiducials, scalp measurements.

Plain frozen data with units in the field names, read and written as JSON or TSV. All points are scanner RAS+ mm of the T1w
(``_ras_mm``) or RAS mm of a named template (``_mni_mm``: MNI152NLin2009cAsym).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from tmsprep.errors import InputError
from tmsprep.files import read_json, read_tsv, write_json, write_tsv

Point = tuple[float, float, float]


class Status(StrEnum):
    """Whether a result may be used."""

    OK = "ok"
    CAUTION = "caution"
    ABSTAIN = "abstain"


@dataclass(frozen=True)
class Candidate:
    """One candidate site on the cortex."""

    target_ras_mm: Point
    target_mni_mm: Point
    score: float
    """Mean score of the cluster."""
    peak_score: float
    cluster_voxels: int
    cluster_volume_mm3: float
    depth_mm: float | None = None
    """Distance to the nearest scalp point, where the stage was given the scalp."""


@dataclass(frozen=True)
class TargetResult:
    """The outcome of the target stage for one participant (or session)."""

    method: str
    circuit: str
    search_mask: str
    status: Status
    reasons: tuple[str, ...]
    """Why the status is not ``ok``; also remarks that matter clinically."""
    candidates: tuple[Candidate, ...]
    """Best first; empty when no candidate exists."""
    clean_minutes: float
    mean_fd_mm: float
    measures: dict[str, float] = field(default_factory=dict[str, float])
    """Further numbers with their unit in the name, e.g. ``split_half_mm``, ``coverage_search_mask``."""

    def save(self, path: Path) -> None:
        """Write as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> TargetResult:
        """Read what `save` wrote; unknown keys (provenance) are left out."""
        content = read_json(path)
        candidates = tuple(_candidate(item) for item in content["candidates"])
        return cls(
            method=content["method"],
            circuit=content["circuit"],
            search_mask=content["search_mask"],
            status=Status(content["status"]),
            reasons=tuple(content["reasons"]),
            candidates=candidates,
            clean_minutes=content["clean_minutes"],
            mean_fd_mm=content["mean_fd_mm"],
            measures=dict(content["measures"]),
        )


def _candidate(item: dict[str, Any]) -> Candidate:
    content: dict[str, Any] = item | {key: _point(item[key]) for key in ("target_ras_mm", "target_mni_mm")}
    return Candidate(**content)


FIDUCIAL_NAMES = ("NAS", "INI", "LPA", "RPA")
"""Nasion, inion, left and right preauricular point (tragus)."""


@dataclass(frozen=True)
class Fiducial:
    """One anatomical landmark on the scalp."""

    name: str
    """One of `FIDUCIAL_NAMES`."""
    position_ras_mm: Point
    source: str
    """``automatic`` or ``manual``."""
    snapped_mm: float
    """How far the template's point was moved to reach the scalp; 0 for manual ones."""
    status: Status = Status.OK


def save_fiducials(path: Path, fiducials: tuple[Fiducial, ...]) -> None:
    """Write a TSV with columns name, x, y, z (scanner RAS mm), source, snapped_mm, status."""
    import pandas as pd

    rows = [
        dict(zip(("name", "x", "y", "z"), (item.name, *item.position_ras_mm), strict=True))
        | {"source": item.source, "snapped_mm": item.snapped_mm, "status": item.status.value}
        for item in fiducials
    ]
    write_tsv(path, pd.DataFrame(rows), decimals=3)


def load_fiducials(path: Path) -> dict[str, Fiducial]:
    """Read the TSV that `save_fiducials` writes; a user's own needs only name, x, y, z.

    Raises
    ------
    InputError
        It is no such table.
    """
    table = read_tsv(path, required=("name", "x", "y", "z"))
    rows: list[dict[str, Any]] = table.to_dict("records")
    try:
        return {str(row["name"]): _fiducial(row) for row in rows}
    except (ValueError, TypeError) as error:
        raise InputError(f"no table of fiducials ({error})", where=path, expected="name, and x, y, z in numbers") from error


def _fiducial(row: dict[str, Any]) -> Fiducial:
    return Fiducial(
        name=str(row["name"]),
        position_ras_mm=(float(row["x"]), float(row["y"]), float(row["z"])),
        source=str(row.get("source", "manual")),
        snapped_mm=float(row.get("snapped_mm", 0.0)),
        status=Status(row.get("status", "ok")),
    )


@dataclass(frozen=True)
class BeamF3Result:
    """Beam F3 measured on the scalp of one participant. Lengths in mm, points in scanner RAS mm."""

    nasion_inion_mm: float
    tragus_tragus_mm: float
    circumference_mm: float
    x_mm: float
    """Along the circumference, leftwards from the front midline."""
    y_mm: float
    """From the vertex towards the X mark."""
    beamf3_ras_mm: Point
    f3_ras_mm: Point
    """The 10-20 position F3 on the same scalp."""
    vertex_ras_mm: Point
    status: Status
    reasons: tuple[str, ...]
    paths: dict[str, str]
    """How each length was measured, in words."""
    variant: str = "web"
    """Which of the two places `beamf3_ras_mm` is: ``web`` or ``adjusted``."""
    web_ras_mm: Point | None = None
    adjusted_ras_mm: Point | None = None
    """3.5 mm farther from the vertex."""
    beamf4_ras_mm: Point | None = None
    """The same rule on the right side (web variant); no marker and no navigator file has it."""
    spread_median_mm: float | None = None
    spread_95_mm: float | None = None
    """How far Beam F3 moves if each fiducial is wrong by a normal deviate."""
    tape: dict[str, float] = field(default_factory=dict[str, float])
    """Lengths that somebody measured on the head, X and Y from them, their difference from the MRI's; empty if none."""

    def save(self, path: Path) -> None:
        """Write as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> BeamF3Result:
        """Read what `save` wrote; unknown keys (provenance) are left out."""
        content: dict[str, Any] = {key: value for key, value in read_json(path).items() if key in cls.__annotations__}
        for key in ("beamf3_ras_mm", "f3_ras_mm", "vertex_ras_mm"):
            content[key] = _point(content[key])
        for key in ("web_ras_mm", "adjusted_ras_mm", "beamf4_ras_mm"):
            content[key] = _point(content[key]) if content.get(key) else None
        content["status"] = Status(content["status"])
        content["reasons"] = tuple(content["reasons"])
        return cls(**content)


def _point(values: list[float]) -> Point:
    x, y, z = (float(value) for value in values)
    return (x, y, z)
