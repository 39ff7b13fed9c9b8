"""What the benchmark of scale reads: made datasets, and made results of all participants."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.random import Generator

from tmsprep.files import write_json
from tmsprep.records import Candidate, Point, Status, TargetResult

ECHO_TIMES_S = (0.013, 0.029, 0.045)
REPETITION_TIME_S = 2.0
SITES = ("Northtown", "Southport", "Westfield", "Eastham")
LARGEST_NUMBER = 99_999
_MARKER_COLUMNS = (
    "target_id",
    "target_label",
    *(f"{name}_{axis}" for name in ("target", "entry", "target_mni") for axis in "xyz"),
)
_UNSURE, _ABSTAINING = 10, 25
"""Every so many-th participant."""


def names(size: int) -> list[str]:
    """Return ``sub-00001`` and so on."""
    if size > LARGEST_NUMBER:
        raise ValueError(f"at most {LARGEST_NUMBER} participants")
    return [f"sub-{number:05d}" for number in range(1, size + 1)]


# The dataset


def make_dataset(root: Path, size: int) -> Path:
    """Make a dataset of tiny valid images, for each participant a T1w and a run of three echoes; return its folder."""
    root.mkdir(parents=True)
    description = {"Name": f"{size} made participants", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    write_json(root / "dataset_description.json", description)
    listed = (f"{name}\t{SITES[index % len(SITES)]}\n" for index, name in enumerate(names(size)))
    (root / "participants.tsv").write_text("participant_id\tsite\n" + "".join(listed), encoding="utf-8")
    (root / "task-rest_bold.json").write_text(json.dumps({"RepetitionTime": REPETITION_TIME_S, "TaskName": "rest"}))
    t1w, bold = _image((2, 2, 2)), _image((2, 2, 2, 2))
    for name in names(size):
        _make_participant(root / name, t1w, bold)
    return root


def _make_participant(folder: Path, t1w: bytes, bold: bytes) -> None:
    for datatype in ("anat", "func"):
        (folder / datatype).mkdir(parents=True)
    (folder / "anat" / f"{folder.name}_T1w.nii.gz").write_bytes(t1w)
    for echo, time_s in enumerate(ECHO_TIMES_S, start=1):
        stem = folder / "func" / f"{folder.name}_task-rest_echo-{echo}_bold"
        Path(f"{stem}.nii.gz").write_bytes(bold)
        Path(f"{stem}.json").write_text(json.dumps({"EchoTime": time_s}), encoding="utf-8")


def _image(shape: tuple[int, ...]) -> bytes:
    image = nib.Nifti1Image(np.ones(shape, dtype=np.int16), np.eye(4))
    image.header["pixdim"][4] = REPETITION_TIME_S
    return gzip.compress(image.to_bytes())


# Results


def make_results(folder: Path, size: int) -> Path:
    """Make what the group's stage reads: targets about one place, by site; return the file of its arguments."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(size)
    files: dict[str, list[Path]] = {"markers": [], "target": [], "denoise-summary": []}
    for index, name in enumerate(names(size)):
        result = _result(index, rng)
        paths = {key: folder / f"{name}_{key}{'.tsv' if key == 'markers' else '.json'}" for key in files}
        result.save(paths["target"])
        paths["markers"].write_text(_markers(result, rng), encoding="utf-8")
        write_json(paths["denoise-summary"], {"TSNRMedianBrain": round(rng.uniform(50, 90), 2)})
        for key, path in paths.items():
            files[key].append(path)
    sites = [SITES[index % len(SITES)] for index in range(size)]
    words: dict[str, list[Any]] = {**files, "participants": names(size), "sites": sites, "run-participants": names(size)}
    arguments = folder / "group_arguments.txt"
    arguments.write_text("".join(f"--{key}\n" + "".join(f"{word}\n" for word in own) for key, own in words.items()))
    return arguments


def _result(index: int, rng: Generator) -> TargetResult:
    status = Status.ABSTAIN if index % _ABSTAINING == 7 else Status.CAUTION if index % _UNSURE == 3 else Status.OK
    ras, mni = _place((-37.0, 27.0, 48.0), rng), _place((-39.0, 32.0, 43.0), rng)
    candidate = Candidate(ras, mni, 0.41, 0.53, 61, 1647.0, 24.6)
    measures = {
        "split_half_mm": _value(rng, 1, 9),
        "radius_95_mm": _value(rng, 5, 12),
        "coverage_search_mask": _value(rng, 0.9, 1),
        "coverage_sgacc": _value(rng, 0.5, 1),
        "chance_distance_mm": _value(rng, 14, 18),
    }
    reasons = () if status is Status.OK else ("the two halves of the data give targets 8.2 mm apart",)
    return TargetResult(
        "timecourse",
        "sgacc",
        "dlpfc-spheres",
        status,
        reasons,
        (candidate,),
        _value(rng, 6, 20),
        _value(rng, 0.05, 0.3),
        measures,
    )


def _place(centre: Point, rng: Generator) -> Point:
    x, y, z = (float(value) for value in (np.array(centre) + rng.normal(0, 6, 3)).round(2))
    return (x, y, z)


def _value(rng: Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 3)


def _markers(result: TargetResult, rng: Generator) -> str:
    best, status = result.candidates[0], result.status
    circuit = (*best.target_ras_mm, *_place((-47.0, 38.0, 68.0), rng), *best.target_mni_mm)
    beam = (*_place((-38.0, 33.0, 43.0), rng), *_place((-51.0, 46.0, 58.0), rng), *_place((-40.0, 36.0, 40.0), rng))
    given: tuple[object, ...] = ("n/a",) * len(circuit) if status is Status.ABSTAIN else circuit
    rows = [
        ("circuit", "circuit", *given, status.value, "n/a"),
        ("beamF3", "beamF3", *beam, Status.OK.value, "n/a"),
    ]
    return "".join("\t".join(map(str, row)) + "\n" for row in ((*_MARKER_COLUMNS, "status", "reasons"), *rows))
