"""Search masks against the published images and their definition."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep import templates
from tmsprep.errors import ConfigurationError
from tmsprep.spaces import Grid
from tmsprep.target import masks


def test_names_and_unknown_name() -> None:
    assert masks.names() == ["dlpfc-spheres", "dlpfc-spheres-dilated"]
    with pytest.raises(ConfigurationError, match="dlpfc-spheres"):
        masks.load_search_mask("dlpfc")


@pytest.mark.parametrize("name", masks.names())
def test_left_hemisphere_only(name: str) -> None:
    mask = masks.load_search_mask(name)
    points = np.random.default_rng(0).uniform(-100, 100, (200_000, 3))
    inside = mask.contains(points)
    assert inside.any()
    assert points[inside, 0].max() < 0


def test_edge_distance_is_a_lower_bound_of_the_true_distance() -> None:
    mask = masks.load_search_mask("dlpfc-spheres")
    rng = np.random.default_rng(1)
    points = rng.uniform((-65, -5, 10), (-15, 60, 75), (300, 3))
    points = points[mask.contains(points)]
    distance = mask.edge_distance(points)
    directions = rng.normal(size=(400, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for point, free in zip(points, distance, strict=True):
        assert mask.contains(point + directions * (free - 1e-6)).all()


def test_dilated_mask_holds_the_plain_one() -> None:
    points = np.random.default_rng(0).uniform((-80, -20, -10), (0, 80, 90), (50_000, 3))
    plain, dilated = (masks.load_search_mask(name).contains(points) for name in masks.names())
    assert (dilated[plain]).all()
    assert dilated.sum() > 1.5 * plain.sum()


@pytest.mark.shared
def test_the_published_image_is_this_mask_inside_the_brain(shared_data: Path) -> None:
    """Union of spheres within the brain against the published file; 10,458 voxels before, 5,255 after brain masking."""
    image = nib.load(shared_data / "circuits" / "DLPFCspheresmasked_space-MNI152NLin6Asym_res-02.nii.gz")
    published = np.asarray(image.dataobj) > 0
    grid = Grid.of(image)
    own = masks.load_search_mask("dlpfc-spheres").contains(grid.points_ras_mm()).reshape(grid.shape)
    assert own.sum() == 10458
    assert not (published & ~own).any()
    brain = nib.load(templates.load("MNI152NLin6Asym").brain_mask)
    assert np.allclose(brain.affine, image.affine)
    own &= np.asarray(brain.dataobj) > 0
    # all that is left is the rim of another brain mask: 409 of 5,664 voxels
    assert (published & ~own).sum() <= 2
    assert 2 * (own & published).sum() / (own.sum() + published.sum()) > 0.95
