"""One simulated participant: a real head, a drawn truth, and as many runs as asked for."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.errors import InputError
from tmsprep.simulate.field import SITES_MNI_MM, FieldMap, make_field
from tmsprep.simulate.frames import HeadFrames
from tmsprep.simulate.head import DROPOUT_SITES_MNI_MM, Head, build_head, canonical_grid, head_mask, regrid
from tmsprep.simulate.hotspot import HotSpot, draw_hot_spot
from tmsprep.simulate.motion import draw_motion, rigid
from tmsprep.simulate.protocol import Protocol
from tmsprep.simulate.scanner import Scanner, Scene, add_noise, bold_grid
from tmsprep.simulate.sources import artefact_sources, bold_sources
from tmsprep.spaces import Grid, apply_affine, voxel_sizes
from tmsprep.target.circuits import Circuit
from tmsprep.target.masks import SearchMask

Array = NDArray[np.float64]
Map = NDArray[np.float32]

TOP_MARGIN_MM = 10.0
NECK_MARGIN_MM = 25.0
STORED_SHARE = 0.3
"""Voxels of which at least this share lies where signal is stored are stored."""
TILT_RAD = (-0.21, 0.03, -0.02)
"""Slices are tilted towards the line through the commissures' back, and a little oblique otherwise."""


@dataclass(frozen=True)
class Anatomy:
    """A T1w and its tissue probabilities, all on one grid."""

    grid: Grid
    t1w: Map
    grey: Map
    white: Map
    fluid: Map
    frames: HeadFrames

    def __post_init__(self) -> None:
        """Refuse maps of other sizes."""
        for name in ("t1w", "grey", "white", "fluid"):
            if getattr(self, name).shape != self.grid.shape:
                raise InputError(f"the {name} map has the shape {getattr(self, name).shape}", expected=f"{self.grid.shape}")


@dataclass(frozen=True)
class Participant:
    """A head ready to be scanned, and its truth."""

    label: str
    head: Head
    frames: HeadFrames
    hot_spot: HotSpot
    seed: int

    def generator(self, *stream: str) -> np.random.Generator:
        """Return the random numbers of one purpose: the same for the same seed, participant and purpose."""
        return generator_for(self.seed, self.label, *stream)


def generator_for(seed: int, *names: str) -> np.random.Generator:
    """Return random numbers that depend on the seed and on every name."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


@dataclass(frozen=True)
class Run:
    """One acquired run and its truth."""

    echoes: tuple[NDArray[np.int16], ...]
    """(x, y, z, t) each."""
    grid: Grid
    scene: Scene
    protocol: Protocol
    noise_sd: float
    """Thermal noise in the stored units."""


def make_participant(label: str, anatomy: Anatomy, search: SearchMask, seed: int, *, fine_mm: float = 2.0) -> Participant:
    """Prepare a head and draw its hot spot.

    Parameters
    ----------
    label
        Participant label without ``sub-``; the truth depends on it and on the seed.
    anatomy
        The head.
    search
        Search mask in MNI152NLin6Asym.
    seed
        Of all random numbers.
    fine_mm
        Spacing of the grid on which the signal is computed.
    """
    affine = anatomy.grid.affine_ras_mm
    mask = _above_the_neck(head_mask(anatomy.t1w), anatomy)
    grid = canonical_grid(affine, mask, fine_mm)
    t1w, grey, white, fluid = (
        regrid(item, affine, grid) for item in (anatomy.t1w, anatomy.grey, anatomy.white, anatomy.fluid)
    )
    inside = regrid(mask.astype(np.float32), affine, grid) > 0.5
    dropout = anatomy.frames.of_2009c([site[0] for site in DROPOUT_SITES_MNI_MM])
    head = build_head(t1w=t1w, grey=grey, white=white, fluid=fluid, inside=inside, grid=grid, dropout_ras_mm=dropout)
    hot_spot = draw_hot_spot(head, inside, anatomy.frames, search, generator_for(seed, label, "hot spot"))
    return Participant(label, head, anatomy.frames, hot_spot, seed)


def _above_the_neck(mask: NDArray[np.bool_], anatomy: Anatomy) -> NDArray[np.bool_]:
    """Return a head mask cut off below the brain: what lies deeper is in no field of view here."""
    affine = anatomy.grid.affine_ras_mm
    brain = np.argwhere(anatomy.grey + anatomy.white + anatomy.fluid > 0.5)
    lowest = float(apply_affine(affine, brain)[:, 2].min()) - NECK_MARGIN_MM
    i, j, k = np.ogrid[: mask.shape[0], : mask.shape[1], : mask.shape[2]]
    height = affine[2, 0] * i + affine[2, 1] * j + affine[2, 2] * k + affine[2, 3]
    return mask & (height > lowest)


@dataclass(frozen=True)
class Conditions:
    """How a run goes, beside its protocol."""

    mean_fd_mm: float
    distorted: bool
    non_steady_volumes: int
    surround_mm: float | None
    """Signal is stored up to this far from the brain; None: everywhere in the head."""


def prepare_scene(
    person: Participant,
    *,
    protocol: Protocol,
    conditions: Conditions,
    circuit: Circuit,
    search: SearchMask,
    run: str,
) -> tuple[Scene, Grid]:
    """Lay the head into the scanner and set everything in motion for one run (`run` names its random numbers)."""
    brain = np.argwhere(person.head.grey + person.head.white + person.head.fluid > 0.5)
    points = apply_affine(person.head.grid.affine_ras_mm, brain)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    lie = person.generator(run, "lie")
    head_to_scanner = rigid(lie.uniform(-4, 4, 3), np.deg2rad(lie.uniform(-3, 3, 3)), middle)
    grid = _place_grid(protocol, apply_affine(head_to_scanner, points))
    motion = draw_motion(
        protocol.volumes, protocol.repetition_time_s, conditions.mean_fd_mm, middle, person.generator(run, "motion")
    )
    bold = bold_sources(
        person.head,
        person.frames,
        circuit=circuit,
        search=search,
        hot_spot=person.hot_spot,
        duration_s=protocol.duration_s,
        places=person.generator("places"),
        times=person.generator(run, "time courses"),
    )
    artefacts = artefact_sources(person.head, motion, protocol.duration_s, person.generator(run, "artefacts"))
    field = _field(person) if conditions.distorted else None
    scene = Scene(
        person.head,
        bold,
        artefacts,
        motion,
        head_to_scanner,
        field,
        conditions.non_steady_volumes,
        _stored(person.head, conditions.surround_mm),
    )
    return scene, grid


def _stored(head: Head, surround_mm: float | None) -> NDArray[np.bool_]:
    """Return where signal is stored, on the head's grid."""
    if surround_mm is None:
        return head.inside
    brain = (head.grey + head.white + head.fluid) > 0.5
    distance = ndimage.distance_transform_edt(~brain, sampling=voxel_sizes(head.grid.affine_ras_mm))
    return np.asarray(distance) <= surround_mm


def _place_grid(protocol: Protocol, brain_scanner_mm: Array) -> Grid:
    """Return the tilted grid: in the middle of the brain, its top a margin above the brain's."""
    tilt = np.array(TILT_RAD)
    trial = bold_grid(protocol, np.zeros(3), tilt)
    in_axes = apply_affine(np.linalg.inv(trial.affine_ras_mm), brain_scanner_mm) * protocol.voxel_mm
    low, high = in_axes.min(axis=0), in_axes.max(axis=0)
    centre = (low + high) / 2
    centre[2] = high[2] + TOP_MARGIN_MM - protocol.slices * protocol.voxel_mm / 2
    return bold_grid(protocol, apply_affine(trial.affine_ras_mm, centre / protocol.voxel_mm), tilt)


def _field(person: Participant) -> FieldMap:
    return make_field(person.head.grid, person.frames.of_2009c([site[0] for site in SITES_MNI_MM]))


def acquire(person: Participant, scene: Scene, protocol: Protocol, grid: Grid, run: str) -> Run:
    """Scan: all echoes of all volumes, with noise, as whole numbers."""
    scanner = Scanner(scene, protocol, grid)
    rest = scanner.at_rest()
    noise_sd = grey_level(scanner, scene, rest[0]) / protocol.tsnr
    step = noise_sd * protocol.quantum
    seen = scanner.voxel_map(scene.stored.astype(np.float32)) > STORED_SHARE
    noise = person.generator(run, "noise")
    echoes = tuple(np.zeros((*grid.shape, protocol.volumes), dtype=np.int16) for _ in protocol.echo_times_s)
    for index, volume in enumerate(scanner.volumes()):
        for stored, signal in zip(echoes, volume, strict=True):
            noisy = np.rint(add_noise(signal, noise_sd, noise) / step)
            stored[..., index] = np.clip(np.where(seen, noisy, 0), 0, np.iinfo(np.int16).max)
    return Run(echoes, grid, scene, protocol, 1.0 / protocol.quantum)


def grey_level(scanner: Scanner, scene: Scene, signal: Map) -> float:
    """Return the mean of an image of the head at rest over voxels that are mostly grey matter."""
    grey = scanner.voxel_map(scene.head.grey)
    return float(signal[grey > np.quantile(grey[grey > 0.3], 0.6)].mean())
