"""The sub-commands: each is made from the annotated signature of one function, imported only when asked for."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tmsprep import __version__, stages
from tmsprep.errors import InputError

SUBCOMMANDS: dict[str, str] = {
    "stage": "",
    "beamf3": "tmsprep.scalp.beamf3:command",
    "simulate": "tmsprep.simulate.command:command",
    "circuits": "tmsprep.target.command:command",
    "images": "tmsprep.images_command:command",
    "status": "tmsprep.status.command:command",
    "verify": "tmsprep.provenance.verify:command",
    "replay": "tmsprep.provenance.replay:command",
    "provenance": "tmsprep.provenance.publish:command",
    "handoff": "tmsprep.trial.handoff:command",
    "lock": "tmsprep.provenance.lock:command",
    "compare": "tmsprep.provenance.compare:command",
}
"""Sub-command to ``module:function``; `stage` is run here."""


def run_subcommand(name: str, words: Sequence[str]) -> int:
    """Run ``tmsprep NAME WORDS...`` and return the exit status."""
    if name == "stage":
        return _run_stage(list(words))
    module, _, function = SUBCOMMANDS[name].partition(":")
    return _run(name, getattr(importlib.import_module(module), function), words)


def _run_stage(words: list[str]) -> int:
    if not words or words[0] in {"-h", "--help"}:
        print("tmsprep stage NAME ...: run one stage on named files. Stages:\n  " + "\n  ".join(stages.STAGES))
        return 0 if words else 2
    stages.pin_threads()
    function = stages.load(words[0])
    lists = any(word.startswith("@") for word in words)
    words = [words[0], *_from_files(words[1:])]

    @functools.wraps(function)
    def runner(**arguments: Any) -> None:
        bound = inspect.signature(function).bind(**arguments)
        bound.apply_defaults()
        stages.run(words[0], bound.arguments)

    return _run(f"stage {words[0]}", runner, words[1:], lists=lists)


def _from_files(words: Sequence[str]) -> list[str]:
    """Replace each ``@FILE`` by the file's lines, one word a line; the values of an option as one list."""
    expanded: list[str] = []
    for word in words:
        expanded += _lists(_lines(Path(word[1:]))) if word.startswith("@") else [word]
    return expanded


def _lists(words: Sequence[str]) -> list[str]:
    """Write several values of an option as one JSON list: word by word, cyclopts (5.4) compares each with all before."""
    gathered: list[list[str]] = []
    for word in words:
        if word.startswith("--") or not gathered:
            gathered.append([word])
        else:
            gathered[-1].append(word)
    return [word for group in gathered for word in (group if len(group) <= 2 else [group[0], json.dumps(group[1:])])]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"the words of the command line cannot be read ({error})", where=path) from error


def _run(name: str, function: Callable[..., Any], words: Sequence[str], *, lists: bool = False) -> int:
    from cyclopts import App, Parameter

    # consume_multiple: "--echo a b c", which is what a rule's {input.echo:q} writes
    app = App(
        name=f"tmsprep {name}",
        version=__version__,
        help_format="markdown",
        default_parameter=Parameter(consume_multiple=True, json_list=True if lists else None),
        result_action="return_value",
    )
    app.default(function)
    result = app(list(words))
    return result if isinstance(result, int) else 0
