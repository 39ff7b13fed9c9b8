"""The provenance page: a box of the picture leads to what is told about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import checks
from tests.browser.chromium import LAPTOP, PHONE, Chromium, Size, View

pytestmark = pytest.mark.browser
BOXES = "svg a"


def shown(view: View) -> list[str]:
    return view.evaluate("[...document.querySelectorAll('.entry')].filter(one => one.offsetHeight).map(one => one.id)")


@pytest.mark.parametrize("size", [PHONE, LAPTOP], ids=lambda size: size.name)
def test_a_click_on_a_box_shows_its_section(chromium: Chromium, pages: dict[str, Path], size: Size) -> None:
    with chromium.shows(pages["summary"], size) as view:
        assert shown(view) == []
        boxes = view.page.locator(BOXES)
        assert boxes.count() >= 6
        for index in range(boxes.count()):
            boxes.nth(index).click()
            wanted = str(boxes.nth(index).get_attribute("href")).removeprefix("#")
            assert shown(view) == [wanted]
            top = view.evaluate("document.querySelector(':target').getBoundingClientRect().top")
            assert -1 < top < size.height, "it is in the window"
        assert checks.headings(view) == []


def test_so_does_the_keyboard(chromium: Chromium, pages: dict[str, Path]) -> None:
    with chromium.shows(pages["summary"], LAPTOP) as view:
        box = view.page.locator(BOXES).first
        box.focus()
        view.page.keyboard.press("Enter")
        assert shown(view) == [str(box.get_attribute("href")).removeprefix("#")]


def test_all_sections_at_once(chromium: Chromium, pages: dict[str, Path]) -> None:
    with chromium.shows(pages["summary"], PHONE) as view:
        link = view.page.locator("a[href^='#all-']").first
        link.press("Enter")  # no pointer: a box under it looks as one with the focus
        entries = view.page.locator(f"{link.get_attribute('href')} .entry")
        assert len(shown(view)) == entries.count() > 1
        assert checks.overflow(view) == []
        assert checks.accessibility(view) == []
        assert checks.keyboard(view) == []
