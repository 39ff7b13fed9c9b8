"""Where template coordinates lie in the participant's head, and back.

Circuits, search masks and networks are given as points in a template; the simulation needs them in scanner RAS mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmsprep.errors import ProcessingError
from tmsprep.spaces import Transform, apply_affine

Array = NDArray[np.float64]

_ROUNDS = 40
_TOLERANCE_MM = 0.05
_MOST = 0.995


@dataclass(frozen=True)
class HeadFrames:
    """The participant's ties to the two templates."""

    t1w_to_2009c: Transform
    """``from-T1w_to-MNI152NLin2009cAsym``."""
    t1w_to_nlin6: Transform
    """``from-T1w_to-MNI152NLin6Asym``."""

    def of_2009c(self, points_mni_mm: ArrayLike) -> Array:
        """Return MNI152NLin2009cAsym points (n, 3) in scanner RAS mm."""
        return self.t1w_to_2009c.pull_points(points_mni_mm)

    def of_nlin6(self, points_nlin6_mm: ArrayLike) -> Array:
        """Return MNI152NLin6Asym points (n, 3) in scanner RAS mm."""
        return self.t1w_to_nlin6.pull_points(points_nlin6_mm)

    def to_2009c(self, points_ras_mm: ArrayLike) -> Array:
        """Return scanner RAS points (n, 3) in MNI152NLin2009cAsym mm."""
        return push_points(self.t1w_to_2009c, points_ras_mm)

    def to_nlin6(self, points_ras_mm: ArrayLike) -> Array:
        """Return scanner RAS points (n, 3) in MNI152NLin6Asym mm."""
        return push_points(self.t1w_to_nlin6, points_ras_mm)


def push_points(transform: Transform, points_ras_mm: ArrayLike) -> Array:
    """Map points (n, 3) of A to B by a ``from-A_to-B`` transform, which itself maps points of B to A.

    Solves ``pull(y) = x`` by damped fixed-point steps ``y += inverse(affine) (x - pull(y))``.

    Raises
    ------
    ProcessingError
        The map does not fold back on more than one point in a hundred.
    """
    wanted = np.atleast_2d(np.asarray(points_ras_mm, dtype=np.float64))
    inverse = np.linalg.inv(_nearest_affine(transform))
    found = apply_affine(inverse, wanted)
    residual = wanted - transform.pull_points(found)
    for _ in range(_ROUNDS):
        found += 0.8 * residual @ inverse[:3, :3].T
        residual = wanted - transform.pull_points(found)
        if np.quantile(np.linalg.norm(residual, axis=1), _MOST) < _TOLERANCE_MM:
            break
    lost = float(np.mean(np.linalg.norm(residual, axis=1) > 0.5))
    if lost > 0.01:
        raise ProcessingError(
            f"the inverse of the normalisation was not found for {lost:.1%} of the points",
            action="look at the registration of the T1w to the template",
        )
    return found


def _nearest_affine(transform: Transform) -> Array:
    """Return the affine (4, 4) that fits the pull best on a coarse lattice over the brain."""
    axes = (np.arange(-60, 61, 20), np.arange(-90, 61, 30), np.arange(-40, 71, 22))
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.float64)
    design = np.column_stack([lattice, np.ones(len(lattice))])
    solution = np.linalg.lstsq(design, transform.pull_points(lattice), rcond=None)[0]
    matrix = np.eye(4)
    matrix[:3] = solution.T
    return matrix
