"""The 10-10 system, Beam F3's spread and variants, and tape measurements: closed forms, mirrors, and bad entries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tmsprep.errors import InputError
from tmsprep.files import write_tsv
from tmsprep.options import CircumferencePlane
from tmsprep.records import BeamF3Result, Fiducial, Status, save_fiducials
from tmsprep.scalp import spread as spread_module
from tmsprep.scalp.beamf3 import TapeLengths, beamf3_distances
from tmsprep.scalp.measure import ADJUSTMENT_MM, Landmarks, f3_on_scalp, locate_beamf4, locate_on_scalp, measure
from tmsprep.scalp.spread import beamf3_spread
from tmsprep.scalp.tape import compare, doubts_of, has_columns, read_tape
from tmsprep.scalp.tenten import ten_ten
from tmsprep.stages import run
from tmsprep.surfaces import Surface

from .conftest import icosphere
from .test_scalp_measure import EQUATOR, RADIUS_MM, direction, landmarks


@pytest.fixture(scope="module")
def sphere() -> Surface:
    return icosphere(RADIUS_MM, 5)


# 10-10


def test_ten_ten_on_a_sphere(sphere: Surface) -> None:
    found = ten_ten(sphere, measure(sphere, landmarks(sphere)))
    known = {
        "Fpz": direction(72, 0), "Fz": direction(36, 0), "Cz": direction(0, 0), "Pz": direction(36, 180),
        "Oz": direction(72, 180),
        "T7": direction(72, 90), "C3": direction(36, 90), "C4": direction(36, -90), "Fp1": direction(72, 18),
        "AF7": direction(72, 36), "F7": direction(72, 54), "FT8": direction(72, -72), "P8": direction(72, -126),
        "O2": direction(72, -162),
    }  # fmt: skip
    for name, place in known.items():
        assert np.linalg.norm(found[name] - RADIUS_MM * place) < 0.5, name


def test_ten_ten_has_all_labels_each_on_its_side_and_f3_as_before(sphere: Surface) -> None:
    measured = measure(sphere, landmarks(sphere))
    found = ten_ten(sphere, measured)
    assert len(found) == 65
    assert np.allclose(found["F3"], f3_on_scalp(sphere, measured))
    for name, place in found.items():
        digits = name.strip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
        if name in {"LPA", "RPA"}:
            continue
        side = 0 if not digits else (-1 if int(digits) % 2 else 1)
        assert np.sign(np.round(place[0], 0)) == side, name


def test_ten_ten_of_the_mirrored_head_is_mirrored() -> None:
    ball = icosphere(RADIUS_MM, 4)
    egg = Surface(ball.vertices_ras_mm * [0.9, 1.15, 1.0] + [0.0, 0.0, 0.0], ball.faces)
    places = {name: np.array(place) * RADIUS_MM * [0.9, 1.15, 1.0] for name, place in EQUATOR.items()}
    found = ten_ten(egg, measure(egg, Landmarks.on(egg, places)))
    flip = np.array([-1.0, 1, 1])
    mirrored = Surface(egg.vertices_ras_mm * flip, egg.faces[:, ::-1])
    other = ten_ten(mirrored, measure(mirrored, Landmarks.on(mirrored, places)))
    for left, right in (("F3", "F4"), ("F5", "F6"), ("AF3", "AF4"), ("FT7", "FT8"), ("CP1", "CP2"), ("O1", "O2")):
        assert np.linalg.norm(found[left] * flip - other[right]) < 0.3, left


# Spread


def test_the_spread_grows_with_the_fiducials_error(sphere: Surface, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = landmarks(sphere)
    found = {}
    for sd in (0.0, 1.0, 3.0):
        monkeypatch.setattr(spread_module, "SD_MM", sd)
        found[sd] = beamf3_spread(sphere, marks, seed=1, draws=12)
    assert found[0.0].p95_mm < 0.01
    assert 0.2 < found[1.0].median_mm < 2.5
    assert 2 < found[3.0].median_mm / found[1.0].median_mm < 4
    assert beamf3_spread(sphere, marks, seed=1, draws=12) == found[3.0]


# Variants


def test_the_adjusted_place_is_farther_from_the_vertex(sphere: Surface) -> None:
    measured = measure(sphere, landmarks(sphere))
    web, adjusted = locate_on_scalp(sphere, measured), locate_on_scalp(sphere, measured, beyond_mm=ADJUSTMENT_MM)
    angles = [np.arccos(place.position_ras_mm[2] / np.linalg.norm(place.position_ras_mm)) for place in (web, adjusted)]
    assert (angles[1] - angles[0]) * RADIUS_MM == pytest.approx(ADJUSTMENT_MM, abs=0.1)


def test_the_plane_of_the_circumference_is_a_choice(sphere: Surface) -> None:
    marks = landmarks(sphere)
    usual = measure(sphere, marks)
    other = measure(sphere, marks, CircumferencePlane.EYEBROWS_INION)
    # 6 degrees above the nasion in front, the inion behind: the plane leans, and passes the centre by 3 degrees
    assert other.lengths.circumference_mm == pytest.approx(2 * np.pi * RADIUS_MM * np.cos(np.radians(3)), rel=2e-3)
    assert other.lengths.nasion_inion_mm == usual.lengths.nasion_inion_mm
    assert other.lengths.circumference_mm > usual.lengths.circumference_mm


def test_beamf4_is_the_mirror_of_beamf3_on_a_symmetric_head(sphere: Surface) -> None:
    marks = landmarks(sphere)
    left = locate_on_scalp(sphere, measure(sphere, marks)).position_ras_mm
    assert np.linalg.norm(locate_beamf4(sphere, marks) * [-1, 1, 1] - left) < 0.3


def head_files(folder: Path, sphere: Surface) -> dict[str, Path]:
    """A spherical head, small enough for plausible lengths."""
    scale = 0.9
    Surface(sphere.vertices_ras_mm * scale, sphere.faces).save(folder / "scalp.surf.gii")
    points = {name: tuple(float(value) * RADIUS_MM * scale for value in place) for name, place in EQUATOR.items()}
    save_fiducials(
        folder / "fiducials.tsv", tuple(Fiducial(name, (x, y, z), "manual", 0.0) for name, (x, y, z) in points.items())
    )
    return {"scalp": folder / "scalp.surf.gii", "fiducials": folder / "fiducials.tsv", "out_result": folder / "beamf3.json"}


def tape_table(folder: Path, **columns: object) -> Path:
    write_tsv(folder / "participants.tsv", pd.DataFrame([{"participant_id": "sub-01"} | columns]))
    return folder / "participants.tsv"


def test_stage_with_tape_variant_and_electrodes(tmp_path: Path, sphere: Surface) -> None:
    files = head_files(tmp_path, sphere)
    tape = tape_table(tmp_path, nasion_inion_cm=28.0 + 4, tragus_tragus_cm=31.0, circumference_mm=560)
    run("beamf3", files | {"tape": tape, "participant": "sub-01", "out_electrodes": tmp_path / "electrodes.tsv"})
    web = BeamF3Result.load(files["out_result"])
    assert web.variant == "web"
    assert web.web_ras_mm == web.beamf3_ras_mm
    assert web.tape["nasion_inion_mm"] == 320
    expected = beamf3_distances(TapeLengths(320, 310, 560))
    assert web.tape["x_mm"] == pytest.approx(expected.x_mm, abs=0.001)
    assert web.tape["x_minus_mri_mm"] == pytest.approx(expected.x_mm - web.x_mm, abs=0.002)
    assert any("from the tape differs" in reason for reason in web.reasons)
    assert web.status is not Status.OK
    assert web.spread_95_mm is not None
    assert 1 < web.spread_95_mm < 12
    assert len(pd.read_csv(tmp_path / "electrodes.tsv", sep="\t")) == 65
    run("beamf3", files | {"variant": "adjusted"})
    adjusted = BeamF3Result.load(files["out_result"])
    assert adjusted.beamf3_ras_mm == web.adjusted_ras_mm
    assert adjusted.tape == {}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"nasion_inion_cm": 350, "tragus_tragus_cm": 36, "circumference_cm": 57}, "check the unit|outside"),
        ({"nasion_inion_cm": 36, "tragus_tragus_cm": "n/a", "circumference_cm": 57}, "no number for tragus_tragus"),
        ({"nasion_inion_cm": "36 cm", "tragus_tragus_cm": 36, "circumference_cm": 57}, "no number for nasion_inion"),
        ({"nasion_inion_cm": 36}, "no number for"),
    ],
)
def test_a_bad_tape_entry_is_named_and_the_mri_stands(
    tmp_path: Path, sphere: Surface, columns: dict[str, object], words: str
) -> None:
    tape = tape_table(tmp_path, **columns)
    with pytest.raises(InputError, match=words):
        read_tape(tape, "sub-01")
    run("beamf3", head_files(tmp_path, sphere) | {"tape": tape, "participant": "sub-01"})
    found = BeamF3Result.load(tmp_path / "beamf3.json")
    assert found.tape == {}
    assert any("tape measurements not used" in reason and "sub-01" in reason for reason in found.reasons)
    assert found.x_mm > 0


def test_a_table_is_looked_at_only_if_it_has_tape_columns(tmp_path: Path) -> None:
    assert not has_columns(tape_table(tmp_path, site="a", age=40))
    assert has_columns(tape_table(tmp_path, circumference_mm=560))
    (tmp_path / "participants.tsv").write_bytes(b"participant_id\t\xff\n")
    assert not has_columns(tmp_path / "participants.tsv")


def test_no_tape_measurements_are_none(tmp_path: Path) -> None:
    assert read_tape(tape_table(tmp_path, site="a"), "sub-01") is None
    lengths = {"nasion_inion_cm": 36, "tragus_tragus_cm": 36, "circumference_cm": 56}
    assert read_tape(tape_table(tmp_path, **lengths), "sub-02") is None
    assert read_tape(tape_table(tmp_path, **dict.fromkeys(lengths, "n/a")), "sub-01") is None
    found = read_tape(tape_table(tmp_path, **lengths), "sub-01")
    assert found == TapeLengths(360, 360, 560)
    assert doubts_of(compare(found, beamf3_distances(found))) == []
