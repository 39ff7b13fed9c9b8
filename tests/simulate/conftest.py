"""A phantom head in template space: an ellipsoid of white matter, a ribbon of grey matter, fluid, skull and scalp."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tmsprep.files import save_nifti
from tmsprep.simulate.anatomy import AnatomyFiles
from tmsprep.simulate.participant import Anatomy, Conditions, Participant, make_participant, prepare_scene
from tmsprep.simulate.protocol import Protocol
from tmsprep.simulate.scanner import Scanner, Scene
from tmsprep.simulate.study import Request
from tmsprep.spaces import Grid, save_itk_affines
from tmsprep.target.circuits import load_circuit
from tmsprep.target.masks import load_search_mask

CENTRE_MM = np.array([0.0, -18.0, 8.0])
HALF_MM = np.array([61.0, 84.0, 69.0])
"""Unlike in all directions, so that every rotation shows."""
PROTOCOL = Protocol(
    repetition_time_s=2.0,
    echo_times_s=(0.013, 0.030, 0.047),
    voxel_mm=4.0,
    minutes=20 * 2.0 / 60,
    matrix=(48, 54),
    slices=33,
    tsnr=100.0,
    quantum=0.2,
    readout_time_s=0.028,
)
COARSE = replace(PROTOCOL, voxel_mm=6.0, matrix=(32, 36), slices=22)
STILL = Conditions(mean_fd_mm=1e-9, distorted=False, non_steady_volumes=0, surround_mm=None)


def _layers() -> tuple[Grid, dict[str, np.ndarray]]:
    """Return T1w intensity and tissue probabilities on a 2 mm grid that is stored L, P, S."""
    affine = np.diag([-2.0, -2.0, 2.0, 1.0])
    affine[:3, 3] = [90.0, 86.0, -76.0]
    grid = Grid((91, 105, 84), affine)
    offsets = (grid.points_ras_mm() - CENTRE_MM) / HALF_MM
    depth = ((1 - np.linalg.norm(offsets, axis=1)) * HALF_MM.mean()).reshape(grid.shape)
    folds = 3.0 * np.sin(offsets[:, 0] * 9).reshape(grid.shape) * np.sin(offsets[:, 1] * 9).reshape(grid.shape)
    inner = depth + folds
    white = np.clip((inner - 9) / 2, 0, 1)
    grey = np.clip((inner - 2) / 2, 0, 1) - white
    fluid = np.clip((depth + 3) / 2, 0, 1) - grey - white
    scalp = (depth > -14) & (depth < -8)
    t1w = 110 * white + 78 * grey + 32 * fluid + 140 * scalp + 12 * ((depth <= -3) & (depth >= -8))
    return grid, {"t1w": t1w, "gm": grey, "wm": white, "csf": fluid}


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> AnatomyFiles:
    """The phantom on disk; its tie to the template is the identity."""
    folder = tmp_path_factory.mktemp("phantom")
    grid, maps = _layers()
    paths = {name: folder / f"{name}.nii.gz" for name in maps}
    for name, path in paths.items():
        save_nifti(path, np.clip(maps[name], 0, None).astype(np.float32), grid.affine_ras_mm, xform_code=1)
    tie = folder / "t1w_to_mni.txt"
    save_itk_affines(tie, [np.eye(4)])
    return AnatomyFiles(paths["t1w"], paths["gm"], paths["wm"], paths["csf"], tie)


@pytest.fixture(scope="session")
def anatomy(files: AnatomyFiles) -> Anatomy:
    return files.load()


@pytest.fixture(scope="session")
def person(anatomy: Anatomy) -> Participant:
    return make_participant("01", anatomy, load_search_mask("dlpfc-spheres"), 7, fine_mm=3.0)


@dataclass(frozen=True)
class Setup:
    """A scanner with a scene in front of it."""

    scanner: Scanner
    scene: Scene
    grid: Grid
    protocol: Protocol


def set_up(
    person: Participant,
    *,
    protocol: Protocol = PROTOCOL,
    conditions: Conditions = STILL,
    bold: bool = True,
    artefacts: bool = True,
) -> Setup:
    """Make a scene; switched-off sources keep their maps at zero."""
    scene, grid = prepare_scene(
        person,
        protocol=protocol,
        conditions=conditions,
        circuit=load_circuit("example"),
        search=load_search_mask("dlpfc-spheres"),
        run="test",
    )
    if not bold:
        scene = replace(scene, bold=replace(scene.bold, maps=scene.bold.maps * 0))
    if not artefacts:
        scene = replace(scene, artefacts=replace(scene.artefacts, maps=scene.artefacts.maps * 0))
    return Setup(Scanner(scene, protocol, grid), scene, grid, protocol)


def request_for(out: Path, **changes: object) -> Request:
    """Return a small request."""
    plain = Request(
        out=out,
        label="01",
        site="siteA",
        sessions=(None,),
        task="rest",
        protocol=COARSE,
        circuit="example",
        search_mask="dlpfc-spheres",
        conditions=replace(STILL, mean_fd_mm=0.1, surround_mm=9.0),
        field_map="none",
        fiducials=None,
        seed=7,
        fine_mm=5.0,
    )
    return replace(plain, **changes)
