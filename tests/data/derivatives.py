"""Preprocessed datasets that are not fMRIPrep's, too old, or incomplete."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.data.cases import BadDataset, Noticed
from tests.data.good import SICK, WELL, Person
from tmsprep.preprocess.contract import BOLD, Anatomy, Functional

FOLDER = "derivatives/fmriprep"


def make(root: Path) -> None:
    """Write the names of fMRIPrep's outputs; planning opens none of them."""
    for label in (SICK, WELL):
        run = f"sub-{label}_task-rest"
        names = [item.value.name.format(anat=f"sub-{label}") for item in Anatomy]
        names += [item.value.name.format(run=run) for item in Functional]
        names += [BOLD.name.format(bold=f"{run}_echo-{number}") for number in (1, 2, 3)]
        for name in names:
            path = root / f"sub-{label}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    _describe(root, {"GeneratedBy": [{"Name": "fMRIPrep", "Version": "25.2.7"}]})


def _describe(root: Path, content: Any) -> None:
    (root / "dataset_description.json").write_text(json.dumps(content), encoding="utf-8")


def described(content: Any) -> Callable[[Person], None]:
    return lambda person: _describe(person.root / FOLDER, content)


def version(text: Any) -> Callable[[Person], None]:
    return described({"GeneratedBy": [{"Name": "fMRIPrep", "Version": text}]})


def without(ending: str) -> Callable[[Person], object]:
    return lambda person: [path.unlink() for path in (person.root / FOLDER / "sub-01").rglob(f"*{ending}")]


_BY = r"dataset_description\.json: these derivatives were made by "
_OLD = r"dataset_description\.json: these derivatives are fMRIPrep "
DERIVATIVES = (
    BadDataset(
        "made by another program",
        Noticed.WHOLE,
        described({"GeneratedBy": [{"Name": "XCP-D"}]}),
        rf"{_BY}XCP-D.*fMRIPrep 23\.2",
    ),
    BadDataset("made by nobody", Noticed.WHOLE, described({}), rf"{_BY}nobody"),
    BadDataset("made by null", Noticed.WHOLE, described({"GeneratedBy": None}), rf"{_BY}nobody"),
    BadDataset(
        "made by a number", Noticed.WHOLE, described({"GeneratedBy": 5, "PipelineDescription": "x"}), rf"{_BY}nobody"
    ),
    BadDataset("a list for a description", Noticed.WHOLE, described([]), "the JSON is not an object"),
    BadDataset("too old", Noticed.WHOLE, version("20.2.1"), rf"{_OLD}20\.2\.1's.*23\.2 or later.*run a recent fMRIPrep"),
    BadDataset("of no version", Noticed.WHOLE, version(None), rf"{_OLD}None's.*23\.2 or later"),
    BadDataset("of a version that is none", Noticed.WHOLE, version("latest; rm -rf"), rf"{_OLD}latest; rm -rf's"),
    BadDataset(
        "no derivatives",
        Noticed.WHOLE,
        lambda person: (person.root / FOLDER / "dataset_description.json").unlink(),
        "no preprocessed dataset.*--derivatives fmriprep=PATH",
    ),
    BadDataset(
        "no transform",
        Noticed.PLAN,
        without("_to-MNI152NLin2009cAsym_mode-image_xfm.h5"),
        r"lack sub-01_from-T1w_to-MNI.*written with --output-spaces MNI152NLin2009cAsym",
    ),
    BadDataset(
        "no T1w", Noticed.PLAN, without("_desc-preproc_T1w.nii.gz"), r"sub-01: no preprocessed T1w image.*desc-preproc_T1w"
    ),
    BadDataset(
        "no confounds", Noticed.PLAN, without("_timeseries.tsv"), r"lack sub-01_task-rest_desc-confounds.*always written"
    ),
    BadDataset(
        "no echoes", Noticed.PLAN, without("_desc-preproc_bold.nii.gz"), r"lack sub-01_task-rest_echo-1.*--me-output-echos"
    ),
)
