"""The comparison of two derivations as one page with pictures: opens offline, the same bytes for the same inputs.

It names the two only by the last part of their paths, and every string from their files is cleaned of absolute paths.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep import __version__
from tmsprep.errors import InputError
from tmsprep.files import atomic, read_json, read_tsv, sha256
from tmsprep.provenance.compare import (
    Cause,
    Comparison,
    Difference,
    Verdict,
    beside,
    causes,
    image_sha256,
    markers_by_unit,
    tmsprep_dataset,
)
from tmsprep.provenance.datasets import Dataset
from tmsprep.records import Point, Status
from tmsprep.report.page import Table, number, point, render
from tmsprep.report.pictures import Layers, Picture, Sign, target_slices
from tmsprep.report.slices import Volume

_CIRCUIT = "circuit"
_SHA_DIGITS = 12
_NAME = r"[^\s\\/'\"<>|]+"
_FOLDERS = re.compile(
    rf"(?<![\w.<\\/])(?:[A-Za-z]:)?[\\/]+(?={_NAME})"
    rf"(?:(?:{_NAME}[\\/]+)*(?:home|Users)[\\/]+{_NAME}[\\/]*)?(?:{_NAME}[\\/]+)*"
)
"""The folders of an absolute path, and a user's own folder with its name."""
_DIRECTIONS = (("to the right", "to the left"), ("to the front", "to the back"), ("up", "down"))
_SMALLEST_SHIFT_MM = 0.05


def write_page(path: Path, a: Path, b: Path, found: Comparison, tolerance_mm: float) -> None:
    """Write the page of a comparison.

    Parameters
    ----------
    path
        The HTML file; appears complete or not at all.
    a, b
        The OUTPUT_DIR of each derivation.
    found
        What their comparison found.
    tolerance_mm
        Distance between targets that counts as agreement.

    Raises
    ------
    InputError
        A record, markers table or coordinate system of either cannot be read.
    """
    sides = (Side.of("A", a, "circle", "o", "#ffb000"), Side.of("B", b, "cross", "x", "#5ec8ff"))
    verdict = found.verdict(tolerance_mm)
    html = render(
        "compare.html.j2",
        statuses=[status.value for status in Status],
        sides=sides,
        version=__version__,
        verdict_sign=_VERDICT_SIGNS[verdict],
        headline=_headline(verdict, sides, tolerance_mm),
        facts=list(_facts(found, tolerance_mm)),
        groups=_groups(found, tolerance_mm),
        units=[UnitView.of(item, sides, tolerance_mm) for item in found.differences if item.target == _CIRCUIT],
        chart=Chart.of(found, tolerance_mm),
        other_image=_other_image(found, sides),
        scores=_scores(found),
        found=found,
        causes=_cause_groups(causes(a, b)),
    )
    with atomic(path) as twin:
        twin.write_text(html, encoding="utf-8", newline="\n")


@dataclass(frozen=True)
class Side:
    """One of the two derivations, and the sign that stands for its targets."""

    letter: str
    name: str
    dataset: Dataset
    shape: str
    marker: str
    """A matplotlib marker."""
    colour: str

    @classmethod
    def of(cls, letter: str, folder: Path, shape: str, marker: str, colour: str) -> Side:
        """Open an output folder; the name is the last part of its path.

        Raises
        ------
        InputError
            It holds no markers.
        """
        name = Path(os.path.abspath(folder)).name  # noqa: PTH100 - a link keeps the name that the user gave
        return cls(letter, name, tmsprep_dataset(folder), shape, marker, colour)

    @property
    def label(self) -> str:
        """Letter and folder, e.g. ``A (out)``."""
        return f"{self.letter} ({self.name})" if self.name else self.letter

    @cached_property
    def markers(self) -> dict[str, Path]:
        """The markers table of each unit."""
        return markers_by_unit(self.dataset)

    def circuit(self, unit: str) -> Site:
        """Read a unit's circuit target.

        Raises
        ------
        InputError
            The markers table cannot be read.
        """
        table = read_tsv(self.markers[unit], required=("target_id", "status")).set_index("target_id")
        if _CIRCUIT not in table.index:
            return Site("absent", "", None)
        row: dict[str, Any] = table.loc[_CIRCUIT].to_dict()
        place = np.array([row.get(f"target_{axis}", np.nan) for axis in "xyz"], dtype=np.float64)
        given = row["status"] != Status.ABSTAIN and bool(np.isfinite(place).all())
        reasons = row.get("reasons")
        return Site(
            status=_clean(str(row["status"])),
            reasons=_clean(reasons) if isinstance(reasons, str) else "",
            target_ras_mm=_as_point(place) if given else None,
        )

    def sources(self, unit: str, ending: str) -> Iterator[tuple[str, str]]:
        """Yield URI and SHA-256 of what a unit's file (e.g. ``_coordsystem.json``) says it was made from."""
        content = read_json(beside(self.markers[unit], ending))
        yield from zip(content.get("Sources", []), content.get("SourcesSHA256", []), strict=False)

    def located(self, sources: Iterable[tuple[str, str]]) -> Path | None:
        """Return the first of the files that is there and has the recorded bytes."""
        for uri, checksum in sources:
            path = self._locate(uri)
            if path is not None and path.is_file() and sha256(path) == checksum:
                return path
        return None

    def _locate(self, uri: str) -> Path | None:
        try:
            return self.dataset.locate(uri)
        except InputError:  # no such link: the file is as good as absent
            return None


@dataclass(frozen=True)
class Site:
    """A unit's circuit target in one derivation."""

    status: str
    reasons: str
    target_ras_mm: Point | None
    """None where none is given out."""


def _as_point(values: Iterable[float]) -> Point:
    x, y, z = (float(value) for value in values)
    return (x, y, z)


@dataclass(frozen=True)
class UnitView:
    """What is shown of one unit: words, and slices where both derivations have a target."""

    name: str
    sentences: list[str]
    legend: list[tuple[Side, str]]
    pictures: list[Picture]
    background: str

    @classmethod
    def of(cls, difference: Difference, sides: Sequence[Side], tolerance_mm: float) -> UnitView:
        """Read both targets and draw them.

        Raises
        ------
        InputError
            A markers table or coordinate system cannot be read.
        """
        unit = difference.unit
        sites = [side.circuit(unit) for side in sides]
        places = [site.target_ras_mm for site in sites if site.target_ras_mm is not None]
        legend = [(side, point(site.target_ras_mm)) for side, site in zip(sides, sites, strict=True)]
        if len(places) < len(sites):
            return cls(unit, list(_without_target(sides, sites)), legend, [], "")
        sentences = [_distance_words(difference, places, tolerance_mm), *_status_words(sides, sites)]
        try:
            background, pictures = _draw(unit, sides, places)
        except InputError as error:
            return cls(unit, [*sentences, f"No picture: {_clean(error.what)}."], legend, [], "")
        return cls(unit, sentences, legend, pictures, background)


def _without_target(sides: Sequence[Side], sites: Sequence[Site]) -> Iterator[str]:
    for side, site in zip(sides, sites, strict=True):
        if site.target_ras_mm is None:
            why = f": {site.reasons}" if site.reasons else ""
            yield f"{side.label} gives no circuit target (status {site.status}){why}."
        else:
            yield f"{side.label} gives a circuit target (status {site.status})."
    yield "So there is no distance, and no picture."


def _status_words(sides: Sequence[Side], sites: Sequence[Site]) -> Iterator[str]:
    if len({site.status for site in sites}) > 1:
        for side, site in zip(sides, sites, strict=True):
            yield f"{side.label} has the status {site.status}{f': {site.reasons}' if site.reasons else ''}."


def _distance_words(difference: Difference, places: Sequence[Point], tolerance_mm: float) -> str:
    apart_mm = difference.apart_mm or 0.0
    side = "more than" if apart_mm > tolerance_mm else "within"
    words = f"The circuit targets A and B are {_millimetres(apart_mm, tolerance_mm)} apart, {side} the tolerance"
    shift = _shift_words(*places)
    return f"{words} of {tolerance_mm:g} mm{f'. Seen from A, B lies {shift}' if shift else ''}."


def _millimetres(value: float, tolerance_mm: float) -> str:
    """Return a distance with one decimal, or with more where rounding would take it across the tolerance."""
    short = number(value)
    return f"{short if (float(short) > tolerance_mm) == (value > tolerance_mm) else number(value, 4)} mm"


def _shift_words(a_ras_mm: Point, b_ras_mm: Point) -> str:
    shifts = np.subtract(b_ras_mm, a_ras_mm).tolist()
    named = zip(shifts, _DIRECTIONS, strict=True)
    return " and ".join(
        f"{abs(shift):.1f} mm {words[0] if shift > 0 else words[1]}"
        for shift, words in named
        if abs(shift) >= _SMALLEST_SHIFT_MM
    )


def _draw(unit: str, sides: Sequence[Side], places: Sequence[Point]) -> tuple[str, list[Picture]]:
    """Return what the slices show, and the slices through the mean of the targets.

    Raises
    ------
    InputError
        No T1w image can be shown under these points.
    """
    side, path = _t1w(unit, sides)
    t1w = Volume.load(path)
    if not all(t1w.grid.contains(place) for place in places):
        raise InputError("a target lies outside the T1w image")
    layers = Layers.of(t1w, _mask(side, unit, t1w), _no_scores(), places)
    signs = [Sign(one.letter, one.marker, one.colour, place) for one, place in zip(sides, places, strict=True)]
    middle = _as_point(np.mean(places, axis=0))
    drawn = target_slices(layers, middle, signs, "the middle between the circuit targets A and B")
    kind = "preprocessed T1w image" if "_desc-preproc_" in path.name else "T1w image"
    return f"{kind} of {side.label}", drawn[::-1]  # sagittal, coronal, axial


def _t1w(unit: str, sides: Sequence[Side]) -> tuple[Side, Path]:
    """Return the T1w image to draw and whose it is: the preprocessed one if it is there, of A before B."""
    for side in sides:
        if path := side.located(_t1w_sources(side, unit)):
            return side, path
    raise InputError("no T1w image with the recorded checksum was found beside the two derivations")


def _t1w_sources(side: Side, unit: str) -> Iterator[tuple[str, str]]:
    for uri, checksum in side.sources(unit, "_desc-circuit_target.json"):
        if uri.endswith(("_desc-preproc_T1w.nii.gz", "_desc-preproc_T1w.nii")):
            yield uri, checksum
    content = read_json(beside(side.markers[unit], "_coordsystem.json"))
    yield str(content.get("IntendedFor")), image_sha256(side.markers[unit])


def _mask(side: Side, unit: str, t1w: Volume) -> Volume:
    """Return the brain mask, or where none is on this grid what is bright: it serves to choose view and window only."""
    named = (item for item in side.sources(unit, "_coordsystem.json") if item[0].endswith("_desc-brain_mask.nii.gz"))
    mask = Volume.load(path) if (path := side.located(named)) else None
    if mask is not None and mask.data.shape == t1w.data.shape and np.allclose(mask.affine_ras_mm, t1w.affine_ras_mm):
        return mask
    bright = t1w.data > np.percentile(t1w.data, 99) / 4
    return Volume(bright.astype(np.float32), t1w.affine_ras_mm)


def _no_scores() -> Volume:
    return Volume(np.zeros((1, 1, 1), dtype=np.float32), np.eye(4))


_VERDICT_SIGNS = {
    Verdict.AGREE: Status.OK.value,
    Verdict.DIFFER: Status.CAUTION.value,
    Verdict.NOT_COMPARABLE: Status.ABSTAIN.value,
}
"""The status whose sign and colour a verdict takes over."""


def _headline(verdict: Verdict, sides: Sequence[Side], tolerance_mm: float) -> str:
    names = " and ".join(side.label for side in sides)
    words = "are not comparable" if verdict is Verdict.NOT_COMPARABLE else verdict.value
    return f"{names} {words} (tolerance {tolerance_mm:g} mm)"


def _facts(found: Comparison, tolerance_mm: float) -> Iterator[str]:
    """Yield the sentences that say why the verdict is what it is."""
    if found.other_image:
        yield f"Derived on another T1w image, so that coordinates are of another frame: {_listed(found.other_image)}."
    for letter, units in (("A", found.only_in_a), ("B", found.only_in_b)):
        if units:
            yield f"In {letter} only: {_listed(units)}."
    count, sites = len(found.differences), found.differences
    if not count:
        return
    far = sum(item.apart_mm is not None and item.apart_mm > tolerance_mm for item in sites)
    other = sum(item.status_a != item.status_b for item in sites)
    yield f"{_counted(count, 'site')} compared: {far} further apart than {tolerance_mm:g} mm, {other} with another status."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(_clean(name) for name in names)


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class Row:
    """One site of the table."""

    site: str
    apart_mm: str
    entry_apart_mm: str
    status_a: str
    status_b: str
    mark: str
    """What differs; empty where nothing does."""


def _groups(found: Comparison, tolerance_mm: float) -> list[tuple[str, list[Row]]]:
    """Return the sites of each unit."""
    units = groupby(found.differences, key=lambda item: item.unit)
    return [(_clean(unit), [_row(item, tolerance_mm) for item in items]) for unit, items in units]


def _row(item: Difference, tolerance_mm: float) -> Row:
    far = item.apart_mm is not None and item.apart_mm > tolerance_mm
    marks = [word for word, differs in (("place", far), ("status", item.status_a != item.status_b)) if differs]
    apart, entry = ("n/a" if value is None else number(value, 2) for value in (item.apart_mm, item.entry_apart_mm))
    target, status_a, status_b = (_clean(text) for text in (item.target, item.status_a, item.status_b))
    return Row(target, apart, entry, status_a, status_b, " and ".join(marks))


@dataclass(frozen=True)
class Lane:
    """One unit of the chart: where its dot lies, in percent of the width."""

    unit: str
    percent: str
    words: str
    far: bool


@dataclass(frozen=True)
class Chart:
    """Distances between circuit targets, one lane a unit."""

    lanes: list[Lane]
    tolerance_percent: str
    end: str

    @classmethod
    def of(cls, found: Comparison, tolerance_mm: float) -> Chart | None:
        """Lay the chart out; None where there are fewer than two distances."""
        known = {item.unit: item.apart_mm for item in found.differences if item.target == _CIRCUIT}
        distances = {unit: value for unit, value in known.items() if value is not None}
        if len(distances) < 2:
            return None
        end_mm = max(*distances.values(), tolerance_mm) * 1.1 or 1.0
        lanes = [
            Lane(_clean(unit), number(100 * value / end_mm, 2), _millimetres(value, tolerance_mm), value > tolerance_mm)
            for unit, value in distances.items()
        ]
        return cls(lanes, number(100 * tolerance_mm / end_mm, 2), f"{number(end_mm)} mm")


def _other_image(found: Comparison, sides: Sequence[Side]) -> Table:
    head = ("Unit", *(f"T1w in {side.label}: SHA-256" for side in sides))
    rows = [
        (_clean(unit), *(_clean(image_sha256(side.markers[unit]))[:_SHA_DIGITS] for side in sides))
        for unit in found.other_image
    ]
    return Table(head, tuple(rows))


def _scores(found: Comparison) -> Table:
    rows = [
        (_clean(unit), "not comparable (other grid, or too few scores)" if value is None else number(value, 4))
        for unit, value in found.score_correlation.items()
    ]
    return Table(("Unit", "Correlation (Pearson) over the voxels that both scored"), tuple(rows))


def _cause_groups(items: Iterable[Cause]) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Return what differs by where it does: name, value in A, value in B."""
    groups: dict[str, list[tuple[str, str, str]]] = {}
    for item in (part for whole in items for part in _split(whole)):
        row = (_clean(item.what), _value(item, item.a), _value(item, item.b))
        groups.setdefault(_clean(item.where), []).append(row)
    return list(groups.items())


def _split(item: Cause) -> Iterator[Cause]:
    """Yield a mapping's differing entries one by one."""
    if not (isinstance(item.a, Mapping) and isinstance(item.b, Mapping)):
        yield item
        return
    for name in dict.fromkeys([*item.a, *item.b]):
        if item.a.get(name) != item.b.get(name):
            yield Cause(item.where, f"{item.what}: {name}", item.a.get(name), item.b.get(name))


def _value(item: Cause, value: Any) -> str:
    if value is None:
        return "none"
    if item.what.startswith("bids:"):
        return f"SHA-256 {str(value)[:_SHA_DIGITS]}"
    return _clean(str(value))


def _clean(text: str) -> str:
    """Return text on one line, absolute paths cut down to their last part: they may name a user or a machine."""
    return _FOLDERS.sub("", " ".join(text.split()))
