"""The denoise stage's nuisance regression, fitted again on a part of the volumes.

The series are residuals of one fit on all kept volumes. What they are after a fit of motion and global signal on a part
alone follows from them without the data before regression: the first fit took away something in the span of the
regressors, and so, restricted to the part, in the span of the part's regressors; projecting the residuals onto its
complement gives what the data themselves would have.

The band stays as the whole run has it, and the regressors are taken within it: cosines of the whole run, cut to a part,
are hardly independent any more and would take most of the part's own signal with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tmsprep.denoise.design import UNIQUE_GLOBAL, Design
from tmsprep.errors import InputError
from tmsprep.files import read_json, read_tsv

BoolArray = NDArray[np.bool_]

_NOT_REGRESSORS = ("volume", "kept", UNIQUE_GLOBAL)
_FEWEST_FREEDOM = 10
_NOTHING_LEFT = 1e-6


@dataclass(frozen=True)
class RunDesign:
    """One run's regressors."""

    design: Design
    """Intercept and the regressors' parts within the band; no cosines."""
    unique_global: NDArray[np.float64] | None
    """(volumes,); None where the table lacks it."""

    @classmethod
    def load(cls, table: Path, sidecar: Path | None) -> RunDesign:
        """Read the regressors' table and the cosines that its sidecar names.

        Raises
        ------
        InputError
            The table has no column ``kept``, or a regressor is missing where it counts.
        """
        content = read_tsv(table, required=("kept",))
        kept = content["kept"].to_numpy(dtype=float) > 0.5
        named = {name: content[name].to_numpy(dtype=float) for name in content.columns if name not in _NOT_REGRESSORS}
        if any(not np.isfinite(values[kept]).all() for values in named.values()):
            raise InputError("a regressor is missing in a volume that is kept", where=table)
        unique = content[UNIQUE_GLOBAL].to_numpy(dtype=float) if UNIQUE_GLOBAL in content else None
        return cls(within_band(named, _orders(sidecar), kept), unique)

    def part(self, chosen: BoolArray) -> Design:
        """Return the design on the kept volumes that are chosen (kept volumes,)."""
        kept = self.design.kept.copy()
        kept[kept] = chosen
        return Design(self.design.named, self.design.stopped, kept)


def within_band(named: Mapping[str, NDArray[np.float64]], stopped: NDArray[np.int64], kept: BoolArray) -> Design:
    """Return the design of the regressors' parts that the stopped cosines do not explain, and an intercept."""
    intercept = np.ones(kept.size)
    outside = Design({"intercept": intercept}, stopped, kept).basis()
    parts: dict[str, NDArray[np.float64]] = {"intercept": intercept}
    for name, values in named.items():
        centred = values[kept] - values[kept].mean()
        rest = centred - outside @ (outside.T @ centred)
        if np.linalg.norm(rest) > _NOTHING_LEFT * np.linalg.norm(centred):
            parts[name] = np.zeros(kept.size)
            parts[name][kept] = rest
    return Design(parts, np.zeros(0, dtype=np.int64), kept)


def _orders(sidecar: Path | None) -> NDArray[np.int64]:
    if sidecar is None:
        return np.zeros(0, dtype=np.int64)
    ranges = read_json(sidecar).get("CosineRegressors", {}).get("Orders", [])
    parts = [np.arange(first, last + 1) for first, last in ranges]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def refit(z: NDArray[np.float32], designs: Sequence[RunDesign], chosen: Sequence[BoolArray]) -> NDArray[np.float32] | None:
    """Return the chosen volumes with the regression fitted on them alone, standardised within each run.

    Parameters
    ----------
    z
        (kept volumes of all runs, voxels)
    designs
        One a run, in the order of the rows.
    chosen
        For each run (kept volumes,): which of them.

    Returns
    -------
    ndarray or None
        (chosen volumes, voxels); None if no run has enough volumes for its regressors.
    """
    parts: list[NDArray[np.float32]] = []
    first = 0
    for design, rows in zip(designs, chosen, strict=True):
        run = z[first : first + rows.size]
        first += rows.size
        if not rows.any():
            continue
        basis = design.part(rows).basis().astype(np.float32)
        if int(rows.sum()) - basis.shape[1] < _FEWEST_FREEDOM:
            continue
        part = run[rows]
        part -= basis @ (basis.T @ part)
        standardise(part)
        parts.append(part)
    if len(parts) < 2:
        return parts[0] if parts else None
    return np.concatenate(parts)


def standardise(series: NDArray[np.float32]) -> None:
    """Give each column mean 0 and standard deviation 1, in place; a constant one becomes 0."""
    series -= series.mean(axis=0)
    deviation = np.sqrt(np.einsum("tv,tv->v", series, series) / len(series))
    series /= np.where(deviation > 0, deviation, np.float32(np.inf))
