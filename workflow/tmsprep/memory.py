"""How much memory a stage needs: a law for each, fitted to what ``bench/memory.py`` measured.

Memory grows with the run, and for some stages with the T1w. Both sizes are taken from headers as what the voxels measure
in 32-bit floats. The size of a file would not do: scans of the same size are compressed to between a third and nothing (air
outside the head is noise, or was set to 0). The measurements are kept in ``bench/records/memory.json``: a run of 41 minutes
(984 volumes of 64 x 64 x 46 voxels of 3 mm, three echoes; T1w of 256^3 voxels), the first ten minutes of it as far as they
went, and the tests' tiny participant; T1w images of other sizes for `check`, field maps of several, and groups of up to
10,000 people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel as nib

SPARE = 1.1
"""What is declared over what was measured."""
CARRIER_MB = 360
"""Two processes of Snakemake (measured: 177 MB each) that carry every job on a cluster, and count as the job's own."""
_STEP_MB = 10
_BYTES_PER_VOXEL = 4


@dataclass(frozen=True)
class Law:
    """Peak memory in MB: ``fixed + (run + echo * echoes) * run_mb + t1w * t1w_mb``.

    With `in_turn` the larger part counts; below `least` it never is.
    """

    fixed: float
    run: float = 0.0
    echo: float = 0.0
    t1w: float = 0.0
    in_turn: bool = False
    """The run and the T1w are held one after the other."""
    least: float = 0.0
    """What the libraries take, however small the images."""

    def __call__(self, run_mb: float, echoes: int, t1w_mb: float) -> float:
        """Return the peak."""
        parts = ((self.run + self.echo * echoes) * run_mb, self.t1w * t1w_mb)
        return max(self.least, self.fixed + (max(parts) if self.in_turn else sum(parts)))


LAWS: dict[str, Law] = {
    "check": Law(96, run=1.0, t1w=2.45, in_turn=True),
    "anatomy": Law(432, t1w=11.7),
    "normalise": Law(607, t1w=3.53),
    "scalp": Law(322, t1w=2.75),
    "beamf3": Law(434),
    "bold-reference": Law(140, run=1.45),
    "coregister": Law(314, t1w=2.69),
    "bold-resample": Law(83, run=1.5),
    "confounds": Law(130, run=2.15),
    "tedana": Law(298, echo=2.78),
    "denoise": Law(168, run=1.4),
    "carpet": Law(201, run=1.285),
    "target": Law(341, run=0.593),
    "navigate": Law(367, t1w=1.0),
    "export": Law(123),
    "report": Law(370, t1w=3.06),
}
"""By stage. Not here: those that run a container or make links, and what runs once for all."""
_GRADIENT_ECHO = Law(298, run=10.5, least=326)
FIELD_MAP_LAWS: dict[str, Law] = {
    "epi": Law(115, run=165, least=330),
    "phasediff": _GRADIENT_ECHO,
    "phases": _GRADIENT_ECHO,
    "fieldmap": _GRADIENT_ECHO,
}
"""Of the stage `fieldmap`, by the kind of map; `run_mb` is a volume of it."""
_GROUP_LEAST_MB, _GROUP_FIXED_MB, _GROUP_PAIR_MB = 361, 306, 16.8e-6
"""The group's page holds the distance between every two people, 50 million of 10,000."""


def need_mb(stage: str, *, run_mb: float = 0.0, echoes: int = 1, t1w_mb: float = 0.0) -> int:
    """Return the memory that a job with this stage should be given, MB.

    Parameters
    ----------
    stage
        Its name, of `LAWS`.
    run_mb
        Of one echo of the run: `image_mb`. For `target` of all its runs together, for `check` of the longest.
    echoes
        How many the run has.
    t1w_mb
        Of the T1w: `image_mb`.
    """
    return _declared(LAWS[stage](run_mb, echoes, t1w_mb))


def need_of_field_map_mb(kind: str, largest_mb: float) -> int:
    """Return the memory that a job should be given that makes a field map, MB.

    Parameters
    ----------
    kind
        Of the map, of `FIELD_MAP_LAWS`.
    largest_mb
        Of the largest volume among its images: `volume_mb`.
    """
    return _declared(FIELD_MAP_LAWS[kind](largest_mb, 1, 0.0))


def need_of_group_mb(people: int) -> int:
    """Return the memory that the job should be given that makes the group's table and page, MB."""
    pairs = people * (people - 1) / 2
    return _declared(max(_GROUP_LEAST_MB, _GROUP_FIXED_MB + _GROUP_PAIR_MB * pairs))


def _declared(peak_mb: float) -> int:
    return _STEP_MB * math.ceil(SPARE * (peak_mb + CARRIER_MB) / _STEP_MB)


def image_mb(path: Path) -> float:
    """Return the size of an image's voxels in 32-bit floats, MB (10^6 bytes); 0 if it is unreadable, which others report.

    Only the header is read.
    """
    return _mb(_shape(path))


def volume_mb(path: Path) -> float:
    """Return the size of one volume of an image, as `image_mb` does."""
    return _mb(_shape(path)[:3])


def _mb(shape: tuple[int, ...]) -> float:
    return math.prod(shape) * _BYTES_PER_VOXEL / 1e6


@cache
def _shape(path: Path) -> tuple[int, ...]:
    """Return (x, y, z) or (x, y, z, t); (0,) if the image is unreadable."""
    try:
        return tuple(nib.load(path).shape)
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError):
        return (0,)
