"""Every bad input of `tests.data` is refused at once, with its message and without a trace; its neighbour goes on."""

from __future__ import annotations

import json
import re
import resource
import signal
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from tests.data import allocations, choices, derivatives, headers, names, pages, places, sidecars, tables
from tests.data.cases import CANARY, BadCommand, BadDataset, Desk, Noticed
from tests.data.good import WELL, copy, make_dataset
from tests.report.made_up_participant import Participant
from tests.trial.made_up_trial import make_trial
from tmsprep.cli import main
from tmsprep.errors import InputError
from tmsprep.files import read_json, read_tsv, write_json, write_tsv
from tmsprep.inputs.model import PlanRow
from tmsprep.records import Status
from tmsprep.report.group import write_group_report
from tmsprep.report.participant import write_participant_report
from tmsprep.scalp.fiducials import read_manual_fiducials
from tmsprep.study import Study
from tmsprep.target import datafiles

SECONDS = 120
SPARE_BYTES = 2 << 30
"""What a case may take in memory beyond what the process has already."""

Refused = tuple[int, str]
"""Exit status, and all that was printed."""


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("good") / "bids")


@pytest.fixture(autouse=True)
def _harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Run each case in an empty folder, in bounded time and memory, and look what it left behind."""
    home = tmp_path / "here"
    home.mkdir()
    monkeypatch.chdir(home)
    with bounded():
        yield
    assert list(home.iterdir()) == []
    assert list(tmp_path.rglob(f"*{CANARY}")) == []
    assert list(tmp_path.rglob(".tmp-*")) == []


@contextmanager
def bounded() -> Generator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = signal.signal(signal.SIGALRM, _too_slow)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + SPARE_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _too_slow(*_: object) -> None:
    raise TimeoutError(f"no answer in {SECONDS} s")


def refuse(words: object, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command line that must fail, and return what it printed in one line."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])  # type: ignore[attr-defined]
    shown = "".join(capsys.readouterr())
    assert ended.value.code not in {0, None}, shown
    assert "Traceback" not in shown
    return one_line(shown)


def one_line(text: str) -> str:
    """Return text without the frames that the command line draws around its messages."""
    return " ".join(re.sub("[─│╭╮╰╯]", " ", text).split())


def says(message: str, text: str) -> bool:
    return re.search(message, text, re.DOTALL) is not None


# Datasets


def study_of(root: Path, output: Path, **options: Any) -> Study:
    return Study.from_config({"bids_dir": str(root), "output_dir": str(output), "circuit": "example", **options})


def check(study: Study, unit: str) -> list[object]:
    """Return the command line of the rule `check`."""
    echoes = [(echo.path, run.repetition_time_s) for run in study.units[unit].runs for echo in run.echoes]
    paths, times = zip(*echoes, strict=True)
    report = report_of(study, unit)
    return ["stage", "check", "--t1w", study.units[unit].t1w, "--bold", *paths, "--repetition-time", *times,
            "--out-report", report]  # fmt: skip


def report_of(study: Study, unit: str) -> Path:
    return study.options.work / f"{unit}_check.json"


def planned(study: Study, label: str) -> Any:
    """Return what the workflow reads of a participant's plan."""
    content = json.loads(study.plan_file.read_text(encoding="utf-8"))
    rows = [row for row in content["Rows"] if row["participant_id"] == f"sub-{label}"]
    return [unit for unit in content["Units"] if unit["subject"] == label], rows


def checked(study: Study, label: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the check on a participant that passes, and return its report."""
    unit = f"sub-{label}_task-rest"
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in check(study, unit)])
    assert ended.value.code == 0, "".join(capsys.readouterr())
    return report_of(study, unit).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def neighbour(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The plan of the good dataset."""
    return study_of(good, tmp_path_factory.mktemp("good_out"))


DATASETS = (*headers.HEADERS, *sidecars.SIDECARS, *names.NAMES)


@pytest.mark.parametrize("case", DATASETS, ids=lambda case: case.name)
def test_one_bad_participant(
    case: BadDataset, good: Path, neighbour: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    person = copy(good, tmp_path / "bids")
    case.damage(person)
    study = study_of(person.root, tmp_path / "out")
    look_at(case, study, capsys)
    assert planned(study, WELL) == planned(neighbour, WELL)
    assert checked(study, WELL, capsys) == checked(neighbour, WELL, capsys)


def look_at(case: BadDataset, study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    sick = [unit for unit in study.units if not unit.startswith(f"sub-{WELL}_")]
    wanted = {Noticed.PLAN: "error", Noticed.OTHER: "error", Noticed.REMARK: "process"}.get(case.noticed)
    said = [row.reason for row in study.plan.rows if row.status == wanted]
    if case.noticed is Noticed.CHECK:
        (unit,) = sick
        shown = refuse(check(study, unit), capsys)
        assert says(case.message, shown), shown
        assert not report_of(study, unit).exists()
        return
    assert any(says(case.message, reason) for reason in said), study.plan.rows
    assert bool(sick) is (case.noticed is not Noticed.PLAN)
    assert all(_printable(row) for row in study.plan.rows)


def _printable(row: PlanRow) -> bool:
    """Tell whether a row can be shown and written: no control characters, and nothing of the dataset's folder."""
    return all(text.isprintable() for text in (row.participant_id, row.session_id or "", row.reason, row.files))


@pytest.mark.parametrize("case", tables.TABLES, ids=lambda case: case.name)
def test_a_dataset_that_is_refused_as_a_whole(
    case: BadDataset, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    person = copy(good, tmp_path / "bids")
    case.damage(person)
    words = [person.root, tmp_path / "out", "participant", "--skip-bids-validation", "--circuit", "example"]
    shown = refuse(words, capsys)
    assert says(case.message, shown), shown
    nothing_came_out(tmp_path / "out")


def nothing_came_out(output: Path) -> None:
    """Nothing but the work folder, where a lock or the plan may be."""
    left = [path for path in output.rglob("*") if path.is_file() and "work" not in path.relative_to(output).parts]
    assert left == []


@pytest.mark.parametrize("case", derivatives.DERIVATIVES, ids=lambda case: case.name)
def test_bad_derivatives(case: BadDataset, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    person = copy(good, tmp_path / "bids")
    folder = person.root / derivatives.FOLDER
    derivatives.make(folder)
    before = study_of(person.root, tmp_path / "before", derivatives=[f"fmriprep={folder}"])
    case.damage(person)
    if case.noticed is Noticed.WHOLE:
        words = [person.root, tmp_path / "out", "participant", "--skip-bids-validation", "--circuit", "example"]
        shown = refuse([*words, "--derivatives", f"fmriprep={folder}"], capsys)
        assert says(case.message, shown), shown
        nothing_came_out(tmp_path / "out")
        return
    forget_derivatives()
    study = study_of(person.root, tmp_path / "out", derivatives=[f"fmriprep={folder}"])
    look_at(case, study, capsys)
    assert planned(study, WELL) == planned(before, WELL)


def forget_derivatives() -> None:
    """What a process has seen of a dataset's names it keeps; a new one looks again."""
    from tmsprep.preprocess import existing

    existing._t1w_stems.cache_clear()


# Command lines

COMMANDS = {
    "circuit": choices.CIRCUITS,
    "option": choices.OPTIONS,
    "transform": places.TRANSFORMS,
    "scalp": places.SCALPS,
    "tape": places.TAPES,
    "markers": places.MARKERS,
    "confounds": tables.CONFOUNDS,
    "slice times": sidecars.SLICE_TIMES,
}


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{kind}: {case.name}") for kind, cases in COMMANDS.items() for case in cases]
)
def test_a_bad_file_or_value(case: BadCommand, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk(tmp_path, good)
    shown = refuse(case.words(desk), capsys)
    assert says(case.message, shown), shown
    nothing_came_out(desk.out)


@pytest.mark.parametrize("name", choices.MASKS)
def test_a_bad_search_mask(
    name: str, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content, message = choices.MASKS[name]
    choices.save_mask(tmp_path, content)
    shipped = datafiles.folder
    monkeypatch.setattr(datafiles, "folder", lambda kind: tmp_path if kind == "search_masks" else shipped(kind))
    shown = refuse(Desk(tmp_path, good).app("--circuit", "example", "--search-mask", "mine"), capsys)
    assert says(message, shown), shown


@pytest.fixture(scope="session")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trial")
    make_trial(folder, 2)
    return folder


@pytest.mark.parametrize("name", allocations.ALLOCATIONS)
def test_a_bad_allocation(name: str, trial: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, message = allocations.ALLOCATIONS[name]
    table = Desk(tmp_path, trial).file("allocation.tsv", content)
    words = ["handoff", trial / "out", "--allocation", table, "--to", tmp_path / "to", "--key", tmp_path / "key.tsv"]
    shown = refuse(words, capsys)
    assert says(message, shown), shown
    assert not (tmp_path / "to").exists()
    assert not (tmp_path / "key.tsv").exists()


def test_fiducials_of_another_participant_do_not_count(tmp_path: Path) -> None:
    table = "participant_id\tname\tx\ty\tz\nsub-01\tNAS\t500\t0\t0\n02\tNAS\t5\t90\t0\n"
    path = Desk(tmp_path, tmp_path).file("fiducials.tsv", table)
    assert [item.position_ras_mm for item in read_manual_fiducials(path, places.BALL, "sub-02")] == [(5.0, 90.0, 0.0)]
    assert read_manual_fiducials(path, places.BALL, "sub-03") == ()
    for participant, message in (("sub-01", "mm from the scalp"), (None, "does not say whose it is")):
        with pytest.raises(InputError, match=message):
            read_manual_fiducials(path, places.BALL, participant)


# Pages

Census = Counter[tuple[str, tuple[str, ...]]]
"""How often an element with these attributes is there."""


def participant_page(folder: Path, words: str) -> Path:
    """Write a participant's page with some words wherever metadata may hold any."""
    person = Participant(
        folder, scale=4.0, runs=1, circuit=words, target_reasons=(words,), marker_reasons=words, plan_reason=words
    )
    person.summary |= {"Warnings": [words], "Command": words, words: {words: words}}
    arguments = person.write() | {"participant": words}
    for name, columns in {
        "plan": ("participant_id", "session_id", "task", "reason", "files"),
        "fiducials": ("source",),
    }.items():
        table = read_tsv(arguments[name]).astype(object)
        table[list(columns)] = words
        write_tsv(arguments[name], table)
    write_json(arguments["beamf3"], read_json(arguments["beamf3"]) | {"reasons": [words], "paths": {words: words}})
    for path in arguments["tedana_summary"]:
        write_json(path, {"Rung": words, words: words, "Warnings": [words]})
    write_participant_report(**arguments)
    return Path(arguments["out_html"])


def group_page(folder: Path, words: str) -> Path:
    person = Participant(folder, target_status=Status.CAUTION, target_reasons=(words,), circuit=words, marker_reasons=words)
    written = person.write_results()
    arguments: dict[str, Any] = {"markers": [written["markers"]], "target": [written["target"]]}
    arguments |= {"participants": [words], "sites": [words], "without": [f"{words}: {words}"]}
    write_group_report(**arguments, out_targets=folder / "t.tsv", out_html=folder / "group.html")
    return folder / "group.html"


def census(page: Path) -> Census:
    """Count the elements by their attributes' names; no address may run a program."""
    root = etree.HTML(page.read_text(encoding="utf-8"))
    assert not [value for value in root.xpath("//@*") if value.strip().lower().startswith("javascript:")]
    return Counter((str(element.tag), tuple(sorted(element.attrib))) for element in root.iter())


@pytest.mark.parametrize("make", [participant_page, group_page])
def test_markup_in_metadata_is_shown_and_makes_no_element_or_attribute(make: Any, tmp_path: Path) -> None:
    hostile = " ".join(pages.MARKUP.values())
    plain, changed = (make(tmp_path / name, words) for name, words in (("plain", "plain words"), ("hostile", hostile)))
    assert census(changed) == census(plain)
    shown = one_line("".join(etree.HTML(changed.read_text(encoding="utf-8")).xpath("//body//text()")))
    assert shown.count(one_line(hostile)) >= 2, "the strings themselves are shown, whole"
