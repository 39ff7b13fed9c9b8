"""The graph of records, and what is made of it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import jsonschema
import pytest

from tests.provenance.bidsprov_schema import SCHEMAS
from tests.provenance.made_up import add_record, make_output
from tmsprep.provenance.agreement import disagreements
from tmsprep.provenance.bidsprov import write_records
from tmsprep.provenance.crate import write_crate
from tmsprep.provenance.graph_picture import Box, draw
from tmsprep.provenance.lineage import SHARED, Lineage
from tmsprep.provenance.summary_page import ONE_PAGE, write_summary


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return make_output(tmp_path / "out")


def names(steps: object) -> list[tuple[str, str]]:
    return [(step.stage, step.participant) for step in steps]  # type: ignore[attr-defined]


def test_a_target_leads_back_to_its_own_raw_scan_only(output: Path) -> None:
    lineage = Lineage(output)
    assert lineage.participants() == ["sub-01", "sub-02"]
    chain = lineage.of_participant("sub-01")
    assert names(chain) == [("anatomy", "sub-01"), ("target", "sub-01")]
    assert [file.path for file in lineage.raw_files(chain)] == ["sub-01/anat/sub-01_T1w.nii.gz"]
    group = [step for step in lineage.steps if step.participant == SHARED]
    assert len(lineage.ancestors(group)) == len(lineage.steps)


def test_descendants_are_what_must_be_done_again(output: Path) -> None:
    lineage = Lineage(output)
    first = next(step for step in lineage.steps if step.stage == "anatomy")
    assert sorted(names(lineage.descendants([first]))) == [("anatomy", "sub-01"), ("group", SHARED), ("target", "sub-01")]


def test_an_intermediate_outside_the_datasets_is_found_by_its_checksum(output: Path) -> None:
    lineage = Lineage(output)
    target = next(step for step in lineage.steps if step.stage == "target")
    note = next(file for file in target.used if file.dataset == "unlinked")
    writer = lineage.writer(note)
    assert writer is not None
    assert writer.stage == "anatomy"


def test_bids_prov_files_are_what_the_proposal_asks(output: Path) -> None:
    lineage = Lineage(output)
    paths = write_records(lineage)
    checked = 0
    for path in paths:
        suffix = path.stem.rpartition("_")[2]
        if suffix in SCHEMAS:
            jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), SCHEMAS[suffix])
            checked += 1
    assert checked >= 4 * 2
    table = (output / "tmsprep" / "prov" / "provenance.tsv").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[0] for line in table] == ["provenance_label", "prov-dataset", "prov-sub01", "prov-sub02"]


def test_the_schema_refuses_what_the_proposal_does_not_allow() -> None:
    good = {"Activities": [{"Id": "bids::prov#a-1", "Label": "a", "Command": "x", "Used": ["bids::y"]}]}
    jsonschema.validate(good, SCHEMAS["act"])
    for change in ({"Used": "bids::y"}, {"Used": []}, {"Id": None}, {"StartedAtTime": "noon"}, {"Commnd": "x"}):
        bad = {"Activities": [good["Activities"][0] | change]}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, SCHEMAS["act"])


def test_another_participant_changes_nothing_of_the_first(output: Path) -> None:
    write_records(Lineage(output))
    folder = output / "tmsprep" / "prov" / "prov-sub01"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    add_record(output / "tmsprep", "plan", 40, {}, {"bids::sub-03/nibs/sub-03_task-rest_desc-circuit_target.json": "x"})
    write_records(Lineage(output))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_crate_is_read_and_walked_by_the_library_of_ro_crate(output: Path) -> None:
    from rocrate.rocrate import ROCrate

    path = write_crate(Lineage(output))
    assert path is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the library warns of files that are not there
        crate = ROCrate(path.parent)
    target = crate.get("sub-01/nibs/sub-01_task-rest_desc-circuit_target.json")
    assert target["sha256"]
    actions = [entity for entity in crate.get_entities() if entity.type == "CreateAction"]
    made_by = {result.id: action for action in actions for result in action.get("result", []) if action.id != "#run-unknown"}
    waiting, seen = [target.id], set()
    while waiting:
        identifier = waiting.pop()
        seen.add(identifier)
        if identifier in made_by:
            waiting += [item.id for item in made_by[identifier]["object"] if item.id not in seen]
    assert "bids:raw:sub-01/anat/sub-01_T1w.nii.gz" in seen
    assert not any("sub-02" in identifier for identifier in seen)


@pytest.mark.parametrize(
    ("pattern", "change", "words"),
    [
        ("tmsprep/prov/prov-sub01/*_ent.json", ("SHA-256", "0" * 64), "another checksum"),
        ("tmsprep/prov/prov-sub01/*.jsonld", ("Command", "tmsprep stage other"), "another command"),
        ("tmsprep/ro-crate-metadata.json", ("sha256", "0" * 64), "another checksum"),
        ("tmsprep/prov/activities/target__sub-01*", ("PeakMemoryMiB", 1.0), "was edited"),
    ],
)
def test_a_forged_summary_or_record_is_told(output: Path, pattern: str, change: tuple[str, object], words: str) -> None:
    lineage = Lineage(output)
    write_records(lineage)
    write_crate(lineage)
    assert list(disagreements(lineage)) == []
    path = next(output.glob(pattern))
    content = json.loads(path.read_text(encoding="utf-8"))
    assert replace_first(content.get("@graph", content), *change)
    path.write_text(json.dumps(content), encoding="utf-8")
    found = list(disagreements(Lineage(output)))
    assert found
    assert {item.name for _, item in found} == {path.name}
    assert all(words in what for what, _ in found)


def replace_first(content: object, key: str, value: object) -> bool:
    """Replace the first value of a key, wherever it is."""
    if isinstance(content, dict):
        if key in content and not isinstance(content[key], (dict, list)):
            content[key] = value
            return True
        return any(replace_first(item, key, value) for item in content.values())
    return isinstance(content, list) and any(replace_first(item, key, value) for item in content)


def test_a_record_that_is_gone_is_missed(output: Path) -> None:
    write_records(Lineage(output))
    next(output.glob("tmsprep/prov/activities/target__sub-01*")).unlink()
    found = [what for what, _ in disagreements(Lineage(output))]
    assert found
    assert all("no record tells of" in what or "another checksum" in what for what in found)


def test_the_summary_shows_hostile_text_as_text_and_has_a_box_a_run(output: Path) -> None:
    hostile = '<script>alert("x")</script>'
    add_record(output / "tmsprep", "export", 35, {}, {"bids::sub-01/nibs/sub-01_x.json": "x"}, [hostile])
    [page] = write_summary(Lineage(output))
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert text.count('class="node"') == 2 + 1 + 2 + 2  # runs of each participant, and their raw images and notes
    assert "http" not in text.replace("http-equiv", "")


def test_many_participants_get_pages_of_their_own(output: Path) -> None:
    for index in range(ONE_PAGE):
        name = f"sub-{index + 10}/nibs/sub-{index + 10}_task-rest_desc-circuit_target.json"
        add_record(output / "tmsprep", "target", 40, {}, {f"bids::{name}": str(index)})
    pages = write_summary(Lineage(output))
    assert len(pages) == ONE_PAGE + 3
    index_page = pages[-1].read_text(encoding="utf-8")
    assert 'href="prov-sub01/summary.html"' in index_page
    assert "sub-02" not in (output / "tmsprep/prov/prov-sub01/summary.html").read_text(encoding="utf-8")


def test_a_picture_draws_each_box_below_its_parents_and_no_two_on_one_place() -> None:
    boxes = [
        Box("a", "T1w", "raw", True, ()),
        Box("b", "anatomy", "1 s", False, ("a",)),
        Box("c", "scalp", "1 s", False, ("a", "b")),
        Box("d", "other", "1 s", False, ("b",)),
    ]
    svg = draw(boxes, "picture")
    import re

    rects = re.findall(r'<rect class="node" x="([\d.]+)" y="([\d.]+)"', svg)
    places = dict(zip("abcd", [(float(x), float(y)) for x, y in rects], strict=True))
    assert len(set(places.values())) == 4
    assert places["a"][1] < places["b"][1] < places["c"][1] == places["d"][1]
    assert svg.count('class="edge"') == 3  # a to c is shown by the way through b
