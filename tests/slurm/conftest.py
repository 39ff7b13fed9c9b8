"""A cluster to send jobs to: the tests run where .ci/slurm.sh has made one."""

from __future__ import annotations

import os
import subprocess

import pytest

REQUIRE = "TMSPREP_REQUIRE_SLURM"
"""Environment variable: 1 runs the tests, and a missing cluster is a failure."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `slurm` unless it is asked for."""
    if os.environ.get(REQUIRE) == "1":
        return
    skip = pytest.mark.skip(reason=f"Slurm tests run with {REQUIRE}=1 (.ci/slurm.sh)")
    for item in items:
        if item.get_closest_marker("slurm"):
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    """Fail where no node takes jobs."""
    if os.environ.get(REQUIRE) == "1":
        state = subprocess.run(["sinfo", "--noheader", "--format", "%T"], check=True, capture_output=True, text=True).stdout
        assert state.strip() in {"idle", "mixed", "allocated", "completing"}, f"the node is {state!r}"
