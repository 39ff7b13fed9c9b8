"""The field map of a distorted run, as a scanner would deliver it: phase difference, or both phase-encoding directions.

It is taken on the run's grid, with the head where it lies when the run starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmsprep.files import write_json
from tmsprep.simulate.dataset import Names, echo_paths, save_small, sidecar_of
from tmsprep.simulate.participant import STORED_SHARE, Run, grey_level
from tmsprep.simulate.scanner import Scanner, add_noise

GRADIENT_ECHO_S = (0.00492, 0.00738)
"""Echo times of the phase-difference field map."""
EPI_ECHO_S = 0.03
PHASE_FULL_SCALE = 4096
"""Stored value of pi."""
DIRECTIONS = (("AP", "j-", -1), ("PA", "j", 1))
"""Label, BIDS name and sign of the two phase-encoding directions on grids stored L, A, S."""


class FieldMapWriter:
    """Takes and writes the field map that belongs to a run."""

    def __init__(self, root: Path, names: Names, run: Run, generator: np.random.Generator) -> None:
        self._root = root
        self._names = names
        self._run = run
        self._generator = generator
        self._scanner = Scanner(run.scene, run.protocol, run.grid)
        level = grey_level(self._scanner, run.scene, self._scanner.at_rest()[0])
        self._noise_sd = level / run.protocol.tsnr
        self._stored = self._scanner.voxel_map(run.scene.stored.astype(np.float32)) > STORED_SHARE

    def phase_difference(self) -> None:
        """Write two magnitudes and the wrapped phase that the field adds between their echo times."""
        times = {f"EchoTime{index + 1}": time for index, time in enumerate(GRADIENT_ECHO_S)}
        for index, time in enumerate(GRADIENT_ECHO_S):
            self._save(f"magnitude{index + 1}", self._counts(self._scanner.image(time, 0)), {"EchoTime": time})
        phase = 2 * np.pi * self._scanner.field_hz().astype(np.float64) * (GRADIENT_ECHO_S[1] - GRADIENT_ECHO_S[0])
        wrapped = np.mod(phase + np.pi, 2 * np.pi) - np.pi
        stored = np.where(self._stored, np.rint(wrapped / np.pi * PHASE_FULL_SCALE), 0).astype(np.int16)
        self._save("phasediff", stored, self._ties() | times)

    def both_directions(self) -> None:
        """Write two volumes for each phase-encoding direction."""
        for label, direction, sign in DIRECTIONS:
            image = self._scanner.image(EPI_ECHO_S, sign)
            pair = np.stack([self._counts(image), self._counts(image)], axis=-1)
            readout = {"PhaseEncodingDirection": direction, "TotalReadoutTime": self._run.protocol.readout_time_s}
            self._save(f"dir-{label}_epi", pair, self._ties() | readout | {"EchoTime": EPI_ECHO_S})

    def _counts(self, image: NDArray[np.float32]) -> NDArray[np.int16]:
        """Return an image with noise, as whole numbers in the run's units."""
        step = self._noise_sd * self._run.protocol.quantum
        noisy = np.rint(add_noise(image, self._noise_sd, self._generator) / step)
        return np.where(self._stored, noisy, 0).astype(np.int16)

    def _ties(self) -> dict[str, Any]:
        """Return the fields that tell which run this belongs to, in both ways that BIDS knows."""
        paths = echo_paths(self._root, self._names, self._run)
        return {
            "IntendedFor": [f"bids::{path.relative_to(self._root).as_posix()}" for path in paths],
            "B0FieldIdentifier": self._names.field_identifier(),
            "MagneticFieldStrength": 3,
        }

    def _save(self, ending: str, data: NDArray[np.int16], fields: dict[str, Any]) -> None:
        path = self._root / self._names.field_map(ending)
        repetition = self._run.protocol.repetition_time_s if data.ndim == 4 else None
        save_small(path, data, self._run.grid, repetition_time_s=repetition)
        write_json(sidecar_of(path), fields)
