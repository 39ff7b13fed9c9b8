"""Files are complete or absent, and the same for the same content."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from tmsprep.errors import InputError
from tmsprep.files import (
    atomic,
    disk_trouble,
    load_nifti,
    own_temporary_folder,
    read_data,
    read_json,
    read_tsv,
    remove_all_leftovers,
    remove_leftovers,
    save_nifti,
    write_json,
    write_tsv,
)


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


# What killed processes leave


def test_twins_of_killed_processes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = ["a.txt", ".tmp-7-b-a.txt", ".tmp-7-a.txt.gz", ".tmp-a.txt"]
    for name in [*kept, ".tmp-1-a.txt", ".tmp-4194304-a.txt"]:
        (tmp_path / name).write_text("x")
    (tmp_path / ".tmp-7-a.txt-k2j_9x").mkdir()
    (tmp_path / ".tmp-7-a.txt-k2j_9x" / "half").write_text("x")
    remove_leftovers([tmp_path / "a.txt", tmp_path / "absent" / "a.txt"])
    assert {path.name for path in tmp_path.iterdir()} == set(kept)


def test_all_temporary_files_of_a_folder_are_removed(tmp_path: Path) -> None:
    (tmp_path / "prov" / "runs").mkdir(parents=True)
    (tmp_path / "prov" / ".tmp-x" / "y").mkdir(parents=True)
    for name in (".tmp-1-a", "b", "prov/.tmp-1-c", "prov/runs/.tmp-2-d", "prov/runs/e", "prov/.tmp-x/f"):
        (tmp_path / name).write_text("x")
    remove_all_leftovers(tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"b", "prov/runs/e"}


def test_temporary_folders_of_killed_processes_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in ("tmsprep-stage-dead", "tmsprep-stage-alive", ".tmsprep-new-stage-begun", "others"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".lock").touch()
    for name in ("tmsprep-stage-torn", ".tmsprep-new-stage-bare"):
        (tmp_path / name).mkdir()
    with (tmp_path / "tmsprep-stage-alive" / ".lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with own_temporary_folder() as folder:
            assert Path(tempfile.mkdtemp()).parent == folder == Path(os.environ["TMPDIR"])
            with own_temporary_folder():
                assert folder.exists()
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"tmsprep-stage-alive", "others"}


def _use_a_temporary_folder(rounds: int) -> str:
    for _ in range(rounds):
        with own_temporary_folder() as folder:
            (folder / "file").write_text(str(os.getpid()), encoding="utf-8")
            time.sleep(0.001)
            if (folder / "file").read_text(encoding="utf-8") != str(os.getpid()):
                return "another process's file"
    return ""


def test_processes_that_begin_together_remove_no_folder_of_a_living_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with ProcessPoolExecutor(8, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(_use_a_temporary_folder, [150] * 8)) == [""] * 8
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EFBIG, "ulimit"),
    ],
)
def test_trouble_with_the_disk_is_told_by_the_final_name(tmp_path: Path, number: int, words: str) -> None:
    error = OSError(number, os.strerror(number), str(tmp_path / ".tmp-12-a.nii.gz"))
    wrapped = InputError("no readable image")
    wrapped.__cause__ = error
    for found in (disk_trouble(error), disk_trouble(wrapped)):
        assert found is not None
        assert words in str(found)
        assert str(tmp_path / "a.nii.gz") in str(found)
        assert "run the same command again" in str(found)


def test_other_errors_are_no_trouble_with_the_disk(tmp_path: Path) -> None:
    assert disk_trouble(ValueError("x"), [tmp_path]) is None
    assert disk_trouble(FileNotFoundError(errno.ENOENT, "x"), [tmp_path]) is None


def test_a_full_disk_is_seen_where_a_library_does_not_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tmsprep.files._FULL_BYTES", 1 << 80)
    found = disk_trouble(RuntimeError("could not write"), [tmp_path / "not" / "yet"])
    assert "no space left" in str(found)
