"""The deformable registration of a head to the template, after the affine, by ANTs' SyN.

It looks at the brain and a rim around it: skin and neck have no part in it. Outside the brain's box the transform is the
affine alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from tmsprep.interfaces.ants_registration import register as ants_register
from tmsprep.itk_composite import read_steps
from tmsprep.preprocess.builtin.head import Array, Head, Mask, Volume
from tmsprep.preprocess.builtin.morphology import bounding_box, distance_mm
from tmsprep.spaces import Grid, Step, from_ants, save_itk_affines, to_ants, voxel_sizes

if TYPE_CHECKING:
    import ants

REGISTRATION_MM = 2.0
FOCUS_MM = 4.0
"""The warp looks at the template's brain and this much around it."""
MARGIN_MM = 12.0
"""The displacement field reaches this much farther, and fades there."""


@dataclass(frozen=True)
class Warp:
    """Both directions of a registration, as the steps of ITK composites."""

    to_template: list[Step]
    """``from-T1w_to-template``: resamples the head onto the template."""
    from_template: list[Step]


def register_warp(
    head: Head,
    reference: Head,
    brain: Mask,
    affine: Array,
    *,
    iterations: Sequence[int],
    seed: int,
    correlation_radius: int | None = None,
) -> Warp:
    """Return SyN's registration (Avants et al. 2008, doi:10.1016/j.media.2007.06.004).

    Parameters
    ----------
    head
        At `REGISTRATION_MM`: the whole head, or its brain where `reference` is a brain too.
    reference
        The template.
    brain
        Brain mask of `reference`.
    affine
        Pull matrix of the affine, template to head, RAS mm.
    iterations
        At 8, 4 and 2 mm.
    seed
        Of random sampling.
    correlation_radius
        In voxels: compare neighbourhoods by their correlation, slower and closer; otherwise images by mutual information.
    """
    metric = {} if correlation_radius is None else {"syn_metric": "CC", "syn_sampling": correlation_radius}
    focus = distance_mm(~brain, voxel_sizes(reference.affine_ras_mm)) <= FOCUS_MM
    box = bounding_box(focus, voxel_sizes(reference.affine_ras_mm), margin_mm=MARGIN_MM)
    with tempfile.TemporaryDirectory() as folder:
        initial = Path(folder) / "initial.txt"
        save_itk_affines(initial, [affine])
        result = ants_register(
            _as_ants(reference.cropped(box)),
            _as_ants(head),
            "SyNOnly",
            initial_transform=str(initial),
            outprefix=str(Path(folder) / "warp"),
            mask=_as_ants(Head(focus.astype(np.float32), reference.affine_ras_mm).cropped(box)),
            reg_iterations=tuple(iterations),
            seed=seed,
            write_composite_transform=True,
            **metric,
        )
        return Warp(read_steps(Path(result["fwdtransforms"])), read_steps(Path(result["invtransforms"])))


def carried(head: Head, grid: Grid, transform: Path) -> Volume:
    """Return the head resampled onto another grid by a saved ITK transform (linear)."""
    import ants

    target = to_ants(np.zeros(grid.shape, dtype=np.float32), grid.affine_ras_mm)
    moved = cast("ants.ANTsImage", ants.apply_transforms(target, _as_ants(head), [str(transform)]))
    return from_ants(moved)[0]


def _as_ants(head: Head) -> ants.ANTsImage:
    return to_ants(head.data, head.affine_ras_mm)
