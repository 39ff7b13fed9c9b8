"""The brain mask of a whole head: the template's mask carried over, then fitted to the participant's own tissue.

The carried-over mask is right to a few millimetres and tends to cut the crowns of gyri. It grows into adjoining tissue of
the brightness of grey and white matter, and loses what hangs on it by a thin bridge (vessels, dura). Reference checks:
``bench/brain_mask.py``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tmsprep.errors import ProcessingError
from tmsprep.itk_composite import write_steps
from tmsprep.preprocess.builtin.affine import register_affine
from tmsprep.preprocess.builtin.head import Array, Head, Mask, Volume
from tmsprep.preprocess.builtin.morphology import bounding_box, closed, distance_mm, filled, largest_piece, opened
from tmsprep.preprocess.builtin.warp import REGISTRATION_MM, carried, register_warp
from tmsprep.spaces import voxel_sizes
from tmsprep.templates import Template

ITERATIONS = (60, 40, 0)
GROWTH_MM = 4.0
BRIDGE_MM = 2.0
SULCUS_MM = 6.0
ABOVE_FLUID, ABOVE_WHITE = 0.35, 0.75
VOLUME_RANGE_L = (0.8, 2.2)
"""Intracranial tissue and cerebrospinal fluid of adults; the mask's volume must lie in it."""


def extract_brain(head: Head, template: Template, *, seed: int) -> Mask:
    """Return the brain mask on the head's grid.

    Parameters
    ----------
    head
        Bias-corrected T1w of a whole adult head.
    template
        Its head and brain mask.
    seed
        Of the registration's random sampling.

    Raises
    ------
    ProcessingError
        The registration failed, or the volume is not that of an adult brain.
    """
    first = carry_over_mask(head, template, seed=seed)
    require_adult_volume(first > 0.5, head)
    box = bounding_box(first > 0.5, voxel_sizes(head.affine_ras_mm), margin_mm=GROWTH_MM + SULCUS_MM + 4.0)
    mask = np.zeros(head.data.shape, dtype=bool)
    mask[box] = fit_to_tissue(head.data[box], first[box] > 0.5, voxel_sizes(head.affine_ras_mm))
    require_adult_volume(mask, head)
    return mask


def require_adult_volume(mask: Mask, head: Head) -> None:
    """Refuse a mask whose volume no adult brain has.

    Raises
    ------
    ProcessingError
        The volume is outside `VOLUME_RANGE_L`.
    """
    litres = float(mask.sum() * np.abs(np.linalg.det(head.affine_ras_mm[:3, :3])) * 1e-6)
    low, high = VOLUME_RANGE_L
    if not low < litres < high:
        raise ProcessingError(
            f"the brain mask has {litres:.2f} litres",
            expected=f"{low} to {high} litres, as adult brains have",
            action="look at the T1w: whole head, an adult, voxel sizes right, no large artefact?",
        )


def carry_over_mask(head: Head, template: Template, *, seed: int) -> Volume:
    """Return the template's brain mask warped onto the head's grid, 0 to 1."""
    small = head.at(REGISTRATION_MM)
    affine = register_affine(small, template, seed=seed)
    mask = Head.read(template.brain_mask)
    reference = Head.read(template.head)
    warp = register_warp(small, reference, mask.data > 0.5, affine, iterations=ITERATIONS, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "from-template.h5"
        write_steps(path, warp.from_template)
        return carried(mask, head.grid, path)


def fit_to_tissue(data: Volume, mask: Mask, zooms_mm: Array) -> Mask:
    """Grow a mask into adjoining brain tissue, cut thin bridges, close sulci, fill holes.

    Parameters
    ----------
    data
        (x, y, z) T1w.
    mask
        Same shape: right to about `GROWTH_MM`.
    zooms_mm
        Voxel edges.
    """
    low, high = brain_tissue_range(data[mask])
    near = distance_mm(~mask, zooms_mm) <= GROWTH_MM
    tissue = near & (data > low) & (data < high)
    solid = opened((mask & (data < high)) | tissue, BRIDGE_MM, zooms_mm)
    if not solid.any():
        raise ProcessingError("the brain mask is empty", action="look at the T1w: its contrast is not that of a T1w")
    return filled(closed(largest_piece(solid), SULCUS_MM, zooms_mm))


def brain_tissue_range(values: Volume) -> tuple[float, float]:
    """Return the brightness between which grey and white matter lie.

    From `ABOVE_FLUID` of the way from cerebrospinal fluid to grey matter, to `ABOVE_WHITE` of the distance from grey to
    white matter above the latter; the means come from a three-class mixture of the values in the mask.
    """
    fluid, grey, white = tissue_means(values)
    return fluid + ABOVE_FLUID * (grey - fluid), white + ABOVE_WHITE * (white - grey)


def tissue_means(values: Volume) -> tuple[float, float, float]:
    """Return the mean brightness of fluid, grey and white matter in a T1w by a Gaussian mixture on a thinned sample."""
    from sklearn.mixture import GaussianMixture

    low, high = np.percentile(values, [0.5, 99.5])
    sample = values[(values > low) & (values < high)]
    sample = sample[:: max(sample.size // 50_000, 1)].astype(np.float64).reshape(-1, 1)
    starts = np.percentile(sample, [8, 42, 82]).reshape(-1, 1)
    mixture = GaussianMixture(3, means_init=starts, random_state=0).fit(sample)
    fluid, grey, white = (float(mean) for mean in np.sort(np.asarray(mixture.means_).ravel()))
    return fluid, grey, white
