"""The memory of each stage while the workflow runs: processes are looked at, five times a second.

A stage is a process ``... tmsprep stage NAME ...``; what it starts (niimath) is counted with it. The measure is resident
memory: anonymous, shared and mapped pages, which is what a batch system that samples processes counts, and at least what
one that limits a control group kills for (it can drop mapped and cached files first). The kernel's own mark of each
process's largest (``VmHWM``) catches peaks between two looks. A process that has its parent's command line is a program
about to be started, that still shows its parent's memory, and is left out.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PERIOD_S = 0.2
_KIB_PER_MB = 1e6 / 1024


@dataclass
class Watch:
    """The largest memory seen so far."""

    peaks_mb: dict[str, float] = field(default_factory=dict[str, float])
    """By stage, of its process with all that it started."""
    snakemake_mb: float = 0.0
    """Of Snakemake's own process."""

    def look(self, root: psutil.Process) -> None:
        """Look once at all that a process has started."""
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error, OSError):
                words = process.cmdline()
                if stage := _stage_of(words):
                    self.peaks_mb[stage] = max(self.peaks_mb.get(stage, 0.0), _tree_mb(process))
                elif "tmsprep.run_snakemake" in words:
                    self.snakemake_mb = max(self.snakemake_mb, _own_mb(process)[1])


def watched(command: Sequence[str]) -> tuple[Watch, str]:
    """Run the workflow and watch it; return what was seen, and what the command said."""
    watch = Watch()
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    done = threading.Event()
    watcher = threading.Thread(target=_keep_looking, args=(watch, psutil.Process(running.pid), done))
    watcher.start()
    said, _ = running.communicate()
    done.set()
    watcher.join()
    return watch, said


def supported() -> bool:
    """Tell whether this system shows a process's largest memory as Linux does."""
    return sys.platform == "linux"


def _keep_looking(watch: Watch, root: psutil.Process, done: threading.Event) -> None:
    while not done.is_set():
        started = time.monotonic()
        with suppress(psutil.Error):
            watch.look(root)
        done.wait(max(0.0, PERIOD_S - (time.monotonic() - started)))


def _stage_of(words: Sequence[str]) -> str | None:
    """Return the stage that a command line runs; a shell that will run it is none."""
    for index, word in enumerate(words[:3]):
        if Path(word).name == "tmsprep" and len(words) > index + 2 and words[index + 1] == "stage":
            return words[index + 2]
    return None


def _tree_mb(stage: psutil.Process) -> float:
    now, largest = _own_mb(stage)
    return max(largest, now + sum(_children_mb(stage)))


def _children_mb(parent: psutil.Process) -> Iterator[float]:
    for child in parent.children(recursive=True):
        with suppress(psutil.Error, OSError):
            if child.cmdline() != parent.cmdline():
                yield _own_mb(child)[0]


def _own_mb(process: psutil.Process) -> tuple[float, float]:
    """Return a process's resident memory now, and its largest so far."""
    text = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii", errors="replace")
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    now, largest = (int(lines.get(name, "0 kB").split()[0]) for name in ("VmRSS", "VmHWM"))
    return now / _KIB_PER_MB, largest / _KIB_PER_MB
