"""Slice-timing correction: each slice's series shifted to one common time, in the frequency domain."""

from __future__ import annotations

import numpy as np
from scipy import fft

from tmsprep.errors import InputError
from tmsprep.preprocess.builtin.series import Volume
from tmsprep.sidecars import SliceTiming

_MINIMUM_VOLUMES = 5


def reference_time_s(timing: SliceTiming) -> float:
    """Return the time halfway between the first and the last slice, in s from the start of the volume."""
    return (min(timing.times_s) + max(timing.times_s)) / 2


def correct_slice_timing(
    data: Volume, timing: SliceTiming, *, repetition_s: float, target_s: float, first_steady: int
) -> None:
    """Shift every slice's series, in place, to what it would be had all slices been acquired at `target_s`.

    Volumes before `first_steady` stay as they are and influence nothing. The linear trend is shifted as a line; the
    rest by a phase in the frequency domain, over the series and its mirror image, so that it closes without a jump.

    Parameters
    ----------
    data
        (x, y, z, t).
    timing
        When each slice was acquired.
    repetition_s
        Time between volumes in s.
    target_s
        The common time from the start of the volume in s.
    first_steady
        Index of the first volume in a steady state.

    Raises
    ------
    InputError
        Fewer than five steady volumes: too few to interpolate between.
    """
    steady_volumes = data.shape[3] - first_steady
    if steady_volumes < _MINIMUM_VOLUMES:
        raise InputError(
            f"{steady_volumes} volumes in a steady state",
            expected=f"at least {_MINIMUM_VOLUMES} for slice-timing correction",
            action="leave slice timing uncorrected (--no-slice-timing), or exclude the run",
        )
    slices = np.moveaxis(data, timing.axis, 0)
    for series, time_s in zip(slices, timing.times_s, strict=True):
        steady = series[..., first_steady:]
        steady[...] = shifted(steady, (target_s - time_s) / repetition_s)


def shifted(series: Volume, volumes: float) -> Volume:
    """Return series (..., t) read `volumes` later (a fraction of the repetition time)."""
    if volumes == 0:
        return series
    count = series.shape[-1]
    time = np.arange(count, dtype=np.float32) - np.float32((count - 1) / 2)
    mean = series.mean(axis=-1, keepdims=True, dtype=np.float64).astype(np.float32)
    rest = series - mean
    slope = (rest @ time / np.float32(time @ time))[..., np.newaxis]
    rest -= slope * time
    closed = np.concatenate([rest, rest[..., ::-1]], axis=-1)
    frequencies = fft.rfftfreq(2 * count)
    phase = np.exp(2j * np.pi * frequencies * volumes).astype(np.complex64)
    spectrum = np.asarray(fft.rfft(closed, axis=-1)) * phase
    moved = np.asarray(fft.irfft(spectrum, n=2 * count, axis=-1))[..., :count]
    return moved + mean + slope * (time + np.float32(volumes))
