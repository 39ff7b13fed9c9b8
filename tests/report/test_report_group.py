"""The group's table and page."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from lxml import etree
from made_up_participant import BEAM_SCALP, ENTRY, TARGET, Participant

from tmsprep import stages
from tmsprep.errors import InputError
from tmsprep.files import read_tsv, write_json, write_tsv
from tmsprep.records import Status
from tmsprep.report.group import write_group_report
from tmsprep.report.group_members import COLUMNS
from tmsprep.report.page import script

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


def own_scripts(root: Any) -> int:
    """Count the page's scripts; each must be this package's own, as its policy names it."""
    texts = root.xpath("//script/text()")
    assert not root.xpath("//script/@*")
    policy = root.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]
    for text in texts:
        assert text == script("sort.js")
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    return len(texts)


def text_of(page: Path) -> str:
    return " ".join(" ".join(etree.HTML(page.read_text(encoding="utf-8")).xpath("//body//text()")).split())


def cells(page: Path, label: str) -> list[list[str]]:
    """Return the rows of the table in the region with a label."""
    rows = etree.HTML(page.read_text(encoding="utf-8")).xpath(f"//*[@aria-label='{label}']//tbody/tr")
    return [["".join(cell.itertext()).strip() for cell in row] for row in rows]


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
    assert own_scripts(root) == 1
    assert not root.xpath("//link|//iframe|//img[not(starts-with(@src, 'data:'))]")
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
    assert own_scripts(root) == 1 and not root.xpath("//@onload")
    assert root.xpath("//tbody//a/@href") == [f"{quote(HOSTILE, safe='')}.html"], "a file beside the page, whatever the name"
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
    assert "No target was given out: nothing to compare." in arguments["out_html"].read_text()
    assert "nothing to compare" in text_of(arguments["out_html"]).split("Circuit target and Beam F3")[1]


def test_one_person_is_described_and_compared_with_nobody(participant: Make, tmp_path: Path) -> None:
    arguments = arguments_of([participant("o")], tmp_path, sites=["A"])
    write_group_report(**arguments)
    text = text_of(arguments["out_html"])
    assert "1 participant (or sessions), 1 site:" in text
    assert "fewer than two people with a target" in text
    assert "Do sites differ?" not in text
    rows = cells(arguments["out_html"], "Distances within and between people, numbers")
    assert rows == [["Within a person: two halves of one scan", "1", "3.3", "3.3 to 3.3", "3.3 to 3.3", "3.3", "4.47"]]
    # the made-up target minus the made-up cortex under Beam F3, in MNI
    assert "6.3 mm further back, 4.5 mm higher and 1.9 mm further to the right" in text


def test_without_split_halves_words_say_so(three: list[Participant], tmp_path: Path) -> None:
    for person in three:
        person.measures = {}
    arguments = arguments_of(three, tmp_path)
    write_group_report(**arguments)
    text = text_of(arguments["out_html"])
    assert "No split-half distance is available, so there is no value within a person." in text
    assert "No split-half distance and no radius is available." in text
    assert "Too few to compare: at least two sites with 3 values each are needed." in text


def test_sessions_of_one_person_are_not_two_people(participant: Make, tmp_path: Path) -> None:
    people = [participant(f"s{index}", name=f"sub-01_ses-{index}") for index in (1, 2)]
    first = people[1].candidates[0]
    x, y, z = first.target_mni_mm
    people[1].candidates = (replace(first, target_mni_mm=(x + 3.0, y, z + 4.0)),)
    arguments = arguments_of(people, tmp_path)
    write_group_report(**arguments)
    rows = {row[0]: row[1:] for row in cells(arguments["out_html"], "Distances within and between people, numbers")}
    assert rows["One person, two sessions"][:2] == ["1", "5.0"]
    assert not any(name.startswith("Between") for name in rows)


@pytest.fixture
def forty(participant: Make) -> list[Participant]:
    """People at three sites, by hundredths of mm; the third site's split halves are far apart."""
    rng = np.random.default_rng(7)
    people = [participant(f"f{index}", name=f"sub-{index:02d}") for index in range(40)]
    for index, person in enumerate(people):
        shift = rng.normal(0, 6, 3).round(2)
        first = person.candidates[0]
        moved = tuple(float(value) for value in np.add(first.target_mni_mm, shift).round(2))
        person.candidates = (replace(first, target_mni_mm=moved),)
        away = 20.0 if index % 3 == 2 else 0.0
        person.measures = {
            "split_half_mm": round(away + rng.uniform(1, 9), 2), "radius_95_mm": round(rng.uniform(5, 12), 2),
            "coverage_search_mask": round(rng.uniform(0.9, 1), 3), "coverage_sgacc": round(rng.uniform(0.4, 1), 3),
        }  # fmt: skip
        if index % 13 == 5:
            person.target_status, person.target_reasons = Status.ABSTAIN, (f"reason {index}",)
        elif index % 10 == 3:
            person.target_status, person.target_reasons = Status.CAUTION, (f"reason {index}",)
    return people


def test_forty_people_at_three_sites(forty: list[Participant], tmp_path: Path) -> None:
    """Every number on the page, against the same from the table by other means."""
    from scipy.stats import kruskal

    arguments = arguments_of(forty, tmp_path, sites=[f"site {index % 3}" for index in range(40)])
    stages.run("group", arguments)
    page, table = arguments["out_html"], read_tsv(arguments["out_targets"])
    assert page.stat().st_size < 1.5e6
    given = table[table["status"] != "abstain"]
    places = given[["target_mni_x", "target_mni_y", "target_mni_z"]].to_numpy()
    apart = sorted(math.dist(one, other) for one, other in combinations(places, 2))
    between, within = np.median(apart), np.median(given["split_half_mm"])
    rows = {row[0]: row[1:] for row in cells(page, "Distances within and between people, numbers")}
    assert len(apart) == 37 * 36 / 2
    assert rows["Between people: all pairs"][:2] == ["666", f"{between:.1f}"]
    assert rows["Within a person: two halves of one scan"][:2] == ["37", f"{within:.1f}"]
    same = sum(math.comb(count, 2) for count in given["site"].value_counts())
    assert rows["Between people of one site: pairs"][0] == str(same)
    assert f"{between / within:.2f} times" in text_of(page)
    tests = {row[0]: row[1:] for row in cells(page, "Differences between sites")}
    h, p = kruskal(*(own["split_half_mm"] for _, own in given.groupby("site")))
    assert tests["Split-half distance (mm)"] == [
        "3", "37", f"{h:.2f}", "< 0.001" if p < 0.001 else f"{p:.3f}", "< 0.001", f"{h / 36:.2f}",
        "sites differ more than by chance",
    ]  # fmt: skip
    assert tests["Clean minutes"] == [*"––––––", "all values are equal"]
    assert "4 measures could be compared" in text_of(page)


def test_abstentions_come_first_and_each_has_its_page(forty: list[Participant], tmp_path: Path) -> None:
    arguments = arguments_of(forty[:16], tmp_path)
    write_group_report(**arguments)
    root = etree.HTML(arguments["out_html"].read_text(encoding="utf-8"))
    named = root.xpath("//dl[@class='remarks']//dt/strong/text()")
    assert named == ["sub-05", "sub-03", "sub-13"]
    assert root.xpath("//table[contains(@class, 'sortable')]//a/@href") == [f"sub-{index:02d}.html" for index in range(16)]


def test_the_dictionary_tells_every_column(three: list[Participant], tmp_path: Path) -> None:
    arguments = arguments_of(three, tmp_path)
    fields = write_group_report(**arguments)["out_targets"]
    assert list(fields) == list(read_tsv(arguments["out_targets"]).columns)
    assert all(told["Description"] for told in fields.values())
    assert all(told.get("Units") == "mm" for name, told in fields.items() if name.endswith(("_mm", "_x", "_y", "_z")))


def test_tsnr_is_the_mean_over_a_participants_runs(three: list[Participant], tmp_path: Path) -> None:
    arguments = arguments_of(three, tmp_path)
    values = {"sub-01": (60.0, 70.0), "sub-03": (81.5,)}
    whose = [name for name, own in values.items() for _ in own]
    summaries = [tmp_path / f"summary-{index}.json" for index in range(len(whose))]
    for path, value in zip(summaries, [value for own in values.values() for value in own], strict=True):
        write_json(path, {"TSNRMedianBrain": value})
    stages.run("group", arguments | {"denoise_summary": summaries, "run_participants": whose})
    table = read_tsv(arguments["out_targets"]).set_index("participant_id")
    assert table["tsnr"].to_dict() == pytest.approx({"sub-01": 65.0, "sub-02": np.nan, "sub-03": 81.5}, nan_ok=True)
    assert "tSNR before the regression" in text_of(arguments["out_html"])


@pytest.mark.parametrize("whose", [["sub-01", "sub-02"], ["sub-09"]])
def test_runs_of_nobody_are_refused(three: list[Participant], tmp_path: Path, whose: list[str]) -> None:
    summary = tmp_path / "summary.json"
    write_json(summary, {"TSNRMedianBrain": 50.0})
    with pytest.raises(InputError):
        stages.run("group", arguments_of(three, tmp_path) | {"denoise_summary": [summary], "run_participants": whose})


def test_who_has_no_result_is_told_with_the_reason_and_is_in_no_number(three: list[Participant], tmp_path: Path) -> None:
    lines = ["sub-04: bold.nii.gz: 17 volumes are kept: too few", f"sub-05: {HOSTILE}"]
    arguments = arguments_of(three, tmp_path)
    stages.run("group", arguments | {"without": lines})
    text = text_of(arguments["out_html"])
    assert "2 more have no result and are in no number below" in text
    assert "sub-04 bold.nii.gz: 17 volumes are kept: too few" in text
    assert HOSTILE in text
    assert own_scripts(etree.HTML(arguments["out_html"].read_text(encoding="utf-8"))) == 1
    assert len(read_tsv(arguments["out_targets"])) == 3
    assert "3 participants" in text
    stages.run("group", arguments)
    assert "no result" not in text_of(arguments["out_html"])
