"""How the head moves: slow drift, breathing, and a few jumps, as rigid poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_RADIUS_MM = 50.0
"""Of the sphere on which rotations are counted as displacements (Power 2012, doi:10.1016/j.neuroimage.2011.10.018)."""


@dataclass(frozen=True)
class Motion:
    """Poses of the head at the volumes of one run."""

    times_s: Array
    """Middle of each volume, (volumes,)."""
    parameters: Array
    """(volumes, 6): translations along R, A, S in mm and rotations about them in radians, about `centre_ras_mm`."""
    centre_ras_mm: Array
    jumps_s: Array
    """When the head jumped."""

    def parameters_at(self, times_s: Array) -> Array:
        """Return the parameters at other times, (m, 6)."""
        return np.stack([np.interp(times_s, self.times_s, column) for column in self.parameters.T], axis=1)

    def matrices_ras_mm(self) -> list[Array]:
        """Return one 4 x 4 matrix a volume: where a point of the head at rest is during that volume."""
        return [rigid(row[:3], row[3:], self.centre_ras_mm) for row in self.parameters]

    def framewise_displacement_mm(self) -> Array:
        """Return FD after Power 2012, (volumes,); 0 for the first."""
        steps = np.abs(np.diff(self.parameters, axis=0, prepend=self.parameters[:1]))
        return steps[:, :3].sum(axis=1) + _RADIUS_MM * steps[:, 3:].sum(axis=1)


def rigid(translation_mm: Array, rotation_rad: Array, centre_ras_mm: Array) -> Array:
    """Return the 4 x 4 matrix that turns about a centre (about R first, then A, then S) and then shifts."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(rotation_rad), np.sin(rotation_rad)
    about_r = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_a = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_s = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_s @ about_a @ about_r
    matrix[:3, 3] = np.asarray(translation_mm) + centre_ras_mm - matrix[:3, :3] @ centre_ras_mm
    return matrix


def draw_motion(
    volumes: int, repetition_time_s: float, mean_fd_mm: float, centre_ras_mm: Array, generator: np.random.Generator
) -> Motion:
    """Draw the motion of one run with a given mean framewise displacement; the head starts at rest.

    Pitch and vertical shift move most, as in supine heads.
    """
    times = (np.arange(volumes, dtype=np.float64) + 0.5) * repetition_time_s
    scale = np.array([0.4, 0.6, 1.0, 0.016, 0.007, 0.007])
    walk = np.cumsum(generator.standard_normal((volumes, 6)), axis=0)
    smooth = np.apply_along_axis(lambda column: np.convolve(column, np.ones(7) / 7, mode="same"), 0, walk)
    breath = np.sin(2 * np.pi * 0.28 * times + generator.uniform(0, 2 * np.pi))[:, np.newaxis] * 0.6
    jumps = np.sort(generator.choice(np.arange(volumes // 10, volumes - 5), max(2, volumes // 60), replace=False))
    steps = np.zeros((volumes, 6))
    for jump in jumps:
        steps[jump:] += generator.normal(0, 3.0, 6)
        steps[jump] += generator.normal(0, 2.0, 6)
    raw = (0.35 * smooth + breath + steps) * scale
    raw -= raw[0]
    motion = Motion(times, raw, centre_ras_mm, times[jumps])
    fd = float(motion.framewise_displacement_mm()[1:].mean())
    return Motion(times, raw * (mean_fd_mm / fd), centre_ras_mm, times[jumps])
