"""What every format writes: a named site with its target, its entry on the scalp and its coil."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmsprep import __version__
from tmsprep.spaces import Array

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
        """Read a row of ``markers.tsv`` that has coordinates."""
        target, entry = (np.array([float(row[f"{kind}_{axis}"]) for axis in "xyz"]) for kind in ("target", "entry"))
        return cls(
            str(row["target_label"]), target, entry, np.array(json.loads(str(row["coil_transform"])), dtype=np.float64)
        )
