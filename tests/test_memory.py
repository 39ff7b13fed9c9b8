"""Memory that stages are given, against what they took when it was measured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tmsprep.files import read_json, save_nifti
from tmsprep.memory import (
    CARRIER_MB,
    FIELD_MAP_LAWS,
    LAWS,
    image_mb,
    need_mb,
    need_of_field_map_mb,
    need_of_group_mb,
    volume_mb,
)
from tmsprep.preprocess.builtin.fieldmap import KINDS as FIELD_MAP_KINDS
from tmsprep.stages import STAGES

RECORD = read_json(ROOT / "bench" / "records" / "memory.json")
FIELD_MAPS, GROUPS = RECORD.pop("field maps"), RECORD.pop("group")
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


@pytest.mark.parametrize("measured", FIELD_MAPS, ids=lambda item: f"{item['kind']} {item['volume_mb']} MB")
def test_a_field_map_gets_what_was_measured(measured: dict[str, Any]) -> None:
    need = need_of_field_map_mb(measured["kind"], measured["volume_mb"])
    job = measured["peak_mb"] + CARRIER_MB
    assert job <= need <= 1.2 * job


@pytest.mark.parametrize("measured", GROUPS, ids=lambda item: f"{item['people']} people")
def test_a_group_gets_what_was_measured(measured: dict[str, int]) -> None:
    need = need_of_group_mb(measured["people"])
    job = measured["peak_mb"] + CARRIER_MB
    assert job <= need <= 1.2 * job


def test_every_kind_of_field_map_has_a_law() -> None:
    assert set(FIELD_MAP_LAWS) == set(FIELD_MAP_KINDS)


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
    assert volume_mb(path) == pytest.approx(0.004)


def test_an_unreadable_image_is_for_others_to_report(tmp_path: Path) -> None:
    (tmp_path / "bold.nii.gz").write_bytes(b"no image")
    for name in ("bold.nii.gz", "absent.nii.gz"):
        assert image_mb(tmp_path / name) == volume_mb(tmp_path / name) == 0
