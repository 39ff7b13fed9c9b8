"""Which volumes of a run are used for what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tmsprep.denoise.run_confounds import RunConfounds
from tmsprep.denoise.series import open_series
from tmsprep.errors import ProcessingError


@dataclass(frozen=True)
class Timing:
    """Which volumes of a run are used for what. "Steady" volumes are those after the dummy scans."""

    volumes: int
    """As acquired."""
    dummies: int
    """Volumes before steady state, absent from the outputs."""
    first_of_series: int
    """Where the steady volumes start in the file read: 0 if it comes without dummy scans."""
    fd_mm: NDArray[np.float64]
    """(steady volumes,)"""
    threshold_mm: float

    @property
    def kept(self) -> NDArray[np.bool_]:
        """(steady volumes,): those fitted."""
        return self.fd_mm <= self.threshold_mm


def read_timing(table: RunConfounds, bold: Path, fd_threshold_mm: float) -> Timing:
    """Read which volumes are dummy scans and which moved too much.

    Raises
    ------
    ContractError
        Confounds and series do not fit, or lack something.
    ProcessingError
        No volume is left.
    """
    volumes = int(open_series(bold).shape[3])
    dummies = table.dummy_scans()
    first_of_series = dummies - table.first_volume_of(volumes, bold)
    timing = Timing(table.volumes, dummies, first_of_series, table.framewise_displacement_mm()[dummies:], fd_threshold_mm)
    if not timing.kept.any():
        raise ProcessingError(
            f"all {timing.kept.size} volumes are censored (framewise displacement above {fd_threshold_mm:g} mm)",
            where=bold,
            expected="volumes without head motion",
            action="leave this run out, or raise --fd-threshold-mm",
        )
    return timing
