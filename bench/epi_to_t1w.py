"""EPI to T1w on a head whose transform is published: accuracy, capture range, refusal of the wrong head.

    python bench/epi_to_t1w.py [--data ../shared/data] [--json bench/results/epi_to_t1w.json] [--anatomy DIR] [--quick]

The published transform was made by others with other software, so an error includes theirs. The T1w's maps come from stage
``anatomy``; `--anatomy` names a folder that holds them already. Displaced starts are made by moving the EPI's header.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from _table import Row, absent, at_least, at_most, finish, note, option_parser
from tmsprep.stages import pin_threads, run

pin_threads()

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402

from tmsprep.files import load_nifti, read_data  # noqa: E402
from tmsprep.preprocess.builtin.boundary import Target, boundary_cost  # noqa: E402
from tmsprep.preprocess.builtin.coregister import Head, Registration, is_credible, load_head, register  # noqa: E402
from tmsprep.spaces import Array, apply_affine  # noqa: E402

GOAL_MEAN_MM = 1.0
CAPTURED_MM = 1.0
DISPLACEMENTS_MM = (4.5, 8.0, 15.0)
"""All starts of the first two must be captured; the third is for information."""
STARTS, STARTS_QUICK = 5, 2
NEEDED = ("T1w.nii.gz", "epi_reference.nii.gz", "matrices.xfm")
_MAPS = {
    "out_t1w": "desc-preproc_T1w.nii.gz",
    "out_brain_mask": "desc-brain_mask.nii.gz",
    "out_gm": "label-GM_probseg.nii.gz",
    "out_wm": "label-WM_probseg.nii.gz",
    "out_csf": "label-CSF_probseg.nii.gz",
    "out_dseg": "dseg.nii.gz",
}


@dataclass(frozen=True)
class Trial:
    """One registration from one start."""

    start: str
    start_error_mm: float
    mean_error_mm: float
    worst_error_mm: float
    boundary_cost: float
    gain: float
    best_start: str
    cpu_s: float


@dataclass(frozen=True)
class Scan:
    """The EPI, its head and the truth."""

    reference: NDArray[np.float32]
    affine_ras_mm: Array
    head: Head
    truth_ras_mm: Array
    """4 x 4, points of the T1w to points of the EPI."""
    brain_ras_mm: Array
    """(n, 3), brain voxels of the T1w that errors are averaged over."""


def main(words: Sequence[str]) -> int:
    """Run the benchmark; return 1 if a goal was missed."""
    parser = option_parser(__doc__, quick=f"{STARTS_QUICK} displaced starts of each size instead of {STARTS}")
    parser.add_argument("--anatomy", type=Path)
    options = parser.parse_args(words)
    if absent("EPI to T1w", options.data, *(f"heads/s1/{name}" for name in NEEDED)):
        return finish([], options.json)
    source = options.data / "heads" / "s1"
    with tempfile.TemporaryDirectory() as folder:
        scan = _load(source, options.anatomy or _make_anatomy(source, Path(folder)))
    rows = [*_accuracy(scan, STARTS_QUICK if options.quick else STARTS), *_refusal(scan, options.data)]
    return finish(rows, options.json)


def _make_anatomy(source: Path, folder: Path) -> Path:
    run("anatomy", {"t1w": source / "T1w.nii.gz", "seed": 42, **{key: folder / name for key, name in _MAPS.items()}})
    return folder


def _load(source: Path, anatomy: Path) -> Scan:
    head = load_head(*(anatomy / _MAPS[key] for key in ("out_t1w", "out_brain_mask", "out_wm")))
    image = load_nifti(source / "epi_reference.nii.gz")
    truth = np.array(json.loads((source / "matrices.xfm").read_text())["magnet"], dtype=np.float64)
    brain = apply_affine(head.affine_ras_mm, np.argwhere(head.brain)[::200])
    return Scan(read_data(image), np.asarray(image.affine, dtype=np.float64), head, truth, brain)


def _accuracy(scan: Scan, starts: int) -> Iterator[Row]:
    """Measure the registration from the published headers, then from displaced ones."""
    yield from _trial_rows(_trial(scan, "headers as published", np.eye(4)), GOAL_MEAN_MM)
    truth_cost = boundary_cost(scan.head.boundary(), Target.of(scan.reference, scan.affine_ras_mm), scan.truth_ras_mm, 1.5)
    yield note("published transform: boundary cost", truth_cost)
    rng = np.random.default_rng(0)
    for millimetres in DISPLACEMENTS_MM:
        trials = [_displaced_trial(scan, rng, millimetres, number) for number in range(1, starts + 1)]
        for trial in trials:
            yield from _trial_rows(trial, None)
        captured = sum(trial.mean_error_mm <= CAPTURED_MM for trial in trials)
        goal = None if millimetres == DISPLACEMENTS_MM[-1] else starts
        yield at_least(f"{millimetres:g} mm off: captured", captured, goal, f"of {starts}")


def _displaced_trial(scan: Scan, rng: np.random.Generator, millimetres: float, number: int) -> Trial:
    # the truth first, so that the start is off by as much as the row says
    moved = _displacement(rng, millimetres, scan.brain_ras_mm) @ np.linalg.inv(scan.truth_ras_mm)
    return _trial(scan, f"{millimetres:g} mm off, {number}", moved)


def _trial_rows(trial: Trial, goal_mean_mm: float | None) -> Iterator[Row]:
    yield note(f"{trial.start}: start error", trial.start_error_mm, "mm")
    yield at_most(f"{trial.start}: mean error", trial.mean_error_mm, goal_mean_mm, "mm")
    yield note(f"{trial.start}: worst error", trial.worst_error_mm, "mm")
    yield note(f"{trial.start}: boundary cost", trial.boundary_cost)
    yield note(f"{trial.start}: gain over displaced boundaries", trial.gain)
    yield note(f"{trial.start}: best start", trial.best_start)
    yield note(f"{trial.start}: CPU time", trial.cpu_s, "s")


def _displacement(rng: np.random.Generator, millimetres: float, brain_ras_mm: Array) -> Array:
    """Return a random rigid motion, half shift and half rotation, that moves the brain by a mean of some mm."""
    centre = brain_ras_mm.mean(axis=0)
    shift, axis = (vector / np.linalg.norm(vector) for vector in rng.standard_normal((2, 3)))

    def scaled(size: float) -> Array:
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_rotvec(axis * size, degrees=True).as_matrix()
        matrix[:3, 3] = centre + shift * size - matrix[:3, :3] @ centre
        return matrix

    return scaled(millimetres / _mean_distance(scaled(1.0), np.eye(4), brain_ras_mm))


def _mean_distance(one: Array, other: Array, points: Array) -> float:
    return float(np.linalg.norm(apply_affine(one, points) - apply_affine(other, points), axis=1).mean())


def _trial(scan: Scan, name: str, header_change: Array) -> Trial:
    """Register the EPI after its header was changed by a matrix (its points to new points)."""
    truth = header_change @ scan.truth_ras_mm
    began = time.process_time()
    found = register(scan.reference, header_change @ scan.affine_ras_mm, scan.head)
    seconds = time.process_time() - began
    apart = apply_affine(found.pull_ras_mm, scan.brain_ras_mm) - apply_affine(truth, scan.brain_ras_mm)
    errors = np.linalg.norm(apart, axis=1)
    return Trial(
        start=name,
        start_error_mm=round(_mean_distance(np.eye(4), truth, scan.brain_ras_mm), 2),
        mean_error_mm=round(float(errors.mean()), 3),
        worst_error_mm=round(float(errors.max()), 3),
        boundary_cost=round(found.cost, 4),
        gain=round(found.displaced_cost - found.cost, 4),
        best_start=found.start,
        cpu_s=round(seconds, 1),
    )


def _refusal(scan: Scan, data: Path) -> Iterator[Row]:
    """Register another person's EPI to this head: it must not be believed."""
    pattern = "bids_real/sub-01/func/*_bold.nii.gz"
    if absent("refusal of another person's EPI", data, pattern):
        return
    image = load_nifti(min(data.glob(pattern)))
    mean = np.asarray(image.dataobj[..., 5:25], dtype=np.float32).mean(axis=3)
    found: Registration = register(mean, np.asarray(image.affine, dtype=np.float64), scan.head)
    yield at_least("another person's EPI: refused", float(not is_credible(found)), 1.0, "of 1")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
