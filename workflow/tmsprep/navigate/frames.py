"""Between the T1w and the template: where a point of the participant is in MNI space, and whether that makes sense."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tmsprep.errors import ProcessingError
from tmsprep.spaces import Array, Transform, apply_affine

MAX_DISAGREEMENT_MM = 3.0
"""A target whose T1w and MNI coordinates differ by more than this was not made with this T1w and transform."""
_TOLERANCE_MM = 0.01
_ROUNDS = 100


def mni_of(point_ras_mm: ArrayLike, t1w_to_mni: Transform) -> Array:
    """Return where a point (3,) of the T1w lies in the template, (3,) MNI mm.

    The transform maps points of the template to the T1w; it is inverted by fixed-point iteration with its affine part.
    Outside the brain (on the scalp) the result is for orientation only.

    Raises
    ------
    ProcessingError
        The iteration does not settle: the deformation folds there.
    """
    goal = np.asarray(point_ras_mm, dtype=np.float64)
    back = np.linalg.inv(t1w_to_mni.affine_part())
    guess = apply_affine(back, goal)
    for _ in range(_ROUNDS):
        missing = goal - t1w_to_mni.pull_points(guess)[0]
        if np.linalg.norm(missing) < _TOLERANCE_MM:
            return guess
        guess = guess + back[:3, :3] @ missing
    raise ProcessingError(
        f"the normalisation cannot be inverted at {np.round(goal, 1).tolist()} mm",
        action="look at the registration of the T1w to the template",
    )


def require_left(name: str, target_ras_mm: ArrayLike, target_mni_mm: ArrayLike, t1w_to_mni: Transform) -> None:
    """Refuse a target that is not in the left hemisphere, or whose two coordinates are not of one place.

    Parameters
    ----------
    name
        Of the target, for the message.
    target_ras_mm, target_mni_mm
        (3,) each.
    t1w_to_mni
        ``from-T1w_to-MNI152NLin2009cAsym``.

    Raises
    ------
    ProcessingError
        It is on the right or in the midline, or belongs to another T1w.
    """
    pulled = t1w_to_mni.pull_points(target_mni_mm)[0]
    apart = float(np.linalg.norm(pulled - np.asarray(target_ras_mm)))
    if apart > MAX_DISAGREEMENT_MM:
        raise ProcessingError(
            f"its T1w and MNI coordinates are {apart:.1f} mm apart",
            where=f"target {name}",
            expected=f"at most {MAX_DISAGREEMENT_MM:.0f} mm",
            action="use the T1w, transform and target of one participant and session",
        )
    if (x := float(np.asarray(target_mni_mm)[0])) >= 0:
        raise ProcessingError(
            f"it lies at MNI x = {x:.1f} mm, not in the left hemisphere",
            where=f"target {name}",
            expected="x below 0: a left-sided target",
            action="check the orientation of the T1w image (left and right), the search mask and the circuit",
        )
