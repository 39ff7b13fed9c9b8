"""One command on the tiny dataset gives targets, in valid derivatives, close to the truth."""

from __future__ import annotations

import hashlib
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import ROOT
from tests.whole import Finished, as_fmriprep_outputs, finished
from tests.workflow.conftest import DAMAGES
from tmsprep.provenance.verify import verify

pytestmark = pytest.mark.slow


def test_ends_well_and_shows_where_the_report_is(whole: Finished) -> None:
    assert whole.status == 0, whole.text[-3000:]
    assert "group.html" in whole.text
    assert "a clinician decides" in whole.text


def test_target_is_near_the_truth_on_the_left(whole: Finished) -> None:
    truth = pd.read_csv(whole.bids_dir / "derivatives" / "truth" / "targets.tsv", sep="\t").iloc[0]
    markers = pd.read_csv(next(whole.tmsprep.glob("sub-01/nibs/*_markers.tsv")), sep="\t")
    circuit = markers[markers["target_label"] == "circuit"].iloc[0]
    axes = ("target_x", "target_y", "target_z")
    # 80 volumes at 4 mm: a check of frames and sides, not of accuracy (bench/accuracy is for that)
    assert math.dist([circuit[axis] for axis in axes], [truth[axis] for axis in axes]) < 15
    assert circuit["target_mni_x"] < 0
    assert set(markers["target_label"]) >= {"circuit", "beamF3", "F3"}


def test_derivatives_pass_the_bids_validator(whole: Finished) -> None:
    command = Path(sys.executable).with_name("bids-validator-deno")
    for dataset in ("tmsprep-builtin", "tedana", "tmsprep"):
        result = subprocess.run(
            [command, "--json", "--ignoreWarnings", whole.output_dir / dataset],
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        issues = json.loads(result.stdout)["issues"]["issues"]
        assert [issue for issue in issues if issue["severity"] == "error"] == [], dataset


def test_every_sidecar_names_its_sources_with_true_hashes(whole: Finished) -> None:
    markers = json.loads(next(whole.tmsprep.glob("sub-01/nibs/*_markers.json")).read_text())
    assert len(markers["Sources"]) == len(markers["SourcesSHA256"]) > 5
    named = dict(zip(markers["Sources"], markers["SourcesSHA256"], strict=True))
    raw = whole.bids_dir / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    assert named["bids:raw:sub-01/anat/sub-01_T1w.nii.gz"] == sha256(raw)
    images = [path for path in whole.tmsprep.rglob("*.nii.gz") if ".tmp-" not in path.name]
    for image in images:
        sidecar = json.loads(image.with_name(image.name.replace(".nii.gz", ".json")).read_text())
        assert sidecar["SHA256"] == sha256(image), image


def test_outputs_hold_no_path_of_the_machine(whole: Finished) -> None:
    for path in whole.tmsprep.rglob("*"):
        if path.suffix in {".json", ".tsv", ".html"} and not {"logs", "benchmarks"} & set(path.parts):
            assert str(whole.output_dir) not in path.read_text(encoding="utf-8"), path


def test_descriptions_name_the_whole_chain(whole: Finished) -> None:
    chains = {
        name: [
            item["Name"]
            for item in json.loads((whole.output_dir / name / "dataset_description.json").read_text())["GeneratedBy"]
        ]
        for name in ("tmsprep-builtin", "tedana", "tmsprep")
    }
    assert chains["tmsprep"][0] == "tmsprep"
    assert {"tedana", "tmsprep-builtin"} <= set(chains["tmsprep"])
    assert not any("fmriprep" in name.lower() for chain in chains.values() for name in chain)


def test_nothing_temporary_is_left(whole: Finished) -> None:
    assert list(whole.output_dir.rglob(".tmp-*")) == []


def test_a_second_run_does_nothing(whole: Finished) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.tmsprep.rglob("*.nii.gz")}
    again = finished(whole.bids_dir, whole.output_dir, "--nprocs", 1)
    assert again.status == 0
    assert {path: path.stat().st_mtime_ns for path in whole.tmsprep.rglob("*.nii.gz")} == before


def test_fmriprep_outputs_that_exist_give_the_same_target(whole: Finished, tmp_path: Path) -> None:
    """The engine's own output under fMRIPrep's names, as if fMRIPrep had written it."""
    existing = as_fmriprep_outputs(whole, tmp_path / "fmriprep")
    run = finished(whole.bids_dir, tmp_path / "out", "--nprocs", 2, "--derivatives", f"fmriprep={existing}")
    assert run.status == 0, run.text[-3000:]
    assert not (run.output_dir / "tmsprep-builtin").exists()
    for pattern in ("*_markers.tsv", "*_desc-circuit_statmap.nii.gz"):
        (one,), (two,) = (list(folder.glob(f"sub-01/**/{pattern}")) for folder in (whole.tmsprep, run.tmsprep))
        assert sha256(one) == sha256(two), pattern
    chain = json.loads((run.tmsprep / "dataset_description.json").read_text())["GeneratedBy"]
    assert [item["Name"] for item in chain] == ["tmsprep", "tedana", "fMRIPrep"]
    assert "preprocessed by fMRIPrep 25.2.7" in (run.tmsprep / "plan.tsv").read_text()
    assert verify(run.output_dir).problems == ()
    assert_all_jobs_wait_for_descriptions(run)


def assert_all_jobs_wait_for_descriptions(run: Finished) -> None:
    """Fail if a job may write into a dataset that is not described yet: its outputs would have no provenance."""
    work = run.output_dir / "work"
    words = ["--snakefile", ROOT / "Snakefile", "--configfile", work / "options.yaml", "--directory", work, "--cores", 1]
    command = [sys.executable, "-m", "tmsprep.run_snakemake", "participants", "group", *words, "--forceall", "--dag"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True, timeout=120)
    jobs = dict(re.findall(r'(\d+)\[label = "((?:describe\\ndataset: )?[\w-]+)', result.stdout))
    before: dict[str, set[str]] = {job: set() for job in jobs}
    for first, second in re.findall(r"(\d+) -> (\d+)", result.stdout):
        before[second].add(first)

    def described(job: str) -> set[str]:
        own = {jobs[job].partition("dataset: ")[2]} - {""}
        return own.union(*(described(other) for other in before[job]))

    found = [(name, described(job)) for job, name in jobs.items()]
    assert {"target", "tedana", "scalp", "report"} <= {name for name, _ in found}
    assert {name for name, datasets in found if "tmsprep" not in datasets} <= {
        "describe\\ndataset: tedana",
        "describe\\ndataset: tmsprep-builtin",
        "group_arguments",
    }
    assert all(datasets >= {"tedana", "tmsprep"} for name, datasets in found if name == "tedana")


def test_every_job_waits_for_the_descriptions(whole: Finished) -> None:
    assert_all_jobs_wait_for_descriptions(whole)


# Broken participants beside the good one


def test_broken_participants_do_not_stop_the_good_one(broken: Finished) -> None:
    assert broken.status != 0
    assert (broken.tmsprep / "sub-01.html").is_file(), broken.text[-3000:]
    for label in DAMAGES:
        assert not (broken.tmsprep / f"sub-{label}.html").exists()
        assert list(broken.tmsprep.glob(f"sub-{label}/**/*_markers.tsv")) == []


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("cut", ("echo-2", "damaged")),
        ("noTE", ("EchoTime", "echo-2")),
        ("short", ("echo-3", "volumes")),
        ("stripped", ("skull",)),
        ("garbage", ("T1w", "NIfTI")),
    ],
)
def test_each_broken_participant_has_one_clear_message(broken: Finished, label: str, words: tuple[str, ...]) -> None:
    lines = broken.text.splitlines()
    start = max(index for index, line in enumerate(lines) if line.startswith(f"✗ sub-{label}"))
    message = "\n".join(lines[start : start + 3])
    for word in words:
        assert word in message, message
    assert "Traceback" not in message


def test_one_and_two_cores_give_the_same_bytes(whole: Finished, broken: Finished) -> None:
    """All of the participant's files, sidecars and pictures included, in all three datasets."""
    for dataset in ("tmsprep-builtin", "tedana", "tmsprep"):
        one, two = (participant_files(run.output_dir / dataset) for run in (whole, broken))
        assert len(one) > 10
        assert list(one) == list(two)
        assert [name for name in one if one[name] != two[name]] == [], dataset
    assert any(name.endswith("_markers.tsv") for name in one)
    assert any(name.endswith("_statmap.nii.gz") for name in one)


def participant_files(dataset: Path) -> dict[str, str]:
    files = sorted(path for path in (dataset / "sub-01").rglob("*") if path.is_file())
    return {path.relative_to(dataset).as_posix(): sha256(path) for path in files}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
