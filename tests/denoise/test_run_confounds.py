"""Reading fMRIPrep's confounds as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tmsprep.denoise.run_confounds import RIGID, RunConfounds
from tmsprep.errors import ContractError

ROWS = 6


def write(folder: Path, **columns: object) -> RunConfounds:
    path = folder / "sub-01_task-rest_desc-confounds_timeseries.tsv"
    pd.DataFrame(columns).to_csv(path, sep="\t", index=False, na_rep="n/a")
    return RunConfounds.load(path)


def flags(*volumes: int) -> dict[str, object]:
    names = [f"non_steady_state_outlier{index:02d}" for index in range(len(volumes))]
    return {name: [int(row == volume) for row in range(ROWS)] for name, volume in zip(names, volumes, strict=True)}


def test_missing_value_in_the_first_row_only_is_no_motion(tmp_path: Path) -> None:
    table = write(tmp_path, framewise_displacement=[np.nan, 0.1, 0.2, 0.3, 0.4, 0.5])
    np.testing.assert_allclose(table.framewise_displacement_mm(), [0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_gap_further_down_is_refused_by_row(tmp_path: Path) -> None:
    table = write(tmp_path, framewise_displacement=[np.nan, 0.1, np.nan, 0.3, 0.4, 0.5])
    with pytest.raises(ContractError, match=r"framewise_displacement has no number in row\(s\) \[3\]"):
        table.framewise_displacement_mm()


@pytest.mark.parametrize(("number", "columns"), [(0, 0), (6, 6), (12, 12), (24, 24)])
def test_motion_columns_by_fmripreps_names(tmp_path: Path, number: int, columns: int) -> None:
    names = [f"{name}{end}" for end in ("", "_derivative1", "_power2", "_derivative1_power2") for name in RIGID]
    table = write(tmp_path, **{name: np.arange(ROWS) * (index + 1.0) for index, name in enumerate(names)})
    found = table.motion(number)
    assert list(found) == names[:columns]


def test_missing_column_is_named(tmp_path: Path) -> None:
    table = write(tmp_path, **{name: np.zeros(ROWS) for name in RIGID if name != "rot_y"})
    with pytest.raises(ContractError, match="the column rot_y is missing"):
        table.motion(6)


def test_unreadable_table_is_a_contract_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError):
        RunConfounds.load(tmp_path / "absent.tsv")


def test_dummy_scans_and_where_a_series_starts(tmp_path: Path) -> None:
    table = write(tmp_path, **flags(0, 1))
    assert table.dummy_scans() == 2
    assert table.first_volume_of(6, Path("bold")) == 0
    assert table.first_volume_of(4, Path("bold")) == 2
    with pytest.raises(ContractError, match="5 volumes, but the confounds have 6 rows, 2 of them dummy scans"):
        table.first_volume_of(5, Path("bold"))


def test_without_flags_there_are_no_dummy_scans(tmp_path: Path) -> None:
    assert write(tmp_path, global_signal=np.ones(ROWS)).dummy_scans() == 0


def test_flag_in_the_middle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"\[0, 3\]"):
        write(tmp_path, **flags(0, 3)).dummy_scans()
