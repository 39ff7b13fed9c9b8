"""Snakemake profiles: those that come with TMSPrep, and a user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from tmsprep.errors import ConfigurationError
from tmsprep.workflow_files import profile_folder


def find_profile(name: str) -> str:
    """Return the profile to hand to Snakemake.

    Parameters
    ----------
    name
        ``local`` or ``slurm``, which come with TMSPrep; a folder or file; or a name that Snakemake looks up in the
        user's and the system's settings.
    """
    path = Path(name)
    if path.exists():
        return str(path.resolve())
    own = profile_folder(name) if path.name == name else None
    return str(own) if own else name


def executor_of(profile: str, words: Sequence[str]) -> str:
    """Return the name of Snakemake's executor: where jobs run.

    Parameters
    ----------
    profile
        What `find_profile` returned.
    words
        The words for Snakemake, which go before the profile.

    Raises
    ------
    ConfigurationError
        The profile's file is not YAML.
    """
    for option in ("--executor", "-e"):
        if option in words[:-1]:
            return words[list(words).index(option) + 1]
    path = Path(profile)
    candidates = [path] if path.is_file() else sorted(path.glob("*.yaml"))
    for candidate in candidates:
        try:
            content = yaml.safe_load(candidate.read_text(encoding="utf-8")) or {}
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ConfigurationError(
                f"no readable Snakemake profile ({error})", where=candidate, action="correct it, or name another --profile"
            ) from error
        if isinstance(content, dict) and isinstance(content.get("executor"), str):
            return content["executor"]
    return "local"
