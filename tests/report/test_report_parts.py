"""Parts of the participant's page: what they say, and what they keep to themselves when a site was withheld."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_participant import BEAM_CORTEX, BEAM_SCALP, CENTRE, ENTRY, TARGET, Participant
from tests.scalp.conftest import icosphere

from tmsprep.errors import InputError
from tmsprep.files import write_tsv
from tmsprep.records import Status
from tmsprep.report import cleaning, facts
from tmsprep.report.cloud import cloud_plot
from tmsprep.report.facts import Components, Sites, load_sites
from tmsprep.report.head import Scene, View, clustered, side_words
from tmsprep.report.page import render, script
from tmsprep.report.sides import handle_words, methods_table, pose_table
from tmsprep.report.verdict import verdict
from tmsprep.surfaces import Surface

Make = Callable[..., Participant]


def sites_of(person: Participant) -> Sites:
    files = person.write_results()
    return load_sites(files["target"], files["beamf3"], files["markers"])


@pytest.mark.parametrize(
    ("handle", "words"),
    [
        ((-0.7071, -0.7071, 0.0), "backwards and to the left; 45° from the midline, seen from above"),
        ((0.0, -0.9, -0.43), "backwards and down; 0° from the midline, seen from above"),
        ((0.5, 0.5, 0.7071), "forwards, to the right and up; 45° from the midline, seen from above"),
        ((0.0, 0.0, 1.0), "up"),
        ((0.0, 0.0, 0.0), "not available"),
    ],
)
def test_the_handle_in_words(handle: tuple[float, float, float], words: str) -> None:
    assert handle_words(handle) == words


def test_methods_side_by_side_hold_the_distances(participant: Make) -> None:
    rows = {row[0].split(":")[0]: row for row in methods_table(sites_of(participant())).rows}
    assert list(rows) == ["Circuit target", "Beam F3"]
    assert rows["Circuit target"][2:4] == ("-36.5, 25.0, 49.2", "-47.3, 38.1, 68.2")
    assert rows["Circuit target"][6:] == ("itself", "itself")
    apart = (np.linalg.norm(np.subtract(TARGET, BEAM_CORTEX)), np.linalg.norm(np.subtract(ENTRY, BEAM_SCALP)))
    assert rows["Beam F3"][6:] == tuple(f"{value:.1f}" for value in apart)


@pytest.mark.parametrize("withheld", ["target_status", "beam_status"])
def test_a_withheld_method_has_no_place_and_no_pose(participant: Make, withheld: str) -> None:
    sites = sites_of(participant(**{withheld: Status.ABSTAIN}))
    name = "Circuit target" if withheld == "target_status" else "Beam F3"
    other = "Beam F3" if withheld == "target_status" else "Circuit target"
    rows = {row[0].split(":")[0]: row for row in methods_table(sites).rows}
    assert rows[name][1:] == ("abstain", *["not available"] * 6)
    assert "not available" not in rows[other][2:6]
    assert [row[0].split(" (")[0] for row in pose_table(sites).rows] == [other]


def test_the_pose_is_of_the_handle_not_of_the_coils_y_axis(participant: Make) -> None:
    row = pose_table(sites_of(participant())).rows[0]
    assert row[2].startswith("backwards, to the left and up")
    assert row[3] == "-0.600, -0.700, 0.390"


@pytest.mark.parametrize(
    ("status", "doubts", "first", "holds"),
    [
        (Status.OK, [], "Yes, in research", "every check passed"),
        (Status.OK, ["The target lies outside the brain mask."], "Only after", "the reason for doubt"),
        (Status.CAUTION, ["one", "two"], "Only after", "the 2 reasons for doubt"),
        (Status.ABSTAIN, ["one"], "No:", "Beam F3 was found"),
    ],
)
def test_may_i_use_it(participant: Make, status: Status, doubts: list[str], first: str, holds: str) -> None:
    words = verdict(sites_of(participant(target_status=status)), doubts)
    assert words.startswith(first) and holds in words


def test_no_site_no_promise(participant: Make) -> None:
    sites = sites_of(participant(target_status=Status.ABSTAIN, beam_status=Status.ABSTAIN))
    assert "Beam F3" not in verdict(sites, [])


def test_the_cloud_is_drawn_about_the_target(participant: Make, tmp_path: Path) -> None:
    """One place 12 mm in front: right of the middle from the side, above it from above, in the middle from behind."""
    sites = sites_of(participant())
    table = tmp_path / "cloud.tsv"
    write_tsv(table, pd.DataFrame({"x": [TARGET[0]], "y": [TARGET[1] + 12], "z": [TARGET[2]], "share": [1.0]}))
    svg = cloud_plot(table, sites)
    found = re.findall(
        r'<path d="[^"]*"[^>]*style="fill: #9a5fd0[^>]*>|<use [^>]*x="([\d.]+)" y="([\d.]+)"[^>]*fill: #9a5fd0', svg
    )
    places = [(float(x), float(y)) for x, y in found if x]
    circles = re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"[^>]*stroke: #e0402a', svg)
    middles = [(float(x), float(y)) for x, y in circles]
    assert len(places) == len(middles) == 3
    away = np.subtract(places, middles)
    assert away[0][0] == pytest.approx(0, abs=0.01) and away[0][1] < -5, "from above, the front is up"
    assert away[1] == pytest.approx([0, 0], abs=0.01), "from behind"
    assert away[2][0] > 5 and away[2][1] == pytest.approx(0, abs=0.01), "from the right, the front is right"


def test_no_cloud_without_target_or_without_resampling(participant: Make, tmp_path: Path) -> None:
    table = tmp_path / "cloud.tsv"
    write_tsv(table, pd.DataFrame({"x": [], "y": [], "z": [], "share": []}))
    assert cloud_plot(table, sites_of(participant("a"))) == ""
    assert cloud_plot(None, sites_of(participant("b"))) == ""
    write_tsv(table, pd.DataFrame({"x": [1.0], "y": [2.0], "z": [3.0], "share": [1.0]}))
    assert cloud_plot(table, sites_of(participant("c", target_status=Status.ABSTAIN))) == ""


@pytest.mark.parametrize(
    ("view", "sides", "towards"),
    [
        (View(0, 0), ("right", "left"), (0, 1, 0)),
        (View(-90, 0), ("front", "back"), (-1, 0, 0)),
        (View(90, 0), ("back", "front"), (1, 0, 0)),
        (View(180, 0), ("left", "right"), (0, -1, 0)),
        (View(180, 90), ("left", "right"), (0, 0, 1)),
    ],
)
def test_views_are_right_handed_and_named(view: View, sides: tuple[str, str], towards: tuple[int, int, int]) -> None:
    axes = view.axes_ras
    assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1), "no mirror image"
    assert axes[2] == pytest.approx(towards, abs=1e-12)
    assert side_words(axes) == sides


def test_a_view_faces_the_place(participant: Make) -> None:
    normal = np.array([-0.7, 0.4, 0.59])
    axes = View.facing(normal).axes_ras
    assert axes[2] @ normal / np.linalg.norm(normal) > 0.97
    assert axes[1][2] > 0, "the head is upright"


def test_the_coarse_scalp_is_the_same_solid() -> None:
    fine = Surface(icosphere(1.0, 5).vertices_ras_mm * [72.0, 92.0, 78.0], icosphere(1.0, 5).faces)
    coarse = clustered(fine, 8.0)
    assert len(coarse.faces) < len(fine.faces) / 3
    assert coarse.signed_volume_mm3() == pytest.approx(fine.signed_volume_mm3(), rel=0.03), "wound outwards as before"
    assert np.abs(coarse.vertices_ras_mm).max(axis=0) == pytest.approx([72, 92, 78], abs=4)


def test_the_scene_puts_the_signs_where_the_files_say(participant: Make) -> None:
    person = participant()
    arguments = person.write()
    scene = Scene.of(Surface.load(arguments["scalp"]), sites_of(person), arguments["cloud"])
    places = {spot.letter: spot.at_ras_mm for spot in scene.spots}
    assert places == {"B": BEAM_SCALP, "T": ENTRY}
    assert scene.coil is not None
    handle = np.subtract(scene.coil.to_ras_mm, ENTRY)
    assert handle == pytest.approx(-45 * np.array([0.6, 0.7, -0.39]), abs=0.01), "against the coil's y axis"
    assert sum(dot.share for dot in scene.cloud) == pytest.approx(1.0, abs=1e-3)
    for dot in scene.cloud:
        radius = np.linalg.norm((np.array(dot.at_ras_mm) - CENTRE) / [72.0, 92.0, 78.0])
        assert radius == pytest.approx(1, abs=0.01), "on the scalp"


def test_steps_of_cleaning_are_the_tables(participant: Make) -> None:
    arguments = participant(runs=2).write()
    found = cleaning.load(arguments["carpet"], arguments["tsnr_steps"])
    assert [item.label for item in found] == ["task-rest run-1", "task-rest run-2"]
    assert found[0].steps.rows[0] == ("combined", "81.5", "77.25", "echoes combined")
    assert (found[0].carpet.width, found[0].carpet.height) == (640, 360)
    assert cleaning.load(None, None) == []


def test_carpets_that_are_none_are_refused(participant: Make) -> None:
    arguments = participant(runs=2).write()
    with pytest.raises(InputError, match="2 carpets and 1 tables"):
        cleaning.load(arguments["carpet"], arguments["tsnr_steps"][:1])
    arguments["carpet"][0].write_bytes(b"<svg onload=alert(1)>")
    with pytest.raises(InputError, match="no PNG picture"):
        cleaning.load(arguments["carpet"], arguments["tsnr_steps"])


@pytest.mark.parametrize("denoised", [True, False])
def test_links_to_tedanas_files_follow_from_the_runs_name(tmp_path: Path, denoised: bool) -> None:
    """Not from where the files lie: an auditor who derives the page again, elsewhere, must get the same bytes."""
    nothing = np.zeros(0)
    components = Components("run", {"Denoised": denoised}, nothing, nothing, nothing, nothing > 0)
    links = [
        facts.tedana_files([folder / "sub-01_ses-2_task-rest_desc-tedana_metrics.tsv"], [components])
        for folder in (tmp_path / "one", tmp_path / "an other")
    ]
    assert links[0] == links[1]
    stem = "../tedana/sub-01/ses-2/func/sub-01_ses-2_task-rest_desc-"
    names = ["tedana_report.txt", "tedana_metrics.tsv", "ICA_mixing.tsv", "ICA_status_table.tsv"]
    expected = names if denoised else names[1:3]
    assert [link.href for link in links[0][0]] == [stem + name for name in expected]


def test_a_script_that_would_end_early_is_refused() -> None:
    with pytest.raises(ValueError, match="end early"):
        render("group.html.j2", ["alert('</script>')"])
    assert "</script" not in script("head.js")
