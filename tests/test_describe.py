"""A derivative dataset's description and what it hides from the BIDS validator."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from tmsprep import __version__, stages
from tmsprep.files import save_nifti, write_json

FILES = {
    "tmsprep-builtin": (
        "fmap/sub-01_task-rest_desc-preproc_fieldmap",
        "fmap/sub-01_task-rest_desc-magnitude_fieldmap",
        "func/sub-01_task-rest_desc-hmc_boldref",
        "anat/sub-01_desc-brain_mask",
    ),
    "tedana": ("func/sub-01_task-rest_T2starmap", "func/sub-01_task-rest_desc-optcom_bold"),
    "tmsprep": (
        "func/sub-01_task-rest_space-T1w_desc-circuit_statmap",
        "func/sub-01_task-rest_space-T1w_desc-denoised_bold",
    ),
}


def make_dataset(root: Path, dataset: str) -> Path:
    """Write the description by its stage, and small images under the dataset's own names."""
    folder = root / dataset
    folder.mkdir()
    arguments = {"dataset": dataset, "link": ["raw=../raw", "preprocessed=../tmsprep-builtin", "tedana=../tedana"]}
    outputs = {"out_description": folder / "dataset_description.json", "out_bidsignore": folder / ".bidsignore"}
    stages.run("describe", arguments | outputs)
    for name in FILES[dataset]:
        path = folder / "sub-01" / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        series = name.endswith("_bold")
        shape = (4, 4, 4, 3) if series else (4, 4, 4)
        timing = {"repetition_time_s": 2.0} if series else {}
        save_nifti(path, np.ones(shape, dtype=np.float32), np.eye(4), xform_code=1, **timing)
        fields = {"SkullStripped": False, "Type": "Brain", "Units": "Hz", "TaskName": "rest", "RepetitionTime": 2.0}
        write_json(path.with_name(path.name.replace(".nii.gz", ".json")), fields | {"SpatialReference": "bids:raw:x"})
    return folder


def errors(folder: Path) -> list[str]:
    command = [Path(sys.executable).with_name("bids-validator-deno"), "--json", "--ignoreWarnings", folder]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    return [issue["code"] for issue in json.loads(result.stdout)["issues"]["issues"] if issue["severity"] == "error"]


@pytest.mark.parametrize("dataset", FILES)
def test_the_dataset_s_own_names_pass_and_a_wrong_one_does_not(tmp_path: Path, dataset: str) -> None:
    folder = make_dataset(tmp_path, dataset)
    assert errors(folder) == []
    (folder / "sub-01" / "func" / "sub-01_nonsense.nii.gz").write_bytes(b"x")
    assert errors(folder)


def test_the_description_keeps_what_the_stage_wrote(tmp_path: Path) -> None:
    content = json.loads((make_dataset(tmp_path, "tedana") / "dataset_description.json").read_text())
    made = {item["Name"]: item["Version"] for item in content["GeneratedBy"]}
    assert list(made) == ["tedana", "tmsprep", "tmsprep-builtin", "niimath", "antspyx"]
    assert made["tedana"] == version("tedana")
    assert made["tmsprep"] == __version__
    assert content["DatasetLinks"]["raw"] == "../raw"


def test_the_chain_does_not_depend_on_which_sibling_is_written_first(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    before = make_dataset(tmp_path / "one", "tmsprep") / "dataset_description.json"
    for dataset in ("tmsprep-builtin", "tedana"):
        make_dataset(tmp_path / "two", dataset)
    after = make_dataset(tmp_path / "two", "tmsprep") / "dataset_description.json"
    assert before.read_bytes() == after.read_bytes()
    names = [item["Name"] for item in json.loads(after.read_text())["GeneratedBy"]]
    assert names == ["tmsprep", "tedana", "tmsprep-builtin", "niimath", "antspyx"]
