"""Stage ``carpet``: a run before and after cleaning, as a picture of every voxel's signal and as tSNR after each step.

Carpet plot: Power 2017, doi:10.1016/j.neuroimage.2016.08.009. Rows are sorted by tissue and, within a tissue, from the rim
of the brain inwards: by place in space, not by place in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tmsprep.denoise.run_confounds import RunConfounds
from tmsprep.denoise.series import Series, read_series
from tmsprep.errors import ContractError, InputError
from tmsprep.files import load_nifti, read_data, read_tsv, write_tsv
from tmsprep.report.carpet_picture import Carpet, draw
from tmsprep.report.tsnr_steps import COLUMNS, Step, cleaned_tsnr, steps_table, tsnr_of
from tmsprep.spaces import Grid, Transform, apply_affine
from tmsprep.stages import InFile, OutFile, SidecarFields
from tmsprep.target.tissue import TissueMap

Array = NDArray[np.float64]
TISSUES = ("grey matter", "white matter", "CSF")
_ROWS = (170, 90, 40)
"""At most so many rows a tissue are drawn."""
_FEWEST_KEPT = 3
"""A line and a standard deviation need so many volumes."""
_CERTAIN = 0.5
"""A voxel is of a tissue if its mean probability exceeds this."""


@dataclass(frozen=True)
class Volumes:
    """Which volumes of a run entered the fit, and how the head moved."""

    kept: NDArray[np.bool_]
    """(volumes as acquired,)"""
    fd_mm: Array
    """(volumes as acquired,)"""
    confounds: RunConfounds

    @classmethod
    def load(cls, confounds: Path, regressors: Path) -> Volumes:
        """Read both tables.

        Raises
        ------
        InputError, ContractError
            They cannot be read, are not of the same run, or too few volumes were kept.
        """
        table = RunConfounds.load(confounds)
        kept = _kept(regressors, table.volumes)
        if kept.sum() < _FEWEST_KEPT:
            raise ContractError(f"{kept.sum()} volumes kept", where=regressors, expected=f"at least {_FEWEST_KEPT}")
        return cls(kept, table.framewise_displacement_mm(), table)

    def first_of(self, series: Series, path: Path) -> int:
        """Return which volume as acquired the series starts with."""
        return self.confounds.first_volume_of(series.volumes, path)


def _kept(regressors: Path, volumes: int) -> NDArray[np.bool_]:
    """Return (volumes as acquired,) which entered the fit; those that the design does not name did not."""
    rows = read_tsv(regressors, required=("volume", "kept"))
    named, flags = (np.array(pd.to_numeric(rows[name], errors="coerce"), np.float64) for name in ("volume", "kept"))
    # the design names every volume after the dummy scans, in order
    if not (0 < len(named) <= volumes and np.array_equal(named, np.arange(volumes - len(named), volumes))):
        span = f"volumes {named[0]:g} to {named[-1]:g}" if len(named) else "no volume"
        raise ContractError(
            f"the design names {span}, the confounds have {volumes} rows",
            where=regressors,
            expected="tables of the same run",
        )
    kept = np.zeros(volumes, dtype=bool)
    kept[volumes - len(named) :] = flags > 0
    return kept


def draw_carpet(
    *,
    echo: list[InFile],
    optcom: InFile | None = None,
    denoised: InFile | None = None,
    mask: InFile,
    confounds: InFile,
    regressors: InFile,
    boldref_to_t1w: InFile,
    cleaned: InFile,
    cleaned_mask: InFile,
    gm: InFile,
    wm: InFile,
    csf: InFile,
    out_carpet: OutFile,
    out_tsnr: OutFile,
) -> SidecarFields:
    """Draw a run before and after cleaning, and measure its temporal signal-to-noise ratio after each step.

    Parameters
    ----------
    echo
        Preprocessed series of each echo, in order; one for a single-echo run.
    optcom
        tedana's combination of the echoes; of every multi-echo run, and of no other.
    denoised
        tedana's denoised series; multi-echo runs only, without it that step has no row.
    mask
        Brain mask on the grid of these series.
    confounds
        fMRIPrep's confounds of the run (TSV).
    regressors
        The design of the regression, with ``volume`` and ``kept`` (TSV).
    boldref_to_t1w
        ``from-boldref_to-T1w`` (ITK affine).
    cleaned
        The series after the regression (mean 0, smoothed), on a grid of its own in T1w space.
    cleaned_mask
        Where it has signal, on that grid.
    gm, wm, csf
        Probability of grey matter, white matter and cerebrospinal fluid in T1w space, on any grid.
    out_carpet
        The picture (PNG): framewise displacement, and the signal before and after cleaning, a column a volume as acquired.
    out_tsnr
        A row a step (TSV): ``step``, ``description``, ``tsnr_median_brain``, ``tsnr_median_gm``.

    Raises
    ------
    InputError, ContractError
        Files that cannot be read, are not of one run, or of which one is missing.
    """
    natives = _native(echo, optcom, denoised)
    volumes = Volumes.load(confounds, regressors)
    tissues = [TissueMap.load(path) for path in (gm, wm, csf)]
    to_t1w = Transform.load(boldref_to_t1w)
    moved = [TissueMap(item.values, to_t1w.affine_part() @ item.affine_ras_mm) for item in tissues]
    native_tissues = _probabilities(mask, moved)
    looked = [_Looked.at(native, mask, volumes, native_tissues) for native in natives]
    last, own_tissues = read_series(cleaned, cleaned_mask), _probabilities(cleaned_mask, tissues)
    first = volumes.first_of(last, cleaned)
    snr = cleaned_tsnr(last, volumes.kept[first:], looked[-1].mean, to_t1w)
    regression = Step.of("regression", _LAST, snr, own_tissues[0] > _CERTAIN)
    after = _carpet(last, first, volumes, own_tissues)
    before = looked[0] if optcom is None else looked[1]
    draw(out_carpet, before.carpet, after, volumes.fd_mm, volumes.kept, TISSUES)
    write_tsv(out_tsnr, steps_table([*(item.step for item in looked), regression]), decimals=3)
    return {"out_tsnr": {name: {"Description": text} for name, text in COLUMNS.items()}}


_LAST = "after the regression, in T1w space; smoothing is part of it, so this gain is not the regression's alone"


def _native(echoes: Sequence[Path], optcom: Path | None, denoised: Path | None) -> list[tuple[str, str, Path]]:
    """Return name, description and file of each series before the regression, in order."""
    if len(echoes) == 1 and optcom is None and denoised is None:
        return [("preprocessed", "the preprocessed series", echoes[0])]
    if len(echoes) < 2 or optcom is None:  # what the regression began with would be a guess
        raise InputError(
            f"{len(echoes)} echo(es) {'without' if optcom is None else 'with'} a combined series",
            where="--echo, --optcom, --denoised",
            expected="one echo alone, or several and their combination",
        )
    middle = len(echoes) // 2
    found = [
        ("one echo", f"echo {middle + 1} of {len(echoes)} alone", echoes[middle]),
        ("combined", "the echoes combined, weighted by T2*", optcom),
    ]
    return found if denoised is None else [*found, ("tedana", "components removed by tedana", denoised)]


@dataclass(frozen=True)
class _Looked:
    """What is kept of a series on the native grid."""

    step: Step
    carpet: Carpet
    mean: Series
    """One volume: the mean of the kept ones."""

    @classmethod
    def at(cls, native: tuple[str, str, Path], mask: Path, volumes: Volumes, probabilities: Sequence[Array]) -> _Looked:
        name, description, path = native
        series = read_series(path, mask)
        first = volumes.first_of(series, path)
        kept = volumes.kept[first:]
        step = Step.of(name, description, tsnr_of(series, kept), probabilities[0] > _CERTAIN)
        mean = series.samples[kept].mean(axis=0, dtype=np.float64).astype(np.float32)[np.newaxis]
        return cls(step, _carpet(series, first, volumes, probabilities), replace(series, samples=mean))


def _probabilities(mask: Path, tissues: Sequence[TissueMap]) -> list[Array]:
    """Return the mean probability of each tissue in the voxels of a mask (voxels,); `tissues` in the frame of its grid."""
    image = load_nifti(mask)
    return [tissue.mean_in_voxels(Grid.of(image), read_data(image) > 0.5) for tissue in tissues]


def _carpet(series: Series, first: int, volumes: Volumes, probabilities: Sequence[Array]) -> Carpet:
    """Choose rows and standardise them; volumes that the series lacks stay NaN."""
    places = apply_affine(series.grid.affine_ras_mm, np.argwhere(series.mask))
    kept = volumes.kept[first:]
    with_signal = np.isfinite(series.samples).all(axis=0) & (np.ptp(series.samples[kept], axis=0) > 0)
    blocks: list[NDArray[np.float32]] = []
    for probability, most in zip(probabilities, _ROWS, strict=True):
        chosen = _rows(np.flatnonzero((probability > _CERTAIN) & with_signal), places, most)
        block = np.full((len(chosen), len(volumes.kept)), np.nan, dtype=np.float32)
        block[:, first : first + series.volumes] = standardised(series.samples[:, chosen], kept).T
        blocks.append(block)
    return Carpet(tuple(blocks))


def _rows(voxels: NDArray[np.int64], places_ras_mm: Array, most: int) -> NDArray[np.int64]:
    """Return voxels from the rim of the brain inwards, evenly thinned out to `most`."""
    away = np.round(np.linalg.norm(places_ras_mm - places_ras_mm.mean(axis=0), axis=1)[voxels], 3)
    x, y, z = np.round(places_ras_mm[voxels], 3).T
    ordered = voxels[np.lexsort((x, y, z, -away))]
    if len(ordered) <= most:
        return ordered
    return ordered[np.linspace(0, len(ordered) - 1, most).round().astype(np.int64)]


def standardised(samples: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return (volumes, voxels) less mean and line, over the standard deviation; all three of the kept volumes."""
    line = np.linspace(-1, 1, len(kept))
    design = np.stack([np.ones_like(line), line], axis=1)
    weights, *_ = np.linalg.lstsq(design[kept], samples[kept].astype(np.float64), rcond=None)
    rest = samples - design @ weights
    deviation = rest[kept].std(axis=0)
    return np.divide(rest, deviation, out=np.zeros_like(rest), where=deviation > 0).astype(np.float32)
