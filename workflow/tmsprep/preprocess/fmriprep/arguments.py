"""fMRIPrep's command line: what it is asked for, whatever starts it.

Asked for always: the native series of each echo, the transforms to both template spaces that circuits lie in, all seeds
fixed and one thread a process (which together make a run repeatable), no telemetry.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from tmsprep.errors import ConfigurationError
from tmsprep.preprocess.contract import TEMPLATE

OUTPUT_SPACES = ("func", f"{TEMPLATE}:res-2", "MNI152NLin6Asym:res-2")
"""``func``: native series of single-echo runs. Series in a template space come with their transforms, at 2 mm."""

_OURS = {
    "--participant-label": "tmsprep's --participant-label",
    "--session-label": "tmsprep's --session-label",
    "--task-id": "tmsprep's --task-id",
    "--echo-idx": "",
    "--bids-filter-file": "tmsprep's --bids-filter-file",
    "--output-spaces": "",
    "--output-layout": "",
    "--me-output-echos": "",
    "--random-seed": "tmsprep's --seed",
    "--skull-strip-fixed-seed": "",
    "--omp-nthreads": "",
    "--nprocs": "tmsprep's --fmriprep-threads",
    "--nthreads": "tmsprep's --fmriprep-threads",
    "--n-cpus": "tmsprep's --fmriprep-threads",
    "--mem": "tmsprep's --fmriprep-mem-mb",
    "--mem-mb": "tmsprep's --fmriprep-mem-mb",
    "--work-dir": "tmsprep's --work-dir",
    "--clean-workdir": "",
    "--fs-license-file": "tmsprep's --fs-license-file",
    "--fs-subjects-dir": "",
    "--fs-no-reconall": "tmsprep's --surfaces",
    "--dummy-scans": "tmsprep's --dummy-scans",
    "--subject-anatomical-reference": "",
    "--longitudinal": "",
    "--track-sessions": "",
    "--no-track-sessions": "",
    "--skip-bids-validation": "",
    "--level": "",
    "--anat-only": "",
    "--boilerplate-only": "",
    "--reports-only": "",
    "--derivatives": "",
    "--bids-database-dir": "",
    "--use-plugin": "",
    "--nipype-plugin-file": "",
    "--config-file": "",
    "--notrack": "",
    "--version": "",
    "--help": "",
}
"""Options that are not the user's to give, and what to use instead (empty: nothing, the workflow depends on it)."""
_OF_THE_WRAPPER = ("--image", "--patch", "--shell", "--env", "--user", "--network", "--no-tty")
"""Options of ``fmriprep-docker``, which would act on the container and not reach fMRIPrep."""
_SHORT = {"-d", "-t", "-w", "-h", "-i", "-e", "-u"}


@dataclass(frozen=True)
class Request:
    """What one run of fMRIPrep is to do."""

    participant: str
    """Without ``sub-``."""
    seed: int
    threads: int
    mem_mb: int
    surfaces: bool
    """Reconstruct surfaces with FreeSurfer."""
    dummy_scans: int | None
    track_sessions: bool
    extra: tuple[str, ...]
    """The user's own options."""


@dataclass(frozen=True)
class Places:
    """Files and folders as fMRIPrep sees them."""

    bids_dir: str
    output_dir: str
    work_dir: str
    license_file: str
    filter_file: str
    subjects_dir: str | None
    """FreeSurfer's; None without surfaces."""


def command_line(request: Request, places: Places) -> list[str]:
    """Return fMRIPrep's arguments."""
    words = [places.bids_dir, places.output_dir, "participant", *options(request)]
    words += ["--output-spaces", *OUTPUT_SPACES]
    words += ["--work-dir", places.work_dir, "--fs-license-file", places.license_file]
    words += ["--bids-filter-file", places.filter_file]
    words += ["--fs-subjects-dir", places.subjects_dir] if places.subjects_dir else []
    return words


def options(request: Request) -> list[str]:
    """Return the options that name no file."""
    words = ["--participant-label", request.participant, "--skip-bids-validation", "--me-output-echos"]
    words += ["--random-seed", str(request.seed), "--skull-strip-fixed-seed", "--omp-nthreads", "1"]
    # spelled with an underscore: the Docker wrapper looks for that, and asks a question if it does not find it
    words += ["--nprocs", str(request.threads), "--mem_mb", str(request.mem_mb)]
    words += ["--notrack", "--stop-on-first-crash"]
    words += [] if request.track_sessions else ["--no-track-sessions"]
    words += [] if request.surfaces else ["--fs-no-reconall"]
    words += ["--dummy-scans", str(request.dummy_scans)] if request.dummy_scans is not None else []
    return [*words, *request.extra]


def extra_options(text: str) -> tuple[str, ...]:
    """Take the user's own fMRIPrep options apart, as a shell would.

    Raises
    ------
    ConfigurationError
        They are no words, do not begin with an option, or name one that is not theirs to give.
    """
    where = "--fmriprep-options"
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{text!r} ({error})", where=where, expected="fMRIPrep's options, quoted as one word"
        ) from error
    if words and not words[0].startswith("-"):
        raise ConfigurationError(f"{words[0]!r} is no option", where=where, expected='for example "--use-syn-sdc warn"')
    for word in words:
        _require_theirs(word, where)
    return tuple(words)


def _require_theirs(word: str, where: str) -> None:
    name = word.partition("=")[0].replace("_", "-")
    if word == "--" or name in _SHORT or name in _OF_THE_WRAPPER:
        raise ConfigurationError(f"{word} cannot be given here", where=where)
    if not name.startswith("--"):
        return
    # argparse completes abbreviations: --rand would set the seed
    taken = [own for own in _OURS if own == name or own.startswith(name)]
    if taken:
        instead = _OURS[taken[0]]
        raise ConfigurationError(
            f"{word} is set by TMSPrep", where=where, action=f"use {instead}" if instead else "leave it out"
        )
