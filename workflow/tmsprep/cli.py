"""The command line: the BIDS App and its sub-commands, told apart by the first word."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Never

from tmsprep.errors import ERROR_MARK, TmsprepError

_AGAIN = "What to do: run the same command again; it goes on where it stopped."
_STOPPED = f"stopped from outside, by hand or by a scheduler at its limit of time or memory. {_AGAIN}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and end the process with its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _end_tidily_when_told_to()
    try:
        sys.exit(_dispatch(words))
    except TmsprepError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print(f"{ERROR_MARK}interrupted. {_AGAIN}", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        from tmsprep.files import disk_trouble

        if (trouble := disk_trouble(error)) is None:
            raise
        _fail(str(trouble))


def _fail(message: str) -> Never:
    print(f"{ERROR_MARK}{message}", file=sys.stderr)
    sys.exit(1)


def _end_tidily_when_told_to() -> None:
    """Remove what is half done and say so when told to stop (SIGTERM), as schedulers do before they kill."""
    if threading.current_thread() is not threading.main_thread():
        return
    own = os.getpid()

    def stop(number: int, _: object) -> Never:
        if os.getpid() != own:  # a child that was forked: nothing of what is open here is its own
            os._exit(128 + number)
        os.write(2, f"{ERROR_MARK}{_STOPPED}\n".encode())
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)


def _dispatch(words: list[str]) -> int:
    from tmsprep.commands import SUBCOMMANDS, run_subcommand

    if words and words[0] in SUBCOMMANDS:
        return run_subcommand(words[0], words[1:])
    from tmsprep.app import run_app

    return run_app(words)
