"""Snakemake's scheduler looks at the jobs when one has ended, not ever more often."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tmsprep.run_snakemake import parse

JOBS = 12
SNAKEFILE = f"""
rule all:
    input: [f"{{number}}.txt" for number in range({JOBS})]

rule one:
    output: "{{number}}.txt"
    shell: "sleep 0.5; touch {{output}}"
"""


def passes(folder: Path, module: str, *words: str) -> int:
    """Run the workflow on one core; return how often the scheduler looked at the jobs that are ready."""
    folder.mkdir()
    (folder / "Snakefile").write_text(SNAKEFILE)
    command = [sys.executable, "-m", module, "--cores", "1", "--verbose", *words]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert len(list(folder.glob("*.txt"))) == JOBS
    return sum(line.startswith("Ready jobs") for line in result.stderr.splitlines())


def test_the_scheduler_looks_once_a_job(tmp_path: Path) -> None:
    ours = passes(tmp_path / "ours", "tmsprep.run_snakemake")
    assert JOBS <= ours <= 2 * JOBS + 2
    with_limit = passes(tmp_path / "limit", "tmsprep.run_snakemake", "--max-jobs-per-timespan", "99/1s")
    assert with_limit > 2 * ours, "the reason for the module: should Snakemake mend it, the module can go"


def test_a_limit_that_is_asked_for_is_kept() -> None:
    words = ["--cores", "1", "--snakefile", "Snakefile"]
    assert parse(words)[1].max_jobs_per_timespan is None
    assert parse([*words, "--max-jobs-per-timespan", "7/1m"])[1].max_jobs_per_timespan.max_jobs == 7


@pytest.mark.parametrize("words", [["--no-such-option"], ["--snakefile", "absent.smk", "--cores", "1"]])
def test_bad_calls_fail(tmp_path: Path, words: list[str]) -> None:
    command = [sys.executable, "-m", "tmsprep.run_snakemake", *words]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False).returncode != 0
