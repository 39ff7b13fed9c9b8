"""Stages ``anatomy`` and ``normalise`` on a head whose brain mask and place in the template are known.

Both run once, on the tilted head stored as LAS; everything else is asked of what they wrote.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from anatomy_head import MovedHead, dice, moved_head

from tmsprep import templates
from tmsprep.errors import InputError, ProcessingError
from tmsprep.files import load_nifti, read_data, save_nifti
from tmsprep.preprocess.builtin import normalise as normalise_module
from tmsprep.preprocess.builtin.anatomy import prepare_anatomy
from tmsprep.preprocess.builtin.normalise import normalise_to_template
from tmsprep.spaces import Grid, Transform, apply_affine, is_sheared, lps_from_ras, ras_from_lps, resample

ANATOMY = {
    "out_t1w": "desc-preproc_T1w.nii.gz",
    "out_brain_mask": "desc-brain_mask.nii.gz",
    "out_gm": "label-GM_probseg.nii.gz",
    "out_wm": "label-WM_probseg.nii.gz",
    "out_csf": "label-CSF_probseg.nii.gz",
    "out_dseg": "dseg.nii.gz",
}
NORMALISE = {
    "out_t1w_to_mni": "from-T1w_to-MNI152NLin2009cAsym_mode-image_xfm.h5",
    "out_mni_to_t1w": "from-MNI152NLin2009cAsym_to-T1w_mode-image_xfm.h5",
    "out_mni_t1w": "space-MNI152NLin2009cAsym_res-2_desc-preproc_T1w.nii.gz",
}


@dataclass(frozen=True)
class Results:
    """What the stages wrote, and the truth."""

    head: MovedHead
    folder: Path
    t1w: Path

    def path(self, key: str) -> Path:
        return self.folder / (ANATOMY | NORMALISE)[key]

    def data(self, key: str) -> np.ndarray:
        return read_data(load_nifti(self.path(key)))

    def transform(self, key: str) -> Transform:
        return Transform.load(self.path(key))


def outputs(names: dict[str, str], folder: Path) -> dict[str, Path]:
    return {key: folder / name for key, name in names.items()}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    folder = tmp_path_factory.mktemp("anatomy")
    head = moved_head((12, -7, 9), (25, -40, 30))
    t1w = head.save(folder / "sub-01_T1w.nii.gz", "LAS")
    stage("anatomy", {"t1w": t1w, **outputs(ANATOMY, folder)})
    normalise(folder, folder)
    return Results(head, folder, t1w)


def stage(name: str, arguments: dict[str, Path]) -> None:
    """Run a stage as the workflow does: a process of its own, in which ITK has one thread from the start."""
    words = [word for key, path in arguments.items() for word in ("--" + key.replace("_", "-"), str(path))]
    command = [sys.executable, "-m", "tmsprep", "stage", name, *words]
    subprocess.run(command, check=True, capture_output=True, timeout=900)


def normalise(source: Path, target: Path) -> None:
    inputs = {"t1w": source / ANATOMY["out_t1w"], "brain_mask": source / ANATOMY["out_brain_mask"]}
    stage("normalise", {**inputs, **outputs(NORMALISE, target)})


def test_the_grid_is_the_inputs_own_in_another_order(results):
    before, after = load_nifti(results.t1w), load_nifti(results.path("out_t1w"))
    assert nib.aff2axcodes(after.affine) == ("R", "A", "S")
    canonical = nib.as_closest_canonical(before)
    np.testing.assert_allclose(after.affine, canonical.affine, atol=1e-5)
    assert after.shape == canonical.shape
    correlation = np.corrcoef(read_data(after).ravel(), np.asarray(canonical.dataobj).ravel())[0, 1]
    assert correlation > 0.95  # only the bias field and the scale differ
    for key in ANATOMY:
        image = load_nifti(results.path(key))
        assert image.shape == after.shape
        np.testing.assert_allclose(image.affine, after.affine)
        np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-4)


def test_the_brain_mask_is_the_templates_own(results):
    assert dice(results.data("out_brain_mask") > 0.5, results.head.mask) > 0.95


def test_tissues_add_to_one_in_the_mask(results):
    mask = results.data("out_brain_mask") > 0.5
    parts = np.stack([results.data(key) for key in ("out_gm", "out_wm", "out_csf")])
    assert parts.min() >= 0.0
    np.testing.assert_array_equal(parts.sum(axis=0), mask.astype(np.float32))
    labels = results.data("out_dseg")
    np.testing.assert_array_equal(labels > 0, mask)
    assert (labels[mask] == parts[:, mask].argmax(axis=0) + 1).mean() > 0.999  # 1 GM, 2 WM, 3 CSF; ties apart
    t1w = results.data("out_t1w")
    white, grey, fluid = (t1w[labels == label].mean() for label in (2, 1, 3))
    assert white > grey > fluid


def test_points_go_where_the_templates_transform_puts_them(results):
    """The head is MNI152NLin6Asym, moved: the way to 2009cAsym is known from elsewhere."""
    points = results.head.brain_ras_mm(101)
    truth = templates.transform(templates.NLIN2009C, templates.NLIN6).pull_points(
        apply_affine(np.linalg.inv(results.head.motion), points)
    )
    found = results.transform("out_mni_to_t1w").pull_points(points)
    errors = np.linalg.norm(found - truth, axis=1)
    assert np.median(errors) < 1.0
    assert np.percentile(errors, 95) < 2.5


def test_the_inverse_is_one(results):
    points = results.head.brain_ras_mm(101)
    there = results.transform("out_mni_to_t1w").pull_points(points)
    back = results.transform("out_t1w_to_mni").pull_points(there)
    errors = np.linalg.norm(back - points, axis=1)
    assert np.percentile(errors, 99) < 0.2


@pytest.mark.parametrize("key", ["out_t1w_to_mni", "out_mni_to_t1w"])
def test_ants_reads_the_same_transform(results, key):
    ants = pytest.importorskip("ants")
    mni = apply_affine(
        load_nifti(templates.load(templates.NLIN2009C).brain_mask).affine, np.argwhere(np.ones((97, 115, 97)))
    )
    points = mni[::9973] + 0.4 if key == "out_t1w_to_mni" else results.head.brain_ras_mm(997)
    table = pd.DataFrame(lps_from_ras(points), columns=["x", "y", "z"])
    theirs = ants.apply_transforms_to_points(3, table, [str(results.path(key))])[["x", "y", "z"]].to_numpy()
    np.testing.assert_allclose(results.transform(key).pull_points(points), ras_from_lps(theirs), atol=0.3)


def test_the_image_in_mni_is_what_the_transform_says(results):
    """Resampled by ANTs in the stage, by `spaces` here."""
    image = load_nifti(results.path("out_mni_t1w"))
    template = load_nifti(templates.load(templates.NLIN2009C).head)
    np.testing.assert_allclose(image.affine, template.affine)
    t1w = load_nifti(results.path("out_t1w"))
    ours = resample(read_data(t1w), t1w.affine, Grid.of(image), results.transform("out_t1w_to_mni"), order=1)
    brain = read_data(load_nifti(templates.load(templates.NLIN2009C).brain_mask)) > 0.5
    # the head ends just below its brain, and at a field of view's rim the two differ in what they call outside
    inside = resample(np.ones(t1w.shape), t1w.affine, Grid.of(image), results.transform("out_t1w_to_mni"), order=1)
    brain &= inside == 1
    np.testing.assert_allclose(ours[brain], read_data(image)[brain], atol=0.1 * read_data(image)[brain].std())
    assert np.corrcoef(read_data(image)[brain], read_data(template)[brain])[0, 1] > 0.9


def test_the_affine_alone_carries_points_of_the_scalp(results):
    """Far outside the brain the whole transform is the affine; that one keeps face and neck in place."""
    scalp_mni = np.array([[0.0, 84, -43], [-79, -20, -48], [81, -20, -48], [0, -116, -30], [0, -10, 97]])
    whole = results.transform("out_t1w_to_mni")
    affine = whole.affine_part()
    np.testing.assert_allclose(whole.pull_points(scalp_mni), apply_affine(affine, scalp_mni), atol=1.5)
    unmoved = templates.transform(templates.NLIN6, templates.NLIN2009C).pull_points(scalp_mni)
    truth = apply_affine(results.head.motion, unmoved)
    assert np.linalg.norm(apply_affine(affine, scalp_mni) - truth, axis=1).max() < 8.0


def test_files_are_small(results):
    assert all(results.path(key).stat().st_size < 15e6 for key in ANATOMY | NORMALISE)


@pytest.mark.slow
def test_twice_the_same_bytes(results, tmp_path):
    """Normalisation again: the transforms and the image are the same bytes."""
    normalise(results.folder, tmp_path)
    for key, path in outputs(NORMALISE, tmp_path).items():
        assert path.read_bytes() == results.path(key).read_bytes(), key


def test_a_mask_of_another_grid_is_refused(results, tmp_path):
    affine = load_nifti(results.path("out_t1w")).affine.copy()
    affine[0, 3] += 5
    save_nifti(tmp_path / "mask.nii.gz", results.data("out_brain_mask") > 0.5, affine, xform_code=1)
    with pytest.raises(InputError, match="another grid"):
        normalise_to_template(
            t1w=results.path("out_t1w"), brain_mask=tmp_path / "mask.nii.gz", **outputs(NORMALISE, tmp_path)
        )


def test_a_registration_that_does_not_meet_is_refused(results):
    """The gate itself: a brain shifted by 15 mm must not pass."""
    template = templates.load(templates.NLIN2009C)
    reference, brain = (read_data(load_nifti(path)) for path in (template.head, template.brain_mask))
    shifted = np.roll(reference, 8, axis=1)
    with pytest.raises(ProcessingError, match="does not meet the template"):
        normalise_module.measure_quality(shifted, np.roll(brain, 8, axis=1) > 0.5, reference, brain > 0.5)
    assert normalise_module.measure_quality(reference, brain > 0.5, reference, brain > 0.5)["BrainMaskDice"] == 1.0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((20, 20, 20), np.float32), "constant"),
        (np.full((20, 20, 20), np.nan, np.float32), "no numbers"),
        (np.random.default_rng(0).random((20, 20, 20, 3)).astype(np.float32), "dimensions"),
    ],
)
def test_unusable_images_are_refused(tmp_path, data, message):
    path = tmp_path / "T1w.nii.gz"
    save_nifti(path, data, np.diag([2.0, 2, 2, 1]), xform_code=1)
    with pytest.raises(InputError, match=message):
        prepare_anatomy(t1w=path, **outputs(ANATOMY, tmp_path))


def test_a_sheared_image_becomes_right_angled_and_stays_in_place():
    """Every bright point is found again at the same place in the world."""
    from tmsprep.preprocess.builtin.anatomy import right_angled
    from tmsprep.preprocess.builtin.head import Head

    shear = np.array([[1.0, 0.08, 0, -30], [0, 1.2, 0.05, 10], [0.03, 0, 1.5, -20], [0, 0, 0, 1]])
    assert is_sheared(shear)
    places = np.moveaxis(np.indices((50, 44, 36)), 0, -1)
    data = np.zeros(places.shape[:3], dtype=np.float32)
    blobs = np.array([[15.0, 12, 10], [35, 30, 25], [20, 33, 14]])
    for blob in blobs:
        data += np.exp(-((places - blob) ** 2).sum(axis=-1) / 8).astype(np.float32)
    result = right_angled(Head(data, shear))
    assert not is_sheared(result.affine_ras_mm)
    for blob in apply_affine(shear, blobs):
        voxels = np.moveaxis(np.indices(result.data.shape), 0, -1)
        near = np.linalg.norm(apply_affine(result.affine_ras_mm, voxels) - blob, axis=-1) < 6
        weights = np.where(near, result.data, 0)
        centre = (apply_affine(result.affine_ras_mm, voxels) * weights[..., None]).sum(axis=(0, 1, 2)) / weights.sum()
        np.testing.assert_allclose(centre, blob, atol=0.15)
