"""Navigator files, read back by readers written here from the formats' documented conventions.

None of the readers shares code with the writers. The rotations have no symmetry, so that a transposed one is noticed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tmsprep.errors import ConfigurationError, InputError
from tmsprep.files import read_json, write_tsv
from tmsprep.navigate.formats.brainsight import brainsight_text
from tmsprep.navigate.formats.image import NavigatorImage
from tmsprep.navigate.formats.localite import entry_targets, instrument_markers
from tmsprep.navigate.formats.names import ENDINGS, SITES
from tmsprep.navigate.formats.others import coordinate_table, pose_json, save_burned_in, slicer_markups
from tmsprep.navigate.formats.site import CoilSite
from tmsprep.navigate.formats.stage import FORMATS
from tmsprep.spaces import Grid
from tmsprep.stages import run

URI = "bids:raw:sub-01/anat/sub-01_T1w.nii.gz"
AFFINE = np.array([[-1.0, 0, 0, 90], [0, 1.2, 0, -110], [0, 0, 0.9, -80], [0, 0, 0, 1]])


def header(qform_code: int, sform_code: int) -> nib.Nifti1Header:
    made = nib.Nifti1Header()
    made["qform_code"], made["sform_code"] = qform_code, sform_code
    return made


IMAGE = NavigatorImage(URI, "ab" * 32, Grid((180, 200, 200), AFFINE), header(1, 1))

places = st.tuples(*[st.floats(-150, 150)] * 3).map(np.array)
turns = st.tuples(*[st.floats(-3, 3)] * 3).map(lambda vector: Rotation.from_rotvec(vector).as_matrix())
names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=12).filter(
    lambda text: text == " ".join(text.split()) and text.strip() and not text.startswith("#")
)


def site_of(name: str, target: np.ndarray, entry: np.ndarray, turn: np.ndarray) -> CoilSite:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, entry
    return CoilSite(name, target, entry, matrix)


sites = st.builds(site_of, names, places, places, turns)


def angle_deg(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.degrees(Rotation.from_matrix(one @ other.T).magnitude()))


def assert_pose(site: CoilSite, origin: np.ndarray, simnibs_axes: np.ndarray) -> None:
    assert np.abs(origin - site.entry_ras_mm).max() < 0.01
    assert angle_deg(simnibs_axes, site.coil_ras_mm[:3, :3]) < 0.01


def read_brainsight(text: str) -> tuple[dict[str, str], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Brainsight's manual: header lines '# Key: value', columns by name, m{axis}n{component}."""
    lines = text.split("\n")
    keys = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
    columns = next(line for line in lines if line.startswith("# Target Name"))[2:].split("\t")
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for line in lines:
        if line and not line.startswith("#"):
            row = dict(zip(columns, line.split("\t"), strict=True))
            place = np.array([float(row[f"Loc. {axis}"]) for axis in "XYZ"])
            x, y, z = (np.array([float(row[f"m{axis}n{part}"]) for part in range(3)]) for axis in range(3))
            found[row["Target Name"]] = place, np.column_stack([x, y, z])
    return keys, found


@settings(max_examples=1000, deadline=None)
@given(sites, st.sampled_from([14, 12]))
def test_brainsight(site: CoilSite, version: int) -> None:
    keys, rows = read_brainsight(brainsight_text([site], IMAGE, version))
    assert keys["Version"] == str(version)
    assert keys["Coordinate system"] == {14: "NIfTI:Q:Scanner", 12: "NIfTI:Scanner"}[version]
    place, axes = rows[site.name]
    # Brainsight: y as SimNIBS, x and z the other way round, z out of the head
    assert_pose(site, place, np.column_stack([-axes[:, 0], axes[:, 1], -axes[:, 2]]))
    assert np.abs(rows[f"{site.name} cortex"][0] - site.target_ras_mm).max() < 0.01


@pytest.mark.parametrize("name", ["# a", "a\tb", "a\nb", " a"])
def test_a_name_that_would_break_brainsights_file_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="would break"):
        brainsight_text([site_of(name, np.zeros(3), np.zeros(3), np.eye(3))], IMAGE)


@settings(max_examples=1000, deadline=None)
@given(sites)
def test_localite(site: CoilSite) -> None:
    root = ET.fromstring(instrument_markers([site], IMAGE))
    assert root.attrib["coordinateSpace"] == "RAS"
    marker = root.find("InstrumentMarker/Marker")
    assert marker is not None
    assert marker.attrib["description"] == site.name
    assert IMAGE.sha256 in marker.attrib["additionalInformation"]
    cells = marker.find("Matrix4D")
    assert cells is not None
    matrix = np.array([[float(cells.attrib[f"data{row}{column}"]) for column in range(4)] for row in range(4)])
    # Localite: its x is SimNIBS's z, its y the reverse of SimNIBS's y, its z SimNIBS's x
    assert_pose(site, matrix[:3, 3], np.column_stack([matrix[:3, 2], -matrix[:3, 1], matrix[:3, 0]]))
    pairs = ET.fromstring(entry_targets([site], IMAGE))
    for kind, place in (("Entry", site.entry_ras_mm), ("Target", site.target_ras_mm)):
        column = pairs.find(f"EntryTarget/{kind}/Marker/ColVec3D")
        assert column is not None
        assert np.abs([float(column.attrib[f"data{row}"]) - place[row] for row in range(3)]).max() < 0.01


@settings(max_examples=300, deadline=None)
@given(sites)
def test_pose_slicer_and_table(site: CoilSite) -> None:
    pose = json.loads(pose_json([site], IMAGE))
    matrix = np.array(pose["Markers"][0]["Matrix"])
    assert_pose(site, matrix[:3, 3], matrix[:3, :3])
    assert pose["AssociatedImageInfo"]["SHA256"] == IMAGE.sha256
    markup = json.loads(slicer_markups([site], IMAGE))["markups"][0]
    assert markup["coordinateSystem"] == "LPS"
    by_label = {point["label"]: point for point in markup["controlPoints"]}
    flip = np.array([-1, -1, 1])
    for kind, place in (("target", site.target_ras_mm), ("entry", site.entry_ras_mm)):
        point = by_label[f"{site.name} {kind}"]
        assert np.abs(np.array(point["position"]) * flip - place).max() < 0.01
        axes = np.array(point["orientation"]).reshape(3, 3)
        assert angle_deg(np.diag(flip) @ axes, site.coil_ras_mm[:3, :3]) < 0.01
    table = coordinate_table([site]).set_index("kind")
    for kind, place in (("target", site.target_ras_mm), ("entry", site.entry_ras_mm)):
        assert np.allclose([table.loc[kind, f"{axis}_ras_mm"] for axis in "xyz"], place, atol=1e-3)
        assert np.allclose([table.loc[kind, f"{axis}_lps_mm"] for axis in "xyz"], place * flip, atol=1e-3)


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5])
def test_brainsight_names_the_form_and_its_code(code: int) -> None:
    site = site_of("a", np.zeros(3), np.ones(3), np.eye(3))
    word = {1: "Scanner", 2: "Aligned", 3: "Talairach", 4: "MNI-152", 5: "Other-Template"}[code]
    only_s = NavigatorImage(URI, "c" * 64, IMAGE.grid, header(0, code))
    assert read_brainsight(brainsight_text([site], only_s))[0]["Coordinate system"] == f"NIfTI:S:{word}"
    with pytest.raises(InputError, match="file version"):
        brainsight_text([site], only_s, 13)


# The image


def store(path: Path, affine: np.ndarray, data: np.ndarray | None = None) -> Path:
    image = nib.Nifti1Image(np.zeros((40, 44, 36), dtype=np.uint8) if data is None else data, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1, strip_shears=True)
    nib.save(image, path)
    return path


def oblique(axes: str = "RAS") -> np.ndarray:
    to_ras = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(axes), (40, 44, 36))
    base = np.eye(4)
    base[:3, :3] = Rotation.from_euler("xyz", [12, -8, 20], degrees=True).as_matrix() * [1.1, 0.9, 1.3]
    base[:3, 3] = [-20, -30, -10]
    return base @ to_ras


@pytest.mark.parametrize("axes", ["RAS", "LAS", "PSR", "ILP"])
def test_burned_in_target_lies_where_it_should(tmp_path: Path, axes: str) -> None:
    affine = oblique(axes)
    image = NavigatorImage.load(store(tmp_path / "t1w.nii.gz", affine), URI)
    target = nib.affines.apply_affine(affine, [11.3, 20.2, 9.6])
    save_burned_in(tmp_path / "out.nii.gz", [site_of("a", target, target, np.eye(3))], image)
    out = nib.load(tmp_path / "out.nii.gz")
    assert np.allclose(out.affine, affine, atol=1e-4)
    voxels = np.argwhere(np.asarray(out.dataobj) == 1)
    points = nib.affines.apply_affine(out.affine, voxels)
    assert np.linalg.norm(points.mean(axis=0) - target) < 0.5
    assert np.linalg.norm(points - target, axis=1).max() <= 3.0
    volume = len(voxels) * abs(np.linalg.det(affine[:3, :3]))
    assert volume == pytest.approx(4 / 3 * np.pi * 27, rel=0.15)
    assert (points[:, 0].mean() < 0) == (target[0] < 0)
    outside = nib.affines.apply_affine(affine, [60, 20, 9])
    with pytest.raises(InputError, match="outside"):
        save_burned_in(tmp_path / "no.nii.gz", [site_of("a", outside, outside, np.eye(3))], image)


# The stage


def markers(folder: Path, **status: str) -> tuple[Path, list[CoilSite]]:
    """A markers table with the circuit, Beam F3 and others, rotations without symmetry."""
    affine = oblique("LAS")
    rows: list[dict[str, Any]] = []
    found: list[CoilSite] = []
    for index, name in enumerate(("circuit", "circuit-2", "group", "beamF3", "F3")):
        target = nib.affines.apply_affine(affine, [10 + index, 21.37 + index, 11.4])
        entry = target + [-6.123 - index, 4.456, 8.789]
        site = site_of(name, target, entry, Rotation.from_rotvec([0.3, -0.9, 1.1 + index]).as_matrix())
        found.append(site)
        kept = status.get(name.replace("-", "_"), "ok") != "abstain"
        row: dict[str, Any] = {"target_id": name, "target_label": name, "status": status.get(name, "ok"), "reasons": "n/a"}
        row |= {f"target_{axis}": value if kept else np.nan for axis, value in zip("xyz", target, strict=True)}
        row |= {f"entry_{axis}": value if kept else np.nan for axis, value in zip("xyz", entry, strict=True)}
        row |= {
            f"normal_{axis}": value if kept else np.nan for axis, value in zip("xyz", -site.coil_ras_mm[:3, 2], strict=True)
        }
        row |= {
            f"direction_{axis}": value if kept else np.nan
            for axis, value in zip("xyz", site.coil_ras_mm[:3, 1], strict=True)
        }
        rows.append(row | {"coil_transform": json.dumps(site.coil_ras_mm.tolist()) if kept else "n/a"})
    write_tsv(folder / "markers.tsv", pd.DataFrame(rows))
    store(folder / "T1w.nii.gz", affine)
    return folder / "markers.tsv", found


def export(folder: Path, t1w: str = "T1w.nii.gz") -> tuple[dict[str, Any], set[str]]:
    (folder / "out").mkdir(exist_ok=True)
    files = [folder / "out" / f"sub-01_desc-{site}_{ending}" for site in SITES for ending in ENDINGS]
    arguments = {"markers": folder / "markers.tsv", "t1w": folder / t1w, "intended_for": URI}
    run("export", arguments | {"out_files": files, "out_index": folder / "out" / "sub-01_navigators.json"})
    written = {path.name for path in (folder / "out").iterdir()} - {"sub-01_navigators.json"}
    return read_json(folder / "out" / "sub-01_navigators.json"), written


def test_every_ending_has_a_writer() -> None:
    assert tuple(FORMATS) == ENDINGS


def test_each_site_has_files_of_its_own(tmp_path: Path) -> None:
    _, found = markers(tmp_path)
    index, written = export(tmp_path)
    assert written == {f"sub-01_desc-{site}_{ending}" for site in SITES for ending in ENDINGS}
    assert set(index["Files"]) == written
    for site in found:
        if site.name in SITES:
            text = (tmp_path / "out" / f"sub-01_desc-{site.name}_brainsight.txt").read_text(encoding="utf-8")
            _, rows = read_brainsight(text)
            assert set(rows) == {site.name, f"{site.name} cortex"}
            assert np.allclose(rows[site.name][0], site.entry_ras_mm, atol=1e-3)


def test_a_site_that_abstains_has_no_file_and_an_old_one_goes(tmp_path: Path) -> None:
    markers(tmp_path)
    export(tmp_path)
    _, found = markers(tmp_path, circuit="abstain")
    index, written = export(tmp_path)
    assert not [name for name in written if "circuit" in name]
    assert len(written) == len(ENDINGS)
    assert index["Sites"]["circuit"]["Status"] == "abstain"
    number = f"{found[0].entry_ras_mm[0]:.2f}".encode()
    assert all(number not in path.read_bytes() for path in (tmp_path / "out").iterdir())


def test_an_image_with_two_frames_gets_no_file_and_the_reason(tmp_path: Path) -> None:
    markers(tmp_path)
    image = nib.load(tmp_path / "T1w.nii.gz")
    moved = image.affine.copy()
    moved[0, 3] += 0.5
    image.set_qform(moved, 1)
    nib.save(image, tmp_path / "two.nii.gz")
    index, written = export(tmp_path, "two.nii.gz")
    assert written == set()
    assert all("0.5 mm apart" in site["Reasons"] for site in index["Sites"].values())
    sheared = image.affine.copy()
    sheared[0, 1] += 0.05
    image.set_sform(sheared, 1)
    image.set_qform(sheared, 1, strip_shears=True)
    nib.save(image, tmp_path / "sheared.nii.gz")
    assert export(tmp_path, "sheared.nii.gz")[1] == set()


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    markers(tmp_path)
    with pytest.raises(ConfigurationError, match="no known site"):
        run(
            "export",
            {
                "markers": tmp_path / "markers.tsv",
                "t1w": tmp_path / "T1w.nii.gz",
                "intended_for": URI,
                "out_files": [tmp_path / "sub-01_desc-group_brainsight.txt"],
                "out_index": tmp_path / "index.json",
            },
        )
    assert not (tmp_path / "index.json").exists()
