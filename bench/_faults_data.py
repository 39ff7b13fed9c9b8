"""The tests' participant as fMRIPrep would leave it, written from the truth of its simulation: no wait for an engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tmsprep.files import load_nifti, read_data, save_nifti, write_json
from tmsprep.itk_composite import write_steps
from tmsprep.preprocess.contract import BOLD, Anatomy, Functional, path
from tmsprep.spaces import AffineStep, Grid, Transform, load_itk_affines, resample

LABEL, RUN = "sub-01", "sub-01_task-rest"
_DESCRIPTION = {
    "Name": "fMRIPrep",
    "BIDSVersion": "1.10.0",
    "DatasetType": "derivative",
    "GeneratedBy": [{"Name": "fMRIPrep", "Version": "25.2.7"}],
}
_TRUTH_XFM = f"{RUN}_from-boldref_to-T1w_mode-image_desc-truth_xfm.txt"


def preprocessed(bids: Path, anatomy: Path, folder: Path) -> Path:
    """Write fMRIPrep's outputs of the participant, unless they are there, and return their folder.

    The scans are taken as they are: the little head movement of the run stays in them.

    Parameters
    ----------
    bids
        The dataset with its truth.
    anatomy
        What the participant was simulated from: ``t1w``, ``gm``, ``wm`` and ``csf`` on one grid, ``to_mni.txt``.
    folder
        Where to write.
    """
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}-unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        for name in ("anat", "func"):
            (unfinished / LABEL / name).mkdir(parents=True)
        _anatomy(anatomy, unfinished)
        _functional(bids, unfinished)
        write_json(unfinished / "dataset_description.json", _DESCRIPTION)
        unfinished.rename(folder)
    return folder


def _anatomy(source: Path, folder: Path) -> None:
    names = {item: Path(path(folder, LABEL, item).format(anat=LABEL)) for item in Anatomy}
    shutil.copyfile(source / "t1w.nii.gz", names[Anatomy.T1W])
    tissues = {Anatomy.CSF: "csf", Anatomy.GM: "gm", Anatomy.WM: "wm"}
    for item, name in tissues.items():
        shutil.copyfile(source / f"{name}.nii.gz", names[item])
    maps = np.stack([read_data(load_nifti(names[item])) for item in tissues])
    affine = Grid.of(load_nifti(names[Anatomy.T1W])).affine_ras_mm
    brain = maps.sum(axis=0) > 0.5
    save_nifti(names[Anatomy.BRAIN_MASK], brain.astype(np.uint8), affine, xform_code=1)
    # fMRIPrep's labels: 1 is grey matter, 2 white matter, 3 fluid
    labels = np.where(brain, np.array([3, 1, 2])[maps.argmax(axis=0)], 0)
    save_nifti(names[Anatomy.DSEG], labels.astype(np.uint8), affine, xform_code=1)
    (t1w_from_mni,) = load_itk_affines(source / "to_mni.txt")
    write_steps(names[Anatomy.T1W_TO_MNI], [AffineStep(t1w_from_mni)])
    write_steps(names[Anatomy.MNI_TO_T1W], [AffineStep(np.asarray(np.linalg.inv(t1w_from_mni), dtype=np.float64))])


def _functional(bids: Path, folder: Path) -> None:
    truth, scans = bids / "derivatives" / "truth" / LABEL / "func", bids / LABEL / "func"
    names = {item: Path(path(folder, LABEL, item).format(run=RUN)) for item in Functional}
    for echo in sorted(scans.glob(f"{RUN}_echo-*_bold.nii.gz")):
        stem = echo.name.removesuffix("_bold.nii.gz")
        copy = Path(path(folder, LABEL, BOLD).format(bold=stem))
        shutil.copyfile(echo, copy)
        shutil.copyfile(scans / f"{stem}_bold.json", copy.with_name(copy.name.replace(".nii.gz", ".json")))
    first = load_nifti(scans / f"{RUN}_echo-1_bold.nii.gz")
    grid = Grid.of(first)
    save_nifti(names[Functional.BOLDREF], read_data(first).mean(axis=3), grid.affine_ras_mm, xform_code=1)
    shutil.copyfile(truth / _TRUTH_XFM, names[Functional.BOLDREF_TO_T1W])
    shutil.copyfile(truth / f"{RUN}_desc-truth_motion.tsv", names[Functional.CONFOUNDS])
    brain = load_nifti(Path(path(folder, LABEL, Anatomy.BRAIN_MASK).format(anat=LABEL)))
    (run_from_t1w,) = load_itk_affines(truth / _TRUTH_XFM)
    t1w_to_run = Transform.from_matrix(np.linalg.inv(run_from_t1w))
    there = resample(read_data(brain), Grid.of(brain).affine_ras_mm, grid, t1w_to_run, order=1) > 0.5
    save_nifti(names[Functional.BRAIN_MASK], there.astype(np.uint8), grid.affine_ras_mm, xform_code=1)
