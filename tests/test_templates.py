"""The shipped templates and the transform between their spaces, checked against ANTs and against themselves."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from tmsprep import templates
from tmsprep.errors import ConfigurationError
from tmsprep.spaces import Grid, Transform, apply_affine, lps_from_ras, ras_from_lps, resample

FOLDER = Path(templates.__file__).parent / "data" / "templates"


def data_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = nib.load(path)
    return np.asarray(image.dataobj), image.affine


def brain_points(space: str, step: int = 4) -> np.ndarray:
    mask, affine = data_of(templates.load(space).brain_mask)
    return apply_affine(affine, np.argwhere(mask > 0)[::step])


@pytest.mark.parametrize(
    ("space", "shape", "origin"),
    [
        ("MNI152NLin2009cAsym", (97, 115, 97), (-96.5, -132.5, -78.5)),
        ("MNI152NLin6Asym", (91, 109, 91), (-90.0, -126.0, -72.0)),
    ],
)
def test_grids_are_templateflows_res_02(space, shape, origin):
    for path in (templates.load(space).head, templates.load(space).brain_mask):
        image = nib.load(path)
        assert image.shape == shape
        np.testing.assert_allclose(
            image.affine, [[2, 0, 0, origin[0]], [0, 2, 0, origin[1]], [0, 0, 2, origin[2]], [0, 0, 0, 1]]
        )
        np.testing.assert_allclose(image.get_qform(), image.affine)
        assert int(image.header["sform_code"]) == 4


@pytest.mark.parametrize("space", templates.SPACES)
def test_head_is_whole_and_brain_mask_plausible(space):
    head, affine = data_of(templates.load(space).head)
    mask, _ = data_of(templates.load(space).brain_mask)
    assert set(np.unique(mask)) == {0, 1}
    assert 1.7 < mask.sum() * 8e-6 < 2.0  # litres; MNI brains are large
    assert (head[mask == 0] > 50).sum() > 0.5 * mask.sum(), "skull and scalp are there"
    # white matter is brighter than grey: corpus callosum against thalamus, and left is where x is negative
    at = lambda point: head[tuple(np.rint(apply_affine(np.linalg.inv(affine), point)).astype(int))]  # noqa: E731
    assert at((0.0, 26, 6)) > at((-10.0, -20, 8))


def test_left_is_not_flipped():
    """The asymmetry of the heads agrees between the spaces: a template stored x-flipped would not."""
    asymmetry = []
    for space in templates.SPACES:
        head, affine = data_of(templates.load(space).head)
        points = brain_points("MNI152NLin2009cAsym", 2)
        values = [
            resample(head.astype(np.float32), affine, Grid((len(points), 1, 1), np.eye(4)), _Lookup(points * sign), order=1)
            for sign in ([1, 1, 1], [-1, 1, 1])
        ]
        asymmetry.append((values[0] - values[1]).ravel())
    assert np.corrcoef(asymmetry)[0, 1] > 0.3


class _Lookup(Transform):
    """Maps the n-th voxel to the n-th of some points."""

    def __init__(self, points: np.ndarray) -> None:
        super().__init__([])
        self._points = points

    def pull_points(self, points_ras_mm):
        return self._points


@pytest.mark.parametrize(("source", "target"), [templates.SPACES, templates.SPACES[::-1]])
def test_the_other_direction_is_a_true_inverse(source, target):
    points = brain_points(target)
    there = templates.transform(source, target).pull_points(points)
    back = templates.transform(target, source).pull_points(there)
    errors = np.linalg.norm(back - points, axis=1)
    # the worst are at the brain's edge, where two templates with different masks are steepest against each other
    assert np.median(errors) < 0.05
    assert np.percentile(errors, 95) < 0.2
    assert errors.max() < 1.0


@pytest.mark.parametrize(("source", "target"), [templates.SPACES, templates.SPACES[::-1]])
def test_points_agree_with_ants(source, target):
    ants = pytest.importorskip("ants")
    points = brain_points(target, 200) + 0.3
    table = pd.DataFrame(lps_from_ras(points), columns=["x", "y", "z"])
    file = FOLDER / f"from-{source}_to-{target}_mode-image_xfm.h5"
    moved = ants.apply_transforms_to_points(3, table, [str(file)])
    ours = templates.transform(source, target).pull_points(points)
    np.testing.assert_allclose(ours, ras_from_lps(moved[["x", "y", "z"]].to_numpy()), atol=0.005)


def correlation(transform: Transform) -> float:
    fixed, affine = data_of(templates.load("MNI152NLin2009cAsym").head)
    mask, _ = data_of(templates.load("MNI152NLin2009cAsym").brain_mask)
    moving, moving_affine = data_of(templates.load("MNI152NLin6Asym").head)
    moved = resample(moving.astype(np.float32), moving_affine, Grid(fixed.shape, affine), transform, order=1, mask=mask > 0)
    return float(np.corrcoef(fixed[mask > 0], moved[mask > 0])[0, 1])


def test_the_transform_makes_the_templates_alike():
    """Independent of the direction's name: the wrong direction makes them less alike than doing nothing."""
    right = correlation(templates.transform("MNI152NLin6Asym", "MNI152NLin2009cAsym"))
    equated = correlation(Transform.identity())
    wrong = correlation(templates.transform("MNI152NLin2009cAsym", "MNI152NLin6Asym"))
    assert wrong < equated < right
    assert 1 - right < 0.5 * (1 - equated)  # two averages of different people's images are never the same


def test_same_space_is_identity():
    points = brain_points("MNI152NLin6Asym", 500)
    np.testing.assert_array_equal(templates.transform("MNI152NLin6Asym", "MNI152NLin6Asym").pull_points(points), points)


def test_unknown_space_is_refused():
    with pytest.raises(ConfigurationError, match="MNI152NLin2009cAsym or MNI152NLin6Asym"):
        templates.load("MNI152NLin2009aSym")
    with pytest.raises(ConfigurationError, match="talairach"):
        templates.transform("MNI152NLin6Asym", "talairach")


def test_checksums_are_those_of_the_readme():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in sorted(FOLDER.glob("*.nii.gz")) + sorted(FOLDER.glob("*.h5")):
        assert hashlib.sha256(path.read_bytes()).hexdigest()[:16] in readme, path.name
