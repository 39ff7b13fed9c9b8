"""The scanner: takes the head through its poses and writes down every echo of every volume.

``S(x, t, TE) = S0(x) (1 + dS0(x, t)) exp(-TE (R2*(x) + dR2*(x, t)))`` (Kundu 2012, doi:10.1016/j.neuroimage.2011.12.028)
is computed on a grid finer than the voxels, at the time at which each slice is taken; blurred to the voxel; sampled where
the head is; and Rician noise is added. Within a volume the head is still.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.simulate.field import PHASE_ENCODING_SIGN, FieldMap, undistorted_indices
from tmsprep.simulate.head import Head
from tmsprep.simulate.motion import Motion
from tmsprep.simulate.protocol import Protocol
from tmsprep.simulate.sources import Sources
from tmsprep.spaces import Grid, apply_affine, voxel_sizes

Array = NDArray[np.float64]
Map = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """All that is in front of the scanner."""

    head: Head
    bold: Sources
    """TE-dependent, dR2* in 1/s."""
    artefacts: Sources
    """TE-independent, dS0 as a fraction."""
    motion: Motion
    head_to_scanner: Array
    """4 x 4: where a point of the T1w is in the scanner during the run, before it moves (RAS mm)."""
    field: FieldMap | None
    """Off-resonance in the head's frame; None for a perfect field."""
    non_steady_volumes: int
    """Volumes at the start in which the magnetisation is still above its steady state."""
    stored: NDArray[np.bool_]
    """On the head's grid: where the scanner keeps the image; 0 is stored elsewhere."""


def bold_grid(protocol: Protocol, centre_ras_mm: Array, tilt_rad: Array) -> Grid:
    """Return the voxel grid of the run: stored L, A, S as dcm2niix does, tilted, about a centre.

    The grid runs from right to left, posterior to anterior, inferior to superior.
    """
    from tmsprep.simulate.motion import rigid

    axes = rigid(np.zeros(3), tilt_rad, np.zeros(3)) @ np.diag([-1.0, 1.0, 1.0, 1.0])
    affine = np.eye(4)
    affine[:3, :3] = axes[:3, :3] * protocol.voxel_mm
    affine[:3, 3] = centre_ras_mm - affine[:3, :3] @ ((np.array(protocol.shape()) - 1) / 2)
    return Grid(protocol.shape(), affine)


class Scanner:
    """Acquires one run of a scene."""

    def __init__(self, scene: Scene, protocol: Protocol, grid: Grid) -> None:
        self._scene = scene
        self._protocol = protocol
        self._grid = grid
        self._points = scene.head.points_ras_mm()
        self._s0 = scene.head.s0[scene.head.inside]
        self._r2star = scene.head.r2star[scene.head.inside]
        self._sigma = protocol.voxel_mm / 2.3548 / voxel_sizes(scene.head.grid.affine_ras_mm)
        self._slice_times = protocol.slice_times_s()

    def volumes(self) -> Iterator[list[Map]]:
        """Yield the noise-free echoes of one volume after the other."""
        poses = self._scene.motion.matrices_ras_mm()
        for index, pose in enumerate(poses):
            yield self._volume(index, pose @ self._scene.head_to_scanner)

    def at_rest(self) -> list[Map]:
        """Return the noise-free echoes with nothing that fluctuates and the head at rest."""
        return [self.image(time, PHASE_ENCODING_SIGN) for time in self._protocol.echo_times_s]

    def image(self, echo_time_s: float, phase_encoding_sign: int) -> Map:
        """Return a noise-free image of the head at rest: phase encoding along +j (1), -j (-1), or no distortion (0)."""
        coordinates, stretch = self._coordinates(self._scene.head_to_scanner, phase_encoding_sign)
        return self._expose(self._s0 * np.exp(-echo_time_s * self._r2star), coordinates, stretch)

    def field_hz(self) -> Map:
        """Return the off-resonance at the voxels (undistorted places), the head at rest; 0 in a perfect field."""
        if self._scene.field is None:
            return np.zeros(self._grid.shape, dtype=np.float32)
        points = apply_affine(np.linalg.inv(self._scene.head_to_scanner), self._grid.points_ras_mm())
        return np.asarray(self._scene.field.at(points), dtype=np.float32).reshape(self._grid.shape)

    def voxel_map(self, values: Map) -> Map:
        """Return a map of the head (on its grid) as the voxels at rest see it."""
        blurred = ndimage.gaussian_filter(values, self._sigma, mode="constant", truncate=3.0)
        coordinates, _ = self._coordinates(self._scene.head_to_scanner, PHASE_ENCODING_SIGN)
        return np.asarray(ndimage.map_coordinates(blurred, coordinates, order=1, mode="constant"), dtype=np.float32).reshape(
            self._grid.shape
        )

    def _volume(self, index: int, head_to_scanner: Array) -> list[Map]:
        start = index * self._protocol.repetition_time_s
        slices = self._slice_of_points(head_to_scanner)
        times = start + self._slice_times
        delta_r2 = np.einsum("nk,nk->n", self._scene.bold.maps, self._scene.bold.at(times)[slices])
        delta_s0 = np.einsum("nk,nk->n", self._scene.artefacts.maps, self._scene.artefacts.at(times)[slices])
        if index < self._scene.non_steady_volumes:
            delta_s0 = delta_s0 + self._excess() * 0.25**index
        return self._sample(delta_s0, delta_r2, head_to_scanner)

    def _excess(self) -> Map:
        """Return the surplus of the very first volume: the longer T1, the larger (fluid most)."""
        head = self._scene.head
        return (0.2 + 0.15 * head.grey + 0.5 * head.fluid)[head.inside].astype(np.float32)

    def _slice_of_points(self, head_to_scanner: Array) -> NDArray[np.intp]:
        """Return in which slice each point of the head lies, (n,)."""
        to_voxels = np.linalg.inv(self._grid.affine_ras_mm) @ head_to_scanner
        depth = self._points @ to_voxels[2, :3] + to_voxels[2, 3]
        return np.clip(np.rint(depth), 0, self._protocol.slices - 1).astype(np.intp)

    def _sample(self, delta_s0: Map, delta_r2: Map, head_to_scanner: Array) -> list[Map]:
        coordinates, stretch = self._coordinates(head_to_scanner, PHASE_ENCODING_SIGN)
        scale, rate = self._s0 * (1 + delta_s0), self._r2star + delta_r2
        times = self._protocol.echo_times_s
        return [self._expose(scale * np.exp(-time * rate), coordinates, stretch) for time in times]

    def _expose(self, signal: Map, coordinates: Array, stretch: Array | float) -> Map:
        """Return what the voxels get of the signal of the head's points (n,)."""
        fine = np.zeros(self._scene.head.grid.shape, dtype=np.float32)
        fine[self._scene.head.inside] = signal
        blurred = ndimage.gaussian_filter(fine, self._sigma, mode="constant", truncate=3.0)
        values = ndimage.map_coordinates(blurred, coordinates, order=1, mode="constant") * stretch
        return values.reshape(self._grid.shape).astype(np.float32)

    def _coordinates(self, head_to_scanner: Array, phase_encoding_sign: int) -> tuple[Array, Array | float]:
        """Return where each voxel's signal comes from: indices of the head's grid (3, n), and how bright it gets there."""
        indices = np.indices(self._grid.shape, dtype=np.float64).reshape(3, -1).T
        stretch: Array | float = 1.0
        to_head = np.linalg.inv(head_to_scanner) @ self._grid.affine_ras_mm
        if self._scene.field is not None and phase_encoding_sign != 0:
            readout = phase_encoding_sign * self._protocol.readout_time_s
            indices, stretch = undistorted_indices(indices, self._scene.field, to_head, readout)
        points = apply_affine(to_head, indices)
        return apply_affine(np.linalg.inv(self._scene.head.grid.affine_ras_mm), points).T, stretch


def add_noise(signal: Map, sigma: float, generator: np.random.Generator) -> Map:
    """Return the magnitude of a signal with complex Gaussian noise of SD `sigma` in each channel: Rician."""
    real = signal + generator.normal(0, sigma, signal.shape).astype(np.float32)
    imaginary = generator.normal(0, sigma, signal.shape).astype(np.float32)
    return np.hypot(real, imaginary, dtype=np.float32)
