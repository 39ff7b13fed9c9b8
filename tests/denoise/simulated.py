"""Small multi-echo runs from the signal equation S0 (1 + dS0(t)) exp(-TE (R2* + dR2*(t))), with the sources known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.files import save_nifti

ECHO_TIMES_S = (0.0134, 0.0311, 0.0488)
REPETITION_TIME_S = 1.5
AFFINE = np.array([[-4.0, 0, 0, 40], [0, 4.0, 0, -40], [0, 0, 4.0, -20], [0, 0, 0, 1]])


@dataclass(frozen=True)
class MultiEchoRun:
    """A simulated run: the files that the tedana stage reads, and the truth behind them."""

    echo: list[Path]
    echo_sidecar: list[Path]
    mask: Path
    confounds: Path
    bold_courses: NDArray[np.float64]
    """(volumes, TE-dependent sources)"""
    artefact_courses: NDArray[np.float64]
    """(volumes, S0 sources)"""

    def inputs(self) -> dict[str, object]:
        return {
            "echo": self.echo,
            "echo_sidecar": self.echo_sidecar,
            "mask": self.mask,
            "confounds": self.confounds,
        }


def brain(shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Return an ellipsoid that fills the grid but for a margin of one voxel."""
    centre = (np.array(shape) - 1) / 2
    distance = [(index - c) / (c - 0.5) for index, c in zip(np.indices(shape), centre, strict=True)]
    return np.sum(np.square(distance), axis=0) <= 1


def blobs(generator: np.random.Generator, mask: NDArray[np.bool_], number: int, width: float) -> NDArray[np.float64]:
    """Return (number, voxels in mask): Gaussian blobs far apart enough to be separate sources, peak 1."""
    places = np.argwhere(mask)
    chosen: list[NDArray[np.int64]] = []
    while len(chosen) < number:
        candidate = places[generator.integers(len(places))]
        if all(np.linalg.norm(candidate - other) > 2 * width for other in chosen):
            chosen.append(candidate)
    maps = [np.exp(-((places - c) ** 2).sum(axis=1) / (2 * width**2)) for c in chosen]
    return np.array(maps).reshape(number, len(places))


def smooth_courses(generator: np.random.Generator, volumes: int, number: int) -> NDArray[np.float64]:
    """Return (volumes, number) slow random courses, mean 0 and variance 1."""
    courses = ndimage.gaussian_filter1d(generator.standard_normal((volumes, number)), 1.5, axis=0)
    return (courses - courses.mean(axis=0)) / courses.std(axis=0)


def jumpy_courses(generator: np.random.Generator, volumes: int, number: int) -> NDArray[np.float64]:
    """Return (volumes, number) courses of few large events, as artefacts have, mean 0 and variance 1."""
    courses = generator.standard_normal((volumes, number)) * (generator.random((volumes, number)) < 0.2)
    courses += 0.1 * generator.standard_normal((volumes, number))
    return (courses - courses.mean(axis=0)) / courses.std(axis=0)


def simulate(
    folder: Path,
    *,
    shape: tuple[int, int, int] = (20, 22, 16),
    volumes: int = 100,
    n_bold: int = 12,
    n_artefact: int = 5,
    non_steady: int = 2,
    noise: float = 4.0,
    echo_times_s: tuple[float, ...] = ECHO_TIMES_S,
    seed: int = 7,
    width: float = 2.0,
) -> MultiEchoRun:
    """Write a multi-echo run of the given size to `folder`; the first `non_steady` volumes are brighter."""
    generator = np.random.default_rng(seed)
    mask = brain(shape)
    bold_courses = smooth_courses(generator, volumes, n_bold)
    artefact_courses = jumpy_courses(generator, volumes, n_artefact)
    change_r2 = 1.2 * bold_courses @ blobs(generator, mask, n_bold, width)  # 1/s
    change_s0 = 0.035 * artefact_courses @ blobs(generator, mask, n_artefact, width)
    count = int(mask.sum())
    s0 = 1000 * (1 + 0.1 * generator.standard_normal(count))
    r2 = 25 + 3 * generator.standard_normal(count)
    steady = 1 + 0.5 * np.exp(-np.arange(volumes) / 0.8) * (np.arange(volumes) < non_steady)
    echoes: list[Path] = []
    sidecars: list[Path] = []
    for number, echo_time in enumerate(echo_times_s, start=1):
        signal = s0 * (1 + change_s0) * np.exp(-echo_time * (r2 + change_r2)) * steady[:, np.newaxis]
        data = np.zeros((*shape, volumes), dtype=np.float32)
        data[mask] = (signal + noise * generator.standard_normal(signal.shape)).T
        path = folder / f"sub-01_task-rest_echo-{number}_desc-preproc_bold.nii.gz"
        save_nifti(path, data, AFFINE, xform_code=1, repetition_time_s=REPETITION_TIME_S)
        sidecar = folder / path.name.replace(".nii.gz", ".json")
        sidecar.write_text(json.dumps({"EchoTime": echo_time, "RepetitionTime": REPETITION_TIME_S}))
        echoes.append(path)
        sidecars.append(sidecar)
    mask_path = folder / "sub-01_task-rest_desc-brain_mask.nii.gz"
    save_nifti(mask_path, mask, AFFINE, xform_code=1)
    confounds = folder / "sub-01_task-rest_desc-confounds_timeseries.tsv"
    columns = {
        f"non_steady_state_outlier{index:02d}": (np.arange(volumes) == index).astype(int) for index in range(non_steady)
    }
    pd.DataFrame({"global_signal": np.arange(volumes), **columns}).to_csv(confounds, sep="\t", index=False)
    return MultiEchoRun(echoes, sidecars, mask_path, confounds, bold_courses, artefact_courses)
