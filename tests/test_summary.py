"""The table of targets at the end of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from tmsprep.summary import targets_table, without_result


def test_numbers_have_one_decimal_whole_ones_too(tmp_path: Path) -> None:
    table = tmp_path / "group_targets.tsv"
    table.write_text(
        "participant_id\tsite\tstatus\ttarget_x\ttarget_y\ttarget_z\tbeamf3_distance_mm\tdistance_to_truth_mm\n"
        "sub-01\tA\tok\t-38.71\t55.9\t38.8\t7\t3\n"
        "sub-02\tB\tabstain\tn/a\tn/a\tn/a\tn/a\tn/a\n"
    )
    console = Console(width=140, record=True)
    console.print(targets_table(table))
    text = console.export_text()
    assert "-38.7" in text
    assert "7.0" in text
    assert "3.0" in text
    assert text.count("n/a") == 5


@dataclass(frozen=True)
class Row:
    participant_id: str
    session_id: str | None
    status: str
    reason: str


def test_who_has_no_result_is_told_without_folders() -> None:
    """Reasons go to the group's page, which sites exchange: the names of files may stand there, folders may not."""
    rows = [
        Row("sub-03", "ses-2", "error", "no T1w"),
        Row("sub-01", None, "process", ""),
        Row("sub-02", None, "error", "two T1w"),
    ]
    study: Any = SimpleNamespace(plan=SimpleNamespace(rows=rows))
    failed = {
        "sub-01": [(Path("a.log"), "first"), (Path("b.log"), "/home/me/out/sub-01_bold.nii.gz: 17 volumes\nare kept")],
        "sub-02": [],
        "sub-04": [],
    }
    assert without_result(study, failed) == [
        "sub-01: first; sub-01_bold.nii.gz: 17 volumes are kept",
        "sub-02: two T1w",
        "sub-03_ses-2: no T1w",
        "sub-04: no log says why",
    ]
