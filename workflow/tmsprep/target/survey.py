"""What is known about a participant's voxels before any series is read: grey matter, circuit, search mask, reach.

Two grids: the BOLD grid in T1w space, on which scores are computed, and a 2 mm grid along the T1w's axes, on which grey
matter is known well enough to place a target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmsprep.spaces import Grid, apply_affine
from tmsprep.target.circuits import Weights
from tmsprep.target.masks import SearchMask
from tmsprep.target.person import Person
from tmsprep.target.scores import ScoreProblem
from tmsprep.target.spheres import Sphere
from tmsprep.target.tissue import within

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

GREY = 0.5
"""Share of grey matter from which a voxel counts, on either grid."""
FINE_MM = 2.0
"""Voxel edge of the fine grid."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The circuit, the mask and the distances of one search."""

    weights: Weights
    mask: SearchMask
    exclusion_mm: float
    """Voxels this near to a search voxel carry no weight."""
    max_depth_mm: float | None
    """Voxels farther than this from the scalp are no candidates; None without a limit."""


@dataclass(frozen=True, eq=False)
class Voxels:
    """The grey-matter voxels of the BOLD grid that lie in every run's mask."""

    grid: Grid
    where: BoolArray
    """Of the grid's shape; all other arrays are over its True voxels, in C order."""
    points_ras_mm: Array
    """(n, 3)."""
    weights: Array
    """(n,): of the circuit; NaN where it says nothing."""
    seeds: tuple[tuple[float, BoolArray], ...]
    """Weight and (n,) membership of each seed."""
    in_mask: BoolArray
    """(n,): in the search mask."""
    reachable: BoolArray
    """(n,): near enough to the scalp."""
    in_sgacc: BoolArray
    """(n,): in the circuit's negative anchor."""

    def problem(self, has_signal: BoolArray, exclusion_mm: float) -> ScoreProblem:
        """Say which voxels are scored and which carry weights, given which have signal (n,)."""
        searched = self.in_mask & has_signal
        near = within(self.points_ras_mm, self.points_ras_mm[searched], exclusion_mm)
        contributes = has_signal & ~near
        volume = abs(float(np.linalg.det(self.grid.affine_ras_mm[:3, :3])))
        return ScoreProblem(
            search=searched & self.reachable,
            contributes=contributes,
            weights=self.weights,
            seeds=self.seeds,
            anchor=self.in_sgacc,
            points_ras_mm=self.points_ras_mm,
            voxel_mm3=volume,
        )


def survey_voxels(grid: Grid, brain: BoolArray, person: Person, plan: Plan) -> Voxels:
    """Survey the BOLD grid.

    Parameters
    ----------
    grid
        The runs' common grid in T1w space.
    brain
        Of the grid's shape: in every run's mask.
    person
        Grey matter, scalp, and the ways to the templates.
    plan
        Circuit, mask and distances.
    """
    share = person.grey.mean_in_voxels(grid, brain)
    where = brain.copy()
    where[brain] = share > GREY
    points = apply_affine(grid.affine_ras_mm, np.argwhere(where))
    circuit_points, in_mask, reachable = _place(points, person, plan)
    seeds = plan.weights.circuit.seeds
    return Voxels(
        grid=grid,
        where=where,
        points_ras_mm=points,
        weights=plan.weights.at(circuit_points),
        seeds=tuple((seed.weight, seed.sphere.contains(circuit_points)) for seed in seeds),
        in_mask=in_mask,
        reachable=reachable,
        in_sgacc=plan.weights.circuit.negative.contains(circuit_points),
    )


def _place(points_ras_mm: Array, person: Person, plan: Plan) -> tuple[Array, BoolArray, BoolArray]:
    """Return for points (n, 3): where they are in the circuit's space, whether in the search mask, whether in reach."""
    space = plan.weights.circuit.space
    points = person.template_points(points_ras_mm, space)
    same = plan.mask.space == space
    in_mask = plan.mask.contains(points if same else person.template_points(points_ras_mm, plan.mask.space))
    scalp = person.scalp_points_ras_mm
    if scalp is None or plan.max_depth_mm is None:
        return points, in_mask, np.ones(len(points), dtype=bool)
    return points, in_mask, within(points_ras_mm, scalp, plan.max_depth_mm)


@dataclass(frozen=True, eq=False)
class FineGrey:
    """The grey-matter voxels of the fine grid."""

    grid: Grid
    where: BoolArray
    """Of the grid's shape; the other arrays are over its True voxels, in C order."""
    points_ras_mm: Array
    in_mask: BoolArray
    """(n,): in the search mask."""
    reachable: BoolArray
    in_sgacc: BoolArray
    """(n,): in the circuit's negative anchor."""
    in_seeds: BoolArray
    """(n,): in a seed of the circuit; all False for an image."""

    @property
    def candidates(self) -> BoolArray:
        """Of the grid's shape: where a target may be."""
        result = np.zeros(self.grid.shape, dtype=bool)
        result[self.where] = self.in_mask & self.reachable
        return result

    def coverage(self, signal: BoolArray, grid: Grid) -> dict[str, float]:
        """Return how much of the regions that matter has signal, as shares from 0 to 1.

        Parameters
        ----------
        signal
            Of `grid`'s shape: voxels with signal.
        grid
            The BOLD grid. What lies outside it has none.
        """
        covered = _look_up(signal, grid, self.points_ras_mm)
        regions = {"coverage_search_mask": self.in_mask & self.reachable, "coverage_sgacc": self.in_sgacc}
        if self.in_seeds.any():
            regions["coverage_seeds"] = self.in_seeds
        return {name: float(covered[region].mean()) if region.any() else 0.0 for name, region in regions.items()}


def _look_up(volume: BoolArray, grid: Grid, points_ras_mm: Array) -> BoolArray:
    """Return the value of the voxel that holds each point; False outside the grid."""
    voxels = np.round(apply_affine(np.linalg.inv(grid.affine_ras_mm), points_ras_mm)).astype(int)
    inside = np.all((voxels >= 0) & (voxels < grid.shape), axis=1)
    result = np.zeros(len(points_ras_mm), dtype=bool)
    result[inside] = volume[tuple(voxels[inside].T)]
    return result


def survey_fine(person: Person, plan: Plan) -> FineGrey:
    """Survey the fine grid; parameters as for `survey_voxels`."""
    grid = person.grey.grid.with_zooms([FINE_MM] * 3)
    where = person.grey.extent(grid, GREY)
    where[where] = person.grey.mean_in_voxels(grid, where) > GREY
    points = apply_affine(grid.affine_ras_mm, np.argwhere(where))
    circuit_points, in_mask, reachable = _place(points, person, plan)
    circuit = plan.weights.circuit
    return FineGrey(
        grid=grid,
        where=where,
        points_ras_mm=points,
        in_mask=in_mask,
        reachable=reachable,
        in_sgacc=circuit.negative.contains(circuit_points),
        in_seeds=_in_any([seed.sphere for seed in circuit.seeds], circuit_points),
    )


def _in_any(spheres: list[Sphere], points: Array) -> BoolArray:
    result = np.zeros(len(points), dtype=bool)
    for sphere in spheres:
        result |= sphere.contains(points)
    return result
