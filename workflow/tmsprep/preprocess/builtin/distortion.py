"""Where the signal of a place is found in a distorted echo-planar image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmsprep.preprocess.builtin.series import Volume, sample, voxel_indices
from tmsprep.sidecars import Distortion


@dataclass(frozen=True)
class Unwarp:
    """Displacement along the phase-encoding axis on a voxel grid."""

    axis: int
    shift_voxels: Volume
    """(x, y, z): signal of this place is found this many voxels further along `axis`."""

    @classmethod
    def of(cls, fieldmap_hz: Volume, distortion: Distortion) -> Unwarp:
        """Make the displacement of a field in Hz."""
        shift = np.asarray(distortion.shift_voxels(fieldmap_hz), dtype=np.float32)
        return cls(distortion.direction.axis, shift)

    def move(self, voxels: NDArray[np.float64], where: NDArray[np.bool_] | None = None) -> None:
        """Displace, in place, the voxel coordinates (3, n) that belong to the grid's voxels, or to those of a mask."""
        voxels[self.axis] += self.shift_voxels.ravel() if where is None else self.shift_voxels[where]

    def jacobian(self) -> Volume:
        """Return by how much signal is squeezed together at each place; unwarped intensities are multiplied by it.

        Held within 0.1 to 10: beyond, signal of several places has piled up, and no factor can part it.
        """
        return np.clip(1 + np.gradient(self.shift_voxels, axis=self.axis), 0.1, 10).astype(np.float32)


def unwarped(volume: Volume, unwarp: Unwarp) -> Volume:
    """Return a volume with every signal put back where it came from, and its intensity made good."""
    voxels = voxel_indices(volume.shape)
    unwarp.move(voxels)
    return np.clip(sample(volume, voxels).reshape(volume.shape), 0, None) * unwarp.jacobian()
