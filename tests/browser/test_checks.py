"""The checks find what they are for: each defect, put into a copy of a page, is told.

That they tell nothing of the page itself is seen in test_pages.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser import checks
from tests.browser.chromium import LAPTOP, PAPER, PHONE, Chromium, Size, View

pytestmark = pytest.mark.browser
DOT = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
OUTSIDE = "http://outside.invalid/dot.png"
EMPTY_SHEET = '<div style="break-before: page; break-after: page; height: 1px"></div>'
DEFECTS: dict[str, tuple[str, Size, Callable[[View], list[str]], str]] = {
    "picture without words": (f'<img src="{DOT}">', LAPTOP, checks.pictures, "no text for <img"),
    "drawing without words": ('<svg width="9" height="9"></svg>', LAPTOP, checks.pictures, "no text for <svg"),
    "picture without alt": (f'<img src="{DOT}">', LAPTOP, checks.accessibility, "image-alt"),
    "faint text": ('<p style="color: #aaa; background: #fff">faint</p>', LAPTOP, checks.accessibility, "color-contrast"),
    "outside picture": (f'<img alt="a dot" src="{OUTSIDE}">', LAPTOP, checks.loading, OUTSIDE),
    "script": ("<script>document.title = 'changed'</script>", LAPTOP, checks.loading, "console: "),
    "wide box": ('<div style="width: 500px">wide</div>', PHONE, checks.overflow, "wider than 390 px: div."),
    "skipped level": ("<h5>too deep</h5>", LAPTOP, checks.headings, "level 5 follows 2: too deep"),
    "link out of reach": ('<a href="#x" tabindex="-1">x</a>', LAPTOP, checks.keyboard, 'not reach <a href="#x"'),
    "unseen focus": ('<a href="#x" style="outline: none">x</a>', LAPTOP, checks.keyboard, "no sign of the focus: <a"),
    "empty sheet": (f"{EMPTY_SHEET}<p>on the next sheet</p>", PAPER, checks.printed, "is empty"),
    "dark sheet": ("<style>html, body { background: #15181c }</style>", PAPER, checks.printed, "has a dark ground"),
}  # fmt: skip


def spoil(page: Path, folder: Path, *changes: tuple[str, str]) -> Path:
    text = page.read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "spoilt.html").write_text(text, encoding="utf-8")
    return folder / "spoilt.html"


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found(chromium: Chromium, pages: dict[str, Path], tmp_path: Path, defect: str) -> None:
    html, size, check, words = DEFECTS[defect]
    spoilt = spoil(pages["summary"], tmp_path, ("</main>", f"{html}</main>"))
    with chromium.shows(spoilt, size, media="print" if size is PAPER else "screen") as view:
        problems = check(view)
    assert any(words in problem for problem in problems), problems


def test_a_request_is_noted_and_not_answered(chromium: Chromium, pages: dict[str, Path], tmp_path: Path) -> None:
    """With the page's own policy the browser asks for nothing; here it is made to."""
    (tmp_path / "beside.css").write_text("h1 { display: none }")
    link = f'<link rel="stylesheet" href="beside.css"><img alt="a dot" src="{OUTSIDE}">'
    spoilt = spoil(pages["summary"], tmp_path, ("Content-Security-Policy", "no-policy"), ("</main>", f"{link}</main>"))
    with chromium.shows(spoilt, LAPTOP) as view:
        assert set(view.others) == {OUTSIDE, (tmp_path / "beside.css").as_uri()}
        assert view.evaluate("document.querySelector('h1').offsetHeight") > 0
        assert checks.loading(view)
