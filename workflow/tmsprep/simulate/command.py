"""``tmsprep simulate``: make a multi-echo BIDS run, of which the true target is known, on a real head."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tmsprep.errors import ConfigurationError
from tmsprep.simulate.protocol import Protocol

FIELD_OF_VIEW_MM = (224.0, 140.0)
"""In the slice, and through the slices."""

Distortion = Literal["none", "phasediff", "epi"]


def protocol_of(
    *,
    repetition_time_s: float,
    echo_times_ms: Sequence[float],
    voxel_mm: float,
    minutes: float,
    tsnr: float,
    quantum: float,
) -> Protocol:
    """Return the protocol for the options that a user gives."""
    in_plane = 2 * round(FIELD_OF_VIEW_MM[0] / voxel_mm / 2)
    return Protocol(
        repetition_time_s=repetition_time_s,
        echo_times_s=tuple(round(time / 1000, 6) for time in echo_times_ms),
        voxel_mm=voxel_mm,
        minutes=minutes,
        matrix=(in_plane, in_plane),
        slices=round(FIELD_OF_VIEW_MM[1] / voxel_mm),
        tsnr=tsnr,
        quantum=quantum,
        readout_time_s=0.028,
    )


def command(
    *,
    t1w: Path,
    out: Path,
    participant_label: str,
    gm: Path | None = None,
    wm: Path | None = None,
    csf: Path | None = None,
    t1w_to_mni: Path | None = None,
    circuit: str = "example",
    search_mask: str = "dlpfc-spheres",
    site: str = "siteA",
    sessions: Annotated[list[str] | None, Parameter(negative=())] = None,
    task: str = "rest",
    repetition_time_s: float = 2.0,
    echo_times_ms: tuple[float, ...] = (13.0, 31.0, 49.0),
    voxel_mm: float = 3.0,
    minutes: float = 12.0,
    tsnr: float = 80.0,
    quantum: float = 0.1,
    mean_fd_mm: float = 0.12,
    distortion: Distortion = "none",
    non_steady_volumes: int = 0,
    surround_mm: float | None = None,
    fiducials: Path | None = None,
    seed: int = 42,
) -> int:
    """Make a simulated participant on a real head, with a known true target.

    Run it once for each participant of the dataset; a participant that exists already is written anew. What was put in is
    in OUT/derivatives/truth. Nothing that it writes is a measurement of brain activity.

    Parameters
    ----------
    t1w
        T1-weighted image of a whole head.
    out
        BIDS dataset to write to; made if it is not there.
    participant_label
        Label without sub-. The place of the target depends on it and on the seed.
    gm
        Grey-matter probability of the T1w. Give gm, wm, csf and t1w-to-mni together, or none of them: then they are made.
    wm
        White-matter probability.
    csf
        Cerebrospinal-fluid probability.
    t1w_to_mni
        ITK transform from-T1w_to-MNI152NLin2009cAsym (.h5).
    circuit
        Name of a shipped circuit made of seeds, or the path of such a circuit's JSON.
    search_mask
        Name of the search mask in which the target lies.
    site
        Label of the site, for participants.tsv.
    sessions
        Session labels; the target is the same in all. Without it the dataset has no sessions.
    task
        Task label.
    repetition_time_s
        Time between volumes, s.
    echo_times_ms
        Echo times, ms, ascending.
    voxel_mm
        Edge of the cubic voxel, mm.
    minutes
        Length of a run.
    tsnr
        Mean grey-matter signal of the first echo over the standard deviation of the thermal noise.
    quantum
        Step between storable values, in standard deviations of the thermal noise (1 makes small files).
    mean_fd_mm
        Mean framewise displacement of the head, mm.
    distortion
        none, or distort the run and add a field map of this kind.
    non_steady_volumes
        Volumes at the start of a run that are not yet in the steady state.
    surround_mm
        Store signal only up to this far from the brain, and 0 elsewhere (makes small files).
    fiducials
        TSV (name, x, y, z) with known fiducials of this head, to be kept beside the truth.
    seed
        Governs everything random: the same seed gives the same bytes.
    """
    from tmsprep.simulate.participant import Conditions
    from tmsprep.simulate.study import Request, simulate

    if seed < 0:
        raise ConfigurationError(f"seed {seed}", expected="0 or more")
    request = Request(
        out=out,
        label=participant_label.removeprefix("sub-"),
        site=site,
        sessions=tuple(sessions) if sessions else (None,),
        task=task,
        protocol=protocol_of(
            repetition_time_s=repetition_time_s,
            echo_times_ms=echo_times_ms,
            voxel_mm=voxel_mm,
            minutes=minutes,
            tsnr=tsnr,
            quantum=quantum,
        ),
        circuit=circuit,
        search_mask=search_mask,
        conditions=Conditions(mean_fd_mm, distortion != "none", non_steady_volumes, surround_mm),
        field_map=distortion,
        fiducials=fiducials,
        seed=seed,
    )
    from tmsprep.simulate.anatomy import AnatomyFiles

    with tempfile.TemporaryDirectory(prefix="tmsprep-simulate-") as scratch:
        files = AnatomyFiles.of(t1w, gm=gm, wm=wm, csf=csf, t1w_to_mni=t1w_to_mni, scratch=Path(scratch), seed=seed)
        person = simulate(request, files)
    target = ", ".join(f"{value:.1f}" for value in person.hot_spot.target_ras_mm)
    print(f"sub-{request.label}: true target at {target} mm (scanner RAS of the T1w); see {out}", file=sys.stderr)
    return 0
