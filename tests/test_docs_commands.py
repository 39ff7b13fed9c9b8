"""Every command that the documentation shows is one that the program understands.

The words are read by the real command line, which is stopped before it runs anything. What follows ``--`` is held against
Snakemake's own options.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App, CycloptsError, MissingArgumentError

from tests.conftest import ROOT
from tmsprep import stages
from tmsprep.app import Level, run_app, split_words
from tmsprep.commands import SUBCOMMANDS, run_subcommand
from tmsprep.errors import TmsprepError

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NEW_PAGES = ("tutorial", "howto-cluster", "howto-trial", "howto-audit", "comparison")
PROGRAM = re.compile(r"(?:\.venv/bin/)?tmsprep(?=\s|$)")
FENCE = re.compile(r"^(?P<indent> *)```[^\n`]*\n(?P<body>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}\S.*$", re.MULTILINE)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Shown:
    """A command as a page shows it."""

    page: str
    line: str
    whole: bool
    """From a block, to be typed as it is; otherwise from a sentence, which may leave arguments out."""

    def __str__(self) -> str:
        return f"{self.page}: {self.line}"


def commands(page: str, text: str) -> Iterator[Shown]:
    """Return the commands of a page."""
    for fence in FENCE.finditer(text):
        for line in fence["body"].replace("\\\n", " ").splitlines():
            if PROGRAM.match(line.strip()):
                yield Shown(page, " ".join(line.split()), whole=True)
    prose = FENCE.sub("", text)
    for line in INDENTED.findall(prose):
        if PROGRAM.match(line.strip()):
            yield Shown(page, line.strip(), whole=True)
    for span in SPAN.findall(prose):
        if PROGRAM.match(span):
            yield Shown(page, span, whole=False)


def words_of(shown: Shown) -> list[str]:
    """Return the words after the program's name; a shell's variable stands for a number."""
    line = re.sub(r"\$\w+", "1", shown.line)
    if not shown.whole:
        line = re.sub(r"[\[\]]", "", line)
    return [word for word in shlex.split(line, comments=True)[1:] if word != "..."]


def understand(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line read a command, and run nothing.

    Raises
    ------
    Exception
        It does not understand it.
    """
    words, rest = split_words(words_of(shown))
    monkeypatch.setattr(App, "__call__", read)
    monkeypatch.setattr(stages, "pin_threads", lambda: None)
    unknown = {word.partition("=")[0] for word in rest if word.startswith("-")} - snakemake_options()
    if unknown:
        raise ValueError(f"Snakemake has no {', '.join(sorted(unknown))}")
    if words[:1] == ["stage"] and words[1:] in ([], ["NAME"]):
        return
    try:
        if words and words[0] in SUBCOMMANDS:
            run_subcommand(words[0], words[1:])
            return
        if shown.whole and not words[0].startswith("-") and not set(words[2:]) & set(Level):
            raise ValueError(f"neither a sub-command nor a dataset with a level: {words[0]}")
        run_app(words)
    except MissingArgumentError:
        if shown.whole:
            raise


def read(app: App, words: list[str]) -> None:
    """Stand in for calling the program: read the words as it would, and stop there."""
    if words in (["--help"], ["--version"]):
        return
    # what is missing is reported before what is unknown
    unknown = {word.partition("=")[0] for word in words if word.startswith("--")} - options_of(app)
    if unknown:
        raise ValueError(f"no such option: {', '.join(sorted(unknown))}")
    app.parse_args(words, exit_on_error=False, print_error=False)


def options_of(app: App) -> set[str]:
    """Return the options of a command."""
    return {name for argument in app.assemble_argument_collection() for name in argument.names}


@cache
def snakemake_options() -> frozenset[str]:
    """Return every option that Snakemake has."""
    from snakemake.cli import get_argument_parser

    return frozenset(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", get_argument_parser().format_help()))


SHOWN = [shown for page in PAGES for shown in commands(page.name, page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("shown", SHOWN, ids=str)
def test_a_shown_command_is_understood(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    understand(shown, monkeypatch)


def test_commands_are_found() -> None:
    found = {shown.page for shown in SHOWN if shown.whole}
    assert found >= {"README.md", "circuits.md", "fmriprep.md", *(f"{page}.md" for page in NEW_PAGES)}


@pytest.mark.parametrize(
    "line",
    [
        "tmsprep BIDS_DIR OUT participant --no-such-option 1",
        "tmsprep BIDS_DIR OUT participant --preproc spm",
        "tmsprep BIDS_DIR OUT everybody",
        "tmsprep BIDS_DIR OUT participant -- --no-such-option",
        "tmsprep verfy OUT",
        "tmsprep verify OUT --tolerance-mm 2",
        "tmsprep replay OUT",
        "tmsprep circuits fetsh NAME",
        "tmsprep compare A B --tolerance-mm far",
        ".venv/bin/tmsprep stage no-such-stage --t1w A",
        ".venv/bin/tmsprep stage plan --plan A --out-tabel B",
    ],
)
def test_a_made_up_command_is_not_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = commands("made-up.md", f"Text.\n\n```sh\n{line}  # a comment\n```\n")
    with pytest.raises((CycloptsError, TmsprepError, ValueError)):
        understand(shown, monkeypatch)


def test_a_made_up_option_in_a_sentence_is_not_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = commands("made-up.md", "Say `tmsprep replay OUT [--tolerance-km 3]`.")
    with pytest.raises(ValueError, match="tolerance-km"):
        understand(shown, monkeypatch)


def test_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[Any]) -> None:
    understand(Shown("made-up.md", f"tmsprep lock {tmp_path}", whole=True), monkeypatch)
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().out == ""


def make_targets(text: str) -> set[str]:
    """Return the targets of the ``make`` commands in a page's blocks."""
    bodies = "\n".join(fence["body"] for fence in FENCE.finditer(text))
    return set(re.findall(r"^\s*make ([a-z]+)", bodies, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    rules = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert make_targets(page.read_text(encoding="utf-8")) <= rules
