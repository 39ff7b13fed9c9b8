"""The participant's page: its numbers are the inputs', it is whole, it is the same every time, nothing can break it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from lxml import etree
from made_up_participant import BEAM_CORTEX, BEAM_SCALP, CENTRE, ENTRY, MARKER_LEFT, SECOND, TARGET, Participant

from tmsprep import stages
from tmsprep.errors import InputError
from tmsprep.files import read_json, read_tsv, write_json, write_tsv
from tmsprep.records import Status
from tmsprep.report.facts import Marker, with_marker_reasons
from tmsprep.report.page import script
from tmsprep.report.participant import write_participant_report
from tmsprep.report.viewer import library

Make = Callable[..., Participant]
HOSTILE = "\"><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>&'{{ 7*7 }}"
BESIDE = r"(\.\./)*[\w./-]+\.(tsv|txt)|prov/summary\.html#[\w%/.-]+"
"""A file of the same outputs, to follow by hand."""
REFERENCES = (
    "src",
    "href",
    "srcset",
    "data",
    "poster",
    "action",
    "background",
    "xlink:href",
    "{http://www.w3.org/1999/xlink}href",
)


def page(arguments: dict[str, Any]) -> str:
    write_participant_report(**arguments)
    return Path(arguments["out_html"]).read_text(encoding="utf-8")


def tree(html: str) -> Any:
    """Parse strictly: the page must also be well-formed but for HTML's void elements and boolean attributes."""
    return etree.HTML(html)


def text_of(root: Any, element_id: str) -> str:
    return " ".join(root.xpath(f"//*[@id='{element_id}']")[0].itertext()).strip()


def whole_text(root: Any) -> str:
    return " ".join(" ".join(root.xpath("//body//text()[not(parent::script)]")).split())


@pytest.fixture(scope="module")
def default_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return page(Participant(tmp_path_factory.mktemp("page"), scale=4.0).write())


def test_numbers_on_the_page_are_the_inputs(default_page: str) -> None:
    root = tree(default_page)
    assert text_of(root, "target-ras") == ", ".join(f"{value:.1f}" for value in TARGET)
    assert text_of(root, "target-mni") == "-38.2, 30.1, 44.4"
    way = "from Beam F3, 14 mm forward and 6 mm down (towards the ear) along the scalp"
    assert text_of(root, "tape") == f"1.2 cm anterior of F3; {way}"
    assert text_of(root, "clean-minutes") == "11.6 minutes"
    assert text_of(root, "mean-fd") == "0.13 mm"
    assert text_of(root, "split-half") == "3.3 mm"
    assert text_of(root, "beamf3-ras") == ", ".join(f"{value:.1f}" for value in BEAM_SCALP)
    assert text_of(root, "scalp-distance") == f"{np.linalg.norm(np.subtract(ENTRY, BEAM_SCALP)):.1f}"
    assert text_of(root, "cortex-distance") == f"{np.linalg.norm(np.subtract(TARGET, BEAM_CORTEX)):.1f}"
    text = whole_text(root)
    for expected in ("36.94", "369.4", "6.71", "9.64", "61.25", "-30.0, 33.0, 45.0", "20 components kept, 10 removed"):
        assert expected in text


def test_page_is_complete_html(default_page: str) -> None:
    parser = etree.HTMLParser(recover=False)
    known = {"section", "header", "main", "figure", "figcaption", "svg", "footer", "clippath", "defs", "path", "g", "use"}
    try:
        etree.fromstring(default_page, parser)
    except etree.XMLSyntaxError:
        problems = [item.message for item in parser.error_log]
        assert all(any(f"Tag {name}" in text for name in (*known, "circle", "rect")) for text in problems), problems
    root = tree(default_page)
    assert [element.tag for element in root.xpath("//h1")] == ["h1"]
    assert root.get("lang") == "en"
    assert root.xpath("//meta[@name='viewport']")
    levels = [int(element.tag[1]) for element in root.xpath("//h1|//h2|//h3")]
    assert all(after - before <= 1 for before, after in pairwise(levels)), "no heading level skipped"
    identifiers = root.xpath("//@id")
    assert len(identifiers) == len(set(identifiers)), "ids of several plots must not meet"


def test_every_picture_has_words(default_page: str) -> None:
    root = tree(default_page)
    images = root.xpath("//img[not(@hidden)]")
    assert len(images) == 1 + 6 + 1 + 2 + 2 * 2 * 4, "head, slices, scalp, carpets, two registrations over the anatomy"
    assert all(len(image.get("alt")) > 20 for image in images)
    drawings = [element for element in root.xpath("//svg") if element.get("aria-hidden") != "true"]
    assert drawings and all(element.get("role") == "img" and element.get("aria-label") for element in drawings)


def outside_references(html: str) -> list[str]:
    root = tree(html)
    found = []
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        for name, value in element.attrib.items():
            citation = element.tag == "a" and name == "href" and value.startswith("https://doi.org/")
            inside = value.startswith(("data:", "#")) or re.fullmatch(BESIDE, value)
            if name in REFERENCES and not inside and not citation:
                found.append(f"{element.tag} {name}={value[:60]}")
        if element.tag in {"iframe", "link", "object", "embed", "base", "form"}:
            found.append(element.tag)
    found += re.findall(r"url\(\s*['\"]?(?!#|data:)[^)]{0,40}", html)
    return found + re.findall(r"@import[^;]{0,40}", html)


def allowed_scripts(root: Any) -> list[str]:
    """Return the scripts that run; each must be named in the policy by its checksum, which alone lets it run."""
    policy = root.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]
    assert policy.startswith("default-src 'none'")
    named = re.findall(r"'sha256-([^']+)'", policy)
    elements = root.xpath("//script[not(@type='application/json')]")
    assert all(not element.attrib for element in elements)
    texts = [element.text for element in elements]
    assert [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts] == named
    told = [" ".join(f"'sha256-{name}'" for name in named)] if named else []
    assert re.findall(r"script-src ([^;]+)", policy) == told
    return texts


def test_nothing_is_loaded_from_outside_and_only_own_scripts_run(default_page: str) -> None:
    assert outside_references(default_page) == []
    assert outside_references(default_page.replace("</body>", '<img src="https://x.example/y.png"></body>'))
    texts = allowed_scripts(tree(default_page))
    assert texts == [library(), script("slices.js"), script("head.js")]


def test_only_given_sites_are_in_what_the_scripts_read(participant: Make) -> None:
    def data(html: str, name: str) -> Any:
        return json.loads(tree(html).xpath(f"//script[@id='{name}']")[0].text)

    html = page(participant("both").write())
    assert [spot["letter"] for spot in data(html, "head-data")["spots"]] == ["B", "T"]
    assert data(html, "head-data")["coil"] and data(html, "head-data")["cloud"]
    assert [spot["letter"] for spot in data(html, "slices-data")["spots"]] == ["T", "B"]
    html = page(participant("beam", target_status=Status.ABSTAIN).write())
    assert [spot["letter"] for spot in data(html, "head-data")["spots"]] == ["B"]
    assert not data(html, "head-data")["coil"] and not data(html, "head-data")["cloud"]
    assert [spot["letter"] for spot in data(html, "slices-data")["spots"]] == ["B"]
    assert "overlay" not in data(html, "slices-data")["brain"], "no scores to read a target off"


def test_the_same_inputs_give_the_same_bytes_wherever_they_lie(participant: Make, tmp_path: Path) -> None:
    first, second = participant("a").write(), participant("some/where else").write()
    html = page(first)
    time.sleep(1.1)
    assert html == page(second)
    assert str(tmp_path) not in html
    assert not re.search(r"20\d\d-\d\d-\d\dT|Matplotlib v|matplotlib\.org", html)


def hostile_arguments(participant: Make) -> dict[str, Any]:
    """Make a participant whose files hold the hostile string wherever a file may hold a string."""
    person = participant(target_reasons=(HOSTILE,), circuit=HOSTILE, marker_reasons=HOSTILE + " in the markers")
    person.summary |= {"Warnings": [HOSTILE + " in a warning"], HOSTILE: {HOSTILE: HOSTILE}}
    arguments = person.write() | {"participant": HOSTILE}
    table = read_tsv(arguments["plan"]).astype(object)
    table["participant_id"], table["reason"] = HOSTILE, HOSTILE + " in the plan"
    write_tsv(arguments["plan"], table)
    content = read_json(arguments["beamf3"])
    write_json(arguments["beamf3"], content | {"paths": {HOSTILE: HOSTILE, "circumference": HOSTILE + " as a path"}})
    landmarks = read_tsv(arguments["fiducials"])
    landmarks["source"] = HOSTILE + " as a source"
    write_tsv(arguments["fiducials"], landmarks)
    for path in arguments["tedana_summary"]:
        path.write_text(json.dumps({"Rung": HOSTILE, HOSTILE: HOSTILE, "Warnings": HOSTILE + " of tedana"}))
    return arguments


def test_hostile_strings_are_shown_and_do_nothing(participant: Make) -> None:
    html = page(hostile_arguments(participant))
    root = tree(html)
    assert outside_references(html) == []
    assert allowed_scripts(root) == [library(), script("slices.js"), script("head.js")]
    assert not root.xpath("//@onerror")
    assert all(json.loads(element.text) for element in root.xpath("//script[@type='application/json']"))
    text = whole_text(root)
    for place in ("in the markers", "in a warning", "in the plan", "as a path", "as a source", "of tedana"):
        assert f"{HOSTILE} {place}" in text, "the string itself is shown, whole"
    assert "&'49" not in text and "{{ 7*7 }}" in text, "and no template runs in it"


def test_abstaining_page_shows_no_coordinates(participant: Make) -> None:
    person = participant(
        target_status=Status.ABSTAIN,
        target_reasons=("only 4.1 min of clean data (at least 5 needed)",),
        beam_status=Status.ABSTAIN,
    )
    html = page(person.write())
    text = whole_text(tree(html))
    for place in (TARGET, SECOND, ENTRY, BEAM_SCALP, BEAM_CORTEX, (-38.2, 30.1, 44.4), (-49.1, 44.9, 60.2)):
        assert ", ".join(f"{value:.1f}" for value in place) not in text
        assert not any(f"= {value:.1f} mm" in html for value in place if abs(value) > 12)
    assert "none given out (abstain)" in text
    assert len(tree(html).xpath("//img")) == 1 + 1 + 2 * 3, "head, carpet, registration: the scalp picture has Beam F3 on it"
    assert allowed_scripts(tree(html)) == [script("head.js")]
    assert "only 4.1 min of clean data" in text
    assert "3.3 mm" not in text, "the distance between halves of a target that is not given out"


def test_only_the_target_abstains_and_beam_f3_is_still_there(participant: Make) -> None:
    text = whole_text(tree(page(participant(target_status=Status.ABSTAIN).write())))
    assert "-36.5, 25.0" not in text
    assert ", ".join(f"{value:.1f}" for value in BEAM_SCALP) in text
    assert "Slices through the circuit target" not in text


def test_the_worse_of_result_and_marker_decides(participant: Make) -> None:
    arguments = participant().write()
    table = read_tsv(arguments["markers"]).astype({"reasons": object})
    table.loc[0, ["status", "reasons"]] = ["caution", "the coil would lie on an ear"]
    write_tsv(arguments["markers"], table, decimals=3)
    text = whole_text(tree(page(arguments)))
    assert "Circuit target: use with caution (caution)" in text
    assert "the coil would lie on an ear" in text


def test_reasons_of_result_and_marker_are_told_once() -> None:
    first, second = "two; parts", "two"
    marker = Marker("circuit", Status.CAUTION, f"{first}; {second}; more; {second}", None, None, None, None)
    assert with_marker_reasons((first, second), marker) == (first, second, "more")
    assert with_marker_reasons((), None) == ()


def test_single_echo_participant(participant: Make) -> None:
    text = whole_text(tree(page(participant(multi_echo=False).write())))
    assert "No multi-echo run: tedana was not used." in text
    assert "DuPre" not in text and "tedana-dependent" not in text
    assert "Beam et al. 2009" in text and "Fox et al. 2012" in text


def test_no_components_because_tedana_gave_up(participant: Make) -> None:
    arguments = participant().write()
    for summary, metrics in zip(arguments["tedana_summary"], arguments["tedana_metrics"], strict=True):
        summary.write_text(
            json.dumps({"Rung": "optimal-combination", "Seed": None, "Accepted": 0, "Warnings": ["NOT denoised"]})
        )
        write_tsv(metrics, pd.DataFrame(columns=["kappa", "rho", "variance explained", "classification"]))
    text = whole_text(tree(page(arguments)))
    assert "There are no components to show." in text and "NOT denoised" in text


def test_missing_numbers_are_said_to_be_missing(participant: Make) -> None:
    person = participant(measures={}, summary={"MeanFD": 0.2})
    root = tree(page(person.write()))
    assert text_of(root, "split-half") == "not available"
    assert "not recorded in the files given" in whole_text(root)


def test_disagreeing_counts_are_told(participant: Make) -> None:
    arguments = participant().write()
    arguments["tedana_summary"][0].write_text(json.dumps({"Rung": "fastica", "Accepted": 3, "Rejected": 27}))
    text = whole_text(tree(page(arguments)))
    assert "The summary counts 3 accepted and 27 rejected" in text


def test_markers_of_another_derivation_are_refused(participant: Make) -> None:
    arguments = participant().write()
    table = read_tsv(arguments["markers"])
    table.loc[0, "target_x"] += 0.5
    write_tsv(arguments["markers"], table, decimals=3)
    with pytest.raises(InputError, match="different derivations"):
        page(arguments)


def test_points_of_another_image_are_refused(participant: Make) -> None:
    arguments = participant().write()
    image = nib.load(arguments["t1w"])
    moved = image.affine.copy()
    moved[:3, 3] += [0, 0, 400]
    for key in ("t1w", "brain_mask"):
        data = np.asarray(nib.load(arguments[key]).dataobj)
        nib.save(nib.Nifti1Image(data, moved), arguments[key])
    with pytest.raises(InputError, match="outside the T1w image"):
        page(arguments)


def test_lists_of_unequal_length_are_refused(participant: Make) -> None:
    arguments = participant(runs=2).write()
    with pytest.raises(InputError, match="confounds"):
        page(arguments | {"confounds": arguments["confounds"][:1]})
    with pytest.raises(InputError, match="boldref"):
        page(arguments | {"boldref": arguments["boldref"][:1]})


def test_regressors_decide_which_volumes_are_shown_as_left_out(participant: Make) -> None:
    arguments = participant(runs=2).write()
    designs = [Path(str(path).replace("confounds", "regressors")) for path in arguments["confounds"]]
    write_tsv(designs[0], pd.DataFrame({"kept": (np.arange(300) >= 17).astype(int)}))
    steady = np.arange(4, 300)  # first volumes left out of the table, as the denoise stage does
    write_tsv(designs[1], pd.DataFrame({"volume": steady, "kept": (steady != 50).astype(int)}))
    text = whole_text(tree(page(arguments | {"regressors": designs})))
    assert "17 volumes left out, as the regression used them" in text
    assert "summary counts 290 volumes as kept, this picture 283" in text
    assert "5 volumes left out, as the regression used them" in text


def test_regressors_of_another_run_are_refused(participant: Make) -> None:
    arguments = participant().write()
    design = arguments["plan"].with_name("regressors.tsv")
    for table in ({"kept": [1] * 299}, {"volume": [0, 300], "kept": [1, 1]}):
        write_tsv(design, pd.DataFrame(table))
        with pytest.raises(InputError, match="not of this run"):
            page(arguments | {"regressors": [design]})


def test_plan_shows_this_participant_only_and_labels_as_they_stand(participant: Make) -> None:
    arguments = participant(plan_reason="no T1w of another person").write()
    table = read_tsv(arguments["plan"]).astype(object)
    table["run"] = ["01", "02", "01", "01"]
    write_tsv(arguments["plan"], table)
    text = whole_text(tree(page(arguments)))
    assert "bold task-nback run-01" in text and "another task was asked for" in text
    assert "no T1w of another person" not in text


def decode(root: Any, number: int) -> np.ndarray:
    from PIL import Image

    source = root.xpath("//div[contains(@class, 'main')]//img/@src")[number]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB")).astype(int)


@pytest.mark.parametrize("orientation", ["LAS", "PSR", "oblique"])
def test_the_left_is_left_in_the_picture_of_every_storage(participant: Make, orientation: str) -> None:
    """The only ball that is white in the picture lies at x = -45, y = -32: lower left of the axial slice through it."""
    person = participant(orientation=orientation, scale=3.0)
    target = (-36.5, 25.0, MARKER_LEFT[2])
    person.candidates = (replace(person.candidates[0], target_ras_mm=target),)
    root = tree(page(person.write()))
    assert root.xpath("//div[contains(@class, 'main')]//img/@alt")[0].startswith("Axial")
    picture = decode(root, 0).min(axis=2)
    height, width = picture.shape
    white = picture > 230
    white[: height // 2] = white[int(height * 0.85) :] = False  # signs above, scale bar and letter P below
    white[:, : int(width * 0.1)] = white[:, int(width * 0.9) :] = False  # letters L and R
    rows, columns = np.nonzero(white)
    assert len(rows) == pytest.approx(np.pi * (7 / 0.5) ** 2, rel=0.5), (
        "the ball of 7 mm in pixels of 0.5 mm, its edge blurred"
    )
    assert columns.mean() < 0.35 * width
    middle = CENTRE[0]
    assert (columns.mean() + 0.5 - width / 2) * 0.5 == pytest.approx(MARKER_LEFT[0] - middle, abs=4)


def test_registration_picture_follows_the_transform(participant: Make) -> None:
    """With the right transform the EPI's bright rim lies under the brain outline; with the identity it does not."""
    from tmsprep.report.slices import Box, Cut, Plane, Volume, centroid, pulled
    from tmsprep.spaces import Transform

    arguments = participant().write()
    mask, boldref = Volume.load(arguments["brain_mask"]), Volume.load(arguments["boldref"][0])
    cut = Cut.of(Plane.AXIAL, centroid(mask), Box.around(mask, 10.0), 2.0)
    brain = mask.sample(cut.points_ras_mm) > 0.5

    def dice(transform: Transform) -> float:
        seen = boldref.sample(pulled(cut.points_ras_mm, transform)) > 30
        return float(2 * np.sum(seen & brain) / (seen.sum() + brain.sum()))

    assert dice(Transform.load(arguments["boldref_to_t1w"][0])) > 0.95
    assert dice(Transform.identity()) < 0.93


def test_as_a_stage_and_within_its_cost(participant: Make, tmp_path: Path) -> None:
    arguments = participant(scale=1.0, runs=2).write()
    arguments["out_html"] = tmp_path / "out" / "sub-01.html"
    started = time.process_time()
    stages.run("report", arguments)
    assert time.process_time() - started <= 20
    assert arguments["out_html"].stat().st_size < 5e6
    assert [path.name for path in arguments["out_html"].parent.iterdir()] == ["sub-01.html"]


def test_files_for_navigators_and_why_there_are_none(tmp_path: Path) -> None:
    index = {
        "Files": {"sub-01_desc-beamF3_brainsight.txt": "Brainsight"},
        "Sites": {
            "circuit": {"Status": "abstain", "Reasons": "qform and sform place the image up to 7 mm apart"},
            "beamF3": {"Status": "ok", "Reasons": ""},
        },
    }
    write_json(tmp_path / "navigators.json", index)
    text = page(Participant(tmp_path, scale=4.0).write() | {"navigators": tmp_path / "navigators.json"})
    assert "sub-01_desc-beamF3_brainsight.txt" in text
    assert "No navigator file for circuit: qform and sform place the image up to 7 mm apart" in text
    assert "No navigator file for beamF3" not in text
