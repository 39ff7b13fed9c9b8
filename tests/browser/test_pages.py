"""Every kind of page in a real browser: on a telephone, on a laptop and on paper, in light and in dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import checks
from tests.browser.chromium import LAPTOP, NARROW, PAPER, PHONE, SCHEMES, Chromium, Scheme, Size
from tests.browser.made_up_pages import NAMES

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("name", NAMES)]
screens = pytest.mark.parametrize("size", [PHONE, LAPTOP], ids=lambda size: size.name)
MAX_BYTES = 15e6


@screens
def test_it_opens_at_once_and_asks_for_nothing_else(
    chromium: Chromium, pages: dict[str, Path], name: str, size: Size
) -> None:
    assert pages[name].stat().st_size <= MAX_BYTES
    with chromium.shows(pages[name], size) as view:
        assert checks.loading(view) == []


@pytest.mark.parametrize("size", [PHONE, NARROW, LAPTOP], ids=lambda size: size.name)
def test_nothing_is_wider_than_the_window(chromium: Chromium, pages: dict[str, Path], name: str, size: Size) -> None:
    with chromium.shows(pages[name], size) as view:
        assert checks.overflow(view) == []


@screens
@pytest.mark.parametrize("scheme", SCHEMES)
def test_wcag_a_and_aa(chromium: Chromium, pages: dict[str, Path], name: str, size: Size, scheme: Scheme) -> None:
    with chromium.shows(pages[name], size, scheme) as view:
        assert checks.accessibility(view) == []


def test_pictures_have_words_and_headings_skip_no_level(chromium: Chromium, pages: dict[str, Path], name: str) -> None:
    with chromium.shows(pages[name], LAPTOP) as view:
        assert checks.pictures(view) == []
        assert checks.headings(view) == []


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "dark"), (LAPTOP, "light")], ids=["phone", "laptop"])
def test_the_keyboard_reaches_everything(
    chromium: Chromium, pages: dict[str, Path], name: str, size: Size, scheme: Scheme
) -> None:
    with chromium.shows(pages[name], size, scheme) as view:
        assert checks.keyboard(view) == []


def test_on_paper(chromium: Chromium, pages: dict[str, Path], name: str) -> None:
    with chromium.shows(pages[name], PAPER, "dark", media="print") as view:
        assert checks.overflow(view) == []
        assert checks.printed(view) == []
