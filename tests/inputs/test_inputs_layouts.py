"""The plan of published layouts, against tables written by hand from looking at the datasets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tmsprep.errors import InputError
from tmsprep.inputs.plan import Plan, PlanOptions, PlanRow, make_plan

pytestmark = pytest.mark.shared


def _plan(folder: Path) -> Plan:
    return make_plan(PlanOptions(folder))


def _counts(plan: Plan) -> Counter[tuple[str | None, str | None, str]]:
    return Counter((row.suffix, row.task, row.status.value) for row in plan.rows)


def _of(plan: Plan, participant: str) -> list[PlanRow]:
    return [row for row in plan.rows if row.participant_id == participant]


def test_7t_trt(layouts: Path) -> None:
    """One T1w in session 1; per session two full-brain runs, each with its phase difference, and one prefrontal."""
    plan = _plan(layouts / "7t_trt")
    assert len(plan.units) == 22
    assert _counts(plan) == {("T1w", None, "process"): 22, ("bold", "rest", "process"): 132}
    for unit in plan.units:
        sub = f"sub-{unit.subject}"
        assert (unit.session, unit.t1w.name) == (None, f"{sub}_ses-1_T1w.nii.gz")
        expected = {
            f"{sub}_ses-{ses}_task-rest_acq-{run}": (repetition_s, echo_s, has_map)
            for ses in (1, 2)
            for run, repetition_s, echo_s, has_map in (
                ("fullbrain_run-1", 3.0, 0.017, True),
                ("fullbrain_run-2", 3.0, 0.017, True),
                ("prefrontal", 4.0, 0.026, False),
            )
        }
        found = {run.stem: (run.repetition_time_s, run.echoes[0].echo_time_s, run.fieldmap is not None) for run in unit.runs}
        assert found == expected
    reasons = [row.reason for row in _of(plan, "sub-01") if row.session_id == "ses-2"]
    assert all("T1w image of another session" in reason for reason in reasons)
    maps = {run.stem: run.fieldmap for unit in plan.units if unit.subject == "13" for run in unit.runs}
    lacking = maps["sub-13_ses-1_task-rest_acq-fullbrain_run-1"]  # the dataset has no second magnitude here
    assert lacking is not None
    assert [path.name[19:] for path in lacking.images] == ["phasediff.nii.gz", "magnitude1.nii.gz"]


def test_ds210(layouts: Path) -> None:
    """Fifteen participants, four task runs and one rest run of three echoes each, no T1w at all."""
    plan = _plan(layouts / "ds210")
    assert plan.units == ()
    assert not plan.has_errors
    assert _counts(plan) == {("bold", "cuedSGT", "exclude"): 60, ("bold", "rest", "exclude"): 15}
    assert {row.reason for row in plan.rows} == {"no T1w image"}
    assert {row.echoes for row in plan.rows} == {3}


def test_ds210_with_a_t1w_is_multi_echo(layouts: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "ds210"
    shutil.copytree(layouts / "ds210", copy)
    (copy / "sub-01" / "anat").mkdir()
    (copy / "sub-01" / "anat" / "sub-01_T1w.nii.gz").touch()
    (unit,) = _plan(copy).units
    (run,) = unit.runs
    assert run.stem == "sub-01_task-rest_run-01"
    assert [echo.echo_time_s for echo in run.echoes] == [0.0137, 0.030, 0.047]
    assert run.repetition_time_s == 3.0
    assert [path.name for path in run.echoes[1].sidecars] == ["task-rest_echo-2_bold.json"]


def test_synthetic(layouts: Path) -> None:
    """Five participants, two sessions: T1w, one rest run, two n-back runs each; uncompressed; derivatives inside."""
    plan = _plan(layouts / "synthetic")
    assert _counts(plan) == {
        ("T1w", None, "process"): 5,
        ("T1w", None, "exclude"): 5,
        ("bold", "rest", "process"): 10,
        ("bold", "nback", "exclude"): 20,
    }
    for unit in plan.units:
        sub = f"sub-{unit.subject}"
        assert unit.t1w.name == f"{sub}_ses-01_T1w.nii"
        assert [run.stem for run in unit.runs] == [f"{sub}_ses-0{ses}_task-rest" for ses in (1, 2)]
        assert {run.repetition_time_s for run in unit.runs} == {2.5}
    assert not any("derivatives" in row.files for row in plan.rows)


@pytest.mark.parametrize(("name", "task"), [("ds001", "balloonanalogrisktask"), ("ds005", "mixedgamblestask")])
def test_ds001_and_ds005(layouts: Path, name: str, task: str) -> None:
    """Sixteen participants, one T1w and three runs of one task; a T2 in plane that is of no use here."""
    plan = _plan(layouts / name)
    assert _counts(plan) == {("T1w", None, "process"): 16, ("bold", task, "process"): 48}
    for unit in plan.units:
        assert [run.entities["run"] for run in unit.runs] == ["01", "02", "03"]
        assert all(run.repetition_time_s == 2.0 and run.fieldmap is None for run in unit.runs)
    assert all("no rest run: all tasks are used" in row.reason for row in plan.rows if row.suffix == "bold")


def test_ds006(layouts: Path) -> None:
    """Fourteen participants, sessions pre and post with a T1w each and six runs; four runs were never scanned."""
    missing = {("03", "pre", "05"), ("05", "pre", "02"), ("06", "pre", "02"), ("07", "pre", "04")}
    plan = _plan(layouts / "ds006")
    expected = {
        (f"{number:02d}", session, f"{run:02d}")
        for number in range(1, 15)
        for session in ("pre", "post")
        for run in range(1, 7)
    } - missing
    found = {(run.entities["sub"], run.entities["ses"], run.entities["run"]) for unit in plan.units for run in unit.runs}
    assert found == expected
    by_session = make_plan(PlanOptions(layouts / "ds006", per_session=True))
    assert [(unit.subject, unit.session) for unit in by_session.units][:3] == [("01", "post"), ("01", "pre"), ("02", "post")]
    assert all(f"_ses-{unit.session}_" in unit.t1w.name for unit in by_session.units)
    assert len(by_session.units) == 28


def test_ds113b(layouts: Path) -> None:
    """Twenty participants without T1w, eight runs each, the last has four."""
    plan = _plan(layouts / "ds113b")
    assert plan.units == ()
    assert _counts(plan) == {("bold", "auditoryperception", "exclude"): 19 * 8 + 4}
    assert len(_of(plan, "sub-20")) == 4


def test_eyetracking_fmri(layouts: Path) -> None:
    """One participant, two rest runs, and for both an EPI pair and a field map: the pair is used, and said."""
    plan = _plan(layouts / "eyetracking_fmri")
    (unit,) = plan.units
    assert [run.stem for run in unit.runs] == [f"sub-01_ses-01_task-rest_run-0{run}" for run in (1, 2)]
    for run in unit.runs:
        assert (run.repetition_time_s, run.echoes[0].echo_time_s) == (0.8, 0.0352)
        assert run.fieldmap is not None
        assert (run.fieldmap.kind, len(run.fieldmap.images)) == ("epi", 2)
    assert all("not used: fieldmap" in row.reason for row in plan.rows if row.suffix == "bold")


def test_derivatives_are_refused_as_raw_data(layouts: Path) -> None:
    with pytest.raises(InputError, match="derivative dataset"):
        _plan(layouts / "ds000001-fmriprep")


def test_the_real_dataset(shared_data: Path) -> None:
    """sub-01: T1w and two picture runs; sub-a01: complex three-echo rest without T1w."""
    plan = _plan(shared_data / "bids_real")
    (unit,) = plan.units
    assert (unit.subject, unit.site) == ("01", "A")
    assert [run.stem for run in unit.runs] == [f"sub-01_task-pictures_run-{run}" for run in (1, 2)]
    assert [(run.repetition_time_s, run.echoes[0].echo_time_s) for run in unit.runs] == [(2.0, 0.028)] * 2
    (row,) = _of(plan, "sub-a01")
    assert (row.status.value, row.reason, row.echoes, row.task) == ("exclude", "no T1w image", 3, "rest")
    assert not plan.has_errors
