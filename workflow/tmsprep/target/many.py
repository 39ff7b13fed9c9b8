"""The cluster rule for many score vectors at once: what `clusters` does for one map, for thousands in seconds.

Resampling asks for the target of each of ten thousand score vectors over the same voxels. Everything that depends on the
voxels alone is prepared once: the interpolation to the fine grid is a sparse matrix, neighbourhood a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from tmsprep.spaces import Grid, apply_affine
from tmsprep.target.clusters import MIN_SUPPORT

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

_BATCH_CELLS = 1 << 21
"""Draws times fine voxels that are looked at together."""
_POSITIVE = np.finfo(np.float64).tiny
_FORWARD = [step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]
"""Half of the 26 neighbours: the other half comes from the other side."""


@dataclass(frozen=True)
class Sites:
    """The target of each draw."""

    positions_ras_mm: Array
    """(draws, 3); NaN where a draw has none."""
    share: Array
    """(fine voxels,): share of draws in whose best cluster a voxel lies."""


@dataclass(frozen=True, eq=False)
class ClusterRule:
    """The rule, prepared for one participant's voxels."""

    interpolation: sparse.csr_array
    """(fine voxels, search voxels): scores on the fine grid, from scored voxels only."""
    points_ras_mm: Array
    """(fine voxels, 3)."""
    neighbours: IntArray
    """(fine voxels, 13): the following neighbours; the number of voxels where there is none."""
    voxels: IntArray
    """(fine voxels, 3): indices on the fine grid."""
    top_fraction: float

    @classmethod
    def make(cls, coarse: Grid, scored: BoolArray, fine: Grid, candidates: BoolArray, top_fraction: float) -> ClusterRule:
        """Prepare the rule.

        Parameters
        ----------
        coarse, scored
            The BOLD grid, and which of its voxels have scores (in C order the columns of the score vectors).
        fine, candidates
            The fine grid, and where on it a target may be.
        top_fraction
            The share of scores that is clustered.
        """
        voxels = np.argwhere(candidates)
        weights = _trilinear(coarse, scored, apply_affine(fine.affine_ras_mm, voxels))
        support = np.asarray(weights.sum(axis=1)).ravel()
        usable = support >= MIN_SUPPORT
        scale = sparse.diags_array(1.0 / support[usable])
        voxels = voxels[usable]
        return cls(
            interpolation=sparse.csr_array(scale @ weights[usable]),
            points_ras_mm=apply_affine(fine.affine_ras_mm, voxels),
            neighbours=_following(voxels, fine.shape),
            voxels=voxels,
            top_fraction=top_fraction,
        )

    def sites(self, scores: NDArray[np.floating]) -> Sites:
        """Return the target of each score vector.

        Parameters
        ----------
        scores
            (draws, search voxels)
        """
        count, size = scores.shape[0], len(self.voxels)
        positions = np.full((count, 3), np.nan)
        share = np.zeros(size)
        if size:
            step = max(1, _BATCH_CELLS // size)
            for first in range(0, count, step):
                part = slice(first, min(first + step, count))
                positions[part], members = self._batch(scores[part])
                share += members
        return Sites(positions, share / max(count, 1))

    def _batch(self, scores: NDArray[np.floating]) -> tuple[Array, Array]:
        """Return targets (draws, 3), and how often each fine voxel lay in the best cluster."""
        fine = np.ascontiguousarray((self.interpolation @ scores.T).T)
        threshold = _row_quantile(fine, 1 - self.top_fraction)
        chosen = fine >= np.maximum(threshold, _POSITIVE)[:, np.newaxis]
        positions = np.full((len(fine), 3), np.nan)
        draw, voxel = np.nonzero(self._best_clusters(chosen, fine))
        if not draw.size:
            return positions, np.zeros(len(self.voxels))
        value = fine[draw, voxel]
        rows, starts, which = np.unique(draw, return_index=True, return_inverse=True)
        centre = self._centres(which, voxel, value - np.maximum(threshold[draw], 0.0))
        points = self.points_ras_mm[voxel]
        distance = np.round(np.linalg.norm(points - centre[which], axis=1), 6)
        close = np.flatnonzero(distance == np.minimum.reduceat(distance, starts)[which])
        order = close[np.lexsort((*points[close].T, -value[close], which[close]))]
        nearest = order[np.searchsorted(which[order], np.arange(rows.size))]
        positions[rows] = points[nearest]
        return positions, np.bincount(voxel, minlength=len(self.voxels)).astype(np.float64)

    def _best_clusters(self, chosen: BoolArray, fine: Array) -> BoolArray:
        """Return (draws, fine voxels): each draw's largest cluster.

        Most draws have one cluster with more than half of their voxels: the one around the highest score. It is filled for
        many draws at once, a bit a draw; only where it is not the larger part are the clusters told apart one by one.
        """
        part = self._filled_from(np.where(chosen, fine, -np.inf).argmax(axis=1), chosen)
        rest = np.flatnonzero(2 * part.sum(axis=1) <= chosen.sum(axis=1))
        draw, voxel = np.nonzero(chosen[rest])
        inside = self._in_best_cluster(draw, voxel, fine[rest][draw, voxel], rest.size)
        part[rest] = False
        part[rest[draw[inside]], voxel[inside]] = True
        return part

    def _filled_from(self, start: IntArray, chosen: BoolArray) -> BoolArray:
        """Return (draws, fine voxels): the chosen voxels that are connected to one voxel of each draw."""
        used = np.flatnonzero(chosen.any(axis=0))
        place = np.full(len(self.voxels) + 1, used.size)  # the last row is where there is no neighbour
        place[used] = np.arange(used.size)
        links = place[self.neighbours[used]]
        allowed = np.packbits(chosen[:, used], axis=0).T.copy()
        filled = np.zeros((used.size + 1, allowed.shape[1]), dtype=np.uint8)
        draws = np.flatnonzero(chosen[np.arange(len(start)), start])
        np.bitwise_or.at(filled, (place[start[draws]], draws // 8), (128 >> (draws % 8)).astype(np.uint8))
        pairs = [(np.flatnonzero(column < used.size), column[column < used.size]) for column in links.T]
        before = None
        while before is None or not np.array_equal(before, filled):
            before = filled.copy()
            for here, there in pairs:  # in one direction no voxel comes twice, so the plain assignment loses nothing
                filled[here] |= filled[there]
                filled[here] &= allowed[here]
                filled[there] |= filled[here]
                filled[there] &= allowed[there]
        part = np.zeros_like(chosen)
        part[:, used] = np.unpackbits(filled[:-1], axis=1, count=len(chosen)).T
        return part

    def _in_best_cluster(self, draw: IntArray, voxel: IntArray, value: Array, draws: int) -> BoolArray:
        """Tell for each chosen voxel whether it belongs to its draw's largest cluster."""
        if not draw.size:
            return np.zeros(0, dtype=bool)
        width = len(self.voxels) + 1  # the last column is where there is no neighbour
        node = np.full(draws * width, -1, dtype=np.int32)
        place = draw * width
        node[place + voxel] = np.arange(draw.size, dtype=np.int32)
        starts: list[IntArray] = []
        ends: list[NDArray[np.int32]] = []
        for direction in self.neighbours.T:
            other = node[place + direction[voxel]]
            linked = np.flatnonzero(other >= 0)
            starts.append(linked)
            ends.append(other[linked])
        start, end = np.concatenate(starts), np.concatenate(ends)
        edges = sparse.coo_array((np.ones(start.size, dtype=np.int8), (start, end)), shape=(draw.size,) * 2)
        count, label = connected_components(edges, directed=False)
        size = np.bincount(label, minlength=count)
        mean = np.bincount(label, weights=value, minlength=count) / size
        of_draw = np.empty(count, dtype=np.int64)
        of_draw[label] = draw
        order = np.lexsort((-mean, -size, of_draw))
        best = np.zeros(count, dtype=bool)
        best[order[np.searchsorted(of_draw[order], np.unique(draw))]] = True
        return best[label]

    def _centres(self, which: IntArray, voxel: IntArray, excess: Array) -> Array:
        """Return the centre of gravity of each draw's cluster, weighted by how far scores exceed the threshold."""
        total = np.bincount(which, weights=excess)
        flat = total[which] <= 0
        weight = np.where(flat, 1.0, excess)
        total = np.bincount(which, weights=weight)
        points = self.points_ras_mm[voxel]
        return np.column_stack([np.bincount(which, weights=weight * points[:, axis]) for axis in range(3)]) / total[:, None]


def _row_quantile(values: NDArray[np.floating], share: float) -> NDArray[np.floating]:
    """Return each row's quantile, linear between two values as numpy's default is."""
    place = share * (values.shape[1] - 1)
    low = int(place)
    high = min(low + 1, values.shape[1] - 1)
    parted = np.partition(values, (low, high), axis=1)
    return parted[:, low] + (place - low) * (parted[:, high] - parted[:, low])


def _trilinear(coarse: Grid, scored: BoolArray, points_ras_mm: Array) -> sparse.csr_array:
    """Return (points, scored voxels): the trilinear weights of the scored voxels around each point."""
    column = np.full(coarse.shape, -1, dtype=np.int64)
    column[scored] = np.arange(int(scored.sum()))
    place = apply_affine(np.linalg.inv(coarse.affine_ras_mm), points_ras_mm)
    within = np.all((place >= 0) & (place <= np.array(coarse.shape) - 1), axis=1)  # as in `refine`, nothing beyond the grid
    corner = np.floor(place).astype(np.int64)
    rest = place - corner
    rows: list[IntArray] = []
    columns: list[IntArray] = []
    weights: list[Array] = []
    for step in product((0, 1), repeat=3):
        voxel = corner + step
        weight = np.prod(np.where(step, rest, 1 - rest), axis=1)
        ok = within & np.all(voxel < coarse.shape, axis=1) & (weight > 0)
        found = column[tuple(voxel[ok].T)]
        rows.append(np.flatnonzero(ok)[found >= 0])
        columns.append(found[found >= 0])
        weights.append(weight[ok][found >= 0])
    entries = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_array(sparse.coo_array(entries, shape=(len(points_ras_mm), int(scored.sum()))))


def _following(voxels: IntArray, shape: tuple[int, ...]) -> IntArray:
    """Return the 13 following neighbours of each voxel among the voxels; their number where there is none."""
    index = np.full(np.add(shape, 2), len(voxels), dtype=np.int64)  # a rim, so that no neighbour lies outside
    index[tuple((voxels + 1).T)] = np.arange(len(voxels))
    return np.column_stack([index[tuple((voxels + 1 + step).T)] for step in np.array(_FORWARD)])
