"""The package of one participant: navigator file, sheet, and a list with checksums; the same in form for everyone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tmsprep.files import json_text, sha256
from tmsprep.navigate.formats.brainsight import brainsight_text
from tmsprep.navigate.formats.image import NavigatorImage
from tmsprep.navigate.formats.localite import instrument_markers
from tmsprep.navigate.formats.others import pose_json, slicer_markups
from tmsprep.navigate.formats.site import CREATOR, CoilSite
from tmsprep.trial.neutral import neutral_site
from tmsprep.trial.sheet import save_stop, save_target_sheet

SIZE_STEP = 4096
"""Files are filled up to a multiple of this (bytes): their length tells nothing."""
FIXED_TIME_S = 946_684_800
"""Of all files: 2000-01-01 UTC."""


class Navigator(StrEnum):
    """What the technician's navigator loads."""

    BRAINSIGHT = "brainsight"
    BRAINSIGHT12 = "brainsight12"
    LOCALITE = "localite"
    SLICER = "slicer"
    POSE = "pose"


ENDINGS = {
    Navigator.BRAINSIGHT: "brainsight.txt",
    Navigator.BRAINSIGHT12: "brainsight12.txt",
    Navigator.LOCALITE: "localiteInstrument.xml",
    Navigator.SLICER: "slicer.mrk.json",
    Navigator.POSE: "pose.json",
}


@dataclass(frozen=True)
class Package:
    """What was written."""

    folder: Path
    files: tuple[Path, ...]


def write_package(folder: Path, label: str, site: CoilSite, image: NavigatorImage, navigator: Navigator) -> Package:
    """Write a participant's package.

    Parameters
    ----------
    folder
        Of this participant; made.
    label
        ``sub-01`` or ``sub-01_ses-1``.
    site
        The allocated one, as the navigate stage found it.
    image
        The T1w.
    navigator
        Which file.
    """
    folder.mkdir(parents=True)
    neutral = neutral_site(site)
    target = folder / f"{label}_target_{ENDINGS[navigator]}"
    target.write_text(_text(neutral, image, navigator), encoding="utf-8", newline="\n")
    sheet = folder / f"{label}_targetsheet.pdf"
    save_target_sheet(sheet, label, neutral, image)
    for path in (target, sheet):
        _fill(path)
    return _finish(folder, label, [target, sheet], image.as_fields())


def write_stop(folder: Path, label: str) -> Package:
    """Write the package of a participant without a target: a sheet that says so, and no file that a navigator loads."""
    folder.mkdir(parents=True)
    sheet = folder / f"{label}_stop.pdf"
    save_stop(sheet, label)
    _fill(sheet)
    return _finish(folder, label, [sheet], None)


def _text(site: CoilSite, image: NavigatorImage, navigator: Navigator) -> str:
    makers = {
        Navigator.BRAINSIGHT: lambda: brainsight_text([site], image),
        Navigator.BRAINSIGHT12: lambda: brainsight_text([site], image, 12),
        Navigator.LOCALITE: lambda: instrument_markers([site], image),
        Navigator.SLICER: lambda: slicer_markups([site], image),
        Navigator.POSE: lambda: pose_json([site], image),
    }
    return makers[navigator]()


def _finish(folder: Path, label: str, files: list[Path], image: dict[str, Any] | None) -> Package:
    listing = folder / f"{label}_package.json"
    content = {
        "Participant": label,
        "Notice": f"{CREATOR}: a clinician decides",
        "T1w": image,
        "Files": {path.name: sha256(path) for path in files},
    }
    listing.write_text(json_text(content), encoding="utf-8", newline="\n")
    _fill(listing)
    for path in (*files, listing, folder):
        os.utime(path, (FIXED_TIME_S, FIXED_TIME_S))
    return Package(folder, (*files, listing))


def _fill(path: Path) -> None:
    """Fill a file up to a multiple of `SIZE_STEP` with what its readers pass over."""
    content = path.read_bytes()
    missing = -len(content) % SIZE_STEP
    if path.suffix == ".txt":  # Brainsight: lines that begin with # are comments; the head of the file is the place for one
        line = b"# " if missing >= 3 else b""
        first, newline, rest = content.partition(b"\n")
        missing = missing if missing >= 3 else missing + SIZE_STEP
        line = b"# " + b"." * (missing - 3) + b"\n"
        head, mark, table = rest.partition(b"# Target Name")
        path.write_bytes(first + newline + head + line + mark + table)
    elif path.suffix == ".pdf":
        # a comment before the last line, where every reader looks for the place of the table
        body, mark, end = content.rpartition(b"startxref")
        missing = missing if missing >= 2 else missing + SIZE_STEP
        path.write_bytes(body + b"%" + b"." * (missing - 2) + b"\n" + mark + end)
    else:
        path.write_bytes(content + b" " * (missing - 1) + b"\n" if missing else content)
