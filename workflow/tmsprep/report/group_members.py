"""The rows of the group: what its table and its page tell of each participant or session, read from the result files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from tmsprep.errors import InputError
from tmsprep.files import read_json
from tmsprep.records import Point, Status, TargetResult
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

_NO_SITE = "not given"
_STATUS_LEVELS = {
    "ok": "passed its checks",
    "caution": "to be used with caution, for the reasons that are told",
    "abstain": "none is given out",
}


def _mm(text: str) -> dict[str, Any]:
    return {"Description": text, "Units": "mm"}


def _point(name: str, text: str) -> dict[str, dict[str, Any]]:
    return {f"{name}_x": _mm(text), f"{name}_y": _mm(f"As {name}_x"), f"{name}_z": _mm(f"As {name}_x")}


COLUMNS: dict[str, dict[str, Any]] = {
    "participant_id": {"Description": "Participant, as in participants.tsv, and session where there are several"},
    "site": {"Description": "Where the participant was scanned"},
    "status": {"Description": "Whether the circuit target may be used", "Levels": _STATUS_LEVELS},
    "reasons": {"Description": "Why the status is not ok, and remarks"},
    **_point("target", "Circuit target, scanner RAS of the participant's T1w image"),
    **_point("target_mni", "Circuit target in MNI152NLin2009cAsym, for comparison only"),
    **_point("entry", "Scalp point over the circuit target, scanner RAS"),
    "beamf3_status": {"Description": "Whether the Beam F3 point may be used", "Levels": _STATUS_LEVELS},
    **_point("beamf3", "Beam F3 on the scalp, scanner RAS"),
    **_point("beamf3_cortex", "Cortex under Beam F3, scanner RAS"),
    **_point("beamf3_mni", "Cortex under Beam F3 in MNI152NLin2009cAsym, for comparison only"),
    "beamf3_distance_mm": _mm("Straight line from the scalp point over the target to Beam F3 on the scalp"),
    "beamf3_cortex_distance_mm": _mm("Straight line from the target to the cortex under Beam F3, in the participant's head"),
    "split_half_mm": _mm("Distance between the targets of the two halves of the data"),
    "odd_even_mm": _mm("Distance between the targets of odd and even five-minute blocks of the data"),
    "radius_95_mm": _mm("Radius about the target in which the true place lies with 95 %, by simulation"),
    "chance_distance_mm": _mm("Distance of two random places in the search region, as a yardstick for the distances above"),
    "clean_minutes": {"Description": "Data after censoring", "Units": "min"},
    "mean_fd_mm": _mm("Mean framewise displacement"),
    "tsnr": {
        "Description": "Temporal signal-to-noise ratio before the regression (after tedana, if it ran), median over the"
        " brain; mean over runs"
    },
    "coverage_search_mask": {"Description": "Part of the search region that has signal, 0 to 1"},
    "coverage_sgacc": {"Description": "Part of the subgenual anterior cingulate cortex that has signal, 0 to 1"},
    "distance_to_truth_mm": _mm("Distance from the circuit target to the known true one; simulated participants only"),
}
"""Columns of the table and what its JSON dictionary says of them."""


@dataclass(frozen=True)
class Member:
    """One participant (or session) of the group, with what may be shown of the sites."""

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
    beamf3_cortex_ras_mm: Point | None
    beamf3_mni_mm: Point | None
    """Cortex under Beam F3."""
    split_half_mm: float | None
    odd_even_mm: float | None
    radius_95_mm: float | None
    chance_distance_mm: float | None
    clean_minutes: float
    mean_fd_mm: float
    tsnr: float | None
    coverage_search_mask: float | None
    coverage_sgacc: float | None
    has_truth: bool
    distance_to_truth_mm: float | None

    @property
    def person(self) -> str:
        """The participant without the session: sessions of one person are no two people."""
        return bare_label(self.participant_id)

    @property
    def beamf3_distance_mm(self) -> float | None:
        """Straight line between the two points on the scalp."""
        return distance_mm(self.entry_ras_mm, self.beamf3_ras_mm)

    @property
    def beamf3_cortex_distance_mm(self) -> float | None:
        """Straight line between the two points on the cortex, in the participant's own head."""
        return distance_mm(self.target_ras_mm, self.beamf3_cortex_ras_mm)

    def row(self) -> dict[str, object]:
        """Return the row of the table."""
        plain: dict[str, object] = {name: value for name, value in asdict(self).items() if name in COLUMNS}
        for name in ("target", "entry", "beamf3", "beamf3_cortex"):
            plain |= _columns(name, getattr(self, f"{name}_ras_mm"))
        for name in ("target_mni", "beamf3_mni"):
            plain |= _columns(name, getattr(self, f"{name}_mm"))
        for name in ("beamf3_distance_mm", "beamf3_cortex_distance_mm"):
            plain[name] = getattr(self, name)
        words = {"status": self.status.value, "beamf3_status": self.beamf3_status and self.beamf3_status.value}
        return plain | words | {"reasons": "; ".join(_one_line(text) for text in self.reasons) or None}


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _columns(name: str, place: Point | None) -> dict[str, object]:
    values = place or (float("nan"),) * 3
    return {f"{name}_{axis}": value for axis, value in zip("xyz", values, strict=True)}


def load_members(
    markers: Sequence[Path],
    target: Sequence[Path],
    participants: Sequence[str],
    sites: Sequence[str],
    truth: Path | None,
    tsnr: Mapping[str, float],
) -> list[Member]:
    """Read the results of all participants; `tsnr` is by participant.

    Raises
    ------
    InputError
        The lists differ in length, or files contradict each other.
    """
    truths = _load_truth(truth)
    _require_equal_lengths(markers, target, participants, sites)
    given = zip(participants, sites, markers, target, strict=True)
    return [_member(name, site, marker, result, truths, tsnr.get(name)) for name, site, marker, result in given]


def load_tsnr(summaries: Sequence[Path], participants: Sequence[str], whose: Sequence[str]) -> dict[str, float]:
    """Return the mean over each participant's runs of what the denoising stage says of their tSNR.

    Raises
    ------
    InputError
        The lists differ in length, or a run is of nobody in the group.
    """
    if len(summaries) != len(whose):
        raise InputError(f"{len(summaries)} denoising summaries of {len(whose)} named runs", expected="one label a summary")
    values: dict[str, list[float]] = {}
    known = frozenset(participants)
    for path, name in zip(summaries, whose, strict=True):
        if name not in known:
            raise InputError(f"a run of {name}, who is not in the group", where=path, expected="a label of --participants")
        if (value := number(read_json(path).get("TSNRMedianBrain"))) is not None:
            values.setdefault(name, []).append(value)
    return {name: fmean(own) for name, own in values.items()}


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


def _member(
    name: str, site: str, marker_file: Path, target_file: Path, truths: Mapping[str, Point], tsnr: float | None
) -> Member:
    result, markers = TargetResult.load(target_file), load_markers(marker_file)
    circuit, beam = find_marker(markers, "circuit"), find_marker(markers, "beamF3")
    require_same_target(marker_file, circuit, result)
    status = worst([result.status, *([circuit.status] if circuit else [])])
    best = result.candidates[0] if result.candidates and status is not Status.ABSTAIN else None
    beam_shown = beam if beam and beam.status is not Status.ABSTAIN else None
    place = best.target_ras_mm if best else None
    true_place = truths.get(bare_label(name))
    of_target = result.measures if best else {}
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
        beamf3_cortex_ras_mm=beam_shown.target_ras_mm if beam_shown else None,
        beamf3_mni_mm=beam_shown.target_mni_mm if beam_shown else None,
        split_half_mm=number(of_target.get("split_half_mm")),
        odd_even_mm=number(of_target.get("odd_even_mm")),
        radius_95_mm=number(of_target.get("radius_95_mm")),
        chance_distance_mm=number(of_target.get("chance_distance_mm")),
        clean_minutes=result.clean_minutes,
        mean_fd_mm=result.mean_fd_mm,
        tsnr=tsnr,
        coverage_search_mask=number(result.measures.get("coverage_search_mask")),
        coverage_sgacc=number(result.measures.get("coverage_sgacc")),
        has_truth=true_place is not None,
        distance_to_truth_mm=distance_mm(place, true_place),
    )


def _own_reasons(marker: Marker | None) -> tuple[str, ...]:
    return with_marker_reasons((), marker) if marker else ("the markers table has no Beam F3 row",)
