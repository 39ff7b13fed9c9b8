"""What this machine has for running containers, and running an outside command that cannot hang."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRE = "TMSPREP_REQUIRE_CONTAINERS"
"""Environment variable: 1 runs the container tests, and a missing component is a failure."""

WANTED = "TMSPREP_CONTAINER_TESTS"
"""Environment variable: 1 runs the container tests, and a missing component is a reason to skip."""


def required() -> bool:
    """Tell whether a missing component is a failure."""
    return os.environ.get(REQUIRE) == "1"


def wanted() -> bool:
    """Tell whether the container tests run at all."""
    return required() or os.environ.get(WANTED) == "1"


def give_up(reason: str) -> NoReturn:
    """End the test that cannot run on this machine: a failure where containers are required, otherwise a skip."""
    if required():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def need(*commands: str) -> None:
    """Give up unless these commands are installed and we may use them."""
    absent = [command for command in commands if shutil.which(command) is None]
    if absent:
        give_up(f"not installed: {', '.join(absent)} (.ci/containers.sh installs what the container tests need)")
    if os.geteuid() != 0:
        give_up("the container tests make a base image with debootstrap, and for that they must run as root")


def cache_folder(name: str) -> Path:
    """Return a folder that is kept from one test run to the next; deleting it costs only time."""
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "tmsprep-tests" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run(
    *words: object, limit_s: float, environment: Mapping[str, str] | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command with a time limit, after which it and all that it started are ended.

    Raises
    ------
    subprocess.TimeoutExpired
        The limit was reached.
    AssertionError
        The command failed (only with `check`); the message has the end of what it printed.
    """
    command = [str(word) for word in words]
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=limit_s)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    assert not check or process.returncode == 0, f"{' '.join(command)}: {process.returncode}\n{(output + errors)[-4000:]}"
    return subprocess.CompletedProcess(command, process.returncode, output, errors)
