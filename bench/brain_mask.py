"""Brain mask and tissues of two real heads against references made by others.

    python bench/brain_mask.py [--data ../shared/data] [--ch2bet FILE] [--json bench/results/brain_mask.json] [--quick]

Colin27: ch2bet, the brain mask that MRIcron ships (Debian package mricron-data; fetched with apt-get where that works).
S1: the cortical surfaces published with the head; inside the pial ones everything is brain. `--quick` leaves out the heads
that are turned, shifted and stored in other voxel orders.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from _table import Row, absent, at_least, at_most, finish, note, option_parser
from tmsprep.stages import pin_threads, run

pin_threads()

import nibabel as nib  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402

from tmsprep.files import load_nifti, read_data, save_nifti  # noqa: E402
from tmsprep.spaces import Array, Grid, apply_affine, closest_canonical  # noqa: E402

Mask = NDArray[np.bool_]

CH2BET = Path("/usr/share/mricron/templates/ch2bet.nii.gz")
NAMES = {
    "out_t1w": "desc-preproc_T1w.nii.gz",
    "out_brain_mask": "desc-brain_mask.nii.gz",
    "out_gm": "label-GM_probseg.nii.gz",
    "out_wm": "label-WM_probseg.nii.gz",
    "out_csf": "label-CSF_probseg.nii.gz",
    "out_dseg": "dseg.nii.gz",
}


@dataclass(frozen=True)
class Maps:
    """What the stage wrote for one head, and what it took."""

    mask: Mask
    grey: NDArray[np.float32]
    white: NDArray[np.float32]
    affine_ras_mm: Array
    cpu_s: float

    @property
    def millilitres(self) -> float:
        """Volume of a voxel."""
        return float(np.abs(np.linalg.det(self.affine_ras_mm[:3, :3]))) * 1e-3


def anatomy(t1w: Path) -> Maps:
    """Run stage ``anatomy``."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {key: Path(folder) / name for key, name in NAMES.items()}
        began = cpu_seconds()
        run("anatomy", {"t1w": t1w, **paths})
        took = cpu_seconds() - began
        mask, grey, white = (load_nifti(paths[key]) for key in ("out_brain_mask", "out_gm", "out_wm"))
        return Maps(read_data(mask) > 0.5, read_data(grey), read_data(white), np.asarray(mask.affine), took)


def cpu_seconds() -> float:
    """Return the CPU time of this process and the programs it started."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def dice(one: Mask, two: Mask) -> float:
    """Return the overlap of two masks."""
    return float(2 * (one & two).sum() / (one.sum() + two.sum()))


def find_ch2bet(given: Path | None, folder: Path) -> Path | None:
    """Return the reference mask's file: the one given, the installed one, or one unpacked from Debian's package."""
    for path in (given, CH2BET):
        if path is not None and path.is_file():
            return path
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return None
    try:
        subprocess.run(["apt-get", "download", "mricron-data"], cwd=folder, capture_output=True, check=True, timeout=60)
        (package,) = folder.glob("mricron-data*.deb")
        subprocess.run(["dpkg", "-x", package.name, "."], cwd=folder, capture_output=True, check=True, timeout=60)
    except (subprocess.SubprocessError, OSError, ValueError):
        return None
    return folder / CH2BET.relative_to("/")


def canonical_mask(path: Path) -> Mask:
    """Return the non-zero voxels of an image with axes closest to R, A, S."""
    image = load_nifti(path)
    return closest_canonical(read_data(image), np.asarray(image.affine))[0] > 0


def colin27(data: Path, reference: Path | None) -> Iterator[Row]:
    """Measure Colin27 as it is stored."""
    maps = anatomy(data / "heads" / "colin27_T1w.nii.gz")
    if reference is None:
        print("skipped: Dice to ch2bet (no mricron-data; give --ch2bet FILE)")
    else:
        yield at_least("Colin27: Dice to ch2bet", dice(maps.mask, canonical_mask(reference)), 0.95)
    yield from common_rows("Colin27", maps)


def common_rows(name: str, maps: Maps) -> Iterator[Row]:
    """Return what is measured on every head, for information."""
    yield note(f"{name}: brain mask", float(maps.mask.sum()) * maps.millilitres, "ml")
    yield note(f"{name}: grey to white matter", float(maps.grey.sum() / maps.white.sum()))
    yield at_most(f"{name}: CPU time", maps.cpu_s, 60.0, "s")


def s1(data: Path) -> Iterator[Row]:
    """Measure S1 against its surfaces."""
    folder = data / "heads" / "s1"
    maps = anatomy(folder / "T1w.nii.gz")
    grid = Grid(maps.mask.shape, maps.affine_ras_mm)
    pial, inner = (interior_of_pair(folder, name, grid) for name in ("pia", "wm"))
    yield at_least("S1: pial interior covered", float((pial & maps.mask).sum() / pial.sum()), 0.99)
    yield note("S1: white matter Dice inside the pial surface", dice((maps.white > 0.5) & pial, inner & pial))
    yield note("S1: grey matter Dice to the cortical ribbon", dice((maps.grey > 0.5) & pial, pial & ~inner))
    yield from common_rows("S1", maps)


def interior_of_pair(folder: Path, name: str, grid: Grid) -> Mask:
    """Return the voxels inside the left or the right surface."""
    masks = [interior(*read_surface(folder / f"{name}_{side}.gii"), grid) for side in ("lh", "rh")]
    return masks[0] | masks[1]


def read_surface(path: Path) -> tuple[Array, NDArray[np.int64]]:
    """Return vertices (RAS mm) and triangles."""
    arrays = nib.load(path).darrays
    return np.asarray(arrays[0].data, dtype=np.float64), np.asarray(arrays[1].data, dtype=np.int64)


def interior(vertices_ras_mm: Array, triangles: NDArray[np.int64], grid: Grid) -> Mask:
    """Return the voxels whose centre lies in a closed surface: crossings of the ray along the first axis are counted."""
    corners = apply_affine(np.linalg.inv(grid.affine_ras_mm), vertices_ras_mm)[triangles]
    nudge = np.array([1.234e-4, 2.345e-4])  # no ray through a vertex
    flat = corners[:, :, 1:] - nudge
    low, high = np.ceil(flat.min(axis=1)).astype(int), np.floor(flat.max(axis=1)).astype(int)
    crossings = np.zeros(grid.shape, dtype=np.int32)
    for offset in np.ndindex(*(int(size) + 1 for size in (high - low).max(axis=0))):
        rays = low + offset
        at, hit = _crossed(corners[:, :, 0], flat, rays)
        hit &= np.all(rays <= high, axis=1)
        first = np.clip(np.ceil(at[hit]).astype(int), 0, grid.shape[0] - 1)
        np.add.at(crossings, (first, rays[hit, 0], rays[hit, 1]), 1)
    return np.asarray(np.cumsum(crossings, axis=0) % 2 == 1)


def _crossed(along: Array, flat: Array, rays: NDArray[np.int64]) -> tuple[Array, Mask]:
    """Return where each ray crosses its triangle's plane, along the ray, and whether inside the triangle."""
    one, two, point = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0], rays - flat[:, 0]
    area = one[:, 0] * two[:, 1] - two[:, 0] * one[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        u = (point[:, 0] * two[:, 1] - two[:, 0] * point[:, 1]) / area
        v = (one[:, 0] * point[:, 1] - point[:, 0] * one[:, 1]) / area
    hit = (area != 0) & (u >= 0) & (v >= 0) & (u + v <= 1)
    at = along[:, 0] + u * (along[:, 1] - along[:, 0]) + v * (along[:, 2] - along[:, 0])
    return np.where(hit, at, 0.0), hit


def displaced_colin27(data: Path, reference: Path | None, folder: Path) -> Iterator[Row]:
    """Measure Colin27 after its header was turned and shifted, and its voxels stored otherwise."""
    if reference is None:
        return
    image = load_nifti(data / "heads" / "colin27_T1w.nii.gz")
    voxels, truth = read_data(image), canonical_mask(reference)
    for name, degrees, shift, order in (
        ("turned 13 degrees, shifted 41 mm", (5.0, 8.0, -9.0), (20.0, -30.0, 20.0), "RAS"),
        ("pitched 35 degrees, LAS", (35.0, 0.0, 0.0), (0.0, 40.0, -60.0), "LAS"),
        ("turned about all axes, PSR", (-20.0, 15.0, 20.0), (-30.0, 10.0, 50.0), "PSR"),
    ):
        motion = np.eye(4)
        motion[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
        motion[:3, 3] = shift
        path = folder / f"{order}.nii.gz"
        save_nifti(path, *reordered(voxels, motion @ np.asarray(image.affine), order), xform_code=1)
        maps = anatomy(path)
        back = canonical_like(maps, motion @ np.asarray(image.affine), voxels.shape)
        yield at_least(f"Colin27, {name}: Dice to ch2bet", dice(back, truth), 0.95)


def reordered(voxels: NDArray[np.float32], affine: Array, order: str) -> tuple[NDArray[np.float32], Array]:
    """Return data and affine whose stored axes run as if the given ones were R, A, S and had to become `order`."""
    ornt = nib.orientations
    change = ornt.ornt_transform(ornt.axcodes2ornt("RAS"), ornt.axcodes2ornt(order))
    return ornt.apply_orientation(voxels, change), affine @ ornt.inv_ornt_aff(change, voxels.shape)


def canonical_like(maps: Maps, affine_ras_mm: Array, shape: tuple[int, ...]) -> Mask:
    """Return the mask in the voxel order of a grid that has the same voxels in another order."""
    voxels = np.rint(apply_affine(np.linalg.inv(affine_ras_mm) @ maps.affine_ras_mm, np.argwhere(maps.mask))).astype(int)
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(voxels.T)] = True
    return mask


def main(words: Sequence[str]) -> int:
    """Run the benchmark; return 1 if a goal was missed."""
    parser = option_parser(__doc__, quick="only the heads as they are stored")
    parser.add_argument("--ch2bet", type=Path)
    options = parser.parse_args(words)
    if absent("brain masks", options.data, "heads/colin27_T1w.nii.gz", "heads/s1/T1w.nii.gz", "heads/s1/pia_lh.gii"):
        return finish([], options.json)
    with tempfile.TemporaryDirectory() as folder:
        reference = find_ch2bet(options.ch2bet, Path(folder))
        rows = [*colin27(options.data, reference), *s1(options.data)]
        if not options.quick:
            rows += displaced_colin27(options.data, reference, Path(folder))
    return finish(rows, options.json)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
