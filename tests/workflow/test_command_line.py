"""What the command line refuses, plans and passes on, without running the workflow."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.whole import run_tmsprep
from tmsprep.app import split_words
from tmsprep.errors import ConfigurationError
from tmsprep.options import Options, from_mapping, to_mapping
from tmsprep.options_text import config_text, reference_text

EXAMPLE = ROOT / "bids_example"


def test_what_follows_two_dashes_goes_to_snakemake() -> None:
    assert split_words(["in", "out", "--seed", "1", "--", "--forceall"]) == (["in", "out", "--seed", "1"], ["--forceall"])


def test_options_survive_the_way_through_a_file() -> None:
    options = Options(bids_dir=Path("/a"), output_dir=Path("/b"), participant_label=("01", "x"), global_signal=False)
    assert from_mapping(yaml.safe_load(yaml.safe_dump(to_mapping(options)))) == options


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({"bids_dir": "a"}, "output_dir"),
        ({"bids_dir": "a", "output_dir": "b", "cirkuit": "x"}, "cirkuit"),
        ({"bids_dir": "a", "output_dir": "b", "preproc": "spm"}, "preproc"),
        ({"bids_dir": "a", "output_dir": "b", "participant_label": 1}, "participant_label"),
        ({"bids_dir": "a", "output_dir": "b", "seed": "many"}, "seed"),
    ],
)
def test_a_wrong_configuration_is_named(content: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        from_mapping(content)


def test_the_documented_options_are_the_programs_own() -> None:
    assert (ROOT / "config.yaml").read_text(encoding="utf-8") == config_text()
    assert (ROOT / "docs" / "options.md").read_text(encoding="utf-8") == reference_text()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nowhere", "out", "participant"), "no such folder"),
        ((EXAMPLE, "out", "participant", "--participant-label", "99"), "99"),
        ((EXAMPLE, "out", "participant", "--task-id", "nback"), "nback"),
        ((EXAMPLE, EXAMPLE, "participant"), "output folder"),
        ((EXAMPLE, "out", "participant", "--preproc", "fmriprep"), "fMRIPrep"),
        ((EXAMPLE, "out", "participant", "--derivatives", "xcpd=/a"), "fmriprep=PATH"),
        ((EXAMPLE, "out", "analysis"), "analysis"),
        ((EXAMPLE, "out", "participant", "--seed", "0"), "the clock"),
    ],
)
def test_bad_input_gets_a_message_and_leaves_nothing(tmp_path: Path, words: tuple[object, ...], expected: str) -> None:
    words = tuple(tmp_path / "out" if word == "out" else word for word in words)
    result = run_tmsprep(*words, "--skip-bids-validation")
    assert result.returncode != 0
    assert expected in result.stdout
    assert "Traceback" not in result.stdout
    assert not (tmp_path / "out").exists()


def test_dry_run_shows_the_plan_and_the_jobs(tmp_path: Path) -> None:
    result = run_tmsprep(EXAMPLE, tmp_path / "out", "participant", "--dry-run", "--skip-bids-validation")
    assert result.returncode == 0, result.stdout
    assert "sub-01_task-rest_bold (3 echoes)" in result.stdout
    assert "tedana" in result.stdout
    assert not (tmp_path / "out" / "tmsprep").exists()


def test_plain_snakemake_runs_the_same_workflow(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        ROOT / "Snakefile",
        "--cores",
        "2",
        "--dry-run",
        "--quiet",
        "rules",
    ]
    command += ["--directory", tmp_path, "--config", f"bids_dir={EXAMPLE}", f"output_dir={tmp_path / 'out'}"]
    result = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "group" in result.stdout + result.stderr


@pytest.mark.slow
def test_an_installed_wheel_plans_the_example(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True,
        capture_output=True,
        timeout=300,
    )
    clean = tmp_path / "a clean environment"
    venv.create(clean, with_pip=True)
    python = clean / "bin" / "python"
    wheel = next(tmp_path.glob("*.whl"))
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", wheel], check=True, timeout=300)
    # the dependencies come from this environment; the package itself must come from the wheel
    packages = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    own = next(clean.glob("lib/python*/site-packages"))
    (own / "dependencies.pth").write_text(f"{packages}\n")
    where = subprocess.run(
        [python, "-c", "from tmsprep.workflow_files import snakefile; print(snakefile())"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    ).stdout
    assert where.startswith(str(own))
    result = subprocess.run(
        [clean / "bin" / "tmsprep", EXAMPLE, tmp_path / "out", "participant", "--dry-run", "--skip-bids-validation"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "sub-01_task-rest_bold (3 echoes)" in result.stdout
