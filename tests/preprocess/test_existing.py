"""fMRIPrep outputs that exist: found under the names that fMRIPrep gave them, refused or left out with the reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tmsprep.errors import InputError
from tmsprep.inputs.plan import Plan, PlanOptions, RowStatus, make_plan
from tmsprep.options import from_mapping
from tmsprep.preprocess.contract import BOLD, Anatomy, Functional, Item
from tmsprep.preprocess.existing import Existing, adapt
from tmsprep.study import Study


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def raw_run(root: Path, stem: str, echoes: int = 3) -> None:
    """Write the names and sidecars of a raw run; nothing here reads an image."""
    folder = root.joinpath(*(part for part in stem.split("_") if part.startswith(("sub-", "ses-")))) / "func"
    for echo in range(1, echoes + 1):
        name = f"{stem}_echo-{echo}_bold" if echoes > 1 else f"{stem}_bold"
        touch(folder / f"{name}.nii.gz")
        write_json(
            folder / f"{name}.json",
            {"EchoTime": 0.013 * echo, "RepetitionTime": 2.0, "TaskName": stem.split("task-")[1][:4]},
        )


def raw_t1w(root: Path, stem: str) -> None:
    folder = root.joinpath(*(part for part in stem.split("_") if part.startswith(("sub-", "ses-")))) / "anat"
    touch(folder / f"{stem}_T1w.nii.gz")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    root = tmp_path / "raw"
    write_json(root / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.9.0"})
    return root


def describe(root: Path, version: str = "25.2.7", name: str = "fMRIPrep") -> Path:
    write_json(root / "dataset_description.json", {"Name": "x", "GeneratedBy": [{"Name": name, "Version": version}]})
    return root


def preprocessed(root: Path, anat: str, runs: dict[str, int]) -> Path:
    """Write the contract's names: the T1w's stem, and each run's with its number of echoes."""
    describe(root)
    for item in Anatomy:
        touch(place(root, anat, item.value))
    for run, echoes in runs.items():
        for item in Functional:
            touch(place(root, run, item.value))
        for bold in [f"{run}_echo-{echo}" for echo in range(1, echoes + 1)] if echoes > 1 else [run]:
            touch(place(root, bold, BOLD))
    return root


def place(root: Path, stem: str, item: Item) -> Path:
    folder = root.joinpath(*(part for part in stem.split("_") if part.startswith(("sub-", "ses-"))))
    return folder / item.name.format(anat=stem, run=stem, bold=stem)


def adapted(raw: Path, derivatives: Path, *, per_session: bool = False) -> Plan:
    return adapt(make_plan(PlanOptions(raw, per_session=per_session)), Existing.open(derivatives))


def reasons(plan: Plan, status: RowStatus, suffix: str = "bold") -> list[str]:
    return [row.reason for row in plan.rows if row.status is status and row.suffix == suffix]


@pytest.fixture
def listed(raw: Path, tmp_path: Path, shared_data: Path) -> tuple[Path, Path]:
    """What fMRIPrep 25.2 lists as its outputs of a three-echo run, as a tree, with the raw dataset that it was made of."""
    root = describe(tmp_path / "fmriprep")
    for line in (shared_data / "layouts" / "fmriprep-25.2_multiecho_outputs.txt").read_text().split():
        if line.startswith("sub-") and Path(line).suffix:
            touch(root / line)
    raw_t1w(raw, "sub-02")
    raw_run(raw, "sub-02_task-cuedSGT_run-01")
    return raw, root


@pytest.mark.shared
def test_all_is_found_in_what_fmriprep_lists(listed: tuple[Path, Path]) -> None:
    raw, root = listed
    study = Study.from_config(
        {"bids_dir": str(raw), "output_dir": str(raw.parent / "out"), "derivatives": [f"fmriprep={root}"]}
    )
    assert list(study.units) == ["sub-02_task-cuedSGT"]
    paths = [study.anatomy(item, "sub-02") for item in Anatomy]
    paths += [study.functional(item, "sub-02_task-cuedSGT_run-01") for item in Functional]
    paths += study.echoes("sub-02_task-cuedSGT_run-01")
    assert len(paths) == len(Anatomy) + len(Functional) + 3
    assert all(Path(path).is_file() for path in paths)
    assert study.is_multi_echo("sub-02_task-cuedSGT_run-01")
    assert study.nlin6_to_t1w("sub-02") == []
    own = root / "sub-02" / "anat" / "sub-02_from-MNI152NLin6Asym_to-T1w_mode-image_xfm.h5"
    own.touch()
    assert study.nlin6_to_t1w("sub-02") == [str(own)]
    assert any("preprocessed by fMRIPrep 25.2.7: sub-02_desc-preproc_T1w.nii.gz" in row.reason for row in study.plan.rows)


@pytest.mark.shared
@pytest.mark.parametrize("item", [*Anatomy, *Functional], ids=lambda item: item.name)
def test_any_missing_file_is_named_with_its_option(listed: tuple[Path, Path], item: Anatomy | Functional) -> None:
    raw, root = listed
    stem = "sub-02" if isinstance(item, Anatomy) else "sub-02_task-cuedSGT_run-01"
    missing = root / "sub-02" / item.value.name.format(anat="sub-02", run=stem)
    missing.unlink()
    plan = adapted(raw, root)
    assert plan.units == ()
    (reason,) = reasons(plan, RowStatus.ERROR, "T1w" if isinstance(item, Anatomy) else "bold")
    if item is Anatomy.T1W:
        assert "no preprocessed T1w image" in reason
    else:
        assert missing.name in reason
        assert item.value.option in reason


@pytest.mark.shared
def test_a_missing_echo_is_named_with_its_option(listed: tuple[Path, Path]) -> None:
    raw, root = listed
    gone = root / "sub-02" / "func" / "sub-02_task-cuedSGT_run-01_echo-2_desc-preproc_bold.nii.gz"
    gone.unlink()
    (reason,) = reasons(adapted(raw, root), RowStatus.ERROR)
    assert gone.name in reason
    assert "--me-output-echos" in reason


@pytest.mark.shared
def test_a_combined_series_is_used_as_single_echo_and_said_so(listed: tuple[Path, Path]) -> None:
    raw, root = listed
    func = root / "sub-02" / "func"
    for path in func.glob("*_echo-*_desc-preproc_bold.nii.gz"):
        path.unlink()
    touch(func / "sub-02_task-cuedSGT_run-01_desc-preproc_bold.nii.gz")
    study = Study.from_config(
        {"bids_dir": str(raw), "output_dir": str(raw.parent / "out"), "derivatives": [f"fmriprep={root}"]}
    )
    run = "sub-02_task-cuedSGT_run-01"
    assert not study.is_multi_echo(run)
    assert [Path(path).name for path in study.echoes(run)] == [f"{run}_desc-preproc_bold.nii.gz"]
    (reason,) = reasons(study.plan, RowStatus.PROCESS)
    assert "single-echo" in reason
    assert "--me-output-echos" in reason


@pytest.mark.parametrize(
    ("raw_stem", "anat"),
    [
        ("sub-01", "sub-01"),
        ("sub-01_ses-1", "sub-01_ses-1"),
        ("sub-01_ses-1", "sub-01"),
        ("sub-01_ses-1_acq-mprage_run-2", "sub-01_ses-1_acq-mprage_run-2"),
        ("sub-01_acq-mprage", "sub-01_acq-mprage"),
    ],
)
def test_the_t1w_s_outputs_are_found_by_whatever_entities_fmriprep_kept(
    raw: Path, tmp_path: Path, raw_stem: str, anat: str
) -> None:
    run = "sub-01_ses-1_task-rest_run-1" if "ses-" in raw_stem else "sub-01_task-rest_run-1"
    raw_t1w(raw, raw_stem)
    raw_run(raw, run, echoes=1)
    root = preprocessed(tmp_path / "fmriprep", anat, {run: 1})
    (unit,) = adapted(raw, root).units
    assert Existing.open(root).anatomy(unit, Anatomy.GM) == place(root, anat, Anatomy.GM.value)


def test_a_template_space_t1w_is_not_taken_for_the_t1w(raw: Path, tmp_path: Path) -> None:
    raw_t1w(raw, "sub-01")
    raw_run(raw, "sub-01_task-rest", echoes=1)
    root = preprocessed(tmp_path / "fmriprep", "sub-01", {"sub-01_task-rest": 1})
    place(root, "sub-01", Anatomy.T1W.value).rename(
        root / "sub-01/anat/sub-01_space-MNI152NLin2009cAsym_desc-preproc_T1w.nii.gz"
    )
    assert adapted(raw, root).units == ()


def test_runs_of_a_session_with_its_own_t1w_need_a_target_a_session(raw: Path, tmp_path: Path) -> None:
    """fMRIPrep with one reference a session: each run lies on its own session's T1w, and only there."""
    root = tmp_path / "fmriprep"
    for ses in (1, 2):
        raw_t1w(raw, f"sub-01_ses-{ses}")
        raw_run(raw, f"sub-01_ses-{ses}_task-rest")
        preprocessed(root, f"sub-01_ses-{ses}", {f"sub-01_ses-{ses}_task-rest": 3})
    (unit,) = adapted(raw, root).units
    assert [run.entities["ses"] for run in unit.runs] == ["1"]
    (reason,) = reasons(adapted(raw, root), RowStatus.ERROR)
    assert "--per-session" in reason
    both = adapted(raw, root, per_session=True)
    assert [(unit.session, unit.t1w.name) for unit in both.units] == [(ses, f"sub-01_ses-{ses}_T1w.nii.gz") for ses in "12"]


def test_a_participant_without_outputs_does_not_stop_the_others(raw: Path, tmp_path: Path) -> None:
    for sub in ("01", "02"):
        raw_t1w(raw, f"sub-{sub}")
        raw_run(raw, f"sub-{sub}_task-rest")
    plan = adapted(raw, preprocessed(tmp_path / "fmriprep", "sub-02", {"sub-02_task-rest": 3}))
    assert [unit.subject for unit in plan.units] == ["02"]
    assert plan.has_errors
    assert len(plan.rows) == 4
    (reason,) = reasons(plan, RowStatus.ERROR, "T1w")
    assert "no preprocessed T1w image" in reason


@pytest.mark.parametrize("version", ["20.2.7", "21.0.4", "23.1.4", "unknown", ""])
def test_older_layouts_are_refused_with_the_reason(tmp_path: Path, version: str) -> None:
    with pytest.raises(InputError, match=r"23\.2 or later"):
        Existing.open(describe(tmp_path / "fmriprep", version))


def test_a_layout_from_before_generatedby_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "dataset_description.json", {"PipelineDescription": {"Name": "fMRIPrep", "Version": "1.5.10"}})
    with pytest.raises(InputError, match=r"fMRIPrep 1\.5\.10"):
        Existing.open(tmp_path)


@pytest.mark.parametrize("version", ["23.2.0", "23.2.0a2", "24.1.1", "25.2.7", "25.3.0.dev12+gabc"])
def test_recent_versions_are_taken(tmp_path: Path, version: str) -> None:
    assert Existing.open(describe(tmp_path / "fmriprep", version)).maker == f"fMRIPrep {version}"


def test_another_program_s_derivatives_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="made by XCP-D"):
        Existing.open(describe(tmp_path / "xcpd", "0.9.0", name="XCP-D"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no preprocessed dataset"):
        Existing.open(tmp_path / "empty")


def test_options_name_the_derivatives(raw: Path, tmp_path: Path) -> None:
    raw_t1w(raw, "sub-01")
    raw_run(raw, "sub-01_task-rest")
    root = preprocessed(tmp_path / "fmriprep", "sub-01", {"sub-01_task-rest": 3})
    options = {"bids_dir": str(raw), "output_dir": str(tmp_path / "out"), "derivatives": [f"fmriprep={root}"]}
    study = Study(from_mapping(options), make_plan(PlanOptions(raw)))
    assert study.preproc == root
    shutil.rmtree(root)
    with pytest.raises(InputError, match="no preprocessed dataset"):
        Study.from_config(options)
