"""How long a target takes: the stage with its 10,000 draws, and `similarity` beside one map a voxel in plain numpy.

A made person with the size of a long scan: 41 minutes at 2 s, 3 mm voxels, about 50,000 voxels of grey matter and 2,000 in
the search mask. The stage runs in a process of its own, reading included; its peak memory is the operating system's. The
plain ways are measured on part of the search voxels and scaled up, because whole they take minutes; nilearn's way is masking
the image and one correlation map a voxel, as its example for seed maps does it, the maps scaled up likewise.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from _table import Row, at_least, at_most, finish, note, option_parser
from tmsprep.files import save_nifti, write_json, write_tsv
from tmsprep.spaces import Grid, apply_affine, save_itk_affines
from tmsprep.stages import pin_threads
from tmsprep.target.similarity import similarity

VOLUMES, REPETITION_S = 1230, 2.0
QUICK_VOLUMES = 300
SAMPLE = 60
"""Search voxels for which the plain ways are measured."""
SEED = 7
TRUTH_MNI, SGACC_MNI = np.array([-44.0, 36.0, 34.0]), np.array([6.0, 16.0, -10.0])

STAGE = """
import json, resource, sys, time
from tmsprep.stages import pin_threads
pin_threads()
from pathlib import Path
from typing import Any
import tmsprep.target.stage as stage
from tmsprep.stages import run
searched = {}
whole = stage._search
def timed(*arguments):
    started = time.perf_counter()
    result = whole(*arguments)
    searched["compute_s"] = time.perf_counter() - started
    return result
stage._search = timed
arguments = {key: [Path(p) for p in value] if isinstance(value, list) else (Path(value) if key not in ("draws",) else value)
             for key, value in json.loads(sys.argv[1]).items()}
started = time.perf_counter()
run("target", arguments)
searched["wall_s"] = time.perf_counter() - started
searched["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(searched))
"""


def main(words: Sequence[str]) -> int:
    """Run the benchmark; return 1 if a goal was missed."""
    options = option_parser(__doc__, quick=f"{QUICK_VOLUMES} volumes in place of {VOLUMES}").parse_args(words)
    pin_threads()
    volumes = QUICK_VOLUMES if options.quick else VOLUMES
    rows: list[Row] = [note("seed", str(SEED)), note("volumes", str(volumes))]
    with tempfile.TemporaryDirectory() as scratch:
        arguments = make_person(Path(scratch), volumes)
        rows += _stage_rows(arguments, whole=not options.quick)
        rows += _similarity_rows(Path(scratch), volumes, whole=not options.quick)
    return finish(rows, options.json)


def _stage_rows(arguments: dict[str, object], *, whole: bool) -> list[Row]:
    result = subprocess.run([sys.executable, "-c", STAGE, json.dumps(arguments)], check=True, capture_output=True, text=True)
    took = json.loads(result.stdout.strip().splitlines()[-1])
    return [
        at_most("target stage, computation with 10,000 draws", took["compute_s"], 5.0 if whole else None, "s"),
        at_most("target stage, with reading and writing", took["wall_s"], 30.0 if whole else None, "s"),
        at_most("target stage, peak memory", took["peak_mib"] / 1024, 4.0 if whole else None, "GiB"),
    ]


def _similarity_rows(folder: Path, volumes: int, *, whole: bool) -> list[Row]:
    z, search, others, weights = _series(folder, volumes)
    rows: list[Row] = [note("search voxels", str(search.size)), note("voxels of the maps", str(others.size))]
    sample = search[:: max(1, search.size // SAMPLE)]
    for fisher, goal in ((True, 8.0), (False, 25.0)):
        name = "Fisher z" if fisher else "linear"
        plain, slow = _timed(lambda fisher=fisher: one_map_a_voxel(z, sample, others, weights, fisher=fisher))
        found, fast = _timed(lambda fisher=fisher: similarity(z, search, others, weights, fisher=fisher))
        slow *= search.size / sample.size
        apart = np.abs(found[np.isin(search, sample)] - plain).max()
        rows += [
            note(f"similarity ({name}), one map a voxel in numpy", slow, "s"),
            note(f"similarity ({name})", fast, "s"),
            at_least(f"similarity ({name}), times faster", slow / fast, goal if whole else None, "x"),
            at_most(f"similarity ({name}), largest difference", float(apart), 1e-5),
        ]
    series, masking_s = _timed(lambda: nilearn_series(folder))
    few = sample[:6]
    _, maps_s = _timed(lambda: nilearn_maps(series, few, others, weights))
    rows.append(note("similarity, nilearn: masking", masking_s, "s"))
    return [*rows, note("similarity, nilearn: maps", maps_s * search.size / few.size, "s")]


def one_map_a_voxel(
    z: NDArray[np.float32],
    search: NDArray[np.int64],
    others: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    fisher: bool,
) -> NDArray[np.float64]:
    """Return similarities the plain way: for each voxel its whole correlation map, then Pearson with the weights."""
    block = z[:, others]
    block = (block - block.mean(axis=0)) / block.std(axis=0)
    result = np.empty(search.size)
    for index, voxel in enumerate(search):
        course = (z[:, voxel] - z[:, voxel].mean()) / z[:, voxel].std()
        fc = (course @ block) / len(z)
        result[index] = np.corrcoef(np.arctanh(fc) if fisher else fc, weights)[0, 1]
    return result


def nilearn_series(folder: Path) -> NDArray[np.float32]:
    """Return the standardised series as nilearn's masker reads them."""
    from nilearn.maskers import NiftiMasker

    masker: Any = NiftiMasker(mask_img=str(folder / "mask.nii.gz"), standardize=True, verbose=0)
    return masker.fit_transform(str(folder / "bold.nii"))


def nilearn_maps(
    series: NDArray[np.float32], search: NDArray[np.int64], others: NDArray[np.int64], weights: NDArray[np.float64]
) -> None:
    """Compare one map a voxel with the weights, each map as in nilearn's example of seed-to-voxel correlation."""
    for voxel in search:
        fc = np.dot(series[:, others].T, series[:, voxel]) / series.shape[0]
        np.corrcoef(np.arctanh(np.clip(fc, -0.999999, 0.999999)), weights)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def make_person(folder: Path, volumes: int) -> dict[str, object]:
    """Write a person whose grey matter is a thick shell, and return the arguments of the stage ``target``."""
    rng = np.random.default_rng(SEED)
    grid = Grid((60, 74, 60), np.array([[3.0, 0, 0, -88], [0, 3, 0, -126], [0, 0, 3, -80], [0, 0, 0, 1]]))
    points = grid.points_ras_mm()
    grey = grey_matter(points).reshape(grid.shape)
    fine = grid.with_zooms([2.0] * 3)
    save_nifti(folder / "gm.nii.gz", grey_matter(fine.points_ras_mm()).reshape(fine.shape), fine.affine_ras_mm, xform_code=1)
    save_nifti(folder / "t1w.nii.gz", grey, grid.affine_ras_mm, xform_code=1)
    save_nifti(folder / "mask.nii.gz", grey > 0.5, grid.affine_ras_mm, xform_code=1)
    save_itk_affines(folder / "identity.txt", [np.eye(4)])
    spots = [np.exp(-((points - place) ** 2).sum(axis=1) / 2 / 8**2) for place in (TRUTH_MNI, SGACC_MNI)]
    pattern = ((spots[0] - spots[1]) * grey.ravel()).astype(np.float32)
    course = rng.normal(size=volumes).astype(np.float32)
    data = np.zeros((*grid.shape, volumes), dtype=np.float32, order="F")
    for volume in range(volumes):
        noise = rng.standard_normal(pattern.size, dtype=np.float32)
        data[..., volume] = (1000 + 10 * (pattern * course[volume] + noise)).reshape(grid.shape)
    save_nifti(folder / "bold.nii", data, grid.affine_ras_mm, xform_code=1, repetition_time_s=REPETITION_S)
    motion = {f"motion{index}": rng.normal(size=volumes) for index in range(12)}
    unique = {"global_signal_unique": rng.normal(size=volumes)}
    write_tsv(folder / "regressors.tsv", pd.DataFrame({"kept": np.ones(volumes, dtype=int)} | motion | unique))
    write_json(folder / "regressors.json", {"CosineRegressors": {"Orders": [[1, 2 * volumes // 50]]}})
    save_nifti(folder / "beta.nii.gz", rng.normal(size=grid.shape), grid.affine_ras_mm, xform_code=1)
    write_json(folder / "summary.json", {"CleanMinutes": volumes * REPETITION_S / 60, "MeanFD_mm": 0.1})
    lists = {"bold": "bold.nii", "bold_mask": "mask.nii.gz", "regressors": "regressors.tsv", "summary": "summary.json"}
    lists |= {"regressors_sidecar": "regressors.json", "global_beta": "beta.nii.gz"}
    single = {"t1w": "t1w.nii.gz", "gm": "gm.nii.gz", "mni_to_t1w": "identity.txt", "t1w_to_mni": "identity.txt"}
    single |= {"out_scores": "scores.nii.gz", "out_result": "result.json", "out_probability": "probability.nii.gz"}
    paths: dict[str, object] = {key: [str(folder / name)] for key, name in lists.items()}
    return paths | {key: str(folder / name) for key, name in single.items()} | {"draws": 10_000}


def grey_matter(points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return a shell and a ball at sgACC, as a probability (points,)."""
    radius = np.linalg.norm((points - [0.0, -12.0, 5.0]) / [72.0, 88.0, 74.0], axis=1)
    shell = np.clip((radius - 0.52) / 0.04, 0, 1) * np.clip((1.0 - radius) / 0.04, 0, 1)
    ball = np.clip((14 - np.linalg.norm(points - SGACC_MNI, axis=1)) / 3, 0, 1)
    return np.maximum(shell, ball).astype(np.float32)


def _series(
    folder: Path, volumes: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return standardised series of the grey matter, the columns to score, those of the maps, and weights."""
    image, mask = nib.load(folder / "bold.nii"), nib.load(folder / "mask.nii.gz")
    inside = np.asanyarray(mask.dataobj) > 0
    z = np.asanyarray(image.dataobj)[inside].T.astype(np.float32)
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    points = apply_affine(mask.affine, np.argwhere(inside))
    distance = np.linalg.norm(points - TRUTH_MNI, axis=1)
    weights = np.random.default_rng(SEED).normal(size=int((distance > 40).sum()))
    return z[:volumes], np.flatnonzero(distance < 28), np.flatnonzero(distance > 40), weights


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
