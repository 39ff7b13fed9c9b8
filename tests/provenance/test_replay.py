"""Replaying trusts no record: what is not one of this program's commands is not run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.provenance.made_up import add_record, checksum, make_output
from tmsprep.errors import ConfigurationError, InputError
from tmsprep.provenance.lineage import Lineage
from tmsprep.provenance.replay import Scratch, choose

TABLE = {"bids::sub-01/nibs/sub-01_plan.tsv": "x"}
PLAN = "bids::sub-01/nibs/sub-01_plan.json"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return make_output(tmp_path / "out")


def words_of(output: Path, tmp_path: Path, *words: str) -> list[str]:
    add_record(output / "tmsprep", "plan", 40, {PLAN: "{}"}, TABLE, words)
    lineage = Lineage(output)
    step = next(step for step in lineage.steps if step.stage == "plan")
    return Scratch(lineage, tmp_path / "scratch", [], [step]).words(step)


def test_uris_become_places_in_the_scratch_folder(output: Path, tmp_path: Path) -> None:
    words = words_of(output, tmp_path, "--plan", PLAN, "--out-table", *TABLE)
    own = tmp_path / "scratch" / "out" / "tmsprep" / "sub-01" / "nibs"
    assert words[3:] == ["--plan", str(own / "sub-01_plan.json"), "--out-table", str(own / "sub-01_plan.tsv")]


@pytest.mark.parametrize(
    "words",
    [
        ("--plan", "/etc/passwd", "--out-table", *TABLE),
        ("--plan", PLAN, "--out-table", "/tmp/anywhere.tsv"),
        ("--plan", PLAN, "--out-table=/tmp/anywhere.tsv"),
        ("--plan", PLAN, "--out-table", "bids::../../anywhere.tsv"),
        ("--plan", PLAN, "--out-table", "bids::/tmp/anywhere.tsv"),
        ("--plan", PLAN, "--out-table", "bids:unlinked:/tmp/anywhere.tsv"),
        ("--plan", PLAN, "--out-table", "bids:raw:sub-01/anywhere.tsv"),
        ("--plan", "bids:nolink:x.json", "--out-table", *TABLE),
        ("@/etc/passwd",),
        ("--plan", PLAN, "--out_table", "/tmp/anywhere.tsv"),
        ("--plan", PLAN, "--out-table", *TABLE, "-h"),
        ("--plan", PLAN, "--nothing", "x"),
    ],
)
def test_words_that_lead_elsewhere_are_refused(output: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError):
        words_of(output, tmp_path, *words)


def test_another_program_is_refused(output: Path, tmp_path: Path) -> None:
    path = add_record(output / "tmsprep", "plan", 40, {}, TABLE)
    content = json.loads(path.read_text(encoding="utf-8"))
    for command in ("rm -rf /", "tmsprep stage target --x", "tmsprep simulate x", "tmsprep stage plan; rm"):
        path.write_text(json.dumps(content | {"Command": command}), encoding="utf-8")
        lineage = Lineage(output)
        step = next(step for step in lineage.steps if step.stage == "plan")
        with pytest.raises(InputError):
            Scratch(lineage, tmp_path / "scratch", [], [step]).words(step)


def test_what_is_missing_or_changed_is_named_all_at_once(output: Path, tmp_path: Path) -> None:
    lineage = Lineage(output)
    steps = choose(lineage, "sub-01", "target")
    (output / "tmsprep-builtin/sub-01/anat/sub-01_T1w.nii.gz").write_text("other", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        Scratch(lineage, tmp_path / "scratch", [], steps).provide()
    assert "sub-01_T1w.nii.gz is not what stage target read" in str(caught.value)
    assert "sub-01_note.json is not there" in str(caught.value)
    assert "--file" in str(caught.value)


def test_a_file_known_by_its_checksum_can_be_given_under_any_name(output: Path, tmp_path: Path) -> None:
    note = tmp_path / "any name.json"
    note.write_text("note sub-01", encoding="utf-8")
    lineage = Lineage(output)
    scratch = Scratch(lineage, tmp_path / "scratch", [note], choose(lineage, "sub-01", "target"))
    scratch.provide()
    copies = [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()]
    assert {path.name for path in copies} == {"sub-01_T1w.nii.gz", "sub-01_note.json"}
    assert checksum("note sub-01") in {checksum(path.read_text(encoding="utf-8")) for path in copies}


def test_the_derivatives_are_only_read(output: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    lineage = Lineage(output)
    scratch = Scratch(lineage, tmp_path / "scratch", [], choose(lineage, "sub-02", None))
    scratch.describe()
    with pytest.raises(InputError):
        scratch.provide()  # the raw dataset is not there
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("stage", ["fmriprep", "fmriprep-image", "templateflow", "fsaverage"])
def test_stages_that_start_containers_or_fetch_are_not_run_again(output: Path, stage: str) -> None:
    add_record(output / "tmsprep", stage, 40, {}, {"bids::sub-01/anat/sub-01_x.json": "x"})
    lineage = Lineage(output)
    assert stage not in [step.stage for step in choose(lineage, "sub-01", None)]
    with pytest.raises(ConfigurationError):
        choose(lineage, "sub-01", stage)


def test_files_of_one_name_from_outside_are_told_apart(output: Path, tmp_path: Path) -> None:
    files = [tmp_path / name / "s.json" for name in "ab"]
    for path in files:
        path.parent.mkdir()
        path.write_text(f"{path.parent.name}", encoding="utf-8")
    uri = "bids:unlinked:s.json"
    path = add_record(output / "tmsprep", "merge-sidecars", 40, {uri: "a"}, {"bids::sub-01/func/sub-01_x.json": "x"})
    content = json.loads(path.read_text(encoding="utf-8"))
    content["Used"].append({"Id": uri, "SHA256": checksum("b")})
    content["Command"] = f"tmsprep stage merge-sidecars --sidecar {uri} {uri} --out-merged bids::sub-01/func/sub-01_x.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    lineage = Lineage(output)
    steps = choose(lineage, "sub-01", "merge-sidecars")
    scratch = Scratch(lineage, tmp_path / "scratch", files, steps)
    scratch.provide()
    words = scratch.words(steps[0])
    assert [Path(word).read_text(encoding="utf-8") for word in words[4:6]] == ["a", "b"]
