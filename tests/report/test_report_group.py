"""The group's table and page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lxml import etree
from made_up_participant import BEAM_SCALP, ENTRY, TARGET, Participant

from tmsprep import stages
from tmsprep.errors import InputError
from tmsprep.files import read_tsv, write_tsv
from tmsprep.records import Status
from tmsprep.report.group import COLUMNS, write_group_report

Make = Callable[..., Participant]
HOSTILE = '<script>alert(1)</script>" onload="x'


def arguments_of(people: list[Participant], folder: Path, sites: list[str] | None = None) -> dict[str, Any]:
    written = [person.write_results() for person in people]
    return {
        "markers": [item["markers"] for item in written],
        "target": [item["target"] for item in written],
        "participants": [person.name for person in people],
        "sites": sites or [f"site{index % 2}" for index in range(len(people))],
        "out_targets": folder / "group_targets.tsv",
        "out_html": folder / "group.html",
    }


@pytest.fixture
def three(participant: Make) -> list[Participant]:
    people = [participant(f"g{index}", name=f"sub-0{index}") for index in (1, 2, 3)]
    moved = replace(people[1].candidates[0], target_ras_mm=(-30.0, 30.0, 40.0), target_mni_mm=(-33.0, 36.0, 36.0))
    people[1].candidates = (moved,)
    people[2].target_status = Status.ABSTAIN
    people[2].target_reasons = ("only 4.1 min of clean data",)
    return people


def truth(folder: Path) -> Path:
    path = folder / "targets.tsv"
    rows = [("sub-01", -36.5, 25.0, 46.25), ("sub-02", -30.0, 34.0, 43.0), ("sub-03", 0.0, 0.0, 0.0)]
    write_tsv(path, pd.DataFrame(rows, columns=["participant_id", "target_x", "target_y", "target_z"]))
    return path


def test_table_holds_what_the_files_hold(three: list[Participant], tmp_path: Path) -> None:
    arguments = arguments_of(three, tmp_path) | {"truth": truth(tmp_path)}
    stages.run("group", arguments)
    table = read_tsv(arguments["out_targets"]).set_index("participant_id")
    assert list(table.index) == ["sub-01", "sub-02", "sub-03"]
    assert ["participant_id", *table.columns] == list(COLUMNS)
    np.testing.assert_allclose(table.loc["sub-01", ["target_x", "target_y", "target_z"]].astype(float), TARGET)
    np.testing.assert_allclose(table.loc["sub-01", ["beamf3_x", "beamf3_y", "beamf3_z"]].astype(float), BEAM_SCALP)
    assert table.loc["sub-01", "distance_to_truth_mm"] == pytest.approx(3.0)
    assert table.loc["sub-02", "distance_to_truth_mm"] == pytest.approx(5.0)
    expected = np.linalg.norm(np.subtract(ENTRY, BEAM_SCALP))
    assert table.loc["sub-01", "beamf3_distance_mm"] == pytest.approx(expected, abs=1e-3)
    assert list(table["site"]) == ["site0", "site1", "site0"]


def test_abstaining_participant_has_no_coordinates_but_reasons(three: list[Participant], tmp_path: Path) -> None:
    arguments = arguments_of(three, tmp_path) | {"truth": truth(tmp_path)}
    write_group_report(**arguments)
    row = read_tsv(arguments["out_targets"]).set_index("participant_id").loc["sub-03"]
    hidden = [name for name in COLUMNS if name.startswith(("target_", "entry_"))]
    assert row[[*hidden, "split_half_mm", "distance_to_truth_mm", "beamf3_distance_mm"]].isna().all()
    assert row["status"] == "abstain" and row["reasons"] == "only 4.1 min of clean data"
    assert "only 4.1 min of clean data" in arguments["out_html"].read_text()


def test_the_page_has_the_same_numbers_and_loads_nothing(three: list[Participant], tmp_path: Path) -> None:
    arguments = arguments_of(three, tmp_path) | {"truth": truth(tmp_path)}
    write_group_report(**arguments)
    html = arguments["out_html"].read_text(encoding="utf-8")
    text = " ".join(" ".join(etree.HTML(html).xpath("//body//text()")).split())
    assert "2 ok, 0 with caution, 1 without a circuit target" in text
    assert "median distance of the circuit target to it 4.00 mm , largest 5.00 mm" in text
    assert "-36.5, 25.0, 49.2" in text and "-30.0, 30.0, 40.0" in text
    root = etree.HTML(html)
    assert not root.xpath("//script|//link|//iframe|//img[not(starts-with(@src, 'data:'))]")
    identifiers = root.xpath("//@id")
    assert len(identifiers) == len(set(identifiers))
    assert arguments["out_html"].stat().st_size < 2e6


def test_same_bytes_twice(three: list[Participant], tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        arguments = arguments_of(three, tmp_path / name)
        write_group_report(**arguments)
        contents.append((arguments["out_html"].read_bytes(), arguments["out_targets"].read_bytes()))
    assert contents[0] == contents[1]


def test_hostile_names_are_escaped(participant: Make, tmp_path: Path) -> None:
    person = participant("h", target_reasons=(HOSTILE,), marker_reasons="two\nlines")
    arguments = arguments_of([person], tmp_path, sites=[HOSTILE]) | {"participants": [HOSTILE]}
    write_group_report(**arguments)
    root = etree.HTML(arguments["out_html"].read_text(encoding="utf-8"))
    assert not root.xpath("//script") and not root.xpath("//@onload")
    assert len(read_tsv(arguments["out_targets"])) == 1


def test_unknown_site_and_participant_without_truth(three: list[Participant], tmp_path: Path) -> None:
    path = truth(tmp_path)
    table = read_tsv(path)
    write_tsv(path, table[table["participant_id"] != "sub-02"])
    arguments = arguments_of(three, tmp_path, sites=["n/a", "n/a", "B"]) | {"truth": path}
    write_group_report(**arguments)
    found = read_tsv(arguments["out_targets"])
    assert found["distance_to_truth_mm"].isna().tolist() == [False, True, True]
    text = arguments["out_html"].read_text()
    assert "No true target is given for: sub-02." in text and "not given" in text


def test_labels_with_leading_zeros_meet_their_truth(participant: Make, tmp_path: Path) -> None:
    person = participant("z", name="sub-007_ses-1")
    path = tmp_path / "targets.tsv"
    path.write_text("participant_id\ttarget_x\ttarget_y\ttarget_z\n007\t-36.5\t25.0\t47.25\n7\t0\t0\t0\n")
    arguments = arguments_of([person], tmp_path) | {"truth": path}
    write_group_report(**arguments)
    assert read_tsv(arguments["out_targets"])["distance_to_truth_mm"].tolist() == [2.0]


def test_contradicting_files_are_refused(three: list[Participant], tmp_path: Path) -> None:
    arguments = arguments_of(three, tmp_path)
    with pytest.raises(InputError, match="different derivations"):
        write_group_report(**arguments | {"markers": [arguments["markers"][1], *arguments["markers"][1:]]})
    with pytest.raises(InputError, match="same number of each"):
        write_group_report(**arguments | {"sites": ["A"]})
    path = tmp_path / "twice.tsv"
    path.write_text("participant_id\ttarget_x\ttarget_y\ttarget_z\nsub-01\t1\t2\t3\nsub-01\t1\t2\t4\n")
    with pytest.raises(InputError, match="two different true targets"):
        write_group_report(**arguments | {"truth": path})


def test_nobody_is_left(tmp_path: Path, participant: Make) -> None:
    person = participant("n", target_status=Status.ABSTAIN, beam_status=Status.ABSTAIN)
    arguments = arguments_of([person], tmp_path)
    write_group_report(**arguments)
    assert "No target and no Beam F3 point was given out." in arguments["out_html"].read_text()
