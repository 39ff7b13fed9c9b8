"""Spatial similarity: how a search voxel's whole map of functional connectivity resembles the circuit.

``FC_v(j)`` is the correlation of search voxel v with every voxel j that may carry a weight; the score is the Pearson
correlation of that map with the circuit's weights over j. No map is ever kept: the sums that the correlation needs are
gathered over blocks of voxels, or, without Fisher's z, follow from products with the series alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Series = NDArray[np.floating]

_BLOCK = 2048
_LARGEST_R = np.float32(1 - 1e-6)
"""Fisher's z of 1 is infinite."""


def similarity(z: Series, search: NDArray[np.int64], others: NDArray[np.int64], weights: Array, *, fisher: bool) -> Array:
    """Return the similarity of each search voxel's connectivity map with the weights, (search voxels,).

    Parameters
    ----------
    z
        (volumes, voxels)
    search
        Columns to score.
    others
        Columns that the maps are over; none of them near a search voxel.
    weights
        (others,): the circuit's weights.
    fisher
        Compare Fisher-z-transformed maps. Without it the score needs no voxel-by-voxel product:
        the sum over j of ``r_vj w_j`` is ``z_v' Z w``, and the sum of ``r_vj**2`` is ``z_v' (Z Z') z_v``.
    """
    centred = weights - weights.mean()
    norm = float(np.linalg.norm(centred))
    if not norm or not others.size:
        return np.zeros(search.size)
    mine = unit_columns(z, search)
    sums = _fisher_sums(mine, z, others, centred) if fisher else _linear_sums(mine, z, others, centred)
    total, squares, product = sums
    spread = np.sqrt(np.maximum(squares - total**2 / others.size, 0.0))
    return np.divide(product, spread * norm, out=np.zeros(search.size), where=spread > 0)


def unit_columns(z: Series, columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return columns with mean 0 and length 1 (0 for a constant one): their products are correlations."""
    block = z[:, columns].astype(np.float64)
    block -= block.mean(axis=0)
    length = np.linalg.norm(block, axis=0)
    return (block / np.where(length > 0, length, np.inf)).astype(np.float32)


def _fisher_sums(
    mine: NDArray[np.float32], z: Series, others: NDArray[np.int64], weights: Array
) -> tuple[Array, Array, Array]:
    """Return the sums over the other voxels of FC, its square, and its product with the weights."""
    total, squares, product = (np.zeros(mine.shape[1]) for _ in range(3))
    for first in range(0, others.size, _BLOCK):
        part = slice(first, first + _BLOCK)
        fc = mine.T @ unit_columns(z, others[part])
        np.arctanh(np.clip(fc, -_LARGEST_R, _LARGEST_R, out=fc), out=fc)
        total += fc.sum(axis=1, dtype=np.float64)
        squares += np.einsum("vj,vj->v", fc, fc, dtype=np.float64)
        product += fc @ weights[part]
    return total, squares, product


def _linear_sums(
    mine: NDArray[np.float32], z: Series, others: NDArray[np.int64], weights: Array
) -> tuple[Array, Array, Array]:
    """Return the same sums without Fisher's z, by way of the volumes-by-volumes Gram matrix of the other voxels."""
    volumes = mine.shape[0]
    gram = np.zeros((volumes, volumes), dtype=np.float32)
    both = np.zeros((volumes, 2))
    for first in range(0, others.size, _BLOCK):
        part = slice(first, first + _BLOCK)
        block = unit_columns(z, others[part])
        gram += block @ block.T
        both += block @ np.column_stack([np.ones(block.shape[1]), weights[part]])
    total, product = mine.T.astype(np.float64) @ both[:, 0], mine.T.astype(np.float64) @ both[:, 1]
    return total, np.einsum("tv,tv->v", mine, gram @ mine, dtype=np.float64), product
