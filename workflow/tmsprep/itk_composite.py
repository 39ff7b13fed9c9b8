"""ITK composite transforms (``.h5``), written so that the same transform is always the same bytes.

ANTs stamps the machine and the time into the files that it writes. This module writes only the transform itself: affines
and displacement fields, in the form that ANTs, ITK, SimpleITK and nitransforms read. Reading for use goes through
`tmsprep.spaces.Transform.load`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import h5py
import numpy as np
from numpy.typing import NDArray

from tmsprep.errors import InputError
from tmsprep.spaces import LPS_FROM_RAS, AffineStep, FieldStep, Grid, Step, lps_from_ras, ras_from_lps, voxel_sizes

_TYPES = {"affine": b"AffineTransform_float_3_3", "field": b"DisplacementFieldTransform_float_3_3"}


def write_steps(path: Path, steps: Sequence[Step]) -> None:
    """Write a composite; as in ITK, the last step is the first that is applied to a point.

    Parameters
    ----------
    path
        Ends in ``.h5``.
    steps
        At least one.
    """
    with h5py.File(path, "w", libver="earliest", track_order=False) as file:
        for name, text in (("HDFVersion", "1.12"), ("ITKVersion", "5.4"), ("OSName", ""), ("OSVersion", "")):
            _write_text(file, name, text.encode())
        group = file.create_group("TransformGroup")
        _write_text(group.create_group("0"), "TransformType", b"CompositeTransform_float_3_3")
        for index, step in enumerate(steps, start=1):
            _write_step(group.create_group(str(index)), step)


def _write_step(group: h5py.Group, step: Step) -> None:
    if isinstance(step, AffineStep):
        kind, parameters, fixed = "affine", *_affine_numbers(step)
    else:
        kind, parameters, fixed = "field", *_field_numbers(step)
    _write_text(group, "TransformType", _TYPES[kind])
    group.create_dataset("TransformFixedParameters", data=fixed, track_times=False)
    chunks = (min(parameters.size, 1 << 17),)
    group.create_dataset(
        "TransformParameters", data=parameters, chunks=chunks, shuffle=True, compression="gzip", track_times=False
    )


def _write_text(group: h5py.Group | h5py.File, name: str, text: bytes) -> None:
    kind = h5py.string_dtype("ascii", length=None)
    group.create_dataset(name, data=np.array([text], dtype=object), dtype=kind, track_times=False)


def _affine_numbers(step: AffineStep) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    matrix = LPS_FROM_RAS @ step.pull_ras_mm @ LPS_FROM_RAS
    return np.concatenate([matrix[:3, :3].ravel(), matrix[:3, 3]]).astype(np.float32), np.zeros(3)


def _field_numbers(step: FieldStep) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    lps = LPS_FROM_RAS @ step.grid.affine_ras_mm
    zooms = voxel_sizes(lps)
    fixed = np.concatenate([step.grid.shape, lps[:3, 3], zooms, (lps[:3, :3] / zooms).ravel()])
    field = lps_from_ras(step.displacement_ras_mm).astype(np.float32)
    # ITK: the vector's component fastest, then x, y, z
    return np.moveaxis(field, -1, 0).ravel(order="F"), fixed


def read_steps(path: Path) -> list[Step]:
    """Read the steps of a composite of affines and displacement fields.

    Raises
    ------
    InputError
        The file is no such composite.
    """
    try:
        with h5py.File(path, "r") as file:
            count = len(cast("h5py.Group", file["TransformGroup"]))
            if count < 2:
                raise InputError("the composite holds no transform", where=path)
            return [_read_step(path, file, f"TransformGroup/{index}") for index in range(1, count)]
    except (OSError, KeyError, ValueError, IndexError, TypeError, RuntimeError, OverflowError, MemoryError) as error:
        raise InputError(
            f"no readable ITK composite transform ({error})", where=path, action="copy it, or run the registration, again"
        ) from error


def _read_step(path: Path, file: h5py.File, group: str) -> Step:
    kind, parameters, fixed = (
        np.asarray(file[f"{group}/{name}"]) for name in ("TransformType", "TransformParameters", "TransformFixedParameters")
    )
    text = bytes(kind[0]).decode()
    if text.startswith("AffineTransform"):
        return _affine_of(parameters.astype(np.float64), fixed.astype(np.float64))
    if text.startswith("DisplacementFieldTransform"):
        return _field_of(parameters, fixed.astype(np.float64))
    raise InputError(f"holds a {text}", where=path, expected="affines and displacement fields")


def _affine_of(numbers: NDArray[np.float64], centre: NDArray[np.float64]) -> AffineStep:
    matrix = np.eye(4)
    matrix[:3, :3] = numbers[:9].reshape(3, 3)
    matrix[:3, 3] = numbers[9:12] + centre - matrix[:3, :3] @ centre
    return AffineStep(LPS_FROM_RAS @ matrix @ LPS_FROM_RAS)


def _field_of(numbers: NDArray[np.float32], fixed: NDArray[np.float64]) -> FieldStep:
    x, y, z = (int(size) for size in fixed[:3])
    if min(x, y, z) < 1:
        raise ValueError(f"a field of {x} x {y} x {z} voxels")
    lps = np.eye(4)
    lps[:3, :3] = fixed[9:18].reshape(3, 3) * fixed[6:9]
    lps[:3, 3] = fixed[3:6]
    field = np.moveaxis(numbers.reshape((3, x, y, z), order="F"), 0, -1)
    return FieldStep(ras_from_lps(field).astype(np.float32), Grid((x, y, z), LPS_FROM_RAS @ lps))
