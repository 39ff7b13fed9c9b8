"""Where the workflow's own files are: beside the package in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from tmsprep.errors import ConfigurationError


def snakefile() -> Path:
    """Return the workflow's Snakefile.

    Raises
    ------
    ConfigurationError
        The installation is incomplete.
    """
    return _find("Snakefile")


def images_file() -> Path:
    """Return the list of container images.

    Raises
    ------
    ConfigurationError
        The installation is incomplete.
    """
    return _find("containers/images.yaml")


def profile_folder(name: str) -> Path | None:
    """Return the folder of a Snakemake profile that comes with TMSPrep, or None if none has that name."""
    folder = snakefile().parent / "profiles" / name
    return folder if (folder / "config.yaml").is_file() else None


def _find(name: str) -> Path:
    package = Path(__file__).resolve().parent
    for candidate in (package / "_workflow" / name, package.parents[1] / name):
        if candidate.is_file():
            return candidate
    raise ConfigurationError(f"{name} is not with the package", where=package, action="install tmsprep again")
