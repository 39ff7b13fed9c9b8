"""The whole stage on a made-up person with a known target."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from tests.target.conftest import OPPOSITE_MNI, Participant, make_participant, reorient
from tests.target.test_circuits import save_map

from tmsprep.errors import ConfigurationError, InputError, ProcessingError
from tmsprep.files import read_json, save_nifti, write_json, write_tsv
from tmsprep.options import Method
from tmsprep.records import Candidate, Status
from tmsprep.spaces import Transform, apply_affine, save_itk_affines
from tmsprep.surfaces import Surface
from tmsprep.target import outcome
from tmsprep.target.circuits import load_circuit, open_weights
from tmsprep.target.locate import Search, locate
from tmsprep.target.masks import load_search_mask
from tmsprep.target.person import Person
from tmsprep.target.series import Series, common_mask, grid_of, open_runs, read_series
from tmsprep.target.survey import Plan, survey_fine, survey_voxels

NEAR_MM = 3.0


@pytest.mark.parametrize("method", [method for method in Method if method is not Method.PARCEL])
def test_the_planted_target_is_found(participant: Participant, method: Method) -> None:
    result = participant.run(method=method)
    assert participant.error_mm(result) < NEAR_MM
    assert result.status is Status.OK
    assert result.reasons == ()
    assert result.measures["split_half_mm"] < 4
    best = result.candidates[0]
    mni = apply_affine(np.linalg.inv(participant.t1w_from_mni), best.target_ras_mm)
    assert best.target_mni_mm == pytest.approx(mni, abs=1e-3)
    assert best.target_mni_mm[0] < 0


def test_parcels_find_the_planted_target_where_voxels_agree(tmp_path: Path) -> None:
    person = make_participant(tmp_path, noise=0.3)
    result = person.run(method=Method.PARCEL)
    assert person.error_mm(result) < 2 * NEAR_MM


@pytest.mark.parametrize(("orientation", "tilt", "mm"), [("LAS", 0.0, 4.0), ("PSR", 15.0, 3.5), ("ILP", -20.0, 3.0)])
def test_storage_order_obliquity_and_voxel_size(tmp_path: Path, orientation: str, tilt: float, mm: float) -> None:
    person = make_participant(tmp_path, orientation=orientation, tilt_deg=tilt, bold_mm=mm, volumes=80)
    assert person.error_mm(person.run()) < NEAR_MM


def test_the_same_image_stored_otherwise_gives_the_same(participant: Participant, tmp_path: Path) -> None:
    """Every image reordered and flipped on disk; offsets and scales per voxel changed too."""
    expected = participant.run()
    changed: dict[str, Any] = {}
    for key, orientation in (("gm", "PSR"), ("t1w", "LIA")):
        changed[key] = tmp_path / f"{key}.nii.gz"
        nib.save(reorient(nib.load(participant.arguments[key]), orientation), changed[key])
    bold = nib.load(participant.arguments["bold"][0])
    rng = np.random.default_rng(0)
    data = bold.get_fdata() * rng.uniform(0.5, 2, (*bold.shape[:3], 1)) + rng.normal(0, 50, (*bold.shape[:3], 1))
    mask = nib.load(participant.arguments["bold_mask"][0])
    for key, image in (("bold", nib.Nifti1Image(data.astype(np.float32), bold.affine)), ("bold_mask", mask)):
        changed[key] = [tmp_path / f"{key}.nii.gz"]
        nib.save(reorient(image, "SLA"), changed[key][0])
    found = replace(participant, folder=tmp_path).run(**changed)
    assert found.candidates[0].target_ras_mm == expected.candidates[0].target_ras_mm
    assert found.candidates[0].score == pytest.approx(expected.candidates[0].score, abs=1e-4)


def test_score_map_holds_the_scores_of_the_search_mask_and_nothing_else(participant: Participant) -> None:
    result = participant.run()
    image = nib.load(participant.folder / "scores.nii.gz")
    assert np.allclose(image.affine, participant.bold_grid.affine_ras_mm)
    scores = image.get_fdata()
    where = np.argwhere(scores != 0)
    assert len(where) == result.measures["search_voxels"]
    mni = apply_affine(np.linalg.inv(participant.t1w_from_mni), apply_affine(image.affine, where))
    assert load_search_mask("dlpfc-spheres").contains(mni).all()
    assert np.abs(scores).max() <= 1
    # the score, computed again from the files: minus the correlation with the seed
    participant.run(method=Method.SEED)
    scores = nib.load(participant.folder / "scores.nii.gz").get_fdata()
    data = nib.load(participant.arguments["bold"][0]).get_fdata()
    grey = data.std(-1) > 0
    all_voxels = np.argwhere(grey)
    all_mni = apply_affine(np.linalg.inv(participant.t1w_from_mni), apply_affine(image.affine, all_voxels))
    seed = all_voxels[np.linalg.norm(all_mni - [6, 16, -10], axis=1) <= 10]
    series = data[tuple(seed.T)]
    series = (series - series.mean(1, keepdims=True)) / series.std(1, keepdims=True)
    best = tuple(np.unravel_index(scores.argmax(), scores.shape))
    assert -np.corrcoef(series.mean(0), data[best])[0, 1] == pytest.approx(scores[best], abs=1e-5)


def test_two_runs_are_byte_for_byte_alike(participant: Participant) -> None:
    participant.run()
    first = {name: (participant.folder / name).read_bytes() for name in ("scores.nii.gz", "result.json")}
    participant.run()
    assert first == {name: (participant.folder / name).read_bytes() for name in first}


def test_several_runs(tmp_path: Path) -> None:
    person = make_participant(tmp_path, runs=2, volumes=60)
    result = person.run()
    assert person.error_mm(result) < NEAR_MM
    assert result.clean_minutes == pytest.approx(25.0)


def test_an_inverted_circuit_is_refused_and_by_force_moves_the_target(participant: Participant, tmp_path: Path) -> None:
    person = replace(participant, folder=tmp_path)
    right = save_map(tmp_path / "right.nii.gz")
    inverted = save_map(tmp_path / "inverted.nii.gz", sign=-1)
    assert person.error_mm(person.run(circuit="mine", circuit_file=right)) < NEAR_MM
    (tmp_path / "result.json").unlink()
    with pytest.raises(InputError, match="wrong sign"):
        person.run(circuit="mine", circuit_file=inverted)
    assert not (tmp_path / "result.json").exists()
    forced = person.run(circuit="mine", circuit_file=inverted, force_polarity=True)
    assert forced.status is Status.CAUTION
    assert any("opposite sign" in reason for reason in forced.reasons)
    assert read_json(tmp_path / "result.json")["PolarityForced"] is True
    assert np.linalg.norm(np.array(forced.candidates[0].target_mni_mm) - OPPOSITE_MNI) < 6
    assert person.error_mm(forced) > 20


def test_what_was_done_is_recorded(participant: Participant, tmp_path: Path) -> None:
    person = replace(participant, folder=tmp_path)
    write_json(tmp_path / "dataset_description.json", {"Name": "test", "BIDSVersion": "1.10.0"})
    person.run(circuit="mine", circuit_file=save_map(tmp_path / "map.nii.gz", flipped=True))
    for name in ("scores.json", "result.json"):
        content = read_json(tmp_path / name)
        assert content["Circuit"] == "mine"
        assert content["CircuitSpace"] == "MNI152NLin6Asym"
        assert len(content["CircuitSHA256"]) == 64
        assert content["PolarityNegativeAnchor"] < 0 < content["PolarityPositiveAnchor"]
        assert content["Method"] == "timecourse"


def test_depth_is_measured_and_limits_the_reach(participant: Participant, tmp_path: Path) -> None:
    """A scalp that is a sphere about the head's middle: the depth has a closed form."""
    centre, radius = apply_affine(participant.t1w_from_mni, [0, -10, 5]), 100.0
    sphere = sphere_surface(centre, radius)
    sphere.save(tmp_path / "scalp.surf.gii")
    person = replace(participant, folder=tmp_path)
    result = person.run(scalp=tmp_path / "scalp.surf.gii", max_depth_mm=60.0)
    best = result.candidates[0]
    expected = radius - np.linalg.norm(np.array(best.target_ras_mm) - centre)
    assert best.depth_mm == pytest.approx(expected, abs=0.3)
    near = person.run(scalp=tmp_path / "scalp.surf.gii", max_depth_mm=expected - 4)
    assert all(item.depth_mm is not None and item.depth_mm < expected - 3.5 for item in near.candidates)
    none = person.run(scalp=tmp_path / "scalp.surf.gii", max_depth_mm=5.0)
    assert none.status is Status.ABSTAIN
    assert none.candidates == ()
    assert not nib.load(tmp_path / "scores.nii.gz").get_fdata().any()


def sphere_surface(centre: np.ndarray, radius: float) -> Surface:
    from skimage.measure import marching_cubes

    distance = np.linalg.norm(np.indices((60, 60, 60)) - 29.5, axis=0)
    vertices, faces, _, _ = marching_cubes(distance, 25.0)
    directions = vertices - 29.5
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return Surface(centre + radius * directions, faces.astype(np.int64))


@pytest.mark.parametrize(
    ("minutes", "displacement", "status"),
    [(25, 0.1, "ok"), (12, 0.1, "caution"), (4, 0.1, "abstain"), (25, 0.25, "caution"), (25, 0.35, "abstain")],
)
def test_little_or_moving_data(
    participant: Participant, tmp_path: Path, minutes: float, displacement: float, status: str
) -> None:
    write_json(tmp_path / "summary.json", {"CleanMinutes": minutes, "MeanFD_mm": displacement})
    result = replace(participant, folder=tmp_path).run(summary=[tmp_path / "summary.json"])
    assert result.status == status
    assert bool(result.reasons) is (status != "ok")


def test_a_summary_without_the_numbers_is_named(participant: Participant, tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", {"CleanMinutes": 20})
    with pytest.raises(InputError, match="MeanFD_mm"):
        replace(participant, folder=tmp_path).run(summary=[tmp_path / "summary.json"])


def masked(participant: Participant, folder: Path, place_mni: tuple[float, float, float], radius_mm: float) -> Path:
    """Copy the mask without a ball: a drop-out of signal."""
    image = nib.load(participant.arguments["bold_mask"][0])
    mask = np.asarray(image.dataobj) > 0
    mni = apply_affine(np.linalg.inv(participant.t1w_from_mni), participant.bold_grid.points_ras_mm())
    mask &= (np.linalg.norm(mni - place_mni, axis=1) > radius_mm).reshape(mask.shape)
    save_nifti(folder / "mask.nii.gz", mask, image.affine, xform_code=1)
    return folder / "mask.nii.gz"


def test_no_signal_in_the_seed_is_an_abstention(participant: Participant, tmp_path: Path) -> None:
    mask = masked(participant, tmp_path, (6, 16, -10), 22)
    result = replace(participant, folder=tmp_path).run(bold_mask=[mask])
    assert result.status is Status.ABSTAIN
    assert result.measures["coverage_sgacc"] == 0
    assert any("seeds" in reason for reason in result.reasons)
    assert result.candidates == ()


def test_drop_out_in_the_search_mask_is_noticed(participant: Participant, tmp_path: Path) -> None:
    mask = masked(participant, tmp_path, (-40, 10, 60), 25)
    result = replace(participant, folder=tmp_path).run(bold_mask=[mask])
    assert 0.5 < result.measures["coverage_search_mask"] < 0.8
    assert result.status is Status.CAUTION
    assert any("search mask" in reason for reason in result.reasons)


def test_options_that_make_no_sense_are_refused(participant: Participant) -> None:
    for options in ({"top_fraction": 0.0}, {"exclusion_mm": -1.0}, {"max_depth_mm": 0.0}, {"search_mask": "x"}):
        with pytest.raises(ConfigurationError):
            participant.run(**options)
    with pytest.raises(ConfigurationError, match="sgacc"):
        participant.run(circuit="x")


def test_seed_method_needs_seeds(participant: Participant, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="seeds"):
        participant.run(circuit="mine", circuit_file=save_map(tmp_path / "map.nii.gz"), method=Method.SEED)


def test_the_participant_s_own_way_to_nlin6_is_preferred_in_real_templates(participant: Participant, tmp_path: Path) -> None:
    """The made-up brain lies where NLin6Asym has it by its own transform; over the other template it is elsewhere."""
    own = tmp_path / "nlin6_to_t1w.txt"
    save_itk_affines(own, [np.linalg.inv(participant.t1w_from_mni)])
    without, with_own = participant.run(), participant.run(nlin6_to_t1w=own)
    assert participant.error_mm(with_own) < NEAR_MM
    assert "nlin6_routes_mm" not in without.measures
    # real: the templates differ by millimetres in the left DLPFC
    assert 1.0 < with_own.measures["nlin6_routes_mm"] < 7.0


def test_ways_to_nlin6_that_disagree_are_a_caution(participant: Participant, tmp_path: Path) -> None:
    shifted = np.linalg.inv(participant.t1w_from_mni)
    shifted[1, 3] += 8.0
    own = tmp_path / "nlin6_to_t1w.txt"
    save_itk_affines(own, [shifted])
    result = participant.run(nlin6_to_t1w=own)
    assert result.status is Status.CAUTION
    assert any("8.0 mm apart" in reason for reason in result.reasons)


def test_a_target_in_the_right_hemisphere_cannot_leave() -> None:
    wrong = Candidate((0, 0, 0), (0.5, 30, 30), 0.5, 0.6, 10, 80.0)
    with pytest.raises(ProcessingError, match="left hemisphere"):
        outcome._require_left((wrong,))


def searched(participant: Participant) -> tuple[Series, Search]:
    arguments = participant.arguments
    runs = open_runs(arguments["bold"], arguments["bold_mask"], arguments["regressors"])
    plan = Plan(open_weights(load_circuit("sgacc"), None), load_search_mask("dlpfc-spheres"), 10.0, None)
    person = Person.load(arguments["gm"], arguments["mni_to_t1w"], arguments["t1w_to_mni"], None)
    voxels = survey_voxels(grid_of(runs), common_mask(runs), person, plan)
    series = read_series(runs, voxels.where)
    problem = voxels.problem(series.has_signal, 10.0)
    return series, Search(Method.TIMECOURSE, voxels, survey_fine(person, plan), problem, 0.1)


def test_shifted_in_time_the_search_gives_chance(participant: Participant) -> None:
    """Each search voxel's series turned in a circle by its own amount: scores near 0, targets anywhere."""
    series, search = searched(participant)
    found = locate(series.z, search)
    assert np.linalg.norm(found.clusters[0].position_ras_mm - participant.truth_ras_mm) < NEAR_MM
    points = search.voxels.points_ras_mm[search.problem.search]
    chance = np.linalg.norm(points - participant.truth_ras_mm, axis=1).mean()
    rng = np.random.default_rng(0)
    errors: list[float] = []
    for _ in range(12):
        shifted = series.z.copy()
        for column in np.flatnonzero(search.problem.search):
            shifted[:, column] = np.roll(shifted[:, column], rng.integers(15, len(shifted) - 15))
        null = locate(shifted, search)
        errors.append(float(np.linalg.norm(null.clusters[0].position_ras_mm - participant.truth_ras_mm)))
        assert abs(null.scores.values.mean()) < 0.05
        assert null.scores.values.std() < 3.5 / np.sqrt(len(shifted))
    assert 0.6 * chance < np.mean(errors) < 1.6 * chance


def test_weights_keep_away_from_the_search_mask(participant: Participant) -> None:
    _, search = searched(participant)
    points = search.voxels.points_ras_mm
    used = points[search.problem.contributes]
    scored = points[search.problem.search]
    nearest = np.min(np.linalg.norm(used[:, np.newaxis] - scored[np.newaxis], axis=2), axis=1)
    assert nearest.min() > 10.0


def test_real_templates_are_not_equated(participant: Participant) -> None:
    """Through the real transform between the templates, points move by millimetres, and there and back they return."""
    arguments = participant.arguments
    person = Person.load(arguments["gm"], arguments["mni_to_t1w"], arguments["t1w_to_mni"], None)
    points = np.array([participant.truth_ras_mm])
    contract = person.template_points(points, "MNI152NLin2009cAsym")
    other = person.template_points(points, "MNI152NLin6Asym")
    assert 0.2 < np.linalg.norm(other - contract) < 8
    from tmsprep.templates import transform

    back = transform("MNI152NLin2009cAsym", "MNI152NLin6Asym").pull_points(other)
    assert back == pytest.approx(contract, abs=0.3)


def test_transform_between_templates_is_asked_for_the_right_way(
    participant: Participant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """from-NLin6_to-2009c maps 2009c points to NLin6: with a known shift the sign shows."""
    shift = np.eye(4)
    shift[:3, 3] = (0, 0, 5)  # 2009c point p is NLin6 point p + 5 mm

    def between(source: str, destination: str) -> Transform:
        assert (source, destination) == ("MNI152NLin6Asym", "MNI152NLin2009cAsym")
        return Transform.from_matrix(shift)

    monkeypatch.setattr("tmsprep.target.person.between_templates", between)
    arguments = participant.arguments
    person = Person.load(arguments["gm"], arguments["mni_to_t1w"], arguments["t1w_to_mni"], None)
    points = participant.truth_ras_mm[np.newaxis]
    moved = person.template_points(points, "MNI152NLin6Asym") - person.template_points(points, "MNI152NLin2009cAsym")
    assert moved[0] == pytest.approx([0, 0, 5], abs=1e-4)


def test_command_line(participant: Participant, tmp_path: Path) -> None:
    from tmsprep.cli import main

    words = ["stage", "target"]
    for key, value in participant.arguments.items():
        values = value if isinstance(value, list) else [value]
        words += ["--" + key.replace("_", "-"), *map(str, values)]
    words += ["--out-scores", str(tmp_path / "s.nii.gz"), "--out-result", str(tmp_path / "r.json")]
    with pytest.raises(SystemExit) as done:
        main([*words, "--method", "seed"])
    assert done.value.code == 0
    assert json.loads((tmp_path / "r.json").read_text())["method"] == "seed"


def test_a_table_of_another_run_is_refused(participant: Participant, tmp_path: Path) -> None:
    write_tsv(tmp_path / "short.tsv", pd.DataFrame({"kept": [1] * 5}))
    with pytest.raises(InputError, match="4D with 5"):
        participant.run(regressors=[tmp_path / "short.tsv"])
