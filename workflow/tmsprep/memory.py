"""How much memory a stage needs: a law for each, fitted to what ``bench/memory.py`` measured.

Memory grows with the run, and for some stages with the T1w. Both sizes are taken from headers as what the voxels measure
in 32-bit floats. The size of a file would not do: scans of the same size are compressed to between a third and nothing (air
outside the head is noise, or was set to 0). The measurements are kept in ``bench/records/memory.json``: a run of 41 minutes
(984 volumes of 64 x 64 x 46 voxels of 3 mm, three echoes; T1w of 256^3 voxels), the first ten minutes of it as far as they
went, and the tests' tiny participant.
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
    """Peak memory in MB: ``fixed + (run + echo * echoes) * run_mb + t1w * t1w_mb``."""

    fixed: float
    run: float = 0.0
    echo: float = 0.0
    t1w: float = 0.0

    def __call__(self, run_mb: float, echoes: int, t1w_mb: float) -> float:
        """Return the peak."""
        return self.fixed + (self.run + self.echo * echoes) * run_mb + self.t1w * t1w_mb


LAWS: dict[str, Law] = {
    "check": Law(96, run=1.0),
    "anatomy": Law(432, t1w=11.7),
    "normalise": Law(607, t1w=3.53),
    "scalp": Law(445, t1w=1.05),
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
"""By stage. Not here: those that run a container or make links, field maps, and what runs once for all."""


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
    return _STEP_MB * math.ceil(SPARE * (LAWS[stage](run_mb, echoes, t1w_mb) + CARRIER_MB) / _STEP_MB)


@cache
def image_mb(path: Path) -> float:
    """Return the size of an image's voxels in 32-bit floats, MB (10^6 bytes); 0 if it is unreadable, which others report.

    Only the header is read.
    """
    try:
        shape = nib.load(path).shape
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError):
        return 0.0
    return math.prod(shape) * _BYTES_PER_VOXEL / 1e6
