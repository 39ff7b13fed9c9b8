"""The plan: rules one by one on small made datasets."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from made_dataset import Dataset

from tmsprep.errors import ConfigurationError, InputError
from tmsprep.inputs.plan import Plan, PlanOptions, PlanRow, RowStatus, make_plan


def _plan(dataset: Dataset, **options: Any) -> Plan:
    return make_plan(PlanOptions(dataset.root, **options))


def _only(plan: Plan, suffix: str = "bold") -> PlanRow:
    rows = [row for row in plan.rows if row.suffix == suffix]
    assert len(rows) == 1
    return rows[0]


def _statuses(plan: Plan, suffix: str = "bold") -> list[str]:
    return [row.status.value for row in plan.rows if row.suffix == suffix]


def _filter(dataset: Dataset, content: Any) -> Path:
    path = dataset.root.parent / "filter.json"
    path.write_text(json.dumps(content))
    return path


# --- echoes ---------------------------------------------------------------------------------------------------------


def test_three_echoes_come_in_ascending_echo_time(dataset: Dataset) -> None:
    dataset.t1w()
    dataset.echoes(0.040, 0.013, 0.027)
    (unit,) = _plan(dataset).units
    (run,) = unit.runs
    assert [echo.echo_time_s for echo in run.echoes] == [0.013, 0.027, 0.040]
    assert [echo.path.name[17:23] for echo in run.echoes] == ["echo-2", "echo-3", "echo-1"]
    assert (run.stem, run.repetition_time_s) == ("sub-01_task-rest", 2.0)


def test_of_two_echoes_the_one_nearest_to_30_ms_is_used_and_said(dataset: Dataset) -> None:
    dataset.t1w()
    dataset.echoes(0.015, 0.036)
    plan = _plan(dataset)
    (echo,) = plan.units[0].runs[0].echoes
    assert echo.echo_time_s == 0.036
    assert _only(plan).echoes == 2
    assert "too few for tedana: the one at 36 ms" in _only(plan).reason


def test_a_single_echo_needs_no_echo_time(dataset: Dataset) -> None:
    dataset.t1w()
    dataset.bold(EchoTime=None)
    assert _plan(dataset).units[0].runs[0].echoes[0].echo_time_s is None


def test_magnitude_is_used_and_phase_never(dataset: Dataset) -> None:
    dataset.t1w()
    for part in ("mag", "phase"):
        for echo in (1, 2, 3):
            dataset.bold(name=f"task-rest_echo-{echo}_part-{part}", EchoTime=0.013 * echo)
    dataset.bold("02", "task-rest_part-phase")
    dataset.t1w("02")
    plan = _plan(dataset)
    assert [echo.path.name.split("_")[3] for echo in plan.units[0].runs[0].echoes] == ["part-mag"] * 3
    assert "part" not in plan.units[0].runs[0].entities
    assert [(row.echoes, row.status.value) for row in plan.rows if row.suffix == "bold"] == [
        (3, "process"),
        (0, "exclude"),
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"EchoTime": None}, r"echo-2_bold\.nii\.gz: EchoTime is missing .* add it to .*echo-2_bold\.json"),
        ({"EchoTime": 27.0}, r"EchoTime is 27\.0.* not milliseconds"),
        ({"EchoTime": "0.027"}, r"EchoTime is '0\.027'"),
        ({"EchoTime": True}, "EchoTime is True"),
        ({"EchoTime": 0.013}, "the same EchoTime"),
        ({"RepetitionTime": None}, "RepetitionTime is missing"),
        ({"RepetitionTime": 2000}, "RepetitionTime is 2000"),
        ({"RepetitionTime": 2.1}, r"RepetitionTime is 2\.1 s, but 2\.0 s"),
        ({"RepetitionTime": None, "VolumeTiming": [0, 3]}, "sparse sampling"),
    ],
)
def test_a_run_with_unusable_sidecars_is_an_error_that_names_the_file(
    dataset: Dataset, fields: dict[str, Any], message: str
) -> None:
    dataset.t1w()
    dataset.echoes(0.013, 0.027, 0.041)
    dataset.bold(name="task-rest_echo-2", **({"EchoTime": 0.027} | fields))
    plan = _plan(dataset)
    assert (plan.units, plan.has_errors) == ((), True)
    assert _only(plan).status is RowStatus.ERROR
    _matches(message, _only(plan).reason)
    assert "no functional run that can be processed" in _only(plan, "T1w").reason


def _matches(pattern: str, text: str) -> None:
    with pytest.raises(AssertionError, match=pattern):
        raise AssertionError(text)


def test_an_error_in_one_run_leaves_the_others(dataset: Dataset) -> None:
    dataset.t1w()
    dataset.bold(name="task-rest_run-1", RepetitionTime=None)
    dataset.bold(name="task-rest_run-2")
    plan = _plan(dataset)
    assert [run.stem for run in plan.units[0].runs] == ["sub-01_task-rest_run-2"]
    assert plan.has_errors


def test_a_missing_echo_is_noticed(dataset: Dataset) -> None:
    for subject in ("01", "02"):
        dataset.t1w(subject)
    for path in dataset.echoes(0.013, 0.027, 0.041)[1:2]:
        path.unlink()
    dataset.echoes(0.013, 0.027, 0.041, subject="02", name="task-rest_run-1")
    dataset.echoes(0.013, 0.027, subject="02", name="task-rest_run-2")
    plan = _plan(dataset)
    assert _statuses(plan) == ["error", "process", "error"]
    assert "echo 2 is missing: there is echo 1, 3" in plan.rows[1].reason
    assert "echo 3 is missing: there is echo 1, 2" in plan.rows[-1].reason


def test_two_images_for_one_echo_are_an_error(dataset: Dataset) -> None:
    dataset.t1w()
    dataset.bold()
    dataset.image("sub-01/func/sub-01_task-rest_bold.nii")
    assert "two images for the same echo" in _only(_plan(dataset)).reason


def test_an_image_without_echo_beside_echoes_is_an_error(dataset: Dataset) -> None:
    dataset.t1w()
    dataset.bold()
    dataset.echoes(0.013, 0.027, 0.041)
    assert "one image without echo-" in _only(_plan(dataset)).reason


# --- T1w ------------------------------------------------------------------------------------------------------------


def test_a_participant_without_t1w_or_without_runs_is_excluded(dataset: Dataset) -> None:
    dataset.bold("01")
    dataset.t1w("02")
    dataset.file("sub-03/dwi/sub-03_dwi.nii.gz")
    dataset.file("participants.tsv", b"participant_id\tSite\nsub-01\tA\nsub-02\tn/a\nsub-09\tB\n")
    plan = _plan(dataset)
    assert plan.units == ()
    assert not plan.has_errors
    assert [(row.participant_id, row.suffix, row.reason) for row in plan.rows] == [
        ("sub-01", "bold", "no T1w image"),
        ("sub-02", "T1w", "no functional run (Beam F3 alone is not made)"),
        ("sub-03", None, "neither a T1w image nor a functional run"),
        ("sub-09", None, "listed in participants.tsv, but the dataset has no such folder"),
    ]


def test_of_several_t1w_the_same_session_then_norm_then_first_run_is_chosen(dataset: Dataset) -> None:
    dataset.t1w(session="1", rec="norm", run="1")
    for extra in ({"run": "1"}, {"rec": "norm", "run": "2"}, {"rec": "norm", "run": "10"}, {"ce": "gd", "rec": "norm"}):
        dataset.t1w(session="2", **extra)
    dataset.bold(session="2")
    plan = _plan(dataset)
    assert plan.units[0].t1w.name == "sub-01_ses-2_rec-norm_run-2_T1w.nii.gz"
    assert _statuses(plan, "T1w").count("process") == 1
    assert any(row.reason == "chosen of 5 T1w images" for row in plan.rows)


def test_a_t1w_of_another_session_serves_and_is_said(dataset: Dataset) -> None:
    dataset.t1w(session="1")
    for session in ("1", "2"):
        dataset.bold(session=session)
    plan = _plan(dataset, per_session=True)
    assert [(unit.session, unit.t1w.parent.parent.name) for unit in plan.units] == [("1", "ses-1"), ("2", "ses-1")]
    assert ["another session" in row.reason for row in plan.rows] == [False, False, True]


def test_one_unit_a_participant_unless_asked_per_session(dataset: Dataset) -> None:
    for session in ("1", "2"):
        dataset.t1w(session=session)
        dataset.bold(session=session)
    (unit,) = _plan(dataset).units
    assert (unit.session, [run.entities["ses"] for run in unit.runs]) == (None, ["1", "2"])
    units = _plan(dataset, per_session=True).units
    assert [(unit.session, unit.t1w.name[:12], len(unit.runs)) for unit in units] == [
        ("1", "sub-01_ses-1", 1),
        ("2", "sub-01_ses-2", 1),
    ]


def test_a_t1w_said_to_be_stripped_is_an_error(dataset: Dataset) -> None:
    dataset.image("sub-01/anat/sub-01_T1w.nii.gz", SkullStripped=True)
    dataset.bold()
    plan = _plan(dataset)
    assert plan.has_errors
    assert "SkullStripped" in _only(plan, "T1w").reason
    assert _only(plan).status is RowStatus.EXCLUDE


# --- tasks and selection --------------------------------------------------------------------------------------------


def test_rest_is_used_where_there_is_rest_and_all_tasks_elsewhere(dataset: Dataset) -> None:
    for subject in ("01", "02"):
        dataset.t1w(subject)
        dataset.bold(subject, "task-nback")
    dataset.bold("01", "task-restEO")
    plan = _plan(dataset)
    assert [[run.entities["task"] for run in unit.runs] for unit in plan.units] == [["restEO"], ["nback"]]
    reasons = {(row.participant_id, row.task): row.reason for row in plan.rows}
    assert "not rest" in reasons["sub-01", "nback"]
    assert "no rest run: all tasks are used" in reasons["sub-02", "nback"]
    chosen = _plan(dataset, task_id="task-nback")
    assert [run.stem for unit in chosen.units for run in unit.runs] == ["sub-01_task-nback", "sub-02_task-nback"]


def test_selected_participants_and_sessions_are_processed_and_all_are_listed(dataset: Dataset) -> None:
    for subject in ("01", "02"):
        for session in ("1", "2"):
            dataset.t1w(subject, session)
            dataset.bold(subject, session=session)
    plan = _plan(dataset, participant_label=("sub-02",), session_label=("ses-2",))
    (unit,) = plan.units
    assert (unit.subject, [run.stem for run in unit.runs]) == ("02", ["sub-02_ses-2_task-rest"])
    assert len(plan.rows) == 8
    reasons = [row.reason for row in plan.rows if row.suffix == "bold"]
    assert reasons[:3] == ["participant not selected (--participant-label)"] * 2 + ["session not selected (--session-label)"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"participant_label": ("7",)}, r"holds no participant '7'. Expected: one of: 01, 02"),
        ({"session_label": ("9",)}, r"holds no session '9'"),
        ({"task_id": "faces"}, r"holds no task 'faces'. Expected: one of: rest"),
    ],
)
def test_an_unknown_choice_is_refused_and_what_exists_is_listed(
    dataset: Dataset, options: dict[str, Any], message: str
) -> None:
    for subject in ("01", "02"):
        dataset.bold(subject)
    with pytest.raises(InputError, match=message):
        _plan(dataset, **options)


# --- filter files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "runs"),
    [
        ({"acquisition": "a"}, ["acq-a_run-1", "acq-a_run-02"]),
        ({"acquisition": None}, ["run-1"]),
        ({"acquisition": "*", "run": 1}, ["acq-a_run-1"]),
        ({"run": ["2"]}, ["acq-a_run-02"]),
        ({"acquisition": ["a", None], "run": 1}, ["acq-a_run-1", "run-1"]),
        ({"suffix": "bold", "datatype": "func"}, ["acq-a_run-1", "acq-a_run-02", "run-1"]),
        ({"extension": ".nii"}, []),
    ],
)
def test_filter_files_select_runs(dataset: Dataset, query: dict[str, Any], runs: list[str]) -> None:
    dataset.t1w()
    for name in ("acq-a_run-1", "acq-a_run-02", "run-1"):
        dataset.bold(name=f"task-rest_{name}")
    plan = _plan(dataset, bids_filter_file=_filter(dataset, {"bold": query}))
    assert [run.stem[17:] for unit in plan.units for run in unit.runs] == runs
    assert len([row for row in plan.rows if "filter file" in row.reason]) == 3 - len(runs)


def test_filter_files_select_t1w_echoes_and_field_maps(dataset: Dataset) -> None:
    for run in ("1", "2"):
        dataset.t1w(run=run)
        _phasediff(dataset, f"run-{run}_", IntendedFor=[f"func/sub-01_task-rest_echo-{echo}_bold.nii.gz" for echo in (1, 2)])
    dataset.echoes(0.013, 0.027, 0.041, **_READOUT)
    query = {"bold": {"echo": [2]}, "t1w": {"run": 2}, "fmap": {"run": 2}}
    plan = _plan(dataset, bids_filter_file=_filter(dataset, query))
    (unit,) = plan.units
    assert unit.t1w.name == "sub-01_run-2_T1w.nii.gz"
    assert [echo.echo_time_s for echo in unit.runs[0].echoes] == [0.027]
    assert unit.runs[0].fieldmap is not None
    assert unit.runs[0].fieldmap.images[0].name == "sub-01_run-2_phasediff.nii.gz"
    assert "1 of 3 echoes used" in _only(plan).reason


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"BOLD": {}}, "names 'BOLD'"),
        ({"bold": []}, "no object"),
        ({"bold": {"acq": "x"}}, "write 'acquisition'"),
        ({"bold": {"regex_search": True}}, "list the values"),
        ({"bold": {"session": 1.5}}, "by 1.5"),
        ({"bold": {"session": {}}}, "by {}"),
        ([], "not an object"),
    ],
)
def test_wrong_filter_files_are_refused(dataset: Dataset, content: Any, message: str) -> None:
    dataset.bold()
    with pytest.raises(ConfigurationError, match=message):
        _plan(dataset, bids_filter_file=_filter(dataset, content))


# --- field maps -----------------------------------------------------------------------------------------------------

_READOUT = {"PhaseEncodingDirection": "j-", "TotalReadoutTime": 0.05}
_TARGET = "func/sub-01_task-rest_bold.nii.gz"


def _phasediff(dataset: Dataset, name: str = "", **fields: Any) -> None:
    given = {"EchoTime1": 0.005, "EchoTime2": 0.0075} | fields
    dataset.image(f"sub-01/fmap/sub-01_{name}phasediff.nii.gz", **given)
    for number in (1, 2):
        dataset.image(f"sub-01/fmap/sub-01_{name}magnitude{number}.nii.gz")


def _epi(dataset: Dataset, direction: str, encoding: str, name: str = "", **fields: Any) -> None:
    dataset.image(
        f"sub-01/fmap/sub-01_{name}dir-{direction}_epi.nii.gz",
        **({"PhaseEncodingDirection": encoding, "TotalReadoutTime": 0.05} | fields),
    )


def _fieldmap(dataset: Dataset) -> tuple[str | None, list[str]]:
    plan = _plan(dataset)
    found = plan.units[0].runs[0].fieldmap
    return (None, [_only(plan).reason]) if found is None else (found.kind, [path.name[7:-7] for path in found.images])


@pytest.fixture
def scanned(dataset: Dataset) -> Dataset:
    dataset.t1w()
    dataset.bold(**_READOUT, B0FieldSource="main")
    return dataset


@pytest.mark.parametrize("intended", [_TARGET, [_TARGET], f"bids::sub-01/{_TARGET}", ["bids:other:x", f"./{_TARGET}"]])
def test_intended_for_in_each_of_its_forms(scanned: Dataset, intended: Any) -> None:
    _phasediff(scanned, IntendedFor=intended)
    assert _fieldmap(scanned) == ("phasediff", ["phasediff", "magnitude1", "magnitude2"])


@pytest.mark.parametrize("intended", [None, "func/sub-01_task-other_bold.nii.gz", f"bids:other:sub-01/{_TARGET}"])
def test_a_field_map_that_names_no_run_of_ours_is_not_used(scanned: Dataset, intended: Any) -> None:
    _phasediff(scanned, IntendedFor=intended)
    kind, (reason,) = _fieldmap(scanned)
    assert kind is None
    assert "no field map: distortion not corrected (no field map of this session names the run" in reason


def test_an_identifier_goes_before_intended_for(scanned: Dataset) -> None:
    _phasediff(scanned, "acq-a_", IntendedFor=_TARGET)
    _phasediff(scanned, "acq-b_", B0FieldIdentifier=["x", "main"])
    assert _fieldmap(scanned)[1][0] == "acq-b_phasediff"


def test_two_epi_directions_are_used_and_one_is_not(scanned: Dataset) -> None:
    _epi(scanned, "AP", "j-", IntendedFor=_TARGET)
    kind, (reason,) = _fieldmap(scanned)
    assert kind is None
    assert "lacks the opposite PhaseEncodingDirection" in reason
    _epi(scanned, "PA", "j", IntendedFor=_TARGET)
    assert _fieldmap(scanned) == ("epi", ["dir-AP_epi", "dir-PA_epi"])


def test_of_several_epi_pairs_one_is_used_and_pairs_are_not_mixed(scanned: Dataset) -> None:
    for name in ("acq-a_", "acq-b_"):
        _epi(scanned, "AP", "j-", name, IntendedFor=_TARGET)
    _epi(scanned, "PA", "j", "acq-b_", IntendedFor=_TARGET)
    assert _fieldmap(scanned) == ("epi", ["acq-b_dir-AP_epi", "acq-b_dir-PA_epi"])


def test_a_single_band_reference_with_the_identifier_serves_as_the_other_direction(scanned: Dataset) -> None:
    _epi(scanned, "PA", "j", B0FieldIdentifier="main")
    scanned.image("sub-01/func/sub-01_task-rest_sbref.nii.gz", **_READOUT, B0FieldIdentifier="main")
    kind, images = _fieldmap(scanned)
    assert (kind, sorted(images)) == ("epi", ["dir-PA_epi", "task-rest_sbref"])


def test_the_other_kinds_of_field_map(scanned: Dataset) -> None:
    for suffix in ("phase1", "phase2"):
        scanned.image(f"sub-01/fmap/sub-01_{suffix}.nii.gz", EchoTime=0.005, IntendedFor=_TARGET)
    scanned.image("sub-01/fmap/sub-01_magnitude1.nii.gz")
    assert _fieldmap(scanned) == ("phases", ["phase1", "phase2", "magnitude1"])
    scanned.image("sub-01/fmap/sub-01_fieldmap.nii.gz", Units="Hz", IntendedFor=_TARGET)
    scanned.image("sub-01/fmap/sub-01_magnitude.nii.gz")
    assert _fieldmap(scanned) == ("fieldmap", ["fieldmap", "magnitude"])
    assert "not used: phase1" in _only(_plan(scanned)).reason


def test_what_a_field_map_lacks_is_said(scanned: Dataset) -> None:
    scanned.image("sub-01/fmap/sub-01_phasediff.nii.gz", EchoTime1=0.005, IntendedFor=_TARGET)
    assert "sub-01_phasediff.nii.gz lack EchoTime2" in _fieldmap(scanned)[1][0]
    scanned.json("sub-01/fmap/sub-01_phasediff.json", {"EchoTime1": 1, "EchoTime2": 2, "IntendedFor": _TARGET})
    assert "has no magnitude image" in _fieldmap(scanned)[1][0]
    scanned.bold()
    scanned.image("sub-01/fmap/sub-01_magnitude1.nii.gz")
    assert "the run's sidecars lack PhaseEncodingDirection" in _fieldmap(scanned)[1][0]


# --- names, links, output -------------------------------------------------------------------------------------------


def test_hostile_names_are_refused_listed_and_harmless(dataset: Dataset) -> None:
    dataset.t1w()
    dataset.bold()
    dataset.image("sub-0 1;x/func/sub-0 1;x_task-rest_bold.nii.gz")
    dataset.image("sub-01/ses-{y}/func/sub-01_task-rest_bold.nii.gz")
    dataset.image("sub-01/func/sub-01_task-a\tb_bold.nii.gz")
    dataset.image("sub-01/func/sub-01_task-rest_bold copy.nii.gz")
    (dataset.root / "sub-01/func").joinpath("sub-01_task-\udcff_bold.nii.gz").touch()
    plan = _plan(dataset)
    assert len(plan.units) == 1
    refused = [row for row in plan.rows if row.suffix is None]
    assert sorted(row.status.value for row in refused) == ["error"] * 4 + ["exclude"]
    path = dataset.root.parent / "plan.tsv"
    plan.write_tsv(path)
    assert {line.count("\t") for line in path.read_text(encoding="utf-8").splitlines()} == {10}
    assert not _plan_is_affected(dataset)


def _plan_is_affected(dataset: Dataset) -> bool:
    """Tell whether another participant's hostile name makes a selected participant fail."""
    dataset.t1w("02")
    dataset.bold("02")
    return _plan(dataset, participant_label=("02",)).has_errors


def test_derivatives_among_raw_data_and_runs_without_task(dataset: Dataset) -> None:
    dataset.t1w()
    dataset.bold()
    dataset.bold(name="task-rest_space-T1w_desc-preproc")
    dataset.image("sub-01/func/sub-01_bold.nii.gz", RepetitionTime=2.0)
    plan = _plan(dataset)
    assert [run.stem for run in plan.units[0].runs] == ["sub-01_task-rest"]
    reasons = {row.files.rpartition("/")[2]: (row.status.value, row.reason) for row in plan.rows}
    derived = reasons["sub-01_task-rest_space-T1w_desc-preproc_bold.nii.gz"]
    assert derived == ("exclude", "a derivative (it has space-, desc-), not raw data")
    assert reasons["sub-01_bold.nii.gz"][0] == "exclude"
    assert "not rest" in reasons["sub-01_bold.nii.gz"][1]
    (dataset.root / "sub-01/func/sub-01_task-rest_bold.nii.gz").unlink()
    assert "the name has no task-" in _only(_plan(dataset)).reason


def test_absent_content_is_named_and_the_other_runs_are_planned(dataset: Dataset) -> None:
    dataset.t1w()
    dataset.bold(name="task-rest_run-1")
    gone = dataset.bold(name="task-rest_run-2")
    gone.unlink()
    gone.symlink_to("../../.git/annex/objects/gone")
    plan = _plan(dataset)
    assert _statuses(plan) == ["process", "error"]
    assert "datalad get sub-01/func/sub-01_task-rest_run-2_bold.nii.gz" in plan.rows[-1].reason
    t1w = dataset.root / "sub-01/anat/sub-01_T1w.nii.gz"
    t1w.unlink()
    t1w.symlink_to("gone")
    assert _statuses(_plan(dataset), "T1w") == ["error"]
    assert _plan(dataset).units == ()


def test_the_plan_survives_json_and_moves_with_the_dataset(dataset: Dataset, tmp_path: Path) -> None:
    dataset.t1w()
    dataset.echoes(0.013, 0.027, 0.041, **_READOUT)
    _phasediff(dataset, IntendedFor="func/sub-01_task-rest_echo-1_bold.nii.gz")
    dataset.file("participants.tsv", b"participant_id\tsite\n01\t007\n")
    plan = _plan(dataset)
    plan.to_json(tmp_path / "one.json")
    assert Plan.from_json(tmp_path / "one.json", dataset.root) == plan
    assert plan.units[0].site == "007"
    dataset.root.rename(tmp_path / "moved")
    moved = make_plan(PlanOptions(tmp_path / "moved"))
    moved.to_json(tmp_path / "two.json")
    moved.write_tsv(tmp_path / "two.tsv")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    with (tmp_path / "two.tsv").open(newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [(row["suffix"], row["echoes"], row["status"]) for row in rows] == [
        ("T1w", "n/a", "process"),
        ("bold", "3", "process"),
    ]


def test_planning_imports_no_heavy_library() -> None:
    heavy = ["nilearn", "ants", "bids", "tedana", "skimage", "matplotlib"]
    code = f"import sys, tmsprep.inputs.plan; sys.exit(any(name in sys.modules for name in {heavy!r}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_thousand_participants_take_seconds(dataset: Dataset) -> None:
    import time

    for number in range(200):
        subject = f"{number:04d}"
        dataset.t1w(subject)
        for run in (1, 2):
            dataset.echoes(0.013, 0.027, 0.041, subject=subject, name=f"task-rest_run-{run}")
    started = time.process_time()
    assert len(_plan(dataset).units) == 200
    assert time.process_time() - started < 2  # 1.1 s for 1,000 where this was written
