"""The temporal signal-to-noise ratio (tSNR) of a run after each step of its cleaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tmsprep.denoise.design import temporal_snr
from tmsprep.denoise.series import Series
from tmsprep.report.slices import Volume
from tmsprep.spaces import Transform, apply_affine

Array = NDArray[np.float64]

COLUMNS = {
    "step": "What was done last",
    "description": "The same in words",
    "tsnr_median_brain": "Median tSNR over the brain mask's voxels that have signal; kept volumes, linear trend removed",
    "tsnr_median_gm": "The same over voxels that are grey matter with a probability above 0.5",
}


@dataclass(frozen=True)
class Step:
    """The state of a run after one step."""

    name: str
    description: str
    brain: float
    grey_matter: float
    """Medians; NaN where there is no voxel."""

    @classmethod
    def of(cls, name: str, description: str, snr: Array, grey_matter: NDArray[np.bool_]) -> Step:
        """Take the medians of a map (voxels,); voxels without signal or without noise have none."""
        sound = np.isfinite(snr) & (snr > 0)
        return cls(name, description, _median(snr[sound]), _median(snr[sound & grey_matter]))


def _median(values: Array) -> float:
    return float(np.median(values)) if values.size else float("nan")


def tsnr_of(series: Series, kept: NDArray[np.bool_]) -> Array:
    """Return the tSNR of each voxel (voxels,)."""
    return temporal_snr(series.samples, kept)


def cleaned_tsnr(cleaned: Series, kept: NDArray[np.bool_], before: Series, to_t1w: Transform) -> Array:
    """Return the tSNR of a series whose mean was removed: the mean of the series before, over what varies still.

    Parameters
    ----------
    cleaned
        In T1w space, mean 0.
    kept
        (volumes,) of it.
    before
        One volume: the mean of what went into the regression, native grid.
    to_t1w
        ``from-boldref_to-T1w``.

    Returns
    -------
    Array
        (voxels,); NaN where the series before has no value.
    """
    values = np.zeros(before.mask.shape, dtype=np.float32)
    values[before.mask] = before.samples[0]
    places = apply_affine(cleaned.grid.affine_ras_mm, np.argwhere(cleaned.mask))
    means = Volume(values, before.grid.affine_ras_mm).sample_known(to_t1w.pull_points(places)).astype(np.float64)
    deviation = cleaned.samples[kept].std(axis=0, dtype=np.float64)
    return np.divide(means, deviation, out=np.full(len(means), np.nan), where=deviation > 0)


def steps_table(steps: Sequence[Step]) -> pd.DataFrame:
    """Return the table that the stage writes."""
    rows = [(step.name, step.description, step.brain, step.grey_matter) for step in steps]
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))
