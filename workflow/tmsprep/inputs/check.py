"""The stage that reads a participant's images to the end before anything heavy starts.

Damaged files, images of the wrong kind, echoes that do not belong together, headers that place an image twice, stripped
brains: each is refused here with one message, in seconds, and not hours later by a stage that cannot know why.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.openers import ImageOpener
from numpy.typing import NDArray

from tmsprep.errors import InputError
from tmsprep.files import load_nifti, write_json
from tmsprep.inputs.entities import parse_name
from tmsprep.inputs.skullstrip import SMALLEST_HEAD_LITRES, head_volume_litres
from tmsprep.spaces import Grid, apply_affine, is_sheared, voxel_sizes
from tmsprep.stages import InFile, OutFile, SidecarFields

_T1W_VOXEL_MM = (0.5, 2.5)
_BOLD_VOXEL_MM = (1.0, 6.0)
_T1W_EXTENT_MM = (120.0, 400.0)
_BOLD_EXTENT_MM = (60.0, 400.0)
_PARTIAL_EXTENT_MM = 100.0
_SAME_GRID_MM = 1e-2
_SAME_PLACE_MM = 0.1
"""Between qform and sform: dcm2niix rounds them up to 0.02 mm apart, other disagreements are of millimetres."""
_RELATIVE_TOLERANCE = 0.01
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
_LARGEST = float(np.finfo(np.float32).max)
_BLOCK = 1 << 20
_SPARE_BYTES = 1 << 20
"""What a file may hold beyond its voxels: nothing but padding is known to be there."""
_FARTHEST_MM = 3000.0
"""From the scanner's isocentre: a table moves two metres."""
_AGAIN = "convert it again from DICOM (dcm2niix), or copy it again"


@dataclass(frozen=True)
class _Series:
    """What is known of a 4D image once it has been read."""

    path: Path
    grid: Grid
    volumes: int
    repetition_time_s: float | None
    """As the header says; None if it says nothing."""
    fingerprint: bytes
    """Of one volume: tells copies of one image apart from two images."""


def check_participant(
    *,
    t1w: InFile,
    bold: list[InFile] | None = None,
    repetition_time: list[float] | None = None,
    min_volumes: int = 20,
    out_report: OutFile,
) -> SidecarFields:
    """Read a participant's images to the end and refuse what cannot be used.

    Parameters
    ----------
    t1w
        T1w image of the whole head.
    bold
        All echoes of all runs; those whose names differ by echo alone must have one grid and length.
    repetition_time
        For each `bold` image the repetition time in s that its sidecars give.
    min_volumes
        The shortest run that is accepted.
    out_report
        JSON: sizes, lengths, head volume, remarks.

    Raises
    ------
    InputError
        An image is damaged, of the wrong kind, ill placed, or a stripped brain.
    """
    paths = bold or []
    times = _times(paths, repetition_time)
    anatomy = _check_t1w(t1w)
    series = [_check_bold(path, min_volumes) for path in paths]
    _require_matching_echoes(series)
    report = {
        "T1w": anatomy,
        "Bold": [_series_facts(item, time_s) for item, time_s in zip(series, times, strict=True)],
        "Remarks": [text for item, time_s in zip(series, times, strict=True) for text in _remarks(item, time_s)],
    }
    write_json(out_report, report)
    return {}


def _times(paths: Sequence[Path], given: list[float] | None) -> list[float | None]:
    if given is None:
        return [None] * len(paths)
    if len(given) != len(paths):
        raise InputError(f"{len(given)} repetition times for {len(paths)} images", expected="one for each")
    return list(given)


# --- T1w ------------------------------------------------------------------------------------------------------------


def _check_t1w(path: Path) -> dict[str, Any]:
    image = _open(path, "T1w", dimensions=3)
    _require_geometry(path, image, _T1W_VOXEL_MM, _T1W_EXTENT_MM)
    data = _read(path, image)
    _require_contrast(path, image, data[..., np.newaxis])
    affine = np.asarray(image.affine, dtype=np.float64)
    apart = _qform_to_sform_mm(image)
    litres = head_volume_litres(data, affine)
    if litres < SMALLEST_HEAD_LITRES:
        raise InputError(
            f"the T1w image looks skull-stripped: its filled head volume is {litres:.1f} litres",
            where=path,
            expected=f"a whole head with its scalp, {SMALLEST_HEAD_LITRES} litres or more (adults 3 to 5)",
            action="give the T1w as it was scanned, neither skull-stripped nor masked",
        )
    return {
        "File": path.name,
        "Shape": list(image.shape),
        "VoxelSizeMillimetres": _rounded(voxel_sizes(affine)),
        "Orientation": "".join(nib.aff2axcodes(affine)),
        "Sheared": is_sheared(affine),
        "QformToSformMillimetres": None if apart is None else round(apart, 4),
        "HeadVolumeLitres": round(litres, 2),
    }


# --- BOLD -----------------------------------------------------------------------------------------------------------


def _check_bold(path: Path, min_volumes: int) -> _Series:
    image = _open(path, "BOLD", dimensions=4)
    _require_geometry(path, image, _BOLD_VOXEL_MM, _BOLD_EXTENT_MM)
    volumes = int(image.shape[3])
    if volumes < min_volumes:
        raise InputError(
            f"the run has {volumes} volumes",
            where=path,
            expected=f"{min_volumes} or more",
            action="leave it out by --bids-filter-file",
        )
    data = _read(path, image)
    _require_contrast(path, image, data)
    fingerprint = hashlib.sha256(data[..., volumes // 2].tobytes()).digest()
    return _Series(path, Grid.of(image), volumes, _header_repetition_time(image), fingerprint)


def _header_repetition_time(image: nib.Nifti1Image) -> float | None:
    time = float(image.header["pixdim"][4])
    unit = str(image.header.get_xyzt_units()[1])
    seconds = time * _SECONDS.get(unit, 1.0)
    return seconds if np.isfinite(seconds) and seconds > 0 else None


def _require_matching_echoes(series: Sequence[_Series]) -> None:
    first: dict[object, _Series] = {}
    for item in series:
        other = first.setdefault(_run_key(item.path), item)
        if item.volumes != other.volumes:
            raise InputError(
                f"{item.volumes} volumes, but {other.volumes} in {other.path.name}",
                where=item.path,
                expected="echoes of equal length",
                action="copy or convert the shorter one again, or leave the run out by --bids-filter-file",
            )
        if item.grid.shape != other.grid.shape or _displacement_mm(item.grid, other.grid) > _SAME_GRID_MM:
            raise InputError(
                f"its voxel grid (shape {item.grid.shape}) is not that of {other.path.name} (shape {other.grid.shape})",
                where=item.path,
                expected="echoes on one grid, at one place",
                action="convert the run again",
            )
    _require_distinct_echoes(series)


def _require_distinct_echoes(series: Sequence[_Series]) -> None:
    """Refuse one echo under two names: T2* would be fitted to a signal that does not decay."""
    seen: dict[object, _Series] = {}
    for item in series:
        other = seen.setdefault((_run_key(item.path), item.fingerprint), item)
        if other is not item:
            raise InputError(
                f"holds the same image as {other.path.name}",
                where=item.path,
                expected="another image for each echo",
                action="copy or convert the run again, or leave it out by --bids-filter-file",
            )


def _run_key(path: Path) -> object:
    """Return what the echoes of one run have in common; a name that is not BIDS stands for itself."""
    try:
        return path.parent, parse_name(path.name).without("echo", "part")
    except InputError:
        return path


def _series_facts(item: _Series, time_s: float | None) -> dict[str, Any]:
    seconds = time_s or item.repetition_time_s
    return {
        "File": item.path.name,
        "Shape": [*item.grid.shape, item.volumes],
        "VoxelSizeMillimetres": _rounded(voxel_sizes(item.grid.affine_ras_mm)),
        "Orientation": "".join(nib.aff2axcodes(item.grid.affine_ras_mm)),
        "Sheared": is_sheared(item.grid.affine_ras_mm),
        "Volumes": item.volumes,
        "RepetitionTime": None if seconds is None else round(seconds, 6),
        "Minutes": None if seconds is None else round(item.volumes * seconds / 60, 2),
    }


def _remarks(item: _Series, time_s: float | None) -> list[str]:
    remarks: list[str] = []
    own = item.repetition_time_s
    if own is not None and time_s is not None and abs(own - time_s) > _RELATIVE_TOLERANCE * time_s:
        remarks.append(f"{item.path.name}: repetition time {own:g} s in the header, {time_s:g} s in the sidecar (used)")
    shortest = float(_extents(item.grid).min())
    if shortest < _PARTIAL_EXTENT_MM:
        remarks.append(f"{item.path.name}: covers {shortest:.0f} mm only: part of the brain")
    return remarks


# --- any image ------------------------------------------------------------------------------------------------------


def _open(path: Path, kind: str, dimensions: int) -> nib.Nifti1Image:
    """Open an image whose compressed stream is whole and whose header has the right dimensions and a number type."""
    image = load_nifti(path)
    _require_whole_stream(path, image)
    if len(image.shape) != dimensions:
        raise InputError(
            f"the {kind} image has {len(image.shape)} dimensions {image.shape}", where=path, expected=f"{dimensions}"
        )
    if image.get_data_dtype().kind not in "iuf":
        raise InputError(f"the data type is {image.get_data_dtype()}", where=path, expected="integer or real numbers")
    return image


def _require_whole_stream(path: Path, image: nib.Nifti1Image) -> None:
    """Read a gzip stream to its end, so that its checksum is verified; it must hold the header's voxels and little more.

    Nothing of the size that the header states is allocated before.
    """
    if path.suffix != ".gz":
        return
    needed = int(image.dataobj.offset) + math.prod(image.shape) * image.get_data_dtype().itemsize
    found = 0
    try:
        with gzip.open(path) as stream:
            while (block := stream.read(_BLOCK)) and found <= needed + _SPARE_BYTES:
                found += len(block)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"the compressed file is cut short or damaged ({error})", where=path, action=_AGAIN) from error
    if not needed <= found <= needed + _SPARE_BYTES:
        raise InputError(
            f"the compressed file holds {'fewer' if found < needed else 'more'} data than the header states",
            where=path,
            expected=f"{needed} bytes for {image.shape} voxels",
            action=_AGAIN,
        )


def _read(path: Path, image: nib.Nifti1Image) -> NDArray[Any]:
    """Return the data as stored (unscaled): enough to see whether they are complete, finite and not constant."""
    try:
        data = np.asarray(image.dataobj.get_unscaled())
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            f"the image data end early or are damaged ({error})",
            where=path,
            expected=f"{image.shape} voxels as the header says",
            action=_AGAIN,
        ) from error
    if not (np.isfinite(image.dataobj.slope) and np.isfinite(image.dataobj.inter)):
        raise InputError("the scale factor in the header is not finite", where=path, action=_AGAIN)
    return data


def _require_contrast(path: Path, image: nib.Nifti1Image, data: NDArray[Any]) -> None:
    """Refuse volumes (..., t) with values that are not finite (also once scaled), or with one value throughout."""
    slope, inter = float(image.dataobj.slope), float(image.dataobj.inter)
    empty: list[int] = []
    for index in range(data.shape[-1]):
        low, high = float(data[..., index].min()), float(data[..., index].max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise InputError(f"volume {index} holds values that are not finite (NaN or infinity)", where=path, action=_AGAIN)
        if max(abs(slope * value + inter) for value in (low, high)) > _LARGEST:
            raise InputError(
                f"scaled by {slope:g}, volume {index} holds values that are not finite",
                where=path,
                expected="a scale factor (scl_slope) that gives the scanner's values",
                action=_AGAIN,
            )
        if low == high:
            empty.append(index)
    if empty:
        shown = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
        raise InputError(
            f"{len(empty)} of {data.shape[-1]} volumes hold one value throughout (volume {shown}, counted from 0)",
            where=path,
            action="convert it again from DICOM; remove volumes that were never scanned",
        )


def _require_geometry(
    path: Path, image: nib.Nifti1Image, voxel_mm: tuple[float, float], extent_mm: tuple[float, float]
) -> None:
    _require_place(path, image)
    grid = Grid.of(image)
    sizes = voxel_sizes(grid.affine_ras_mm)
    if np.any(sizes < voxel_mm[0] - 1e-3) or np.any(sizes > voxel_mm[1] + 1e-3):
        raise InputError(
            f"the voxels measure {_shown(sizes)} mm",
            where=path,
            expected=f"{voxel_mm[0]} to {voxel_mm[1]} mm on each edge",
            action="check the header's voxel size and unit (mm); resample or leave out what is finer or coarser",
        )
    extents = _extents(grid)
    if np.any(extents < extent_mm[0]) or np.any(extents > extent_mm[1]):
        raise InputError(
            f"the field of view measures {_shown(extents)} mm",
            where=path,
            expected=f"{extent_mm[0]:.0f} to {extent_mm[1]:.0f} mm along each axis",
            action="give an image of the whole head",
        )


def _require_place(path: Path, image: nib.Nifti1Image) -> None:
    """Refuse a header that gives no place in space, an impossible one, or two different ones."""
    header = image.header
    _require_unrepaired(path, image)
    if int(header["qform_code"]) <= 0 and int(header["sform_code"]) <= 0:
        raise InputError(
            "the header has neither qform nor sform: left and right are unknown",
            where=path,
            action="convert it again from DICOM (dcm2niix), which keeps the orientation",
        )
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.all(np.isfinite(affine)) or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputError("the affine in the header is not invertible", where=path, action=_AGAIN)
    if (away := float(np.abs(_corners_ras_mm(Grid.of(image))).max())) > _FARTHEST_MM:
        raise InputError(
            f"the header places the image {away:.3g} mm from the scanner's isocentre",
            where=path,
            expected=f"at most {_FARTHEST_MM:g} mm",
            action=_AGAIN,
        )
    _require_agreement(path, image)
    zooms = np.asarray(header.get_zooms()[:3], dtype=np.float64)
    if np.any(np.abs(zooms - voxel_sizes(affine)) > _RELATIVE_TOLERANCE * voxel_sizes(affine)):
        raise InputError(
            f"the voxel size is {_shown(zooms)} mm in pixdim, but {_shown(voxel_sizes(affine))} mm in the affine",
            where=path,
            action=_AGAIN,
        )


def _require_unrepaired(path: Path, image: nib.Nifti1Image) -> None:
    """Refuse geometry that nibabel puts right in silence: another program would read it otherwise, or not at all."""
    with ImageOpener(str(path)) as stream:
        header = type(image.header).from_fileobj(stream, check=False)
    sizes, scale = np.asarray(header["pixdim"][1:4], dtype=np.float64), float(header["scl_slope"])
    codes = int(header["qform_code"]), int(header["sform_code"])
    odd = {
        f"the voxel size is {_shown(sizes)} mm in pixdim": bool(np.all(np.isfinite(sizes) & (sizes > 0))),
        f"qform_code is {codes[0]} and sform_code {codes[1]}": set(codes) <= set(range(6)),
        f"the unit of length is {header.get_xyzt_units()[0]}": header.get_xyzt_units()[0] in {"mm", "unknown"},
        f"the scale factor scl_slope is {scale}": not math.isinf(scale),
    }
    for what, sound in odd.items():
        if not sound:
            raise InputError(
                f"the header is damaged: {what}",
                where=path,
                expected="voxel sizes above 0 in mm, codes from 0 to 5, a finite scale: programs repair others differently",
                action=_AGAIN,
            )


def _require_agreement(path: Path, image: nib.Nifti1Image) -> None:
    try:
        apart = _qform_to_sform_mm(image) or 0.0
    except ValueError as error:
        raise InputError(f"the qform is no rotation ({error})", where=path, action=_AGAIN) from error
    if not np.isfinite(apart):
        raise InputError("the qform in the header is not finite", where=path, action=_AGAIN)
    if apart > _SAME_PLACE_MM:
        raise InputError(
            f"qform and sform place the image up to {apart:.3g} mm apart",
            where=path,
            expected="one place: programs differ in which of the two they read, and the target would move with it",
            action="set both to the scanner's (convert again from DICOM), or give the wrong one the code 0",
        )


def _qform_to_sform_mm(image: nib.Nifti1Image) -> float | None:
    """Return how far apart the two place the image's corners; None where only one of them counts."""
    header = image.header
    if int(header["qform_code"]) <= 0 or int(header["sform_code"]) <= 0:
        return None
    shape = Grid.of(image).shape
    one = Grid(shape, np.asarray(header.get_qform(), dtype=np.float64))
    other = Grid(shape, np.asarray(header.get_sform(), dtype=np.float64))
    return _displacement_mm(one, other)


def _displacement_mm(one: Grid, other: Grid) -> float:
    """Return the largest distance between the corners of two grids of the same shape."""
    return float(np.linalg.norm(_corners_ras_mm(one) - _corners_ras_mm(other), axis=1).max())


def _corners_ras_mm(grid: Grid) -> NDArray[np.float64]:
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in grid.shape], indexing="ij")).reshape(3, -1).T
    return apply_affine(grid.affine_ras_mm, corners)


def _extents(grid: Grid) -> NDArray[np.float64]:
    return voxel_sizes(grid.affine_ras_mm) * np.asarray(grid.shape)


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 3) for value in values]


def _shown(values: NDArray[np.float64]) -> str:
    return " x ".join(f"{value:.3g}" for value in values)
