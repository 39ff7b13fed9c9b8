"""Memory that stages are given, against what they took when it was measured."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tmsprep.files import read_json, save_nifti
from tmsprep.memory import CARRIER_MB, LAWS, image_mb, need_mb
from tmsprep.stages import STAGES

RECORD = read_json(ROOT / "bench" / "records" / "memory.json")
MEASURED = [(scan, stage) for scan, content in RECORD.items() for stage in content["peak_mb"]]
RULES = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk")))


def test_every_law_is_used_by_a_rule_and_every_rule_has_one() -> None:
    used = re.findall(r'mem_mb=needs\("([\w-]+)"\)', RULES)
    assert sorted(used) == sorted(LAWS)
    assert set(LAWS) <= set(STAGES)


@pytest.mark.parametrize(("scan", "stage"), MEASURED)
def test_what_was_measured_fits_and_a_fifth_more_is_not_asked_for(scan: str, stage: str) -> None:
    content = RECORD[scan]
    need = need_mb(stage, run_mb=content["run_mb"], echoes=content["echoes"], t1w_mb=content["t1w_mb"])
    job = content["peak_mb"][stage] + CARRIER_MB
    assert job <= need <= 1.2 * job


@pytest.mark.parametrize("stage", LAWS)
def test_more_data_never_need_less(stage: str) -> None:
    base = need_mb(stage)
    assert base >= LAWS[stage].fixed
    sizes = [(0.0, 1, 0.0), (500.0, 1, 0.0), (900.0, 1, 0.0), (900.0, 3, 0.0), (900.0, 3, 70.0)]
    needs = [need_mb(stage, run_mb=run_mb, echoes=echoes, t1w_mb=t1w_mb) for run_mb, echoes, t1w_mb in sizes]
    assert needs[0] == base
    assert needs == sorted(needs)


def test_an_image_is_measured_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bold.nii.gz"
    save_nifti(path, np.zeros((10, 10, 10, 25), dtype=np.int16), np.eye(4), xform_code=1, repetition_time_s=2.0)
    assert image_mb(path) == pytest.approx(0.1)


def test_an_unreadable_image_is_for_others_to_report(tmp_path: Path) -> None:
    (tmp_path / "bold.nii.gz").write_bytes(b"no image")
    assert image_mb(tmp_path / "bold.nii.gz") == image_mb(tmp_path / "absent.nii.gz") == 0
