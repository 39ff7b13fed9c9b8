"""What the simulated scanner was told to do: echo times, volumes, voxels, slice order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tmsprep.errors import ConfigurationError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Protocol:
    """One multi-echo EPI protocol."""

    repetition_time_s: float
    echo_times_s: tuple[float, ...]
    """Ascending."""
    voxel_mm: float
    """Edge of the cubic voxel."""
    minutes: float
    matrix: tuple[int, int]
    """Voxels along the read (left-right) and phase-encoding (front-back) axes."""
    slices: int
    tsnr: float
    """Mean grey-matter signal of the first echo over the standard deviation of the thermal noise."""
    quantum: float
    """Step between storable values in standard deviations of the thermal noise; 1 adds 4 % to the noise."""
    readout_time_s: float
    """BIDS `TotalReadoutTime`."""
    slice_order: Literal["ascending", "descending"] = "ascending"
    """One slice after its neighbour. Interleaved orders are not offered: the blur between slices would mix their times."""

    def __post_init__(self) -> None:
        """Refuse what no scanner could do."""
        times = np.asarray(self.echo_times_s)
        if times.size == 0 or np.any(times <= 0) or np.any(np.diff(times) <= 0):
            raise ConfigurationError(f"echo times {self.echo_times_s} s", expected="one or more, positive, ascending")
        if times[-1] >= 0.2:
            raise ConfigurationError(f"an echo time of {times[-1]} s", expected="seconds (0.013), below 0.2")
        if self.volumes < 20:
            raise ConfigurationError(f"{self.volumes} volumes", expected="at least 20", action="raise --minutes")

    @property
    def volumes(self) -> int:
        """Number of volumes."""
        return round(self.minutes * 60 / self.repetition_time_s)

    @property
    def duration_s(self) -> float:
        """Length of the run."""
        return self.volumes * self.repetition_time_s

    def slice_times_s(self) -> Array:
        """Return the start of each slice within the repetition, (slices,), from the lowest slice to the highest."""
        times = np.arange(self.slices, dtype=np.float64) * (self.repetition_time_s / self.slices)
        return np.round(times if self.slice_order == "ascending" else times[::-1], 4)

    def shape(self) -> tuple[int, int, int]:
        """Return the voxels of one volume."""
        return (*self.matrix, self.slices)
