"""The stage runner: outputs together or not at all, each with a true sidecar."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tmsprep import cli, stages
from tmsprep.commands import run_subcommand
from tmsprep.errors import ConfigurationError, InputError, ProcessingError
from tmsprep.files import publish, save_nifti
from tmsprep.provenance import record
from tmsprep.provenance.verify import verify
from tmsprep.stages import InFile, OutFile, SidecarFields

FULL = 99.0
"""A factor at which the disk is full."""


def double(
    *, image: InFile, extra: list[InFile] | None = None, out_image: OutFile, out_note: OutFile, factor: float = 2.0
) -> SidecarFields:
    """Multiply an image."""
    import nibabel as nib

    source = nib.load(image)
    save_nifti(out_image, source.get_fdata() * factor, source.affine, xform_code=1)
    if factor == FULL:
        raise OSError(errno.ENOSPC, "No space left on device")
    if factor < 0:
        raise ProcessingError("the factor is negative")
    if factor > 0:
        out_note.write_text('{"Factor": 1}')
    return {"out_image": {"Factor": factor}}


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(stages.STAGES, "double", "tests.test_stages:double")
    record.dataset_root.cache_clear()
    raw, out = tmp_path / "raw", tmp_path / "out"
    for folder, links in ((raw, {}), (out, {"raw": "../raw"})):
        (folder / "sub-01" / "anat").mkdir(parents=True)
        (folder / "dataset_description.json").write_text(json.dumps({"DatasetLinks": links}))
    save_nifti(raw / "sub-01" / "anat" / "sub-01_T1w.nii.gz", np.ones((3, 3, 3)), np.eye(4), xform_code=1)
    return tmp_path


def arguments(dataset: Path, **changes: object) -> dict[str, object]:
    out = dataset / "out" / "sub-01" / "anat"
    given: dict[str, object] = {
        "image": dataset / "raw" / "sub-01" / "anat" / "sub-01_T1w.nii.gz",
        "out_image": out / "sub-01_desc-double_T1w.nii.gz",
        "out_note": out / "note.json",
        "factor": 2.0,
    }
    return given | changes


def test_a_sidecar_names_sources_by_uri_with_their_hash(dataset: Path) -> None:
    given = arguments(dataset)
    stages.run("double", given)
    sidecar = json.loads((dataset / "out/sub-01/anat/sub-01_desc-double_T1w.json").read_text())
    assert sidecar["Factor"] == 2.0
    assert sidecar["Sources"] == ["bids:raw:sub-01/anat/sub-01_T1w.nii.gz"]
    assert sidecar["SourcesSHA256"] == [digest(Path(str(given["image"])))]
    assert sidecar["SHA256"] == digest(Path(str(given["out_image"])))
    assert "--factor 2.0" in sidecar["Command"]
    assert str(dataset) not in json.dumps(sidecar)
    assert json.loads((dataset / "out/sub-01/anat/note.json").read_text())["Sources"] == sidecar["Sources"]


@pytest.mark.parametrize("factor", [-1.0, 0.0])
def test_a_failed_stage_leaves_nothing(dataset: Path, factor: float) -> None:
    with pytest.raises(ProcessingError):
        stages.run("double", arguments(dataset, factor=factor))
    assert list((dataset / "out/sub-01/anat").iterdir()) == []


def test_a_stage_that_fails_while_publishing_leaves_nothing(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def last_fails(twin: Path, path: Path) -> None:
        if path.name == "note.json":
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        publish(twin, path)

    monkeypatch.setattr(stages, "publish", last_fails)
    with pytest.raises(ProcessingError, match=r"note\.json: the file system is read-only"):
        stages.run("double", arguments(dataset))
    assert list((dataset / "out/sub-01/anat").iterdir()) == []


def test_a_full_disk_is_one_message(dataset: Path) -> None:
    with pytest.raises(ProcessingError, match=r"no space left on the disk.*run the same command again"):
        stages.run("double", arguments(dataset, factor=FULL))
    assert list((dataset / "out/sub-01/anat").iterdir()) == []


def test_what_a_killed_run_left_is_gone_after_the_next(dataset: Path) -> None:
    stages.run("double", arguments(dataset))
    before = {path: path.read_bytes() for path in dataset.rglob("*") if path.is_file() and "prov" not in path.parts}
    (activity,) = (dataset / "out/prov/activities").iterdir()
    for path in (*before, activity.parent.parent / activity.name):
        if "out" in path.parts and path.name != "dataset_description.json":
            path.with_name(f".tmp-{os.getpid() + 1}-{path.name}").write_text("half")
    stages.run("double", arguments(dataset))
    assert {path: path.read_bytes() for path in dataset.rglob("*") if path.is_file() and "prov" not in path.parts} == before
    assert list(dataset.rglob(".tmp-*")) == []


def test_a_description_is_the_same_where_there_was_one(tmp_path: Path) -> None:
    out = tmp_path / "tedana"
    given = {"dataset": "tedana", "link": ["raw=../raw"], "out_description": out / "dataset_description.json"}
    texts: list[str] = []
    for _ in range(2):
        record.dataset_root.cache_clear()
        stages.run("describe", given | {"image": None, "out_bidsignore": out / ".bidsignore"})
        texts.append((out / "dataset_description.json").read_text(encoding="utf-8"))
    assert texts[0] == texts[1]


def test_an_intermediate_file_that_changed_is_named(dataset: Path) -> None:
    note = dataset / "work" / "sub-01" / "sub-01_note.json"
    stages.run("double", arguments(dataset, out_note=note))
    assert [str(item) for item in verify(dataset).problems if "work/" in str(item)] == []
    note.write_text(note.read_text(encoding="utf-8").replace("1", "2", 1), encoding="utf-8")
    (found,) = [str(item) for item in verify(dataset).problems if "work/" in str(item)]
    assert found.startswith("work/sub-01/sub-01_note.json: is not what stage double wrote")


def test_told_to_stop_it_says_so_and_ends() -> None:
    code = "import os, signal; from tmsprep import cli; cli._dispatch = lambda words: os.kill(os.getpid(), 15); cli.main([])"
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ended.returncode == 128 + 15
    assert ended.stderr.startswith("tmsprep: error: stopped from outside")
    assert ended.stderr.count("\n") == 1


def test_an_error_of_the_disk_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def dispatch(_: list[str]) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "/out/plan.json")

    monkeypatch.setattr(cli, "_dispatch", dispatch)
    with pytest.raises(SystemExit, match="1"):
        cli.main([])
    assert capsys.readouterr().err.startswith("tmsprep: error: /out/plan.json: no space left on the disk. What to do: ")


def test_a_missing_input_is_named_by_its_option(dataset: Path) -> None:
    with pytest.raises(InputError, match="--extra"):
        stages.run("double", arguments(dataset, extra=[dataset / "none.nii.gz"]))


def test_an_unknown_stage_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="anatomy"):
        stages.load("nothing")


def listing(*, names: list[str], image: list[InFile], few: list[str] | None = None, out_note: OutFile) -> SidecarFields:
    """Write what was given."""
    out_note.write_text(json.dumps({"names": names, "images": [path.name for path in image], "few": few}))
    return {}


def test_values_in_a_file_arrive_as_written(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stages.STAGES, "listing", "tests.test_stages:listing")
    given = arguments(dataset)
    names = ["plain", "01: [a 'reason', with \"marks\"]", "[1]", "", "-1", "tabula rasa \u2212 {}"]
    words = ["--names", *names, "--image", str(given["image"]), str(given["image"]), "--few", "n/a"]
    (dataset / "words.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    assert run_subcommand("stage", ["listing", f"@{dataset / 'words.txt'}", "--out-note", str(given["out_note"])]) == 0
    found = json.loads(Path(str(given["out_note"])).read_text(encoding="utf-8"))
    assert {key: found[key] for key in ("names", "images", "few")} == {
        "names": names,
        "images": ["sub-01_T1w.nii.gz"] * 2,
        "few": ["n/a"],
    }


@pytest.mark.parametrize("name", list(stages.STAGES))
def test_every_stage_declares_what_it_writes(name: str) -> None:
    signature = stages.Signature.of(stages.load(name))
    assert signature.outputs
    assert all(output.startswith("out_") for output in signature.outputs)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
