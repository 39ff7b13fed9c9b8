"""A head made of smooth blobs, moved, distorted and sampled by code of its own: the independent truth of these tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tmsprep.stages import pin_threads

Array = NDArray[np.float64]

pin_threads()  # before anything imports ITK: with more than one thread registrations differ from run to run

LAS = np.array([[-4.0, 0, 0, 60], [0, 4.0, 0, -60], [0, 0, 4.5, -50], [0, 0, 0, 1]])
SHAPE = (31, 33, 25)


def oblique(affine: Array) -> Array:
    """Turn a grid by angles about all three axes."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", [25, 10, 15], degrees=True).as_matrix()
    return turn @ affine


def rigid(trans_mm: Array, rot_deg: Array, centre_ras_mm: Array) -> Array:
    """Rx Ry Rz about a point, then a shift: where the head's points go."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("XYZ", rot_deg, degrees=True).as_matrix()
    matrix[:3, 3] = centre_ras_mm + trans_mm - matrix[:3, :3] @ centre_ras_mm
    return matrix


class Head:
    """A continuous image: Gaussian blobs inside an ellipsoid with a soft edge."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.centres = rng.uniform(-38, 38, (50, 3))
        self.widths = rng.uniform(5, 12, 50)
        self.heights = rng.uniform(-400, 400, 50)

    def at(self, points: Array) -> Array:
        """Brightness at points (n, 3) in mm."""
        radius = np.linalg.norm(points / [46.0, 52.0, 42.0], axis=1)
        inside = 1 / (1 + np.exp((radius - 1) * 25))
        texture = np.zeros(len(points))
        for centre, width, height in zip(self.centres, self.widths, self.heights, strict=True):
            texture += height * np.exp(-np.sum((points - centre) ** 2, axis=1) / (2 * width**2))
        return inside * np.clip(800 + texture, 100, None)

    def image(self, affine: Array, shape: tuple[int, int, int] = SHAPE, motion: Array | None = None) -> Array:
        """Sample the head, moved by `motion`, on a grid."""
        points = nib.affines.apply_affine(affine, np.indices(shape).reshape(3, -1).T)
        if motion is not None:
            points = nib.affines.apply_affine(np.linalg.inv(motion), points)
        return self.at(points).reshape(shape)


def save(path: Path, data: Array, affine: Array, **metadata: Any) -> Path:
    """Write an image and its sidecar; return the image's path."""
    image = nib.Nifti1Image(np.asarray(data, dtype=np.float32), affine)
    image.set_sform(affine, 1)
    if data.ndim == 4:
        image.header["pixdim"][4] = metadata.get("RepetitionTime", 1.0)
    nib.save(image, path)
    sidecar_of(path).write_text(json.dumps(metadata))
    return path


def sidecar_of(path: Path) -> Path:
    """The JSON beside an image."""
    return path.with_name(path.name.replace(".nii.gz", ".json"))


def read(path: Path) -> Array:
    """Image data as float64."""
    return np.asarray(nib.load(path).dataobj, dtype=np.float64)


def distorted(volume: Array, shift_voxels: Array, axis: int, oversampling: int = 12) -> Array:
    """Push signal along an axis, conserving it: each voxel's share lands where its shift takes it."""
    rows, shifts = np.moveaxis(volume, axis, -1), np.moveaxis(shift_voxels, axis, -1)
    size = rows.shape[-1]
    fine = (np.arange(size * oversampling) + 0.5) / oversampling - 0.5
    result = np.zeros(rows.shape)
    for index in np.ndindex(rows.shape[:-1]):
        signal = np.interp(fine, np.arange(size), rows[index]) / oversampling
        place = fine + np.interp(fine, np.arange(size), shifts[index])
        below = np.floor(place).astype(int)
        for cell, share in ((below, 1 - (place - below)), (below + 1, place - below)):
            valid = (cell >= 0) & (cell < size)
            result[index] += np.bincount(cell[valid], (signal * share)[valid], minlength=size)
    return np.moveaxis(result, -1, axis)
