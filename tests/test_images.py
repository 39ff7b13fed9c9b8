"""The list of images, and fMRIPrep as it is found on this machine."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tmsprep import __version__
from tmsprep.errors import ConfigurationError, TmsprepError
from tmsprep.images import Finding, Image, findings, load_images, write_digests
from tmsprep.images_command import command as images_command
from tmsprep.interfaces.containers import Runtime, RuntimeChoice, choose
from tmsprep.preprocess.fmriprep.image import FmriprepImage, fetch_commands, prepare_image

DIGEST = "sha256:" + "5" * 64


def put_program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path with nothing on it; returns the folder to put programs into."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


# The list


def test_the_list_names_our_own_version_and_fmripreps() -> None:
    images = load_images()
    assert images["tmsprep"].tag == __version__
    assert images["fmriprep"].tagged == "nipreps/fmriprep:25.2.7"


def test_digests_are_written_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "images.yaml"
    before = (ROOT / "containers" / "images.yaml").read_text()
    path.write_text(before)
    write_digests(path, {"fmriprep": DIGEST})
    after = path.read_text()
    changed = [(old, new) for old, new in zip(before.splitlines(), after.splitlines(), strict=True) if old != new]
    assert changed == [("  digest: null", f"  digest: {DIGEST}")]
    assert load_images(path)["fmriprep"].reference == f"nipreps/fmriprep@{DIGEST}"
    assert load_images(path)["tmsprep"].digest is None
    with pytest.raises(ConfigurationError, match="no digest line"):
        write_digests(path, {"other": DIGEST})


@pytest.mark.parametrize(
    "text", ["", "fmriprep: 3\n", "a: {repository: b, tag: c, digest: 'md5:1', purpose: d}\n", "a: [\n"]
)
def test_a_broken_list_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "images.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError):
        load_images(path)


@pytest.mark.parametrize(
    ("digest", "stored", "verdict"),
    [
        (DIGEST, (DIGEST,), "ok"),
        (DIGEST, ("sha256:1",), "another image under this name"),
        (DIGEST, None, "not here"),
        (DIGEST, (), "another image under this name"),
        (None, None, "not pinned, not here"),
        (None, (DIGEST,), "not pinned"),
    ],
)
def test_verdicts(digest: str | None, stored: tuple[str, ...] | None, verdict: str) -> None:
    assert Finding(Image("x", "a/x", "1", digest, ""), stored).verdict == verdict


def test_only_stores_that_keep_digests_are_asked() -> None:
    with pytest.raises(ConfigurationError, match="plain files"):
        findings(Runtime.APPTAINER, [])


# Runtimes


def test_auto_takes_the_first_that_works(bare: Path) -> None:
    put_program(bare, "fmriprep", "exit 0")
    assert choose(RuntimeChoice.AUTO) is Runtime.NONE
    put_program(bare, "singularity", "exit 0")
    assert choose(RuntimeChoice.AUTO) is Runtime.SINGULARITY
    put_program(bare, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    assert choose(RuntimeChoice.AUTO) is Runtime.SINGULARITY
    put_program(bare, "docker", "echo 28")
    assert choose(RuntimeChoice.AUTO) is Runtime.DOCKER


def test_what_is_asked_for_is_not_replaced(bare: Path) -> None:
    put_program(bare, "podman", "exit 0")
    put_program(bare, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    with pytest.raises(ConfigurationError, match="docker: Cannot connect"):
        choose(RuntimeChoice.DOCKER)
    with pytest.raises(ConfigurationError, match="ch-run is not on the path"):
        choose(RuntimeChoice.CHARLIECLOUD)


def test_nothing_at_all_is_told_for_each(bare: Path) -> None:
    del bare
    with pytest.raises(ConfigurationError) as caught:
        choose(RuntimeChoice.AUTO)
    for runtime in Runtime:
        assert f"{runtime}:" in str(caught.value)


# fMRIPrep on this machine


def test_an_installed_fmriprep_tells_its_version(bare: Path, tmp_path: Path) -> None:
    put_program(bare, "fmriprep", "echo fMRIPrep v25.2.3")
    prepare_image(container_runtime=RuntimeChoice.NONE, out_image=tmp_path / "image.json")
    image = FmriprepImage.read(tmp_path / "image.json")
    assert (image.fmriprep_version, image.runtime, image.pinned) == ("25.2.3", Runtime.NONE, False)
    assert "Container" not in image.generated_by()


@pytest.mark.parametrize(
    ("script", "word"),
    [("echo fMRIPrep v22.1.1", "too old"), ("echo hello", "hello"), ("echo broken >&2; exit 3", "exit status 3: broken")],
)
def test_what_is_no_recent_fmriprep_is_refused(bare: Path, tmp_path: Path, script: str, word: str) -> None:
    put_program(bare, "fmriprep", script)
    with pytest.raises(TmsprepError, match=word):
        prepare_image(container_runtime=RuntimeChoice.NONE, out_image=tmp_path / "image.json")


def put_podman(bare: Path, digest: str, version: str = "25.2.7") -> None:
    """A podman that holds one image; what it answers is what podman 4.3 answers."""
    content = json.dumps({"Id": "1" * 64, "RepoDigests": [f"localhost/nipreps/fmriprep@{digest}"]})
    answers = f"image) echo '{content}';; run) echo fMRIPrep v{version};; --version) echo podman 4;; *) exit 9;;"
    put_program(bare, "podman", f'case "$1" in {answers} esac')


def test_the_digest_found_is_written_down(bare: Path, tmp_path: Path) -> None:
    put_podman(bare, DIGEST)
    prepare_image(container_runtime=RuntimeChoice.AUTO, out_image=tmp_path / "image.json")
    image = FmriprepImage.read(tmp_path / "image.json")
    assert image.generated_by()["Container"] == {
        "Type": "podman",
        "Tag": "nipreps/fmriprep:25.2.7",
        "URI": f"nipreps/fmriprep@{DIGEST}",
    }


def test_an_identifier_is_not_taken_for_a_digest(bare: Path, tmp_path: Path) -> None:
    """Docker's store knows no digest of an image that was built here."""
    content = json.dumps({"Id": "1" * 64, "RepoDigests": []})
    put_program(bare, "podman", f"case \"$1\" in image) echo '{content}';; run) echo fMRIPrep v25.2.7;; *) echo 4;; esac")
    prepare_image(container_runtime=RuntimeChoice.PODMAN, out_image=tmp_path / "image.json")
    assert FmriprepImage.read(tmp_path / "image.json").digest is None
    listed = tmp_path / "images.yaml"
    before = (ROOT / "containers" / "images.yaml").read_text()
    listed.write_text(before)
    assert images_command("pin", ["fmriprep"], container_runtime=RuntimeChoice.PODMAN, file=listed) == 1
    assert listed.read_text() == before


def test_another_version_must_be_named(bare: Path, tmp_path: Path) -> None:
    put_podman(bare, DIGEST, "25.2.8")
    with pytest.raises(ConfigurationError, match="--fmriprep-image"):
        prepare_image(container_runtime=RuntimeChoice.PODMAN, out_image=tmp_path / "image.json")
    prepare_image(container_runtime=RuntimeChoice.PODMAN, image="localhost/other:1", out_image=tmp_path / "image.json")
    assert FmriprepImage.read(tmp_path / "image.json").fmriprep_version == "25.2.8"


def test_an_image_file_is_known_by_its_content(bare: Path, tmp_path: Path) -> None:
    put_program(bare, "apptainer", 'case "$1" in --version) echo apptainer 1.3;; *) echo fMRIPrep v25.2.7;; esac')
    sif = tmp_path / "fmriprep.sif"
    sif.write_bytes(b"content")
    prepare_image(container_runtime=RuntimeChoice.APPTAINER, image=str(sif), out_image=tmp_path / "image.json")
    image = FmriprepImage.read(tmp_path / "image.json")
    assert image.sha256 == "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    assert image.generated_by()["Container"] == {
        "Type": "apptainer",
        "Tag": "fmriprep.sif",
        "URI": f"sha256:{image.sha256}",
    }


def test_images_are_fetched_as_documented(tmp_path: Path) -> None:
    assert fetch_commands(Runtime.APPTAINER, "a/b:1", tmp_path / "b.sif") == [
        ["apptainer", "pull", str(tmp_path / "b.sif"), "docker://a/b:1"]
    ]
    pull, convert = fetch_commands(Runtime.CHARLIECLOUD, "a/b:1", tmp_path / "b.sqfs")
    assert pull == ["ch-image", "pull", "a/b:1"]
    assert convert == ["ch-convert", "-i", "ch-image", "-o", "squash", "a/b:1", str(tmp_path / "b.sqfs")]
