"""How sure a target is: each measure against a plain computation, and against data for which the answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.target.conftest import Participant, make_participant

from tmsprep.denoise.design import Band, Design, regress
from tmsprep.errors import ConfigurationError
from tmsprep.files import read_tsv
from tmsprep.options import Method
from tmsprep.records import Status
from tmsprep.spaces import Grid
from tmsprep.target.bootstrap import Pieces, bootstrap_scores, draw_counts
from tmsprep.target.library import resolve
from tmsprep.target.locate import Search, locate
from tmsprep.target.masks import load_search_mask
from tmsprep.target.nuisance import RunDesign, refit, within_band
from tmsprep.target.person import Person
from tmsprep.target.quality import Judge, Thresholds, judge_target
from tmsprep.target.series import common_mask, grid_of, open_runs, read_series
from tmsprep.target.survey import Plan, survey_fine, survey_voxels

GOOD = {
    "peak_score": 0.5,
    "edge_distance_mm": 9.0,
    "mni_round_trip_mm": 0.1,
    "split_half_mm": 2.0,
    "odd_even_mm": 2.0,
    "bootstrap_radius_mm": 3.0,
    "bootstrap_median_mm": 1.0,
    "chance_score_p": 0.001,
}


# Bootstrap


def test_scores_of_a_draw_are_those_of_its_volumes() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(103, 9))
    course = z[:, 0] + rng.normal(size=103) + 5
    pieces = Pieces.of(z, course, 4)
    counts = draw_counts(len(pieces.size), 3, 20, seed=1)
    found = bootstrap_scores(pieces, counts)
    piece_of = np.arange(103) // 4
    for row, scores in zip(counts, found, strict=True):
        volumes = np.concatenate([np.flatnonzero(piece_of == piece) for piece in np.repeat(np.arange(26), row.astype(int))])
        expected = [np.corrcoef(z[volumes, voxel], course[volumes])[0, 1] for voxel in range(9)]
        np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_every_draw_is_as_long_as_the_data_and_made_of_blocks() -> None:
    counts = draw_counts(26, 6, 500, seed=3)
    assert (counts.sum(axis=1) == 26).all()
    assert abs(counts.mean(axis=0) - 1).max() < 0.25  # in a circle no piece is drawn less often
    assert np.array_equal(counts, draw_counts(26, 6, 500, seed=3))
    assert not np.array_equal(counts, draw_counts(26, 6, 500, seed=4))


def test_a_block_longer_than_the_data_is_the_data() -> None:
    assert (draw_counts(5, 60, 10, seed=1) == 1).all()


# The regression on a part


def drifting(seed: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f"motion{index}": np.cumsum(rng.normal(size=200)) for index in range(3)}


def test_a_fit_on_a_part_follows_from_the_residuals_of_the_whole() -> None:
    rng = np.random.default_rng(5)
    kept = rng.random(200) < 0.9
    nuisance = drifting()
    design = Design({"intercept": np.ones(200)} | nuisance, np.zeros(0, dtype=np.int64), kept)
    moved = 3 * np.column_stack(list(nuisance.values())) @ rng.normal(size=(3, 7))
    raw = (rng.normal(size=(200, 7)) + moved).astype(np.float32)
    whole = raw.copy()
    regress(whole, kept, design.basis())
    half = np.arange(int(kept.sum())) < kept.sum() // 2
    found = refit(whole[kept], [RunDesign(within_band(nuisance, design.stopped, kept), None)], [half])
    columns = np.column_stack([np.ones(200), *nuisance.values()])[kept][half]
    expected = raw[kept][half].astype(float)
    expected -= columns @ np.linalg.lstsq(columns, expected, rcond=None)[0]
    expected = (expected - expected.mean(0)) / expected.std(0)
    assert found is not None
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_a_part_keeps_its_own_signal_within_the_band() -> None:
    """The cosines of a whole run, fitted again on half of it, would take most of this away."""
    rng = np.random.default_rng(1)
    times = np.arange(400) * 2.0
    signal = sum(np.sin(2 * np.pi * f * times + rng.uniform(0, 6)) for f in (0.02, 0.035, 0.05, 0.08))
    kept = np.ones(400, dtype=bool)
    stopped = Band(0.01, 0.1).stopped_orders(400, 2.0)
    motion = dict(zip("abc", np.cumsum(rng.normal(size=(3, 400)), axis=1), strict=True))
    z = (signal[:, np.newaxis] + 0.1 * rng.normal(size=(400, 5))).astype(np.float32)
    regress(z, kept, Design.make(motion, kept, stopped).basis())
    run = RunDesign(within_band(motion, stopped, kept), None)
    for half in (np.arange(400) < 200, np.arange(400) % 300 < 150):
        found = refit(z, [run], [half])
        assert found is not None
        assert min(np.corrcoef(found[:, voxel], signal[half])[0, 1] for voxel in range(5)) > 0.95


def test_a_part_with_too_few_volumes_is_left_out() -> None:
    design = Design(
        {"intercept": np.ones(30)} | {str(i): np.arange(30.0) ** i for i in (1, 2, 3)}, np.arange(0), np.ones(30, bool)
    )
    z = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    assert refit(z, [RunDesign(design, None)], [np.arange(30) < 12]) is None


# The stage


def test_good_data_are_sure_and_noise_is_not(participant: Participant, tmp_path: Path) -> None:
    sure = participant.run(draws=500)
    assert sure.measures["bootstrap_radius_mm"] < 6
    assert sure.measures["radius_95_mm"] == pytest.approx(np.hypot(sure.measures["bootstrap_radius_mm"], 4.0))
    assert sure.measures["chance_score_p"] < 0.005
    assert {"split_half_mm", "to_seed_mm", "to_similarity_linear_mm"} <= set(sure.measures)
    noise = make_participant(tmp_path, noise=1000.0).run(draws=500)
    assert noise.measures["bootstrap_radius_mm"] > 2 * sure.measures["bootstrap_radius_mm"]
    assert noise.measures["chance_score_p"] > 0.01
    assert noise.status is not Status.OK


@pytest.mark.parametrize(("volumes", "has_blocks"), [(180, False), (300, True)])
def test_odd_and_even_blocks_need_data_on_both_sides(tmp_path: Path, volumes: int, has_blocks: bool) -> None:
    measures = make_participant(tmp_path, volumes=volumes, bold_mm=6.0).run(draws=2).measures
    assert ("odd_even_mm" in measures) is has_blocks
    assert "split_half_mm" in measures


def test_shifted_courses_give_chance(tmp_path: Path) -> None:
    """Over data without any circuit the share is spread evenly: on average one half."""
    shares = [
        make_participant(tmp_path / str(seed), noise=1000.0, seed=seed, bold_mm=6.0).run(draws=2).measures["chance_score_p"]
        for seed in range(12)
    ]
    assert 0.25 < np.mean(shares) < 0.75
    assert min(shares) > 0.002


def test_the_chance_distance_is_that_of_two_places_in_the_mask(participant: Participant) -> None:
    chance = participant.run().measures["chance_distance_mm"]
    assert 15 < chance < 40


def test_one_run_left_out(tmp_path: Path) -> None:
    two = make_participant(tmp_path, runs=2).run()
    assert 0 <= two.measures["without_one_run_mm"] < 6


def test_the_cloud_lies_about_the_target_and_adds_up(participant: Participant, tmp_path: Path) -> None:
    out = {"out_cloud": tmp_path / "cloud.tsv", "out_probability": tmp_path / "probability.nii.gz"}
    result = participant.run(draws=400, **out)
    cloud = read_tsv(out["out_cloud"])
    assert cloud["share"].sum() == pytest.approx(1.0, abs=1e-4)
    distance = np.linalg.norm(cloud[["x", "y", "z"]].to_numpy() - result.candidates[0].target_ras_mm, axis=1)
    inside = cloud["share"][distance <= result.measures["bootstrap_radius_mm"] + 1e-3].sum()
    assert inside >= 0.95


@pytest.mark.parametrize("method", [Method.SIMILARITY, Method.SIMILARITY_LINEAR])
def test_similarity_has_a_radius_and_parcels_have_none(participant: Participant, method: Method) -> None:
    assert participant.run(method=method).measures["bootstrap_radius_mm"] < 8


def test_the_same_seed_gives_the_same_and_another_hardly_differs(participant: Participant) -> None:
    one, again, other = (participant.run(draws=2000, seed=seed).measures["bootstrap_radius_mm"] for seed in (1, 1, 2))
    assert one == again
    assert abs(one - other) < 2


# The verdict


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, Status.OK),
        ({"bootstrap_radius_mm": 12.0}, Status.CAUTION),
        ({"other_global_signal_mm": 36.0}, Status.CAUTION),
        ({"to_parcel_mm": 36.0}, Status.OK),
        ({"bootstrap_radius_mm": 40.0}, Status.CAUTION),
        ({"bootstrap_radius_mm": 40.0, "bootstrap_median_mm": 15.0}, Status.ABSTAIN),
        ({"odd_even_mm": 12.0}, Status.CAUTION),
        ({"split_half_mm": 40.0}, Status.ABSTAIN),
        ({"chance_score_p": 0.02}, Status.CAUTION),
        ({"chance_score_p": 0.2}, Status.ABSTAIN),
    ],
)
def test_limits(change: dict[str, float], status: Status) -> None:
    judge = Judge()
    judge_target(judge, GOOD | change, Thresholds())
    assert judge.verdict.status is status
    assert bool(judge.verdict.reasons) is (status is not Status.OK)


def test_without_a_bootstrap_the_verdict_is_cautious() -> None:
    judge = Judge()
    judge_target(judge, {name: value for name, value in GOOD.items() if "bootstrap" not in name}, Thresholds())
    assert judge.verdict.status is Status.CAUTION


def test_draws_without_a_target_count_as_far(participant: Participant, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no resampled score is positive anywhere, the radius must not be nothing."""
    monkeypatch.setattr(
        "tmsprep.target.reliability.bootstrap_scores", lambda pieces, counts, spread: -np.ones((50, pieces.series.shape[2]))
    )
    result = participant.run(draws=50)
    assert result.measures["bootstrap_median_mm"] > 15
    assert result.status is Status.ABSTAIN


def test_limits_can_be_written_down_and_wrong_ones_are_named(tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text("bootstrap_radius_caution_mm: 2\n")
    judge = Judge()
    judge_target(judge, GOOD, Thresholds.load(path))
    assert judge.verdict.status is Status.CAUTION
    for text, word in (("radius: 3", "radius"), ("clean_minutes_abstain: many", "number"), ("[", "YAML")):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=word):
            Thresholds.load(path)


# Mirrored


def test_mirrored_data_and_circuit_give_the_mirrored_target(participant: Participant) -> None:
    """Everything with R and L exchanged: the same numbers, the place on the other side (so the stage itself refuses it)."""
    arguments = participant.arguments
    runs = open_runs(arguments["bold"], arguments["bold_mask"], arguments["regressors"])
    plan = Plan(resolve("sgacc", None, "MNI152NLin6Asym"), load_search_mask("dlpfc-spheres"), 10.0, None)
    person = Person.load(arguments["gm"], arguments["mni_to_t1w"], arguments["t1w_to_mni"], None)
    voxels = survey_voxels(grid_of(runs), common_mask(runs), person, plan)
    series = read_series(runs, voxels.where)
    fine = survey_fine(person, plan)
    search = Search(Method.TIMECOURSE, voxels, fine, voxels.problem(series.has_signal, 10.0), 0.1)
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    turned = replace(
        search,
        voxels=replace(voxels, grid=Grid(voxels.grid.shape, mirror @ voxels.grid.affine_ras_mm)),
        fine=replace(fine, grid=Grid(fine.grid.shape, mirror @ fine.grid.affine_ras_mm)),
    )
    one, two = (locate(series.z, item).clusters[0] for item in (search, turned))
    np.testing.assert_allclose(two.position_ras_mm, one.position_ras_mm * [-1, 1, 1], atol=1e-9)
    assert two.mean_score == pytest.approx(one.mean_score)
