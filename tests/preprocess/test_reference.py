from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from bold_phantom import LAS, SHAPE, Head, read, rigid, save, sidecar_of

from tmsprep.errors import ConfigurationError, InputError
from tmsprep.preprocess.builtin.reference import count_non_steady_state, estimate_reference_and_motion
from tmsprep.spaces import load_itk_affines

_VOLUMES = 20
_DUMMIES = 2
_OUTLIER = 9


@pytest.fixture(scope="module")
def head() -> Head:
    return Head()


@pytest.fixture(scope="module")
def motions() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    drift = np.cumsum(rng.normal(0, 0.15, (_VOLUMES, 6)), axis=0)
    return [rigid(row[:3], row[3:], np.zeros(3)) for row in drift]


@pytest.fixture(scope="module")
def bold(tmp_path_factory: pytest.TempPathFactory, head: Head, motions: list[np.ndarray]) -> Path:
    rng = np.random.default_rng(2)
    volumes = np.stack([head.image(LAS, SHAPE, motion) for motion in motions], axis=-1)
    volumes[..., 0] *= 1.6
    volumes[..., 1] *= 1.2
    volumes[:, :, ::2, _OUTLIER] *= 0.4  # motion while the slices were acquired
    volumes += 8 * rng.standard_normal(volumes.shape)
    return save(tmp_path_factory.mktemp("bold") / "bold.nii.gz", volumes, LAS, RepetitionTime=2.0)


def _run(bold: Path, folder: Path, **options: int) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    out = {"out_reference": folder / "ref.nii.gz", "out_motion": folder / "hmc.txt", "out_summary": folder / "s.json"}
    estimate_reference_and_motion(bold=bold, sidecar=[sidecar_of(bold)], **out, **options)
    return out


def test_leading_bright_volumes_are_counted() -> None:
    rng = np.random.default_rng(0)
    data = (100 + rng.standard_normal((5, 5, 5, 60))).astype(np.float32)
    assert count_non_steady_state(data) == 0
    data[..., :3] *= np.array([1.5, 1.2, 1.05])
    assert count_non_steady_state(data) == 3
    data[..., 20] *= 2  # a spike later on is no dummy
    assert count_non_steady_state(data) == 3


def test_reference_and_motion_are_those_of_the_head(
    tmp_path: Path, bold: Path, head: Head, motions: list[np.ndarray]
) -> None:
    out = _run(bold, tmp_path)
    summary = json.loads(out["out_summary"].read_text())
    assert summary["n_non_steady_state"] == _DUMMIES
    assert summary["n_volumes"] == _VOLUMES
    assert _OUTLIER not in summary["reference_volumes"]
    assert not {0, 1} & set(summary["reference_volumes"])
    found = load_itk_affines(out["out_motion"])
    steady = range(_DUMMIES, _VOLUMES)
    # motion between volumes does not depend on where the reference is
    for before, after in pairwise(steady):
        if _OUTLIER in {before, after}:
            continue
        true = motions[after] @ np.linalg.inv(motions[before])
        error = np.linalg.inv(true) @ found[after] @ np.linalg.inv(found[before])
        corners = np.array([[40, 0, 0], [0, -45, 0], [0, 0, 35.0]])
        assert np.linalg.norm(nib.affines.apply_affine(error, corners) - corners, axis=1).max() < 0.25
    reference = read(out["out_reference"])
    at_reference = np.linalg.inv(found[5]) @ motions[5]
    expected = head.image(LAS, SHAPE, at_reference)
    inside = expected > 400
    assert np.corrcoef(reference[inside], expected[inside])[0, 1] > 0.995


def test_the_user_may_say_how_many_volumes_are_dummies(tmp_path: Path, bold: Path) -> None:
    summary = json.loads(_run(bold, tmp_path, dummy_scans=4)["out_summary"].read_text())
    assert summary["n_non_steady_state"] == 4
    assert min(summary["reference_volumes"]) >= 4
    with pytest.raises(ConfigurationError, match="dummy scans"):
        _run(bold, tmp_path, dummy_scans=_VOLUMES)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, bold: Path) -> None:
    first, second = (_run(bold, tmp_path / name) for name in "ab")
    assert all(first[key].read_bytes() == second[key].read_bytes() for key in first)


def test_a_single_volume_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "one.nii.gz", np.ones((4, 4, 4)), LAS, RepetitionTime=2.0)
    with pytest.raises(InputError, match="4D series"):
        _run(path, tmp_path)
