"""What fluctuates: time courses that exist between the volumes, and the places where they act.

TE-dependent sources change R2* (units 1/s): BOLD. TE-independent artefacts change S0 (as a fraction): everything that
happens to magnetisation or receiver. Each source is a place (map) times a time course of unit standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.simulate.frames import HeadFrames
from tmsprep.simulate.head import Head
from tmsprep.simulate.hotspot import HotSpot
from tmsprep.simulate.motion import Motion
from tmsprep.simulate.networks import NETWORKS
from tmsprep.spaces import voxel_sizes
from tmsprep.target.circuits import Circuit
from tmsprep.target.masks import SearchMask

Array = NDArray[np.float64]

STEP_S = 0.25
"""Sampling of the time courses; in between they are interpolated linearly."""
PERCENT_AT_30_MS = 0.01 / 0.030
"""R2* change (1/s) that changes the signal by 1 % at an echo time of 30 ms."""

CIRCUIT_PERCENT = 1.0
"""Signal change (SD, % at 30 ms) of the circuit at the hot spot and in a seed of weight 1."""
NETWORK_PERCENT = 0.7
LOCAL_PERCENT = 0.55
GLOBAL_PERCENT = 0.25
"""Amplitudes give correlations of about 0.4 to 0.7 between hot spot and circuit after denoising."""


@dataclass(frozen=True)
class Sources:
    """A set of sources on `n` places."""

    names: tuple[str, ...]
    maps: NDArray[np.float32]
    """(n, sources): 1/s for R2* sources, fraction for S0 artefacts."""
    courses: NDArray[np.float32]
    """(samples, sources), every `STEP_S`, unit standard deviation."""

    def at(self, times_s: Array) -> NDArray[np.float32]:
        """Return the time courses at `times_s` (m,), (m, sources)."""
        grid = np.arange(len(self.courses)) * STEP_S
        columns = [np.interp(times_s, grid, self.courses[:, index]) for index in range(self.courses.shape[1])]
        return np.stack(columns, axis=1).astype(np.float32)


def bold_course(duration_s: float, generator: np.random.Generator) -> Array:
    """Return a resting BOLD fluctuation of unit SD every `STEP_S`.

    Power falls as ``1 / (1 + (f / 0.04 Hz)^2)^2`` above a high-pass edge of 0.008 Hz: neural fluctuations seen through a
    haemodynamic response have most power between 0.01 and 0.1 Hz (Biswal 1995, doi:10.1002/mrm.1910340409).
    """
    samples = int(np.ceil((duration_s + 30) / STEP_S))
    frequency = np.fft.rfftfreq(samples, STEP_S)
    gain = (frequency > 0.008) / (1 + (frequency / 0.04) ** 2)
    course = np.fft.irfft(np.fft.rfft(generator.standard_normal(samples)) * gain, samples)
    return course / course.std()


def bump(points_ras_mm: Array, centre_ras_mm: Array, fwhm_mm: float) -> Array:
    """Return a Gaussian of height 1 at points (n, 3)."""
    squared = np.sum((points_ras_mm - centre_ras_mm) ** 2, axis=1)
    return np.exp(-squared * (4 * np.log(2) / fwhm_mm**2))


def bold_sources(
    head: Head,
    frames: HeadFrames,
    *,
    circuit: Circuit,
    search: SearchMask,
    hot_spot: HotSpot,
    duration_s: float,
    places: np.random.Generator,
    times: np.random.Generator,
) -> Sources:
    """Make the TE-dependent sources: the circuit, networks, patches of the person's own, and a global one.

    Parameters
    ----------
    head, frames
        The participant.
    circuit
        Its seeds carry the circuit's time course with their sign; seeds in the search mask are left out, because the hot
        spot takes their place in this person.
    search
        The search mask.
    hot_spot
        The truth.
    duration_s
        Of the run.
    places, times
        Random numbers of the participant, and of the run.

    Returns
    -------
    Sources
        Maps over ``head.points_ras_mm()``; the circuit is the first.
    """
    points = head.points_ras_mm()
    grey = head.grey[head.inside].astype(np.float64)
    names, maps = ["circuit"], [CIRCUIT_PERCENT * _circuit_map(points, frames, circuit, search, hot_spot)]
    for network in NETWORKS:
        nodes = frames.of_2009c(network.nodes_mni_mm)
        names.append(network.name)
        maps.append(NETWORK_PERCENT * np.max([bump(points, node, network.fwhm_mm) for node in nodes], axis=0))
    for index, (centre, fwhm) in enumerate(_local_patches(points, grey, hot_spot, places)):
        names.append(f"local {index + 1}")
        maps.append(LOCAL_PERCENT * bump(points, centre, fwhm))
    names.append("global")
    maps.append(np.full(len(points), GLOBAL_PERCENT))
    amplitude = np.stack(maps, axis=1) * grey[:, np.newaxis] * PERCENT_AT_30_MS
    # a rise of BOLD is a fall of R2*
    courses = np.stack([-bold_course(duration_s, times) for _ in names], axis=1)
    return Sources(tuple(names), amplitude.astype(np.float32), courses.astype(np.float32))


def _circuit_map(points: Array, frames: HeadFrames, circuit: Circuit, search: SearchMask, hot_spot: HotSpot) -> Array:
    """Return the signed coupling to the circuit at points (n, 3); 1 at the hot spot."""
    total = np.zeros(len(points))
    largest = max(abs(seed.weight) for seed in circuit.seeds)
    for seed in circuit.seeds:
        centre = np.array([seed.sphere.centre_mni_mm])
        if search.edge_distance(centre)[0] > -10.0:
            continue
        place = frames.of_nlin6(centre) if circuit.space == "MNI152NLin6Asym" else frames.of_2009c(centre)
        total += seed.weight / largest * bump(points, place[0], 2.2 * seed.sphere.radius_mm)
    for patch in hot_spot.patches:
        total += patch.coupling * bump(points, patch.centre_ras_mm, patch.fwhm_mm)
    return total


def _local_patches(
    points: Array, grey: Array, hot_spot: HotSpot, generator: np.random.Generator
) -> list[tuple[Array, float]]:
    """Draw places on grey matter, 14 anywhere and 6 within 30 mm of the hot spot: (centre, FWHM)."""
    cortex = points[grey > 0.6]
    distance = np.linalg.norm(cortex - hot_spot.centre_ras_mm, axis=1)
    near = cortex[(distance < 30) & (distance > 6)]
    anywhere = cortex[generator.integers(len(cortex), size=14)]
    around = near[generator.integers(len(near), size=6)]
    widths = np.concatenate([generator.uniform(18, 32, 14), generator.uniform(12, 18, 6)])
    return list(zip([*anywhere, *around], widths, strict=True))


def artefact_sources(head: Head, motion: Motion, duration_s: float, generator: np.random.Generator) -> Sources:
    """Make the TE-independent artefacts: drift, motion-coupled rims, spikes, breathing, pulsating fluid.

    Returns
    -------
    Sources
        Maps over ``head.points_ras_mm()``.
    """
    time: Array = np.arange(int(np.ceil((duration_s + 30) / STEP_S)), dtype=np.float64) * STEP_S
    rim = _rim(head)
    fluid = head.fluid[head.inside].astype(np.float64)
    poses = motion.parameters_at(time)
    items: list[tuple[str, Array, Array]] = [
        ("drift 1", 0.008 * _smooth_map(head, 30, generator), time),
        ("drift 2", 0.005 * _smooth_map(head, 30, generator), np.cos(np.pi * time / duration_s)),
        ("motion z", 0.010 * rim * _smooth_map(head, 20, generator), poses[:, 2]),
        ("motion pitch", 0.010 * rim * _smooth_map(head, 20, generator), poses[:, 3]),
        (
            "spin history",
            0.008 * (1 + rim) * _smooth_map(head, 25, generator),
            np.abs(np.gradient(poses[:, 2] + 50 * poses[:, 3])),
        ),
        ("spikes", 0.012 * (1 + 0.5 * _smooth_map(head, 40, generator)), _spikes(time, motion.jumps_s)),
        ("breathing", 0.003 * np.ones(len(rim)), _breath(time, generator)),
        ("pulsation", 0.025 * fluid, _heart(time, generator)),
    ]
    maps = np.stack([item[1] for item in items], axis=1)
    courses = np.stack([_standardised(item[2]) for item in items], axis=1)
    return Sources(tuple(item[0] for item in items), maps.astype(np.float32), courses.astype(np.float32))


def _standardised(course: Array) -> Array:
    centred = course - course.mean()
    return centred / max(float(centred.std()), 1e-12)


def _smooth_map(head: Head, fwhm_mm: float, generator: np.random.Generator) -> Array:
    """Return smooth noise of unit SD over the voxels that give signal."""
    sigma = fwhm_mm / 2.3548 / voxel_sizes(head.grid.affine_ras_mm)
    noise = ndimage.gaussian_filter(generator.standard_normal(head.grid.shape), sigma, mode="wrap")
    values = noise[head.inside]
    return values / values.std()


def _rim(head: Head) -> Array:
    """Return 1 at the brain's surface, falling inwards and outwards with 6 mm."""
    brain = (head.grey + head.white + head.fluid) > 0.5
    sampling = voxel_sizes(head.grid.affine_ras_mm)
    within = np.asarray(ndimage.distance_transform_edt(brain, sampling=sampling))
    without = np.asarray(ndimage.distance_transform_edt(~brain, sampling=sampling))
    return np.exp(-np.maximum(within, without)[head.inside] / 6.0)


def _spikes(time: Array, at_s: Array) -> Array:
    """Return a train of losses of about a second and a half, one at each of the times."""
    return -np.sum([np.exp(-(((time - moment) / 1.0) ** 2)) for moment in at_s], axis=0)


def _breath(time: Array, generator: np.random.Generator) -> Array:
    """Return breathing at 0.28 Hz on average, its rate wandering."""
    rate = 0.28 + 0.03 * bold_course(time[-1], generator)[: len(time)]
    return np.sin(2 * np.pi * np.cumsum(rate) * STEP_S)


def _heart(time: Array, generator: np.random.Generator) -> Array:
    """Return the pulse at 1.1 Hz on average, its rate wandering; sampled by the slices it is aliased as in a scan."""
    rate = 1.1 + 0.06 * bold_course(time[-1], generator)[: len(time)]
    return np.sin(2 * np.pi * np.cumsum(rate) * STEP_S)
