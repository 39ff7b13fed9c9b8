"""Files are complete or absent, and the same for the same content."""

from __future__ import annotations

import os
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from tmsprep.errors import InputError
from tmsprep.files import atomic, load_nifti, read_data, read_json, read_tsv, save_nifti, write_json, write_tsv


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as twin:
        twin.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]  # noqa: PTH208


def test_published_files_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic(tmp_path / "a.txt") as twin:
            twin.write_text("x")
            twin.chmod(0o600)
    finally:
        os.umask(old)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_images_are_the_same_bytes_at_any_time(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(6, 7, 8))
    save_nifti(tmp_path / "a.nii.gz", data, np.diag([2.0, 2, 2, 1]), xform_code=1)
    time.sleep(1.1)  # gzip stamps whole seconds
    save_nifti(tmp_path / "b.nii.gz", data, np.diag([2.0, 2, 2, 1]), xform_code=1)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_qform_and_sform_agree_or_qform_is_absent(tmp_path: Path) -> None:
    right = nib.affines.from_matvec([[0, -2.0, 0], [2, 0, 0], [0, 0, 3]], [1, 2, 3])
    save_nifti(tmp_path / "a.nii.gz", np.zeros((3, 3, 3)), right, xform_code=1)
    image = nib.load(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(image.get_qform(), right, atol=1e-5)
    assert (image.header["qform_code"], image.header["sform_code"]) == (1, 1)
    sheared = right.copy()
    sheared[0, 2] = 0.8
    save_nifti(tmp_path / "b.nii.gz", np.zeros((3, 3, 3)), sheared, xform_code=1)
    image = nib.load(tmp_path / "b.nii.gz")
    np.testing.assert_allclose(image.affine, sheared, atol=1e-5)
    assert image.header["qform_code"] == 0


def test_a_cut_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.nii.gz"
    save_nifti(path, np.random.default_rng(0).normal(size=(20, 20, 20)), np.eye(4), xform_code=1)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(InputError, match=r"cut\.nii\.gz.*damaged"):
        read_data(load_nifti(path))
    with pytest.raises(InputError, match="not there"):
        load_nifti(tmp_path / "none.nii.gz")


def test_tables_say_na_and_keep_short_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    write_tsv(path, pd.DataFrame({"name": ["x", None], "value": [0.1 + 0.2, np.nan], "zero": [-0.0, 1.0]}))
    assert path.read_text() == "name\tvalue\tzero\nx\t0.3\t0\nn/a\tn/a\t1\n"
    with pytest.raises(InputError, match="missing column"):
        read_tsv(path, required=["name", "other"])


def test_json_refuses_what_json_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Out of range|not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    (tmp_path / "b.json").write_text("[1]")
    with pytest.raises(InputError, match="object"):
        read_json(tmp_path / "b.json")
