"""All participants and sites on one page, and the same as a table.

One row a participant (or session). Coordinates of results that the program abstained from are ``n/a``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import pandas as pd

from tmsprep import __version__
from tmsprep.files import write_tsv
from tmsprep.records import Status
from tmsprep.report import group_plots as plots
from tmsprep.report.group_members import COLUMNS, Member, load_members, load_tsnr
from tmsprep.report.group_numbers import (
    MIN_PER_SITE,
    PUBLISHED_BETWEEN_MM,
    PUBLISHED_RATIO,
    PUBLISHED_WITHIN_MM,
    Direction,
    Distances,
    SiteTest,
    Spread,
    beam_to_circuit,
    distances,
    holm,
    trend,
)
from tmsprep.report.group_surface import right_half, surface_pictures
from tmsprep.report.page import render, script
from tmsprep.stages import InFile, OutFile, SidecarFields

FAR_MM = (10, 20, 30)
"""Distances that are counted, as a reading aid: none of them is a published limit."""
SIGNIFICANT = 0.05
"""Below this, by convention, a corrected p is called a difference."""
_ORDER = {Status.ABSTAIN: 0, Status.CAUTION: 1, Status.OK: 2}


def write_group_report(
    *,
    markers: list[InFile],
    target: list[InFile],
    participants: list[str],
    sites: list[str],
    truth: InFile | None = None,
    denoise_summary: list[InFile] | None = None,
    run_participants: list[str] | None = None,
    without: list[str] | None = None,
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
    denoise_summary
        Summary of each run's denoising (JSON), of all participants.
    run_participants
        Whose run each of them is.
    without
        Who has no result, and why: ``label: reason``.
    out_targets
        One row a participant (TSV).
    out_html
        The page.

    Raises
    ------
    InputError
        The lists differ in length, or files contradict each other.
    """
    tsnr = load_tsnr(denoise_summary or [], participants, run_participants or [])
    people = load_members(markers, target, participants, sites, truth, tsnr)
    write_tsv(out_targets, pd.DataFrame([member.row() for member in people], columns=pd.Index(COLUMNS)), decimals=3)
    html = render(
        "group.html.j2",
        scripts=[script("sort.js")],
        version=__version__,
        people=people,
        sites=_site_summaries(people),
        **_places(people),
        **_distances(people),
        **_reliability(people),
        **_quality(people),
        **_beam(people),
        remarks=_remarks(people),
        without=[line.partition(": ")[::2] for line in without or ()],
        order=_ORDER,
        truth_given=truth is not None,
        unknown_truth=[member.participant_id for member in people if truth is not None and not member.has_truth],
        errors=sorted(member.distance_to_truth_mm for member in people if member.distance_to_truth_mm is not None),
        median=median,
    )
    out_html.write_text(html, encoding="utf-8", newline="\n")
    return {"out_targets": COLUMNS}


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


def _by_site(people: Sequence[Member], name: str) -> list[list[Any]]:
    """Return what members have under a name, by site; those without it are left out."""
    return [
        [value for member in people if member.site == site and (value := getattr(member, name)) is not None]
        for site in _site_names(people)
    ]


def _all(people: Sequence[Member], name: str) -> list[float]:
    return [value for member in people if (value := getattr(member, name)) is not None]


def _places(people: Sequence[Member]) -> dict[str, Any]:
    """Where the targets are: the pictures, and how many are on them."""
    targets, beams = _by_site(people, "target_mni_mm"), _by_site(people, "beamf3_mni_mm")
    shown = (sum(map(len, targets)), sum(map(len, beams)))
    if not any(shown):
        return {"places_shown": shown, "glass": None, "surfaces": [], "right_half": 0}
    label = "Circuit targets and the cortex under Beam F3 of the participants on a schematic brain, by site."
    return {
        "places_shown": shown,
        "glass": plots.glass_brain(targets, beams, label, "glass"),
        "surfaces": surface_pictures(targets, beams),
        "right_half": right_half([*targets, *beams]),
    }


@dataclass(frozen=True)
class SpreadRow:
    """A distribution in words and numbers."""

    words: str
    spread: Spread
    published: float | None = None


def _distances(people: Sequence[Member]) -> dict[str, Any]:
    """Distances within and between people."""
    found = distances(people)
    return {
        "distance_rows": _distance_rows(found.spreads),
        "distance_plot": _distance_plot(found),
        "within": found.spreads["within"],
        "between": found.spreads["between"],
        "people_placed": len({member.person for member in people if member.target_mni_mm is not None}),
        "ratio": found.ratio,
        "published": {"within": PUBLISHED_WITHIN_MM, "between": PUBLISHED_BETWEEN_MM, "ratio": PUBLISHED_RATIO},
    }


def _distance_rows(spreads: Mapping[str, Spread | None]) -> list[SpreadRow]:
    given = (
        ("Within a person: two halves of one scan", "within", PUBLISHED_WITHIN_MM),
        ("One person, two sessions", "sessions", None),
        ("Between people: all pairs", "between", PUBLISHED_BETWEEN_MM),
        ("Between people of one site: pairs", "between_same_site", None),
        ("Chance: two random places in the search region", "chance", None),
    )
    return [SpreadRow(words, spread, published) for words, name, published in given if (spread := spreads[name])]


def _distance_plot(found: Distances) -> str | None:
    rows = [
        plots.Row("within a person\n(halves of a scan)", found.within, within=True),
        plots.Row("one person,\ntwo sessions", found.sessions, within=True),
        plots.Row("between people,\nall pairs", found.between, within=False),
        plots.Row("between people\nof one site", found.between_same_site, within=False),
    ]
    rows = [row for row in rows if len(row.values)]
    return plots.distances_plot(rows, "distances") if rows else None


def _reliability(people: Sequence[Member]) -> dict[str, Any]:
    """Reliability against clean minutes."""
    given = (
        ("split_half_mm", "split-half distance (mm)", PUBLISHED_WITHIN_MM),
        ("radius_95_mm", "95 % radius (mm)", None),
    )
    panels = [plots.Panel(words, _against_minutes(people, name), line) for name, words, line in given]
    panels = [panel for panel in panels if any(panel.groups)]
    pairs = [pair for group in _against_minutes(people, "split_half_mm") for pair in group]
    return {
        "reliability_plot": plots.reliability_plot(panels, "reliability") if panels else None,
        "reliability_trend": trend(pairs),
        "reliability_count": len(pairs),
    }


def _against_minutes(people: Sequence[Member], name: str) -> list[list[tuple[float, float]]]:
    sites = [[member for member in people if member.site == site] for site in _site_names(people)]
    return [
        [(member.clean_minutes, value) for member in own if (value := getattr(member, name)) is not None] for own in sites
    ]


@dataclass(frozen=True)
class Measure:
    """A measure of quality."""

    name: str
    words: str
    decimals: int = 1
    from_zero: bool = True


MEASURES = (
    Measure("clean_minutes", "Clean minutes"),
    Measure("mean_fd_mm", "Mean FD (mm)", 2),
    Measure("tsnr", "tSNR before the regression", 0),
    Measure("coverage_search_mask", "Search region with signal (0 to 1)", 2, from_zero=False),
    Measure("coverage_sgacc", "sgACC with signal (0 to 1)", 2, from_zero=False),
    Measure("split_half_mm", "Split-half distance (mm)"),
    Measure("radius_95_mm", "95 % radius (mm)"),
    Measure("beamf3_distance_mm", "Scalp distance to Beam F3 (mm)"),
    Measure("distance_to_truth_mm", "Distance to the truth (mm)"),
)
"""What is shown by site, as far as the results have it."""


@dataclass(frozen=True)
class MeasureBySite:
    """A measure's distributions, and whether sites differ in it."""

    words: str
    decimals: int
    svg: str
    spreads: tuple[Spread | None, ...]
    """In the order of the sites."""
    test: SiteTest | None
    p_holm: float | None

    @property
    def outcome(self) -> str:
        """What the test says, or why there is none."""
        if self.p_holm is not None:
            return "sites differ more than by chance" if self.p_holm < SIGNIFICANT else "no difference shown"
        large = [spread for spread in self.spreads if spread and spread.count >= MIN_PER_SITE]
        return "too few to compare" if len(large) < 2 else "all values are equal"


def _quality(people: Sequence[Member]) -> dict[str, Any]:
    """Quality by site, with the test between sites corrected for the number of measures that could be tested."""
    groups = {item: _by_site(people, item.name) for item in MEASURES}
    groups = {item: values for item, values in groups.items() if any(values)}
    tests = {item: SiteTest.of(values) for item, values in groups.items()}
    tested = [(item, test) for item, test in tests.items() if test]
    corrected = dict(zip((item for item, _ in tested), holm([test.p for _, test in tested]), strict=True))
    measures = [
        MeasureBySite(
            item.words,
            item.decimals,
            plots.strip_plot(values, item.words, f"strip-{item.name.replace('_', '-')}", from_zero=item.from_zero),
            tuple(Spread.of(own) for own in values),
            tests[item],
            corrected.get(item),
        )
        for item, values in groups.items()
    ]
    return {"measures": measures, "tested": len(tested), "min_per_site": MIN_PER_SITE}


def _beam(people: Sequence[Member]) -> dict[str, Any]:
    """Circuit target and Beam F3 over the cohort."""
    cortex, scalp = _all(people, "beamf3_cortex_distance_mm"), _all(people, "beamf3_distance_mm")
    given = (("On the cortex", cortex), ("On the scalp", scalp))
    rows = [SpreadRow(words, spread) for words, values in given if (spread := Spread.of(values))]
    by_site = [beam_to_circuit([member for member in people if member.site == site]) for site in _site_names(people)]
    return {
        "beam_rows": rows,
        "beam_cortex": Spread.of(cortex),
        "beam_far": [(limit, sum(value > limit for value in cortex)) for limit in FAR_MM],
        "beam_direction": Direction.of(people),
        "beam_cumulative": plots.cumulative_plot(scalp, cortex, "cumulative") if cortex or scalp else None,
        "beam_arrows": plots.arrows_plot(by_site, "arrows") if any(by_site) else None,
    }


def _remarks(people: Sequence[Member]) -> list[tuple[str, list[Member]]]:
    """Who abstained and why, then cautions, then the rest that has a remark."""
    given = (
        ("No circuit target (abstained)", Status.ABSTAIN),
        ("Circuit target with caution", Status.CAUTION),
        ("Other remarks", Status.OK),
    )
    found = [(words, [member for member in people if member.status is status]) for words, status in given]
    telling = [
        (words, [member for member in own if member.reasons or member.beamf3_reasons or member.status is Status.ABSTAIN])
        for words, own in found
    ]
    return [(words, own) for words, own in telling if own]
