"""Fixtures of the browser tests, and when these run: they need Chromium, so only where an environment variable asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import made_up_pages
from tests.browser.chromium import REQUIRE, Chromium, started, wanted


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `browser` unless it is asked for."""
    if wanted():
        return
    skip = pytest.mark.skip(reason=f"browser tests run with {REQUIRE}=1 (.ci/browser.sh)")
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """One headless Chromium for all tests; each opens pages in a profile of its own."""
    with started() as browser:
        yield browser


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of each kind."""
    return made_up_pages.write_all(tmp_path_factory.mktemp("pages"))
