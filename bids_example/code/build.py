"""Build this dataset anew from the two published heads.

    python bids_example/code/build.py --s1-t1w S1/T1w.nii.gz --colin27-t1w ch2.nii.gz --colin27-montage montage.elc

README.md beside this folder says where the three files come from. The same files and version give the same bytes.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tmsprep.stages import pin_threads

pin_threads()

from tmsprep.files import load_nifti, read_data, write_tsv  # noqa: E402
from tmsprep.simulate.anatomy import AnatomyFiles  # noqa: E402
from tmsprep.simulate.dataset import save_small  # noqa: E402
from tmsprep.simulate.motion import rigid  # noqa: E402
from tmsprep.simulate.participant import Conditions  # noqa: E402
from tmsprep.simulate.protocol import Protocol  # noqa: E402
from tmsprep.simulate.study import Request, simulate  # noqa: E402
from tmsprep.spaces import Grid, Transform, apply_affine, resample, save_itk_affines  # noqa: E402

HERE = Path(__file__).resolve().parent.parent
SEED = 42
TSNR = 80.0
QUANTUM = 1.5
SURROUND_MM = 5.0

SITE_A = Protocol(2.5, (0.0132, 0.0305, 0.0478), 4.0, 10.0, (56, 56), 33, TSNR, QUANTUM, 0.028)
SITE_B = Protocol(2.8, (0.0120, 0.0290, 0.0460), 4.0, 10.0, (54, 56), 33, TSNR, QUANTUM, 0.025, "descending")

MOVED = rigid(np.array([-6.0, -36.0, 18.5]), np.deg2rad([10.0, 5.0, -6.5]), np.zeros(3))
"""Where Colin27 is put: 4 x 4, template world to the scanner of site B (RAS mm). It lies in MNI space as published."""
FIDUCIALS = {"Nz": "NAS", "Iz": "INI", "LPA": "LPA", "RPA": "RPA"}


@dataclass(frozen=True)
class Person:
    """One participant of the example."""

    label: str
    site: str
    protocol: Protocol
    mean_fd_mm: float


SUB_01 = Person("01", "siteA", SITE_A, 0.11)
SUB_02 = Person("02", "siteB", SITE_B, 0.14)


def moved_head(source: Path, out: Path) -> None:
    """Write Colin27 turned and shifted, interpolated once (cubic), on a grid along L, A, S that holds the whole head."""
    image = load_nifti(source)
    data = np.squeeze(read_data(image))
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in data.shape], indexing="ij")).reshape(3, -1).T
    box = apply_affine(MOVED @ Grid.of(image).affine_ras_mm, corners)
    low, high = np.floor(box.min(axis=0)), np.ceil(box.max(axis=0))
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = high[0], low[1], low[2]
    shape = (high - low + 1).astype(int)
    grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)
    moved = resample(data, np.asarray(image.affine), grid, Transform.from_matrix(np.linalg.inv(MOVED)), order=3)
    save_small(out, *cropped(np.clip(np.rint(moved), 0, 255).astype(np.uint8), grid))


def cropped(data: NDArray[np.uint8], grid: Grid) -> tuple[NDArray[np.uint8], Grid]:
    """Cut off empty planes."""
    filled = np.argwhere(data > 8)
    low, high = filled.min(axis=0), filled.max(axis=0) + 1
    part = data[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    affine = grid.affine_ras_mm.copy()
    affine[:3, 3] = apply_affine(grid.affine_ras_mm, low)
    return part, Grid((part.shape[0], part.shape[1], part.shape[2]), affine)


def published_fiducials(montage: Path, out: Path) -> None:
    """Write Colin27's published nasion, inion and preauricular points at the place where the head was put."""
    lines = montage.read_text(encoding="ascii").splitlines()
    start, names_at = lines.index("Positions") + 1, lines.index("Labels") + 1
    names = " ".join(lines[names_at:]).split()
    positions = {name: np.array(lines[start + index].split()[-3:], dtype=float) for index, name in enumerate(names)}
    rows = [
        dict(zip(("name", "x", "y", "z"), (ours, *apply_affine(MOVED, positions[theirs])), strict=True))
        for theirs, ours in FIDUCIALS.items()
    ]
    write_tsv(out, pd.DataFrame(rows), decimals=3)


def request(person: Person, out: Path, fiducials: Path | None) -> Request:
    """Return what is to be simulated for a person."""
    return Request(
        out=out,
        label=person.label,
        site=person.site,
        sessions=(None,),
        task="rest",
        protocol=person.protocol,
        circuit="example",
        search_mask="dlpfc-spheres",
        conditions=Conditions(person.mean_fd_mm, distorted=False, non_steady_volumes=0, surround_mm=SURROUND_MM),
        field_map="none",
        fiducials=fiducials,
        seed=SEED,
    )


def prepared(t1w: Path, scratch: Path) -> AnatomyFiles:
    """Make tissue maps and normalisation of a head."""
    return AnatomyFiles.of(t1w, gm=None, wm=None, csf=None, t1w_to_mni=None, scratch=scratch, seed=SEED)


def build(s1: Path, colin27: Path, montage: Path, out: Path, scratch: Path) -> None:
    """Write both participants."""
    simulate(request(SUB_01, out, None), prepared(s1, scratch / "01"))
    second, fiducials = scratch / "colin27.nii.gz", scratch / "fiducials.tsv"
    moved_head(colin27, second)
    published_fiducials(montage, fiducials)
    simulate(request(SUB_02, out, fiducials), prepared(second, scratch / "02"))
    folder = out / "derivatives" / "truth" / "sub-02" / "anat"
    save_itk_affines(folder / "sub-02_from-Colin27_to-T1w_mode-image_desc-truth_xfm.txt", [np.linalg.inv(MOVED)])


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description="Build the example dataset anew.")
    parser.add_argument("--s1-t1w", type=Path, required=True)
    parser.add_argument("--colin27-t1w", type=Path, required=True)
    parser.add_argument("--colin27-montage", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tmsprep-example-") as scratch:
        build(options.s1_t1w, options.colin27_t1w, options.colin27_montage, options.out, Path(scratch))


if __name__ == "__main__":
    main()
