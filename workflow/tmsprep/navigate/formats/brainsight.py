"""Brainsight's text file of targets, versions 14 and 12.

Format: Brainsight's manual as summarised by SimNIBS (``simnibs/utils/brainsight.py``, simnibs.github.io): tab-separated, mm,
``m{column}n{row}``: the first index is the axis, so that m0n0, m0n1, m0n2 are the coil's x axis. Brainsight's x and z point
against SimNIBS's: z out of the head.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tmsprep.errors import InputError
from tmsprep.navigate.formats.image import NavigatorImage
from tmsprep.navigate.formats.site import CREATOR, CoilSite
from tmsprep.spaces import Array

_FROM_SIMNIBS = np.diag([-1.0, 1.0, -1.0])
_CODE_NAMES = {1: "Scanner", 2: "Aligned", 3: "Talairach", 4: "MNI-152", 5: "Other-Template"}
_DIRECTIONS = [f"m{axis}n{row}" for axis in range(3) for row in range(3)]


def brainsight_text(sites: Sequence[CoilSite], image: NavigatorImage, version: int = 14) -> str:
    """Return the file.

    Parameters
    ----------
    sites
        Each gives two rows with the coil's orientation: ``NAME`` at the entry on the scalp, and ``NAME cortex``.
    image
        The T1w whose header form is named.
    version
        14 (Brainsight 2.5.3 on) or 12.

    Raises
    ------
    InputError
        The version is none of these, or the header's code has no name in Brainsight.
    """
    header = [
        f"# Version: {version}",
        f"# Coordinate system: {coordinate_system(image, version)}",
        f"# Created by: {CREATOR}",
        "# Units: millimetres, degrees, milliseconds, and microvolts",
        "# Encoding: UTF-8",
        "# Notes: Each column is delimited by a tab. Each value within a column is delimited by a semicolon.",
        "\t".join(["# Target Name", "Loc. X", "Loc. Y", "Loc. Z", *_DIRECTIONS]),
    ]
    rows = [row for site in sites for row in _rows(site)]
    return "\n".join([*header, *rows]) + "\n"


def coordinate_system(image: NavigatorImage, version: int) -> str:
    """Return how a Brainsight of that version calls the image's frame."""
    form, code = image.named_form
    if code not in _CODE_NAMES:
        raise InputError(f"the T1w's header has the code {code}", expected=f"one of {sorted(_CODE_NAMES)}")
    names = {14: f"NIfTI:{form}:{_CODE_NAMES[code]}", 12: f"NIfTI:{_CODE_NAMES[code]}"}
    if version not in names:
        raise InputError(f"no Brainsight file version {version}", expected="14 or 12")
    return names[version]


def _rows(site: CoilSite) -> list[str]:
    axes = site.coil_ras_mm[:3, :3] @ _FROM_SIMNIBS
    places = ((site.name, site.entry_ras_mm), (f"{site.name} cortex", site.target_ras_mm))
    return [_row(name, place, axes) for name, place in places]


def _row(name: str, place: Array, axes: Array) -> str:
    if name.startswith("#") or name != " ".join(name.split()):
        raise InputError(f"the name {name!r} would break the file", expected="no # at its start, and single spaces only")
    words = [name, *(f"{value:.4f}" for value in place)]
    # columns of the rotation, one after the other: writing rows would transpose it
    return "\t".join([*words, *(f"{value + 0.0:.8f}" for value in axes.T.ravel())])
