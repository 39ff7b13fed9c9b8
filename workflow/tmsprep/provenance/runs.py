"""The record of one run of the workflow: with which options, by which code, on whom, with what exit status."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tmsprep import __version__
from tmsprep.files import atomic, sha256, write_json
from tmsprep.options import Options, to_mapping
from tmsprep.provenance import machine
from tmsprep.provenance.activity import RUN_VARIABLE, RUNS, iso_time
from tmsprep.provenance.record import without_folders

_FOLDERS = ("bids_dir", "output_dir", "work_dir", "templateflow_home")
"""Where things are, which no result depends on."""

_NO_RESULT = frozenset(
    {
        "participant_label",
        "session_label",
        "skip_bids_validation",
        "container_runtime",
        "fmriprep_threads",
        "fmriprep_mem_mb",
    }
)
"""Options that say for whom, or how it is carried out."""


class WorkflowRun:
    """A run of the workflow, recorded when it starts and again when it has ended."""

    def __init__(self, dataset: Path, options: Options, levels: list[str]) -> None:
        """Give the run its name, which the stages that it starts find in their environment.

        Parameters
        ----------
        dataset
            Folder of the dataset with targets; made by a stage of the run.
        options
            Of the run.
        levels
            ``participant``, ``group``, or both.
        """
        self._started = time.time()
        stamp = datetime.fromtimestamp(self._started, tz=UTC).strftime("%Y%m%dT%H%M%S")
        self.name = f"run-{stamp}-{os.getpid()}"
        self._path = dataset / RUNS / f"{self.name}.json"
        self._options = options
        self._levels = levels
        os.environ[RUN_VARIABLE] = self.name

    def start(self) -> None:
        """Record that the run began; the end is not known yet, nor ever if it is killed."""
        self._write(None, [])

    def end(self, status: int, failed: list[str]) -> None:
        """Record how the run ended.

        Parameters
        ----------
        status
            Exit status.
        failed
            Participants for whom nothing came out.
        """
        self._write(status, failed)

    def _write(self, status: int | None, failed: list[str]) -> None:
        settings = configuration(self._options)
        content = {
            "Run": self.name,
            "Command": command(self._options, self._levels),
            "StartedAtTime": iso_time(self._started),
            "EndedAtTime": None if status is None else iso_time(time.time()),
            "ExitStatus": status,
            "Failed": failed,
            "Configuration": settings,
            "ConfigurationSHA256": digest(settings),
            "Software": {"tmsprep": __version__, "snakemake": version("snakemake")},
            "Source": dict(machine.source()),
            "Environment": machine.environment(),
        }
        with atomic(self._path) as twin:
            write_json(twin, content)


def configuration(options: Options) -> dict[str, Any]:
    """Return what the results depend on: the options without folders; a file is its name and its sha256."""
    settings = {key: value for key, value in to_mapping(options).items() if key not in _FOLDERS}
    return {key: _plain(value) for key, value in sorted(settings.items())}


def changed_since(dataset: Path, options: Options) -> list[str]:
    """Return the options that any earlier run on a dataset had otherwise, of those that its results depend on.

    Parameters
    ----------
    dataset
        The dataset with the targets.
    options
        Of the run that is about to start.
    """
    ours = configuration(options)
    found: set[str] = set()
    for path in sorted((dataset / RUNS).glob("*.json")):
        with suppress(OSError, ValueError, AttributeError):
            theirs = json.loads(path.read_text(encoding="utf-8")).get("Configuration", {})
            found |= {key for key in ours if key in theirs and theirs[key] != ours[key]}
    return sorted(found - _NO_RESULT)


def digest(settings: Mapping[str, Any]) -> str:
    """Return the sha256 of a configuration: the same for the same settings, wherever the files lie."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, str):
        return value
    name, separator, place = value.rpartition("=")  # fmriprep=PATH
    path = Path(place)
    if not path.is_absolute():
        return without_folders(value)
    with suppress(OSError):
        if path.is_file():
            return {"Name": name + separator + path.name, "SHA256": sha256(path)}
    return f"{name}{separator}{path.name}"


def command(options: Options, levels: list[str]) -> str:
    """Return the command line of a run, without folders: options that differ from what is usual."""
    usual = configuration(Options(bids_dir=options.bids_dir, output_dir=options.output_dir))
    words = ["tmsprep", "bids:raw:", "OUTPUT_DIR", *levels]
    for key, value in configuration(options).items():
        if usual.get(key) != value:
            words += _words("--" + key.replace("_", "-"), value)
    return shlex.join(words)


def _words(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [name if value else name.replace("--", "--no-", 1)]
    values = value if isinstance(value, list) else [value]
    return [name, *(item["Name"] if isinstance(item, dict) else str(item) for item in values)]
