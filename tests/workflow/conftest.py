"""Whole runs on the tiny dataset: made once, looked at by many tests."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.data.cases import CANARY, TOUCH
from tests.whole import Finished, finished


@pytest.fixture(scope="session")
def tiny(whole: Finished) -> Path:
    """A dataset with one participant, three echoes and a known target."""
    return whole.bids_dir


@pytest.fixture(scope="session")
def broken(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The tiny dataset with broken participants beside the good one, on two cores; in folders that a shell would run."""
    bids_dir = tmp_path_factory.mktemp("broken") / f"bids {TOUCH}; 'x'"
    shutil.copytree(tiny, bids_dir)
    for label, damage in DAMAGES.items():
        damage(copy_participant(bids_dir, "01", label))
    output_dir = tmp_path_factory.mktemp("broken_out") / f"out {TOUCH}"
    run = finished(bids_dir, output_dir, "--nprocs", 2, "--skip-bids-validation")
    assert [path for folder in (Path.cwd(), output_dir) for path in folder.rglob("*") if path.name == CANARY] == []
    return run


def copy_participant(bids_dir: Path, old: str, new: str) -> Path:
    """Copy a participant under another label."""
    source, target = bids_dir / f"sub-{old}", bids_dir / f"sub-{new}"
    for path in source.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(source).parent / path.name.replace(f"sub-{old}", f"sub-{new}")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    return target


def truncate(folder: Path) -> None:
    """Cut a compressed image in the middle."""
    path = next(folder.glob("func/*echo-2*_bold.nii.gz"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def drop_echo_time(folder: Path) -> None:
    for path in folder.glob("func/*echo-2*_bold.json"):
        content = json.loads(path.read_text())
        content.pop("EchoTime", None)
        path.write_text(json.dumps(content))


def shorten_echo(folder: Path) -> None:
    """Take ten volumes off one echo."""
    path = next(folder.glob("func/*echo-3*_bold.nii.gz"))
    image = nib.load(path)
    nib.save(image.slicer[..., :-10], path)


def strip_skull(folder: Path) -> None:
    """Leave an ellipsoid of brain size and set the rest to zero."""
    path = next(folder.glob("anat/*_T1w.nii.gz"))
    image = nib.load(path)
    data = np.asanyarray(image.dataobj)
    bright = np.argwhere(data > np.percentile(data, 80))
    middle = nib.affines.apply_affine(image.affine, bright).mean(axis=0) + np.array([0, 0, 30])
    points = nib.affines.apply_affine(image.affine, np.argwhere(np.ones(data.shape[:3], dtype=bool)))
    inside = (((points - middle) / [65, 80, 60]) ** 2).sum(axis=1) < 1
    kept = np.where(inside.reshape(data.shape[:3]), data, 0).astype(data.dtype)
    nib.save(nib.Nifti1Image(kept, image.affine, image.header), path)


def garbage(folder: Path) -> None:
    """Compressed text instead of an image."""
    path = next(folder.glob("anat/*_T1w.nii.gz"))
    with gzip.open(path, "wb") as stream:
        stream.write(b"not an image")


def name_for_a_shell(folder: Path) -> None:
    """Give an image a name that a shell would run."""
    path = next(folder.glob("func/*echo-2*_bold.nii.gz"))
    path.rename(path.with_name(path.name.replace("task-rest", f"task-rest{TOUCH}")))


def nowhere(folder: Path) -> None:
    """Write NaN into the affine."""
    path = next(folder.glob("anat/*_T1w.nii.gz"))
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[280:284] = struct.pack("<f", np.nan)  # srow_x[0]
    path.write_bytes(gzip.compress(bytes(content)))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cut": truncate,
    "noTE": drop_echo_time,
    "short": shorten_echo,
    "stripped": strip_skull,
    "garbage": garbage,
    "shell": name_for_a_shell,
    "nowhere": nowhere,
}
