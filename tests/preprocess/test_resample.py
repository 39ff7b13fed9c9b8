from __future__ import annotations

import json
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from bold_phantom import LAS, SHAPE, Head, distorted, oblique, read, rigid, save, sidecar_of

from tmsprep.errors import ConfigurationError, InputError
from tmsprep.preprocess.builtin.resample import resample_echoes
from tmsprep.preprocess.builtin.series import rounded, rounding_step, sample, voxel_indices
from tmsprep.spaces import save_itk_affines, to_ants

_VOLUMES = 12
_TIMES_S = (0.012, 0.03)


def _motions(seed: int = 4) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rigid(rng.uniform(-2, 2, 3), rng.uniform(-2, 2, 3), np.zeros(3)) for _ in range(_VOLUMES)]


def _write(folder: Path, volumes: np.ndarray, affine: np.ndarray, motions: list[np.ndarray], **metadata: object) -> dict:
    """Write what the stage reads; return its arguments without the echoes."""
    echoes = [
        save(folder / f"echo-{index}.nii.gz", volumes * scale, affine, RepetitionTime=2.0, **metadata)
        for index, scale in enumerate((1.0, 0.5))
    ]
    save_itk_affines(folder / "hmc.txt", motions)
    (folder / "summary.json").write_text(json.dumps({"n_non_steady_state": 1}))
    return {
        "echo": echoes,
        "echo_times": list(_TIMES_S),
        "sidecar": [sidecar_of(echoes[0])],
        "reference": save(folder / "ref.nii.gz", volumes[..., 0], affine),
        "motion": folder / "hmc.txt",
        "summary": folder / "summary.json",
        "out_echo": [folder / "out-0.nii.gz", folder / "out-1.nii.gz"],
    }


@pytest.mark.parametrize("affine", [LAS, oblique(LAS)], ids=["LAS", "oblique"])
def test_moved_volumes_come_back_and_all_echoes_alike(tmp_path: Path, affine: np.ndarray) -> None:
    head, motions = Head(), _motions()
    volumes = np.stack([head.image(affine, SHAPE, motion) for motion in motions], axis=-1)
    arguments = _write(tmp_path, volumes, affine, motions)
    fields = resample_echoes(**arguments)["out_echo"]
    still = head.image(affine)
    inside = still > 500
    before = np.sqrt(np.mean((volumes[inside] - still[inside][:, None]) ** 2))
    first, second = (read(path) for path in arguments["out_echo"])
    after = np.sqrt(np.mean((first[inside] - still[inside][:, None]) ** 2))
    assert after < 0.1 * before
    np.testing.assert_allclose(first * 0.5, second, atol=0.5)
    assert [item["EchoTime"] for item in fields] == list(_TIMES_S)
    assert fields[0]["RepetitionTime"] == 2.0
    assert not fields[0]["SliceTimingCorrected"]
    assert not fields[0]["SkullStripped"]
    np.testing.assert_allclose(nib.load(arguments["out_echo"][0]).affine, affine, atol=1e-4)
    assert nib.load(arguments["out_echo"][0]).header.get_zooms()[3] == 2.0


def test_ants_reads_the_motion_file_and_moves_the_same_way(tmp_path: Path) -> None:
    import ants

    head, motions = Head(), _motions()
    volumes = np.stack([head.image(LAS, SHAPE, motion) for motion in motions], axis=-1)
    arguments = _write(tmp_path, volumes, LAS, motions)
    resample_echoes(**arguments)
    ours = read(arguments["out_echo"][0])[..., 3]
    save_itk_affines(tmp_path / "one.txt", [motions[3]])
    fixed, moving = to_ants(volumes[..., 0], LAS), to_ants(volumes[..., 3], LAS)
    theirs = ants.apply_transforms(fixed, moving, [str(tmp_path / "one.txt")], interpolator="bSpline").numpy()
    inside = head.image(LAS) > 500
    assert np.sqrt(np.mean((ours - theirs)[inside] ** 2)) < 2


def test_unwarping_joins_the_same_interpolation(tmp_path: Path) -> None:
    head, motions = Head(), _motions()
    points = nib.affines.apply_affine(LAS, np.indices(SHAPE).reshape(3, -1).T)
    hertz = (40 * np.exp(-np.sum((points - [0, 40, -10]) ** 2, axis=1) / (2 * 25**2))).reshape(SHAPE)
    # a still head, so that the field is the same in every volume
    still = head.image(LAS)
    warped = distorted(still, -0.05 * hertz, axis=1)
    volumes = np.repeat(warped[..., None], _VOLUMES, axis=-1)
    arguments = _write(
        tmp_path, volumes, LAS, [np.eye(4)] * len(motions), PhaseEncodingDirection="j-", TotalReadoutTime=0.05
    )
    arguments["fieldmap"] = save(tmp_path / "field.nii.gz", hertz, LAS)
    fields = resample_echoes(**arguments)["out_echo"][0]
    assert fields["DistortionCorrected"]
    inside = still > 500
    result = read(arguments["out_echo"][0])[..., 2]
    wrong_way = sample(
        warped.astype(np.float32), voxel_indices(SHAPE) + np.array([[0], [1], [0]]) * (0.05 * hertz).ravel()
    ).reshape(SHAPE)

    def error(image: np.ndarray) -> float:
        return float(np.sqrt(np.mean((image - still)[inside] ** 2)))

    assert error(result) < 0.25 * error(warped) < 0.25 * error(wrong_way)


def test_slice_timing_follows_the_stored_axis(tmp_path: Path) -> None:
    times = np.arange(60) * 2.0
    slices = np.linspace(0, 1.9, SHAPE[0]).round(3)
    volumes = np.empty((*SHAPE, 60))
    for index, offset in enumerate(slices):
        volumes[index] = 800 + 30 * np.sin(2 * np.pi * 0.04 * (times + offset))
    fields = {"SliceTiming": list(slices), "SliceEncodingDirection": "i"}
    arguments = _write(tmp_path, volumes, LAS, [np.eye(4)] * 60, **fields)
    written = resample_echoes(**arguments)["out_echo"][0]
    expected = 800 + 30 * np.sin(2 * np.pi * 0.04 * (times + 0.95))
    assert written["SliceTimingCorrected"]
    assert written["StartTime"] == pytest.approx(0.95)
    result = read(arguments["out_echo"][0])
    assert np.abs(result[..., 6:-6] - expected[6:-6]).max() < 1.0
    assert np.abs(volumes - expected)[..., 6:-6].max() > 5


def test_one_echo_needs_no_echo_time_but_two_do(tmp_path: Path) -> None:
    arguments = _write(tmp_path, np.ones((*SHAPE, _VOLUMES)), LAS, [np.eye(4)] * _VOLUMES)
    with pytest.raises(ConfigurationError, match="0 echo times"):
        resample_echoes(**{**arguments, "echo_times": None})
    single = {**arguments, "echo": arguments["echo"][:1], "out_echo": arguments["out_echo"][:1], "echo_times": None}
    assert "EchoTime" not in resample_echoes(**single)["out_echo"][0]


def test_echoes_of_unequal_length_are_refused(tmp_path: Path) -> None:
    arguments = _write(tmp_path, np.ones((*SHAPE, _VOLUMES)), LAS, [np.eye(4)] * _VOLUMES)
    save(arguments["echo"][1], np.ones((*SHAPE, _VOLUMES - 1)), LAS, RepetitionTime=2.0)
    with pytest.raises(InputError, match="same geometry and length"):
        resample_echoes(**arguments)


def test_edge_slices_survive_a_shift_of_less_than_half_a_voxel() -> None:
    volume = np.full((6, 6, 6), 100, dtype=np.float32)
    voxels = voxel_indices(volume.shape)
    assert np.all(sample(volume, voxels + 0.4) > 99)
    assert np.sum(sample(volume, voxels + [[0], [0], [0.6]]) == 0) == 36


def test_rounding_stays_below_the_noise() -> None:
    values = np.random.default_rng(0).normal(900, 9, (20, 20, 20)).astype(np.float32)
    step = rounding_step(values)
    assert np.log2(step) == round(np.log2(step))
    assert np.abs(rounded(values, step) - values).max() <= step / 2 <= 0.13


@pytest.mark.slow
def test_three_echoes_of_300_volumes_are_quick_enough() -> None:
    """The spatial part, on a tenth of the volumes: 900 of them may take a minute."""
    rng = np.random.default_rng(0)
    volume = rng.uniform(0, 1000, (64, 64, 36)).astype(np.float32)
    voxels = voxel_indices(volume.shape) + 0.3
    start = time.process_time()
    for _ in range(9):
        sample(volume, voxels)
    assert (time.process_time() - start) * 100 < 60
