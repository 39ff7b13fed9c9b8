"""What each step of cleaning did to a run, for the page: the carpet's picture and the table of tSNR."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tmsprep.errors import InputError
from tmsprep.files import read_tsv
from tmsprep.report.facts import run_label
from tmsprep.report.page import Table, plain
from tmsprep.report.pictures import Picture

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Cleaning:
    """One run."""

    label: str
    carpet: Picture
    steps: Table


def load(carpets: Sequence[Path] | None, steps: Sequence[Path] | None) -> list[Cleaning]:
    """Read the pictures and tables of each run; none where the files are not given.

    Raises
    ------
    InputError
        The lists differ in length, or a file cannot be read.
    """
    drawn, tables = list(carpets or ()), list(steps or ())
    if len(drawn) != len(tables):
        raise InputError(f"{len(drawn)} carpets and {len(tables)} tables of tSNR", expected="one of each a run")
    pairs = zip(drawn, tables, strict=True)
    return [Cleaning(run_label(table, index), _carpet(path), _steps(table)) for index, (path, table) in enumerate(pairs, 1)]


def _carpet(path: Path) -> Picture:
    from PIL import Image

    data = path.read_bytes()
    if not data.startswith(_PNG):
        raise InputError("no PNG picture", where=path, expected="the picture of the carpet stage")
    with Image.open(path) as opened:
        width, height = opened.size
    alt = "Every voxel's signal over time, as grey rows sorted by tissue, before and after cleaning, with head movement."
    return Picture("data:image/png;base64," + base64.b64encode(data).decode("ascii"), width, height, alt)


def _steps(path: Path) -> Table:
    table = read_tsv(path, required=("step", "description", "tsnr_median_brain", "tsnr_median_gm"))
    head = ("After", "tSNR, median over the brain", "tSNR, median over grey matter", "What it is")
    rows = [
        (str(row["step"]), plain(row["tsnr_median_brain"]), plain(row["tsnr_median_gm"]), str(row["description"]))
        for row in table.to_dict("records")
    ]
    return Table(head, tuple(rows))
