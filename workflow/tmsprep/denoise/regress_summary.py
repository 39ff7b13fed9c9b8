"""What the denoise stage tells those who come later: numbers with units, warnings, and how to rebuild the design."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tmsprep.denoise.design import UNIQUE_GLOBAL, Band, Design
from tmsprep.denoise.series import Series
from tmsprep.denoise.timing import Timing

_FEW_FREEDOM = 40
_LOW_COVERAGE = 0.8
_MANY_CENSORED = 0.5


def summarise(series: Series, timing: Timing, design: Design, rank: int, coverage: dict[str, float]) -> dict[str, Any]:
    """Return the summary, without its warnings; `rank` is that of the design, `coverage` a share by space."""
    kept = int(timing.kept.sum())
    mean_fd = round(float(timing.fd_mm.mean()), 6)
    return {
        "CleanMinutes": round(kept * series.repetition_time_s / 60, 4),
        "MeanFD_mm": mean_fd,
        "MaxFD_mm": round(float(timing.fd_mm.max()), 6),
        "FDThreshold_mm": timing.threshold_mm,
        "TotalVolumes": timing.volumes,
        "DummyScansRemoved": timing.dummies,
        "CensoredVolumes": timing.kept.size - kept,
        "KeptVolumes": kept,
        "Regressors": rank,
        "BandRegressors": int(design.stopped.size),
        "DegreesOfFreedomLeft": kept - rank,
        "RepetitionTime": series.repetition_time_s,
        "VoxelsWithSignal": int(series.mask.sum()),
        **{f"CoverageBrain_{space}": round(share, 4) for space, share in coverage.items()},
    }


def warnings_of(summary: dict[str, Any]) -> list[str]:
    """Return what a reader of the summary should be wary of."""
    found: list[str] = []
    if summary["DegreesOfFreedomLeft"] < _FEW_FREEDOM:
        found.append(
            f"Only {summary['DegreesOfFreedomLeft']} degrees of freedom are left after regression"
            f" ({summary['KeptVolumes']} volumes, {summary['Regressors']} regressors)"
        )
    steady = summary["KeptVolumes"] + summary["CensoredVolumes"]
    if summary["CensoredVolumes"] > _MANY_CENSORED * steady:
        found.append(f"{summary['CensoredVolumes']} of {steady} volumes are censored for head motion")
    if summary["CoverageBrain_T1w"] < _LOW_COVERAGE:
        found.append(f"Only {summary['CoverageBrain_T1w']:.0%} of the T1w's brain mask has BOLD signal")
    return found


def regressors_table(design: Design, timing: Timing) -> pd.DataFrame:
    """Return one row a volume of the outputs: which it was in the run, whether it was fitted, and the regressors."""
    volumes = np.arange(timing.dummies, timing.volumes)
    return pd.DataFrame({"volume": volumes, "kept": timing.kept.astype(int)} | design.named)


def series_fields(series: Series, timing: Timing, design: Design, fwhm_mm: float) -> dict[str, Any]:
    """Return the sidecar fields of the cleaned series."""
    return {
        "RepetitionTime": series.repetition_time_s,
        "SkullStripped": True,
        "DummyScansRemoved": timing.dummies,
        "NumberOfVolumesDiscardedByUser": timing.dummies,
        "CensoredVolumes": int((~timing.kept).sum()),
        "FDThreshold_mm": timing.threshold_mm,
        "SmoothingFWHM_mm": fwhm_mm,
        "NuisanceRegressors": list(design.named),
        "CosineOrdersRemoved": design.stopped_ranges(),
        "Interpolation": "cubic spline, once",
    }


def design_fields(design: Design, band: Band) -> dict[str, Any]:
    """Return the sidecar fields of the regressors, from which the whole design can be rebuilt."""
    return {
        "volume": {"Description": "Index of the volume in the run as acquired, from 0"},
        "kept": {"Description": "1 if the volume entered the fit; 0 if it was censored and its value is interpolated"},
        UNIQUE_GLOBAL: {
            "Description": "Not fitted: what the other regressors do not explain of the mean over the brain mask"
        },
        "CosineRegressors": {
            "Description": (
                "Fitted together with the columns: cos(pi k (t + 1/2) / n), t = 0 .. n - 1 the row, n the number of"
                " rows, for the orders k from the first to the last of each pair in Orders"
            ),
            "Orders": design.stopped_ranges(),
            "HighPass_Hz": band.high_pass_hz,
            "LowPass_Hz": band.low_pass_hz,
        },
    }
