"""What a call costs, in a process of its own: seconds, processor seconds and peak memory, of it and all that it starts.

python bench/_scale_probe.py study CONFIG | failures CONFIG | provenance OUTPUT
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_MIB = 1024
"""Linux counts in KiB."""
_SHOWN = 3000


@dataclass(frozen=True)
class Cost:
    """What something took."""

    wall_s: float
    cpu_s: float
    """Of the process and all that it started."""
    peak_mib: float
    """Of the largest of these processes."""


def run(words: Sequence[str | Path], log: Path) -> Cost:
    """Run a command and return its cost, the start of its program counted.

    Raises
    ------
    RuntimeError
        It failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        started = time.perf_counter()
        process = subprocess.Popen(list(map(str, words)), stdout=stream, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))[:200]} failed:\n{log.read_text()[-_SHOWN:]}")
    return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / _MIB)


def call(what: str, path: Path, log: Path) -> Cost:
    """Return the cost of one of this program's own calls, imports not counted."""
    run([sys.executable, __file__, what, path], log)
    return Cost(**json.loads(log.read_text(encoding="utf-8").splitlines()[-1]))


# In the process of its own


def _study(config: Path) -> Callable[[], object]:
    import yaml

    from tmsprep.study import Study

    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    return lambda: Study.from_config(content)


def _failures(config: Path) -> Callable[[], object]:
    from tmsprep.study import Study
    from tmsprep.summary import failures

    study = _study(config)()
    assert isinstance(study, Study)
    return lambda: failures(study)


def _provenance(output: Path) -> Callable[[], object]:
    from tmsprep.provenance.publish import publish_provenance

    return lambda: publish_provenance(output)


_CALLS: dict[str, Callable[[Path], Callable[[], object]]] = {
    "study": _study,
    "failures": _failures,
    "provenance": _provenance,
}


def _measure(action: Callable[[], object]) -> Cost:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    action()
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB
    return Cost(time.perf_counter() - wall_s, time.process_time() - cpu_s, peak_mib)


if __name__ == "__main__":
    print(json.dumps(vars(_measure(_CALLS[sys.argv[1]](Path(sys.argv[2]))))))
