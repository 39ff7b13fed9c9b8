"""The export stage: files that neuronavigators load, one set a site, and an index of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from tmsprep.errors import ConfigurationError, InputError
from tmsprep.files import read_json, read_tsv, sha256, write_json, write_tsv
from tmsprep.navigate.formats.brainsight import brainsight_text
from tmsprep.navigate.formats.image import NavigatorImage
from tmsprep.navigate.formats.localite import entry_targets, instrument_markers
from tmsprep.navigate.formats.names import SITES
from tmsprep.navigate.formats.others import coordinate_table, pose_json, save_burned_in, slicer_markups
from tmsprep.navigate.formats.site import CREATOR, CoilSite
from tmsprep.options import NavigatorForm
from tmsprep.records import Status
from tmsprep.stages import InFile, MaybeOutFile, OutFile, SidecarFields

Writer = Callable[[Path, list[CoilSite], NavigatorImage], None]


def _text(make: Callable[[list[CoilSite], NavigatorImage], str]) -> Writer:
    def write(path: Path, sites: list[CoilSite], image: NavigatorImage) -> None:
        path.write_text(make(sites, image), encoding="utf-8", newline="\n")

    return write


FORMATS: dict[str, tuple[Writer, str]] = {
    "brainsight.txt": (_text(brainsight_text), "Brainsight 2.5.3 or later (file version 14)"),
    "brainsight12.txt": (_text(lambda sites, image: brainsight_text(sites, image, 12)), "older Brainsight (version 12)"),
    "localiteInstrument.xml": (
        _text(instrument_markers),
        "Localite: the coil's pose, for a session on the NIfTI image (RAS)",
    ),
    "localiteEntryTarget.xml": (_text(entry_targets), "Localite: entry and target, for a session on the NIfTI image (RAS)"),
    "pose.json": (_text(pose_json), "the coil's pose with the image's header fields (after visor2)"),
    "slicer.mrk.json": (_text(slicer_markups), "3D Slicer markups (LPS)"),
    "burnedIn.nii.gz": (save_burned_in, "the T1w's grid with the target as a ball of 3 mm: for any viewer"),
    "coordinates.tsv": (lambda path, sites, _: write_tsv(path, coordinate_table(sites)), "a table in RAS and LPS"),
}
"""End of the file name to its writer, and what reads it."""
_COLUMNS: dict[str, dict[str, Any]] = {
    "coordinates.tsv": {
        "name": {"Description": "The site"},
        "kind": {"Description": "target: in the cortex; entry: on the scalp"},
        **{
            f"{axis}_{frame}_mm": {"Description": f"{axis} in {frame.upper()} of the T1w (scanner)", "Units": "mm"}
            for frame in ("ras", "lps")
            for axis in "xyz"
        },
    }
}
_NAME = re.compile(r"_desc-(?P<site>[A-Za-z0-9]+)_(?P<format>[A-Za-z0-9.]+)$")


def export_navigators(
    *,
    markers: InFile,
    t1w: InFile,
    intended_for: str,
    out_index: OutFile,
    out_files: list[MaybeOutFile],
    coordsystem: InFile | None = None,
    form: NavigatorForm = NavigatorForm.AGREE,
) -> SidecarFields:
    """Write navigator files of the circuit target and of Beam F3; of a site that abstains, none.

    Parameters
    ----------
    markers
        Of the navigate stage.
    t1w
        The image that the navigator loads.
    intended_for
        Its BIDS URI.
    out_index
        JSON: which file is for which program, what each site's status is, and why files are missing.
    out_files
        Named ``..._desc-SITE_FORMAT``; those of a site that abstains are not written, and removed where they were.
    coordsystem
        Of the navigate stage: with it, a T1w that the markers were not made for is refused.
    form
        ``agree``: files only where qform and sform agree. ``sform``: the navigator reads the sform, whatever the qform says.

    Raises
    ------
    ConfigurationError
        A file's name has no known site or format.
    InputError
        The markers are of another T1w, or damaged.
    """
    if coordsystem is not None:
        _require_same_image(coordsystem, t1w, intended_for)
    rows = read_tsv(markers, required=("target_id", "status", "coil_transform")).set_index("target_id", drop=False)
    image, refusal = _image(t1w, intended_for, NavigatorForm(form))
    sites = {name: _site(rows, name) for name in SITES}
    written: dict[str, str] = {}
    fields: list[dict[str, Any]] = []
    for path in out_files:
        name, kind = _parts(path)
        site = sites[name]
        if image is not None and site is not None:
            writer, words = FORMATS[kind]
            writer(path, [site], image)
            written[_final_name(path)] = words
            fields.append(
                {"Description": f"{name}: for {words}", "AssociatedImage": image.as_fields()} | _COLUMNS.get(kind, {})
            )
    write_json(
        out_index,
        {
            "Notice": f"{CREATOR}: a clinician decides",
            "Files": written,
            "Sites": {name: _state(rows, name, refusal) for name in SITES},
            "Axes": "here: z into the head, handle along -y (SimNIBS); each file has its program's own axes",
            "Rotation": "Brainsight's row 'NAME cortex' carries the coil's orientation at the entry; it has none of its own",
            "T1w": {"IntendedFor": intended_for} if image is None else image.as_fields(),
        },
    )
    return {"out_files": fields}


def _require_same_image(coordsystem: Path, t1w: Path, uri: str) -> None:
    content = read_json(coordsystem)
    if content["AssociatedImage"]["SHA256"] != sha256(t1w) or content["IntendedFor"] != uri:
        raise InputError(
            f"the markers belong to {content['IntendedFor']} with another checksum or name",
            where=t1w,
            expected="the T1w that the navigate stage read",
            action="give that image, or derive the markers again",
        )


def _image(t1w: Path, uri: str, form: NavigatorForm) -> tuple[NavigatorImage | None, str | None]:
    """Return the image, or why no navigator file may be written for it: the other results of the participant stand."""
    try:
        return NavigatorImage.load(t1w, uri, form), None
    except InputError as error:
        return None, f"{error.what}; expected: {error.expected}; to do: {error.action}"


def _parts(path: Path) -> tuple[str, str]:
    found = _NAME.search(path.name)
    if found is None or found["site"] not in SITES or found["format"] not in FORMATS:
        raise ConfigurationError(
            "the name says no known site and format",
            where=path.name,
            expected=f"..._desc-SITE_FORMAT with SITE {' or '.join(SITES)} and FORMAT {', '.join(FORMATS)}",
        )
    return found["site"], found["format"]


def _final_name(twin: Path) -> str:
    """Return the name that a file will have (a stage writes to a temporary one)."""
    return re.sub(r"^\.tmp-\d+-", "", twin.name)


def _site(rows: pd.DataFrame, name: str) -> CoilSite | None:
    if name not in rows.index:
        return None
    row: dict[str, Any] = {str(key): value for key, value in rows.loc[name].items()}
    if row["status"] not in {Status.OK.value, Status.CAUTION.value} or not isinstance(row["coil_transform"], str):
        return None
    return CoilSite.of_row(row)


def _state(rows: pd.DataFrame, name: str, refusal: str | None) -> dict[str, str]:
    if name not in rows.index:
        return {"Status": Status.ABSTAIN.value, "Reasons": "there is no such marker"}
    reasons = rows.loc[name, "reasons"]
    told = [str(reasons)] if isinstance(reasons, str) and reasons else []
    status = Status.ABSTAIN.value if refusal else str(rows.loc[name, "status"])
    return {"Status": status, "Reasons": "; ".join([*([refusal] if refusal else []), *told])}
