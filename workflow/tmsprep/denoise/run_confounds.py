"""What the denoising stages read from fMRIPrep's confounds table: dummy scans, head motion, framewise displacement.

The table is taken as fMRIPrep writes it: one row a volume *as acquired*, ``n/a`` in the first row of what is a
difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tmsprep.errors import ContractError, InputError
from tmsprep.files import read_tsv

Array = NDArray[np.float64]

FRAMEWISE_DISPLACEMENT = "framewise_displacement"
NON_STEADY_STATE = "non_steady_state_outlier"
RIGID = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
_EXPANSIONS = {
    0: (),
    6: ("",),
    12: ("", "_derivative1"),
    24: ("", "_derivative1", "_power2", "_derivative1_power2"),
}
"""Number of motion regressors to the endings of fMRIPrep's columns (24: Friston 1996, doi:10.1002/mrm.1910350312)."""


@dataclass(frozen=True)
class RunConfounds:
    """The confounds table of one run."""

    table: pd.DataFrame
    where: Path

    @classmethod
    def load(cls, path: Path) -> RunConfounds:
        """Read the table.

        Raises
        ------
        ContractError
            It is unreadable.
        """
        try:
            return cls(read_tsv(path), path)
        except InputError as error:
            raise ContractError(error.what, where=path, action="run the preprocessing again") from error

    @property
    def volumes(self) -> int:
        """Number of volumes as acquired."""
        return len(self.table)

    def dummy_scans(self) -> int:
        """Return how many volumes at the start are not in steady state (``non_steady_state_outlierXX``).

        Raises
        ------
        ContractError
            A flagged volume follows a steady one.
        """
        columns = [name for name in self.table.columns if name.startswith(NON_STEADY_STATE)]
        flagged = np.zeros(self.volumes, dtype=bool)
        for name in columns:
            flagged |= self._flags(name)
        count = int(flagged.sum())
        if not flagged[:count].all():
            raise ContractError(
                f"{NON_STEADY_STATE} columns flag volumes {np.flatnonzero(flagged).tolist()}",
                where=self.where,
                expected="only volumes at the start of the run",
                action="check the confounds table",
            )
        return count

    def _flags(self, name: str) -> NDArray[np.bool_]:
        values = np.asarray(pd.to_numeric(self.table[name], errors="coerce"), dtype=np.float64)
        if not np.isin(values, (0.0, 1.0)).all():
            raise ContractError(
                f"the column {name} holds other values than 0 and 1", where=self.where, action="check the confounds table"
            )
        return values > 0

    def first_volume_of(self, series_volumes: int, series: Path) -> int:
        """Return which volume of the run a series of `series_volumes` volumes starts with.

        A series either holds every volume as acquired, or lacks exactly the dummy scans (tedana's outputs).

        Raises
        ------
        ContractError
            Its length fits neither.
        """
        missing = self.volumes - series_volumes
        dummies = self.dummy_scans()
        if missing not in (0, dummies):
            raise ContractError(
                f"{series_volumes} volumes, but the confounds have {self.volumes} rows, {dummies} of them dummy scans",
                where=series,
                expected=f"{self.volumes} or {self.volumes - dummies} volumes",
                action=f"use the confounds of the same run ({self.where})",
            )
        return missing

    def framewise_displacement_mm(self) -> Array:
        """Return FD, (volumes,), mm; 0 where the first volume has none.

        Raises
        ------
        ContractError
            The column is missing or has gaps.
        """
        return self._column(FRAMEWISE_DISPLACEMENT)

    def motion(self, number: int) -> dict[str, Array]:
        """Return 0, 6, 12 or 24 motion regressors by fMRIPrep's names, each (volumes,).

        Raises
        ------
        ContractError
            A column is missing or has gaps.
        """
        if number not in _EXPANSIONS:
            raise ContractError(f"{number} motion parameters", expected="0, 6, 12 or 24")
        names = [f"{name}{ending}" for ending in _EXPANSIONS[number] for name in RIGID]
        return {name: self._column(name) for name in names}

    def _column(self, name: str) -> Array:
        if name not in self.table.columns:
            raise ContractError(
                f"the column {name} is missing",
                where=self.where,
                expected="fMRIPrep's confounds (25.2 names)",
                action="run the preprocessing again, or give the confounds table of this run",
            )
        values = np.array(pd.to_numeric(self.table[name], errors="coerce"), dtype=np.float64)
        if np.isnan(values[0]):
            values[0] = 0.0  # a difference has no value in the first row
        if not np.isfinite(values).all():
            rows = (np.flatnonzero(~np.isfinite(values)) + 1).tolist()
            raise ContractError(f"the column {name} has no number in row(s) {rows[:5]}", where=self.where)
        return values
