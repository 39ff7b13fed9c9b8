"""The same head stored, cut, resampled and mirrored in other ways: how far Beam F3 moves, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from _table import Row, at_least, at_most, note
from tmsprep.errors import TmsprepError
from tmsprep.files import load_nifti, read_data, save_nifti
from tmsprep.records import BeamF3Result, load_fiducials
from tmsprep.spaces import Array, Grid, apply_affine, resample, save_itk_affines
from tmsprep.stages import run
from tmsprep.templates import NLIN2009C, load

GOAL_MM, GOAL_RESAMPLED_MM = 1.0, 2.0
_TURN_DEG = 20.0
_BELOW_INION_MM = 45.0
_BRAIN_MARGIN_MM = 10.0
Volume = NDArray[np.float32]


@dataclass(frozen=True)
class Variant:
    """A head in another form; `back` (4 x 4) brings its places to those of the original."""

    name: str
    volume: Volume
    affine_ras_mm: Array
    back: Array


def variant_rows(name: str, folder: Path, mni_to_t1w: Array) -> Iterator[Row]:
    """Measure one head, whose stages have run in `folder`; `mni_to_t1w` maps template points to its T1w."""
    image = load_nifti(folder / "T1w.nii.gz")
    volume, affine = np.squeeze(read_data(image)), np.asarray(image.affine, dtype=np.float64)
    found = BeamF3Result.load(folder / "beamf3.json")
    inion = np.array(load_fiducials(folder / "fiducials.tsv")["INI"].position_ras_mm)
    for variant in _same_places(volume, affine, inion):
        result = _measure(folder / variant.name.replace(" ", "-"), variant, mni_to_t1w)
        apart = _distance(apply_affine(variant.back, result.beamf3_ras_mm), found.beamf3_ras_mm)
        goal = GOAL_RESAMPLED_MM if "2 mm" in variant.name else GOAL_MM
        yield at_most(f"{name}: Beam F3 moves, {variant.name}", apart, goal, "mm")
    yield from _mirror_rows(name, folder, volume, affine, mni_to_t1w, found)
    for words, spoilt in _spoilt(volume, affine, mni_to_t1w):
        message = _refusal(folder / words.replace(" ", "-"), Variant(words, spoilt, affine, np.eye(4)), mni_to_t1w)
        yield at_least(f"{name}: refused, {words}", float(bool(message)), 1.0)
        yield note(f"{name}: {words}: message", message[:60] or "none")
    yield from _inion_rows(name, folder, volume, affine, mni_to_t1w, inion)


def _same_places(volume: Volume, affine: Array, inion: Array) -> Iterator[Variant]:
    for codes in ("LAS", "PSR"):
        yield Variant(codes, *stored_as(volume, affine, codes), np.eye(4))
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_rotvec(np.radians(_TURN_DEG) * np.array([0.5, 0.5, 0.5**0.5])).as_matrix()
    yield Variant("oblique 20 degrees", volume, turn @ affine, np.asarray(np.linalg.inv(turn), dtype=np.float64))
    size = (volume.shape[0], volume.shape[1], volume.shape[2])
    grid = Grid(size, affine).with_zooms((2.0, 2.0, 2.0))
    yield Variant("2 mm", resample(volume, affine, grid, order=1).astype(np.float32), grid.affine_ras_mm, np.eye(4))
    yield Variant("cropped at the neck", *cropped(volume, affine, 2, inion, -_BELOW_INION_MM), np.eye(4))


def stored_as(volume: Volume, affine: Array, codes: str) -> tuple[Volume, Array]:
    """Return the same image with its axes in another order."""
    target = nib.orientations.axcodes2ornt(codes)
    image = nib.Nifti1Image(volume, affine)
    change: Any = nib.orientations.ornt_transform(nib.io_orientation(affine), target)
    moved = image.as_reoriented(change)
    return np.asarray(moved.dataobj), np.asarray(moved.affine, dtype=np.float64)


def cropped(volume: Volume, affine: Array, axis: int, point_ras_mm: Array, beyond_mm: float) -> tuple[Volume, Array]:
    """Return the image, stored R, A, S, without the slices before a point of one of its axes and some mm."""
    volume, affine = stored_as(volume, affine, "RAS")
    place = apply_affine(np.linalg.inv(affine), point_ras_mm)[axis] + beyond_mm / nib.affines.voxel_sizes(affine)[axis]
    first = max(int(np.ceil(place)), 0)
    moved = affine.copy()
    moved[:3, 3] += affine[:3, axis] * first
    return np.take(volume, range(first, volume.shape[axis]), axis=axis), moved


def _measure(folder: Path, variant: Variant, mni_to_t1w: Array) -> BeamF3Result:
    _write(folder, variant, mni_to_t1w)
    _scalp(folder)
    inputs = {"scalp": folder / "scalp.surf.gii", "fiducials": folder / "fiducials.tsv"}
    run("beamf3", inputs | {"out_result": folder / "beamf3.json"})
    return BeamF3Result.load(folder / "beamf3.json")


def _write(folder: Path, variant: Variant, mni_to_t1w: Array) -> None:
    folder.mkdir(parents=True)
    save_nifti(folder / "T1w.nii.gz", variant.volume, variant.affine_ras_mm, xform_code=1)
    save_itk_affines(folder / "xfm.txt", [np.linalg.inv(variant.back) @ mni_to_t1w])


def _scalp(folder: Path) -> None:
    run(
        "scalp",
        {
            "t1w": folder / "T1w.nii.gz",
            "t1w_to_mni": folder / "xfm.txt",
            "out_head_mask": folder / "mask.nii.gz",
            "out_scalp": folder / "scalp.surf.gii",
            "out_fiducials": folder / "fiducials.tsv",
        },
    )


def _refusal(folder: Path, variant: Variant, mni_to_t1w: Array) -> str:
    """Return the message with which the stage refuses, or nothing."""
    _write(folder, variant, mni_to_t1w)
    try:
        _scalp(folder)
    except TmsprepError as error:
        return error.what
    return ""


def _mirror_rows(
    name: str, folder: Path, volume: Volume, affine: Array, mni_to_t1w: Array, found: BeamF3Result
) -> Iterator[Row]:
    """Compare the mirrored head's Beam F3 with the head's Beam F4 (`beamf4_ras_mm`)."""
    flip = np.diag([-1.0, 1, 1, 1])
    # the template is mirrored with it: its left and right are nearly alike, and the affine must stay one of a head
    result = _measure(folder / "mirrored", Variant("mirrored", volume, flip @ affine, np.eye(4)), flip @ mni_to_t1w @ flip)
    apart = _distance(apply_affine(flip, result.beamf3_ras_mm), found.beamf4_ras_mm)
    yield at_most(f"{name}: mirrored head's Beam F3 to Beam F4", apart, GOAL_MM, "mm")


def _spoilt(volume: Volume, affine: Array, mni_to_t1w: Array) -> Iterator[tuple[str, Volume]]:
    """Yield the head without its face, and without all but the brain, both by the template."""
    mask = load_nifti(load(NLIN2009C).brain_mask)
    size = (volume.shape[0], volume.shape[1], volume.shape[2])
    grid = Grid(size, affine)
    to_mni = np.linalg.inv(mni_to_t1w)
    places = apply_affine(to_mni, grid.points_ras_mm()).reshape(*size, 3)
    inverse = np.linalg.inv(np.asarray(mask.affine, dtype=np.float64))
    voxels = np.moveaxis(apply_affine(inverse, places), -1, 0)
    brain = ndimage.map_coordinates(read_data(mask), voxels, order=0) > 0.5
    distance: Any = ndimage.distance_transform_edt(~brain, sampling=nib.affines.voxel_sizes(affine))
    near = distance < _BRAIN_MARGIN_MM
    face = (places[..., 1] > 20) & (places[..., 2] < 15) & ~near
    yield "defaced", np.where(face, 0, volume).astype(np.float32)
    yield "skull-stripped", np.where(brain, volume, 0).astype(np.float32)


def _inion_rows(name: str, folder: Path, volume: Volume, affine: Array, mni_to_t1w: Array, inion: Array) -> Iterator[Row]:
    """End the field of view in front of the inion: refused, or the inion gets a caution."""
    variant = Variant("cut", *cropped(volume, affine, 1, inion, 8.0), np.eye(4))
    message = _refusal(folder / "cut", variant, mni_to_t1w)
    status = "refused" if message else load_fiducials(folder / "cut" / "fiducials.tsv")["INI"].status.value
    yield at_least(f"{name}: cut at the inion is flagged", float(status in {"refused", "caution"}), 1.0)
    yield note(f"{name}: cut at the inion", message[:60] or status)


def _distance(first: object, second: object) -> float:
    return round(float(np.linalg.norm(np.subtract(np.asarray(first), np.asarray(second)))), 2)
