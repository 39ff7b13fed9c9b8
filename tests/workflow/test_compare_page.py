"""The page of a comparison: what it shows, what it must not name, and that it is the same every time."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.whole import Finished, run_tmsprep
from tmsprep import DISCLAIMER
from tmsprep.files import sha256
from tmsprep.provenance.compare import compare
from tmsprep.provenance.compare_page import write_page

HOSTILE = "<script>alert(1)</script><img src=http://evil.example/x>"
PICTURE = re.compile(r'<img src="data:image/jpeg;base64,([^"]+)"')


@pytest.fixture
def copy(whole: Finished, tmp_path: Path) -> Path:
    """The outputs of a whole run at a place of their own."""
    return Path(shutil.copytree(whole.output_dir, tmp_path / "second", symlinks=True))


def edit_markers(folder: Path, values: dict[str, str], *, target: str = "circuit", shift_x_mm: float = 0.0) -> None:
    """Set fields of a target's row and move it along x."""
    path = next((folder / "tmsprep").rglob("*_markers.tsv"))
    table = pd.read_csv(path, sep="\t", keep_default_na=False, dtype=str)
    row = table.index[table["target_id"] == target][0]
    if shift_x_mm:
        table.loc[row, "target_x"] = str(float(table.loc[row, "target_x"]) + shift_x_mm)
    for name, value in values.items():
        table.loc[row, name] = value
    table.to_csv(path, sep="\t", index=False)


def edit_json(path: Path, change: dict[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")


def abstain(folder: Path, reasons: str) -> None:
    place = {f"{kind}_{axis}": "n/a" for kind in ("target", "entry") for axis in "xyz"}
    edit_markers(folder, place | {"status": "abstain", "reasons": reasons})


def page(a: Path, b: Path, tolerance_mm: float = 2.0) -> str:
    path = b.parent / "page.html"
    write_page(path, a, b, compare(a, b), tolerance_mm)
    return path.read_text(encoding="utf-8")


def text_of(html: str) -> str:
    """What a reader sees."""
    words = re.sub(r"<[^>]+>", " ", html[html.index("<body>") :])
    return " ".join(words.replace("&lt;", "<").replace("&gt;", ">").split())


def pictures(html: str) -> list[NDArray[np.float64]]:
    """Grey values of the pictures, in the page's order."""
    found = [Image.open(io.BytesIO(base64.b64decode(text))) for text in PICTURE.findall(html)]
    return [np.asarray(image.convert("L"), dtype=np.float64) for image in found]


def require_private_and_offline(html: str, *folders: Path) -> None:
    assert "http:" not in html
    assert "https:" not in html
    assert "<script" not in html
    links = re.findall(r"(?:\bsrc|\bhref|\baction|\bposter|\bdata)\s*=\s*[\"']?([^\"'\s>]+)", html)
    assert all(link.startswith("data:image/jpeg;base64,") for link in links)
    without_pictures = re.sub(r"base64,[^\"]+", "", html)
    assert "url(" not in without_pictures
    assert "@import" not in without_pictures
    for name in ("/home/", "/tmp/", "/root", "/work/", *(str(folder.parent) for folder in folders)):
        assert name not in without_pictures


def test_a_moved_target_is_told_and_drawn(whole: Finished, copy: Path) -> None:
    edit_markers(copy, {}, shift_x_mm=3.0)
    record = next((copy / "tmsprep" / "prov" / "activities").glob("target__*.json"))
    software = json.loads(record.read_text(encoding="utf-8"))["Software"]
    edit_json(record, {"Software": software | {"numpy": "0.0"}})
    html = page(whole.output_dir, copy)
    text = text_of(html)
    assert "A (out) and B (second) differ (tolerance 2 mm)" in text
    assert "are 3.0 mm apart, more than the tolerance of 2 mm. Seen from A, B lies 3.0 mm to the right." in text
    assert DISCLAIMER in text
    assert "≠ place" in html.replace("&#8800;", "≠")
    assert "numpy" in text
    assert html.count('class="slices main"') == 1
    assert [re.search(rf"{plane}, [xyz] = ", text) is not None for plane in ("Sagittal", "Coronal", "Axial")] == [True] * 3
    assert len(pictures(html)) == 3
    require_private_and_offline(html, whole.output_dir, copy)


def test_the_command_writes_it_and_the_same_again(whole: Finished, copy: Path, tmp_path: Path) -> None:
    edit_markers(copy, {}, shift_x_mm=3.0)
    for name in ("one.html", "two.html"):
        assert run_tmsprep("compare", whole.output_dir, copy, "--html", tmp_path / name).returncode == 1
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_agreement_is_told(whole: Finished, copy: Path) -> None:
    text = text_of(page(whole.output_dir, copy))
    assert "A (out) and B (second) agree (tolerance 2 mm)" in text
    assert "0.0 mm apart, within the tolerance of 2 mm." in text
    assert "Nothing that the records name" in text


def test_a_distance_is_not_rounded_across_the_tolerance(whole: Finished, copy: Path) -> None:
    edit_markers(copy, {}, shift_x_mm=2.04)
    text = text_of(page(whole.output_dir, copy))
    assert "2.0400 mm apart, more than the tolerance of 2 mm" in text


def test_where_one_abstains_no_place_is_shown(whole: Finished, copy: Path) -> None:
    abstain(copy, "only 4.1 min of clean data")
    html = page(whole.output_dir, copy)
    text = text_of(html)
    assert "B (second) gives no circuit target (status abstain): only 4.1 min of clean data." in text
    assert "no picture" in text
    assert pictures(html) == []


def test_hostile_words_are_escaped_and_paths_cut(whole: Finished, copy: Path) -> None:
    abstain(copy, f"{HOSTILE} in /home/jane/data")
    edit_markers(copy, {"status": HOSTILE}, target="F3")
    edit_json(next((copy / "tmsprep").rglob("*_desc-circuit_target.json")), {"Circuit": f"/home/jane/{HOSTILE}"})
    html = page(whole.output_dir, copy)
    assert "<script" not in html
    assert "<img src=http" not in html
    assert html.count("&lt;script&gt;") >= 3
    assert "jane" not in html


def test_another_t1w_is_not_compared(whole: Finished, copy: Path, tmp_path: Path) -> None:
    path = next((copy / "tmsprep").rglob("*_coordsystem.json"))
    image = json.loads(path.read_text(encoding="utf-8"))["AssociatedImage"]
    edit_json(path, {"AssociatedImage": image | {"SHA256": "0" * 64}})
    edit_markers(copy, {}, shift_x_mm=3.0)
    assert run_tmsprep("compare", whole.output_dir, copy, "--html", tmp_path / "page.html").returncode == 2
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    text = text_of(html)
    assert "A (out) and B (second) are not comparable" in text
    assert image["SHA256"][:12] in text
    assert "3.0 mm" not in text
    assert pictures(html) == []
    require_private_and_offline(html, whole.output_dir, copy)


def test_without_a_t1w_it_says_so(whole: Finished, tmp_path: Path) -> None:
    copies = [Path(shutil.copytree(whole.output_dir, tmp_path / "far" / "away" / name)) for name in ("one", "two")]
    for folder in copies:
        next((folder / "tmsprep-builtin").rglob("sub-01_desc-preproc_T1w.nii.gz")).write_bytes(b"another image")
        edit_json(folder / "tmsprep" / "dataset_description.json", {"DatasetLinks": {"preprocessed": "../tmsprep-builtin"}})
    html = page(copies[0], copies[1])
    assert "No picture: no T1w image with the recorded checksum was found" in text_of(html)
    assert pictures(html) == []


@pytest.mark.parametrize("axes", ["LAS", "PSR"])
def test_the_order_of_storage_does_not_turn_the_picture(whole: Finished, copy: Path, axes: str) -> None:
    for name in ("desc-preproc_T1w", "desc-brain_mask"):
        restore(copy, next((copy / "tmsprep-builtin").rglob(f"sub-01_{name}.nii.gz")), axes)
    as_stored, turned = (pictures(page(*pair)) for pair in ((whole.output_dir, copy), (copy, whole.output_dir)))
    assert len(as_stored) == 3
    for one, other in zip(as_stored, turned, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).mean() < 1.0
        assert np.abs(one - one[:, ::-1]).mean() > 5.0


def restore(folder: Path, path: Path, axes: str) -> None:
    """Store an image with its axes in another order, and change the records of its checksum."""
    old = sha256(path)
    image = nib.load(path)
    wanted = nib.orientations.axcodes2ornt(axes)
    turned = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), wanted))
    data = np.asanyarray(turned.dataobj)
    nib.save(nib.Nifti1Image(data, turned.affine), path)
    assert nib.aff2axcodes(nib.load(path).affine) == tuple(axes)
    for sidecar in (folder / "tmsprep").rglob("*.json"):
        text = sidecar.read_text(encoding="utf-8")
        if old in text and "prov" not in sidecar.parts:
            sidecar.write_text(text.replace(old, sha256(path)), encoding="utf-8")
