"""The one joint regression: its design, restricted to the volumes that are kept, and what it leaves.

Drift, band, motion and global signal are removed together by one least-squares fit on the kept volumes. Filtering and
regressing one after the other would bring back what the first had removed (Lindquist et al. 2019,
doi:10.1002/hbm.24528). The band is expressed by cosines outside it (discrete cosine transform, type II, over the whole
run), of which only the rows of kept volumes are fitted: censored volumes neither enter the fit nor need to be interpolated
before it. Each cosine costs a degree of freedom, and they are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

UNIQUE_GLOBAL = "global_signal_unique"
"""Column of the regressors' table: the part of the global signal that the other regressors do not explain."""
_RANK_TOLERANCE = 1e-7
"""Of the largest singular value: directions below it are numerical noise."""
_BLOCK_VOXELS = 4096


@dataclass(frozen=True)
class Band:
    """Frequencies to keep, Hz."""

    high_pass_hz: float
    """0 keeps slow drifts (but for the linear trend)."""
    low_pass_hz: float | None

    def stopped_orders(self, volumes: int, repetition_time_s: float) -> NDArray[np.int64]:
        """Return the orders k >= 1 of the cosines outside the band; order k has the frequency k / (2 n TR)."""
        orders = np.arange(1, volumes)
        frequencies = orders / (2 * volumes * repetition_time_s)
        upper = np.inf if self.low_pass_hz is None else self.low_pass_hz
        return orders[(frequencies < self.high_pass_hz) | (frequencies > upper)]


def cosines(volumes: int, orders: NDArray[np.int64]) -> Array:
    """Return (volumes, orders): cos(pi k (t + 1/2) / n), type II of the discrete cosine transform."""
    return np.cos(np.pi / volumes * np.outer(np.arange(volumes) + 0.5, orders))


@dataclass(frozen=True)
class Design:
    """What is regressed out of every voxel."""

    named: dict[str, Array]
    """Regressors by name, each (volumes,): intercept, trend, motion, global signal."""
    stopped: NDArray[np.int64]
    """Orders of the cosines outside the band."""
    kept: NDArray[np.bool_]
    """(volumes,): those that are fitted."""

    @classmethod
    def make(cls, nuisance: Mapping[str, Array], kept: NDArray[np.bool_], stopped: NDArray[np.int64]) -> Design:
        """Add intercept and linear trend to the nuisance regressors."""
        named = {"intercept": np.ones(kept.size), "linear_trend": np.linspace(-1, 1, kept.size)}
        return cls(named | dict(nuisance), stopped, kept)

    def stopped_ranges(self) -> list[list[int]]:
        """Return first and last of each stretch of consecutive stopped orders."""
        breaks = np.flatnonzero(np.diff(self.stopped) > 1) + 1
        return [[int(part[0]), int(part[-1])] for part in np.split(self.stopped, breaks) if part.size]

    def matrix(self) -> Array:
        """Return all columns, (volumes, regressors)."""
        return np.column_stack([*self.named.values(), cosines(self.kept.size, self.stopped)])

    def basis(self) -> Array:
        """Return an orthonormal basis of the columns on the kept volumes, (kept volumes, rank)."""
        columns = self.matrix()[self.kept]
        size = np.linalg.norm(columns, axis=0)
        columns[:, 1:] -= columns[:, 1:].mean(axis=0)  # the intercept is the first column: the span stays
        norms = np.linalg.norm(columns, axis=0)
        varying = norms > _RANK_TOLERANCE * size
        vectors, values, _ = np.linalg.svd(columns[:, varying] / norms[varying], full_matrices=False)
        return vectors[:, values > _RANK_TOLERANCE * values[0]]


def unique_part(signal: Array, others: Design) -> Array:
    """Return what the other regressors do not explain of a signal (volumes,); 0 in volumes that are not kept."""
    basis = others.basis()
    fitted = signal[others.kept] - signal[others.kept].mean()
    result = np.zeros(signal.size)
    result[others.kept] = fitted - basis @ (basis.T @ fitted)
    return result


def weights_of(samples: NDArray[np.float32], unique: Array) -> NDArray[np.float32]:
    """Return each voxel's weight (voxels,) of a unique part in the joint fit (Frisch, Waugh and Lovell)."""
    power = float(unique @ unique)
    if power == 0:
        return np.zeros(samples.shape[1], dtype=np.float32)
    result = np.empty(samples.shape[1], dtype=np.float32)
    for first in range(0, samples.shape[1], _BLOCK_VOXELS):
        part = slice(first, first + _BLOCK_VOXELS)
        result[part] = unique @ samples[:, part].astype(np.float64) / power
    return result


def regress(samples: NDArray[np.float32], kept: NDArray[np.bool_], basis: Array) -> None:
    """Replace samples in place by what the basis does not explain; interpolate the volumes that were not fitted.

    Parameters
    ----------
    samples
        (volumes, voxels)
    kept
        (volumes,)
    basis
        (kept volumes, rank), orthonormal.
    """
    for first in range(0, samples.shape[1], _BLOCK_VOXELS):
        block = samples[:, first : first + _BLOCK_VOXELS]
        fitted = block[kept].astype(np.float64)
        fitted -= basis @ (basis.T @ fitted)
        block[kept] = fitted
    interpolate(samples, kept)


def interpolate(samples: NDArray[np.float32], kept: NDArray[np.bool_]) -> None:
    """Fill the rows that are not kept: linearly between the kept ones around them, constant beyond the first and last.

    Linear, because a spline overshoots in long gaps; the rows are marked and no later stage may count them as data.
    """
    good = np.flatnonzero(kept)
    for row in np.flatnonzero(~kept):
        after = int(np.searchsorted(good, row))
        left, right = good[max(after - 1, 0)], good[min(after, good.size - 1)]
        share = np.float32(0 if left == right else (row - left) / (right - left))
        samples[row] = (1 - share) * samples[left] + share * samples[right]


def temporal_snr(samples: NDArray[np.float32], kept: NDArray[np.bool_]) -> Array:
    """Return mean over standard deviation of each voxel's kept volumes, linear trend removed from the latter."""
    trend = np.linspace(-1, 1, kept.size)[kept]
    trend -= trend.mean()
    norm = float(np.linalg.norm(trend))
    trend = trend / norm if norm > 0 else trend
    result = np.zeros(samples.shape[1])
    for first in range(0, samples.shape[1], _BLOCK_VOXELS):
        block = samples[kept, first : first + _BLOCK_VOXELS].astype(np.float64)
        mean = block.mean(axis=0)
        block -= mean
        block -= np.outer(trend, trend @ block)
        deviation = block.std(axis=0)
        result[first : first + _BLOCK_VOXELS] = np.divide(mean, deviation, out=np.zeros_like(mean), where=deviation > 0)
    return result
