"""Why a stage most likely failed, and what to do: from the end of its log, its scheduler's log, and its exit status."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tmsprep.errors import ERROR_MARK

_LAST_LINES = 40
_SHOWN_LINES = 3
_LONGEST_LINE = 500


@dataclass(frozen=True)
class Cause:
    """A likely cause."""

    name: str
    """One word, for scripts."""
    what: str
    """A sentence."""
    action: str
    """What to do, a sentence; ``{rule}`` stands for the step."""


_AGAIN = "Run the same command again: finished steps are kept."
MEMORY = Cause(
    "memory",
    "Memory ran out.",
    "Give the step more (end the command with: -- --set-resources {rule}:mem_mb=MB; for fMRIPrep --fmriprep-mem-mb), or let"
    " fewer run at a time (--nprocs, --mem-mb); then run the command again.",
)
TIME = Cause(
    "time",
    "The scheduler's time limit was reached.",
    "Give the step more time (end the command with: -- --set-resources {rule}:runtime=MINUTES), then run the command again.",
)
NODE = Cause("node", "The computer that it ran on failed.", _AGAIN)
PREEMPTED = Cause("preempted", "The scheduler took the computer back for other jobs.", _AGAIN)
CANCELLED = Cause("cancelled", "Somebody or the scheduler cancelled the job.", _AGAIN)
INTERRUPTED = Cause("interrupted", "The run was interrupted.", _AGAIN)
DISK = Cause("disk", "The disk is full.", "Make room where the outputs, the work folder and /tmp are; then run it again.")
QUOTA = Cause(
    "quota", "The disk quota is used up.", "Remove files or ask for a larger quota (also of files); then run it again."
)
READ_ONLY = Cause(
    "read-only",
    "The file system cannot be written to.",
    "Have it mounted for writing, or use another output or work folder.",
)
PERMISSION = Cause(
    "permission",
    "A file may not be read or written by this user.",
    "Correct the permissions of the file that is named, then run the command again.",
)
LICENSE = Cause(
    "license", "FreeSurfer's licence is missing or not accepted.", "Name the licence file with --fs-license-file."
)
INTERNET = Cause(
    "internet",
    "There is no internet where it ran.",
    "Fetch the image and the templates once where there is (end the command with: -- --until templateflow).",
)
IMAGE = Cause(
    "image",
    "The container image is damaged or not the one that was pinned.",
    "Remove the image and fetch it again; `tmsprep images list` names the right one.",
)
MESSAGE = Cause("message", "", "Correct what the message says, then run the command again.")
DEFECT = Cause("defect", "A defect of this program.", "Please report it, with the log.")
LOST = Cause(
    "lost",
    "It was killed, or lost with its computer: the log ends without an error.",
    f"{_AGAIN} If it is lost again, give it more memory.",
)
UNKNOWN = Cause("unknown", "It ended with an error that is not recognised.", "Read the log.")
PLAN = Cause("plan", "", "Correct the dataset, then run the command again.")

_SIGNS: tuple[tuple[Cause, re.Pattern[str]], ...] = tuple(
    (cause, re.compile(pattern, re.MULTILINE))
    for cause, pattern in (
        (TIME, r"DUE TO TIME LIMIT|\bTIMEOUT\b|exceeded (?:its |the )?(?:wall ?time|time limit)"),
        (NODE, r"NODE_FAIL|DUE TO NODE FAILURE"),
        (PREEMPTED, r"\bPREEMPTED\b|DUE TO PREEMPTION"),
        (
            MEMORY,
            r"OUT_OF_MEMORY|oom[-_ ]kill|OOM Killed|[Oo]ut of memory|Exceeded (?:job|step) memory limit|\bMemoryError\b"
            r"|Cannot allocate memory|std::bad_alloc|Unable to allocate .* for an array|BrokenProcessPool"
            r"|(?:^|\s)Killed(?:\s|$)|exit status (?:137|-9)\b|SIGKILL",
        ),
        (QUOTA, r"[Dd]isk quota exceeded|EDQUOT"),
        (DISK, r"No space left on device|ENOSPC"),
        (READ_ONLY, r"Read-only file system|EROFS"),
        (
            LICENSE,
            r"(?i)no FreeSurfer licen[cs]e|FreeSurfer licen[cs]e (?:file|.*not found|.*invalid)|ERROR: Invalid FreeSurfer",
        ),
        (
            INTERNET,
            r"[Nn]ame resolution|Name or service not known|getaddrinfo failed|[Cc]ould not resolve host|NameResolutionError"
            r"|Network is unreachable|no such host",
        ),
        (
            IMAGE,
            r"(?i)image \S+ has the digest|squashfs.*(?:error|corrupt)|(?:corrupt|damaged|invalid) (?:container )?image"
            r"|image (?:is|seems) (?:corrupt|damaged)|not a (?:valid )?(?:squashfs|SIF)|while extracting.*root filesystem",
        ),
        (CANCELLED, r"CANCELLED AT|\bCANCELLED\b|SIGTERM|stopped from outside"),
        (INTERRUPTED, r"^KeyboardInterrupt|SIGINT|^interrupted\. "),
        (PERMISSION, r"Permission denied|Operation not permitted|EACCES"),
    )
)


@dataclass(frozen=True)
class Ending:
    """How a stage ended, as far as files tell."""

    log: str = ""
    """The end of its own log."""
    scheduler: str = ""
    """What the scheduler's or Snakemake's log says about it."""
    status: int | None = None
    """Exit status; minus the signal that killed it."""


@dataclass(frozen=True)
class Finding:
    """A cause with what it was found in."""

    cause: Cause
    message: str
    """The program's own message; empty if it wrote none."""
    lines: tuple[str, ...] = ()
    """The line that tells, or the last lines of the log, where there is no message."""


def likely_cause(ending: Ending) -> Finding | None:
    """Return why a stage failed, or None if nothing tells that it did.

    What the scheduler says goes first: a log that its killer ended says nothing of it.
    """
    message = error_message(ending.log)
    recent = "\n".join(ending.log.splitlines()[-_LAST_LINES:])
    if sign := _sign(ending.scheduler):
        return Finding(sign.cause, message, (sign.line,))
    if message:
        # an external program's own log says more than that it failed
        sign = _sign(message) or (_sign(recent) if "exit status" in message else None)
        return Finding(sign.cause if sign else MESSAGE, message)
    if sign := _sign(recent):
        return Finding(sign.cause, "", (sign.line,))
    shown = last_lines(ending.log)
    if cause := _of_status(ending.status):
        return Finding(cause, "", shown)
    if re.search(r"^Traceback \(most recent call last\)", ending.log, re.MULTILINE):
        return Finding(DEFECT, "", shown)
    return None if ending.status is None else Finding(UNKNOWN, "", shown)


def error_message(log: str) -> str:
    """Return the program's last message in a log, or nothing."""
    marked = [line for line in log.splitlines() if line.startswith(ERROR_MARK)]
    return marked[-1].removeprefix(ERROR_MARK).strip() if marked else ""


@dataclass(frozen=True)
class _Sign:
    cause: Cause
    line: str
    """In which it was found."""


def _sign(text: str) -> _Sign | None:
    for cause, pattern in _SIGNS:
        if found := pattern.search(text):
            start = text.rfind("\n", 0, found.end() - 1) + 1
            return _Sign(cause, text[start:].split("\n", 1)[0].strip()[:_LONGEST_LINE])
    return None


def _of_status(status: int | None) -> Cause | None:
    if status is None:
        return None
    signal = status - 128 if status > 128 else -status
    return {9: MEMORY, 15: CANCELLED, 2: INTERRUPTED}.get(signal)


def last_lines(text: str) -> tuple[str, ...]:
    """Return the last lines that say something."""
    lines = [line.rstrip()[:_LONGEST_LINE] for line in text.splitlines() if line.strip()]
    return tuple(lines[-_SHOWN_LINES:])
