"""The BIDS App: ``tmsprep bids_dir output_dir participant group``.

Reads the words, hands them to a `tmsprep.session.Session`, and returns its exit status.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from tmsprep import DISCLAIMER, __version__
from tmsprep.options import Options, Settings


class Level(StrEnum):
    """The levels of a BIDS App."""

    PARTICIPANT = "participant"
    GROUP = "group"


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a run is carried out; nothing here changes a result."""

    profile: str = "local"
    """Where jobs run: `local` (this machine), `slurm` (a cluster), or a Snakemake profile of yours (folder, file, name)."""
    nprocs: int | None = None
    """Cores to use. If not given: all of this machine, or on a cluster as many as the profile's number of jobs takes."""
    mem_mb: int | None = None
    """Memory to use (MB); no limit if not given."""
    dry_run: bool = False
    """Show the plan and what would run; run nothing."""


_SETTINGS = Settings()
_EXECUTION = Execution()


def run_app(words: Sequence[str]) -> int:
    """Run the BIDS App with a command line's words and return the exit status."""
    own, rest = split_words(join_option(list(words), "--fmriprep-options"))
    app = App(
        name="tmsprep",
        version=__version__,
        help_format="markdown",
        help=f"From a BIDS dataset to an individual TMS target. {DISCLAIMER}\n\n"
        "What follows `--` goes to Snakemake. Other commands: `tmsprep status`, `tmsprep beamf3`, `tmsprep simulate`, "
        "`tmsprep circuits`, `tmsprep images`, `tmsprep verify`, `tmsprep replay`, `tmsprep compare`, "
        "`tmsprep lock`, `tmsprep provenance`, `tmsprep handoff`, `tmsprep stage`.",
        default_parameter=Parameter(consume_multiple=True, negative_iterable=()),
        result_action="return_value",
    )

    @app.default
    def bids_app(  # pyright: ignore[reportUnusedFunction]
        bids_dir: Path,
        output_dir: Path,
        /,
        *levels: Level,
        settings: Annotated[Settings, Parameter(name="*")] = _SETTINGS,
        execution: Annotated[Execution, Parameter(name="*")] = _EXECUTION,
    ) -> int:
        """Run the workflow.

        Parameters
        ----------
        bids_dir
            The BIDS dataset.
        output_dir
            Where the derivatives go: one folder a derivative dataset.
        levels
            `participant`, `group`, or both.
        settings
            What the results depend on.
        execution
            What they do not depend on.
        """
        from tmsprep.session import Session

        folders = {"bids_dir": bids_dir.resolve(), "output_dir": output_dir.resolve()} | absolute_paths(settings)
        given: dict[str, Any] = vars(settings) | folders
        options = Options(**given)
        return Session(options, execution, frozenset(levels or (Level.PARTICIPANT,)), tuple(rest)).run()

    result = app(own)
    return result if isinstance(result, int) else 0


def absolute_paths(settings: Settings) -> dict[str, Any]:
    """Return the settings that name files, made absolute: Snakemake runs in the work folder."""
    paths: dict[str, Any] = {name: value.resolve() for name, value in vars(settings).items() if isinstance(value, Path)}
    circuit = Path(settings.circuit)
    derivatives = tuple(absolute_derivatives(word) for word in settings.derivatives)
    image = settings.fmriprep_image
    if image and Path(image).exists():
        paths["fmriprep_image"] = str(Path(image).resolve())
    return paths | {"circuit": str(circuit.resolve()) if circuit.is_file() else settings.circuit, "derivatives": derivatives}


def absolute_derivatives(word: str) -> str:
    """Return NAME=PATH with an absolute path."""
    name, separator, path = word.partition("=")
    return f"{name}={Path(path).resolve()}" if separator else word


def split_words(words: list[str]) -> tuple[list[str], list[str]]:
    """Split a command line at ``--``: ours, and Snakemake's."""
    if "--" not in words:
        return words, []
    index = words.index("--")
    return words[:index], words[index + 1 :]


def join_option(words: list[str], name: str) -> list[str]:
    """Write ``NAME VALUE`` as ``NAME=VALUE``, so that a value that looks like an option itself is taken for the value."""
    if name not in words[:-1]:
        return words
    index = words.index(name)
    return [*words[:index], f"{name}={words[index + 1]}", *words[index + 2 :]]
