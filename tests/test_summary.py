"""The table of targets at the end of a run."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from tmsprep.summary import targets_table


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
