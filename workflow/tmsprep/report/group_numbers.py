"""Statistics over the participants: how far targets lie apart, how sites differ, how the circuit target lies to Beam F3.

It describes; it decides nothing. No participant's verdict depends on the others.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmsprep.records import Point
from tmsprep.report.group_members import Member

PUBLISHED_WITHIN_MM, PUBLISHED_BETWEEN_MM, PUBLISHED_RATIO = 4.47, 12.97, 2.90
"""Within and between people: split halves of 41 minutes, and pairs of people.

Taylor et al., JAMA Psychiatry 2026, doi:10.1001/jamapsychiatry.2026.1100, abstract.
"""
Numbers = Sequence[float] | NDArray[np.float64]
MIN_PER_SITE = 3
"""Sites with fewer values are not compared."""
_MIN_FOR_TREND = 8


@dataclass(frozen=True)
class Spread:
    """A distribution in a few numbers."""

    count: int
    median: float
    lower_quartile: float
    upper_quartile: float
    smallest: float
    largest: float
    mean: float

    @classmethod
    def of(cls, values: Numbers) -> Spread | None:
        """Summarise values; quartiles interpolate linearly. None if there are none."""
        if not len(values):
            return None
        low, middle, high = (float(item) for item in np.quantile(values, [0.25, 0.5, 0.75]))
        return cls(len(values), middle, low, high, float(np.min(values)), float(np.max(values)), fmean(values))


@dataclass(frozen=True)
class Distances:
    """Distances of circuit targets, mm, as far as there are any."""

    within: list[float]
    """Of the two halves of each scan, in the participant's own head."""
    between: NDArray[np.float64]
    """Of every pair of different people, in MNI152NLin2009cAsym."""
    between_same_site: NDArray[np.float64]
    """The pairs of `between` that were scanned at one site."""
    sessions: list[float]
    """Of every pair of sessions of one person, in MNI152NLin2009cAsym."""
    chance: list[float]
    """Of two random places in the search region, one value a participant."""

    @cached_property
    def spreads(self) -> dict[str, Spread | None]:
        """Each of them in a few numbers, by its name here."""
        return {item.name: Spread.of(getattr(self, item.name)) for item in fields(self)}

    @property
    def ratio(self) -> float | None:
        """Median between over median within."""
        within, between = self.spreads["within"], self.spreads["between"]
        return between.median / within.median if within and between and within.median > 0 else None


def distances(people: Sequence[Member]) -> Distances:
    """Collect the distances of the targets that were given out."""
    between, same_site, sessions = _pairs([member for member in people if member.target_mni_mm is not None])
    return Distances(
        within=[member.split_half_mm for member in people if member.split_half_mm is not None],
        between=between,
        between_same_site=same_site,
        sessions=sessions,
        chance=[member.chance_distance_mm for member in people if member.chance_distance_mm is not None],
    )


def _pairs(placed: Sequence[Member]) -> tuple[NDArray[np.float64], NDArray[np.float64], list[float]]:
    """Return the distances of all pairs: of two people, of two people of one site, of two sessions of one person.

    One with all after it at a time, because of 10,000 people there are 50 million pairs.
    """
    places = np.array([member.target_mni_mm for member in placed], dtype=np.float64).reshape(-1, 3)
    persons, sites = (_numbered(getattr(member, name) for member in placed) for name in ("person", "site"))
    between, same_site, sessions = array("d"), array("d"), array("d")
    for index, place in enumerate(places):
        later = slice(index + 1, None)
        apart = np.sqrt(((places[later] - place) ** 2).sum(axis=1))
        two_people = persons[later] != persons[index]
        between.frombytes(apart[two_people].tobytes())
        same_site.frombytes(apart[two_people & (sites[later] == sites[index])].tobytes())
        sessions.frombytes(apart[~two_people].tobytes())
    return np.asarray(between), np.asarray(same_site), sessions.tolist()


def _numbered(words: Iterable[str]) -> NDArray[np.int64]:
    """Return a number for each word, the same for the same word."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(word, len(known)) for word in words], dtype=np.int64)


@dataclass(frozen=True)
class SiteTest:
    """Kruskal-Wallis test of a measure between sites."""

    sites: int
    count: int
    h: float
    p: float
    epsilon_squared: float
    """Share of the ranks' variance that goes with the site: H / (n - 1) (Tomczak and Tomczak 2014, Trends in Sport
    Sciences 21:19)."""

    @classmethod
    def of(cls, groups: Sequence[Sequence[float]]) -> SiteTest | None:
        """Compare sites with at least `MIN_PER_SITE` values; None if fewer than two have so many, or all are equal.

        Kruskal and Wallis 1952, doi:10.1080/01621459.1952.10483441, with the correction for ties.
        """
        from scipy.stats import kruskal

        large = [list(values) for values in groups if len(values) >= MIN_PER_SITE]
        everything = [value for values in large for value in values]
        if len(large) < 2 or len(set(everything)) < 2:
            return None
        outcome: Any = kruskal(*large)
        h, count = float(outcome.statistic), len(everything)
        return cls(len(large), count, h, float(outcome.pvalue), h / (count - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number (Holm 1979, Scandinavian Journal of Statistics 6:65), in the given order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


@dataclass(frozen=True)
class Direction:
    """From the cortex under Beam F3 to the circuit target, MNI mm: mean and standard deviation by axis."""

    count: int
    mean: Point
    sd: Point | None
    """None for a single participant."""

    @classmethod
    def of(cls, people: Sequence[Member]) -> Direction | None:
        """Average over those who have both places."""
        steps = [tuple(b - a for a, b in zip(*pair, strict=True)) for pair in beam_to_circuit(people)]
        if not steps:
            return None
        x, y, z = zip(*steps, strict=True)
        sd = (stdev(x), stdev(y), stdev(z)) if len(steps) > 1 else None
        return cls(len(steps), (fmean(x), fmean(y), fmean(z)), sd)


def beam_to_circuit(people: Sequence[Member]) -> list[tuple[Point, Point]]:
    """Return the cortex under Beam F3 and the circuit target of each who has both, MNI mm."""
    pairs = [(member.beamf3_mni_mm, member.target_mni_mm) for member in people]
    return [(beam, target) for beam, target in pairs if beam is not None and target is not None]


def trend(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return Spearman's rank correlation; None for few pairs, or where one side does not vary."""
    from scipy.stats import spearmanr

    first, second = zip(*pairs, strict=True) if pairs else ((), ())
    if len(pairs) < _MIN_FOR_TREND or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    outcome: Any = spearmanr(first, second)
    return float(outcome.statistic)
