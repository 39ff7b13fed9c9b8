"""Native echoes as preprocessing would hand them over, in seconds: the simulation's sources, to first order.

`tmsprep simulate` computes every volume on a fine grid. Here the signal of an echo is expanded about the head at rest:
``S0 exp(-TE R2*) (1 + sum of dS0 maps x courses - TE x sum of dR2* maps x courses)``. Each map is brought to the voxels once
and the series is a product of matrices. Left out: motion and distortion (preprocessing has removed them), the time of slices
(corrected), and terms of second order (below a thousandth).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tmsprep.files import save_nifti, write_json, write_tsv
from tmsprep.simulate.anatomy import AnatomyFiles
from tmsprep.simulate.participant import Conditions, Participant, grey_level, make_participant, prepare_scene
from tmsprep.simulate.protocol import Protocol
from tmsprep.simulate.scanner import Scanner, Scene
from tmsprep.spaces import Grid, save_itk_affines
from tmsprep.target.circuits import load_circuit
from tmsprep.target.masks import load_search_mask

Array = NDArray[np.float64]
Map = NDArray[np.float32]

ECHO_TIMES_S = (0.0132, 0.0305, 0.0478)
REPETITION_S = 2.0
MEAN_FD_MM = 0.12
CIRCUIT, MASK = "example", "dlpfc-spheres"
_BRAIN_SHARE = 0.5
_BLOCK_VOLUMES = 100


@dataclass(frozen=True)
class Scan:
    """One long scan of one person, of which shorter ones are the beginning."""

    person: Participant
    grid: Grid
    brain: NDArray[np.bool_]
    base: list[Map]
    """For each echo (voxels of the brain,): the signal at rest."""
    maps: list[Map]
    """For each echo (sources, voxels): what a unit of each source's course adds."""
    courses: Array
    """(volumes, sources)"""
    noise_sd: float
    scene: Scene


@dataclass(frozen=True)
class Difficulty:
    """How hard a target is to find."""

    name: str
    coupling: float
    """Amplitude of the circuit, relative to what `tmsprep simulate` gives it (1 % at 30 ms); other networks stay."""
    tsnr: float
    """Of the first echo's thermal noise, at the benchmark's voxels."""


USUAL = Difficulty("usual", 1.0, 70.0)
WEAK = Difficulty("weak", 0.3, 35.0)
"""The circuit is weaker than the networks (0.7 %) and patches (0.55 %) that compete with it."""


def protocol_of(minutes: float, voxel_mm: float, tsnr: float) -> Protocol:
    """Return the protocol of the benchmark."""
    matrix = round(216 / voxel_mm)
    return Protocol(REPETITION_S, ECHO_TIMES_S, voxel_mm, minutes, (matrix, matrix), round(138 / voxel_mm), tsnr, 1.0, 0.028)


def scan(label: str, files: AnatomyFiles, difficulty: Difficulty, *, minutes: float, voxel_mm: float, seed: int) -> Scan:
    """Draw a person's hot spot and scan them."""
    search, circuit = load_search_mask(MASK), load_circuit(CIRCUIT)
    person = make_participant(label, files.load(), search, seed, fine_mm=2.5)
    protocol = protocol_of(minutes, voxel_mm, difficulty.tsnr)
    conditions = Conditions(MEAN_FD_MM, distorted=False, non_steady_volumes=0, surround_mm=None)
    scene, grid = prepare_scene(person, protocol=protocol, conditions=conditions, circuit=circuit, search=search, run="only")
    scene.bold.maps[:, 0] *= difficulty.coupling  # the circuit is the first source
    scanner = Scanner(scene, protocol, grid)
    head = scene.head
    brain = scanner.voxel_map(head.grey + head.white + head.fluid) > _BRAIN_SHARE
    rest = scanner.at_rest()
    times = (np.arange(protocol.volumes, dtype=np.float64) + 0.5) * REPETITION_S
    maps: list[Map] = [_echo_maps(scanner, scene, time)[:, brain] for time in ECHO_TIMES_S]
    courses = np.hstack([scene.bold.at(times), scene.artefacts.at(times)]).astype(np.float64)
    noise_sd = grey_level(scanner, scene, rest[0]) / protocol.tsnr
    return Scan(person, grid, brain, [image[brain] for image in rest], maps, courses, noise_sd, scene)


def _echo_maps(scanner: Scanner, scene: Scene, echo_time_s: float) -> NDArray[np.float32]:
    """Return (sources, x, y, z): the derivative of one echo's voxels by each source."""
    head = scene.head
    weight = (head.s0 * np.exp(-echo_time_s * head.r2star))[head.inside]
    sources = [-echo_time_s * column for column in scene.bold.maps.T] + list(scene.artefacts.maps.T)
    found: list[Map] = []
    for source in sources:
        fine = np.zeros(head.grid.shape, dtype=np.float32)
        fine[head.inside] = weight * source
        found.append(scanner.voxel_map(fine))
    return np.stack(found)


def write_scan(scanned: Scan, folder: Path, minutes: float) -> dict[str, list[Path] | Path]:
    """Write the first minutes as a preprocessed run, and return the arguments of the stage ``tedana`` that name inputs."""
    folder.mkdir(parents=True, exist_ok=True)
    volumes = round(minutes * 60 / REPETITION_S)
    noise = scanned.person.generator("only", "noise")
    echoes: list[Path] = []
    sidecars: list[Path] = []
    for index, time in enumerate(ECHO_TIMES_S):
        data = np.zeros((*scanned.grid.shape, volumes), dtype=np.float32, order="F")
        for first in range(0, volumes, _BLOCK_VOLUMES):
            part = slice(first, min(first + _BLOCK_VOLUMES, volumes))
            signal = scanned.base[index] + scanned.courses[part] @ scanned.maps[index]
            data[scanned.brain, part] = (signal + noise.normal(0, scanned.noise_sd, signal.shape)).T
        echoes.append(folder / f"echo-{index + 1}_bold.nii")
        sidecars.append(folder / f"echo-{index + 1}_bold.json")
        affine = scanned.grid.affine_ras_mm
        save_nifti(echoes[-1], data, affine, xform_code=1, repetition_time_s=REPETITION_S)
        write_json(sidecars[-1], {"EchoTime": time, "RepetitionTime": REPETITION_S})
    save_nifti(folder / "mask.nii.gz", scanned.brain, scanned.grid.affine_ras_mm, xform_code=1)
    save_itk_affines(folder / "boldref_to_t1w.txt", [scanned.scene.head_to_scanner])
    write_tsv(folder / "confounds.tsv", _confounds(scanned.scene, volumes))
    return {
        "echo": echoes,
        "echo_sidecar": sidecars,
        "mask": folder / "mask.nii.gz",
        "confounds": folder / "confounds.tsv",
    }


def _confounds(scene: Scene, volumes: int) -> pd.DataFrame:
    """Return the head motion as fMRIPrep names it."""
    names = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
    motion = replace(scene.motion, parameters=scene.motion.parameters[:volumes])
    table = pd.DataFrame(motion.parameters, columns=pd.Index(names))
    displacement = motion.framewise_displacement_mm()
    displacement[0] = np.nan
    return table.assign(framewise_displacement=displacement)
