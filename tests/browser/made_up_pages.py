"""One page of each kind, of made-up participants: quick to write, and with texts as long as real ones get."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from tests.provenance.made_up import CLOCK, add_record, make_output
from tests.report.made_up_participant import Participant
from tmsprep.files import sha256, write_json, write_tsv
from tmsprep.provenance.compare import compare
from tmsprep.provenance.compare_page import write_page
from tmsprep.provenance.publish import publish_provenance
from tmsprep.records import Status
from tmsprep.report.group import write_group_report
from tmsprep.report.participant import write_participant_report

NAMES = ("participant", "abstained", "group", "summary", "compare")
LABELS = ("sub-01", "sub-02")
REASONS = (
    "only 4.1 min of clean data; 5 min are the least that is accepted",
    "the targets of the two halves of the data are 14.2 mm apart",
)


def write_all(folder: Path) -> dict[str, Path]:
    """Write the pages; return each by its name."""
    outputs = [_output(folder / name, shift_x_mm) for name, shift_x_mm in (("first", 0.0), ("second", 3.0))]
    written = (
        _participant(folder / "p", scale=2.0),
        _participant(folder / "a", scale=4.0, target_status=Status.ABSTAIN, target_reasons=REASONS, multi_echo=False),
        _group(folder / "g"),
        _summary(outputs[0]),
        _compare(folder / "compare.html", *outputs),
    )
    return dict(zip(NAMES, written, strict=True))


def _participant(folder: Path, **changes: Any) -> Path:
    arguments = Participant(folder, **changes).write()
    write_participant_report(**arguments)
    return Path(arguments["out_html"])


def _group(folder: Path) -> Path:
    labels = ("sub-01", "sub-02_ses-followup", "sub-03", *(f"sub-{index:02d}" for index in range(4, 10)))
    people = [Participant(folder / label, name=label) for label in labels]
    people[1].target_status, people[1].target_reasons = Status.CAUTION, REASONS[1:]
    people[2].target_status, people[2].target_reasons = Status.ABSTAIN, REASONS
    for index, person in enumerate(people):
        person.measures = {"split_half_mm": (7.0 * index + 3.0) % 11, "radius_95_mm": 9.0 + index, "coverage_sgacc": 0.5}
    written = [person.write_results() for person in people]
    truth = folder / "truth.tsv"
    write_tsv(truth, pd.DataFrame([("sub-01", -36.5, 25.0, 46.25)], columns=["participant_id", *_axes("target")]))
    write_group_report(
        markers=[item["markers"] for item in written],
        target=[item["target"] for item in written],
        participants=[person.name for person in people],
        sites=["University Hospital North", *["B"] * 5, *["University Hospital North"] * 3],
        truth=truth,
        out_targets=folder / "group_targets.tsv",
        out_html=folder / "group.html",
    )
    return folder / "group.html"


def _axes(name: str) -> list[str]:
    return [f"{name}_{axis}" for axis in "xyz"]


def _summary(output: Path) -> Path:
    """The page of an output folder that also has a run of the workflow and a stage that failed."""
    main = output / "tmsprep"
    failed = add_record(
        main,
        "denoise",
        40,
        {"bids:raw:sub-01/func/sub-01_task-rest_bold.nii.gz": "bold"},
        {"bids::sub-01/func/sub-01_task-rest_desc-denoised_bold.nii.gz": "none"},
        ["--bold", "bids:raw:sub-01/func/sub-01_task-rest_bold.nii.gz", "--fd-threshold-mm", "0.3"],
        Error="InputError",
        ExitStatus=1,
    )
    (main / "prov" / "failures").mkdir()
    failed.rename(main / "prov" / "failures" / failed.name)
    run = {
        "Run": "run-20260101T000000-1234",
        "Command": "tmsprep bids:raw: OUTPUT_DIR participant group --preproc builtin --circuit example",
        "StartedAtTime": CLOCK.format(minute=0),
        "EndedAtTime": None,
        "ExitStatus": None,
        "Configuration": {"circuit": "example"},
        "ConfigurationSHA256": "0" * 64,
        "Software": {"tmsprep": "0.1.0"},
        "Source": {"SHA256": "0" * 64, "Commit": "0" * 40, "Dirty": True},
    }
    (main / "prov" / "runs").mkdir()
    write_json(main / "prov" / "runs" / f"{run['Run']}.json", run)
    publish_provenance(output)
    return main / "prov" / "summary.html"


def _output(folder: Path, shift_x_mm: float) -> Path:
    """An output folder with records, and for each participant what a comparison reads."""
    output = make_output(folder)
    for label in LABELS:
        files = Participant(folder / "files" / label, name=label, scale=4.0, runs=1).write()
        image = f"{label}/anat/{label}_desc-preproc_T1w.nii.gz"
        own, unit = output / "tmsprep" / label, f"{label}_task-rest"
        _copy(files["t1w"], output / "tmsprep-builtin" / image)
        _copy(files["scores"], own / "func" / f"{unit}_space-T1w_desc-circuit_statmap.nii.gz")
        checksum = sha256(files["t1w"])
        content = {"Sources": [f"bids:preprocessed:{image}"], "SourcesSHA256": [checksum], "Seed": 42 + int(shift_x_mm)}
        (own / "nibs" / f"{unit}_desc-circuit_target.json").write_text(json.dumps(content), encoding="utf-8")
        write_json(own / "nibs" / f"{unit}_coordsystem.json", {"AssociatedImage": {"SHA256": checksum}})
        table = pd.read_csv(files["markers"], sep="\t", keep_default_na=False)
        table.loc[0, "target_x"] += shift_x_mm
        write_tsv(own / "nibs" / f"{unit}_markers.tsv", table, decimals=3)
    return output


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _compare(page: Path, a: Path, b: Path) -> Path:
    write_page(page, a, b, compare(a, b), 2.0)
    return page
