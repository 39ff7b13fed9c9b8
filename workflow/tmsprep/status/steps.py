"""What the logs and benchmarks of an output folder say about each step: begun, ended well, or neither known.

A step writes its log anew when it begins, and its benchmark when it has ended well. Each folder is read once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tmsprep.status.planned import Planned

_UNTIMED = frozenset({"link", "sidecar", "plan", "fmriprep_image", "templateflow", "fsaverage"})
"""Steps without a benchmark; those of a moment, or shared."""
_TAIL_BYTES = 1 << 16
_DEPTH = 2


@dataclass(frozen=True)
class Step:
    """One step of one participant, or a shared one, that has begun."""

    path: str
    """Its log, from the folder of logs."""
    stem: str
    """``sub-01_task-rest``; empty for a shared step."""
    name: str
    """As the rule is called, for the most part: ``tedana``."""
    began: float
    """When its log was last written to, in seconds since the epoch."""
    empty: bool
    """Whether the log says nothing."""
    ended: float | None
    """When it ended well; None if it is not known to have."""

    @property
    def open(self) -> bool:
        """Whether it must be running or have come to a bad end."""
        return self.ended is None and self.name not in _UNTIMED and not self.name.startswith("describe")


@dataclass(frozen=True)
class _File:
    mtime: float
    size: int


def find_steps(logs: Path, benchmarks: Path) -> list[Step]:
    """Return all steps that have a log."""
    timed = dict(_files(logs.parent / benchmarks.name, ".tsv"))
    steps: list[Step] = []
    for name, file in _files(logs, ".log"):
        timing = timed.get(name)
        ended = timing.mtime if timing is not None and timing.mtime >= file.mtime else None
        stem, step = _parsed(name.rpartition("/")[2])
        steps.append(Step(f"{name}.log", stem, step, file.mtime, file.size == 0, ended))
    return steps


def _files(folder: Path, ending: str) -> Iterator[tuple[str, _File]]:
    """Return the files with an ending, by their path without it."""
    for name, entry in _entries(folder, "", _DEPTH):
        if name.endswith(ending):
            with suppress(OSError):  # removed since
                state = entry.stat()
                yield name.removesuffix(ending), _File(state.st_mtime, state.st_size)


def _entries(folder: Path, prefix: str, depth: int) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with suppress(OSError), os.scandir(folder / prefix) as found:
        for entry in list(found):
            if entry.is_dir():
                if depth:
                    yield from _entries(folder, f"{prefix}{entry.name}/", depth - 1)
            else:
                yield prefix + entry.name, entry


def _parsed(name: str) -> tuple[str, str]:
    """Return the stem and the step of a log's name: ``sub-01_task-rest`` and ``tedana``."""
    words = name.split("_")
    if not words[0].startswith("sub-"):
        return "", name
    count = next((index for index, word in enumerate(words) if "-" not in word), len(words))
    return "_".join(words[:count]), "_".join(words[count:])


def file_times(folder: Path, ending: str) -> dict[str, float]:
    """Return when the files of one folder that end so were written, by name without the ending."""
    return {name: file.mtime for name, file in _files_here(folder, ending)}


def _files_here(folder: Path, ending: str) -> Iterator[tuple[str, _File]]:
    for name, entry in _entries(folder, "", 0):
        if name.endswith(ending):
            with suppress(OSError):
                state = entry.stat()
                yield name.removesuffix(ending), _File(state.st_mtime, state.st_size)


def by_unit(steps: Iterable[Step], units: Mapping[str, Planned]) -> tuple[dict[str, list[Step]], list[Step]]:
    """Return each unit's steps, and the shared ones.

    What is made of a T1w of another session belongs to every unit that uses it.
    """
    of_subject: dict[str, list[Planned]] = {}
    for unit in units.values():
        of_subject.setdefault(unit.subject, []).append(unit)
    found: dict[str, list[Step]] = {label: [] for label in units}
    shared: list[Step] = []
    for step in steps:
        if not step.stem:
            shared.append(step)
        for label in _owners(step.stem, units, of_subject):
            found[label].append(step)
    return found, shared


def _owners(stem: str, units: Mapping[str, Planned], of_subject: Mapping[str, list[Planned]]) -> list[str]:
    subject = stem.partition("_")[0]
    label = "_".join(word for word in stem.split("_") if word.startswith(("sub-", "ses-")))
    members = of_subject.get(subject, [])
    if label in units:
        borrowing = [unit.label for unit in members if not unit.own_t1w and unit.label != label] if stem == label else []
        return [label, *borrowing]
    return [unit.label for unit in members if unit.label == subject or stem == label]


def tail(path: Path) -> str:
    """Return the end of a text file; nothing if it cannot be read."""
    with suppress(OSError), path.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - _TAIL_BYTES))
        return stream.read().decode("utf-8", errors="replace").replace("\r", "\n")
    return ""
