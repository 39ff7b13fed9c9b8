"""The record of one stage run: what ran when, on what, with what, and what came out.

One JSON file a run, in ``prov/activities`` of the dataset that holds the first output. Only here are clocks and machines; no
path of the machine, no user and no host name is. `verify` and `compare` read these records and nothing else.
"""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tmsprep import __version__
from tmsprep.files import atomic, write_json
from tmsprep.provenance.record import StageRun, bids_uri, command_line, dataset_root

FOLDER = Path("prov") / "activities"
_LIBRARIES = (
    "numpy", "scipy", "nibabel", "pandas", "nilearn", "antspyx", "tedana", "scikit-learn", "scikit-image", "niimath",
    "potpourri3d", "templateflow", "snakemake", "nipype", "pybids",
)  # fmt: skip
"""Libraries on which a number may depend, recorded if installed."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")


def record_path(run: StageRun) -> Path | None:
    """Return where the record belongs; None where no output lies in a dataset."""
    outputs = [path.resolve() for paths in run.outputs.values() for path in paths]
    root = next((found for path in outputs if (found := dataset_root(path.parent))), None)
    if root is None:
        return None
    first = next(path for path in outputs if dataset_root(path.parent) == root)
    name = first.relative_to(root).as_posix().replace("/", "__")
    return root / FOLDER / f"{run.name}__{name}.json"


def write_record(run: StageRun, published: Mapping[Path, Path]) -> None:
    """Write the record of a finished run; its outputs are in place.

    Parameters
    ----------
    run
        What ran.
    published
        Outputs and their sidecars, each with the temporary name that it had.
    """
    dataset_root.cache_clear()  # the run may have written the description that makes a folder a dataset
    path = record_path(run)
    if path is None:
        return
    made = {item: run.digests.get(twin) or run.digest(item) for item, twin in published.items()}
    used = [item for paths in run.inputs.values() for item in paths]
    content = {
        "Stage": run.name,
        "Command": command_line(run, path),
        "StartedAtTime": _time(run.started),
        "EndedAtTime": _time(run.ended),
        "ExitStatus": 0,
        "PeakMemoryMiB": round(_peak_mib(), 1),
        "Seed": run.arguments.get("seed"),
        "Used": [{"Id": bids_uri(item, path), "SHA256": run.digest(item)} for item in used],
        "Generated": [{"Id": bids_uri(item, path), "SHA256": digest} for item, digest in made.items()],
        "Software": dict(_software()),
        "Environment": dict(_environment()),
    }
    with atomic(path) as twin:
        write_json(twin, content)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="milliseconds")


def _peak_mib() -> float:
    """Return the largest memory of this process and of the programs that it started."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(item).ru_maxrss for item in who) / 1024


@cache
def _software() -> tuple[tuple[str, str], ...]:
    versions = {"tmsprep": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return tuple(versions.items())


@cache
def _environment() -> tuple[tuple[str, Any], ...]:
    threads = {name: os.environ[name] for name in _THREADS if name in os.environ}
    return (
        ("OperatingSystem", f"{platform.system()} {platform.release()}"),
        ("Machine", platform.machine()),
        ("CPU", _cpu()),
        ("Cores", len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        ("Python", sys.implementation.name),
        ("Threads", threads),
        ("Container", os.environ.get("TMSPREP_IMAGE", "none")),
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
