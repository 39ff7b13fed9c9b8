"""The tedana stage against simulated sources that are known, and its ladder with the real tedana."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from tmsprep import stages
from tmsprep.denoise import tedana_call
from tmsprep.errors import ConfigurationError, ContractError, InputError
from tmsprep.files import save_nifti, sha256

from .simulated import ECHO_TIMES_S, REPETITION_TIME_S, MultiEchoRun, simulate

Done = tuple[Path, dict[str, Any]]
"""Folder of the outputs, and the summary."""

VOLUMES = 100
DUMMIES = 2
N_BOLD = 12
N_ARTEFACT = 5
OUTPUTS = {
    "out_denoised": "desc-denoised_bold.nii.gz",
    "out_optcom": "desc-optcom_bold.nii.gz",
    "out_mixing": "desc-ICA_mixing.tsv",
    "out_metrics": "desc-tedana_metrics.tsv",
    "out_t2star": "T2starmap.nii.gz",
    "out_s0": "S0map.nii.gz",
    "out_adaptive_mask": "desc-adaptiveGoodSignal_mask.nii.gz",
    "out_summary": "summary.json",
}


def denoise(run: MultiEchoRun, folder: Path, **changes: Any) -> dict[str, Any]:
    outputs = {key: folder / name for key, name in OUTPUTS.items()}
    stages.run("tedana", run.inputs() | outputs | changes)
    return json.loads(outputs["out_summary"].read_text())


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> MultiEchoRun:
    return simulate(
        tmp_path_factory.mktemp("multiecho"), volumes=VOLUMES, non_steady=DUMMIES, n_bold=N_BOLD, n_artefact=N_ARTEFACT
    )


@pytest.fixture(scope="session")
def done(run: MultiEchoRun, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("denoised")
    return folder, denoise(run, folder)


@pytest.fixture
def tiny(tmp_path: Path) -> MultiEchoRun:
    """A run too small to denoise well, quick to fail on."""
    return simulate(tmp_path, shape=(12, 13, 11), volumes=40, n_bold=4, n_artefact=2, non_steady=1)


def best_matches(courses: np.ndarray, mixing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each true course the component most like it, and |r|."""
    matrix = np.abs(np.corrcoef(courses.T, mixing.T)[: courses.shape[1], courses.shape[1] :])
    return matrix.argmax(axis=1), matrix.max(axis=1)


def test_te_dependent_sources_are_accepted_and_the_others_rejected(run: MultiEchoRun, done: Done) -> None:
    folder, summary = done
    assert (summary["Accepted"], summary["Rejected"]) == (N_BOLD, N_ARTEFACT)
    mixing = pd.read_csv(folder / OUTPUTS["out_mixing"], sep="\t").to_numpy()
    metrics = pd.read_csv(folder / OUTPUTS["out_metrics"], sep="\t")
    accepted = (metrics["classification"] == "accepted").to_numpy()
    for courses, expected in ((run.bold_courses, True), (run.artefact_courses, False)):
        component, likeness = best_matches(courses[DUMMIES:], mixing)
        assert len(set(component)) == courses.shape[1]
        assert likeness.min() > 0.85
        assert (accepted[component] == expected).all()


def test_artefacts_leave_the_series_and_bold_stays(run: MultiEchoRun, done: Done) -> None:
    folder, _ = done
    mask = nib.load(run.mask).get_fdata() > 0

    def explained(name: str, courses: np.ndarray) -> float:
        series = nib.load(folder / name).get_fdata()[mask].T
        series = series - series.mean(axis=0)
        basis = np.linalg.qr(courses - courses.mean(axis=0))[0]
        return float(((basis.T @ series) ** 2).sum() / (series**2).sum())

    artefacts, bold = run.artefact_courses[DUMMIES:], run.bold_courses[DUMMIES:]
    combined, denoised = OUTPUTS["out_optcom"], OUTPUTS["out_denoised"]
    chance = N_ARTEFACT / (VOLUMES - DUMMIES)
    assert explained(combined, artefacts) > 0.15
    assert explained(denoised, artefacts) < 1.5 * chance
    assert explained(denoised, bold) > explained(combined, bold)


def test_series_have_no_dummy_scans_and_keep_grid_and_timing(run: MultiEchoRun, done: Done) -> None:
    folder, summary = done
    assert summary["DummyScansRemoved"] == DUMMIES
    assert summary["Volumes"] == VOLUMES - DUMMIES
    original = nib.load(run.echo[0])
    for key in ("out_denoised", "out_optcom"):
        image = nib.load(folder / OUTPUTS[key])
        assert image.shape == (*original.shape[:3], VOLUMES - DUMMIES)
        np.testing.assert_array_equal(image.affine, original.affine)
        assert image.header["pixdim"][4] == np.float32(REPETITION_TIME_S)
        assert image.header["sform_code"] == 1
    assert len(pd.read_csv(folder / OUTPUTS["out_mixing"], sep="\t")) == VOLUMES - DUMMIES


def test_maps_are_in_seconds_and_near_the_truth(run: MultiEchoRun, done: Done) -> None:
    folder, _ = done
    mask = nib.load(run.mask).get_fdata() > 0
    t2star = nib.load(folder / OUTPUTS["out_t2star"]).get_fdata()[mask]
    assert np.median(t2star) == pytest.approx(1 / 25, rel=0.03)
    assert np.median(nib.load(folder / OUTPUTS["out_s0"]).get_fdata()[mask]) == pytest.approx(1000, rel=0.03)
    assert np.median(nib.load(folder / OUTPUTS["out_adaptive_mask"]).get_fdata()[mask]) == len(ECHO_TIMES_S)


def test_summary_says_which_rung_held(done: Done) -> None:
    _, summary = done
    assert summary["Rung"] == "fastica"
    assert summary["Seed"] == 42
    assert summary["Converged"] is True
    assert [item["Outcome"] for item in summary["Ladder"]] == ["used"]
    assert any("Suspiciously few components: 17 for 98 volumes" in item for item in summary["Warnings"])


def test_same_bytes_twice_and_nothing_left_over(run: MultiEchoRun, done: Done, tmp_path: Path) -> None:
    denoise(run, tmp_path)
    for name in OUTPUTS.values():
        assert sha256(tmp_path / name) == sha256(done[0] / name), name
    assert {path.name for path in tmp_path.iterdir()} == set(OUTPUTS.values())


def test_ladder_steps_down_to_the_combination_when_no_ica_converges(tiny: MultiEchoRun, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    summary = denoise(tiny, folder, maximum_iterations=1, robust_runs=5)
    assert summary["Rung"] == "optimal-combination"
    assert summary["Denoised"] is False
    assert summary["Seed"] is None
    outcomes = {item["Rung"]: item["Outcome"] for item in summary["Ladder"]}
    assert outcomes == {
        "fastica": "ICA did not converge",
        "robustica": "ICA did not converge",
        "minimal-tree": "passed over",
        "mdl": "ICA did not converge",
        "optimal-combination": "used",
    }
    assert summary["Ladder"][0]["Seeds"] == [42, 43, 44, 45, 46]
    assert any("NOT denoised" in item for item in summary["Warnings"])
    denoised, combined = (folder / OUTPUTS[key] for key in ("out_denoised", "out_optcom"))
    assert sha256(denoised) == sha256(combined)
    assert pd.read_csv(folder / OUTPUTS["out_metrics"], sep="\t").empty
    assert nib.load(combined).shape[3] == 39


def test_chosen_ladder_and_seed_are_followed(tiny: MultiEchoRun, tmp_path: Path) -> None:
    summary = denoise(tiny, tmp_path / "out", maximum_iterations=1, ladder_rungs=["mdl"], seed=7)
    assert [item["Rung"] for item in summary["Ladder"]] == ["mdl", "optimal-combination"]
    assert summary["Ladder"][0]["Seeds"] == [7, 8, 9, 10, 11]


def test_unknown_rung_is_refused(tiny: MultiEchoRun, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="unknown rung"):
        denoise(tiny, tmp_path / "out", ladder_rungs=["mdl", "magic"])


def test_two_echoes_are_refused(tiny: MultiEchoRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="three or more"):
        denoise(tiny, tmp_path / "out", echo=tiny.echo[:2], echo_sidecar=tiny.echo_sidecar[:2])
    assert not list((tmp_path / "out").iterdir())


def test_echoes_out_of_order_are_refused(tiny: MultiEchoRun, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ascending echo times"):
        denoise(tiny, tmp_path / "out", echo=tiny.echo[::-1], echo_sidecar=tiny.echo_sidecar[::-1])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("EchoTime", None, "EchoTime"), ("EchoTime", 31.1, "EchoTime"), ("RepetitionTime", 2.5, "the sidecar 2.5 s")],
)
def test_wrong_sidecars_are_refused(
    tiny: MultiEchoRun, tmp_path: Path, field: str, value: float | None, message: str
) -> None:
    path = tiny.echo_sidecar[0]
    content = json.loads(path.read_text())
    content[field] = value
    path.write_text(json.dumps({key: item for key, item in content.items() if item is not None}))
    with pytest.raises((InputError, ContractError), match=message):
        denoise(tiny, tmp_path / "out")


def test_echoes_of_unequal_length_are_refused(tiny: MultiEchoRun, tmp_path: Path) -> None:
    image = nib.load(tiny.echo[2])
    save_nifti(tiny.echo[2], image.get_fdata()[..., :-3], image.affine, xform_code=1, repetition_time_s=REPETITION_TIME_S)
    with pytest.raises(InputError, match="37 volumes, but the first echo has 40"):
        denoise(tiny, tmp_path / "out")


def test_confounds_of_another_length_are_refused(tiny: MultiEchoRun, tmp_path: Path) -> None:
    table = pd.read_csv(tiny.confounds, sep="\t")
    table.iloc[:-1].to_csv(tiny.confounds, sep="\t", index=False)
    with pytest.raises(ContractError, match="39 rows, but the series has 40 volumes"):
        denoise(tiny, tmp_path / "out")


def test_tedanas_tree_is_the_same_bytes_whatever_order_its_sets_had(tmp_path: Path) -> None:
    written: list[bytes] = []
    for index, names in enumerate((["rho", "kappa"], ["kappa", "rho"])):
        folder = tmp_path / str(index)
        folder.mkdir()
        node = {"outputs": {"used_metrics": names, "used_cross_component_metrics": names}, "parameters": ["b", "a"]}
        tree = {"tree_id": "x", "nodes": [node]}
        (folder / "desc-ICA_decision_tree.json").write_text(json.dumps(tree), encoding="utf-8")
        tedana_call.save_accounts(folder, {"decision_tree": folder / "out.json", "report": folder / "none.txt"})
        written.append((folder / "out.json").read_bytes())
        assert not (folder / "none.txt").exists()
    assert written[0] == written[1]
    assert json.loads(written[0])["nodes"][0]["parameters"] == ["b", "a"]
