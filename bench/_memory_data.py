"""The scans whose processing is watched: a long three-echo run of a simulated participant, and its beginning."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from tmsprep.files import load_nifti, save_nifti
from tmsprep.simulate.anatomy import AnatomyFiles
from tmsprep.simulate.participant import Conditions
from tmsprep.simulate.protocol import Protocol
from tmsprep.simulate.study import Request, simulate

ROOT = Path(__file__).resolve().parent.parent
MINUTES = (41.0, 10.0)
FIELD_MAPS = ("phasediff", "epi")
PROTOCOL = Protocol(
    repetition_time_s=2.5,
    echo_times_s=(0.0132, 0.0305, 0.0478),
    voxel_mm=3.0,
    minutes=MINUTES[0],
    matrix=(64, 64),
    slices=46,
    tsnr=80.0,
    quantum=0.1,
    readout_time_s=0.028,
)


def scan(folder: Path, minutes: float) -> Path:
    """Write the participant, a T1w of 1 mm and 256 voxels along each axis, unless it is there; return the dataset."""
    bids = folder / f"bids-{minutes:g}min"
    if not (bids / "derivatives" / "truth").exists():
        if minutes == MINUTES[0]:
            _simulate(bids)
        else:
            _shorten(scan(folder, MINUTES[0]), bids, minutes)
    return bids


def mapped(folder: Path, kind: str) -> Path:
    """Write a minute of the run, distorted and with a field map of a kind, unless it is there; return the dataset."""
    bids = folder / f"bids-{kind}"
    if not (bids / "derivatives" / "truth").exists():
        _simulate(bids, minutes=1.0, field_map=kind)
    return bids


def tiny(folder: Path) -> Path:
    """Write the tests' dataset, unless it is there, and return it."""
    sys.path.insert(0, str(ROOT))
    from tests.tiny import make_tiny

    bids = folder / "bids-tiny"
    return bids if (bids / "derivatives" / "truth").exists() else make_tiny(bids)


def _simulate(bids: Path, *, minutes: float = MINUTES[0], field_map: str = "none") -> None:
    sys.path.insert(0, str(ROOT))
    from tests.tiny import HEAD, anatomy_files

    rough = anatomy_files(bids.parent / f"{bids.name}-anatomy")
    files = AnatomyFiles(HEAD, rough.gm, rough.wm, rough.csf, rough.t1w_to_mni)
    request = Request(
        out=bids,
        label="01",
        site="siteA",
        sessions=(None,),
        task="rest",
        protocol=replace(PROTOCOL, minutes=minutes),
        circuit="example",
        search_mask="dlpfc-spheres",
        conditions=Conditions(mean_fd_mm=0.12, distorted=field_map != "none", non_steady_volumes=0, surround_mm=None),
        field_map=field_map,
        fiducials=None,
        seed=42,
        fine_mm=3.0,
    )
    simulate(request, files)


def _shorten(long: Path, bids: Path, minutes: float) -> None:
    """Copy a dataset with only the beginning of its run."""
    volumes = round(minutes * 60 / PROTOCOL.repetition_time_s)
    shutil.copytree(long, bids, ignore=shutil.ignore_patterns("*_bold.nii.gz"))
    for path in long.rglob("*_bold.nii.gz"):
        image = load_nifti(path)
        stream = nib.Nifti1Image.from_filename(path, keep_file_open=True)
        data = np.asarray(stream.dataobj[..., :volumes], dtype=np.int16)
        affine = np.asarray(image.affine, dtype=np.float64)
        repetition_s = PROTOCOL.repetition_time_s
        save_nifti(bids / path.relative_to(long), data, affine, xform_code=1, repetition_time_s=repetition_s)
