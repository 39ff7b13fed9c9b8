"""Scalp, fiducials and Beam F3 on the real heads of the check data: prints a table, writes JSON.

    python bench/scalp.py [--data ../shared/data] [--out bench/results/scalp.json] [--heads colin27 s1 ...]

Colin27 is turned by 13 degrees and shifted by 41 mm out of template space before anything else; its published electrode
positions, moved with it, are the truth. Each head is registered to the template by a whole-head affine at 2 mm.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    "colin27": "heads/colin27_T1w.nii.gz",
    "s1": "heads/s1/T1w.nii.gz",
    "ixi012": "heads/ixi012_T1w.nii.gz",
    "sub-01": "bids_real/sub-01/**/*_T1w.nii.gz",
}
GOALS = {
    "fiducials_rms_mm": 3.0,
    "inion_error_mm": 6.0,
    "beamf3_to_f3_mm": 8.0,
    "geodesic_error_percent": 0.3,
    "seconds": 30.0,
}
TURN_DEG, SHIFT_MM = 13.0, 41.0


@dataclass(frozen=True)
class Head:
    """A T1w on the disk, and how it was moved from its published place (4 x 4)."""

    name: str
    folder: Path
    moved: Array


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit status is 1 if a goal is missed."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        rows = [_bench(_prepare(name, options.data, Path(scratch) / name), options.data) for name in options.heads]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"goals": GOALS, "heads": rows}, indent=2) + "\n", encoding="utf-8")
    return _print_table(rows)


def _options(arguments: Sequence[str]) -> Any:
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=root.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=root / "bench" / "results" / "scalp.json")
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS))
    return parser.parse_args(arguments)


def _prepare(name: str, data: Path, folder: Path) -> Head:
    folder.mkdir(parents=True)
    image = load_nifti(sorted(data.glob(HEADS[name]))[0])
    moved = _rigid() if name == "colin27" else np.eye(4)
    volume = np.squeeze(read_data(image))
    affine = moved @ np.asarray(image.affine, dtype=np.float64)
    save_nifti(folder / "T1w.nii.gz", volume, affine, xform_code=1)
    save_itk_affines(folder / "xfm.txt", [_affine_to_template(volume, affine)])
    return Head(name, folder, moved)


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


def _bench(head: Head, data: Path) -> dict[str, Any]:
    folder, started = head.folder, time.process_time()
    outputs = {"out_head_mask": "mask.nii.gz", "out_scalp": "desc-scalp.surf.gii", "out_picture": "scalp.png"}
    run(
        "scalp",
        {"t1w": folder / "T1w.nii.gz", "t1w_to_mni": folder / "xfm.txt", "fiducials_file": None}
        | {key: folder / value for key, value in outputs.items()}
        | {"out_fiducials": folder / "fiducials.tsv"},
    )
    surface_seconds, started = time.process_time() - started, time.process_time()
    inputs = {"scalp": folder / "desc-scalp.surf.gii", "fiducials": folder / "fiducials.tsv"}
    run("beamf3", inputs | {"out_result": folder / "beamf3.json"})
    seconds = time.process_time() - started
    found = BeamF3Result.load(folder / "beamf3.json")
    surface = Surface.load(folder / "desc-scalp.surf.gii")
    return {
        "head": head.name,
        "nasion_inion_mm": found.nasion_inion_mm,
        "tragus_tragus_mm": found.tragus_tragus_mm,
        "circumference_mm": found.circumference_mm,
        "head_litres": round(surface.signed_volume_mm3() / 1e6, 3),
        "vertices": len(surface.vertices_ras_mm),
        "euler_number": surface.euler_number(),
        "beamf3_to_f3_mm": _distance(found.beamf3_ras_mm, found.f3_ras_mm),
        "status": found.status.value,
        "geodesic_error_percent": _geodesic_error_percent(head, surface),
        "scalp_seconds": round(surface_seconds, 1),
        "beamf3_seconds": round(seconds, 1),
        **(_against_published(head, surface, found, data) if head.name == "colin27" else {}),
    }


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


def _against_published(head: Head, surface: Surface, found: BeamF3Result, data: Path) -> dict[str, Any]:
    """Compare with the published positions, moved as the head was."""
    truth = {name: apply_affine(head.moved, place) for name, place in _electrodes(data).items()}
    places = load_fiducials(head.folder / "fiducials.tsv")
    names = {"NAS": "Nz", "INI": "Iz", "LPA": "LPA", "RPA": "RPA"}
    errors = {name: _distance(places[name].position_ras_mm, truth[other]) for name, other in names.items()}
    measured = measure(surface, Landmarks.on(surface, {name: truth[other] for name, other in names.items()}))
    best = locate_on_scalp(surface, measured).position_ras_mm
    away = np.array([surface.distance_mm(place) for place in truth.values()])
    return {
        "fiducial_error_mm": errors,
        "fiducials_rms_mm": round(float(np.sqrt(np.mean([errors[name] ** 2 for name in ("NAS", "LPA", "RPA")]))), 2),
        "inion_error_mm": errors["INI"],
        "electrodes_to_scalp_mm": [round(float(away.mean()), 2), round(float(away.std()), 2)],
        "f3_to_published_mm": _distance(found.f3_ras_mm, truth["F3"]),
        "beamf3_to_published_f3_mm": _distance(found.beamf3_ras_mm, truth["F3"]),
        "with_published_fiducials": {
            "beamf3_shift_mm": _distance(best, found.beamf3_ras_mm),
            "f3_to_published_mm": _distance(f3_on_scalp(surface, measured), truth["F3"]),
            "vertex_to_published_cz_mm": _distance(measured.vertex_ras_mm, truth["Cz"]),
        },
    }


def _electrodes(data: Path) -> dict[str, Array]:
    lines = [line.strip() for line in (data / "heads" / "colin27_1005.elc").read_text().splitlines()]
    start, middle = lines.index("Positions"), lines.index("Labels")
    points = [np.array(line.split(), dtype=np.float64) for line in lines[start + 1 : middle]]
    return dict(zip(lines[middle + 1 :], points, strict=False))


def _print_table(rows: list[dict[str, Any]]) -> int:
    print(f"{'head':<10}{'NI/TT/CF mm':>16}{'BeamF3-F3':>11}{'geodesic %':>12}{'scalp s':>9}{'beamf3 s':>10}  status")
    missed: list[str] = []
    for row in rows:
        lengths = "/".join(f"{row[key]:.0f}" for key in ("nasion_inion_mm", "tragus_tragus_mm", "circumference_mm"))
        print(
            f"{row['head']:<10}{lengths:>16}{row['beamf3_to_f3_mm']:>11.1f}{row['geodesic_error_percent']:>12.4f}"
            f"{row['scalp_seconds']:>9.1f}{row['beamf3_seconds']:>10.1f}  {row['status']}"
        )
        seconds = max(row["scalp_seconds"], row["beamf3_seconds"])
        measured = row | {"seconds": seconds}
        missed += [
            f"{row['head']}: {name} {measured[name]} (goal {goal})"
            for name, goal in GOALS.items()
            if name in measured and measured[name] > goal
        ]
        for name in ("fiducial_error_mm", "fiducials_rms_mm", "electrodes_to_scalp_mm", "with_published_fiducials"):
            if name in row:
                print(f"  {name}: {row[name]}")
    print("\n".join(f"MISSED {item}" for item in missed) or "all goals met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
