"""Commands and URIs as records hold them: what is written can be run again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.provenance import machine
from tmsprep.provenance.record import StageRun, bids_uri, command_line, dataset_root, without_folders


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    dataset_root.cache_clear()
    for name, links in (("raw", {}), ("out", {"raw": "../raw"}), ("raw/derivatives/truth", {})):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "dataset_description.json").write_text(json.dumps({"DatasetLinks": links}), encoding="utf-8")
    return tmp_path / "out"


def run_with(dataset: Path, **arguments: object) -> str:
    return command_line(StageRun("any", dict(arguments), {}, {}, 0.0, 1.0), dataset / "x.json")


def test_options_are_written_as_the_command_line_takes_them(dataset: Path) -> None:
    text = run_with(
        dataset,
        on=True,
        off_now=False,
        nothing=None,
        empty=[],
        words="two words",
        dash="--fd 0.4",
        number=np.float64(0.3),
        many=[1, 2],
    )
    words = shlex.split(text)
    assert words[:3] == ["tmsprep", "stage", "any"]
    assert words[3:] == [
        "--on",
        "--no-off-now",
        "--words",
        "two words",
        "--dash=--fd 0.4",
        "--number",
        "0.3",
        "--many",
        "1",
        "2",
    ]


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_any_text_comes_back_from_a_recorded_command(text: str) -> None:
    line = command_line(StageRun("any", {"word": text}, {}, {}, 0.0, 1.0), Path("/nowhere/x.json"))
    last = shlex.split(line)[-1]
    assert last.removeprefix("--word=") == without_folders(text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("--bids-filter-file /home/alice/f.json --x 1", "--bids-filter-file f.json --x 1"),
        ("data=['/tmp/a b/c.nii.gz']", "data=['/tmp/a b/c.nii.gz']".replace("/tmp/", "")),
        ("bids:raw:sub-01/anat/x.nii.gz", "bids:raw:sub-01/anat/x.nii.gz"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("1/2, and/or", "1/2, and/or"),
    ],
)
def test_absolute_folders_are_cut_out_of_texts(text: str, kept: str) -> None:
    assert without_folders(text) == kept


def test_places_are_named_from_the_dataset_that_sees_them(dataset: Path, tmp_path: Path) -> None:
    seen_from = dataset / "sub-01" / "x.json"
    cases = {
        dataset / "sub-01" / "anat" / "a.nii.gz": "bids::sub-01/anat/a.nii.gz",
        tmp_path / "raw" / "sub-01" / "b.nii.gz": "bids:raw:sub-01/b.nii.gz",
        tmp_path / "raw": "bids:raw:",
        tmp_path / "raw" / "derivatives" / "truth" / "targets.tsv": "bids:raw:derivatives/truth/targets.tsv",
        tmp_path / "raw" / "derivatives" / "work" / "plan.json": "bids:unlinked:plan.json",
        tmp_path / "elsewhere" / "c.txt": "bids:unlinked:c.txt",
    }
    seen_from.parent.mkdir()
    for path, uri in cases.items():
        assert bids_uri(path, seen_from) == uri


def test_the_container_is_told_as_far_as_it_can_be_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMSPREP_IMAGE", "APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"):
        monkeypatch.delenv(name, raising=False)
    assert machine.container(tmp_path) == {"Type": "none"}
    monkeypatch.setenv("APPTAINER_CONTAINER", "/home/someone/tmsprep.sif")
    assert machine.container(tmp_path) == {"Type": "apptainer", "Image": "tmsprep.sif"}
    (tmp_path / ".dockerenv").touch()
    assert machine.container(tmp_path) == {"Type": "docker"}
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.containerenv").write_text('engine="podman-4"\nimage="tmsprep:1"\nimageid="abc"\n', encoding="utf-8")
    assert machine.container(tmp_path) == {"Type": "podman", "Image": "tmsprep:1", "Digest": "abc"}
    monkeypatch.setenv("TMSPREP_IMAGE", "tmsprep:2@sha256:def")
    assert machine.container(tmp_path) == {"Type": "podman", "Image": "tmsprep:2", "Digest": "sha256:def"}


def test_the_source_code_is_known_by_its_checksum_and_commit() -> None:
    found = dict(machine.source())
    assert len(found["SHA256"]) == 64
    root = Path(__file__).resolve().parents[2]
    if (root / ".git").exists():
        assert len(found["Commit"]) == 40
        assert isinstance(found["Dirty"], bool)


def test_software_is_what_was_loaded() -> None:
    found = machine.software()
    assert found["numpy"] == np.__version__
    assert set(found) <= {"tmsprep", "python", *machine._LIBRARIES}
