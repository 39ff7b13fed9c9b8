"""The affine registration of a whole head to the template, from any starting position.

Heads come turned, shifted, with or without a neck. A coarse search over turns and shifts by correlation, at 6 mm, finds
the basin; ANTs (mutual information) refines the best of them. Sizes are those of adults.
"""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage, optimize

from tmsprep.errors import ProcessingError
from tmsprep.interfaces.ants_registration import register as ants_register
from tmsprep.itk_composite import read_steps
from tmsprep.preprocess.builtin.head import Array, Head, Volume
from tmsprep.preprocess.builtin.morphology import distance_mm
from tmsprep.spaces import AffineStep, apply_affine, resample, save_itk_affines, to_ants, voxel_sizes
from tmsprep.templates import Template

COARSE_MM = 8.0
AROUND_BRAIN_MM = 18.0
"""The coarse search looks at the brain and this much around it: scalp, but neither neck nor chin."""
PITCH_DEG = (-45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0)
ROLL_DEG = YAW_DEG = (-24.0, 0.0, 24.0)
DOWN_MM = (-75.0, -50.0, -25.0, 0.0, 25.0)
"""Where the centre of the brain may lie above the head's centre of mass: depends on how much neck is in the image."""
LOG_SCALES = (0.0, -0.13)
"""Brains as large as the template's (1.9 litres) and a third smaller."""
STARTS_REFINED = 4
SCALE_RANGE = (0.42, 1.3)
"""Plausible ratio of volumes, template to head, after the affine (a brain of 0.8 to 2.4 litres; the template has 1.9)."""
MINIMUM_CORRELATION = 0.5
"""Of head and template around the brain, in the coarse search (whole heads 0.78 and more)."""
MINIMUM_LIKENESS = 0.35
"""Of head and template inside the brain, after the affine (measured: 0.60 to 0.67)."""


@dataclass(frozen=True)
class _Coarse:
    """What the coarse search compares: template values at points near the brain, and the head to look them up in."""

    points_mni_mm: Array
    values: Volume
    centre_mni_mm: Array
    head: Head
    centre_ras_mm: Array

    def matrix(self, parameters: Array) -> Array:
        """Return the pull matrix of 3 turns (rad), 3 shifts (mm) and 1 or 3 log scales."""
        turn = _rotation(parameters[:3])
        scale = np.exp(np.broadcast_to(parameters[6:], 3))
        matrix = np.eye(4)
        matrix[:3, :3] = turn * scale
        matrix[:3, 3] = self.centre_ras_mm + parameters[3:6] - matrix[:3, :3] @ self.centre_mni_mm
        return matrix

    def correlation(self, parameters: Array) -> float:
        """Return the correlation of template and head; what lies outside the image counts as air."""
        points = apply_affine(np.linalg.inv(self.head.affine_ras_mm) @ self.matrix(parameters), self.points_mni_mm)
        values = ndimage.map_coordinates(self.head.data, points.T, order=1, mode="constant")
        if values.std() == 0:
            return -1.0
        return float(np.corrcoef(values, self.values)[0, 1])


def _rotation(turns_rad: Array) -> Array:
    """Return the rotation by pitch (about x), roll (about y), yaw (about z)."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(turns_rad), np.sin(turns_rad)
    pitch = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    roll = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    yaw = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return yaw @ roll @ pitch


def _coarse(head: Head, template: Template) -> _Coarse:
    reference = Head.read(template.head)
    mask = Head.read(template.brain_mask)
    near = distance_mm(mask.data < 0.5, voxel_sizes(mask.affine_ras_mm)) <= AROUND_BRAIN_MM
    small = reference.at(COARSE_MM)
    inside = resample(near.astype(np.float32), mask.affine_ras_mm, small.grid, order=1) > 0.5
    points = apply_affine(small.affine_ras_mm, np.argwhere(inside))
    thumbnail = Head(_without_bright_fat(head.data), head.affine_ras_mm).at(COARSE_MM)
    return _Coarse(points, small.data[inside], points.mean(axis=0), thumbnail, _centre_of_head(thumbnail))


def _without_bright_fat(data: Volume) -> Volume:
    from skimage.filters import threshold_otsu

    return np.clip(data, 0.0, np.percentile(data[data > threshold_otsu(data)], 70.0))


def _centre_of_head(head: Head) -> Array:
    from skimage.filters import threshold_otsu

    tissue = head.data > 0.5 * threshold_otsu(head.data)
    return apply_affine(head.affine_ras_mm, np.argwhere(tissue).mean(axis=0))


def _search(coarse: _Coarse) -> Array:
    """Return the best rigid-and-scale parameters: every start compared, the best ones refined."""
    turns = np.radians(list(itertools.product(PITCH_DEG, ROLL_DEG, YAW_DEG)))
    starts = [np.array([*turn, 0.0, 0.0, -down, scale]) for turn in turns for down in DOWN_MM for scale in LOG_SCALES]
    ranked = sorted(starts, key=coarse.correlation, reverse=True)
    refined = [_refine(coarse, start) for start in ranked[:STARTS_REFINED]]
    return max(refined, key=coarse.correlation)


def _refine(coarse: _Coarse, start: Array) -> Array:
    units = np.array([0.1, 0.1, 0.1, 5.0, 5.0, 5.0, 0.05])

    def cost(steps: Array) -> float:
        return -coarse.correlation(start + steps * units)

    best = optimize.minimize(cost, np.zeros(7), method="Powell", options={"xtol": 0.05, "ftol": 1e-3, "maxiter": 6})
    return start + best.x * units


def initial_affine(head: Head, template: Template) -> Array:
    """Return a first pull matrix (template to head, RAS mm): turns, shifts, one scale.

    Raises
    ------
    ProcessingError
        No position makes the head resemble the template.
    """
    coarse = _coarse(head, template)
    best = _search(coarse)
    if (found := coarse.correlation(best)) < MINIMUM_CORRELATION:
        raise ProcessingError(
            f"no position of the head resembles the template (best correlation {found:.2f})",
            expected=f"a T1-weighted image of a whole adult head (at least {MINIMUM_CORRELATION})",
            action="look at the image, its orientation and its header",
        )
    return coarse.matrix(best)


def register_affine(head: Head, template: Template, *, seed: int, start: Array | None = None) -> Array:
    """Return the affine between template and head as a 4 x 4 pull matrix: points of the template to the head, RAS mm.

    Parameters
    ----------
    head
        At about 2 mm.
    template
        Registered with skull and scalp.
    seed
        Of ANTs' random sampling.
    start
        First pull matrix; searched for if absent.

    Raises
    ------
    ProcessingError
        Nothing resembles the template, or the result is no plausible adult head.
    """
    first = initial_affine(head, template) if start is None else start
    matrix = _plausible(_refined(head, template, first, seed))
    require_resemblance(head, template, matrix)
    return matrix


def _refined(head: Head, template: Template, start: Array, seed: int) -> Array:
    reference = Head.read(template.head)
    with tempfile.TemporaryDirectory() as folder:
        initial = Path(folder) / "initial.txt"
        save_itk_affines(initial, [start])
        result = ants_register(
            to_ants(reference.data, reference.affine_ras_mm),
            to_ants(head.data, head.affine_ras_mm),
            "Affine",
            initial_transform=str(initial),
            outprefix=str(Path(folder) / "affine"),
            aff_metric="mattes",
            aff_iterations=(200, 50),
            aff_shrink_factors=(4, 2),
            aff_smoothing_sigmas=(2, 1),
            seed=seed,
            write_composite_transform=True,
        )
        steps = read_steps(Path(result["fwdtransforms"]))
    matrix = np.eye(4)
    for step in reversed(steps):
        if isinstance(step, AffineStep):
            matrix = step.pull_ras_mm @ matrix
    return matrix


def _plausible(matrix: Array) -> Array:
    ratio = float(np.linalg.det(matrix[:3, :3]))
    low, high = SCALE_RANGE
    if not low < ratio < high:
        raise ProcessingError(
            f"the registration to the template makes the head {ratio:.2f} times the template's volume",
            expected=f"{low} to {high}",
            action="look at the image: is it a whole adult head, in mm?",
        )
    return matrix


def require_resemblance(head: Head, template: Template, matrix: Array) -> None:
    """Refuse a head whose brain is unlike the template's after the affine: other contrast, or a wrong place.

    Raises
    ------
    ProcessingError
        The correlation inside the template's brain is below `MINIMUM_LIKENESS`.
    """
    brain = Head.read(template.brain_mask)
    voxels = np.argwhere(brain.data > 0.5)[::7]
    expected = Head.read(template.head).data[tuple(voxels.T)]
    points = apply_affine(np.linalg.inv(head.affine_ras_mm) @ matrix @ brain.affine_ras_mm, voxels)
    found = ndimage.map_coordinates(head.data, points.T, order=1, mode="constant")
    likeness = float(np.corrcoef(found, expected)[0, 1]) if found.std() > 0 else 0.0
    if likeness < MINIMUM_LIKENESS:
        raise ProcessingError(
            f"inside the brain the head does not resemble the template (correlation {likeness:.2f})",
            expected=f"at least {MINIMUM_LIKENESS}, as T1-weighted images of adults have",
            action="look at the image: T1-weighted, whole head, orientation and header right?",
        )
