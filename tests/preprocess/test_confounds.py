from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bold_phantom import LAS, rigid, save

from tmsprep.errors import ProcessingError
from tmsprep.preprocess.builtin.confounds import compute_confounds, dvars
from tmsprep.spaces import save_itk_affines

_SHAPE = (24, 26, 20)
_VOLUMES = 150
_TR_S = 2.0
_DUMMIES = 2
_JERK = 60
_FINE = np.diag([2.0, 2.0, 2.0, 1.0])
_FINE[:3, 3] = [-60, -70, -60]
_FINE_SHAPE = (60, 70, 60)


class _Scene:
    """Concentric tissues: CSF in the middle, white matter around it, grey outside; each with a signal of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.default_rng(0)
        grid = LAS.copy()
        grid[:3, 3] = [48, -52, -45]
        self.affine = grid
        radius = self._radius(grid, _SHAPE)
        self.brain = radius < 40
        self.csf, self.white = radius < 12, (radius > 18) & (radius < 26)
        self.waves = {name: rng.standard_normal(_VOLUMES) for name in ("csf", "white", "grey")}
        bold = np.zeros((*_SHAPE, _VOLUMES))
        for name, region, base in (
            ("grey", (radius >= 28) & self.brain, 1000),
            ("white", (radius >= 15) & (radius < 28), 700),
            ("csf", radius < 15, 1200),
        ):
            bold[region] = base + 10 * self.waves[name]
        bold[self.brain] += 8 * rng.standard_normal((self.brain.sum(), _VOLUMES))
        bold[self.brain, _JERK] *= 1.05
        self.bold = bold
        moves = np.cumsum(rng.normal(0, 0.01, (_VOLUMES, 6)), axis=0)
        moves[_JERK:, 0] += 0.8
        self.motions = [rigid(row[:3], row[3:], np.zeros(3)) for row in moves]

    @staticmethod
    def _radius(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        points = np.indices(shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
        return np.linalg.norm(points, axis=1).reshape(shape)

    def run(self) -> tuple[pd.DataFrame, dict]:
        fine = self._radius(_FINE, _FINE_SHAPE)
        folder = self.folder
        save_itk_affines(folder / "motion.txt", self.motions)
        save_itk_affines(folder / "xfm.txt", [np.eye(4)])
        content = {"n_non_steady_state": _DUMMIES, "repetition_time_s": _TR_S}
        (folder / "summary.json").write_text(json.dumps(content))
        fields = compute_confounds(
            bold=save(folder / "bold.nii.gz", self.bold, self.affine, RepetitionTime=_TR_S),
            mask=save(folder / "mask.nii.gz", self.brain, self.affine),
            boldref_to_t1w=folder / "xfm.txt",
            gm=save(folder / "gm.nii.gz", (fine >= 28) & (fine < 40), _FINE),
            wm=save(folder / "wm.nii.gz", (fine >= 15) & (fine < 28), _FINE),
            csf=save(folder / "csf.nii.gz", fine < 15, _FINE),
            motion=folder / "motion.txt",
            summary=folder / "summary.json",
            out_confounds=folder / "confounds.tsv",
        )
        return pd.read_csv(folder / "confounds.tsv", sep="\t", na_values="n/a"), fields["out_confounds"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> _Scene:
    return _Scene(tmp_path_factory.mktemp("confounds"))


@pytest.fixture(scope="module")
def table(scene: _Scene) -> pd.DataFrame:
    return scene.run()[0]


def test_the_columns_are_fmriprep_s(table: pd.DataFrame) -> None:
    expanded = [
        name + suffix
        for name in ("global_signal", "csf", "white_matter", "trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
        for suffix in ("", "_derivative1", "_power2", "_derivative1_power2")
    ]
    single = ["framewise_displacement", "rmsd", "dvars", "std_dvars", "cosine00", "non_steady_state_outlier00"]
    assert set(expanded + single) <= set(table.columns)
    assert len(table) == _VOLUMES
    missing = table.columns[table.iloc[0].isna()]
    assert set(missing) == {"framewise_displacement", "rmsd", "dvars", "std_dvars"} | {
        name for name in table.columns if "derivative1" in name
    }
    assert not table.iloc[1:].isna().any().any()


def test_tissue_signals_come_from_their_tissue(scene: _Scene, table: pd.DataFrame) -> None:
    for column, region in (("csf", scene.csf), ("white_matter", scene.white), ("global_signal", scene.brain)):
        expected = scene.bold[region].mean(axis=0)
        assert np.corrcoef(table[column], expected)[0, 1] > 0.97, column
    np.testing.assert_allclose(table["csf_power2"], table["csf"] ** 2, rtol=1e-6)
    np.testing.assert_allclose(table["csf_derivative1"][1:], np.diff(table["csf"]), atol=1e-6)


def test_motion_columns_are_the_head_s_motion(scene: _Scene, table: pd.DataFrame) -> None:
    centre = scene.affine[:3, :3] @ ((np.array(_SHAPE) - 1) / 2) + scene.affine[:3, 3]
    moved = np.array([matrix[:3, :3] @ centre + matrix[:3, 3] - centre for matrix in scene.motions])
    np.testing.assert_allclose(table[["trans_x", "trans_y", "trans_z"]], moved, atol=1e-5)
    assert table["trans_x"].iloc[-1] > 0.5  # the head went to the right
    steps = np.abs(np.diff(table[["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]], axis=0))
    np.testing.assert_allclose(table["framewise_displacement"][1:], steps @ [1, 1, 1, 50, 50, 50], atol=1e-5)


def _yule_walker(series: np.ndarray, order: int) -> np.ndarray:
    """First-order coefficient, for nipype, which would take it from a package that is not installed."""
    assert order == 1
    return np.array([np.correlate(series, series, "full")[series.size] / (series @ series)])


def test_dvars_agrees_with_nipype(scene: _Scene, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    from nipype.algorithms import confounds
    from nipype.algorithms.confounds import compute_dvars

    monkeypatch.setattr(confounds, "_AR_est_YW", _yule_walker)
    standardised, plain, _ = compute_dvars(
        str(scene.folder / "bold.nii.gz"), str(scene.folder / "mask.nii.gz"), remove_zerovariance=True
    )
    np.testing.assert_allclose(table["dvars"][1:], plain, rtol=1e-3)
    np.testing.assert_allclose(table["std_dvars"][1:], standardised, rtol=1e-3)


def test_cosines_agree_with_nipype(table: pd.DataFrame) -> None:
    from nipype.algorithms.confounds import _cosine_drift

    steady = _VOLUMES - _DUMMIES
    expected = _cosine_drift(128.0, np.arange(steady) * _TR_S)[:, :-1]
    found = table.filter(regex=r"^cosine").to_numpy()
    assert found.shape[1] == expected.shape[1] > 2
    np.testing.assert_allclose(found[_DUMMIES:], expected, atol=1e-6)
    assert not found[:_DUMMIES].any()


def test_outliers_have_one_column_each(table: pd.DataFrame) -> None:
    dummies = table.filter(regex="^non_steady_state_outlier").to_numpy()
    np.testing.assert_array_equal(np.argmax(dummies, axis=0), range(_DUMMIES))
    moved = table.filter(regex="^motion_outlier").to_numpy()
    assert np.all(moved.sum(axis=0) == 1)
    spikes = (table["framewise_displacement"] > 0.5) | (table["std_dvars"] > 1.5)
    assert sorted(np.argmax(moved, axis=0)) == [i for i in np.flatnonzero(spikes) if i > _DUMMIES]
    assert _JERK in np.argmax(moved, axis=0)


def test_the_sidecar_describes_columns_and_conventions(scene: _Scene) -> None:
    fields = scene.run()[1]
    assert fields["rot_x"]["Units"] == "rad"
    assert fields["trans_x"]["Units"] == "mm"
    assert "right" in fields["trans_x"]["Description"]
    assert fields["csf"]["Voxels"] > 10


def test_series_that_do_not_vary_are_refused() -> None:
    with pytest.raises(ProcessingError, match="varies"):
        dvars(np.ones((5, 20), dtype=np.float32))
