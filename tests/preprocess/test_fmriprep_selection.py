"""fMRIPrep's filter file: with real PyBIDS it selects what the plan holds, on published layouts too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bids.layout import BIDSLayout, BIDSLayoutIndexer, Query
from tests.inputs.made_dataset import Dataset

from tmsprep.inputs.model import Unit
from tmsprep.inputs.plan import PlanOptions, make_plan
from tmsprep.preprocess.fmriprep.selection import filter_content, tracks_sessions


def query_values(value: Any) -> Any:
    """Read null as fMRIPrep does."""
    if isinstance(value, list):
        return [query_values(item) for item in value]
    return Query.NONE if value is None else value


def select(layout: BIDSLayout, subject: str, kind: str, query: dict[str, Any]) -> set[str]:
    """Query as niworkflows' ``collect_data`` does."""
    default = {"bold": {"datatype": "func", "suffix": "bold"}, "t1w": {"datatype": "anat", "suffix": "T1w"}}[kind]
    words = default | {"part": ["mag", Query.NONE]} | {key: query_values(value) for key, value in query.items()}
    found = layout.get(return_type="file", subject=subject, extension=[".nii", ".nii.gz"], **words)
    return {Path(path).name for path in found}


def layout_of(root: Path) -> BIDSLayout:
    return BIDSLayout(root, validate=False, indexer=BIDSLayoutIndexer(validate=False, index_metadata=False))


def planned(unit: Unit) -> list[Path]:
    return [echo.path for run in unit.runs for echo in run.echoes]


def assert_exact(root: Path) -> int:
    layout = layout_of(root)
    units = make_plan(PlanOptions(root)).units
    for unit in units:
        content = filter_content(unit.t1w, planned(unit), {})
        assert select(layout, unit.subject, "t1w", content["t1w"]) == {unit.t1w.name}
        assert select(layout, unit.subject, "bold", content["bold"]) == {path.name for path in planned(unit)}
    return len(units)


def test_everything_that_could_be_mistaken_is_left_out(tmp_path: Path) -> None:
    data = Dataset(tmp_path)
    data.t1w()
    data.image("sub-01/anat/sub-01_acq-lowres_T1w.nii.gz")
    data.image("sub-01/anat/sub-01_rec-norm_run-2_T1w.nii.gz")
    data.echoes(0.013, 0.03, 0.05, name="task-rest_dir-AP_run-01")
    data.echoes(0.013, 0.03, 0.05, name="task-rest_dir-AP_run-2")
    data.bold(name="task-nback_dir-AP_run-01")
    for echo in (1, 2, 3):
        data.bold(name=f"task-rest_dir-AP_run-01_echo-{echo}_part-phase", EchoTime=0.01 * echo)
    assert assert_exact(tmp_path) == 1


def test_one_echo_of_two_is_selected_alone(tmp_path: Path) -> None:
    data = Dataset(tmp_path)
    data.t1w()
    data.echoes(0.013, 0.031)
    (unit,) = make_plan(PlanOptions(tmp_path)).units
    assert len(unit.runs[0].echoes) == 1
    assert assert_exact(tmp_path) == 1


def test_values_are_words_and_sessions_a_list() -> None:
    """fMRIPrep 25.2 stops at numbers, and iterates over a bare session label letter by letter."""
    t1w = Path("sub-01_ses-pre_run-1_T1w.nii.gz")
    bold = [Path(f"sub-01_ses-{ses}_task-rest_run-0{run}_bold.nii.gz") for ses in ("pre", "post") for run in (1, 2)]
    content = filter_content(t1w, bold, {"fmap": {"run": 1, "acquisition": ["a", 2, None]}, "bold": {"task": "nback"}})
    assert content["t1w"]["session"] == ["pre"]
    assert content["t1w"]["run"] == "1"
    assert content["bold"]["session"] == ["post", "pre"]
    assert content["bold"]["run"] == ["01", "02"]
    assert content["bold"]["task"] == "rest"
    assert content["fmap"] == {"run": "1", "acquisition": ["a", "2", None]}


@pytest.mark.parametrize(
    ("t1w", "bold", "expected"),
    [("sub-01_T1w", "sub-01_task-rest_bold", True), ("sub-01_ses-1_T1w", "sub-01_ses-2_task-rest_bold", True)]
    + [("sub-01_T1w", "sub-01_ses-2_task-rest_bold", False)],
)
def test_a_t1w_outside_of_sessions_needs_sessions_untracked(t1w: str, bold: str, expected: bool) -> None:
    assert tracks_sessions(Path(f"{t1w}.nii.gz"), [Path(f"{bold}.nii.gz")]) is expected


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", ["7t_trt", "ds006", "synthetic", "ds001", "ds005"])
def test_published_layouts(layouts: Path, name: str) -> None:
    assert assert_exact(layouts / name) > 0
