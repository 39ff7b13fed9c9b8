"""The run itself: when it began, by which version, whether it is alive, and what Snakemake's own log says of its steps."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from tmsprep.provenance.activity import RUNS
from tmsprep.runlock import Holder
from tmsprep.status.steps import file_times, tail

_AT_ONCE_S = 2.0
"""What happens within it happens at the same time."""
_CLOCKS_APART_S = 900.0
"""How far the clocks of computers and file server may be apart; files that seem farther were copied."""
_RECORDS_TRIED = 5


class Life(StrEnum):
    """Whether a run goes on."""

    RUNNING = "running"
    ENDED = "ended"
    KILLED = "killed"
    """It did not come to its own end."""
    UNRECORDED = "unrecorded"
    """Snakemake was called without this program, which then cannot tell."""


@dataclass(frozen=True)
class Run:
    """The newest run of an output folder."""

    life: Life
    name: str | None = None
    started: float | None = None
    """Seconds since the epoch, as `ended`."""
    ended: float | None = None
    exit_status: int | None = None
    version: str | None = None
    commit: str | None = None
    host: str | None = None
    pid: int | None = None
    group: bool = False
    """Whether the group level was asked for."""
    per_session: bool = False
    clock_ahead: float = 0.0
    """By how many seconds the file server's clock is ahead of the run's."""

    @property
    def alive(self) -> bool:
        """Whether more is to come."""
        return self.life is Life.RUNNING

    @property
    def since(self) -> float:
        """By the file server's clock: what was written before this is of an earlier run."""
        return 0.0 if self.started is None else self.started + self.clock_ahead - _AT_ONCE_S


def find_run(dataset: Path, holder: Holder | None) -> Run:
    """Return the newest run, alive or not.

    Parameters
    ----------
    dataset
        The folder ``tmsprep`` of the output folder.
    holder
        Who holds the output folder now.
    """
    record, written = _newest_record(dataset / RUNS)
    started, ended = (_seconds(record.get(key)) for key in ("StartedAtTime", "EndedAtTime"))
    ahead = written - (ended or started or written)
    began = _seconds(holder.started) if holder else None
    if began is not None and (started is None or (ended is not None and began > started + _AT_ONCE_S)):
        started, ended = began, None  # it holds the folder, and has not written its own record yet
    life = Life.KILLED if ended is None else Life.ENDED
    if holder is not None and holder.alive:
        life, ended = Life.RUNNING, None
    elif not record and holder is None:
        life = Life.UNRECORDED
    settings = _mapping(record.get("Configuration"))
    status = record.get("ExitStatus")
    return Run(
        life=life,
        name=_text(record.get("Run")),
        started=started,
        ended=ended,
        exit_status=status if isinstance(status, int) and ended is not None else None,
        version=_text(_mapping(record.get("Software")).get("tmsprep")),
        commit=_text(_mapping(record.get("Source")).get("Commit")),
        host=holder.host if holder else None,
        pid=holder.pid if holder else None,
        group="group" in str(record.get("Command", "")).split(" --")[0].split(),
        per_session=settings.get("per_session") is True,
        clock_ahead=ahead if abs(ahead) < _CLOCKS_APART_S else 0.0,
    )


def _newest_record(folder: Path) -> tuple[Mapping[str, Any], float]:
    """Return the newest record that can be read, and when it was last written; names begin with the time."""
    times = file_times(folder, ".json")
    for name in sorted(times, reverse=True)[:_RECORDS_TRIED]:
        if content := read_object(folder / f"{name}.json"):
            return content, times[name]
    return {}, 0.0


def read_object(path: Path) -> dict[str, Any]:
    """Return a JSON object; nothing if there is none to read, or half of one."""
    with suppress(OSError, ValueError, RecursionError):
        return dict(_mapping(json.loads(path.read_text(encoding="utf-8"))))
    return {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _seconds(value: Any) -> float | None:
    with suppress(ValueError):
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    return None


@dataclass
class SnakemakeLogs:
    """What Snakemake's logs of one run say."""

    statuses: dict[str, int] = field(default_factory=dict[str, int])
    """Exit status of a step that failed, minus the signal that killed it, by its log from the folder of logs."""
    messages: dict[str, str] = field(default_factory=dict[str, str])
    """What the scheduler said of a step that failed, by the same."""
    done: int | None = None
    """Steps; of those that the run had to do."""
    total: int | None = None
    late_files: int = 0
    """Steps that ended well and whose outputs did not appear in time."""
    last_sign: float = 0.0


_STATUS = re.compile(
    rb"/logs/([\w./+-]+\.log)'?(?:\\'')? 2>&1' (?:returned non-zero exit status (\d+)|died with <Signals\.\w+: (\d+)>)"
)
_MESSAGE = re.compile(
    rb"Error in [a-z ]*rule \w+:\n\s+message: ([^\n]*)\n\s+jobid: (\d+)\n(?:(?!\s+log:)[^\n]*\n){0,6}?"
    rb"\s+log: [^\n]*?/logs/([\w./+-]+\.log)"
)
_RESTART = re.compile(rb"Trying to restart job (\d+)\.")
_LATE = re.compile(rb"^Missing files after \d+ seconds", re.MULTILINE)
_TOTAL = re.compile(rb"^total\s+(\d+)\s*$", re.MULTILINE)
_PROGRESS = re.compile(r"^(\d+) of (\d+) steps", re.MULTILINE)
_HEAD_BYTES = 1 << 16


def read_snakemake(work: Path, since: float) -> SnakemakeLogs:
    """Read Snakemake's logs that were written to after `since`."""
    found = SnakemakeLogs()
    folder = work / ".snakemake" / "log"
    for name, time in sorted(file_times(folder, ".snakemake.log").items()):
        if time >= since:
            found.last_sign = max(found.last_sign, time)
            _read_log(folder / f"{name}.snakemake.log", found)
    return found


def _read_log(path: Path, found: SnakemakeLogs) -> None:
    with suppress(OSError, ValueError), path.open("rb") as stream:  # ValueError: an empty file cannot be mapped
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for match in _STATUS.finditer(content):
                found.statuses[match[1].decode()] = int(match[2]) if match[2] else -int(match[3])
            restarted = {match[1]: match.start() for match in _RESTART.finditer(content)}
            for match in _MESSAGE.finditer(content):
                if restarted.get(match[2], -1) < match.start():
                    found.messages[match[3].decode()] = match[1].decode("utf-8", errors="replace")
            found.late_files += sum(1 for _ in _LATE.finditer(content))
            totals = [int(match[1]) for match in _TOTAL.finditer(content[:_HEAD_BYTES])]
        steps = [(int(match[1]), int(match[2])) for match in _PROGRESS.finditer(tail(path))]
        if steps or totals:
            done, total = steps[-1] if steps else (0, totals[0])
            found.done, found.total = (found.done or 0) + done, (found.total or 0) + total
