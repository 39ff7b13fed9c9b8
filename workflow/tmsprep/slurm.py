"""What a run on Slurm needs besides Snakemake's executor: no job of a killed run may stay in the queue."""

from __future__ import annotations

import getpass
import hashlib
import shutil
import subprocess
import time
from pathlib import Path

from tmsprep.errors import ExternalProgramError

_ASK_S = 60
_GONE_S = 300
_PAUSE_S = 2


def job_prefix(output_dir: Path) -> str:
    """Return what the names of the jobs that work on an output folder begin with."""
    return f"tmsprep-{hashlib.sha256(output_dir.as_posix().encode()).hexdigest()[:12]}"


def snakemake_words(output_dir: Path) -> list[str]:
    """Return the options by which Snakemake gives its jobs names that `jobs_of` finds again.

    Raises
    ------
    ExternalProgramError
        There is no Slurm on this machine.
    """
    if shutil.which("sbatch") is None or shutil.which("squeue") is None:
        raise ExternalProgramError(
            "sbatch and squeue are not on the path",
            expected="a machine from which jobs can be submitted to Slurm",
            action="log in to the cluster (perhaps: module load slurm), or run without --profile slurm",
        )
    return ["--slurm-jobname-prefix", job_prefix(output_dir)]


def jobs_of(output_dir: Path) -> list[str]:
    """Return the numbers of this user's jobs, queued or running, that work on an output folder.

    Raises
    ------
    ExternalProgramError
        Slurm does not answer.
    """
    try:
        asked = subprocess.run(
            ["squeue", "--noheader", "--user", getpass.getuser(), "--format", "%A %j"],
            check=True,
            capture_output=True,
            text=True,
            timeout=_ASK_S,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise ExternalProgramError(
            f"Slurm does not answer: {getattr(error, 'stderr', None) or error}",
            where="squeue",
            action="try `squeue` by hand; run the same command again when it works",
        ) from error
    rows = [line.split(maxsplit=1) for line in asked.stdout.splitlines() if line.strip()]
    return [row[0] for row in rows if len(row) == 2 and row[1].startswith(job_prefix(output_dir))]


def end_orphans(output_dir: Path) -> int:
    """Cancel the jobs that a killed run left in the queue, wait until they are gone, and return how many there were.

    They would write beside the ones of the new run.

    Raises
    ------
    ExternalProgramError
        They do not end.
    """
    orphans = jobs_of(output_dir)
    if not orphans:
        return 0
    subprocess.run(["scancel", *orphans], check=False, capture_output=True, timeout=_ASK_S)
    until = time.monotonic() + _GONE_S
    while left := jobs_of(output_dir):
        if time.monotonic() > until:
            raise ExternalProgramError(
                f"job(s) {', '.join(left)} of an earlier run on this output folder do not end",
                action=f"cancel them (`scancel {' '.join(left)}`) and run the same command again",
            )
        time.sleep(_PAUSE_S)
    return len(orphans)
