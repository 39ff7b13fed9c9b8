"""What a page must hold to; each check returns the problems that it finds, as one line of text each."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.browser.chromium import View, axe_file

MAX_SECONDS = 3.0
_RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa")
_MAX_STOPS = 200
_CHANGED = 40
"""By so many of 255 grey levels a pixel must change to count as a sign of the focus."""
_MIN_INK = 60
"""So many dark dots at 72 a inch a sheet must have: about one word."""


def loading(view: View) -> list[str]:
    """What the page asks for or complains about, and whether it opens slowly."""
    problems = [f"asks for {address}" for address in view.others]
    problems += [f"console: {text}" for text in view.errors]
    if view.seconds > MAX_SECONDS:
        problems.append(f"took {view.seconds:.1f} s to open")
    return problems


def overflow(view: View) -> list[str]:
    """What makes the page wider than the window.

    A phone's browser zooms out where a page is too wide, so the window's own idea of its width is not asked for.
    """
    width = view.size.width
    if view.evaluate("document.scrollingElement.scrollWidth") <= width:
        return []
    found = view.evaluate(f"""[...document.body.querySelectorAll('*')]
        .filter(one => one.getBoundingClientRect().right + scrollX > {width} + 0.5 && !one.parentElement.closest('.scroll'))
        .map(one => `${{one.localName}}.${{one.getAttribute('class')}} reaches ${{one.getBoundingClientRect().right}} px`)
    """)
    return [f"wider than {width} px: {'; '.join(found[:5])}"]


def accessibility(view: View) -> list[str]:
    """What axe-core finds against WCAG 2.1, levels A and AA."""
    view.evaluate(axe_file().read_text(encoding="utf-8") + "\n;null")
    options = json.dumps({"runOnly": list(_RULES), "resultTypes": ["violations"]})
    found: dict[str, Any] = view.evaluate(f"axe.run(document, {options})")
    # with nothing passed, axe has not looked
    problems = [] if len(found["passes"]) > 5 else ["axe-core has checked next to nothing"]
    return problems + [
        f"{rule['id']}: {node['html'][:160]}: {' '.join(node['failureSummary'].split())}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def pictures(view: View) -> list[str]:
    """Which pictures have no text in their place; decoration must be marked as such."""
    return view.evaluate("""[...document.querySelectorAll('img, svg, canvas, [role=img]')]
        .filter(one => !one.closest('[aria-hidden=true]') && !one.parentElement.closest('svg'))
        .filter(one => one.localName === 'img' ? !(one.getAttribute('alt') || '').trim()
            : !(one.getAttribute('aria-label') || '').trim() || !['img', 'group'].includes(one.getAttribute('role')))
        .map(one => `no text for ${one.outerHTML.slice(0, 100)}`)""")


def headings(view: View) -> list[str]:
    """Where a heading skips a level, among all and among those that are shown."""
    found: list[list[Any]] = view.evaluate("""[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')]
        .map(one => [Number(one.localName[1]), one.textContent.trim(), one.getClientRects().length > 0])""")
    problems = [] if [level for level, *_ in found].count(1) == 1 else ["not one heading of level 1"]
    for some in (found, [item for item in found if item[2]]):
        for (before, *_), (after, words, _) in pairwise(some):
            if after > before + 1:
                problems.append(f"level {after} follows {before}: {words}")
    return list(dict.fromkeys(problems))


_COLLECT_STOPS = """window.stops = [...document.querySelectorAll('*')].filter(one => {
    const style = getComputedStyle(one);
    if (!one.getClientRects().length || style.visibility !== 'visible') return false;
    const scrolls = (wanted, inner, outer) => ['auto', 'scroll'].includes(wanted) && inner > outer + 1;
    return one.matches('a[href], button, input:not([type=radio]:not(:checked)), select, textarea, summary')
        || one !== document.scrollingElement && (scrolls(style.overflowX, one.scrollWidth, one.clientWidth)
        || scrolls(style.overflowY, one.scrollHeight, one.clientHeight));
}); window.reached = new Set(); null"""


def keyboard(view: View) -> list[str]:
    """Which links and scrollable regions Tab does not reach, and where the focus cannot be seen."""
    view.evaluate(_COLLECT_STOPS)
    problems = []
    for _ in range(_MAX_STOPS):
        view.page.keyboard.press("Tab")
        # after the last stop the focus leaves the page, or begins anew
        if not view.evaluate("document.activeElement !== document.body && !reached.has(document.activeElement)"):
            break
        view.evaluate("reached.add(document.activeElement); null")
        if not _focus_is_seen(view):
            problems.append("no sign of the focus: " + view.evaluate("document.activeElement.outerHTML.slice(0, 100)"))
    missed = view.evaluate("stops.filter(one => !reached.has(one)).map(one => one.outerHTML.slice(0, 100))")
    return problems + [f"Tab does not reach {name}" for name in missed]


def _focus_is_seen(view: View) -> bool:
    """Tell whether the picture about the focused element changes when the focus goes."""
    view.evaluate("window.here = document.activeElement; null")
    box = view.evaluate("(({left, top, right, bottom}) => [left, top, right, bottom])(here.getBoundingClientRect())")
    edge_px = 4
    left, top = max(box[0] - edge_px, 0), max(box[1] - edge_px, 0)
    right, bottom = min(box[2] + edge_px, view.size.width), min(box[3] + edge_px, view.size.height)
    if right - left < 1 or bottom - top < 1:
        return False  # the focus is outside the window
    clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    with_focus = _pixels(view.page.screenshot(clip=clip))
    view.evaluate("here.blur()")
    without = _pixels(view.page.screenshot(clip=clip))
    view.evaluate("here.focus({preventScroll: true})")
    changed = int((np.abs(with_focus - without).max(axis=-1) > _CHANGED).sum())
    return changed >= min(*with_focus.shape[:2])


def _pixels(png: bytes) -> NDArray[np.int16]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int16)


def sheets(pdf: bytes) -> Iterator[NDArray[np.int16]]:
    """Draw each sheet of a PDF in grey, 72 dots an inch."""
    import pypdfium2

    document = pypdfium2.PdfDocument(pdf)
    try:
        for index in range(len(document)):
            yield np.asarray(document[index].render(scale=1).to_pil().convert("L"), dtype=np.int16)
    finally:
        document.close()


def printed(view: View) -> list[str]:
    """Sheets that are empty, dark, or not A4."""
    problems = []
    for number, sheet in enumerate(sheets(view.page.pdf(prefer_css_page_size=True, print_background=True)), start=1):
        if (sheet < 160).sum() < _MIN_INK:
            problems.append(f"sheet {number} is empty")
        if np.median(sheet) < 250:
            problems.append(f"sheet {number} has a dark ground")
        if not np.allclose(sheet.shape, (842, 595), atol=2):
            problems.append(f"sheet {number} is not A4: {sheet.shape}")
    return problems
