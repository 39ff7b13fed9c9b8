"""Stage bold-resample: every echo of a run slice-timed, then realigned and unwarped in one spatial interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.errors import ConfigurationError, InputError
from tmsprep.files import load_nifti, read_data, read_json, save_nifti
from tmsprep.preprocess.builtin.distortion import Unwarp, unwarped
from tmsprep.preprocess.builtin.series import (
    SCANNER,
    Volume,
    load_series,
    rounded,
    rounding_step,
    sample,
    voxel_indices,
)
from tmsprep.preprocess.builtin.slicetiming import correct_slice_timing, reference_time_s
from tmsprep.sidecars import Sidecar, SliceTiming
from tmsprep.spaces import Array, Grid, load_itk_affines
from tmsprep.stages import InFile, OutFile, SidecarFields

_GRID_TOLERANCE_MM = 1e-2
_AIR = 0.05
"""Fraction of bright signal below which there is no tissue."""


@dataclass(frozen=True)
class _Plan:
    """What is done to each echo alike."""

    grid: Grid
    motion: list[Array]
    unwarp: Unwarp | None
    where: NDArray[np.bool_]
    """Voxels that are computed; the others are 0."""
    timing: SliceTiming | None
    repetition_s: float
    dummies: int


def resample_echoes(
    *,
    echo: list[InFile],
    sidecar: list[InFile],
    reference: InFile,
    motion: InFile,
    summary: InFile,
    fieldmap: InFile | None = None,
    out_echo: list[OutFile],
    echo_times: list[float] | None = None,
    slice_timing: bool = True,
) -> SidecarFields:
    """Bring the echoes of a run onto the grid of the BOLD reference.

    Only the head and two voxels around it are computed; the air beyond, most of the field of view, is 0.

    Parameters
    ----------
    echo
        Raw series in ascending echo time; one for single-echo data.
    sidecar
        JSON files of the run as BIDS inherits them, least specific first.
    reference
        The BOLD reference (stage bold-reference).
    motion
        ``from-orig_to-boldref``, one affine for each volume.
    summary
        JSON of stage bold-reference.
    fieldmap
        Field in Hz on the grid of `reference`.
    out_echo
        The series, all volumes kept, in the order of `echo`.
    echo_times
        Echo times in s, in the order of `echo`; may be left out for a single echo.
    slice_timing
        Whether to correct slice timing where the sidecar gives it.
    """
    images = [load_series(path) for path in echo]
    times_s = _checked_times(echo, echo_times, out_echo)
    metadata = Sidecar.merge(sidecar)
    target = load_nifti(reference)
    grid = Grid.of(target)
    matrices = load_itk_affines(motion)
    for path, image in zip(echo, images, strict=True):
        _check_grid(path, image.shape, np.asarray(image.affine), grid, len(matrices))
    unwarp = _unwarp(fieldmap, metadata, grid)
    plan = _Plan(
        grid=grid,
        motion=matrices,
        unwarp=unwarp,
        where=_head(read_data(target), unwarp),
        timing=metadata.slice_timing(grid.shape) if slice_timing else None,
        repetition_s=metadata.repetition_time_s(),
        dummies=int(read_json(summary)["n_non_steady_state"]),
    )
    for image, path in zip(images, out_echo, strict=True):
        series = _process(read_data(image), plan)
        save_nifti(path, series, grid.affine_ras_mm, xform_code=SCANNER, repetition_time_s=plan.repetition_s)
    return {"out_echo": [_fields(plan, metadata, time_s) for time_s in times_s]}


def _checked_times(
    echo: Sequence[Path], echo_times: Sequence[float] | None, out_echo: Sequence[Path]
) -> Sequence[float | None]:
    if echo_times is None and len(echo) == len(out_echo) == 1:
        return [None]
    times = echo_times or []
    if not len(echo) == len(times) == len(out_echo):
        raise ConfigurationError(
            f"{len(echo)} echoes, {len(times)} echo times, {len(out_echo)} outputs", expected="equal numbers"
        )
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise ConfigurationError(f"echo times {list(times)}", expected="seconds, ascending")
    return times


def _check_grid(path: Path, shape: Sequence[int], affine_ras_mm: Array, grid: Grid, volumes: int) -> None:
    same_place = np.allclose(affine_ras_mm, grid.affine_ras_mm, atol=_GRID_TOLERANCE_MM)
    if tuple(shape) != (*grid.shape, volumes) or not same_place:
        raise InputError(
            f"shape {tuple(shape)} or place in space differ from the reference's",
            where=path,
            expected=f"{(*grid.shape, volumes)} on the grid of the BOLD reference",
            action="all echoes of a run must have the same geometry and length",
        )


def _unwarp(fieldmap: Path | None, metadata: Sidecar, grid: Grid) -> Unwarp | None:
    if fieldmap is None:
        return None
    image = load_nifti(fieldmap)
    if Grid.of(image).shape != grid.shape:
        raise InputError(f"shape {image.shape}", where=fieldmap, expected=f"{grid.shape}, as the BOLD reference")
    return Unwarp.of(read_data(image), metadata.distortion())


def _head(reference: Volume, unwarp: Unwarp | None) -> NDArray[np.bool_]:
    """Return the head and two voxels around it, where it is seen in the reference and where it truly is."""
    signal = np.zeros(reference.shape, dtype=bool)
    for volume in (reference, reference if unwarp is None else unwarped(reference, unwarp)):
        signal |= volume > _AIR * np.percentile(volume, 98)
    return np.asarray(ndimage.binary_dilation(signal, iterations=2), dtype=bool)


def _process(series: Volume, plan: _Plan) -> Volume:
    if plan.timing is not None:
        correct_slice_timing(
            series,
            plan.timing,
            repetition_s=plan.repetition_s,
            target_s=reference_time_s(plan.timing),
            first_steady=plan.dummies,
        )
    to_voxels = np.linalg.inv(plan.grid.affine_ras_mm)
    voxels = voxel_indices(plan.grid.shape)[:, plan.where.ravel()]
    jacobian = None if plan.unwarp is None else plan.unwarp.jacobian()[plan.where]
    step = rounding_step(series[..., plan.dummies])
    for index, matrix in enumerate(plan.motion):
        pull = to_voxels @ matrix @ plan.grid.affine_ras_mm
        places = pull[:3, :3] @ voxels + pull[:3, 3:]
        if plan.unwarp is not None:
            plan.unwarp.move(places, plan.where)
        values = np.clip(sample(series[..., index], places), 0, None)
        series[..., index] = 0
        series[plan.where, index] = rounded(values if jacobian is None else values * jacobian, step)
    return series


def _fields(plan: _Plan, metadata: Sidecar, echo_time_s: float | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"RepetitionTime": plan.repetition_s}
    if echo_time_s is not None:
        fields["EchoTime"] = echo_time_s
    if "TaskName" in metadata.fields:
        fields["TaskName"] = metadata.fields["TaskName"]
    fields |= {"SkullStripped": False, "SliceTimingCorrected": plan.timing is not None}
    if plan.timing is not None:
        fields["StartTime"] = round(reference_time_s(plan.timing), 6)
    return fields | {
        "MotionCorrected": True,
        "DistortionCorrected": plan.unwarp is not None,
        "NonSteadyStateVolumes": plan.dummies,
    }
