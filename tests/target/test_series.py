"""Reading series against reading the whole file at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tmsprep.errors import InputError
from tmsprep.files import save_nifti, write_tsv
from tmsprep.target.series import Run, common_mask, open_runs, read_series

SHAPE = (6, 7, 5)


def write_run(
    folder: Path, name: str, *, kept: list[object], seed: int = 0, suffix: str = ".nii.gz", shift: float = 0.0
) -> tuple[Path, Path, Path, np.ndarray]:
    data = np.random.default_rng(seed).normal(1000, 20, (*SHAPE, len(kept))).astype(np.float32)
    data[0, 0, 0] = 7.0  # flat
    affine = np.diag([3.0, 3, 3, 1])
    affine[0, 3] = shift
    bold, mask, table = (folder / f"{name}{end}" for end in ("_bold" + suffix, "_mask.nii.gz", ".tsv"))
    save_nifti(bold, data, affine, xform_code=1)
    save_nifti(mask, np.ones(SHAPE, np.uint8), affine, xform_code=1)
    write_tsv(table, pd.DataFrame({"kept": kept}))
    return bold, mask, table, data


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_blocks_make_the_same_as_the_whole(tmp_path: Path, suffix: str) -> None:
    kept = (np.random.default_rng(1).random(37) > 0.3).astype(int).tolist()
    bold, mask, table, data = write_run(tmp_path, "a", kept=kept, suffix=suffix)
    voxels = np.random.default_rng(2).random(SHAPE) > 0.5
    voxels[0, 0, 0] = True
    found = read_series(open_runs([bold], [mask], [table]), voxels)
    whole = data[voxels].T[np.array(kept, bool)].astype(np.float64)
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num((whole - whole.mean(0)) / whole.std(0))
    assert np.abs(found.z - expected).max() < 1e-5
    assert found.has_signal.tolist() == (whole.std(0) > 0).tolist()
    assert not found.has_signal[0]


def test_runs_are_standardised_each_and_joined(tmp_path: Path) -> None:
    first = write_run(tmp_path, "a", kept=[1] * 20, seed=1)
    second = write_run(tmp_path, "b", kept=[0] + [1] * 29, seed=2)
    runs = open_runs(*([one, two] for one, two in zip(first[:3], second[:3], strict=True)))
    z = read_series(runs, common_mask(runs)).z
    assert z.shape == (49, np.prod(SHAPE))
    for part in (z[:20, 1:], z[20:, 1:]):
        assert np.abs(part.mean(0)).max() < 1e-5
        assert np.abs(part.std(0) - 1).max() < 1e-5


def test_volumes_that_are_not_kept_have_no_influence(tmp_path: Path) -> None:
    bold, mask, table, data = write_run(tmp_path, "a", kept=[1] * 10 + [0] * 5 + [1] * 10, suffix=".nii")
    runs = [Run(bold, mask, open_runs([bold], [mask], [table])[0].kept)]
    before = read_series(runs, np.ones(SHAPE, bool)).z
    data[..., 10:15] = np.nan
    save_nifti(bold, data, np.diag([3.0, 3, 3, 1]), xform_code=1)
    assert np.array_equal(before, read_series(runs, np.ones(SHAPE, bool)).z)


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    bold, mask, table, _ = write_run(tmp_path, "a", kept=[1] * 20)
    moved = write_run(tmp_path, "b", kept=[1] * 20, shift=0.5)
    short = write_run(tmp_path, "c", kept=[1] * 19)
    with pytest.raises(InputError, match="same number"):
        open_runs([bold, bold], [mask], [table])
    with pytest.raises(InputError, match="4D with 19"):
        open_runs([bold], [mask], [short[2]])
    with pytest.raises(InputError, match="lies elsewhere"):
        open_runs([bold, moved[0]], [mask, moved[1]], [table, moved[2]])
    with pytest.raises(InputError, match="not one volume"):
        open_runs(*([item] for item in write_run(tmp_path, "d", kept=[0] * 20)[:3]))
    with pytest.raises(InputError, match="holds 'yes'"):
        open_runs(*([item] for item in write_run(tmp_path, "e", kept=["yes"] * 20)[:3]))


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    bold, mask, table, _ = write_run(tmp_path, "a", kept=[1] * 40)
    bold.write_bytes(bold.read_bytes()[:-4000])
    with pytest.raises(InputError, match=r"a_bold\.nii\.gz"):
        read_series(open_runs([bold], [mask], [table]), np.ones(SHAPE, bool))
