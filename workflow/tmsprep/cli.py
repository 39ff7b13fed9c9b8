"""The command line: the BIDS App and its sub-commands, told apart by the first word."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tmsprep.errors import TmsprepError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and end the process with its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.exit(_dispatch(words))
    except TmsprepError as error:
        print(f"tmsprep: error: {error}", file=sys.stderr)
        sys.exit(1)


def _dispatch(words: list[str]) -> int:
    from tmsprep.commands import SUBCOMMANDS, run_subcommand

    if words and words[0] in SUBCOMMANDS:
        return run_subcommand(words[0], words[1:])
    from tmsprep.app import run_app

    return run_app(words)
