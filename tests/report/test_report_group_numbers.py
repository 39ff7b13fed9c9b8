"""The group's statistics, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.records import Point, Status
from tmsprep.report.group_members import Member
from tmsprep.report.group_numbers import Direction, SiteTest, Spread, distances, holm, trend
from tmsprep.report.group_plots import crowd_share, site_sign


def member(name: str, site: str = "A", target: Point | None = None, beam: Point | None = None) -> Member:
    return Member(
        participant_id=name, site=site, status=Status.OK, reasons=(), target_ras_mm=target, target_mni_mm=target,
        entry_ras_mm=None, beamf3_status=Status.OK, beamf3_reasons=(), beamf3_ras_mm=None, beamf3_cortex_ras_mm=beam,
        beamf3_mni_mm=beam, split_half_mm=None, odd_even_mm=None, radius_95_mm=None, chance_distance_mm=None,
        clean_minutes=20.0, mean_fd_mm=0.1, tsnr=None, coverage_search_mask=None, coverage_sgacc=None, has_truth=False,
        distance_to_truth_mm=None,
    )  # fmt: skip


def test_spread() -> None:
    assert Spread.of([]) is None
    assert Spread.of([5.0, 1.0, 4.0, 2.0, 3.0]) == Spread(5, 3.0, 2.0, 4.0, 1.0, 5.0, 3.0)


def test_kruskal_wallis_by_hand() -> None:
    """Rank sums 6, 15, 24: H = 12 / 90 * (36 + 225 + 576) / 3 - 30 = 7.2; chi squared with 2 degrees: p = exp(-H / 2)."""
    found = SiteTest.of([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    assert found is not None
    assert (found.sites, found.count) == (3, 9)
    assert found.h == pytest.approx(7.2)
    assert found.p == pytest.approx(math.exp(-3.6))
    assert found.epsilon_squared == pytest.approx(0.9)


def test_small_sites_are_left_out_and_too_few_are_not_compared() -> None:
    large = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    with_small, without = SiteTest.of([*large, [100.0, 101.0], []]), SiteTest.of(large)
    assert with_small == without is not None
    assert SiteTest.of(large[:1]) is None
    assert SiteTest.of([large[0], [1.0, 2.0]]) is None
    assert SiteTest.of([[1.0] * 3, [1.0] * 3]) is None


def test_holm_by_hand() -> None:
    """Sorted: 4 * 0.005, 3 * 0.01, 2 * 0.03, and 0.04, which may not be below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_pairs_are_of_different_people() -> None:
    people = [
        member("sub-1_ses-a", "A", (0, 0, 0)), member("sub-1_ses-b", "A", (0, 3, 4)), member("sub-2", "A", (0, 0, 12)),
        member("sub-3", "B", (0, 0, 1)), member("sub-4", "B"),
    ]  # fmt: skip
    found = distances(people)
    assert found.sessions == [5.0]
    assert found.between == pytest.approx([12.0, 1.0, math.hypot(3, 8), math.hypot(3, 3), 11.0])
    assert found.between_same_site == pytest.approx([12.0, math.hypot(3, 8)])
    assert found.within == [] and found.ratio is None


def test_direction_is_from_beam_f3_to_the_circuit() -> None:
    people = [member("1", target=(-40, 30, 40), beam=(-38, 36, 41)), member("2", target=(-40, 40, 40), beam=(-40, 36, 39))]
    found = Direction.of([*people, member("3", target=(0, 0, 0))])
    assert found is not None
    assert (found.count, found.mean) == (2, (-1.0, -1.0, 0.0))
    assert found.sd == pytest.approx((math.sqrt(2), 5 * math.sqrt(2), math.sqrt(2)))
    assert Direction.of([member("3", target=(0, 0, 0))]) is None
    alone = Direction.of(people[:1])
    assert alone is not None and alone.sd is None


def test_trend() -> None:
    falling = [(float(minutes), 1.0 / minutes) for minutes in range(1, 9)]
    assert trend(falling) == pytest.approx(-1.0)
    assert trend(falling[:7]) is None and trend([]) is None
    assert trend([(1.0, float(value)) for value in range(9)]) is None


def test_no_two_of_many_sites_share_a_sign() -> None:
    signs = [site_sign(index) for index in range(36)]
    assert len(set(signs)) == len(signs)
    assert len({shape for shape, _ in signs[:6]}) == 6, "told apart without colour, as long as shapes are left"


@given(st.integers(0, 20_000), st.integers(0, 20_000))
def test_signs_of_a_larger_site_are_no_larger_and_cover_no_less(count: int, other: int) -> None:
    few, many = sorted((count, other))
    assert 0 < crowd_share(many) <= crowd_share(few) <= 1
    assert few * crowd_share(few) <= many * crowd_share(many) + 1e-9


def test_signs_of_a_usual_site_have_their_full_size() -> None:
    assert crowd_share(40) == 1
    assert crowd_share(2500) < 0.1
