"""Where the Snakefile is: beside the package in a checkout, inside it in an installed wheel."""

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
    package = Path(__file__).resolve().parent
    for candidate in (package / "_workflow" / "Snakefile", package.parents[1] / "Snakefile"):
        if candidate.is_file():
            return candidate
    raise ConfigurationError("the Snakefile is not with the package", where=package, action="install tmsprep again")
