"""What a reader does with the participant's page: turns the head, clicks through slices, looks under the lines."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.browser.chromium import LAPTOP, PAPER, PHONE, Chromium, Size
from tests.browser.chromium import View as Shown
from tests.report.made_up_participant import BEAM_CORTEX, BEAM_SCALP, ENTRY, TARGET
from tmsprep.report.head import View

pytestmark = pytest.mark.browser
VIEWS = ((0, 0), (-90, 0), (180, 0), (0, 90), (-60, 20), (37, -25), (-145, 61))


def set_slider(view: Shown, name: str, value: float) -> None:
    view.evaluate(
        f"(one => {{ one.value = {value}; one.dispatchEvent(new Event('input', {{bubbles: true}})); }})"
        f"(document.getElementById('{name}'))"
    )


def next_frame(view: Shown) -> None:
    view.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(null))))")


def spot(view: Shown, letter: str) -> tuple[float, float, bool]:
    """Return where the head's picture has a sign (fractions of its width and height) and whether it is seen."""
    x, y, seen = view.evaluate(f"document.getElementById('head-canvas').dataset.{letter}").split(" ")
    return float(x), float(y), float(seen) == 1


def readout(view: Shown) -> NDArray[np.float64]:
    words = view.evaluate("document.getElementById('slices-place').textContent")
    return np.array([float(value) for value in words.partition("=")[2].partition("mm")[0].split(",")])


def canvas_picture(view: Shown, name: str) -> NDArray[np.int16]:
    element = view.page.locator(f"#{name}")
    return np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB"), dtype=np.int16)


@pytest.mark.parametrize(("azimuth", "elevation"), VIEWS)
def test_the_head_is_turned_as_the_still_picture_is(
    chromium: Chromium, pages: dict[str, Path], azimuth: int, elevation: int
) -> None:
    """The script's picture of the two scalp points against `View.axes_ras`, which draws the still one."""
    with chromium.shows(pages["participant"], LAPTOP) as view:
        data: dict[str, Any] = json.loads(view.evaluate("document.getElementById('head-data').textContent"))
        set_slider(view, "head-turn", azimuth)
        set_slider(view, "head-tilt", elevation)
        next_frame(view)
        across, up, towards = View(azimuth, elevation).axes_ras
        for letter, place in (("T", ENTRY), ("B", BEAM_SCALP)):
            away = np.subtract(place, data["middle"])
            expected = (0.5 + 0.46 * across @ away / data["radius"], 0.5 - 0.46 * up @ away / data["radius"])
            x, y, seen = spot(view, letter)
            assert (x, y) == pytest.approx(expected, abs=2e-4)
            normal = next(item["normal_ras"] for item in data["spots"] if item["letter"] == letter)
            assert seen == bool(towards @ np.array(normal) > 0.05)


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=lambda size: size.name)
def test_the_left_is_where_it_must_be_from_every_side(chromium: Chromium, pages: dict[str, Path], size: Size) -> None:
    """The target is on the left: at the right from the front, hidden from the right, at the left from behind and above."""
    with chromium.shows(pages["participant"], size) as view:
        for button, sides, half in (
            ("From the front", "right left", 1),
            ("From behind", "left right", -1),
            ("From above", "left right", -1),
        ):
            view.page.get_by_role("button", name=button).click()
            next_frame(view)
            assert view.evaluate("document.getElementById('head-canvas').dataset.sides") == sides
            assert np.sign(spot(view, "T")[0] - 0.5) == half, button
        view.page.get_by_role("button", name="From the left").click()
        next_frame(view)
        assert view.evaluate("document.getElementById('head-canvas').dataset.sides") == "front back"
        assert spot(view, "T")[2] and spot(view, "T")[0] < 0.5, "it is in the front"
        set_slider(view, "head-turn", 90)
        next_frame(view)
        assert not spot(view, "T")[2], "behind the head"


def test_dragging_turns_the_head_and_the_sign_is_drawn_where_it_says(chromium: Chromium, pages: dict[str, Path]) -> None:
    with chromium.shows(pages["participant"], LAPTOP) as view:
        before = spot(view, "T")
        box = view.page.locator("#head-canvas").bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        view.page.mouse.move(x, y)
        view.page.mouse.down()
        view.page.mouse.move(x + 60, y, steps=4)
        view.page.mouse.up()
        next_frame(view)
        after = spot(view, "T")
        assert after[0] > before[0] + 0.03, "what is seen follows the hand"
        picture = canvas_picture(view, "head-canvas")
        red = (picture[..., 0] > 180) & (picture[..., 1] < 80) & (picture[..., 2] < 60)
        rows, columns = np.nonzero(red)
        height, width = red.shape
        assert columns.mean() / width == pytest.approx(after[0], abs=0.02)
        assert rows.mean() / height == pytest.approx(after[1], abs=0.06), "the letter stands above the circle"


def test_slices_begin_at_the_target_and_follow_clicks_sliders_and_buttons(
    chromium: Chromium, pages: dict[str, Path]
) -> None:
    with chromium.shows(pages["participant"], LAPTOP) as view:
        assert np.abs(readout(view) - TARGET).max() <= 0.75 + 0.06, "half a step of 1.5 mm, and rounding"
        view.page.get_by_role("button", name="Go to B").click()
        assert np.abs(readout(view) - BEAM_CORTEX).max() <= 0.75 + 0.06
        set_slider(view, "slices-X", 0)
        first = readout(view)
        set_slider(view, "slices-X", 10)
        assert readout(view) - first == pytest.approx([15.0, 0, 0], abs=0.11), "the slider's right is the person's right"
        before = readout(view)
        box = view.page.locator("#slices-canvas").bounding_box()
        assert box is not None
        # in the middle picture, the coronal one: further left and up than the point
        view.page.mouse.click(box["x"] + 0.45 * box["width"], box["y"] + 0.35 * box["height"])
        left = readout(view)
        view.page.mouse.click(box["x"] + 0.55 * box["width"], box["y"] + 0.35 * box["height"])
        right = readout(view)
        assert left[0] < right[0], "left of the picture is left of the person"
        assert left[1] == before[1] == right[1], "a coronal slice keeps y"
        assert left[2] == right[2] != before[2]


def test_the_bright_ball_is_left_in_the_slices_to_click_through(chromium: Chromium, pages: dict[str, Path]) -> None:
    """The only ball that is white lies at x = -45; with its slices shown it is left of the middle in coronal and axial."""
    with chromium.shows(pages["participant"], LAPTOP) as view:
        data = json.loads(view.evaluate("document.getElementById('slices-data').textContent"))
        for axis, place, first in zip("XYZ", (-45.0, -32.0, 20.0), data["first"], strict=True):
            set_slider(view, f"slices-{axis}", round((place - first) / data["step"]))
        next_frame(view)
        picture = canvas_picture(view, "slices-canvas").min(axis=2)
        sizes = data["brain"]["nbSlice"]
        width = picture.shape[1]
        # three pictures side by side: y, x and x wide
        coronal = int(width * sizes["Y"] / (sizes["Y"] + 2 * sizes["X"]))
        axial = int(width * (sizes["Y"] + sizes["X"]) / (sizes["Y"] + 2 * sizes["X"]))
        for start, end in ((coronal, axial), (axial, width)):
            part = picture[picture.shape[0] // 4 :, start:end] > 215
            inner = part[:, int(part.shape[1] * 0.12) : int(part.shape[1] * 0.88)]
            _, columns = np.nonzero(inner)
            assert len(columns) > 40
            assert columns.mean() < inner.shape[1] / 2


def test_what_lies_under_the_lines_can_be_changed(chromium: Chromium, pages: dict[str, Path]) -> None:
    with chromium.shows(pages["participant"], LAPTOP) as view:
        over = "getComputedStyle(document.querySelector('.registration .over')).opacity"
        assert view.evaluate(over) == "0"
        view.page.get_by_label("T1w image", exact=True).first.check()
        assert view.evaluate(over) == "1"
        view.page.get_by_label("one after the other", exact=True).first.check()
        assert view.evaluate("getComputedStyle(document.querySelector('.registration .over')).animationName") == "turns"
        view.page.emulate_media(reduced_motion="reduce")
        assert view.evaluate("getComputedStyle(document.querySelector('.registration .over')).animationName") == "none"


def test_on_paper_the_head_is_a_still_picture(chromium: Chromium, pages: dict[str, Path]) -> None:
    with chromium.shows(pages["participant"], PAPER, media="print") as view:
        shown = "document.querySelector('{}').getClientRects().length > 0"
        assert view.evaluate(shown.format("#head .still"))
        assert not view.evaluate(shown.format("#head canvas"))
        assert not view.evaluate(shown.format("#slices"))


@pytest.mark.parametrize(("size", "needed"), [(LAPTOP, "#head-canvas"), (PHONE, "#radius")], ids=["laptop", "phone"])
def test_where_how_sure_and_whether_are_on_the_first_screen(
    chromium: Chromium, pages: dict[str, Path], size: Size, needed: str
) -> None:
    with chromium.shows(pages["participant"], size) as view:
        for name in (".disclaimer", "#verdict", "#target-ras", "#radius", "#split-half", needed):
            bottom = view.evaluate(f"document.querySelector('{name}').getBoundingClientRect().bottom")
            assert bottom <= size.height, name
