"""Grey matter, white matter and cerebrospinal fluid of one brain, from the brightness of its own T1w.

A hidden Markov random field (Zhang, Brady, Smith 2001, doi:10.1109/42.906424): three Gaussian classes, neighbours that
tend to agree, and a slowly varying brightness that is estimated along. No atlas: nothing pulls a participant's cortex
towards the average one. Checked against ANTs' Atropos and against real cortical surfaces in the tests and the bench.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.errors import ProcessingError
from tmsprep.preprocess.builtin.head import Array, Mask, Volume

ROUNDS = 6
AGREEMENT = 2.5
"""Weight of the neighbours: log odds between a neighbourhood of one class wholly and of none of it."""
BRIGHTNESS_MM = 25.0
"""Standard deviation of the smoothing of the slow brightness."""
GREY_TO_WHITE = (0.6, 2.5)
"""Plausible ratio of volumes in adults (Lüders et al. 2002, doi:10.1006/nimg.2002.1147: 1.3 to 1.8; wide, it is a gate)."""


@dataclass(frozen=True)
class Tissues:
    """Probabilities, (x, y, z) each, summing to 1 inside the brain mask and 0 outside."""

    grey: Volume
    white: Volume
    fluid: Volume

    def labels(self) -> NDArray[np.uint8]:
        """Return the likeliest tissue as fMRIPrep numbers them: 0 background, 1 GM, 2 WM, 3 CSF."""
        stack = np.stack([self.grey, self.white, self.fluid])
        return np.where(stack.any(axis=0), stack.argmax(axis=0) + 1, 0).astype(np.uint8)


@dataclass(frozen=True)
class _Classes:
    means: Array
    deviations: Array


def segment(data: Volume, mask: Mask, zooms_mm: Array, starts: tuple[float, float, float]) -> Tissues:
    """Return the tissue probabilities of one brain.

    Parameters
    ----------
    data
        (x, y, z) bias-corrected T1w.
    mask
        Brain mask of the same shape.
    zooms_mm
        Voxel edges.
    starts
        First mean brightness of fluid, grey and white matter.

    Raises
    ------
    ProcessingError
        The tissues do not come out as in an adult's T1w.
    """
    values = data[mask].astype(np.float64)
    spread = (starts[2] - starts[1]) / 2
    classes = _Classes(np.asarray(starts), np.full(3, spread))
    shares = np.full((3, values.size), 1 / 3)
    brightness = np.ones_like(values)
    for round_ in range(ROUNDS):
        shares = _shares(values / brightness, classes, _neighbours(shares, mask, zooms_mm) if round_ else None)
        classes = _fitted(values / brightness, shares)
        brightness = _brightness(values, shares, classes, mask, zooms_mm)
    _require_t1w(classes, shares)
    fluid, grey, white = (_volume(share, mask) for share in shares)
    return Tissues(grey, white, fluid)


def _shares(values: Array, classes: _Classes, agreement: Array | None) -> Array:
    """Return the probability of each class, (3, n)."""
    centred = (values - classes.means[:, np.newaxis]) / classes.deviations[:, np.newaxis]
    logs = -0.5 * centred**2 - np.log(classes.deviations)[:, np.newaxis]
    # fluid is darkest: what is darker still is fluid too, and what is brighter than white matter is white
    logs[0, values < classes.means[0]] = -np.log(classes.deviations[0])
    logs[2, values > classes.means[2]] = np.maximum(logs[2], -np.log(classes.deviations[2]))[values > classes.means[2]]
    if agreement is not None:
        logs += AGREEMENT * agreement
    logs -= logs.max(axis=0)
    shares = np.exp(logs)
    return shares / shares.sum(axis=0)


def _neighbours(shares: Array, mask: Mask, zooms_mm: Array) -> Array:
    """Return the mean share of each class among a voxel's neighbours in the mask, nearer ones counting more, (3, n)."""
    widths = np.minimum(1.0 / zooms_mm, 1.0)
    inside = ndimage.gaussian_filter(mask.astype(np.float32), widths, truncate=2.0)[mask]
    means = [ndimage.gaussian_filter(_volume(share, mask), widths, truncate=2.0)[mask] / inside for share in shares]
    return np.stack(means)


def _fitted(values: Array, shares: Array) -> _Classes:
    totals = shares.sum(axis=1)
    means = (shares @ values) / totals
    squares = (shares * (values - means[:, np.newaxis]) ** 2).sum(axis=1) / totals
    return _Classes(means, np.maximum(np.sqrt(squares), 1e-3 * means[2]))


def _brightness(values: Array, shares: Array, classes: _Classes, mask: Mask, zooms_mm: Array) -> Array:
    """Return the slow brightness at the voxels, about 1, from grey and white matter only."""
    weight = shares[1] + shares[2]
    expected = (shares[1] * classes.means[1] + shares[2] * classes.means[2]) / np.maximum(weight, 1e-6)
    step = np.maximum(np.rint(4.0 / zooms_mm).astype(int), 1)
    ratio = _thinned(_volume(weight * values / np.maximum(expected, 1e-6), mask), step)
    base = _thinned(_volume(weight, mask), step)
    widths = BRIGHTNESS_MM / (step * zooms_mm)
    coarse = ndimage.gaussian_filter(ratio, widths) / np.maximum(ndimage.gaussian_filter(base, widths), 1e-6)
    places = (np.argwhere(mask) - (step - 1) / 2) / step
    return ndimage.map_coordinates(coarse, places.T, order=1, mode="nearest")


def _thinned(volume: Volume, step: NDArray[np.int_]) -> Volume:
    """Average blocks of `step` voxels."""
    padded = np.pad(volume, [(0, int(-size % each)) for size, each in zip(volume.shape, step, strict=True)])
    x, y, z = (size // each for size, each in zip(padded.shape, step, strict=True))
    return padded.reshape(x, step[0], y, step[1], z, step[2]).mean(axis=(1, 3, 5))


def _volume(values: Array, mask: Mask) -> Volume:
    volume = np.zeros(mask.shape, dtype=np.float32)
    volume[mask] = values
    return volume


def _require_t1w(classes: _Classes, shares: Array) -> None:
    ratio = float(shares[1].sum() / shares[2].sum())
    low, high = GREY_TO_WHITE
    ordered = bool(np.all(np.diff(classes.means) > 0))
    if not (ordered and low < ratio < high):
        raise ProcessingError(
            f"grey and white matter come out with brightness {classes.means[1]:.0f} and {classes.means[2]:.0f}"
            f" and a ratio of volumes of {ratio:.2f}",
            expected=f"white matter brighter than grey, ratio {low} to {high}, as in the T1w of an adult",
            action="look at the T1w: contrast, artefacts, brain mask",
        )
