"""The logs that Snakemake's Slurm plugin keeps of jobs that run or failed: only there is why Slurm ended one.

A job of one step has a folder by rule and wildcards; jobs of several steps are found by the steps' logs that they name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tmsprep.status.steps import Step, file_times, tail

_MOST_GROUPS = 5000
_NAMED = re.compile(r"/logs/([\w./+-]+\.log)")
_LINK_RULES = ("link_anatomy", "link_run", "link_bold")


@dataclass(frozen=True)
class SlurmLogs:
    """The logs of a work folder."""

    work: Path
    since: float
    """Older ones are of earlier runs."""

    @property
    def folder(self) -> Path:
        """Where the plugin keeps them."""
        return self.work / ".snakemake" / "slurm_logs"

    def of(self, step: Step) -> str:
        """Return the end of the newest log about a step; nothing if there is none, or only of an earlier try."""
        if not self._folders:
            return ""
        if own := self._own(step):
            return own
        time, text = self._of_groups.get(step.path, (0.0, ""))
        return text if time >= step.began else ""

    @cached_property
    def _folders(self) -> list[str]:
        with suppress(OSError):
            return sorted(entry.name for entry in os.scandir(self.folder) if entry.is_dir())
        return []

    def _own(self, step: Step) -> str:
        for rule in _LINK_RULES if step.name == "link" else (step.name,):
            for name in _wildcards(step):
                if f"rule_{rule}" in self._folders and (newest := self._newest(self.folder / f"rule_{rule}" / name, step)):
                    return tail(newest)
        return ""

    def _newest(self, folder: Path, step: Step) -> Path | None:
        first = max(self.since, step.began)
        times = {name: time for name, time in file_times(folder, ".log").items() if time >= first}
        return folder / f"{max(times, key=lambda name: times[name])}.log" if times else None

    @cached_property
    def _of_groups(self) -> dict[str, tuple[float, str]]:
        """When the newest log of a job of several steps was written, and its end, by each step's log."""
        found: dict[str, tuple[float, str]] = {}
        for time, path in sorted(self._group_logs())[-_MOST_GROUPS:]:
            text = tail(path)
            found |= dict.fromkeys(_NAMED.findall(text), (time, text))
        return found

    def _group_logs(self) -> Iterator[tuple[float, Path]]:
        for name in self._folders:
            if name.startswith("group_"):
                for log, time in file_times(self.folder / name, ".log").items():
                    if time >= self.since:
                        yield time, self.folder / name / f"{log}.log"


def _wildcards(step: Step) -> list[str]:
    """Return how a step's wildcards may be written in one word: with its folder, or by its stem alone."""
    folder = step.path.rpartition("/")[0].replace("/", "_")
    return [f"{folder}_{step.stem}", step.stem] if folder else [step.stem]
