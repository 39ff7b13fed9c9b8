"""The tiny dataset: one simulated participant, small enough for a whole run in a test.

Its head is the example's sub-01 at 2 mm; its tissue maps are made on the spot, roughly: the brain by an affine, tissue by
k-means. They are what the simulation takes for this head's grey matter, nothing else reads them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.files import load_nifti, read_data, save_nifti
from tmsprep.simulate.anatomy import AnatomyFiles
from tmsprep.simulate.participant import Conditions, Participant
from tmsprep.simulate.protocol import Protocol
from tmsprep.simulate.study import Request, simulate
from tmsprep.spaces import Grid, Transform, closest_canonical, resample, save_itk_affines

ROOT = Path(__file__).resolve().parent.parent
HEAD = ROOT / "bids_example" / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
TEMPLATES = ROOT / "workflow" / "tmsprep" / "data" / "templates"

T1W_FROM_MNI = np.array(
    [
        [0.9571, -0.0078, -0.0191, 0.7063],
        [-0.0089, 0.8915, -0.1989, 35.8416],
        [-0.0112, 0.1800, 0.8208, 0.0588],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
"""From MNI152NLin2009cAsym points to this head's scanner RAS mm; the affine that fits the full normalisation best."""

PROTOCOL = Protocol(
    repetition_time_s=4.5,  # slow, so that 80 volumes hold the five clean minutes below which there is no target
    echo_times_s=(0.0132, 0.0305, 0.0478),
    voxel_mm=4.0,
    minutes=80 * 4.5 / 60,
    matrix=(52, 54),
    slices=33,
    tsnr=120.0,
    quantum=1.0,
    readout_time_s=0.028,
)


def make_tiny(folder: Path, *, seed: int = 42, field_map: str = "none", sessions: tuple[str | None, ...] = (None,)) -> Path:
    """Write the tiny dataset with its truth into `folder` and return it.

    Parameters
    ----------
    folder
        Made if it is not there.
    seed
        Governs the place of the target too.
    field_map
        ``none``, ``phasediff`` or ``epi``: distort the run and add a field map.
    sessions
        Session labels.
    """
    make_participant(folder, seed=seed, field_map=field_map, sessions=sessions)
    return folder


def make_participant(
    folder: Path,
    *,
    seed: int = 42,
    field_map: str = "none",
    sessions: tuple[str | None, ...] = (None,),
    protocol: Protocol = PROTOCOL,
) -> Participant:
    """Write the tiny dataset and return the participant with its truth."""
    files = anatomy_files(folder.parent / f"{folder.name}-anatomy")
    request = Request(
        out=folder,
        label="01",
        site="siteA",
        sessions=sessions,
        task="rest",
        protocol=protocol,
        circuit="example",
        search_mask="dlpfc-spheres",
        conditions=Conditions(mean_fd_mm=0.1, distorted=field_map != "none", non_steady_volumes=0, surround_mm=9.0),
        field_map=field_map,
        fiducials=None,
        seed=seed,
        fine_mm=3.0,
    )
    return simulate(request, files)


def add_participant(
    folder: Path, label: str, *, site: str, size: NDArray[np.float64], protocol: Protocol, mean_fd_mm: float, seed: int
) -> Participant:
    """Add a participant to a dataset: the tiny head, `size` times as large along x, y and z, with a target of its own."""
    anatomy = folder.parent / f"{folder.name}-anatomy"
    files = _resized(anatomy_files(anatomy), anatomy / label, size)
    request = Request(
        out=folder,
        label=label,
        site=site,
        sessions=(None,),
        task="rest",
        protocol=protocol,
        circuit="example",
        search_mask="dlpfc-spheres",
        conditions=Conditions(mean_fd_mm=mean_fd_mm, distorted=False, non_steady_volumes=0, surround_mm=9.0),
        field_map="none",
        fiducials=None,
        seed=seed,
        fine_mm=3.0,
    )
    return simulate(request, files)


def _resized(files: AnatomyFiles, folder: Path, size: NDArray[np.float64]) -> AnatomyFiles:
    folder.mkdir(parents=True)
    scaled = np.diag([*size, 1.0])
    images = {name: folder / f"{name}.nii.gz" for name in ("t1w", "gm", "wm", "csf")}
    for name, path in images.items():
        image = load_nifti(getattr(files, name))
        save_nifti(path, np.asanyarray(image.dataobj), scaled @ image.affine, xform_code=1)
    save_itk_affines(folder / "to_mni.txt", [scaled @ T1W_FROM_MNI])
    return AnatomyFiles(**images, t1w_to_mni=folder / "to_mni.txt")


def anatomy_files(folder: Path) -> AnatomyFiles:
    """Write the head at 2 mm with rough tissue maps, once."""
    t1w_path, gm, wm, csf = (folder / f"{name}.nii.gz" for name in ("t1w", "gm", "wm", "csf"))
    files = AnatomyFiles(t1w_path, gm, wm, csf, folder / "to_mni.txt")
    if files.t1w_to_mni.exists():
        return files
    folder.mkdir(parents=True, exist_ok=True)
    t1w, grid = _head_at_2_mm()
    save_nifti(files.t1w, np.clip(np.rint(t1w), 0, 255).astype(np.uint8), grid.affine_ras_mm, xform_code=1)
    for path, tissue in zip((files.csf, files.gm, files.wm), _tissues(t1w, _brain(grid)), strict=True):
        save_nifti(path, tissue, grid.affine_ras_mm, xform_code=1)
    save_itk_affines(files.t1w_to_mni, [T1W_FROM_MNI])
    return files


def _head_at_2_mm() -> tuple[NDArray[np.float32], Grid]:
    """Return the head without neck at half its resolution, averaged."""
    image = load_nifti(HEAD)
    data, affine = closest_canonical(read_data(image), np.asarray(image.affine, dtype=np.float64))
    halved = data.reshape(128, 2, 128, 2, 128, 2).mean(axis=(1, 3, 5))
    coarse = affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    coarse[:3, 3] += affine[:3, :3] @ [0.5, 0.5, 0.5]
    return halved, Grid((128, 128, 128), coarse)


def _brain(grid: Grid) -> NDArray[np.bool_]:
    """Return the template's brain mask in this head."""
    mask = load_nifti(TEMPLATES / "tpl-MNI152NLin2009cAsym_res-02_desc-brain_mask.nii.gz")
    pull = Transform.from_matrix(np.linalg.inv(T1W_FROM_MNI))
    return resample(read_data(mask), np.asarray(mask.affine, dtype=np.float64), grid, pull, order=1) > 0.5


def _tissues(t1w: NDArray[np.float32], brain: NDArray[np.bool_]) -> list[NDArray[np.float32]]:
    """Return probabilities of fluid, grey and white matter by k-means of intensities evened out by their local mean."""
    weight = ndimage.gaussian_filter(brain.astype(np.float32), 12)
    even = t1w / np.maximum(ndimage.gaussian_filter(np.where(brain, t1w, 0), 12) / np.maximum(weight, 1e-3), 1)
    values = even[brain]
    centres = np.quantile(values, [0.1, 0.4, 0.8])
    for _ in range(30):
        nearest = np.abs(values[:, np.newaxis] - centres).argmin(axis=1)
        centres = np.array([values[nearest == index].mean() for index in range(3)])
    spread = 0.25 * np.diff(centres).mean()
    closeness = np.exp(-((values[:, np.newaxis] - centres) ** 2) / (2 * spread**2)) + 1e-6
    closeness /= closeness.sum(axis=1, keepdims=True)
    maps = []
    for index in range(3):
        tissue = np.zeros(t1w.shape, dtype=np.float32)
        tissue[brain] = closeness[:, index]
        maps.append(tissue)
    return maps
