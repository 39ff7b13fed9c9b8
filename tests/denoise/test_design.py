"""The regression against independent least squares, and its invariants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.denoise.design import Band, Design, cosines, interpolate, regress, temporal_snr

TR = 2.0
VOLUMES = 120


def kept_volumes(seed: int = 3, share: float = 0.1) -> np.ndarray:
    return np.random.default_rng(seed).random(VOLUMES) >= share


def motion(seed: int = 4) -> dict[str, np.ndarray]:
    courses = np.cumsum(np.random.default_rng(seed).standard_normal((6, VOLUMES)), axis=1) * 0.01
    return {f"motion{index}": course for index, course in enumerate(courses)}


def make(kept: np.ndarray, band: Band = Band(0.01, 0.1)) -> Design:  # noqa: B008
    return Design.make(motion(), kept, band.stopped_orders(VOLUMES, TR))


def cleaned(samples: np.ndarray, design: Design) -> np.ndarray:
    work = samples.astype(np.float32)
    regress(work, design.kept, design.basis())
    return work


def test_agrees_with_nilearn_and_with_lstsq_on_the_kept_volumes() -> None:
    from nilearn import signal

    design = make(kept_volumes())
    data = 1000 + 10 * np.random.default_rng(1).standard_normal((VOLUMES, 30))
    ours = cleaned(data, design)[design.kept]
    matrix = design.matrix()
    theirs = signal.clean(
        data,
        detrend=False,
        standardize=False,
        standardize_confounds=False,
        filter=False,
        confounds=matrix,
        sample_mask=np.flatnonzero(design.kept),
    )
    kept = matrix[design.kept]
    plain = data[design.kept] - kept @ np.linalg.lstsq(kept, data[design.kept], rcond=None)[0]
    np.testing.assert_allclose(ours, theirs, atol=2e-3)  # of a signal of 1000 in single precision
    np.testing.assert_allclose(ours, plain, atol=2e-3)


def test_high_pass_cosines_are_those_of_nilearn() -> None:
    from nilearn import signal

    high_pass = 0.0101  # not a frequency of any order
    data = np.random.default_rng(1).standard_normal((VOLUMES, 5))
    orders = Band(high_pass, None).stopped_orders(VOLUMES, TR)
    design = Design({"intercept": np.ones(VOLUMES)}, orders, np.ones(VOLUMES, dtype=bool))
    theirs = signal.clean(
        data, detrend=False, standardize=False, standardize_confounds=False, filter="cosine", high_pass=high_pass, t_r=TR
    )
    np.testing.assert_allclose(cleaned(data, design), theirs - theirs.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("frequency", [0.002, 0.006, 0.15, 0.22])
def test_out_of_band_waves_vanish_on_the_kept_volumes(frequency: float) -> None:
    order = round(frequency * 2 * VOLUMES * TR)
    wave = cosines(VOLUMES, np.array([order]))[:, 0]
    design = make(kept_volumes())
    assert np.abs(cleaned(np.tile(100 * wave, (3, 1)).T, design)[design.kept]).max() < 1e-3


def test_in_band_wave_survives_exactly_without_censoring() -> None:
    wave = cosines(VOLUMES, np.array([24]))  # 0.05 Hz
    stopped = Band(0.01, 0.1).stopped_orders(VOLUMES, TR)
    without_trend = Design({"intercept": np.ones(VOLUMES)}, stopped, np.ones(VOLUMES, dtype=bool))
    np.testing.assert_allclose(cleaned(wave, without_trend), wave, atol=1e-6)


def test_each_censored_volume_costs_one_degree_of_freedom_of_the_band() -> None:
    """What an exact band-pass on incomplete data costs: the share of in-band variance that is left is that of freedom."""
    kept = kept_volumes(share=0.1)
    stopped = Band(0.01, 0.1).stopped_orders(VOLUMES, TR)
    design = Design({"intercept": np.ones(VOLUMES)}, stopped, kept)
    in_band = np.setdiff1d(np.arange(1, VOLUMES), stopped)
    freedom = kept.sum() - design.basis().shape[1]
    assert freedom == in_band.size - (~kept).sum()
    waves = cosines(VOLUMES, in_band)
    left = cleaned(waves, design)[kept].var(axis=0).sum() / waves[kept].var(axis=0).sum()
    assert left == pytest.approx(freedom / in_band.size, abs=0.08)


def test_a_motion_coupled_artefact_vanishes_from_beneath_a_signal() -> None:
    time = np.arange(VOLUMES) * TR
    wave = np.sin(2 * np.pi * 0.05 * time)
    kept = kept_volumes()
    spikes = np.where(kept, 0.0, 500.0)
    artefact = 40 * motion()["motion2"] - 25 * motion()["motion5"] + spikes + 3 * time
    result = cleaned(np.column_stack([wave + artefact, wave]), make(kept))
    np.testing.assert_allclose(result[kept, 0], result[kept, 1], atol=1e-3)
    assert result[kept, 1].std() > 0.5


def test_filtering_first_and_regressing_after_brings_motion_back() -> None:
    """Why there is one fit: the sequence that many pipelines use leaves the motion in."""
    kept = np.ones(VOLUMES, dtype=bool)
    artefact = np.tile(100 * motion()["motion0"], (2, 1)).T
    stopped = Band(0.01, 0.1).stopped_orders(VOLUMES, TR)
    filtered = cleaned(artefact, Design.make({}, kept, stopped))
    sequence = cleaned(filtered, Design.make(motion(), kept, np.array([], dtype=np.int64)))
    assert np.abs(sequence).max() > 1
    assert np.abs(cleaned(artefact, make(kept))).max() < 1e-2


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    weights=st.lists(st.floats(-50, 50), min_size=8, max_size=8),
    wave=st.integers(0, 1000),
    share=st.floats(0, 0.3),
)
def test_adding_any_combination_of_regressors_changes_nothing(
    seed: int, weights: list[float], wave: int, share: float
) -> None:
    design = make(kept_volumes(seed, share))
    data = np.random.default_rng(seed).standard_normal((VOLUMES, 4))
    added = np.array(weights) @ np.array(list(design.named.values()))
    added += 10 * cosines(VOLUMES, design.stopped[[wave % design.stopped.size]])[:, 0]
    kept = design.kept
    np.testing.assert_allclose(cleaned(data + added[:, np.newaxis], design)[kept], cleaned(data, design)[kept], atol=2e-3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 0.4))
def test_values_of_censored_volumes_never_reach_the_kept_ones(seed: int, share: float) -> None:
    design = make(kept_volumes(seed, share))
    data = np.random.default_rng(seed).standard_normal((VOLUMES, 3)).astype(np.float32)
    spoiled = data.copy()
    spoiled[~design.kept] = 1e6
    np.testing.assert_array_equal(cleaned(data, design), cleaned(spoiled, design))


def test_rank_counts_repeated_and_empty_regressors_once() -> None:
    kept = np.ones(VOLUMES, dtype=bool)
    course = motion()["motion0"]
    nothing = np.array([], dtype=np.int64)
    odd = {"twice": 2 * course + 5, "flat": np.full(VOLUMES, 7.0), "zero": 0 * course}
    design = Design.make({"course": course} | odd, kept, nothing)
    assert design.basis().shape == (VOLUMES, 3)  # intercept, trend, one course


def test_residuals_have_no_mean_and_basis_is_orthonormal() -> None:
    design = make(kept_volumes(share=0.3))
    basis = design.basis()
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-10)
    result = cleaned(1000 + np.random.default_rng(0).standard_normal((VOLUMES, 4)), design)
    assert np.abs(result[design.kept].mean(axis=0)).max() < 1e-4


def test_stopped_orders_and_their_ranges() -> None:
    orders = Band(0.01, 0.1).stopped_orders(100, 2.0)
    frequencies = orders / 400
    assert set(orders) == {k for k in range(1, 100) if k / 400 < 0.01 or k / 400 > 0.1}
    assert frequencies.min() == 1 / 400
    design = Design.make({}, np.ones(100, dtype=bool), orders)
    assert design.stopped_ranges() == [[1, 3], [41, 99]]
    assert Design.make({}, np.ones(100, dtype=bool), orders[:0]).stopped_ranges() == []


def test_interpolation_is_linear_inside_and_constant_at_the_ends() -> None:
    kept = np.array([0, 1, 0, 0, 1, 1, 0], dtype=bool)
    samples = np.array([[9, 3, 9, 9, 6, 5, 9]], dtype=np.float32).T
    interpolate(samples, kept)
    np.testing.assert_allclose(samples[:, 0], [3, 3, 4, 5, 6, 5, 5])


def test_temporal_snr_leaves_drift_and_censored_volumes_out() -> None:
    generator = np.random.default_rng(2)
    kept = kept_volumes()
    data = 500 + 5 * generator.standard_normal((VOLUMES, 400)) + np.linspace(0, 300, VOLUMES)[:, np.newaxis]
    data[~kept] = 0
    mean = data[kept].mean()
    assert np.median(temporal_snr(data.astype(np.float32), kept)) == pytest.approx(mean / 5, rel=0.02)
