"""Tables and descriptions of a dataset that cannot be read, or say two things; confounds that fit no run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.data.cases import BadCommand, BadDataset, Desk, Noticed
from tests.data.good import Person

_HEAD = "participant_id\tsite\n"


def participants(content: str | bytes) -> Callable[[Person], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda person: (person.root / "participants.tsv").write_bytes(data)


def _pipe(person: Person) -> None:
    (person.root / "participants.tsv").unlink()
    os.mkfifo(person.root / "participants.tsv")


def _no_participants(person: Person) -> None:
    for folder in person.root.glob("sub-*"):
        folder.rename(folder.with_name(folder.name.removeprefix("sub-")))


def description(content: str | bytes) -> Callable[[Person], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda person: (person.root / "dataset_description.json").write_bytes(data)


def _case(name: str, damage: Callable[[Person], object], message: str) -> BadDataset:
    return BadDataset(name, Noticed.WHOLE, damage, message)


_TABLE = r"participants\.tsv: "
_DESCRIPTION = r"dataset_description\.json: "
TABLES = (
    _case(
        "participants in UTF-16", participants((_HEAD + "sub-01\tA\n").encode("utf-16")), rf"{_TABLE}no readable TSV.*UTF-8"
    ),
    _case(
        "a participant at two sites",
        participants(_HEAD + "sub-01\tA\n01\tB\n"),
        rf"{_TABLE}sub-01 is there twice.*'A' and 'B'",
    ),
    _case(
        "two columns of sites",
        participants("participant_id\tsite\tsite\nsub-01\tA\tB\n"),
        rf"{_TABLE}there are 2 columns site",
    ),
    _case(
        "more cells than columns",
        participants(_HEAD + "sub-01\tA\tB\n"),
        rf"{_TABLE}3 cells in the line of 'sub-01'.*correct",
    ),
    _case("commas for tabs", participants("participant_id,site\nsub-01,A\n"), rf"{_TABLE}there is no column participant_id"),
    _case(
        "a quote that does not end", participants(_HEAD + 'sub-01\t"A\nsub-02\tB\n'), rf"{_TABLE}no readable TSV .*no quotes"
    ),
    _case(
        "a title for the terminal",
        participants(_HEAD + "sub-01\t\x1b]0;x\x07A\n"),
        rf"{_TABLE}.*'\\x1b\]0.*control characters",
    ),
    _case("a zero byte", participants(_HEAD + "sub-01\tA\0\n"), rf"{_TABLE}.*control characters.*correct the table"),
    _case("participants in a pipe", _pipe, rf"{_TABLE}a folder or a pipe in place of the table"),
    _case(
        "no description",
        lambda person: (person.root / "dataset_description.json").unlink(),
        "dataset_description.json is missing",
    ),
    _case("an empty description", description(""), rf"{_DESCRIPTION}no readable JSON.*correct the file"),
    _case(
        "a description with a byte order mark", description("\ufeff{}"), rf"{_DESCRIPTION}no readable JSON.*byte order mark"
    ),
    _case("a description that is a list", description("[]"), rf"{_DESCRIPTION}the JSON is not an object"),
    _case("a derivative dataset", description(json.dumps({"DatasetType": "derivative"})), "not raw data.*--derivatives"),
    _case("no participant", _no_participants, "the dataset holds no participant. Expected: folders sub-LABEL"),
)


_COLUMNS = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z", "framewise_displacement")


def confounds(change: Callable[[list[list[str]]], Sequence[Sequence[str]]]) -> Callable[[Desk], list[object]]:
    """Give the stage denoise a table of confounds; ``change`` gets the good one as lines of cells."""

    def words(desk: Desk) -> list[object]:
        lines = [list(_COLUMNS), ["0"] * 6 + ["n/a"], *[["0.01"] * 6 + ["0.1"] for _ in range(23)]]
        table = "\n".join("\t".join(line) for line in change(lines)) + "\n"
        return denoise(desk, desk.file("confounds.tsv", table))

    return words


def denoise(desk: Desk, table: Path) -> list[object]:
    image = desk.person.t1w
    return ["stage", "denoise", "--bold", desk.person.echo(1), "--mask", image, "--confounds", table,
            "--boldref-to-t1w", image, "--t1w-to-mni", image, "--t1w", image, "--t1w-mask", image,
            "--out-t1w-bold", desk.out / "b.nii.gz", "--out-t1w-mask", desk.out / "m.nii.gz",
            "--out-regressors", desk.out / "r.tsv", "--out-summary", desk.out / "s.json"]  # fmt: skip


def _cell(lines: list[list[str]], row: int, column: int, text: str) -> list[list[str]]:
    lines[row][column] = text
    return lines


def _late_dummy(lines: list[list[str]]) -> list[list[str]]:
    return [
        [*line, name] for line, name in zip(lines, ["non_steady_state_outlier00", *"0" * 9, "1", *"0" * 14], strict=True)
    ]


_RUN = r"confounds\.tsv: "
CONFOUNDS = (
    BadCommand(
        "confounds in UTF-16",
        lambda desk: denoise(desk, desk.file("confounds.tsv", "a\n1\n".encode("utf-16"))),
        rf"{_RUN}no readable TSV",
    ),
    BadCommand(
        "confounds that are empty", lambda desk: denoise(desk, desk.file("confounds.tsv", "")), rf"{_RUN}no readable TSV"
    ),
    BadCommand(
        "confounds without displacement",
        confounds(lambda lines: [line[:6] for line in lines]),
        rf"{_RUN}the column framewise_displacement is missing.*run the preprocessing again",
    ),
    BadCommand(
        "confounds with a gap", confounds(lambda lines: _cell(lines, 9, 6, "n/a")), rf"{_RUN}.*no number in row\(s\) \[9\]"
    ),
    BadCommand(
        "confounds with infinity",
        confounds(lambda lines: _cell(lines, 9, 6, "inf")),
        rf"{_RUN}.*no number in row\(s\) \[9\]",
    ),
    BadCommand(
        "confounds in words", confounds(lambda lines: _cell(lines, 9, 6, "=1+1")), rf"{_RUN}.*no number in row\(s\) \[9\]"
    ),
    BadCommand(
        "confounds of another run",
        confounds(lambda lines: lines[:-3]),
        r"24 volumes, but the confounds have 21 rows.*same run",
    ),
    BadCommand(
        "confounds with cells too many",
        confounds(lambda lines: [lines[0], *[[*line, "7"] for line in lines[1:]]]),
        rf"{_RUN}no readable TSV",
    ),
    BadCommand(
        "confounds with a dummy scan in the middle", confounds(_late_dummy), rf"{_RUN}.*flag volumes \[9\].*at the start"
    ),
)
