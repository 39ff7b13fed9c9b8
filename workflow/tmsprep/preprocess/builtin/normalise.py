"""Stage ``normalise``: the transforms between a T1w and MNI152NLin2009cAsym.

The affine is fitted to the whole head (fiducials go through it alone), the warp to the brain.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tmsprep.errors import ProcessingError
from tmsprep.files import save_nifti
from tmsprep.itk_composite import read_steps, write_steps
from tmsprep.preprocess.builtin.affine import Head, register_affine
from tmsprep.spaces import Transform, resample, save_itk_affines, to_ants
from tmsprep.stages import InFile, OutFile, SidecarFields
from tmsprep.templates import NLIN2009C, Template, load

Array = NDArray[np.float64]

WORKING_MM = 2.0
ITERATIONS = (60, 40, 10)
"""At 8, 4 and 2 mm: the best trade of overlap for time among those tried."""
DICE_MINIMUM = 0.85
"""Of the participant's and the template's brain mask; registrations that failed reached less than 0.8."""
_MNI = 4


def normalise_to_template(
    *,
    t1w: InFile,
    brain_mask: InFile,
    out_t1w_to_mni: OutFile,
    out_mni_to_t1w: OutFile,
    out_mni_t1w: OutFile,
    seed: int = 42,
) -> SidecarFields:
    """Register a T1w to the template, affinely and by SyN.

    Parameters
    ----------
    t1w
        Bias-corrected head.
    brain_mask
        Its brain.
    out_t1w_to_mni
        ``from-T1w_to-MNI152NLin2009cAsym``, ITK composite.
    out_mni_to_t1w
        Its inverse.
    out_mni_t1w
        The T1w on the template's 2 mm grid.
    seed
        Of the registration's random sampling.

    Raises
    ------
    ProcessingError
        The brain does not come to lie on the template's.
    """
    head, mask = Head.read(t1w), Head.read(brain_mask)
    template = load(NLIN2009C)
    affine = register_affine(head.at(WORKING_MM), template, seed=seed)
    warp_brain(head, mask, template, affine, (out_t1w_to_mni, out_mni_to_t1w), seed=seed)
    transform = Transform.load(out_t1w_to_mni)
    reference = Head.read(template.brain_mask)
    overlap = dice(resample(mask.data, mask.affine_ras_mm, reference.grid, transform, order=1) > 0.5, reference.data > 0.5)
    if overlap < DICE_MINIMUM:
        raise ProcessingError(
            f"the brain does not come to lie on the template's (Dice {overlap:.2f})",
            where=t1w.name,
            expected=f"at least {DICE_MINIMUM}",
            action="look at the T1w and its brain mask",
        )
    save_nifti(
        out_mni_t1w,
        resample(head.data, head.affine_ras_mm, reference.grid, transform, order=1),
        reference.affine_ras_mm,
        xform_code=_MNI,
    )
    quality = {"BrainMaskDice": round(overlap, 4)}
    return {"out_t1w_to_mni": quality, "out_mni_to_t1w": quality, "out_mni_t1w": {"SkullStripped": False} | quality}


def warp_brain(head: Head, mask: Head, template: Template, affine: Array, outputs: tuple[Path, Path], *, seed: int) -> None:
    """Fit the warp and write both composites.

    Parameters
    ----------
    head
        The T1w.
    mask
        Its brain, on the same grid.
    template
        Head and brain mask.
    affine
        First pull matrix, template to T1w.
    outputs
        ``from-T1w_to-template`` and its inverse.
    seed
        Of random sampling.
    """
    import ants

    target, target_mask = Head.read(template.head), Head.read(template.brain_mask)
    brain = Head(head.data * (mask.data > 0.5), head.affine_ras_mm).at(WORKING_MM)
    with tempfile.TemporaryDirectory() as folder:
        initial = Path(folder) / "initial.txt"
        save_itk_affines(initial, [affine])
        result = ants.registration(
            to_ants(target.data * (target_mask.data > 0.5), target.affine_ras_mm),
            to_ants(brain.data, brain.affine_ras_mm),
            "SyNOnly",
            initial_transform=str(initial),
            outprefix=str(Path(folder) / "warp"),
            reg_iterations=ITERATIONS,
            random_seed=seed,
            write_composite_transform=True,
        )
        for path, name in zip(outputs, ("fwdtransforms", "invtransforms"), strict=True):
            write_steps(path, read_steps(Path(result[name])))


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return twice the overlap over the sum of two masks."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))
