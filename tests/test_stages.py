"""The stage runner: outputs together or not at all, each with a true sidecar."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tmsprep import stages
from tmsprep.errors import ConfigurationError, InputError, ProcessingError
from tmsprep.files import save_nifti
from tmsprep.provenance import record
from tmsprep.stages import InFile, OutFile, SidecarFields


def double(
    *, image: InFile, extra: list[InFile] | None = None, out_image: OutFile, out_note: OutFile, factor: float = 2.0
) -> SidecarFields:
    """Multiply an image."""
    import nibabel as nib

    source = nib.load(image)
    save_nifti(out_image, source.get_fdata() * factor, source.affine, xform_code=1)
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


def test_a_missing_input_is_named_by_its_option(dataset: Path) -> None:
    with pytest.raises(InputError, match="--extra"):
        stages.run("double", arguments(dataset, extra=[dataset / "none.nii.gz"]))


def test_an_unknown_stage_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="anatomy"):
        stages.load("nothing")


@pytest.mark.parametrize("name", list(stages.STAGES))
def test_every_stage_declares_what_it_writes(name: str) -> None:
    signature = stages.Signature.of(stages.load(name))
    assert signature.outputs
    assert all(output.startswith("out_") for output in signature.outputs)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
