"""Tissue of a phantom with known tissue, and against ANTs' Atropos."""

from __future__ import annotations

import numpy as np
import pytest
from anatomy_head import dice
from scipy import ndimage

from tmsprep.errors import ProcessingError
from tmsprep.preprocess.builtin.brainmask import tissue_means
from tmsprep.preprocess.builtin.tissue import segment

ZOOMS = np.array([1.5, 1.5, 2.0])


def phantom(shading: float = 0.12, noise: float = 7.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A folded ball: data, mask, and the truth 1 grey, 2 white, 3 fluid (0 outside)."""
    places = (np.moveaxis(np.indices((70, 70, 56)), 0, -1) - (34.5, 34.5, 27.5)) * ZOOMS
    radius = np.linalg.norm(places, axis=-1)
    folded = radius + 4 * np.sin(places[..., 0] / 5) * np.sin(places[..., 1] / 5) * np.sin(places[..., 2] / 5)
    truth = np.select([folded < 31, folded < 40, radius < 46], [2, 1, 3], 0)
    data = np.select([truth == 2, truth == 1, truth == 3], [120.0, 85.0, 40.0], 0.0)
    data = ndimage.gaussian_filter(data, 0.4) * (1 + shading * places[..., 1] / 50)
    data += np.random.default_rng(3).normal(0, noise, data.shape)
    return data.astype(np.float32), truth > 0, truth


@pytest.mark.parametrize("shading", [0.0, 0.12])
def test_known_tissue_is_found_also_under_shading(shading):
    data, mask, truth = phantom(shading)
    found = segment(data, mask, ZOOMS, tissue_means(data[mask]))
    np.testing.assert_allclose((found.grey + found.white + found.fluid)[mask], 1.0, atol=1e-5)
    assert not (found.grey + found.white + found.fluid)[~mask].any()
    for label, volume in ((1, found.grey), (2, found.white), (3, found.fluid)):
        assert dice(volume > 0.5, truth == label) > 0.92
    np.testing.assert_array_equal(np.unique(found.labels()[~mask]), [0])
    assert (found.labels() == truth)[mask].mean() > 0.93


def test_it_agrees_with_atropos():
    ants = pytest.importorskip("ants")
    data, mask, _ = phantom(0.0)
    spacing = [float(zoom) for zoom in ZOOMS]
    other = ants.atropos(
        a=ants.from_numpy(data, spacing=spacing),
        x=ants.from_numpy(mask.astype(np.float32), spacing=spacing),
        i="Kmeans[3]",
        m="[0.1,1x1x1]",
        c="[5,0]",
    )["probabilityimages"]
    found = segment(data, mask, ZOOMS, tissue_means(data[mask]))
    for ours, theirs in zip((found.fluid, found.grey, found.white), other, strict=True):
        assert dice(ours > 0.5, theirs.numpy() > 0.5) > 0.93


def test_implausible_shares_are_refused():
    data, mask, truth = phantom(0.0)
    only_white = np.where(truth == 1, 120.0, data).astype(np.float32)
    only_white[::9, ::9, ::9] = 85.0
    with pytest.raises(ProcessingError, match="as in the T1w of an adult"):
        segment(only_white, mask, ZOOMS, (40.0, 85.0, 120.0))
