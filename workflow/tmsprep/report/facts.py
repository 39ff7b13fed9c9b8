"""What the pages tell, read from the files given and from nothing else.

A value that a file does not hold is None here and "not available" on the page. Files that contradict each other are
refused: a page must not mix two participants or two derivations.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tmsprep.errors import InputError
from tmsprep.files import read_json, read_tsv
from tmsprep.preprocess.contract import folder_of_stem
from tmsprep.records import BeamF3Result, Point, Status, TargetResult

AGREEMENT_MM = 0.01
"""Two files that tell the same point may differ by this much (rounding)."""

_ENTITY = re.compile(r"(?:^|_)((?:ses|task|acq|dir|run|echo)-[0-9A-Za-z+]+)(?=_)")
_PROVENANCE_KEYS = frozenset({"Sources", "SourcesSHA256", "SHA256", "Command", "GeneratedBy", "Description"})
_LONGEST_LIST = 12
_SEVERITY = {Status.OK: 0, Status.CAUTION: 1, Status.ABSTAIN: 2}


def worst(statuses: Iterable[Status]) -> Status:
    """Return the most severe status."""
    return max(statuses, key=_SEVERITY.__getitem__, default=Status.OK)


def run_label(path: Path, number: int) -> str:
    """Name a run by the BIDS entities in a file's name, or by its number."""
    found = _ENTITY.findall(path.name)
    return " ".join(found) if found else f"run {number}"


def distance_mm(first: Point | None, second: Point | None) -> float | None:
    """Return the straight-line distance, or None if a point is missing."""
    return None if first is None or second is None else math.dist(first, second)


@dataclass(frozen=True)
class Marker:
    """One row of the markers table: a site with its scalp entry point."""

    label: str
    status: Status
    reasons: str
    """As the table has them: joined by semicolons."""
    target_ras_mm: Point | None
    target_mni_mm: Point | None
    entry_ras_mm: Point | None
    depth_mm: float | None
    """Distance from the coil to the cortex."""
    direction_ras: Point | None = None
    """The coil's +y axis; its handle points the other way."""
    scalp_place: str | None = None
    """From the nearest 10-10 position, in words."""
    from_beamf3: str | None = None
    """The way from Beam F3 along the scalp, in words."""


def load_markers(path: Path) -> list[Marker]:
    """Read a markers table (NIBS-BIDS draft columns, then this program's own)."""
    table = read_tsv(path, required=("target_label", "target_x", "target_y", "target_z", "status"))
    return [_marker(row) for row in table.to_dict("records")]


def _marker(row: Mapping[Any, Any]) -> Marker:
    status = Status(row["status"])
    return Marker(
        label=str(row["target_label"]),
        status=status,
        reasons=reasons if isinstance(reasons := row.get("reasons"), str) else "",
        target_ras_mm=_row_point(row, "target"),
        target_mni_mm=_row_point(row, "target_mni"),
        entry_ras_mm=_row_point(row, "entry"),
        depth_mm=number(row.get("coil_cortex_depth_mm")),
        direction_ras=_row_point(row, "direction"),
        scalp_place=_words(row.get("scalp_place")),
        from_beamf3=_words(row.get("from_beamF3")),
    )


def _words(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _row_point(row: Mapping[Any, Any], name: str) -> Point | None:
    values = [number(row.get(f"{name}_{axis}")) for axis in "xyz"]
    x, y, z = values
    return None if x is None or y is None or z is None else (x, y, z)


def number(value: Any) -> float | None:
    """Return a finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return None
    return float(value) if math.isfinite(value) else None


def find_marker(markers: Sequence[Marker], label: str) -> Marker | None:
    """Return the first marker with a label, whatever its case."""
    return next((item for item in markers if item.label.lower() == label.lower()), None)


@dataclass(frozen=True)
class Sites:
    """The two sites of a participant, checked against each other, with what the page may show of them."""

    target: TargetResult
    beamf3: BeamF3Result
    markers: tuple[Marker, ...]
    target_status: Status
    target_reasons: tuple[str, ...]
    beamf3_status: Status
    beamf3_reasons: tuple[str, ...]

    @property
    def target_ras_mm(self) -> Point | None:
        """The first candidate; None where the program abstained."""
        shown = self.target_status is not Status.ABSTAIN and self.target.candidates
        return self.target.candidates[0].target_ras_mm if shown else None

    @property
    def entry_ras_mm(self) -> Point | None:
        """The scalp point over the first candidate."""
        marker = find_marker(self.markers, "circuit")
        return marker.entry_ras_mm if marker and self.target_ras_mm else None

    @property
    def group(self) -> Marker | None:
        """The published group coordinate in this head, if it could be placed."""
        marker = find_marker(self.markers, "group")
        return marker if marker and marker.target_ras_mm else None

    @property
    def tape_words(self) -> list[str]:
        """How to find the first candidate's place on the scalp without a navigator."""
        marker = find_marker(self.markers, "circuit")
        if marker is None or self.entry_ras_mm is None:
            return []
        way = f"from Beam F3, {marker.from_beamf3} along the scalp" if marker.from_beamf3 else None
        return [words for words in (marker.scalp_place, way) if words]

    @property
    def beamf3_scalp_ras_mm(self) -> Point | None:
        """The Beam F3 point on the scalp; None where the program abstained."""
        return None if self.beamf3_status is Status.ABSTAIN else self.beamf3.beamf3_ras_mm

    @property
    def beamf3_cortex_ras_mm(self) -> Point | None:
        """The point of the cortex under Beam F3."""
        marker = find_marker(self.markers, "beamF3")
        return marker.target_ras_mm if marker and self.beamf3_scalp_ras_mm else None

    @property
    def beamf3_cortex_mni_mm(self) -> Point | None:
        """The same in MNI152NLin2009cAsym."""
        marker = find_marker(self.markers, "beamF3")
        return marker.target_mni_mm if marker and self.beamf3_scalp_ras_mm else None

    @property
    def scalp_distance_mm(self) -> float | None:
        """Straight line between the two points on the scalp."""
        return distance_mm(self.entry_ras_mm, self.beamf3_scalp_ras_mm)

    @property
    def cortex_distance_mm(self) -> float | None:
        """Straight line between the two points on the cortex."""
        return distance_mm(self.target_ras_mm, self.beamf3_cortex_ras_mm)

    def marker_at(self, point_ras_mm: Point) -> Marker | None:
        """Return the marker whose target is this point."""
        return next((item for item in self.markers if _same(item.target_ras_mm, point_ras_mm)), None)


def load_sites(target: Path, beamf3: Path, markers: Path) -> Sites:
    """Read the two results and the markers made of them.

    Raises
    ------
    InputError
        The markers tell other places than the results do.
    """
    result, beam, rows = TargetResult.load(target), BeamF3Result.load(beamf3), load_markers(markers)
    circuit, scalp = find_marker(rows, "circuit"), find_marker(rows, "beamF3")
    require_same_target(markers, circuit, result)
    _require_agreement(markers, "beamF3", scalp and scalp.entry_ras_mm, beam.beamf3_ras_mm)
    return Sites(
        target=result,
        beamf3=beam,
        markers=tuple(rows),
        target_status=worst([result.status, *_statuses(circuit)]),
        target_reasons=with_marker_reasons(result.reasons, circuit),
        beamf3_status=worst([beam.status, *_statuses(scalp)]),
        beamf3_reasons=with_marker_reasons(beam.reasons, scalp),
    )


def require_same_target(path: Path, circuit: Marker | None, result: TargetResult) -> None:
    """Check that the markers' circuit target is the result's first candidate.

    Raises
    ------
    InputError
        It is another place.
    """
    first = result.candidates[0].target_ras_mm if result.candidates else None
    _require_agreement(path, "circuit", circuit and circuit.target_ras_mm, first)


def _statuses(marker: Marker | None) -> list[Status]:
    return [marker.status] if marker else []


def with_marker_reasons(reasons: Sequence[str], marker: Marker | None) -> tuple[str, ...]:
    """Return a result's reasons, then those that its marker adds; none twice."""
    added = marker.reasons if marker else ""
    for reason in sorted(reasons, key=len, reverse=True):  # a reason may hold a semicolon, or another reason
        added = added.replace(reason, "")
    parts = [part.strip() for part in re.split(r";(?:\s+|$)", added)]
    return tuple(dict.fromkeys([*reasons, *(part for part in parts if part)]))


def _same(first: Point | None, second: Point | None) -> bool:
    apart = distance_mm(first, second)
    return apart is not None and apart <= AGREEMENT_MM * 3**0.5


def _require_agreement(path: Path, label: str, marker: Point | None, result: Point | None) -> None:
    if marker is not None and result is not None and not _same(marker, result):
        raise InputError(
            f"the marker {label} lies at {marker}, the result that it comes from at {result}",
            where=path,
            expected=f"the same point within {AGREEMENT_MM} mm",
            action="run the later stages of this participant again; these files are of different derivations",
        )


@dataclass(frozen=True)
class Run:
    """One BOLD run: its quality over time and its summary."""

    label: str
    fd_mm: NDArray[np.float64]
    """Framewise displacement, one a volume; NaN for the first."""
    dvars: NDArray[np.float64]
    dvars_name: str
    kept: NDArray[np.bool_] | None
    """Volumes that entered the fit; None if the files do not tell."""
    kept_source: str
    threshold_mm: float | None
    summary: Mapping[str, Any]

    def value(self, *names: str) -> float | None:
        """Return the first of some numbers that the summary holds."""
        return next((found for name in names if (found := number(self.summary.get(name))) is not None), None)

    @property
    def clean_minutes(self) -> float | None:
        """Minutes left after censoring."""
        return self.value("CleanMinutes")

    @property
    def mean_fd_mm(self) -> float | None:
        """Mean framewise displacement."""
        return self.value("MeanFD_mm", "MeanFD")

    @property
    def kept_volumes(self) -> float | None:
        """Volumes that entered the fit."""
        return self.value("KeptVolumes")

    @property
    def total_volumes(self) -> float | None:
        """Volumes of the run."""
        return self.value("TotalVolumes")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the denoising stage warned of."""
        return text_list(self.summary.get("Warnings"))


def text_list(value: Any) -> tuple[str, ...]:
    """Return one text or a list of texts as a tuple."""
    if value is None or value == "":
        return ()
    return tuple(str(item) for item in value) if isinstance(value, list) else (str(value),)


def load_runs(confounds: Sequence[Path], summaries: Sequence[Path], regressors: Sequence[Path] | None) -> list[Run]:
    """Read each run's confounds, denoising summary and, if given, regressors.

    Raises
    ------
    InputError
        The lists differ in length, or a file lacks a column.
    """
    _require_equal_length("confounds", confounds, "denoise-summary", summaries)
    if regressors:
        _require_equal_length("confounds", confounds, "regressors", regressors)
    designs: list[Path | None] = list(regressors) if regressors else [None] * len(confounds)
    pairs = zip(confounds, summaries, designs, strict=True)
    return [_run(run_label(table, index), table, summary, design) for index, (table, summary, design) in enumerate(pairs, 1)]


def _require_equal_length(name: str, paths: Sequence[Path], other: str, others: Sequence[Path]) -> None:
    if len(paths) != len(others):
        raise InputError(f"{len(paths)} file(s) for --{name} and {len(others)} for --{other}", expected="one of each a run")


def require_pairs(boldref: Sequence[Path], transforms: Sequence[Path]) -> None:
    """Check that each reference image has its transform."""
    _require_equal_length("boldref", boldref, "boldref-to-t1w", transforms)


def _run(label: str, confounds: Path, summary: Path, design: Path | None) -> Run:
    table = read_tsv(confounds, required=("framewise_displacement",))
    content = read_json(summary)
    name = next((column for column in ("std_dvars", "dvars") if column in table.columns), "")
    fd_mm = table["framewise_displacement"].to_numpy(dtype=np.float64)
    dvars = table[name].to_numpy(dtype=np.float64) if name else np.full(len(table), np.nan)
    threshold = _threshold(content)
    kept, source = _kept(table, fd_mm, threshold, design)
    return Run(label, fd_mm, dvars, name, kept, source, threshold, content)


def _threshold(summary: Mapping[str, Any]) -> float | None:
    names = ("FDThreshold_mm", "FDThresholdMm", "FDThreshold", "fd_threshold_mm")
    return next((found for name in names if (found := number(summary.get(name))) is not None), None)


def _kept(
    table: pd.DataFrame, fd_mm: NDArray[np.float64], threshold: float | None, design: Path | None
) -> tuple[NDArray[np.bool_] | None, str]:
    if design is not None:
        return _kept_by_design(design, len(table)), "as the regression used them"
    if threshold is None:
        return None, ""
    outliers = [name for name in table.columns if str(name).startswith("non_steady_state_outlier")]
    steady = table[outliers].to_numpy(dtype=np.float64).sum(axis=1) == 0
    return steady & ~(fd_mm > threshold), "by the FD threshold and the non-steady-state columns alone"


def _kept_by_design(design: Path, volumes: int) -> NDArray[np.bool_]:
    """Read which volumes entered the fit; first volumes that the design leaves out did not."""
    rows = read_tsv(design, required=("kept",))
    places = rows["volume"].to_numpy(dtype=np.int64) if "volume" in rows.columns else np.arange(len(rows))
    whole = "volume" in rows.columns or len(rows) == volumes
    if not whole or (len(places) and not 0 <= places.min() <= places.max() < volumes):
        raise InputError(f"the design ({len(rows)} rows) is not of this run", where=design, expected=f"{volumes} volumes")
    kept = np.zeros(volumes, dtype=bool)
    kept[places] = rows["kept"].to_numpy(dtype=np.float64) > 0
    return kept


@dataclass(frozen=True)
class Components:
    """The components of one multi-echo run and what tedana made of them."""

    label: str
    summary: Mapping[str, Any]
    kappa: NDArray[np.float64]
    rho: NDArray[np.float64]
    variance: NDArray[np.float64]
    """Per cent of the variance that the components explain together."""
    accepted: NDArray[np.bool_]

    @property
    def n_accepted(self) -> int:
        """Number kept."""
        return int(self.accepted.sum())

    @property
    def n_rejected(self) -> int:
        """Number removed."""
        return int((~self.accepted).sum())

    @property
    def accepted_variance(self) -> float:
        """Per cent of variance in the accepted ones."""
        return float(self.variance[self.accepted].sum())

    @property
    def rung(self) -> str:
        """Which step of the fallback ladder gave the result."""
        return str(self.summary.get("Rung", "not available"))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the multi-echo stage warned of."""
        return text_list(self.summary.get("Warnings"))

    @property
    def disagreement(self) -> str:
        """A sentence if the summary counts other numbers than the table holds."""
        told = [_count(self.summary.get(name)) for name in ("Accepted", "Rejected")]
        pairs = zip(told, (self.n_accepted, self.n_rejected), strict=True)
        if any(one is not None and one != other for one, other in pairs):
            return f"The summary counts {told[0]} accepted and {told[1]} rejected; the table holds other numbers."
        return ""


def _count(value: Any) -> int | None:
    if isinstance(value, list):
        return len(value)
    found = number(value)
    return None if found is None else int(found)


def load_components(summaries: Sequence[Path] | None, metrics: Sequence[Path] | None) -> list[Components]:
    """Read tedana's summary and metrics of each multi-echo run; none for single-echo participants."""
    _require_equal_length("tedana-summary", summaries or (), "tedana-metrics", metrics or ())
    pairs = zip(summaries or (), metrics or (), strict=True)
    return [_components(run_label(table, index), summary, table) for index, (summary, table) in enumerate(pairs, 1)]


def _components(label: str, summary: Path, metrics: Path) -> Components:
    table = read_tsv(metrics, required=("kappa", "rho", "variance explained", "classification"))
    columns = [table[name].to_numpy(dtype=np.float64) for name in ("kappa", "rho", "variance explained")]
    accepted = (table["classification"] == "accepted").to_numpy(dtype=bool)
    return Components(label, read_json(summary), columns[0], columns[1], columns[2], accepted)


@dataclass(frozen=True)
class Pair:
    """One number or text of a file, with its name there."""

    name: str
    value: Any


def other_values(content: Mapping[str, Any], known: Iterable[str] = ()) -> list[Pair]:
    """Return a JSON's plain values, nested objects as ``Outer.Inner``; provenance and `known` names left out."""
    skipped = _PROVENANCE_KEYS | set(known)
    pairs: list[Pair] = []
    for name, value in content.items():
        if name in skipped or value is None:
            continue
        if isinstance(value, Mapping):
            pairs += [Pair(f"{name}.{inner.name}", inner.value) for inner in other_values(value)]
        elif not isinstance(value, list):
            pairs.append(Pair(name, value))
        elif len(value) <= _LONGEST_LIST and not any(isinstance(item, (Mapping, list)) for item in value):
            pairs.append(Pair(name, ", ".join(str(item) for item in value)))
    return pairs


@dataclass(frozen=True)
class PlanRow:
    """What became of one thing that the dataset holds."""

    what: str
    status: str
    reason: str


def read_words(path: Path, required: Sequence[str]) -> list[dict[str, str]]:
    """Read a TSV's cells as they stand (a label 01 stays 01); empty for ``n/a``.

    Raises
    ------
    InputError
        The file cannot be read or lacks a column.
    """
    read_tsv(path, required)
    table = pd.read_csv(path, sep="\t", dtype=str, na_values=["n/a"], keep_default_na=False).fillna("")
    return [{str(name): str(value) for name, value in row.items()} for row in table.to_dict("records")]


def load_plan(path: Path, participant: str) -> list[PlanRow]:
    """Read this participant's rows of the plan."""
    label = bare_label(participant)
    rows = read_words(path, required=("participant_id", "status", "reason"))
    own = [row for row in rows if bare_label(row["participant_id"]) == label]
    return [PlanRow(_what(row), row["status"], row["reason"]) for row in own]


def bare_label(participant: str) -> str:
    """Return a participant's label without ``sub-`` and without a session."""
    return participant.strip().removeprefix("sub-").split("_")[0].split(" ")[0]


def _what(row: Mapping[str, str]) -> str:
    columns = {"session_id": "ses-", "task": "task-", "acq": "acq-", "dir": "dir-", "run": "run-"}
    given = {prefix: row.get(name, "").removeprefix(prefix) for name, prefix in columns.items()}
    parts = [prefix + value for prefix, value in given.items() if value]
    kind = row.get("suffix") or row.get("kind") or "the participant or session as a whole"
    echoes = row.get("echoes", "")
    return " ".join([kind, *parts, *([f"({echoes} echoes)"] if echoes not in {"", "1"} else [])])


def recorded_versions(contents: Iterable[Mapping[str, Any]]) -> list[Pair]:
    """Return the program versions that the given files record, each once."""
    found: dict[str, str] = {}
    for content in contents:
        for item in content.get("GeneratedBy") or ():
            if isinstance(item, Mapping) and item.get("Version"):
                found[str(item.get("Name"))] = str(item["Version"])
        for name, value in content.items():
            if name.endswith("Version") and isinstance(value, str):
                found[name.removesuffix("Version") or name] = value
    return [Pair(name, value) for name, value in sorted(found.items())]


def recorded_commands(contents: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the commands that the given files record, each once, in the files' order."""
    commands = [content.get("Command") for content in contents]
    return list(dict.fromkeys(command for command in commands if isinstance(command, str)))


@dataclass(frozen=True)
class Link:
    """A file beside the page, as a link from it."""

    words: str
    href: str


def tedana_files(metrics: Sequence[Path], components: Sequence[Components]) -> list[list[Link]]:
    """Return links to tedana's own files of each run, where the workflow puts them beside the page.

    They follow from the runs' names alone, not from where the files lie now: a page that is derived again elsewhere shall be
    the same.
    """
    return [_tedana_files(table, item) for table, item in zip(metrics, components, strict=True)]


def _tedana_files(metrics: Path, components: Components) -> list[Link]:
    stem = metrics.name.removesuffix("_desc-tedana_metrics.tsv")
    endings = {"its table of components": "desc-tedana_metrics.tsv", "the components' courses": "desc-ICA_mixing.tsv"}
    if components.summary.get("Denoised", True):  # on the last rung there are no others
        own = {"its report": "desc-tedana_report.txt"}
        endings = own | endings | {"the steps of its decision": "desc-ICA_status_table.tsv"}
    folder = f"../tedana/{folder_of_stem(stem)}/func"
    return [Link(words, quote(f"{folder}/{stem}_{ending}")) for words, ending in endings.items()]
