"""How far the target would move with other data of the same kind: a circular block bootstrap of the volumes.

A draw takes as many volumes as there are, in blocks (Kuensch 1989; circular: Politis and Romano 1992), so that what is
correlated in time stays together. Scores of a draw need only sums over its volumes; sums over short pieces are formed once,
and ten thousand draws are one product of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PIECE_S = 10.0
"""Length of a piece; a block starts at any piece."""
BLOCK_S = 60.0
"""Length of a block: several times the memory of band-limited BOLD."""
_DRAWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Pieces:
    """Sums over short pieces of the kept volumes."""

    size: Array
    """(pieces,): volumes."""
    course: Array
    """(pieces, 2): sums of the circuit's course and its square."""
    series: NDArray[np.float32]
    """(pieces, 3, search voxels): sums of the series, their squares, and their products with the course."""

    @classmethod
    def of(cls, z: NDArray[np.floating], course: Array, volumes_a_piece: int) -> Pieces:
        """Sum up.

        Parameters
        ----------
        z
            (volumes, search voxels): standardised series.
        course
            (volumes,)
        volumes_a_piece
            At least 1; the last piece may be shorter.
        """
        starts = np.arange(0, len(course), volumes_a_piece)
        scaled = (course - course.mean()) / course.std()
        sums = [np.add.reduceat(part, starts, axis=0) for part in (z, z**2, z * scaled[:, np.newaxis])]
        return cls(
            size=np.diff(np.append(starts, len(course))).astype(np.float64),
            course=np.column_stack([np.add.reduceat(scaled, starts), np.add.reduceat(scaled**2, starts)]),
            series=np.stack(sums, axis=1).astype(np.float32),
        )

    def scores(self, counts: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the correlations of each draw, (draws, search voxels), given how often it has each piece."""
        volumes = (counts @ self.size)[:, np.newaxis]
        course = counts @ self.course
        shape = self.series.shape
        total, squares, products = np.moveaxis((counts @ self.series.reshape(shape[0], -1)).reshape(-1, *shape[1:]), 1, 0)
        mean, power = course[:, :1] / volumes, course[:, 1:] / volumes
        covariance = products / volumes - mean * total / volumes
        variance = squares / volumes - (total / volumes) ** 2
        spread = np.sqrt(np.maximum(variance, 0.0) * np.maximum(power - mean**2, 0.0))
        return np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 0).astype(np.float32)


def draw_counts(pieces: int, block: int, draws: int, seed: int) -> NDArray[np.float32]:
    """Return (draws, pieces): how often each draw has each piece.

    Parameters
    ----------
    pieces
        Number of pieces, in a circle.
    block
        Pieces a block.
    draws, seed
        How many, and what governs them.
    """
    block = min(block, pieces)
    blocks = -(-pieces // block)
    starts = np.random.default_rng(seed).integers(0, pieces, size=(draws, blocks))
    excess = blocks * block - pieces  # the last block is cut, so that each draw is as long as the data
    lengths = np.full(blocks, block)
    lengths[-1] -= excess
    # a block adds one from its first piece to its last: the sum over pieces of +1 where it starts and -1 where it has ended
    steps = np.zeros((draws, 2 * pieces + 1), dtype=np.int32)
    rows = np.repeat(np.arange(draws), blocks)
    width = steps.shape[1]
    for sign, at in ((1, starts), (-1, starts + lengths)):
        steps += sign * np.bincount(rows * width + at.ravel(), minlength=steps.size).reshape(steps.shape).astype(np.int32)
    line = np.cumsum(steps, axis=1)
    return (line[:, :pieces] + line[:, pieces : 2 * pieces]).astype(np.float32)


def bootstrap_scores(pieces: Pieces, counts: NDArray[np.float32], row_spread: Array | None = None) -> NDArray[np.float32]:
    """Return the scores of all draws, (draws, search voxels).

    Parameters
    ----------
    pieces
        The sums.
    counts
        (draws, pieces)
    row_spread
        (search voxels,): what the correlation is divided by to be a spatial similarity, held as it is in all data; None for
        methods whose score is the correlation itself.
    """
    parts = [pieces.scores(counts[first : first + _DRAWS_AT_ONCE]) for first in range(0, len(counts), _DRAWS_AT_ONCE)]
    scores = np.concatenate(parts)
    return scores if row_spread is None else (scores / row_spread).astype(np.float32)
