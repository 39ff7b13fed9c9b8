"""A headless Chromium that shows one page at a time and lets it load nothing else.

Expressions are evaluated through the debugging protocol: the Content-Security-Policy of the pages, which refuses every
script, stays in force for the pages themselves.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:  # the driver is not among the program's requirements: .ci/browser.sh brings it
    from playwright.sync_api import Browser, CDPSession, ConsoleMessage, Page, Request, Route

REQUIRE = "TMSPREP_REQUIRE_BROWSER"
"""Environment variable: 1 runs the browser tests, and a missing component is a failure."""

AXE = "TMSPREP_AXE"
"""Environment variable: the file axe.min.js."""

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


def wanted() -> bool:
    """Tell whether the browser tests run at all."""
    return os.environ.get(REQUIRE) == "1"


@dataclass(frozen=True)
class Size:
    """A window in CSS pixels."""

    name: str
    width: int
    height: int
    phone: bool = False


PHONE = Size("phone", 390, 844, phone=True)
NARROW = Size("narrow", 320, 640, phone=True)
"""To which WCAG 2.1 (1.4.10) wants a page to reflow; also a laptop's window at 400 %."""
LAPTOP = Size("laptop", 1280, 800)
PAPER = Size("paper", 695, 1024)
"""The width of A4 between the margins of the style sheet, 184 mm."""


@dataclass(frozen=True)
class View:
    """A page that is shown, and what happened while it was loaded."""

    page: Page
    session: CDPSession
    size: Size
    errors: list[str]
    """What the console reports."""
    others: list[str]
    """Addresses other than the page's own that it asked for; none was answered."""
    seconds: float
    """Until it was loaded."""

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is waited for."""
        words = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = self.session.send("Runtime.evaluate", words)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")


@dataclass(frozen=True)
class Chromium:
    """The browser."""

    browser: Browser

    @contextmanager
    def shows(self, path: Path, size: Size, scheme: Scheme = "light", media: str = "screen") -> Iterator[View]:
        """Open a page in a new profile."""
        context = self.browser.new_context(
            viewport={"width": size.width, "height": size.height},
            is_mobile=size.phone,
            has_touch=size.phone,
            color_scheme=scheme,
            service_workers="block",
        )
        try:
            page = context.new_page()
            page.emulate_media(media=media)
            errors: list[str] = []
            others: list[str] = []

            def note(message: ConsoleMessage) -> None:
                if message.type in ("error", "warning"):
                    errors.append(message.text)

            def note_request(request: Request) -> None:
                # pictures inside the page are no requests to anybody
                if request.url != path.as_uri() and not request.url.startswith("data:"):
                    others.append(request.url)

            def answer(route: Route) -> None:
                if route.request.url == path.as_uri():
                    route.continue_()
                else:
                    route.abort()

            page.on("console", note)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("request", note_request)
            page.route("**/*", answer)
            start = time.monotonic()
            page.goto(path.as_uri(), wait_until="load")
            seconds = time.monotonic() - start
            yield View(page, context.new_cdp_session(page), size, errors, others, seconds)
        finally:
            context.close()


@contextmanager
def started() -> Iterator[Chromium]:
    """Start the system's Chromium; fail where it, its driver or axe-core is absent."""
    path = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail("playwright is not installed: run .ci/browser.sh", pytrace=False)
    if path is None or not axe_file().is_file():
        pytest.fail("chromium or axe-core is not installed: run .ci/browser.sh", pytrace=False)
    with sync_playwright() as driver:
        # no name is resolved: nothing can leave the machine, even past the driver's own blocking
        browser = driver.chromium.launch(executable_path=path, args=["--host-resolver-rules=MAP * ~NOTFOUND"])
        try:
            yield Chromium(browser)
        finally:
            browser.close()


def axe_file() -> Path:
    """Return where axe-core is."""
    return Path(os.environ.get(AXE, ""))
