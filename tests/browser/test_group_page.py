"""The group's page: its table is sorted by a click or by the keyboard, and leads to the participants' pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import checks
from tests.browser.chromium import LAPTOP, PAPER, PHONE, Chromium, View

pytestmark = pytest.mark.browser
HEADS = "table.sortable thead th"


def column(view: View, head: str) -> list[str]:
    """Return the texts of a column, from above."""
    return view.evaluate(f"""(() => {{
        const table = document.querySelector('table.sortable');
        const index = [...table.tHead.rows[0].cells].findIndex(one => one.textContent.trim() === {head!r});
        return [...table.tBodies[0].rows].map(row => row.cells[index].textContent.trim());
    }})()""")


def sorts(view: View) -> list[str | None]:
    return view.evaluate(
        f"[...document.querySelectorAll('{HEADS}')].map(one => one.getAttribute('aria-sort')).filter(Boolean)"
    )


def choose(view: View, head: str) -> None:
    view.page.get_by_role("button", name=head, exact=True).click()


def test_two_clicks_sort_up_and_down_with_empty_cells_last(chromium: Chromium, pages: dict[str, Path]) -> None:
    with chromium.shows(pages["group"], LAPTOP) as view:
        before = column(view, "Split-half (mm)")
        assert before[2] == "–" and sorts(view) == []
        numbers = sorted(float(text) for text in before if text != "–")
        assert len(numbers) == 8
        choose(view, "Split-half (mm)")
        after = column(view, "Split-half (mm)")
        assert [float(text) for text in after[:-1]] == numbers and after[-1] == "–"
        assert sorts(view) == ["ascending"]
        choose(view, "Split-half (mm)")
        after = column(view, "Split-half (mm)")
        assert [float(text) for text in after[:-1]] == numbers[::-1] and after[-1] == "–"
        assert sorts(view) == ["descending"]
        choose(view, "Participant")
        assert column(view, "Participant")[:3] == ["sub-01", "sub-02_ses-followup", "sub-03"]
        assert sorts(view) == ["ascending"], "of one column only"


def test_rows_stay_whole(chromium: Chromium, pages: dict[str, Path]) -> None:
    with chromium.shows(pages["group"], LAPTOP) as view:
        rows = "[...document.querySelectorAll('table.sortable tbody tr')].map(row => row.textContent)"
        before = view.evaluate(rows)
        choose(view, "95 % radius (mm)")
        choose(view, "95 % radius (mm)")
        after = view.evaluate(rows)
        assert after != before and sorted(after) == sorted(before)


def test_the_keyboard_sorts_and_the_abstained_are_first(chromium: Chromium, pages: dict[str, Path]) -> None:
    with chromium.shows(pages["group"], PHONE) as view:
        view.page.get_by_role("button", name="Status", exact=True).press("Enter")
        assert column(view, "Status")[:3] == ["abstain", "caution", "ok"]
        assert checks.accessibility(view) == []
        assert checks.overflow(view) == []


def test_names_lead_to_pages_beside_it(chromium: Chromium, pages: dict[str, Path]) -> None:
    with chromium.shows(pages["group"], LAPTOP) as view:
        links = view.evaluate("[...document.querySelectorAll('table.sortable a')].map(one => one.href)")
        wanted = [pages["group"].with_name(f"{name}.html").as_uri() for name in column(view, "Participant")]
        assert links == wanted and len(links) == 9


def test_places_stay_on_one_line_on_paper(chromium: Chromium, pages: dict[str, Path]) -> None:
    with chromium.shows(pages["group"], PAPER, media="print") as view:
        lines = """[...document.querySelectorAll('table.sortable td.place')].map(one => {
            const range = document.createRange();
            range.selectNodeContents(one);
            return new Set([...range.getClientRects()].map(box => box.top)).size;
        })"""
        assert set(view.evaluate(lines)) == {1}
        assert checks.overflow(view) == []
