"""One run at a time on an output folder, and what a run that was killed left behind.

The lock is the file ``.tmsprep.lock`` in the output folder. It says who holds it, as JSON. A lock of the operating system
lies on it, which ends with the processes that hold it, however they end. A sign of life every half minute serves file
systems on which such a lock is not seen from other machines.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tmsprep.errors import InputError
from tmsprep.provenance.activity import DATASET_VARIABLE, iso_time

LOCK_NAME = ".tmsprep.lock"
_SIGN_OF_LIFE_S = 30.0
_SILENT_S = 180.0
"""A holder on another machine that gave no sign for so long is dead; clocks may differ by a minute."""
_END_S = 20.0
_TRIES, _PAUSE_S = 5, 0.1


@dataclass(frozen=True)
class Holder:
    """Who holds, or held last, the lock of an output folder."""

    host: str
    pid: int
    started: str
    """ISO 8601."""
    executor: str
    """Where its jobs run: ``local``, ``slurm``, ..."""
    alive: bool


_UNKNOWN = Holder("", 0, "", "local", alive=False)
"""Of a file that cannot be read: its run was killed when it had hardly begun."""


@dataclass
class _Locks:
    """What was learnt of the file system."""

    absent: bool = False
    """It has no locks: the signs of life have to do."""


_LOCKS = _Locks()


def lock_file(output_dir: Path) -> Path:
    """Return the lock of an output folder."""
    return output_dir / LOCK_NAME


def holder(output_dir: Path) -> Holder | None:
    """Return who works on an output folder, or was killed while doing so; None where no run is open.

    Also from another machine; nothing is changed.
    """
    path = lock_file(output_dir)
    try:
        with path.open("rb") as stream:
            content = _read(stream.fileno()) or _UNKNOWN
            age_s = time.time() - os.fstat(stream.fileno()).st_mtime
            locked = not _try_lock(stream.fileno(), fcntl.LOCK_SH)
    except OSError:
        return None
    return replace(content, alive=locked or _seems_alive(content, age_s))


@contextmanager
def exclusive(output_dir: Path, executor: str, *, takes_over: bool = True) -> Generator[tuple[int, Holder | None]]:
    """Hold the lock of an output folder.

    Parameters
    ----------
    output_dir
        Made if it is not there.
    executor
        Where the jobs of this run go.
    takes_over
        Whether this run clears away what a killed one left. If not, the file goes on telling of that one.

    Yields
    ------
    The lock's file descriptor, which processes that work on the output may inherit, and the earlier run, if there was one
    that was killed before it could let go.

    Raises
    ------
    InputError
        Another run holds it, or the folder cannot be written to.
    """
    path = lock_file(output_dir)
    was_there, had_folder = path.exists(), output_dir.exists()
    descriptor = _open_taken(path)
    try:
        found = _read(descriptor) or (_UNKNOWN if was_there else None)
        _refuse_if_alive(descriptor, found, path)
        stop = threading.Event()
        if takes_over or found is None:
            _write(descriptor, executor)
            threading.Thread(target=_give_signs, args=(descriptor, stop), daemon=True).start()
        try:
            yield descriptor, found
        finally:
            stop.set()
            if takes_over or found is None:
                path.unlink(missing_ok=True)
            if not had_folder:
                with suppress(OSError):  # a run that was refused leaves nothing
                    output_dir.rmdir()
    finally:
        os.close(descriptor)


def end_orphans(dataset: Path) -> int:
    """End the stage commands that a killed run left working on a dataset on this machine; return how many.

    They would write beside the ones of the new run.

    Parameters
    ----------
    dataset
        The dataset with the targets; stages find it in their environment.
    """
    import psutil

    mark = f"{DATASET_VARIABLE}={dataset.as_posix()}".encode()
    orphans: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            if process.pid != os.getpid() and mark in environment:
                orphans.append(process)
    for process in orphans:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(orphans, timeout=_END_S)
    return len(orphans)


def _open_taken(path: Path) -> int:
    """Open the lock file and take the lock.

    A run that ends removes the file: the lock of a file that is no longer there is worth nothing, and another try is made. A
    look at the lock (`holder`) keeps it for a moment.
    """
    found: Holder | None = None
    for _ in range(_TRIES):
        descriptor = _open(path)
        if _try_lock(descriptor, fcntl.LOCK_EX):
            with suppress(OSError):
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
        found = _read(descriptor)
        os.close(descriptor)
        time.sleep(_PAUSE_S)
    raise InputError(
        f"another run works on this output folder, {_told(found)}",
        where=path.parent,
        action="wait until it has ended (`tmsprep status` shows how far it is), or choose another output folder",
    )


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(
            f"the output folder cannot be written to ({error.strerror})",
            where=path.parent,
            action="check its permissions, that the disk is not full and not mounted read-only",
        ) from error


def _refuse_if_alive(descriptor: int, found: Holder | None, path: Path) -> None:
    """Refuse where the system's lock was given to us, and the holder may live all the same.

    That is so on file systems that keep such locks to one machine, or have none.
    """
    silent_s = time.time() - os.fstat(descriptor).st_mtime
    if found is not None and _seems_alive(found, silent_s):
        raise InputError(
            f"another run worked on this output folder {silent_s:.0f} s ago, {_told(found)}",
            where=path.parent,
            action=f"if it was killed, run the same command again in {_SILENT_S / 60:.0f} minutes",
        )


def _seems_alive(found: Holder, silent_s: float) -> bool:
    if found.host == socket.gethostname():
        # a process of that number may be another one: only where there are no locks does the sign of life count
        return _LOCKS.absent and silent_s < _SILENT_S and Path(f"/proc/{found.pid}").exists()
    return found.host != _UNKNOWN.host and silent_s < _SILENT_S


def _told(found: Holder | None) -> str:
    if found is None or found.host == _UNKNOWN.host:
        return "started just now"
    return f"started by process {found.pid} on {found.host} at {found.started}"


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        _LOCKS.absent = True
    return True


def _read(descriptor: int) -> Holder | None:
    try:
        content: dict[str, Any] = json.loads(os.pread(descriptor, 4096, 0))
        words = {key: str(content[key]) for key in ("host", "started", "executor")}
        return Holder(pid=int(content["pid"]), alive=False, **words)
    except (ValueError, KeyError, TypeError):
        return None


def _write(descriptor: int, executor: str) -> None:
    held = Holder(socket.gethostname(), os.getpid(), iso_time(time.time()), executor, alive=True)
    content = {key: value for key, value in asdict(held).items() if key != "alive"}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(content).encode(), 0)


def _give_signs(descriptor: int, stop: threading.Event) -> None:
    while not stop.wait(_SIGN_OF_LIFE_S):
        with suppress(OSError):
            os.utime(descriptor)
