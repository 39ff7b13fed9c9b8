"""Containers: which runtime is here, and the one way to start a program in an image.

The command of each runtime is a list of words, started without a shell: nothing in a path or a label is ever interpreted.
(Nipype's command line goes through a shell, so it is not used here.)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tmsprep.errors import ConfigurationError, ExternalProgramError

_PROBE_SECONDS = 60
_LAST_LINES = 60
_LONGEST_WORD = 60


class Runtime(StrEnum):
    """What starts a containerised program."""

    DOCKER = "docker"
    PODMAN = "podman"
    APPTAINER = "apptainer"
    SINGULARITY = "singularity"
    CHARLIECLOUD = "charliecloud"
    NONE = "none"
    """No container: the program is installed."""


class RuntimeChoice(StrEnum):
    """A runtime, or whatever is here."""

    AUTO = "auto"
    DOCKER = "docker"
    PODMAN = "podman"
    APPTAINER = "apptainer"
    SINGULARITY = "singularity"
    CHARLIECLOUD = "charliecloud"
    NONE = "none"


@dataclass(frozen=True)
class Mount:
    """A folder or file of the host, as the container sees it."""

    source: Path
    target: str
    """Absolute path in the container."""
    writable: bool = False

    def seen(self, path: Path) -> str:
        """Return the container's name of a host path at or below `source`."""
        relative = path.relative_to(self.source).as_posix()
        return self.target if relative == "." else f"{self.target}/{relative}"


@dataclass(frozen=True)
class ContainerCall:
    """One program in one image."""

    image: str
    """Reference (``name:tag``, ``name@sha256:...``), SIF or SquashFS file, or image folder."""
    program: str | None
    """What to start; None: the image's own entry point (which Charliecloud has not: there it is required)."""
    arguments: tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    network: bool = False
    """Whether the program may reach the network; Docker and Podman enforce it, the others cannot without privileges."""


PROGRAMS: Mapping[Runtime, str] = {
    Runtime.DOCKER: "docker",
    Runtime.PODMAN: "podman",
    Runtime.APPTAINER: "apptainer",
    Runtime.SINGULARITY: "singularity",
    Runtime.CHARLIECLOUD: "ch-run",
    Runtime.NONE: "fmriprep",
}
"""What must be on the path, in the order in which ``auto`` looks."""


def choose(choice: RuntimeChoice) -> Runtime:
    """Return the runtime asked for, or the first that works here.

    Raises
    ------
    ConfigurationError
        It does not work here; the message says why, for each that was tried.
    """
    tried = list(Runtime) if choice is RuntimeChoice.AUTO else [Runtime(choice.value)]
    problems: dict[Runtime, str] = {}
    for runtime in tried:
        if not (problem := problem_with(runtime)):
            return runtime
        problems[runtime] = problem
    raise ConfigurationError(
        "; ".join(f"{runtime}: {problem}" for runtime, problem in problems.items()),
        where="--container-runtime",
        expected="docker, podman, apptainer, singularity, charliecloud, or fmriprep itself on the path",
        action="install one of them, use finished outputs (--derivatives fmriprep=PATH), or --preproc builtin",
    )


def problem_with(runtime: Runtime) -> str:
    """Return why a runtime cannot be used here, or an empty string."""
    if shutil.which(PROGRAMS[runtime]) is None:
        return f"{PROGRAMS[runtime]} is not on the path"
    if runtime is Runtime.DOCKER:  # its client is often there where no engine answers
        return _problem_of_engine(["docker", "version", "--format", "{{.Server.Version}}"])
    return ""


def _problem_of_engine(words: Sequence[str]) -> str:
    try:
        result = subprocess.run(words, check=False, capture_output=True, text=True, timeout=_PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return f"`{' '.join(words)}` does not answer within {_PROBE_SECONDS} s"
    return "" if result.returncode == 0 else (result.stderr.strip().splitlines() or ["no answer"])[-1]


def runtime_version(runtime: Runtime) -> str:
    """Return what the runtime says its version is, in one line."""
    result = subprocess.run(
        [PROGRAMS[runtime], "--version"],
        check=False,
        capture_output=True,
        text=True,
        timeout=_PROBE_SECONDS,
        env=with_user(),
    )
    lines = (result.stdout + result.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"


def command(runtime: Runtime, call: ContainerCall) -> list[str]:
    """Return the words that start a program in an image."""
    return _COMMANDS[runtime](call)


def _podman(call: ContainerCall, program: str = "podman") -> list[str]:
    words = [program, "run", "--rm", "--security-opt", "label=disable"]  # SELinux would hide the mounts
    words += ["--user", f"{os.getuid()}:{os.getgid()}"]
    if program == "podman" and os.getuid() != 0:
        words += ["--userns", "keep-id"]  # rootless: files are the user's own, inside and outside
    if not call.network:
        words += ["--network", "none"]
    for mount in call.mounts:
        words += ["--volume", f"{mount.source}:{mount.target}" + ("" if mount.writable else ":ro")]
    for name, value in call.environment.items():
        words += ["--env", f"{name}={value}"]
    words += ["--entrypoint", call.program] if call.program else []
    return [*words, call.image, *call.arguments]


def _docker(call: ContainerCall) -> list[str]:
    return _podman(call, "docker")


def _apptainer(call: ContainerCall, program: str = "apptainer") -> list[str]:
    image = call.image if Path(call.image).exists() else f"docker://{call.image}"
    words = [program, "exec" if call.program else "run", "--cleanenv", "--containall"]
    for mount in call.mounts:
        words += ["--bind", f"{mount.source}:{mount.target}" + ("" if mount.writable else ":ro")]
    for name, value in call.environment.items():
        if name == "HOME":  # it refuses HOME as an ordinary variable
            words += ["--home", _home(call, value)]
        else:
            words += ["--env", f"{name}={value}"]
    return [*words, image, *([call.program] if call.program else []), *call.arguments]


def _home(call: ContainerCall, target: str) -> str:
    """Return HOST:CONTAINER for a home that lies in one of the mounts."""
    for mount in call.mounts:
        if target == mount.target or target.startswith(f"{mount.target}/"):
            return f"{mount.source}{target.removeprefix(mount.target)}:{target}"
    return target


def _singularity(call: ContainerCall) -> list[str]:
    return _apptainer(call, "singularity")


def _charliecloud(call: ContainerCall) -> list[str]:
    if call.program is None:
        raise ConfigurationError("Charliecloud knows no entry point: a program must be named")
    # the image's own variables, nothing of the host's; its /tmp is fresh, and holds the mount points
    words = ["ch-run", "--unset-env=*", "--set-env", "--private-tmp"]
    for mount in call.mounts:
        words += ["--bind", f"{mount.source}:{mount.target}"]
    for name, value in call.environment.items():
        words += [f"--set-env={name}={value}"]
    return [*words, call.image, "--", call.program, *call.arguments]


def _installed(call: ContainerCall) -> list[str]:
    if call.program is None:
        raise ConfigurationError("no container, so a program must be named")
    return [call.program, *call.arguments]


_COMMANDS: Mapping[Runtime, Callable[[ContainerCall], list[str]]] = {
    Runtime.DOCKER: _docker,
    Runtime.PODMAN: _podman,
    Runtime.APPTAINER: _apptainer,
    Runtime.SINGULARITY: _singularity,
    Runtime.CHARLIECLOUD: _charliecloud,
    Runtime.NONE: _installed,
}


def with_user() -> dict[str, str]:
    """Return this process's environment with USER set: Charliecloud does not start without."""
    return {"USER": f"uid{os.getuid()}"} | os.environ


@dataclass(frozen=True)
class Finished:
    """A program that has ended."""

    words: tuple[str, ...]
    status: int
    started_s: float
    """Seconds since the epoch."""
    ended_s: float
    last_lines: tuple[str, ...]
    """The end of what it said."""


def start(words: Sequence[str], environment: Mapping[str, str] | None = None) -> Finished:
    """Run a command, pass on what it says as it says it, and wait for its end.

    Parameters
    ----------
    words
        The command; no shell sees it.
    environment
        Variables added to this process's.

    Raises
    ------
    ExternalProgramError
        The command could not be started.
    """
    started = time.time()
    last: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        process = subprocess.Popen(
            list(words),
            stdin=subprocess.DEVNULL,  # nobody is there to answer a question
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=with_user() | dict(environment or {}),
        )
    except OSError as error:
        raise ExternalProgramError(f"cannot be started ({error.strerror})", where=words[0]) from error
    with process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            last.append(line.rstrip())
    return Finished(tuple(words), process.returncode, started, time.time(), tuple(last))


def output_of(words: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None) -> str:
    """Run a command, with variables added to this process's, and return what it printed.

    Raises
    ------
    ExternalProgramError
        It could not be started, took longer than `seconds`, or failed; the message ends with its last words.
    """
    try:
        result = subprocess.run(
            list(words),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            env=with_user() | dict(environment or {}),
        )
    except OSError as error:
        raise ExternalProgramError(f"cannot be started ({error.strerror})", where=words[0]) from error
    except subprocess.TimeoutExpired as error:
        raise ExternalProgramError(f"no answer within {seconds:.0f} s", where=_shown(words)) from error
    if result.returncode:
        last = (result.stderr.strip() or result.stdout.strip()).splitlines()[-3:]
        raise ExternalProgramError(f"exit status {result.returncode}: {' / '.join(last)}", where=_shown(words))
    return result.stdout


def _shown(words: Sequence[str]) -> str:
    """Return a command for people: one line, long words cut."""
    short = [word if len(word) <= _LONGEST_WORD else word[:_LONGEST_WORD] + "..." for word in words]
    return " ".join(" ".join(short).split())
