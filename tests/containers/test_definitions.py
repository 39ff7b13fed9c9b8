"""The files in containers/ agree with the package. No container is needed for these."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.containers.base_image import base_of
from tests.containers.conftest import CONTAINERFILE
from tmsprep import __version__

APPTAINER = ROOT / "containers" / "apptainer.def"


def test_both_definitions_have_the_packages_version() -> None:
    assert f"ARG VERSION={__version__}\n" in CONTAINERFILE.read_text(encoding="utf-8")
    assert f"image.version {__version__}\n" in APPTAINER.read_text(encoding="utf-8")


def test_the_build_sees_all_that_the_wheel_is_made_of() -> None:
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")]
    for path in [*hatch["packages"], *hatch["force-include"], "README.md", "LICENSE", "NOTICE", "requirements.lock"]:
        assert any(path == name or path.startswith(f"{name}/") or name.startswith(f"{path}/") for name in let_in), path


def test_each_package_comes_with_its_hash() -> None:
    text = CONTAINERFILE.read_text(encoding="utf-8")
    fetching = re.findall(r"pip (?:--python \S+ )?(?:install|wheel|download)[^&]*", text)
    assert len(fetching) >= 4
    assert all("--require-hashes" in words or "--no-index" in words for words in fetching)


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("FROM debian:bookworm-slim\nFROM other\n", "debian:bookworm-slim"),
        ("ARG A=1\nARG BASE=debian:trixie\nFROM ${BASE} AS build\n", "debian:trixie"),
        ("ARG BASE=debian:trixie\nFROM $BASE\n", "debian:trixie"),
    ],
)
def test_a_containerfiles_base_is_read(tmp_path: Path, text: str, base: str) -> None:
    (tmp_path / "Containerfile").write_text(text, encoding="utf-8")
    assert base_of(tmp_path / "Containerfile") == base
