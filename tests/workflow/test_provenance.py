"""Verification of a whole run's records, and that it names exactly what was tampered with."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.conftest import Finished, run_tmsprep
from tmsprep.provenance.compare import compare
from tmsprep.provenance.verify import verify


@pytest.fixture
def copy(whole: Finished, tmp_path: Path) -> Path:
    """The outputs of a whole run at a place of their own; the raw data stay where they are."""
    return Path(shutil.copytree(whole.output_dir, tmp_path / "out", symlinks=True))


def problems(folder: Path, raw: Path) -> list[str]:
    return [str(item) for item in verify(folder, raw).problems]


def test_a_whole_run_is_verified(whole: Finished) -> None:
    found = verify(whole.output_dir)
    assert found.problems == ()
    assert found.activities > 10
    assert found.files > 50


def test_records_name_no_path_and_no_host(whole: Finished) -> None:
    for path in whole.output_dir.glob("*/prov/activities/*.json"):
        text = path.read_text(encoding="utf-8")
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
    assert len(found) == 1
    assert "desc-denoised_bold.nii.gz" in found[0]
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
