"""Beam F3's arithmetic against the values that the web calculator gives."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.cli import main
from tmsprep.scalp.beamf3 import TapeLengths, beamf3_distances

GOLDEN_CM = [  # tragus-tragus, nasion-inion, circumference, X, Y
    (36, 36, 56, 6.469, 9.500),
    (36, 38, 60, 6.955, 9.791),
    (34, 34, 54, 6.238, 8.973),
    (38, 38, 60, 6.932, 10.028),
    (37, 35, 57, 6.562, 9.457),
    (35, 37, 57, 6.608, 9.527),
    (36, 38, 57, 6.607, 9.791),
]
lengths = st.floats(300, 420)
rounds = st.floats(500, 650)


@pytest.mark.parametrize(("tt", "ni", "cf", "x", "y"), GOLDEN_CM)
def test_golden_values(tt: float, ni: float, cf: float, x: float, y: float) -> None:
    found = beamf3_distances(TapeLengths(ni * 10, tt * 10, cf * 10))
    assert found.x_mm / 10 == pytest.approx(x, abs=0.005)
    assert found.y_mm / 10 == pytest.approx(y, abs=0.005)


def test_clinic_example() -> None:
    assert round(beamf3_distances(TapeLengths(380, 360, 600)).x_mm / 10, 2) == pytest.approx(6.95, abs=0.011)


@given(lengths, rounds)
def test_closed_form_where_both_lengths_are_equal(length: float, around: float) -> None:
    found = beamf3_distances(TapeLengths(length, length, around))
    assert found.x_mm == pytest.approx(0.115526 * around, rel=1e-5)
    assert found.y_mm == pytest.approx(0.263902 * length, rel=1e-5)


@given(lengths, lengths, rounds, st.floats(0.01, 100))
def test_scales_with_the_head(ni: float, tt: float, cf: float, scale: float) -> None:
    one = beamf3_distances(TapeLengths(ni, tt, cf))
    other = beamf3_distances(TapeLengths(ni * scale, tt * scale, cf * scale))
    assert other.x_mm == pytest.approx(one.x_mm * scale, rel=1e-9)
    assert other.y_mm == pytest.approx(one.y_mm * scale, rel=1e-9)


@given(lengths, lengths, rounds, st.floats(1, 50))
def test_grows_with_each_length(ni: float, tt: float, cf: float, more: float) -> None:
    base = beamf3_distances(TapeLengths(ni, tt, cf))
    assert beamf3_distances(TapeLengths(ni, tt, cf + more)).x_mm > base.x_mm
    assert beamf3_distances(TapeLengths(ni + more, tt + more, cf)).y_mm > base.y_mm


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, float]:
    with pytest.raises(SystemExit) as stop:
        main(["beamf3", *words, "--json"])
    assert stop.value.code == 0
    return json.loads(capsys.readouterr().out)


def words(ni: float, tt: float, cf: float, unit: str) -> list[str]:
    return ["--nasion-inion", str(ni), "--tragus-tragus", str(tt), "--circumference", str(cf), "--unit", unit]


@pytest.mark.parametrize(("unit", "scale"), [("cm", 1.0), ("mm", 10.0), ("in", 1 / 2.54)])
def test_command_gives_mm_whatever_the_unit(capsys: pytest.CaptureFixture[str], unit: str, scale: float) -> None:
    found = run_json(capsys, *words(36 * scale, 36 * scale, 56 * scale, unit))
    assert found["x_mm"] == pytest.approx(64.69, abs=0.05)
    assert found["y_mm"] == pytest.approx(95.00, abs=0.05)


def test_table_is_in_the_users_unit(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["beamf3", *words(36, 36, 56, "cm")])
    text = capsys.readouterr().out
    assert "6.47 cm" in text
    assert "9.50 cm" in text
    assert "a clinician decides" in text


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["beamf3", *arguments])
    assert stop.value.code == 1
    return capsys.readouterr().err


def test_wrong_unit_is_caught(capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(capsys, *words(360, 360, 560, "cm"))
    assert "30 cm to 42 cm" in message
    assert "--unit mm" in message


@pytest.mark.parametrize("values", [(29, 36, 56), (36, 43, 56), (36, 36, 49), (36, 36, 66)])
def test_implausible_length_is_refused_unless_allowed(
    capsys: pytest.CaptureFixture[str], values: tuple[float, float, float]
) -> None:
    assert "--allow-implausible" in refusal(capsys, *words(*values, "cm"))
    assert not run_json(capsys, *words(*values, "cm"), "--allow-implausible")["plausible"]


@pytest.mark.parametrize("value", ["0", "-36", "nan", "inf"])
def test_impossible_length_is_refused_even_if_implausible_ones_are_allowed(
    capsys: pytest.CaptureFixture[str], value: str
) -> None:
    arguments = [f"--nasion-inion={value}", "--tragus-tragus", "36", "--circumference", "56", "--allow-implausible"]
    assert "positive" in refusal(capsys, *arguments)


@given(lengths, lengths, rounds)
def test_point_lies_left_of_the_midline_and_in_front_of_the_vertex(ni: float, tt: float, cf: float) -> None:
    found = beamf3_distances(TapeLengths(ni, tt, cf))
    assert 0 < found.x_mm < cf / 4
    assert 0 < found.y_mm < ni / 2
