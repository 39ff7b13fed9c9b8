from __future__ import annotations

import numpy as np
import pytest

from tmsprep.errors import InputError
from tmsprep.preprocess.builtin.slicetiming import correct_slice_timing, reference_time_s
from tmsprep.sidecars import SliceTiming

_TR_S = 2.0
_VOLUMES = 120


def _signal(times_s: np.ndarray) -> np.ndarray:
    """Slow waves, a drift and an offset: what a BOLD series holds below its Nyquist frequency."""
    waves = 20 * np.sin(2 * np.pi * 0.031 * times_s + 0.3) + 8 * np.cos(2 * np.pi * 0.11 * times_s)
    return 1000 + 0.2 * times_s + waves


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_slice_is_brought_to_the_same_time(axis: int) -> None:
    slices = (0.0, 1.0, 0.5, 1.5, 1.75)
    shape = [3, 3, 3]
    shape[axis] = len(slices)
    data = np.empty((*shape, _VOLUMES), dtype=np.float32)
    for index, time in enumerate(slices):
        np.moveaxis(data, axis, 0)[index] = _signal(np.arange(_VOLUMES) * _TR_S + time)
    timing = SliceTiming(slices, axis)
    target = reference_time_s(timing)
    assert target == 0.875
    before = np.abs(data - _signal(np.arange(_VOLUMES) * _TR_S + target)).max()
    correct_slice_timing(data, timing, repetition_s=_TR_S, target_s=target, first_steady=0)
    error = np.abs(data - _signal(np.arange(_VOLUMES) * _TR_S + target))
    assert before > 5
    assert error[..., 5:-5].max() < 0.5
    assert error.max() < 6  # the ends have neighbours on one side only


def test_volumes_that_are_not_steady_neither_change_nor_matter() -> None:
    timing = SliceTiming((0.0, 1.5), 2)
    one = np.tile(_signal(np.arange(_VOLUMES) * _TR_S).astype(np.float32), (1, 1, 2, 1))
    other = one.copy()
    other[..., :3] = 9000
    for data in (one, other):
        correct_slice_timing(data, timing, repetition_s=_TR_S, target_s=0.75, first_steady=3)
    assert np.all(other[..., :3] == 9000)
    np.testing.assert_array_equal(one[..., 3:], other[..., 3:])


def test_too_few_volumes_are_refused() -> None:
    data = np.ones((2, 2, 2, 6), dtype=np.float32)
    with pytest.raises(InputError, match="no-slice-timing"):
        correct_slice_timing(data, SliceTiming((0.0, 1.0), 2), repetition_s=2.0, target_s=0.5, first_steady=2)
