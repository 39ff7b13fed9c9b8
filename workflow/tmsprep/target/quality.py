"""Whether a target may be used: written thresholds, and the reasons in words a clinician can read.

The numbers are proposals from the literature and from simulation, in one place; none is the value of any trial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from tmsprep.errors import ConfigurationError, InputError
from tmsprep.files import read_json
from tmsprep.records import Status


@dataclass(frozen=True)
class Thresholds:
    """Limits. Below (or above) the first the result is ``caution``, beyond the second ``abstain``."""

    clean_minutes_caution: float = 20.0
    """Below it a target is known only roughly; 28 minutes gave under 10 mm (doi:10.3389/fpsyt.2024.1341908)."""
    clean_minutes_abstain: float = 5.0
    mean_fd_caution_mm: float = 0.2
    mean_fd_abstain_mm: float = 0.3
    """Studies exclude people whose mean FD is above 0.2 to 0.3 mm."""
    coverage_search_caution: float = 0.8
    """Share of the search mask's grey matter that has signal."""
    coverage_search_abstain: float = 0.5
    coverage_sgacc_caution: float = 0.5
    """Share of the grey matter in the negative anchor (sgACC) that has signal."""
    coverage_seeds_abstain: float = 0.2
    """Share of the grey matter of a seed circuit that has signal: without it there is nothing to correlate with."""
    split_half_caution_mm: float = 10.0
    """Distance between the targets of the two halves of the data, and of odd and even five-minute blocks."""
    split_half_abstain_mm: float = 30.0
    """About the distance of two random places in the search mask."""
    other_choice_caution_mm: float = 10.0
    """Distance to the target with the other choice about the global signal, or of the other way to score."""
    bootstrap_radius_caution_mm: float = 10.0
    """The radius about the target that holds 95 % of the targets of resampled data."""
    bootstrap_median_abstain_mm: float = 10.0
    """The radius that holds half of them: beyond it, most resampled data give another place."""
    chance_p_caution: float = 0.01
    """Share of time-shifted circuit courses that reach the target's score."""
    chance_p_abstain: float = 0.05
    edge_caution_mm: float = 3.0
    """Distance from the target to the edge of the search mask: a target on the edge may belong to something outside."""
    peak_score_caution: float = 0.1
    round_trip_caution_mm: float = 2.0
    """T1w to template and back, at the target."""
    nlin6_routes_caution_mm: float = 5.0
    """Between the participant's own transform to MNI152NLin6Asym and the way over MNI152NLin2009cAsym, at the target."""

    @classmethod
    def load(cls, path: Path | None) -> Thresholds:
        """Read limits that differ from these, from a YAML (or JSON) file with their names; None: none differ.

        Raises
        ------
        ConfigurationError
            A name is unknown or there twice, or a value is no number.
        """
        if path is None:
            return cls()
        content = _read_yaml(path)
        known = {item.name for item in fields(cls)}
        for name, value in content.items():
            if name not in known:
                raise ConfigurationError(f"no limit is called {name!r}", where=path, expected=", ".join(sorted(known)))
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                # a list is not shown: YAML can write one of any size in a few lines
                shown = "a list or mapping" if isinstance(value, list | dict) else repr(value)
                raise ConfigurationError(f"{name} is {shown}", where=path, expected="a finite number")
        return cls(**{name: float(value) for name, value in content.items()})


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text) or {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigurationError(f"no readable YAML ({error})", where=path, action="correct the file") from error
    if not isinstance(content, dict):
        raise ConfigurationError("the YAML is no mapping", where=path, expected="NAME: NUMBER, a line for each limit")
    names = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    if twice := sorted({str(name) for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"{', '.join(twice)} is there twice", where=path, expected="one line for each limit")
    return content


@dataclass(frozen=True)
class Scan:
    """What the denoise stage says about the runs, taken together."""

    clean_minutes: float
    """Sum over runs."""
    mean_fd_mm: float
    """Mean over all volumes."""


def read_scan(summaries: Sequence[Path], volumes: Sequence[int]) -> Scan:
    """Combine the runs' summaries; the framewise displacement is weighted by the number of volumes.

    Raises
    ------
    InputError
        A summary lacks ``CleanMinutes`` or ``MeanFD_mm``, or the number of summaries is not that of the runs.
    """
    if len(summaries) != len(volumes):
        raise InputError(f"{len(summaries)} summaries for {len(volumes)} run(s)", expected="one a run")
    minutes = [_number(path, "CleanMinutes") for path in summaries]
    displacements = [_number(path, "MeanFD_mm") for path in summaries]
    weighted = sum(value * count for value, count in zip(displacements, volumes, strict=True))
    return Scan(sum(minutes), weighted / sum(volumes))


def _number(path: Path, key: str) -> float:
    value = read_json(path).get(key)
    if not isinstance(value, int | float):
        raise InputError(f"{key} is {value!r}", where=path, expected="a number")
    return float(value)


@dataclass(frozen=True)
class Verdict:
    """A status and why."""

    status: Status
    reasons: tuple[str, ...]


class Judge:
    """Collects reasons; the worst one decides."""

    def __init__(self) -> None:
        self._status = Status.OK
        self._reasons: list[str] = []

    def caution(self, reason: str) -> None:
        """Add a reason to look twice."""
        self._reasons.append(reason)
        if self._status is Status.OK:
            self._status = Status.CAUTION

    def abstain(self, reason: str) -> None:
        """Add a reason not to use the result."""
        self._reasons.append(reason)
        self._status = Status.ABSTAIN

    @property
    def verdict(self) -> Verdict:
        """What was decided so far."""
        return Verdict(self._status, tuple(self._reasons))


def judge_scan(judge: Judge, scan: Scan, limits: Thresholds) -> None:
    """Judge how much was measured, and how still it was."""
    if scan.clean_minutes < limits.clean_minutes_abstain:
        judge.abstain(f"only {scan.clean_minutes:.1f} min of clean data (at least {limits.clean_minutes_abstain:g} needed)")
    elif scan.clean_minutes < limits.clean_minutes_caution:
        judge.caution(f"{scan.clean_minutes:.1f} min of clean data ({limits.clean_minutes_caution:g} or more recommended)")
    if scan.mean_fd_mm > limits.mean_fd_abstain_mm:
        judge.abstain(f"head motion: mean FD {scan.mean_fd_mm:.2f} mm (limit {limits.mean_fd_abstain_mm:g})")
    elif scan.mean_fd_mm > limits.mean_fd_caution_mm:
        judge.caution(f"head motion: mean FD {scan.mean_fd_mm:.2f} mm (up to {limits.mean_fd_caution_mm:g} is good)")


def judge_coverage(judge: Judge, measures: Mapping[str, float], limits: Thresholds) -> None:
    """Judge how much of the regions that matter has signal; a share that is not among the measures is not asked for."""
    search = measures["coverage_search_mask"]
    if search < limits.coverage_search_abstain:
        judge.abstain(f"{search:.0%} of the search mask's grey matter has signal")
    elif search < limits.coverage_search_caution:
        judge.caution(f"{search:.0%} of the search mask's grey matter has signal")
    if measures.get("coverage_seeds", 1.0) < limits.coverage_seeds_abstain:
        judge.abstain(f"{measures['coverage_seeds']:.0%} of the circuit's seeds has signal")
    if measures["coverage_sgacc"] < limits.coverage_sgacc_caution:
        judge.caution(f"{measures['coverage_sgacc']:.0%} of sgACC has signal")


def judge_target(judge: Judge, measures: Mapping[str, float], limits: Thresholds) -> None:
    """Judge a target that was found."""
    _judge_stability(judge, measures, limits)
    _judge_score(judge, measures, limits)
    if measures["edge_distance_mm"] < limits.edge_caution_mm:
        judge.caution(f"the target lies {measures['edge_distance_mm']:.1f} mm from the edge of the search mask")
    if measures["mni_round_trip_mm"] > limits.round_trip_caution_mm:
        judge.caution(f"the two template transforms disagree by {measures['mni_round_trip_mm']:.1f} mm at the target")
    if (apart := measures.get("nlin6_routes_mm", 0.0)) > limits.nlin6_routes_caution_mm:
        judge.caution(f"the two ways to MNI152NLin6Asym, where the circuit lies, are {apart:.1f} mm apart at the target")


def _judge_stability(judge: Judge, measures: Mapping[str, float], limits: Thresholds) -> None:
    if "split_half_mm" not in measures:
        judge.caution("one half of the data gives no target: its stability is unknown")
    pairs = {"split_half_mm": "the two halves of the data", "odd_even_mm": "odd and even five-minute blocks"}
    for name, words in pairs.items():
        apart = measures.get(name, 0.0)
        if apart > limits.split_half_caution_mm:
            complain = judge.abstain if apart > limits.split_half_abstain_mm else judge.caution
            complain(f"{words} give targets {apart:.1f} mm apart")
    _judge_choices(judge, measures, limits)
    if "bootstrap_radius_mm" not in measures:
        judge.caution("this method has no bootstrap: how far other data would move the target is unknown")
        return
    radius, median = (measures[f"bootstrap_{name}_mm"] for name in ("radius", "median"))
    if median > limits.bootstrap_median_abstain_mm:
        judge.abstain(f"most resampled data give another target: half of them lie more than {median:.1f} mm away")
    elif radius > limits.bootstrap_radius_caution_mm:
        good = f"up to {limits.bootstrap_radius_caution_mm:g} is good"
        judge.caution(f"95 % of resampled data give a target within {radius:.1f} mm, half within {median:.1f} mm ({good})")


_CHOICES = {
    "other_global_signal_mm": "the other choice about the global signal",
    "to_timecourse_mm": "method timecourse",
    "to_similarity_linear_mm": "method similarity-linear",
}
"""Choices that should matter little; `seed` and `parcel` ask other questions."""


def _judge_choices(judge: Judge, measures: Mapping[str, float], limits: Thresholds) -> None:
    for name, words in _CHOICES.items():
        if (apart := measures.get(name, 0.0)) > limits.other_choice_caution_mm:
            judge.caution(f"{words} gives a target {apart:.1f} mm away")


def _judge_score(judge: Judge, measures: Mapping[str, float], limits: Thresholds) -> None:
    if measures["peak_score"] < limits.peak_score_caution:
        judge.caution(f"weak connectivity: the highest score is {measures['peak_score']:.2f}")
    p = measures.get("chance_score_p", 0.0)
    if p > limits.chance_p_caution:
        complain = judge.abstain if p > limits.chance_p_abstain else judge.caution
        complain(f"no more than chance: {p:.1%} of time-shifted circuit courses score as high")
