"""Scalp, fiducials and Beam F3 on the real heads of the check data.

    python bench/scalp.py [--data ../shared/data] [--json bench/results/scalp.json] [--heads colin27 s1 ...] [--quick]

Colin27 is turned by 13 degrees and shifted by 41 mm out of template space before anything else; its published electrode
positions, moved with it, are the truth. Each head is registered to the template by a whole-head affine at 2 mm.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _scalp_variants import variant_rows
from _table import Row, absent, at_most, finish, note, option_parser
from tmsprep.stages import pin_threads, run

pin_threads()

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402

from tmsprep.files import load_nifti, read_data, save_nifti  # noqa: E402
from tmsprep.interfaces.ants_registration import register as ants_register  # noqa: E402
from tmsprep.records import BeamF3Result, load_fiducials  # noqa: E402
from tmsprep.scalp.geodesic import with_vertex  # noqa: E402
from tmsprep.scalp.measure import Landmarks, f3_on_scalp, locate_on_scalp, measure  # noqa: E402
from tmsprep.scalp.tenten import ten_ten  # noqa: E402
from tmsprep.spaces import (  # noqa: E402
    Array,
    Grid,
    apply_affine,
    closest_canonical,
    resample,
    save_itk_affines,
    to_ants,
)
from tmsprep.surfaces import Surface  # noqa: E402
from tmsprep.templates import NLIN2009C, load  # noqa: E402

HEADS = {
    "colin27": ("heads/colin27_T1w.nii.gz", "heads/colin27_1005.elc"),
    "s1": ("heads/s1/T1w.nii.gz",),
    "ixi012": ("heads/ixi012_T1w.nii.gz",),
    "sub-01": ("bids_real/sub-01/**/*_T1w.nii.gz",),
}
"""What each head needs of the check data, its T1w first."""
QUICK = ("colin27",)
GOAL_FIDUCIALS_RMS_MM = 3.0
GOAL_INION_MM = 6.0
GOAL_BEAMF3_TO_F3_MM = 8.0
GOAL_F3_MM = 6.0
GOAL_GEODESIC_PERCENT = 0.3
GOAL_CPU_S = 30.0
TURN_DEG, SHIFT_MM = 13.0, 41.0
PUBLISHED_NAMES = {"NAS": "Nz", "INI": "Iz", "LPA": "LPA", "RPA": "RPA"}


@dataclass(frozen=True)
class Head:
    """A T1w on the disk, and how it was moved from its published place (4 x 4)."""

    name: str
    folder: Path
    moved: Array
    mni_to_t1w: Array
    """4 x 4, whole-head affine."""


def main(words: Sequence[str]) -> int:
    """Run the benchmark; return 1 if a goal was missed."""
    parser = option_parser(__doc__, quick=f"only {', '.join(QUICK)}, unless --heads says otherwise")
    parser.add_argument(
        "--variants", action=argparse.BooleanOptionalAction, default=None, help="other forms of each head too"
    )
    parser.add_argument("--heads", nargs="+", choices=HEADS)
    options = parser.parse_args(words)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.heads or (QUICK if options.quick else HEADS):
            if not absent(name, options.data, *HEADS[name]):
                head = _prepare(name, options.data, Path(scratch) / name)
                rows += _bench(head, options.data)
                if options.variants if options.variants is not None else not options.quick:
                    rows += variant_rows(name, head.folder, head.mni_to_t1w)
    return finish(rows, options.json)


def _prepare(name: str, data: Path, folder: Path) -> Head:
    folder.mkdir(parents=True)
    image = load_nifti(min(data.glob(HEADS[name][0])))
    moved = _rigid() if name == "colin27" else np.eye(4)
    volume = np.squeeze(read_data(image))
    affine = moved @ np.asarray(image.affine, dtype=np.float64)
    save_nifti(folder / "T1w.nii.gz", volume, affine, xform_code=1)
    mni_to_t1w = _affine_to_template(volume, affine)
    save_itk_affines(folder / "xfm.txt", [mni_to_t1w])
    return Head(name, folder, moved, mni_to_t1w)


def _rigid() -> Array:
    matrix = np.eye(4)
    axis, way = np.array([0.6, 0.5, 0.62]), np.array([0.5, -0.7, 0.51])
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(TURN_DEG) * axis / np.linalg.norm(axis)).as_matrix()
    matrix[:3, 3] = SHIFT_MM * way / np.linalg.norm(way)
    return matrix


def _affine_to_template(volume: NDArray[np.float32], affine_ras_mm: Array) -> Array:
    """Register a whole head to the template; return the map of template points to the T1w (4 x 4)."""
    import ants

    template = load_nifti(load(NLIN2009C).head)
    data, affine = closest_canonical(volume, affine_ras_mm)
    grid = Grid((data.shape[0], data.shape[1], data.shape[2]), affine).with_zooms((2.0, 2.0, 2.0))
    found = ants_register(
        to_ants(read_data(template), np.asarray(template.affine, dtype=np.float64)),
        to_ants(resample(data, affine, grid, order=1), grid.affine_ras_mm),
        "Affine",
        aff_metric="mattes",
        seed=42,
    )
    transform = ants.read_transform(found["fwdtransforms"][0])
    corners = np.array([[0.0, 0, 0], [50, 0, 0], [0, 50, 0], [0, 0, 50]])
    flip = np.array([-1.0, -1, 1])
    mapped = np.array([transform.apply_to_point(tuple(point * flip)) for point in corners]) * flip
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = ((mapped[1:] - mapped[0]) / 50).T, mapped[0]
    return matrix


def _bench(head: Head, data: Path) -> Iterator[Row]:
    """Measure one head."""
    scalp_s, beamf3_s = _run_stages(head.folder)
    found = BeamF3Result.load(head.folder / "beamf3.json")
    surface = Surface.load(head.folder / "desc-scalp.surf.gii")
    yield from _size_rows(head.name, found, surface)
    to_f3 = _distance(found.beamf3_ras_mm, found.f3_ras_mm)
    yield at_most(f"{head.name}: Beam F3 to F3", to_f3, GOAL_BEAMF3_TO_F3_MM, "mm")
    yield note(f"{head.name}: Beam F3 status", found.status.value)
    error = _geodesic_error_percent(head, surface)
    yield at_most(f"{head.name}: geodesic error", error, GOAL_GEODESIC_PERCENT, "%")
    yield at_most(f"{head.name}: CPU time, scalp", scalp_s, GOAL_CPU_S, "s")
    yield at_most(f"{head.name}: CPU time, Beam F3", beamf3_s, GOAL_CPU_S, "s")
    if head.name == "colin27":
        yield from _against_published(head, surface, found, data)


def _run_stages(folder: Path) -> tuple[float, float]:
    """Run stages ``scalp`` and ``beamf3``; return the CPU time of each."""
    started = time.process_time()
    outputs = {"out_head_mask": "mask.nii.gz", "out_scalp": "desc-scalp.surf.gii"}
    run(
        "scalp",
        {"t1w": folder / "T1w.nii.gz", "t1w_to_mni": folder / "xfm.txt", "fiducials_file": None}
        | {key: folder / value for key, value in outputs.items()}
        | {"out_fiducials": folder / "fiducials.tsv"},
    )
    between = time.process_time()
    inputs = {"scalp": folder / "desc-scalp.surf.gii", "fiducials": folder / "fiducials.tsv"}
    run("beamf3", inputs | {"out_result": folder / "beamf3.json", "out_picture": folder / "scalp.png"})
    return round(between - started, 1), round(time.process_time() - between, 1)


def _size_rows(name: str, found: BeamF3Result, surface: Surface) -> Iterator[Row]:
    """Return the three tape lengths and the size of the surface."""
    yield note(f"{name}: nasion to inion", found.nasion_inion_mm, "mm")
    yield note(f"{name}: tragus to tragus", found.tragus_tragus_mm, "mm")
    yield note(f"{name}: circumference", found.circumference_mm, "mm")
    yield note(f"{name}: head", round(surface.signed_volume_mm3() / 1e6, 3), "l")
    yield note(f"{name}: vertices", len(surface.vertices_ras_mm))
    yield note(f"{name}: Euler number", surface.euler_number())


def _distance(first: Any, second: Any) -> float:
    return round(float(np.linalg.norm(np.subtract(first, second))), 2)


def _landmarks(folder: Path, surface: Surface) -> Landmarks:
    positions = {name: np.array(item.position_ras_mm) for name, item in load_fiducials(folder / "fiducials.tsv").items()}
    return Landmarks.on(surface, positions)


def _geodesic_error_percent(head: Head, surface: Surface) -> float:
    """Compare the line from vertex to X mark with the exact solution (pygeodesic) on the quarter of the scalp around it."""
    from pygeodesic.geodesic import PyGeodesicAlgorithmExact

    measured = measure(surface, _landmarks(head.folder, surface))
    line = locate_on_scalp(surface, measured).line
    refined, start = with_vertex(surface, surface.nearest(line.points_ras_mm[0]))
    refined, end = with_vertex(refined, refined.nearest(line.points_ras_mm[-1]))
    kept = np.zeros(len(refined.vertices_ras_mm), dtype=bool)
    kept[refined.vertices_within(line.at_fraction(0.5), 0.6 * line.length_mm)] = True
    numbers = np.cumsum(kept) - 1
    faces = numbers[refined.faces[kept[refined.faces].all(axis=1)]].astype(np.int32)
    solver = PyGeodesicAlgorithmExact(refined.vertices_ras_mm[kept], faces)
    exact, _ = solver.geodesicDistance(int(numbers[start]), int(numbers[end]))
    return round(100 * abs(line.length_mm / float(exact) - 1), 4)


def _against_published(head: Head, surface: Surface, found: BeamF3Result, data: Path) -> Iterator[Row]:
    """Compare with the published positions, moved as the head was."""
    truth = {name: apply_affine(head.moved, place) for name, place in _electrodes(data).items()}
    yield from _fiducial_rows(head, truth)
    away = np.array([surface.distance_mm(place) for place in truth.values()])
    yield note(f"{head.name}: electrodes to scalp, mean", round(float(away.mean()), 2), "mm")
    yield note(f"{head.name}: electrodes to scalp, SD", round(float(away.std()), 2), "mm")
    yield at_most(f"{head.name}: F3 to published F3", _distance(found.f3_ras_mm, truth["F3"]), GOAL_F3_MM, "mm")
    ours = ten_ten(surface, measure(surface, _landmarks(head.folder, surface)))
    apart = {name: _distance(place, truth[name]) for name, place in ours.items() if name in truth}
    worst = max(apart, key=lambda label: apart[label])
    yield note(
        f"{head.name}: 10-10 positions to the published ones, median of {len(apart)}",
        float(np.median([*apart.values()])),
        "mm",
    )
    yield note(f"{head.name}: 10-10 positions, worst ({worst})", apart[worst], "mm")
    yield note(f"{head.name}: Beam F3 to published F3", _distance(found.beamf3_ras_mm, truth["F3"]), "mm")
    yield from _rows_with_published_fiducials(head.name, surface, found, truth)


def _fiducial_rows(head: Head, truth: dict[str, Array]) -> Iterator[Row]:
    places = load_fiducials(head.folder / "fiducials.tsv")
    errors = {name: _distance(places[name].position_ras_mm, truth[other]) for name, other in PUBLISHED_NAMES.items()}
    for name, error in errors.items():
        yield at_most(f"{head.name}: {name} error", error, GOAL_INION_MM if name == "INI" else None, "mm")
    rms = round(float(np.sqrt(np.mean([errors[name] ** 2 for name in ("NAS", "LPA", "RPA")]))), 2)
    yield at_most(f"{head.name}: NAS, LPA and RPA error, RMS", rms, GOAL_FIDUCIALS_RMS_MM, "mm")


def _rows_with_published_fiducials(
    name: str, surface: Surface, found: BeamF3Result, truth: dict[str, Array]
) -> Iterator[Row]:
    """Measure again from the published fiducials: what is left is not the fiducials' error."""
    measured = measure(surface, Landmarks.on(surface, {own: truth[other] for own, other in PUBLISHED_NAMES.items()}))
    best = locate_on_scalp(surface, measured).position_ras_mm
    given = f"{name}, published fiducials"
    yield note(f"{given}: Beam F3 shift", _distance(best, found.beamf3_ras_mm), "mm")
    yield note(f"{given}: F3 to published F3", _distance(f3_on_scalp(surface, measured), truth["F3"]), "mm")
    yield note(f"{given}: vertex to published Cz", _distance(measured.vertex_ras_mm, truth["Cz"]), "mm")


def _electrodes(data: Path) -> dict[str, Array]:
    lines = [line.strip() for line in (data / "heads" / "colin27_1005.elc").read_text().splitlines()]
    start, middle = lines.index("Positions"), lines.index("Labels")
    points = [np.array(line.split(), dtype=np.float64) for line in lines[start + 1 : middle]]
    return dict(zip(lines[middle + 1 :], points, strict=False))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
