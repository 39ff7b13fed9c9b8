"""What is written: valid BIDS, the same bytes for the same seed, sessions with one truth, and clear refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tests.simulate.conftest import COARSE, PROTOCOL, STILL, request_for
from tmsprep.commands import run_subcommand
from tmsprep.errors import ConfigurationError, InputError
from tmsprep.files import load_nifti, sha256
from tmsprep.simulate.anatomy import AnatomyFiles
from tmsprep.simulate.study import simulate


def _digests(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256(path) for path in folder.rglob("*") if path.is_file()}


def test_same_seed_gives_the_same_bytes(files: AnatomyFiles, tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        simulate(request_for(tmp_path / name, seed=seed), files)
    first, again, other = (_digests(tmp_path / name) for name in "abc")
    assert first == again
    changed = {name for name in first if first[name] != other[name]}
    assert {name for name in first if name.endswith("_bold.nii.gz")} <= changed
    assert "derivatives/truth/sub-01/func/sub-01_task-rest_desc-truth_motion.tsv" in changed
    assert "sub-01/anat/sub-01_T1w.nii.gz" not in changed


def _errors(dataset: Path) -> list[str]:
    command = [str(Path(sys.executable).with_name("bids-validator-deno")), "--json", "--ignoreWarnings", str(dataset)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    issues = json.loads(result.stdout)["issues"]["issues"]
    return [f"{item['code']} {item.get('location', '')}" for item in issues if item["severity"] == "error"]


def test_dataset_with_sessions_sites_and_field_maps_is_valid(files: AnatomyFiles, tmp_path: Path) -> None:
    distorted = replace(STILL, distorted=True, mean_fd_mm=0.1)
    common = {"conditions": distorted, "out": tmp_path}
    simulate(replace(request_for(**common), sessions=("1", "2"), field_map="epi"), files)
    simulate(replace(request_for(**common), label="02", site="siteB", field_map="phasediff"), files)
    single = replace(COARSE, echo_times_s=(0.03,))
    simulate(replace(request_for(**common), label="03", protocol=single, conditions=STILL), files)
    assert _errors(tmp_path) == []
    assert _errors(tmp_path / "derivatives" / "truth") == []
    table = pd.read_csv(tmp_path / "participants.tsv", sep="\t")
    assert table["site"].tolist() == ["siteA", "siteB", "siteA"]
    targets = pd.read_csv(tmp_path / "derivatives" / "truth" / "targets.tsv", sep="\t")
    assert targets["participant_id"].tolist() == ["sub-01", "sub-02", "sub-03"]
    first, second = (sha256(path) for path in sorted(tmp_path.glob("sub-01/ses-*/func/*echo-1_bold.nii.gz")))
    assert first != second
    assert (tmp_path / "sub-03" / "func" / "sub-03_task-rest_bold.nii.gz").is_file()


def test_command_line(files: AnatomyFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--t1w", files.t1w, "--gm", files.gm, "--wm", files.wm, "--csf", files.csf]
    words += ["--t1w-to-mni", files.t1w_to_mni, "--out", tmp_path / "bids", "--participant-label", "sub-09"]
    words += ["--minutes", 0.7, "--voxel-mm", 5, "--echo-times-ms", 12, 40, "--site", "here"]
    assert run_subcommand("simulate", [str(word) for word in words]) == 0
    assert "true target at" in capsys.readouterr().err
    image = load_nifti(tmp_path / "bids" / "sub-09" / "func" / "sub-09_task-rest_echo-2_bold.nii.gz")
    assert image.shape[3] == 21
    assert image.header.get_zooms()[3] == pytest.approx(2.0)
    sidecar = json.loads((tmp_path / "bids" / "sub-09" / "func" / "sub-09_task-rest_echo-2_bold.json").read_text())
    assert sidecar["EchoTime"] == pytest.approx(0.040)
    assert len(sidecar["SliceTiming"]) == image.shape[2]
    assert max(sidecar["SliceTiming"]) < 2.0


def test_refusals(files: AnatomyFiles, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="only some of"):
        AnatomyFiles.of(files.t1w, gm=files.gm, wm=None, csf=None, t1w_to_mni=None, scratch=tmp_path, seed=1)
    with pytest.raises(ConfigurationError, match="echo times"):
        replace(PROTOCOL, echo_times_s=(0.03, 0.01))
    with pytest.raises(ConfigurationError, match="seconds"):
        replace(PROTOCOL, echo_times_s=(13.0, 30.0))
    with pytest.raises(ConfigurationError, match="volumes"):
        replace(PROTOCOL, minutes=0.1)
    with pytest.raises(InputError, match="probabilities"):
        replace(files, gm=files.t1w).load()
    with pytest.raises(ConfigurationError, match="no circuit is called"):
        simulate(request_for(tmp_path / "x", circuit="nowhere"), files)
    assert not (tmp_path / "x").exists()
