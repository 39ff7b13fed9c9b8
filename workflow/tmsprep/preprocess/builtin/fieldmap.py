"""Stage fieldmap: the off-resonance of a run in Hz, on the grid of its BOLD reference.

Four kinds are understood: a phase difference, two phase images, a measured field, and echo-planar images with opposite phase
encoding. The field is where the tissue truly is (undistorted).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from tmsprep.errors import ConfigurationError, InputError
from tmsprep.files import load_nifti, read_data, save_nifti
from tmsprep.preprocess.builtin.distortion import Unwarp, unwarped
from tmsprep.preprocess.builtin.motion import estimate_motion
from tmsprep.preprocess.builtin.pepolar import OppositePair, estimate_field
from tmsprep.preprocess.builtin.phase import head_mask, in_radians, made_whole, unwrap, wrapped
from tmsprep.preprocess.builtin.rigid import as_ants, register_rigidly, without_bias
from tmsprep.preprocess.builtin.series import SCANNER, Volume, sample, voxel_indices
from tmsprep.sidecars import Distortion, Sidecar
from tmsprep.spaces import Array, Grid, Transform, apply_affine, resample
from tmsprep.stages import InFile, OutFile, SidecarFields

_TURN = 2 * np.pi
_PROTON_HZ_PER_TESLA = 42.577478518e6
"""CODATA 2018."""
_PER_HZ = {"Hz": 1.0, "rad/s": 1 / _TURN, "T": _PROTON_HZ_PER_TESLA}
_GRID_TOLERANCE_MM = 0.5
_LARGEST_HZ = 1000.0
_REPETITIONS = 2


@dataclass(frozen=True)
class FieldMap:
    """A field where it was measured."""

    hertz: Volume
    affine_ras_mm: Array
    matched: tuple[Volume, ...]
    """Images on the same grid to align with the BOLD reference: one, or several, of which the most alike counts."""
    reference: Volume
    """Undistorted image on the same grid, to be looked at."""


def prepare_fieldmap(
    *,
    kind: str,
    images: list[InFile],
    sidecars: list[InFile],
    boldref: InFile,
    out_fieldmap: OutFile,
    out_reference: OutFile,
    sidecar: list[InFile] | None = None,
    seed: int = 42,
) -> SidecarFields:
    """Make a field map in Hz on the grid of a BOLD reference.

    Parameters
    ----------
    kind
        ``phasediff``, ``phases``, ``fieldmap`` or ``epi``.
    images
        By kind: phase difference, magnitudes; phase 1, phase 2, magnitudes; field, magnitude; two or more EPI.
    sidecars
        One JSON file (inheritance resolved) for each image, in the same order.
    boldref
        The BOLD reference (stage bold-reference).
    out_fieldmap
        Hz, continued smoothly outside the head.
    out_reference
        Magnitude, or unwarped EPI, on the same grid.
    sidecar
        JSON files of the run as BIDS inherits them. With them the registration is repeated on the unwarped reference,
        which is more exact.
    seed
        For the registration.
    """
    if kind not in KINDS:
        raise ConfigurationError(f"field maps of kind {kind!r} are not supported", expected=", ".join(KINDS))
    if len(images) != len(sidecars):
        raise ConfigurationError(f"{len(images)} images and {len(sidecars)} sidecars", expected="one for each")
    field = KINDS[kind](images, [Sidecar.merge([path]) for path in sidecars])
    image = load_nifti(boldref)
    grid = Grid.of(image)
    pull, likeness = _align(field, read_data(image), grid.affine_ras_mm, seed)
    if sidecar:
        pull, likeness = _realign(field, read_data(image), grid, pull, Sidecar.merge(sidecar).distortion(), seed)
    hertz = _continued(field.hertz, field.affine_ras_mm, grid, pull)
    reference = resample(field.reference, field.affine_ras_mm, grid, Transform.from_matrix(pull))
    reference = np.clip(reference, 0, None)
    save_nifti(out_fieldmap, hertz, grid.affine_ras_mm, xform_code=SCANNER)
    save_nifti(out_reference, reference, grid.affine_ras_mm, xform_code=SCANNER)
    spread = [round(float(value), 2) for value in np.percentile(hertz[head_mask(reference)], [1, 50, 99])]
    if max(abs(value) for value in spread) > _LARGEST_HZ:
        raise InputError(
            f"the field runs from {spread[0]} to {spread[2]} Hz in the head",
            where=images[0],
            expected=f"less than {_LARGEST_HZ:g} Hz",
            action="check Units and echo times of the field map",
        )
    method = {"FieldmapKind": kind, "FieldPercentiles01_50_99": spread, "Likeness": round(likeness, 4)}
    return {"out_fieldmap": {"Units": "Hz", "SkullStripped": False, **method}, "out_reference": {"SkullStripped": False}}


def _measured(images: Sequence[Path], sidecars: Sequence[Sidecar]) -> FieldMap:
    """Read a field and its magnitude."""
    _require_count(images, (2,), "a field and a magnitude")
    units = sidecars[0].fields.get("Units")
    if units not in _PER_HZ:
        raise InputError(f"Units is {units!r}", where=images[0], expected=", ".join(_PER_HZ), action="correct Units")
    (field, magnitude), affine = _on_one_grid(images)
    return _whole(field * np.float32(_PER_HZ[units]), magnitude, affine)


def _phase_difference(images: Sequence[Path], sidecars: Sequence[Sidecar]) -> FieldMap:
    """Unwrap a phase difference."""
    _require_count(images, (2, 3), "a phase difference and one or two magnitudes")
    times = sidecars[0].echo_time_s("EchoTime1"), sidecars[0].echo_time_s("EchoTime2")
    (phase, *magnitudes), affine = _on_one_grid(images)
    radians = in_radians(phase, sidecars[0].fields.get("Units"))
    return _from_phase(radians, times[1] - times[0], magnitudes, affine, images[0])


def _two_phases(images: Sequence[Path], sidecars: Sequence[Sidecar]) -> FieldMap:
    """Subtract two phase images and unwrap the difference."""
    _require_count(images, (3, 4), "two phase images and one or two magnitudes")
    times = sidecars[0].echo_time_s(), sidecars[1].echo_time_s()
    (first, second, *magnitudes), affine = _on_one_grid(images)
    one, other = (in_radians(v, s.fields.get("Units")) for v, s in zip((first, second), sidecars[:2], strict=True))
    return _from_phase(wrapped(other - one), times[1] - times[0], magnitudes, affine, images[0])


def _from_phase(radians: Volume, seconds: float, magnitudes: list[Volume], affine: Array, where: Path) -> FieldMap:
    if seconds <= 0:
        raise InputError(f"the echo times differ by {seconds:g} s", where=where, expected="the second after the first")
    magnitude = np.asarray(np.mean(magnitudes, axis=0), dtype=np.float32)
    unwrapped = unwrap(radians, magnitude, head_mask(magnitude), affine)
    return _whole(unwrapped / np.float32(_TURN * seconds), magnitude, affine)


def _whole(hertz: Volume, magnitude: Volume, affine: Array) -> FieldMap:
    mask = head_mask(magnitude)
    bright = float(np.percentile(magnitude[mask], 90))
    weight = np.where(mask, np.minimum(magnitude / bright, 1.0) ** 2, 0).astype(np.float32)
    return FieldMap(made_whole(hertz, weight, affine), affine, (magnitude,), magnitude)


def _opposite_epi(images: Sequence[Path], sidecars: Sequence[Sidecar]) -> FieldMap:
    """Estimate the field from the first two images whose phase encodings are opposite."""
    if len(images) < 2:
        raise InputError("one EPI only", where=images[0], expected="two with opposite phase encoding")
    distortions = [sidecar.distortion() for sidecar in sidecars]
    partner = _opposite_of_first(images, distortions)
    (first, second), affine = _on_one_grid([images[0], images[partner]])
    chosen = distortions[0], distortions[partner]
    pair = OppositePair(
        first=first,
        second=second,
        axis=chosen[0].direction.axis,
        first_s=float(chosen[0].shift_voxels(1.0)),
        second_s=float(chosen[1].shift_voxels(1.0)),
        affine_ras_mm=affine,
    )
    hertz = estimate_field(pair)
    corrected = [
        unwarped(volume, Unwarp.of(hertz, distortion)) for volume, distortion in zip((first, second), chosen, strict=True)
    ]
    return FieldMap(hertz, affine, (first, second), np.asarray(np.mean(corrected, axis=0), dtype=np.float32))


def _opposite_of_first(images: Sequence[Path], distortions: Sequence[Distortion]) -> int:
    first = distortions[0].direction
    for index, other in enumerate(distortions):
        if other.direction.axis == first.axis and other.direction.sign == -first.sign:
            return index
    raise InputError(
        "no EPI of this field map has the opposite phase encoding of the first",
        where=images[0],
        expected="PhaseEncodingDirection j and j-, or i and i-",
        action="correct the sidecars, or leave the field map out",
    )


KINDS: dict[str, Callable[[Sequence[Path], Sequence[Sidecar]], FieldMap]] = {
    "phasediff": _phase_difference,
    "phases": _two_phases,
    "fieldmap": _measured,
    "epi": _opposite_epi,
}


def _require_count(images: Sequence[Path], allowed: tuple[int, ...], expected: str) -> None:
    if len(images) not in allowed:
        raise ConfigurationError(f"{len(images)} images of a field map", expected=expected)


def _on_one_grid(images: Sequence[Path]) -> tuple[list[Volume], Array]:
    """Read images that share a grid; of a series the mean of its realigned volumes."""
    grid = Grid.of(load_nifti(images[0]))
    for path in images[1:]:
        other = Grid.of(load_nifti(path))
        if other.shape != grid.shape or not np.allclose(other.affine_ras_mm, grid.affine_ras_mm, atol=_GRID_TOLERANCE_MM):
            raise InputError(
                "lies on another grid than the field map's first image",
                where=path,
                expected=f"shape {grid.shape} at the same place",
                action="leave this field map out (BIDS filter file)",
            )
    return [_mean_volume(path) for path in images], grid.affine_ras_mm


def _mean_volume(path: Path) -> Volume:
    image = load_nifti(path)
    data = read_data(image)
    if data.ndim == 3 or data.shape[3] == 1:
        return data.reshape(data.shape[:3])
    affine = np.asarray(image.affine, dtype=np.float64)
    voxels = voxel_indices(data.shape)
    total = np.zeros(data.shape[:3], dtype=np.float64)
    for index, matrix in enumerate(estimate_motion(path, 0)):
        pull = np.linalg.inv(affine) @ matrix @ affine
        total += sample(data[..., index], apply_affine(pull, voxels.T).T).reshape(total.shape)
    return np.clip(total / data.shape[3], 0, None).astype(np.float32)


def _align(field: FieldMap, boldref: Volume, affine_ras_mm: Array, seed: int) -> tuple[Array, float]:
    """Return the 4 x 4 from points of the BOLD reference to points of the field map, and how alike the images then are.

    Of two oppositely distorted EPI that is the one which is distorted as the BOLD images are.
    """
    fixed = without_bias(as_ants(boldref, affine_ras_mm))
    grid = Grid((boldref.shape[0], boldref.shape[1], boldref.shape[2]), affine_ras_mm)
    best = (np.eye(4), -np.inf)
    for volume in field.matched:
        moving = without_bias(as_ants(volume, field.affine_ras_mm))
        pull = register_rigidly(fixed, moving, seed=seed)
        moved = resample(volume, field.affine_ras_mm, grid, Transform.from_matrix(pull), order=1)
        likeness = float(np.corrcoef(moved.ravel(), boldref.ravel())[0, 1])
        if likeness > best[1]:
            best = (pull, likeness)
    return best


def _realign(
    field: FieldMap, boldref: Volume, grid: Grid, pull: Array, distortion: Distortion, seed: int
) -> tuple[Array, float]:
    """Align again, now without distortion on either side."""
    undistorted = replace(field, matched=(field.reference,))
    likeness = 0.0
    for _ in range(_REPETITIONS):
        hertz = _continued(field.hertz, field.affine_ras_mm, grid, pull)
        straight = unwarped(boldref, Unwarp.of(hertz, distortion))
        pull, likeness = _align(undistorted, straight, grid.affine_ras_mm, seed)
    return pull, likeness


def _continued(field: Volume, affine_ras_mm: Array, grid: Grid, pull_ras_mm: Array) -> Volume:
    """Return a field on another grid, its edge values repeated beyond its field of view."""
    to_field = np.linalg.inv(affine_ras_mm) @ pull_ras_mm @ grid.affine_ras_mm
    voxels = apply_affine(to_field, voxel_indices(grid.shape).T).T
    values = np.asarray(ndimage.map_coordinates(field, voxels, order=1, mode="nearest"), dtype=np.float32)
    return values.reshape(grid.shape)
