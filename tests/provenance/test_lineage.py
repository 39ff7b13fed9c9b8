"""The graph of records, and what is made of it."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.provenance.bidsprov_schema import SCHEMAS
from tests.provenance.made_up import add_record, make_output
from tmsprep.errors import InputError
from tmsprep.files import sha256
from tmsprep.provenance.agreement import disagreements
from tmsprep.provenance.bidsprov import records
from tmsprep.provenance.graph_picture import Box, draw
from tmsprep.provenance.lineage import SHARED, Lineage
from tmsprep.provenance.publish import own_checksum, publish_provenance
from tmsprep.provenance.summary_page import ONE_PAGE, summary
from tmsprep.provenance.verify import printable, verify


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
    texts = records(lineage)
    checked = 0
    for path, text in texts.items():
        suffix = path.stem.rpartition("_")[2]
        if suffix in SCHEMAS:
            jsonschema.validate(json.loads(text), SCHEMAS[suffix])
            checked += 1
    assert checked >= 4 * 2
    table = texts[output / "tmsprep" / "prov" / "provenance.tsv"].splitlines()
    assert [line.split("\t")[0] for line in table] == ["provenance_label", "prov-dataset", "prov-sub01", "prov-sub02"]


def test_the_schema_refuses_what_the_proposal_does_not_allow() -> None:
    good = {"Activities": [{"Id": "bids::prov#a-1", "Label": "a", "Command": "x", "Used": ["bids::y"]}]}
    jsonschema.validate(good, SCHEMAS["act"])
    for change in ({"Used": "bids::y"}, {"Used": []}, {"Id": None}, {"StartedAtTime": "noon"}, {"Commnd": "x"}):
        bad = {"Activities": [good["Activities"][0] | change]}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, SCHEMAS["act"])


def test_another_participant_changes_nothing_of_the_first(output: Path) -> None:
    def of_first() -> dict[Path, str]:
        return {path: text for path, text in records(Lineage(output)).items() if path.parent.name == "prov-sub01"}

    before = of_first()
    assert len(before) >= 5
    add_record(output / "tmsprep", "plan", 40, {}, {"bids::sub-03/nibs/sub-03_task-rest_desc-circuit_target.json": "x"})
    assert of_first() == before


def test_labels_that_differ_in_a_sign_do_not_share_files(output: Path) -> None:
    for label in ("sub-1+2", "sub-12"):
        add_record(output / "tmsprep", "plan", 40, {}, {f"bids::{label}/nibs/{label}_x.json": label})
    folders = {path.parent.name for path in records(Lineage(output)) if path.parent.parent.parent.name == "tmsprep"}
    assert folders == {"prov-dataset", "prov-sub01", "prov-sub02", "prov-sub1+2", "prov-sub12"}


def test_clocks_of_several_machines_do_not_change_the_order(output: Path) -> None:
    path = next(output.glob("tmsprep-builtin/prov/activities/anatomy__sub-01*"))
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"EndedAtTime": "2030-01-01T00:00:00+00:00"}), encoding="utf-8")
    lineage = Lineage(output)
    order = [step.stage for step in lineage.steps if step.participant == "sub-01"]
    assert order == ["anatomy", "target"]
    assert summary(lineage)


def test_records_in_a_circle_are_refused_by_name(output: Path) -> None:
    path = next(output.glob("tmsprep-builtin/prov/activities/anatomy__sub-01*"))
    content = json.loads(path.read_text(encoding="utf-8"))
    links = json.loads((output / "tmsprep-builtin/dataset_description.json").read_text(encoding="utf-8"))
    links["DatasetLinks"]["main"] = "../tmsprep"
    (output / "tmsprep-builtin/dataset_description.json").write_text(json.dumps(links), encoding="utf-8")
    used = {"Id": "bids:main:sub-01/nibs/sub-01_task-rest_desc-circuit_target.json", "SHA256": "0" * 64}
    path.write_text(json.dumps(content | {"Used": [used]}), encoding="utf-8")
    with pytest.raises(InputError, match="circle"):
        Lineage(output)


def test_the_crate_is_read_and_walked_by_the_library_of_ro_crate(output: Path) -> None:
    from rocrate.rocrate import ROCrate

    publish_provenance(output)
    path = output / "tmsprep" / "ro-crate-metadata.json"
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


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def published(output: Path) -> list[Path]:
    found = [path for path in output.glob("*/prov/**/*") if path.is_file() and path.parent.name != "activities"]
    return sorted([*found, output / "tmsprep" / "ro-crate-metadata.json"])


def told(output: Path) -> set[str]:
    return {where for _, where in disagreements(Lineage(output))}


@pytest.mark.parametrize("change", [damage, Path.unlink])
def test_every_file_that_is_made_of_the_records_is_held_to_them(output: Path, change: Callable[[Path], None]) -> None:
    publish_provenance(output)
    assert told(output) == set()
    paths = published(output)
    assert len(paths) > 25
    for path in paths:
        before = path.read_bytes()
        change(path)
        assert told(output) == {path.relative_to(output).as_posix()}, path
        path.write_bytes(before)
    assert told(output) == set()


def test_a_list_that_is_forged_with_its_file_is_told(output: Path) -> None:
    publish_provenance(output)
    path = output / "tmsprep/prov/prov-sub01/prov-sub01_ent.json"
    path.write_text(path.read_text(encoding="utf-8").replace("sub-01_T1w", "sub-99_T1w"), encoding="utf-8")
    listed = output / "tmsprep/prov/published.json"
    content = json.loads(listed.read_text(encoding="utf-8"))
    content["Files"]["tmsprep/prov/prov-sub01/prov-sub01_ent.json"] = sha256(path)
    content["SHA256"] = own_checksum(content)
    listed.write_text(json.dumps(content), encoding="utf-8")
    assert told(output) == {"tmsprep/prov/prov-sub01/prov-sub01_ent.json"}


def test_an_edited_a_new_and_a_lost_record_are_told(output: Path) -> None:
    publish_provenance(output)
    record = next(output.glob("tmsprep/prov/activities/target__sub-01*"))
    before = record.read_text(encoding="utf-8")
    record.write_text(before.replace('"PeakMemoryMiB": 100.0', '"PeakMemoryMiB": 1.0'), encoding="utf-8")
    assert [what for what, _ in disagreements(Lineage(output))] == [
        "is not the record that it was when the BIDS-Prov files were made: it was edited"
    ]
    record.unlink()
    assert any("no record tells of" in what for what, _ in disagreements(Lineage(output)))
    record.write_text(before, encoding="utf-8")
    extra = add_record(output / "tmsprep", "plan", 50, {}, {"bids::sub-01/x.json": "x"})
    assert told(output) == {extra.relative_to(output).as_posix()}


def test_nothing_is_written_through_a_link_that_leads_away(output: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (output / "tmsprep/prov/prov-sub01").symlink_to(outside)
    with pytest.raises(InputError, match="leads out"):
        publish_provenance(output)
    assert list(outside.iterdir()) == []


def test_a_dataset_that_is_a_link_keeps_its_name(output: Path, tmp_path: Path) -> None:
    (output / "tmsprep").rename(tmp_path / "elsewhere")
    (output / "tmsprep").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "tmsprep-builtin").symlink_to(output / "tmsprep-builtin")  # where its own link leads now
    lineage = Lineage(output)
    assert lineage.main is not None
    assert tmp_path / "elsewhere" / "prov" / "summary.html" in publish_provenance(output)


WRONG_FORMS: list[dict[str, Any]] = [
    {"Used": "text"},
    {"Used": ["x"]},
    {"Used": [{"Id": "bids::x"}]},
    {"Used": [{"Id": "bids::x", "SHA256": ["0"]}]},
    {"Used": [{"Id": "bids::" + "x" * 2000, "SHA256": "0" * 64}]},
    {"Used": [{"Id": "bids::\0", "SHA256": "0" * 64}]},
    {"Generated": [{"Id": 5, "SHA256": "0" * 64}]},
    {"StartedAtTime": 5},
    {"EndedAtTime": "noon"},
    {"Software": ["numpy"]},
    {"Software": {"numpy": 1}},
    {"Environment": {}},
    {"Source": []},
    {"Container": {"Tag": 1}},
    {"OwnRecord": "x"},
    {"Stage": "../x"},
]


@pytest.mark.parametrize("change", WRONG_FORMS)
def test_a_record_of_the_wrong_form_is_one_problem_and_no_traceback(output: Path, change: dict[str, Any]) -> None:
    publish_provenance(output)
    path = next(output.glob("tmsprep/prov/activities/group__*"))
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | change), encoding="utf-8")
    found = [str(item) for item in verify(output).problems]
    about = [item for item in found if "cannot be used" in item]
    assert len(about) == 1
    assert path.name in about[0]
    with pytest.raises(InputError):
        Lineage(output)


@pytest.mark.parametrize("links", [["x"], "x", {"raw": 5}, {"raw": "a\0b"}])
def test_links_of_the_wrong_form_are_no_traceback(output: Path, links: object) -> None:
    path = output / "tmsprep" / "dataset_description.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"DatasetLinks": links}), encoding="utf-8")
    with pytest.raises(InputError):
        Lineage(output)
    assert any("DatasetLinks" in str(item) for item in verify(output).problems)


@pytest.mark.parametrize("lost", ["dataset_description.json", "prov/activities"])
def test_a_dataset_that_lost_its_description_or_records_is_missed(output: Path, lost: str) -> None:
    path = output / "tmsprep" / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert any(str(item).startswith("tmsprep: has no") for item in verify(output).problems)
    shutil.rmtree(output / "tmsprep-builtin")
    with pytest.raises(InputError):
        verify(output)


def test_two_writers_an_unknown_stage_and_a_link_are_told(output: Path) -> None:
    target = "bids::sub-01/nibs/sub-01_task-rest_desc-circuit_target.json"
    add_record(output / "tmsprep", "evil", 50, {}, {target: "target sub-01"})
    (output / "tmsprep" / "extra").symlink_to("/etc")
    found = [str(item) for item in verify(output).problems]
    assert any("two records" in item and "desc-circuit_target.json" in item for item in found)
    assert any("does not have: evil" in item for item in found)
    assert any(item.startswith("tmsprep/extra: no record") for item in found)


def test_raw_data_described_by_anyone_do_no_harm(output: Path) -> None:
    raw = output.parent / "raw"
    raw.mkdir()
    for makers in ([{"Name": "heudiconv", "Version": 1.2}], None, ["x"], [{"Name": "x"}], "x"):
        content = {"Name": 5, "GeneratedBy": makers}
        (raw / "dataset_description.json").write_text(json.dumps(content), encoding="utf-8")
        assert publish_provenance(output)


def test_what_is_printed_cannot_steer_a_terminal() -> None:
    assert printable("x\n\x1b[2Jverified") == "x\\n\\x1b[2Jverified"
    assert printable("Größe µ") == "Größe µ"


def test_the_summary_shows_hostile_text_as_text_and_has_a_box_a_run(output: Path) -> None:
    hostile = '<script>alert("x")</script>'
    add_record(output / "tmsprep", "export", 35, {}, {"bids::sub-01/nibs/sub-01_x.json": "x"}, [hostile])
    [text] = summary(Lineage(output)).values()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert text.count('class="node"') == 2 + 1 + 2 + 2  # runs of each participant, and their raw images and notes
    assert "http" not in text.replace("http-equiv", "")


def test_many_participants_get_pages_of_their_own(output: Path) -> None:
    for index in range(ONE_PAGE):
        name = f"sub-{index + 10}/nibs/sub-{index + 10}_task-rest_desc-circuit_target.json"
        add_record(output / "tmsprep", "target", 40, {}, {f"bids::{name}": str(index)})
    pages = summary(Lineage(output))
    assert len(pages) == ONE_PAGE + 3
    assert 'href="prov-sub01/summary.html"' in pages[output / "tmsprep/prov/summary.html"]
    assert "sub-02" not in pages[output / "tmsprep/prov/prov-sub01/summary.html"]


def test_a_picture_draws_each_box_below_its_parents_and_no_two_on_one_place() -> None:
    boxes = [
        Box("a", "T1w", "raw", True, ()),
        Box("b", "anatomy", "1 s", False, ("a",)),
        Box("c", "scalp", "1 s", False, ("a", "b")),
        Box("d", "other", "1 s", False, ("b",)),
    ]
    svg = draw(boxes, "picture")
    rects = re.findall(r'<rect class="node" x="([\d.]+)" y="([\d.]+)"', svg)
    places = dict(zip("abcd", [(float(x), float(y)) for x, y in rects], strict=True))
    assert len(set(places.values())) == 4
    assert places["a"][1] < places["b"][1] < places["c"][1] == places["d"][1]
    assert svg.count('class="edge"') == 3  # a to c is shown by the way through b
