"""How far two derivations of the same participants are apart, and what differs between them that may explain it."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tmsprep.errors import InputError
from tmsprep.files import load_nifti, read_data, read_json, read_tsv, sha256
from tmsprep.provenance.activity import RUNS
from tmsprep.provenance.datasets import Activity, Dataset, find_datasets
from tmsprep.provenance.verify import printable

_MARKERS = "_markers.tsv"
_SETTINGS = (
    "Method", "Circuit", "CircuitSHA256", "SearchMask", "TopFraction", "ExclusionMM", "MaxDepthMM", "Seed", "Thresholds",
)  # fmt: skip
"""Fields of a target's JSON that say how it was derived."""
_SAME_GRID_MM = 1e-3
_RAW = "raw input"


class Verdict(StrEnum):
    """What a comparison comes to."""

    AGREE = "agree"
    DIFFER = "differ"
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Difference:
    """One marker in both derivations."""

    unit: str
    target: str
    apart_mm: float | None
    """Between the targets in the cortex; None where one has none."""
    entry_apart_mm: float | None
    status_a: str
    status_b: str
    placed_a: bool
    """Whether there is a target."""
    placed_b: bool

    def within(self, tolerance_mm: float) -> bool:
        """Tell whether place and status agree."""
        if self.status_a != self.status_b or self.placed_a != self.placed_b:
            return False
        return self.apart_mm is None or self.apart_mm <= tolerance_mm


@dataclass(frozen=True)
class Cause:
    """One thing that differs between two derivations and may explain that their targets do."""

    where: str
    """``software``, ``environment``, a unit, or ``raw input``."""
    what: str
    """Name of the package, field or file."""
    a: Any
    """Plain JSON value in A; None where it has none. Of a raw input, its SHA-256."""
    b: Any

    def __str__(self) -> str:
        """Return it as one line of text."""
        if self.where == _RAW:
            return f"raw input differs: {self.what}"
        return f"{self.where}: {self.what}: {_words(self.a)} / {_words(self.b)}"


@dataclass(frozen=True)
class Comparison:
    """What was found."""

    differences: tuple[Difference, ...]
    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    score_correlation: Mapping[str, float | None]
    """By unit; None where the grids differ."""
    explanations: tuple[str, ...]
    files: int
    """In both."""
    identical_files: int
    other_image: tuple[str, ...]
    """Units whose T1w is not the same: their coordinates cannot be compared."""

    def verdict(self, tolerance_mm: float) -> Verdict:
        """Say what it comes to; one unit on another T1w makes the whole not comparable."""
        if self.other_image:
            return Verdict.NOT_COMPARABLE
        agree = all(item.within(tolerance_mm) for item in self.differences) and not (self.only_in_a or self.only_in_b)
        return Verdict.AGREE if agree else Verdict.DIFFER


def compare(a: Path, b: Path) -> Comparison:
    """Compare two output folders.

    Raises
    ------
    InputError
        One has no records, or they have no participant in common.
    """
    first, second = tmsprep_dataset(a), tmsprep_dataset(b)
    ours, theirs = markers_by_unit(first), markers_by_unit(second)
    common = [unit for unit in ours if unit in theirs]
    if not common:
        raise InputError("the two derivations have no participant in common", where=f"{a}, {b}")
    other_image = tuple(unit for unit in common if image_sha256(ours[unit]) != image_sha256(theirs[unit]))
    comparable = [unit for unit in common if unit not in other_image]
    files, identical = _identical(a, b)
    return Comparison(
        differences=tuple(item for unit in comparable for item in differences(unit, ours[unit], theirs[unit])),
        only_in_a=tuple(sorted(set(ours) - set(theirs))),
        only_in_b=tuple(sorted(set(theirs) - set(ours))),
        score_correlation={unit: _score_correlation(ours[unit], theirs[unit]) for unit in comparable},
        explanations=tuple(str(cause) for cause in _causes(first, second, ours, theirs, common)),
        files=files,
        identical_files=identical,
        other_image=other_image,
    )


def causes(a: Path, b: Path) -> tuple[Cause, ...]:
    """Return what differs in versions, machines, settings and raw inputs; the same as a comparison's explanations.

    Raises
    ------
    InputError
        One has no records.
    """
    first, second = tmsprep_dataset(a), tmsprep_dataset(b)
    ours, theirs = markers_by_unit(first), markers_by_unit(second)
    return tuple(_causes(first, second, ours, theirs, [unit for unit in ours if unit in theirs]))


def tmsprep_dataset(folder: Path) -> Dataset:
    """Return the dataset with the markers in an output folder.

    Raises
    ------
    InputError
        There is none.
    """
    found = [dataset for dataset in find_datasets(folder) if any(dataset.root.rglob(f"*{_MARKERS}"))]
    if not found:
        raise InputError("no markers", where=folder, expected="the OUTPUT_DIR of a finished run")
    return found[0]


def markers_by_unit(dataset: Dataset) -> dict[str, Path]:
    """Return the markers table of each unit (``sub-01_task-rest``), in the order of their paths."""
    return {path.name.removesuffix(_MARKERS): path for path in sorted(dataset.root.rglob(f"*{_MARKERS}"))}


def beside(markers: Path, ending: str) -> Path:
    """Return the path of a unit's other file in the folder of its markers, e.g. ``_coordsystem.json``."""
    return markers.with_name(markers.name.removesuffix(_MARKERS) + ending)


def image_sha256(markers: Path) -> str:
    """Return the checksum of the T1w image in whose scanner RAS mm the markers are.

    Raises
    ------
    InputError
        The coordinate system beside the markers cannot be read.
    """
    path = beside(markers, "_coordsystem.json")
    image = read_json(path).get("AssociatedImage")
    if not isinstance(image, dict) or "SHA256" not in image:
        raise InputError("it does not name the image with its checksum", where=path, expected="AssociatedImage.SHA256")
    return str(image["SHA256"])


def differences(unit: str, a: Path, b: Path) -> Iterator[Difference]:
    """Yield the distance between two markers tables of a unit, one a site (scanner RAS mm of the same T1w).

    Raises
    ------
    InputError
        A table cannot be read.
    """
    ours, theirs = (_places(path) for path in (a, b))
    for target in dict.fromkeys([*ours, *theirs]):
        one, two = (table.get(target, _ABSENT) for table in (ours, theirs))
        apart = [_apart(first, second) for first, second in ((one[1], two[1]), (one[2], two[2]))]
        placed = [bool(np.isfinite(item[1]).all()) for item in (one, two)]
        yield Difference(unit, target, apart[0], apart[1], one[0], two[0], placed[0], placed[1])


_Place = tuple[str, NDArray[np.float64], NDArray[np.float64]]
_ABSENT: _Place = ("absent", np.full(3, np.nan), np.full(3, np.nan))


def _places(path: Path) -> dict[str, _Place]:
    """Return status, target and entry (scanner RAS mm, NaN where there is none) of each site."""
    columns = {kind: [f"{kind}_{axis}" for axis in "xyz"] for kind in ("target", "entry")}
    table = read_tsv(path, required=("target_id", "status", *columns["target"], *columns["entry"]))
    numbers = [table[names].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64) for names in columns.values()]
    rows = zip(table["target_id"].astype(str), table["status"].astype(str), *numbers, strict=True)
    return {name: (status, target, entry) for name, status, target, entry in rows}


def _apart(one: NDArray[np.float64], two: NDArray[np.float64]) -> float | None:
    apart = float(np.linalg.norm(one - two))
    return round(apart, 4) if np.isfinite(apart) else None


def _score_correlation(a: Path, b: Path) -> float | None:
    images = [load_nifti(_statmap(path)) for path in (a, b)]
    affines = [np.asarray(image.affine, dtype=np.float64) for image in images]
    same = images[0].shape == images[1].shape and np.allclose(*affines, atol=_SAME_GRID_MM)
    if not same:
        return None
    one, two = (read_data(image) for image in images)
    both = (one != 0) & (two != 0)
    if both.sum() < 2 or np.ptp(one[both]) == 0 or np.ptp(two[both]) == 0:
        return None
    return round(float(np.corrcoef(one[both], two[both])[0, 1]), 6)


def _statmap(markers: Path) -> Path:
    name = markers.name.removesuffix(_MARKERS) + "_space-T1w_desc-circuit_statmap.nii.gz"
    return markers.parent.parent / "func" / name


def _causes(
    a: Dataset, b: Dataset, ours: Mapping[str, Path], theirs: Mapping[str, Path], units: list[str]
) -> Iterator[Cause]:
    """Yield what differs in versions, machines, settings and raw inputs."""
    for kind in ("Software", "Source", "Environment"):
        one, two = (_merged(dataset, kind) for dataset in (a, b))
        for name in dict.fromkeys([*one, *two]):
            if one.get(name) != two.get(name):
                yield Cause(kind.lower(), name, one.get(name), two.get(name))
    one, two = (_configuration(dataset) for dataset in (a, b))
    for name in sorted({*one, *two}):
        if one.get(name) != two.get(name):
            yield Cause("configuration", name, one.get(name), two.get(name))
    for unit in units:
        one, two = (read_json(beside(paths[unit], "_desc-circuit_target.json")) for paths in (ours, theirs))
        for name in _SETTINGS:
            if one.get(name) != two.get(name):
                yield Cause(unit, name, one.get(name), two.get(name))
    one, two = (_raw(dataset) for dataset in (a, b))
    for uri in sorted(set(one) & set(two)):
        if one[uri] != two[uri]:
            yield Cause(_RAW, uri, one[uri], two[uri])


def _merged(dataset: Dataset, kind: str) -> dict[str, Any]:
    """Return each name's value in the records; where they have several, all of them."""
    found: dict[str, list[Any]] = {}
    for activity in _activities(dataset):
        for name, value in activity.content.get(kind, {}).items():
            values = found.setdefault(name, [])
            if value not in values:
                values.append(value)
    return {name: values[0] if len(values) == 1 else ", ".join(sorted(map(str, values))) for name, values in found.items()}


def _activities(dataset: Dataset) -> Iterator[Activity]:
    """Yield the records of a dataset and of those beside it."""
    for other in find_datasets(dataset.root.parent):
        yield from other.activities()


def _configuration(dataset: Dataset) -> dict[str, Any]:
    """Return the options of the last run of the workflow; empty where none is recorded."""
    runs = sorted((dataset.root / RUNS).glob("*.json"))
    return read_json(runs[-1])["Configuration"] if runs else {}


def _raw(dataset: Dataset) -> dict[str, str]:
    used = [item for activity in _activities(dataset) for item in activity.used]
    return {item.uri: item.sha256 for item in used if item.uri.startswith("bids:raw:")}


def _words(value: Any) -> str:
    return "none" if value is None else str(value)


def _identical(a: Path, b: Path) -> tuple[int, int]:
    """Return how many files both have, and how many of them have the same bytes; logs and records aside."""
    ours, theirs = (_files(folder) for folder in (a, b))
    both = [name for name in ours if name in theirs]
    return len(both), sum(sha256(ours[name]) == sha256(theirs[name]) for name in both)


def _files(folder: Path) -> dict[str, Path]:
    return {
        f"{dataset.name}/{path.relative_to(dataset.root).as_posix()}": path
        for dataset in find_datasets(folder)
        for path in dataset.files()
    }


def command(a: Path, b: Path, *, tolerance_mm: float = 2.0, json: Path | None = None, html: Path | None = None) -> int:
    """Compare two derivations of the same participants: two versions, sites, machines, seeds or engines.

    Exit status: 0 all targets agree within the tolerance, 1 some do not, 2 they cannot be compared.

    Parameters
    ----------
    a, b
        The OUTPUT_DIR of each run.
    tolerance_mm
        Distance between targets that counts as agreement.
    json
        Write the result there too.
    html
        Write a page with pictures there too: one file that opens offline.
    """
    try:
        found = compare(a, b)
    except InputError as error:
        print(f"not comparable: {error}")
        return 2
    if json is not None:
        json.write_text(json_format.dumps(asdict(found), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    if html is not None:
        from tmsprep.provenance.compare_page import write_page

        write_page(html, a, b, found, tolerance_mm)
    _print(found, tolerance_mm)
    verdict = found.verdict(tolerance_mm)
    if verdict is Verdict.NOT_COMPARABLE:
        return 2
    print(f"{verdict.upper()} (tolerance {tolerance_mm:g} mm)")
    return 0 if verdict is Verdict.AGREE else 1


def _print(found: Comparison, tolerance_mm: float) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in ("unit", "site", "targets apart (mm)", "entries apart (mm)", "status A", "status B", ""):
        table.add_column(name, justify="right" if "mm" in name else "left", overflow="fold")
    for item in found.differences:
        numbers = ["n/a" if value is None else f"{value:.2f}" for value in (item.apart_mm, item.entry_apart_mm)]
        mark = "" if item.within(tolerance_mm) else "DIFFERS"
        words = (item.unit, item.target, *numbers, item.status_a, item.status_b, mark)
        table.add_row(*(Text(printable(word)) for word in words))
    Console().print(table)
    for unit, value in found.score_correlation.items():
        print(f"{unit}: score maps correlate {'not comparable (other grid)' if value is None else f'{value:.4f}'}")
    for words, units in (("only in A", found.only_in_a), ("only in B", found.only_in_b), ("another T1w", found.other_image)):
        if units:
            print(f"{words}: {', '.join(units)}")
    print(f"files with the same bytes: {found.identical_files} of {found.files}")
    for line in found.explanations:
        print(printable(f"differs: {line}"))
