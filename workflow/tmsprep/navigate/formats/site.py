"""What every format writes: a named site with its target, its entry on the scalp and its coil."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmsprep import __version__
from tmsprep.errors import InputError
from tmsprep.spaces import Array

_TOLERANCE = 1e-4
"""mm, and for direction cosines; the table has four and six digits."""
CREATOR = f"TMSPrep {__version__} (research software, not a medical device)"


@dataclass(frozen=True, eq=False)
class CoilSite:
    """A site in scanner RAS mm."""

    name: str
    target_ras_mm: Array
    """(3,), in the cortex."""
    entry_ras_mm: Array
    """(3,), on the scalp."""
    coil_ras_mm: Array
    """4 x 4, SimNIBS's axes: columns x, y (handle along -y), z (into the head), origin at the entry."""

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> CoilSite:
        """Read a row of ``markers.tsv`` that has coordinates.

        Raises
        ------
        InputError
            Its columns are not of one pose: the table was edited or is not of the navigate stage.
        """
        name = str(row.get("target_label"))
        try:
            target, entry, normal, direction = (
                np.array([float(row[f"{kind}_{axis}"]) for axis in "xyz"])
                for kind in ("target", "entry", "normal", "direction")
            )
            coil = np.array(json.loads(str(row["coil_transform"])), dtype=np.float64)
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise InputError(
                f"a column is missing or holds no numbers ({error})",
                where=f"marker {name}",
                expected="the table that the navigate stage wrote",
                action="derive the markers again; never edit them by hand",
            ) from error
        expected = np.eye(4)
        expected[:3, :4] = np.stack([np.cross(direction, -normal), direction, -normal, entry], axis=1)
        if coil.shape != (4, 4) or not np.allclose(coil, expected, rtol=0, atol=_TOLERANCE) or not np.isfinite(target).all():
            raise InputError(
                "coil_transform is not the pose that entry, normal and direction give",
                where=f"marker {name}",
                expected="x = y cross z, y = direction, z = -normal, origin = entry",
                action="derive the markers again; never edit them by hand",
            )
        return cls(name, target, entry, coil)
