"""All participants and sites on one page, and the same as a table.

One row a participant (or session). Coordinates of results that the program abstained from are ``n/a``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import pandas as pd

from tmsprep import __version__
from tmsprep.errors import InputError
from tmsprep.files import write_tsv
from tmsprep.records import Point, Status, TargetResult
from tmsprep.report import plots
from tmsprep.report.facts import (
    Marker,
    bare_label,
    distance_mm,
    find_marker,
    load_markers,
    number,
    read_words,
    require_same_target,
    with_marker_reasons,
    worst,
)
from tmsprep.report.page import render
from tmsprep.stages import InFile, OutFile, SidecarFields

_NO_SITE = "not given"


def write_group_report(
    *,
    markers: list[InFile],
    target: list[InFile],
    participants: list[str],
    sites: list[str],
    truth: InFile | None = None,
    out_targets: OutFile,
    out_html: OutFile,
) -> SidecarFields:
    """Write the table of all targets and the group's page.

    Parameters
    ----------
    markers
        Markers of each participant (TSV).
    target
        Result of the target stage of each (JSON), in the same order.
    participants
        Their labels, in the same order.
    sites
        Where each was scanned, in the same order; ``n/a`` if unknown.
    truth
        True targets of simulated participants: participant_id, target_x, target_y, target_z in scanner RAS mm (TSV).
    out_targets
        One row a participant (TSV).
    out_html
        The page.

    Raises
    ------
    InputError
        The lists differ in length, or files contradict each other.
    """
    truths = _load_truth(truth)
    _require_equal_lengths(markers, target, participants, sites)
    given = zip(participants, sites, markers, target, strict=True)
    people = [_member(name, site, marker, result, truths) for name, site, marker, result in given]
    write_tsv(out_targets, pd.DataFrame([member.row() for member in people], columns=list(COLUMNS)), decimals=3)
    html = render(
        "group.html.j2",
        version=__version__,
        people=people,
        sites=_site_summaries(people),
        brains=_brains(people),
        plots=_distributions(people),
        truth_given=truth is not None,
        unknown_truth=[member.participant_id for member in people if truth is not None and not member.has_truth],
        errors=sorted(member.distance_to_truth_mm for member in people if member.distance_to_truth_mm is not None),
        median=median,
    )
    out_html.write_text(html, encoding="utf-8", newline="\n")
    return {"out_targets": {name: {"Description": text} for name, text in COLUMNS.items()}}


COLUMNS: dict[str, str] = {
    "participant_id": "Participant, as in participants.tsv",
    "site": "Where the participant was scanned",
    "status": "ok, caution or abstain: whether the circuit target may be used",
    "reasons": "Why the status is not ok, and remarks",
    "target_x": "Circuit target, scanner RAS mm of the participant's T1w image",
    "target_y": "As target_x",
    "target_z": "As target_x",
    "target_mni_x": "Circuit target in MNI152NLin2009cAsym, mm, for comparison only",
    "target_mni_y": "As target_mni_x",
    "target_mni_z": "As target_mni_x",
    "entry_x": "Scalp point over the circuit target, scanner RAS mm",
    "entry_y": "As entry_x",
    "entry_z": "As entry_x",
    "beamf3_status": "ok, caution or abstain: whether the Beam F3 point may be used",
    "beamf3_x": "Beam F3 on the scalp, scanner RAS mm",
    "beamf3_y": "As beamf3_x",
    "beamf3_z": "As beamf3_x",
    "beamf3_mni_x": "Cortex under Beam F3 in MNI152NLin2009cAsym, mm, for comparison only",
    "beamf3_mni_y": "As beamf3_mni_x",
    "beamf3_mni_z": "As beamf3_mni_x",
    "beamf3_distance_mm": "Straight line from the scalp point over the target to Beam F3 on the scalp, mm",
    "split_half_mm": "Distance between the targets of the two halves of the data, mm",
    "radius_95_mm": "Radius about the target in which the true place lies with 95 %, by simulation, mm",
    "clean_minutes": "Minutes of data after censoring",
    "mean_fd_mm": "Mean framewise displacement, mm",
    "distance_to_truth_mm": "Distance from the circuit target to the known true one, mm; simulated participants only",
}
"""Columns of the table and what they mean."""


@dataclass(frozen=True)
class Member:
    """One participant of the group, with what may be shown of the sites."""

    participant_id: str
    site: str
    status: Status
    reasons: tuple[str, ...]
    target_ras_mm: Point | None
    target_mni_mm: Point | None
    entry_ras_mm: Point | None
    beamf3_status: Status | None
    beamf3_reasons: tuple[str, ...]
    beamf3_ras_mm: Point | None
    beamf3_mni_mm: Point | None
    split_half_mm: float | None
    radius_95_mm: float | None
    clean_minutes: float
    mean_fd_mm: float
    has_truth: bool
    distance_to_truth_mm: float | None

    @property
    def beamf3_distance_mm(self) -> float | None:
        """Straight line between the two points on the scalp."""
        return distance_mm(self.entry_ras_mm, self.beamf3_ras_mm)

    def row(self) -> dict[str, object]:
        """Return the row of the table."""
        plain: dict[str, object] = {name: value for name, value in asdict(self).items() if name in COLUMNS}
        for name in ("target", "entry", "beamf3"):
            plain |= _columns(name, getattr(self, f"{name}_ras_mm"))
        for name in ("target_mni", "beamf3_mni"):
            plain |= _columns(name, getattr(self, f"{name}_mm"))
        words = {"status": self.status.value, "beamf3_status": self.beamf3_status and self.beamf3_status.value}
        return (
            plain
            | words
            | {"reasons": "; ".join(_one_line(text) for text in self.reasons) or None}
            | {"beamf3_distance_mm": self.beamf3_distance_mm}
        )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _columns(name: str, place: Point | None) -> dict[str, object]:
    values = place or (float("nan"),) * 3
    return {f"{name}_{axis}": value for axis, value in zip("xyz", values, strict=True)}


def _require_equal_lengths(
    markers: Sequence[Path], target: Sequence[Path], participants: Sequence[str], sites: Sequence[str]
) -> None:
    counts = {"markers": len(markers), "target": len(target), "participants": len(participants), "sites": len(sites)}
    if len(set(counts.values())) != 1:
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise InputError(told, expected="the same number of each, in the same order")


def _load_truth(path: Path | None) -> dict[str, Point]:
    if path is None:
        return {}
    found: dict[str, Point] = {}
    for row in read_words(path, required=("participant_id", "target_x", "target_y", "target_z")):
        label = bare_label(row["participant_id"])
        place = (float(row["target_x"]), float(row["target_y"]), float(row["target_z"]))
        if found.setdefault(label, place) != place:
            raise InputError(f"two different true targets for {label}", where=path, expected="one place a participant")
    return found


def _member(name: str, site: str, marker_file: Path, target_file: Path, truths: Mapping[str, Point]) -> Member:
    result, markers = TargetResult.load(target_file), load_markers(marker_file)
    circuit, beam = find_marker(markers, "circuit"), find_marker(markers, "beamF3")
    require_same_target(marker_file, circuit, result)
    status = worst([result.status, *([circuit.status] if circuit else [])])
    best = result.candidates[0] if result.candidates and status is not Status.ABSTAIN else None
    beam_shown = beam if beam and beam.status is not Status.ABSTAIN else None
    place = best.target_ras_mm if best else None
    true_place = truths.get(bare_label(name))
    return Member(
        participant_id=name,
        site=site if site and site != "n/a" else _NO_SITE,
        status=status,
        reasons=with_marker_reasons(result.reasons, circuit),
        target_ras_mm=place,
        target_mni_mm=best.target_mni_mm if best else None,
        entry_ras_mm=circuit.entry_ras_mm if circuit and best else None,
        beamf3_status=beam.status if beam else None,
        beamf3_reasons=_own_reasons(beam),
        beamf3_ras_mm=beam_shown.entry_ras_mm if beam_shown else None,
        beamf3_mni_mm=beam_shown.target_mni_mm if beam_shown else None,
        split_half_mm=number(result.measures.get("split_half_mm")) if best else None,
        radius_95_mm=number(result.measures.get("radius_95_mm")) if best else None,
        clean_minutes=result.clean_minutes,
        mean_fd_mm=result.mean_fd_mm,
        has_truth=true_place is not None,
        distance_to_truth_mm=distance_mm(place, true_place),
    )


def _own_reasons(marker: Marker | None) -> tuple[str, ...]:
    return with_marker_reasons((), marker) if marker else ("the markers table has no Beam F3 row",)


@dataclass(frozen=True)
class SiteSummary:
    """One site, its sign in the pictures and its numbers."""

    name: str
    shape: str
    colour: str
    participants: int
    ok: int
    caution: int
    abstain: int
    median_minutes: float
    median_fd_mm: float


def _site_names(people: Sequence[Member]) -> list[str]:
    return sorted({member.site for member in people})


def _site_summaries(people: Sequence[Member]) -> list[SiteSummary]:
    return [_site_summary(people, name, index) for index, name in enumerate(_site_names(people))]


def _site_summary(people: Sequence[Member], name: str, index: int) -> SiteSummary:
    own = [member for member in people if member.site == name]
    shape, colour = plots.site_sign(index)
    counts = {status: sum(member.status is status for member in own) for status in Status}
    return SiteSummary(
        name=name,
        shape=shape,
        colour=colour,
        participants=len(own),
        ok=counts[Status.OK],
        caution=counts[Status.CAUTION],
        abstain=counts[Status.ABSTAIN],
        median_minutes=median(member.clean_minutes for member in own),
        median_fd_mm=median(member.mean_fd_mm for member in own),
    )


@dataclass(frozen=True)
class Drawing:
    """A drawing with its caption."""

    svg: str
    caption: str


def _by_site(people: Sequence[Member], name: str) -> list[list[Point]]:
    return [
        [place for member in people if member.site == site and (place := getattr(member, name)) is not None]
        for site in _site_names(people)
    ]


def _brains(people: Sequence[Member]) -> list[Drawing]:
    drawings: list[Drawing] = []
    for name, words in (("target_mni_mm", "Circuit targets"), ("beamf3_mni_mm", "Cortex under Beam F3")):
        groups = _by_site(people, name)
        if shown := sum(map(len, groups)):
            label = f"{words} of the participants on a schematic brain, by site."
            svg = plots.glass_brain(groups, label, name.split("_", maxsplit=1)[0])
            drawings.append(Drawing(svg, f"{words}: {shown} of {len(people)} participants, MNI152NLin2009cAsym mm."))
    return drawings


def _distributions(people: Sequence[Member]) -> list[Drawing]:
    labels = {
        "clean_minutes": "Clean minutes",
        "mean_fd_mm": "Mean FD (mm)",
        "split_half_mm": "Split-half distance (mm)",
        "radius_95_mm": "95 % radius (mm)",
        "beamf3_distance_mm": "Scalp distance to Beam F3 (mm)",
        "distance_to_truth_mm": "Distance to the truth (mm)",
    }
    drawings: list[Drawing] = []
    for name, words in labels.items():
        groups = [
            [value for member in people if member.site == site and (value := getattr(member, name)) is not None]
            for site in _site_names(people)
        ]
        if any(groups):
            drawings.append(Drawing(plots.strip_plot(groups, words, f"strip-{name.replace('_', '-')}"), words))
    return drawings
