"""What a stage ran with: libraries, source code, machine, container. No path, user or host name is in any of it."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import resource
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tmsprep import __version__
from tmsprep.workflow_files import snakefile

_LIBRARIES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "nibabel": "nibabel",
    "pandas": "pandas",
    "nilearn": "nilearn",
    "antspyx": "ants",
    "tedana": "tedana",
    "scikit-learn": "sklearn",
    "scikit-image": "skimage",
    "niimath": "tmsprep.interfaces.niimath tmsprep.interfaces.niimath_bold",  # a program, started through these
    "potpourri3d": "potpourri3d",
    "templateflow": "templateflow",
    "nipype": "nipype",
    "pybids": "bids",
    "matplotlib": "matplotlib",
    "snakemake": "snakemake",
}
"""Distributions on which a number may depend, and the modules that show that one was used."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
_GIT_SECONDS = 10


def software() -> dict[str, str]:
    """Return the versions of this program, of Python, and of the libraries that this process has loaded."""
    names = ["tmsprep", "python", *(name for name, modules in _LIBRARIES.items() if _loaded(modules))]
    return {name: number for name in names if (number := installed(name))}


def _loaded(modules: str) -> bool:
    return any(module in sys.modules for module in modules.split())


def programs() -> list[dict[str, str]]:
    """Return what made a stage's outputs, for ``GeneratedBy``: this program, then those whose methods it used."""
    used = software()
    return [{"Name": name, "Version": used[name]} for name in ("tmsprep", "tedana", "niimath", "antspyx") if name in used]


def installed(name: str) -> str | None:
    """Return the version in which a program or library is here; None if it is not."""
    own = {"tmsprep": __version__, "python": platform.python_version()}
    if name in own:
        return own[name]
    with suppress(PackageNotFoundError):
        return version(name)
    return None


def environment() -> dict[str, Any]:
    """Return the machine: system, processor, cores, threads allowed to libraries, container."""
    return {
        "OperatingSystem": f"{platform.system()} {platform.release()}",
        "Machine": platform.machine(),
        "CPU": _cpu(),
        "Cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "Python": sys.implementation.name,
        "Threads": {name: os.environ[name] for name in _THREADS if name in os.environ},
        "Container": container(),
    }


def peak_memory_mib() -> float:
    """Return the largest memory of this process and of the programs that it started (MiB)."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(item).ru_maxrss for item in who) / 1024


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def container(root: Path = Path("/")) -> dict[str, str]:
    """Return the container that this process runs in, as far as a process can know it.

    Parameters
    ----------
    root
        Of the file system, with the marks that runtimes leave.

    Returns
    -------
    dict[str, str]
        ``Type``: ``none``, ``docker``, ``podman`` or ``apptainer``; ``Image`` and ``Digest`` where known. No runtime but
        Podman tells its image to what runs inside; the variable ``TMSPREP_IMAGE`` (``NAME@sha256:...``) does.
    """
    named = os.environ.get("TMSPREP_IMAGE", "")
    found = {"Type": "none"}
    if (root / "run/.containerenv").is_file():
        lines = (root / "run/.containerenv").read_text(encoding="utf-8").splitlines()
        values = {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}
        found = {"Type": "podman", "Image": values.get("image", ""), "Digest": values.get("imageid", "")}
    elif (root / ".dockerenv").is_file():
        found = {"Type": "docker"}
    elif image := os.environ.get("APPTAINER_CONTAINER") or os.environ.get("SINGULARITY_CONTAINER"):
        found = {"Type": "apptainer", "Image": Path(image).name}
    if named:
        name, _, digest = named.partition("@")
        found |= {"Image": Path(name).name if name.startswith("/") else name, "Digest": digest}
    return {key: value for key, value in found.items() if value}


@cache
def source() -> tuple[tuple[str, Any], ...]:
    """Return the source code's version as items: ``SHA256`` of all code; in a checkout ``Commit``, and ``Dirty`` if changed.

    The checksum tells also an installed package, and a checkout with changes, from any other.
    """
    package = Path(__file__).resolve().parents[1]
    rules = snakefile().parent
    files = [*package.rglob("*.py"), rules / "Snakefile", *(rules / "rules").glob("*.smk")]
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda item: (item.name, item.as_posix().removeprefix(package.as_posix()))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return (("SHA256", digest.hexdigest()), *_commit(package.parents[1], package))


def _commit(root: Path, package: Path) -> list[tuple[str, Any]]:
    """Return the commit and whether the code differs from it; nothing outside a checkout of this project."""
    if not (root / ".git").exists() or package != root / "workflow" / "tmsprep":
        return []
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None or not re.fullmatch(r"[0-9a-f]{40,64}", commit):
        return []
    changes = _git(root, "status", "--porcelain", "--", "workflow", "rules", "Snakefile")
    return [("Commit", commit), ("Dirty", changes != "")]


def _git(root: Path, *words: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", "-C", str(root), *words], check=False, capture_output=True, text=True, timeout=_GIT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
