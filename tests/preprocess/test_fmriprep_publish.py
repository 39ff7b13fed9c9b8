"""fMRIPrep's output: nothing is published that lacks a file, and what is published is found under fixed names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tmsprep.errors import ContractError
from tmsprep.preprocess.contract import BOLD, NLIN6_TO_T1W, Anatomy, Functional
from tmsprep.preprocess.existing import Existing
from tmsprep.preprocess.fmriprep.publish import Publication, contract_files, unit_of
from tmsprep.preprocess.fmriprep.stage import link_preprocessed

T1W = Path("/raw/sub-02/ses-1/anat/sub-02_ses-1_acq-mprage_run-1_T1w.nii.gz")
RUN = "sub-02_ses-1_task-cuedSGT_run-01"
BOLDS = [Path(f"/raw/sub-02/ses-1/func/{RUN}_echo-{echo}_bold.nii.gz") for echo in (1, 2, 3)]
KEPT = "sub-02_ses-1_acq-mprage_run-1"
"""What fMRIPrep names the T1w's outputs by."""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """What fMRIPrep leaves in its output folder."""
    root = tmp_path / "job" / "out"
    folder = root / "sub-02" / "ses-1"
    for item in (*(entry.value for entry in Anatomy), NLIN6_TO_T1W):
        put(folder / item.name.format(anat=KEPT))
    for entry in Functional:
        put(folder / entry.value.name.format(run=RUN))
    for echo in (1, 2, 3):
        bold = folder / BOLD.name.format(bold=f"{RUN}_echo-{echo}")
        put(bold)
        put(bold.with_name(bold.name.replace(".nii.gz", ".json")))
    put(root / "sub-02.html")
    put(root / "sub-02" / "figures" / "x.svg")
    put(root / "logs" / "CITATION.md")
    put(root / ".bidsignore")
    description = {"Name": "x", "GeneratedBy": [{"Name": "fMRIPrep", "Version": "25.2.7"}]}
    (root / "dataset_description.json").write_text(json.dumps(description))
    return root


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name)


def files_of(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def publication(written: Path, tmp_path: Path, *, own_report: bool = False) -> Publication:
    return Publication(written, tmp_path / "fmriprep", "sub-02_ses-1", tmp_path / "published.json", own_report)


def test_runs_and_echoes_come_back_from_names() -> None:
    unit = unit_of(T1W, BOLDS)
    assert unit.subject == "02"
    assert [run.stem for run in unit.runs] == [RUN]
    assert [echo.path for echo in unit.runs[0].echoes] == BOLDS


def test_fixed_names_point_to_what_fmriprep_wrote(written: Path) -> None:
    found = contract_files(Existing.open(written), unit_of(T1W, BOLDS))
    assert found["sub-02/ses-1/anat/sub-02_ses-1_desc-preproc_T1w.nii.gz"].name == f"{KEPT}_desc-preproc_T1w.nii.gz"
    assert found[f"sub-02/ses-1/func/{RUN}_echo-2_desc-preproc_bold.json"].is_file()
    assert len(found) == len(Anatomy) + 1 + len(Functional) + 6


def test_any_missing_file_is_named_with_its_option(written: Path) -> None:
    for path in contract_files(Existing.open(written), unit_of(T1W, BOLDS)).values():
        if path.name == f"{KEPT}_desc-preproc_T1w.nii.gz":
            continue  # without it fMRIPrep has made no T1w reference at all: another message
        path.rename(path.with_suffix(".away"))
        with pytest.raises(ContractError, match="did not write") as caught:
            contract_files(Existing.open(written), unit_of(T1W, BOLDS))
        assert path.name in str(caught.value)
        assert "written" in str(caught.value)
        path.with_suffix(".away").rename(path)


def test_everything_of_the_participant_is_moved(written: Path, tmp_path: Path) -> None:
    before = {name for name in files_of(written) if name.startswith("sub-02/")}
    digests = publication(written, tmp_path).publish()
    published = files_of(tmp_path / "fmriprep")
    assert published == set(digests)
    assert published - before == {
        "sub-02.html",
        "logs/sub-02_ses-1/CITATION.md",
        "logs/sub-02_ses-1/dataset_description.json",
    }
    assert files_of(written) == {".bidsignore"}


def test_two_jobs_of_a_participant_keep_their_pages(written: Path, tmp_path: Path) -> None:
    assert "sub-02_ses-1.html" in publication(written, tmp_path, own_report=True).publish()


def test_a_second_run_leaves_nothing_stale(written: Path, tmp_path: Path) -> None:
    publication(written, tmp_path).publish()
    put(written / "sub-02" / "figures" / "y.svg")
    publication(written, tmp_path).publish()
    assert files_of(tmp_path / "fmriprep") == {"sub-02/figures/y.svg"}


def test_links_lead_to_the_files(written: Path, tmp_path: Path) -> None:
    contract = contract_files(Existing.open(written), unit_of(T1W, BOLDS))
    receipt = tmp_path / "receipt.json"
    relative = {name: path.relative_to(written).as_posix() for name, path in contract.items()}
    receipt.write_text(json.dumps({"Contract": relative}))
    publication(written, tmp_path).publish()
    name = "sub-02/ses-1/anat/sub-02_ses-1_dseg.nii.gz"
    link = tmp_path / "links" / name
    link.parent.mkdir(parents=True)
    link_preprocessed(receipt=receipt, dataset=tmp_path / "fmriprep", name=[name], out_link=[link])
    assert link.read_text() == f"{KEPT}_dseg.nii.gz"
    assert not link.readlink().is_absolute()
    with pytest.raises(ContractError, match="lacks it"):
        link_preprocessed(receipt=receipt, dataset=tmp_path / "elsewhere", name=[name], out_link=[link])
