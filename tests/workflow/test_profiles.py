"""Where jobs run: the profiles that come with the program, and what they say of the rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.inputs.made_dataset import Dataset
from tests.whole import run_tmsprep
from tmsprep.errors import ConfigurationError
from tmsprep.profiles import executor_of, find_profile
from tmsprep.slurm import job_prefix

SLURM = ROOT / "profiles" / "slurm" / "config.yaml"


def test_names_folders_and_files_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_profile("slurm") == str(SLURM.parent)
    assert find_profile("local") == str(ROOT / "profiles" / "local")
    assert find_profile("our-site") == "our-site"  # Snakemake looks in the user's settings
    (tmp_path / "our-site").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_profile("our-site") == str(tmp_path / "our-site")
    assert find_profile("../containers") == "../containers"


def test_the_executor_is_read_from_the_words_before_the_profile(tmp_path: Path) -> None:
    assert executor_of(str(SLURM.parent), []) == "slurm"
    assert executor_of(str(SLURM), []) == "slurm"
    assert executor_of(str(SLURM), ["--executor", "local"]) == "local"
    assert executor_of(find_profile("local"), []) == "local"
    assert executor_of("our-site", []) == "local"
    (tmp_path / "config.yaml").write_text("executor: [", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="no readable Snakemake profile"):
        executor_of(str(tmp_path), [])


def test_groups_name_rules_that_exist() -> None:
    rules = {
        name for path in ROOT.glob("rules/*.smk") for name in re.findall(r"^ *rule (\w+):", path.read_text(), re.MULTILINE)
    }
    grouped = {entry.partition("=")[0] for entry in yaml.safe_load(SLURM.read_text())["groups"]}
    assert grouped <= rules
    once = {
        "plan",
        "describe",
        "group",
        "group_arguments",
        "participants",
        "all",
        "fmriprep_image",
        "templateflow",
        "fsaverage",
    }
    assert rules - grouped - once == {"check", "fmriprep", "target"}


@pytest.mark.parametrize("engine", ["builtin", "fmriprep"])
def test_groups_wait_for_each_other_in_no_circle(tmp_path: Path, engine: str) -> None:
    """Snakemake refuses groups that do, when it builds the graph."""
    dataset = Dataset(tmp_path / "bids")
    readout = {"PhaseEncodingDirection": "j", "TotalReadoutTime": 0.03, "B0FieldSource": "map"}
    for session in ("a", "b"):
        dataset.t1w(session=session)
        for echo, time_s in enumerate((0.013, 0.03, 0.048), start=1):
            dataset.bold(name=f"task-rest_echo-{echo}", session=session, EchoTime=time_s, **readout)
        for direction, code in (("AP", "j-"), ("PA", "j")):
            given = {"PhaseEncodingDirection": code, "TotalReadoutTime": 0.03, "B0FieldIdentifier": "map"}
            dataset.image(f"sub-01/ses-{session}/fmap/sub-01_ses-{session}_dir-{direction}_epi.nii.gz", **given)
    license_file = dataset.file("../license.txt", b"a\nb\nc\nd\n")
    words = ["--preproc", engine, "--circuit", "example", "--skip-bids-validation", "--dry-run", "--profile", "slurm"]
    words += ["--fs-license-file", str(license_file)] if engine == "fmriprep" else []
    result = run_tmsprep(dataset.root, tmp_path / "out", "participant", *words)
    assert result.returncode == 0, result.stdout
    assert ("fieldmap" if engine == "builtin" else "link_bold") in result.stdout


def test_jobs_of_two_outputs_have_other_names() -> None:
    names = {job_prefix(Path("/data/out")), job_prefix(Path("/data/out2"))}
    assert len(names) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,50}", name) for name in names)
