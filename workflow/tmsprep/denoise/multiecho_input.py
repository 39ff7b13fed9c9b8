"""What a multi-echo run must be before tedana may see it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib

from tmsprep.denoise.run_confounds import RunConfounds
from tmsprep.denoise.series import load_mask, open_series, repetition_time_s, require_same_grid
from tmsprep.denoise.tedana_call import MultiEchoInput
from tmsprep.errors import ContractError, InputError
from tmsprep.sidecars import Sidecar

FEWEST_ECHOES = 3
"""tedana tells signal that decays from signal that does not: two echoes are too few for that."""
_TR_TOLERANCE_S = 0.002
_FEWEST_VOLUMES = 20


@dataclass(frozen=True)
class MultiEchoRun:
    """A checked multi-echo run."""

    data: MultiEchoInput
    repetition_time_s: float
    volumes: int
    """As acquired."""
    xform_code: int

    @property
    def steady_volumes(self) -> int:
        """Volumes that tedana sees."""
        return self.volumes - self.data.dummy_scans


def check_run(echo: list[Path], echo_sidecar: list[Path], mask: Path, confounds: Path) -> MultiEchoRun:
    """Read everything that is small, and refuse what does not fit together.

    Raises
    ------
    InputError, ContractError
        Fewer than three echoes, too few volumes, or files that do not fit together.
    """
    if len(echo) < FEWEST_ECHOES:
        raise InputError(
            f"{len(echo)} echo(es)",
            where=", ".join(path.name for path in echo) or None,
            expected="three or more for TE-dependent denoising",
            action="treat the run as single-echo: leave out the tedana stage",
        )
    echo_times = _echo_times_s(echo, echo_sidecar)
    images = [open_series(path) for path in echo]
    for image in images[1:]:
        _require_same_shape(image, images[0])
    load_mask(mask, images[0])
    table = RunConfounds.load(confounds)
    dummies = _dummy_scans(table, images[0])
    data = MultiEchoInput(tuple(echo), echo_times, mask, dummies)
    repetition = _repetition_time_s(images[0], echo_sidecar[0])
    return MultiEchoRun(data, repetition, images[0].shape[3], int(images[0].header["sform_code"]) or 1)


def _echo_times_s(echo: list[Path], echo_sidecar: list[Path]) -> tuple[float, ...]:
    if len(echo) != len(echo_sidecar):
        raise InputError(f"{len(echo)} echoes but {len(echo_sidecar)} sidecars", expected="one sidecar an echo")
    times = tuple(Sidecar.merge([path]).echo_time_s() for path in echo_sidecar)
    if not all(earlier < later for earlier, later in itertools.pairwise(times)):
        raise InputError(
            f"the echo times are {', '.join(f'{time:g}' for time in times)} s",
            where=echo_sidecar[0],
            expected="ascending echo times, one an echo",
            action="give the echoes in order of their echo time, and check EchoTime in the sidecars",
        )
    return times


def _require_same_shape(image: nib.Nifti1Image, first: nib.Nifti1Image) -> None:
    require_same_grid(image, first)
    if image.shape[3] != first.shape[3]:
        raise InputError(
            f"{image.shape[3]} volumes, but the first echo has {first.shape[3]}",
            where=image.get_filename(),
            expected="echoes of equal length",
            action="check that the echoes belong to one run and that none is cut short",
        )


def _dummy_scans(table: RunConfounds, image: nib.Nifti1Image) -> int:
    if table.volumes != image.shape[3]:
        raise ContractError(
            f"{table.volumes} rows, but the series has {image.shape[3]} volumes",
            where=table.where,
            expected="one row a volume",
            action="give the confounds of the same run",
        )
    dummies = table.dummy_scans()
    if image.shape[3] - dummies < _FEWEST_VOLUMES:
        raise InputError(
            f"{image.shape[3] - dummies} steady-state volumes",
            where=image.get_filename(),
            expected=f"at least {_FEWEST_VOLUMES}",
            action="leave this run out",
        )
    return dummies


def _repetition_time_s(image: nib.Nifti1Image, sidecar: Path) -> float:
    stated = Sidecar.merge([sidecar]).repetition_time_s()
    in_header = repetition_time_s(image)
    if abs(stated - in_header) > _TR_TOLERANCE_S:
        raise ContractError(
            f"the header states a repetition time of {in_header:g} s, the sidecar {stated:g} s",
            where=image.get_filename(),
            expected="the same in both",
            action="correct whichever is wrong",
        )
    return stated
