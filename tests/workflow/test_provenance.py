"""Verification of a whole run's records, and that it names exactly what was tampered with."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

from tests.provenance.bidsprov_schema import SCHEMAS
from tests.whole import Finished, run_tmsprep
from tmsprep.files import sha256
from tmsprep.provenance.compare import compare
from tmsprep.provenance.verify import verify


@pytest.fixture
def copy(whole: Finished, tmp_path: Path) -> Path:
    """The outputs of a whole run, moved to where their own link to the raw data leads nowhere."""
    return Path(shutil.copytree(whole.output_dir, tmp_path / "moved" / "out", symlinks=True))


def problems(folder: Path, raw: Path | None) -> list[str]:
    return [str(item) for item in verify(folder, raw).problems]


def test_a_whole_run_is_verified(whole: Finished) -> None:
    found = verify(whole.output_dir)
    assert found.problems == ()
    assert found.activities > 10
    assert found.files > 50


def test_records_name_no_path_and_no_host(whole: Finished) -> None:
    paths = [path for path in whole.output_dir.glob("*/prov/**/*") if path.is_file()]
    paths.append(whole.output_dir / "tmsprep" / "ro-crate-metadata.json")
    assert len(paths) > 40
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert platform.node() not in text
        assert str(whole.output_dir) not in text
        assert "/home/" not in text
        assert "/tmp/" not in text


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit_sidecar(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"TopFraction": 0.5}), encoding="utf-8")


DIGEST = "https://bids.neuroimaging.io/bep028#Digest"
TARGET = "tmsprep/sub-01/nibs/sub-01_task-rest_desc-circuit_target.json"
T1W = "tmsprep-builtin/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz"
SIDECAR = "tmsprep/sub-01/func/sub-01_task-rest_space-T1w_desc-circuit_statmap.json"


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (TARGET, flip, "another checksum"),
        (T1W, flip, "another checksum"),
        (T1W, Path.unlink, "is not there"),
        (SIDECAR, edit_sidecar, "another checksum"),
        ("tmsprep/sub-01/nibs/sub-01_extra.json", lambda path: path.write_text("{}"), "no record"),
    ],
)
def test_what_was_changed_is_named_and_nothing_else(
    copy: Path, tiny: Path, name: str, change: Callable[[Path], object], words: str
) -> None:
    change(copy / name)
    found = problems(copy, tiny)
    assert found
    assert all(item.startswith(name) for item in found)
    assert any(words in item for item in found)


def test_outputs_without_their_raw_data_lack_nothing_else(copy: Path, tiny: Path) -> None:
    assert problems(copy, tiny) == []
    found = problems(copy, None)
    assert any("_T1w.nii.gz" in item for item in found)
    assert all("is not there; stage" in item and "read it" in item for item in found)


def test_a_swapped_raw_scan_is_named(copy: Path, tiny: Path, tmp_path: Path) -> None:
    raw = Path(shutil.copytree(tiny, tmp_path / "raw"))
    scan = next(raw.glob("sub-01/func/*echo-2*_bold.nii.gz"))
    shutil.copy(next(raw.glob("sub-01/func/*echo-1*_bold.nii.gz")), scan)
    found = problems(copy, raw)
    assert found
    assert all("echo-2" in item and "another checksum" in item for item in found)


def test_a_forged_record_is_named(copy: Path, tiny: Path) -> None:
    record = next((copy / "tmsprep" / "prov" / "activities").glob("target__*.json"))
    content = json.loads(record.read_text(encoding="utf-8"))
    content["Used"][0]["SHA256"] = "0" * 64
    record.write_text(json.dumps(content), encoding="utf-8")
    found = problems(copy, tiny)
    assert len(found) == 2
    assert any("desc-denoised_bold.nii.gz" in item and "is not what stage target read" in item for item in found)
    assert any(record.name in item and "was edited" in item for item in found)
    record.unlink()
    assert any("desc-circuit_target.json: no record says who wrote it" in item for item in problems(copy, tiny))


def test_the_command_says_so_and_a_manifest_is_accepted(copy: Path, tiny: Path) -> None:
    assert run_tmsprep("verify", copy, "--raw", tiny).returncode == 0
    assert run_tmsprep("lock", copy).returncode == 0
    check = ["sha256sum", "-c", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=copy, check=False).returncode == 0
    flip(copy / TARGET)
    assert subprocess.run(check, cwd=copy, check=False, capture_output=True).returncode == 1
    failed = run_tmsprep("verify", copy, "--raw", tiny)
    assert failed.returncode == 1
    assert TARGET in failed.stdout
    assert run_tmsprep("verify", tiny).returncode != 0


def test_a_copy_agrees_in_every_byte(whole: Finished, copy: Path, tmp_path: Path) -> None:
    result = run_tmsprep("compare", whole.output_dir, copy, "--json", tmp_path / "found.json")
    assert result.returncode == 0
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["identical_files"] == found["files"] > 50
    assert {item["apart_mm"] for item in found["differences"]} == {0.0}
    assert found["explanations"] == []


def test_a_moved_target_another_status_and_another_version_are_told(whole: Finished, copy: Path) -> None:
    markers = next((copy / "tmsprep").rglob("*_markers.tsv"))
    table = pd.read_csv(markers, sep="\t", keep_default_na=False, dtype=str)
    row = table.index[table["target_id"] == "circuit"][0]
    table.loc[row, "target_x"] = str(float(table.loc[row, "target_x"]) + 3.0)
    table.loc[table["target_id"] == "F3", "status"] = "caution"
    table.to_csv(markers, sep="\t", index=False)
    record = next((copy / "tmsprep" / "prov" / "activities").glob("target__*.json"))
    content = json.loads(record.read_text(encoding="utf-8"))
    content["Software"]["numpy"] = "0.0"
    record.write_text(json.dumps(content), encoding="utf-8")
    found = compare(whole.output_dir, copy)
    by_target = {item.target: item for item in found.differences}
    assert by_target["circuit"].apart_mm == pytest.approx(3.0, abs=1e-3)
    assert not by_target["circuit"].within(2.0)
    assert by_target["circuit"].within(3.5)
    assert not by_target["F3"].within(100.0)
    assert by_target["beamF3"].within(0.0)
    assert found.files - found.identical_files == 1
    assert run_tmsprep("compare", whole.output_dir, copy).returncode == 1


def test_another_t1w_cannot_be_compared(whole: Finished, copy: Path) -> None:
    path = next((copy / "tmsprep").rglob("*_coordsystem.json"))
    content = json.loads(path.read_text(encoding="utf-8"))
    content["AssociatedImage"]["SHA256"] = "0" * 64
    path.write_text(json.dumps(content), encoding="utf-8")
    assert run_tmsprep("compare", whole.output_dir, copy).returncode == 2
    assert compare(whole.output_dir, copy).differences == ()


def test_a_sidecar_names_the_programs_that_made_the_file(whole: Finished) -> None:
    def makers(name: str) -> list[str]:
        content = json.loads((whole.output_dir / name).read_text(encoding="utf-8"))
        return [item["Name"] for item in content["GeneratedBy"]]

    assert makers("tmsprep-builtin/sub-01/anat/sub-01_desc-preproc_T1w.json") == ["tmsprep", "niimath", "antspyx"]
    assert makers("tmsprep-builtin/sub-01/func/sub-01_task-rest_desc-hmc_boldref.json") == ["tmsprep", "niimath"]
    assert makers("tedana/sub-01/func/sub-01_task-rest_desc-denoised_bold.json") == ["tmsprep", "tedana"]
    assert makers(TARGET) == ["tmsprep"]


# What is made of the records


def prov_files(whole: Finished, suffix: str) -> list[Path]:
    return sorted(whole.output_dir.glob(f"*/prov/prov-*/prov-*_{suffix}.json"))


@pytest.mark.parametrize("suffix", sorted(SCHEMAS))
def test_bids_prov_files_are_what_the_proposal_asks(whole: Finished, suffix: str) -> None:
    paths = prov_files(whole, suffix)
    assert len(paths) >= 3
    for path in paths:
        jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), SCHEMAS[suffix])


def test_rdflib_walks_from_the_target_to_every_raw_scan(whole: Finished, tiny: Path) -> None:
    import rdflib

    graph = rdflib.Graph()
    graph.parse(whole.tmsprep / "prov" / "prov-sub01" / "prov-sub01.jsonld", format="json-ld")
    prov = rdflib.Namespace("http://www.w3.org/ns/prov#")
    start = rdflib.URIRef("bids::sub-01/nibs/sub-01_task-rest_desc-circuit_target.json")
    waiting, seen = [start], set()
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += [*graph.objects(node, prov.wasGeneratedBy), *graph.objects(node, prov.used)]
    raw = {str(node).removeprefix("bids:raw:") for node in seen if str(node).startswith("bids:raw:")}
    images = {path.relative_to(tiny).as_posix() for path in tiny.glob("sub-01/*/*.nii.gz")}
    assert images <= raw
    digests = {str(node): str(value) for node, value in graph.subject_objects(rdflib.URIRef(DIGEST))}
    for name in images:
        assert sha256(tiny / name) in digests[f"bids:raw:{name}"]
    for kind, least in ((prov.Activity, 15), (prov.Agent, 5), (prov.Entity, 60)):
        assert len(set(graph.subjects(rdflib.RDF.type, kind))) >= least


def test_the_crate_is_walked_from_the_target_to_the_raw_scans(whole: Finished, tiny: Path) -> None:
    from rocrate.rocrate import ROCrate

    crate = ROCrate(whole.tmsprep)
    stages = [entity for entity in crate.get_entities() if entity.type == "CreateAction" and entity.get("resourceUsage")]
    made_by = {result.id: action for action in stages for result in action.get("result", [])}
    waiting, seen = ["sub-01/nibs/sub-01_task-rest_markers.tsv"], set()
    while waiting:
        identifier = waiting.pop()
        seen.add(identifier)
        if identifier in made_by:
            waiting += [item.id for item in made_by[identifier]["object"] if item.id not in seen]
    images = {f"bids:raw:{path.relative_to(tiny).as_posix()}" for path in tiny.glob("sub-01/*/*.nii.gz")}
    assert images <= seen
    run = next(entity for entity in crate.get_entities() if entity.id.startswith("#run-"))
    assert run["instrument"].id == crate.mainEntity.id == "prov/workflow/Snakefile"
    assert (whole.tmsprep / "prov" / "workflow" / "rules" / "target.smk").is_file()


def test_the_run_is_recorded_with_its_settings(whole: Finished) -> None:
    [path] = (whole.tmsprep / "prov" / "runs").glob("*.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["ExitStatus"] == 0
    assert content["Configuration"]["circuit"] == "example"
    assert "bids_dir" not in content["Configuration"]
    assert content["Command"].startswith("tmsprep bids:raw: OUTPUT_DIR participant group --circuit example")
    activity = next(whole.tmsprep.glob("prov/activities/target__*.json"))
    assert json.loads(activity.read_text(encoding="utf-8"))["Run"] == content["Run"] == path.stem


def test_the_summary_shows_the_way_of_every_participant(whole: Finished) -> None:
    text = (whole.tmsprep / "prov" / "summary.html").read_text(encoding="utf-8")
    for stage in ("anatomy", "tedana", "denoise", "target", "navigate"):
        assert f'href="#{stage}-' in text
    assert "commit " in text or "sha256 " in text
    assert "What tedana recorded itself" in text


def test_tedanas_own_account_is_kept(whole: Finished) -> None:
    folder = whole.output_dir / "tedana" / "sub-01" / "func"
    tree = json.loads((folder / "sub-01_task-rest_desc-ICA_decision_tree.json").read_text(encoding="utf-8"))
    assert tree["nodes"]
    assert "GeneratedBy" not in tree
    assert (folder / "sub-01_task-rest_desc-ICA_status_table.tsv").is_file()
    record = next(whole.output_dir.glob("tedana/prov/activities/tedana__*.json"))
    own = json.loads(record.read_text(encoding="utf-8"))["OwnRecord"]
    assert own["Name"] == "tedana"
    assert "fixed_seed=42" in own["Command"]


# Deriving again


def test_a_target_is_derived_again_to_the_byte(whole: Finished, tmp_path: Path) -> None:
    result = run_tmsprep("replay", whole.output_dir, "--participant-label", "01", "--from", "denoise")
    assert result.returncode == 0, result.stdout
    assert "OTHER bytes" not in result.stdout
    assert "circuit: 0.0000 mm apart" in result.stdout
    assert "REPRODUCED" in result.stdout


def test_a_replay_refuses_inputs_that_are_not_what_they_were(copy: Path, tiny: Path, tmp_path: Path) -> None:
    flip(copy / T1W)
    result = run_tmsprep("replay", copy, "--participant-label", "01", "--from", "target", "--raw", tiny)
    assert result.returncode == 1
    assert "desc-preproc_T1w.nii.gz is not what stage target read" in result.stdout


def test_a_replay_tells_a_target_that_does_not_come_out_again(copy: Path, tiny: Path) -> None:
    """The recorded target is moved, its record with it: verification cannot tell, deriving again can."""
    markers = copy / "tmsprep/sub-01/nibs/sub-01_task-rest_markers.tsv"
    table = pd.read_csv(markers, sep="\t", keep_default_na=False, dtype=str)
    row = table.index[table["target_id"] == "circuit"][0]
    table.loc[row, "target_x"] = str(float(table.loc[row, "target_x"]) + 3.0)
    table.to_csv(markers, sep="\t", index=False)
    result = run_tmsprep("replay", copy, "--participant-label", "sub-01", "--from", "navigate", "--raw", tiny)
    assert result.returncode == 1
    assert "circuit: 3.0000 mm apart" in result.stdout
    assert "NOT REPRODUCED" in result.stdout


def test_a_replay_of_what_was_not_recorded_says_what_was(whole: Finished) -> None:
    result = run_tmsprep("replay", whole.output_dir, "--participant-label", "99")
    assert result.returncode == 1
    assert "no records of sub-99" in result.stdout
    assert "sub-01" in result.stdout
    result = run_tmsprep("replay", whole.output_dir, "--participant-label", "01", "--from", "tea")
    assert result.returncode == 1
    assert "tedana" in result.stdout


def test_failures_are_recorded_without_paths(broken: Finished) -> None:
    paths = sorted(broken.output_dir.glob("*/prov/failures/*.json"))
    assert paths
    for path in paths:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        assert content["ExitStatus"] == 1
        assert content["Error"]
        assert content["Generated"] == []
        assert str(broken.output_dir) not in text
    assert "No stage that failed" not in (broken.tmsprep / "prov" / "summary.html").read_text(encoding="utf-8")
    assert verify(broken.output_dir).problems == ()
