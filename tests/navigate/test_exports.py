"""The export stage on wrong images, edited tables and runs that abstain; and each format's numbers by hand.

The readers here are written from the formats' documented conventions, not from the writers. test_formats.py holds the round
trips over a thousand poses.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from tmsprep.errors import InputError
from tmsprep.files import write_tsv
from tmsprep.navigate.formats.brainsight import brainsight_text
from tmsprep.navigate.formats.image import NavigatorImage
from tmsprep.navigate.formats.localite import instrument_markers
from tmsprep.navigate.formats.names import ENDINGS, SITES
from tmsprep.navigate.formats.others import slicer_markups
from tmsprep.navigate.formats.site import CoilSite
from tmsprep.navigate.markers import Marker, Placement, Site, markers_table
from tmsprep.navigate.pose import CoilPose
from tmsprep.provenance import record
from tmsprep.records import Status
from tmsprep.stages import run

URI = "bids:raw:sub-01/anat/sub-01_T1w.nii.gz"
STEM = "sub-01_task-rest"
MM = 0.01
RADIANS = np.deg2rad(0.01)
OBLIQUE = Rotation.from_euler("xyz", [17, -9, 28], degrees=True).as_matrix()
CYCLIC = np.array([[0, 0, 1, -40.5], [1, 0, 0, 60.25], [0, 1, 0, 50.125], [0, 0, 0, 1.0]])
"""A coil whose x looks to the front, y up, z to the right: no rotation is less like its transpose."""


# Images


def las(size_mm: float = 2.0, shape: tuple[int, int, int] = (60, 70, 64)) -> np.ndarray:
    """Columns stored from right to left, as most scanners' images are after conversion."""
    affine = np.diag([-size_mm, size_mm, size_mm, 1.0])
    affine[:3, 3] = [(shape[0] - 1) * size_mm / 2, -(shape[1] - 1) * size_mm / 2, -40]
    return affine


def oblique(sizes_mm: tuple[float, float, float] = (1.5, 2.0, 1.8)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = OBLIQUE @ np.diag(sizes_mm)
    affine[:3, 3] = -affine[:3, :3] @ [30, 35, 32] + [0, 10, 15]
    return affine


def save_t1w(path: Path, affine: np.ndarray, *, qform: int = 1, sform: int = 1, data: np.ndarray | None = None) -> Path:
    """Write an image whose header has just these codes, with private text that no export may copy."""
    image = nib.Nifti1Image(np.zeros((60, 70, 64), dtype=np.int16) if data is None else data, None)
    image.header.set_qform(affine, qform, strip_shears=True)
    image.header.set_sform(affine, sform)
    image.header["descrip"] = b"NAME OF PATIENT"
    image.header.set_xyzt_units("mm", "sec")
    nib.save(nib.Nifti1Image(image.dataobj, None, image.header), path)
    return path


# Readers


def coil_matrix(x: np.ndarray, y: np.ndarray, z: np.ndarray, origin: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    for column, values in enumerate((x, y, z, origin)):
        matrix[:3, column] = values
    return matrix


def read_brainsight(text: str) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Return the header and each target's coil (x right of the coil, z into the head), from columns found by name.

    ``m0n*`` is the direction of Brainsight's x axis, ``m1n*`` of y, ``m2n*`` of z, each n0, n1, n2 along the file's x, y, z.
    Brainsight's z leaves the head and its handle is at -y, so that its x is opposite too.
    """
    lines = text.removesuffix("\n").split("\n")
    header = {key: value for key, _, value in (line[2:].partition(": ") for line in lines[:6])}
    names = lines[6].removeprefix("# ").split("\t")
    coils: dict[str, np.ndarray] = {}
    for line in lines[7:]:
        cells = dict(zip(names, line.split("\t"), strict=True))
        assert cells["Target Name"] not in coils, "two targets of one name"
        x, y, z = (np.array([float(cells[f"m{axis}n{row}"]) for row in range(3)]) for axis in range(3))
        place = np.array([float(cells[f"Loc. {axis}"]) for axis in "XYZ"])
        coils[cells["Target Name"]] = coil_matrix(-x, y, -z, place)
    return header, coils


def read_instrument(text: str) -> dict[str, np.ndarray]:
    """Return each marker's coil: Localite's x enters the head, y is along the handle, z is the coil's x."""
    root = ET.fromstring(text)
    assert root.tag == "InstrumentMarkerList"
    flip = {"RAS": np.eye(4), "LPS": np.diag([-1.0, -1, 1, 1])}[root.attrib["coordinateSpace"]]
    coils: dict[str, np.ndarray] = {}
    for number, item in enumerate(root.findall("InstrumentMarker")):
        assert set(item.attrib) == {"alwaysVisible", "index", "selected"}
        assert item.attrib["index"] == str(number)
        marker = item.find("Marker")
        assert marker is not None
        assert set(marker.attrib) == {"additionalInformation", "color", "description", "set"}
        cells = marker.find("Matrix4D")
        assert cells is not None
        matrix = flip @ [[float(cells.attrib[f"data{row}{column}"]) for column in range(4)] for row in range(4)]
        coils[marker.attrib["description"]] = coil_matrix(matrix[:3, 2], -matrix[:3, 1], matrix[:3, 0], matrix[:3, 3])
        assert list(matrix[3]) == [0, 0, 0, 1]
    return coils


def read_entry_target(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the first entry and target in RAS."""
    root = ET.fromstring(text)
    assert root.tag == "EntryTargetList"
    flip = {"RAS": 1.0, "LPS": np.array([-1.0, -1, 1])}[root.attrib["coordinateSpace"]]
    places: list[np.ndarray] = []
    for kind in ("Entry", "Target"):
        column = root.find(f".//{kind}/Marker/ColVec3D")
        assert column is not None
        places.append(np.array([float(column.attrib[f"data{row}"]) for row in range(3)]) * flip)
    return places[0], places[1]


def read_slicer(text: str) -> dict[str, np.ndarray]:
    """Return the control points in RAS by label, as Slicer's schema 1.0.3 has them."""
    content = json.loads(text)
    assert "markups-schema-v1.0.3.json" in content["@schema"]
    (markup,) = content["markups"]
    assert markup["type"] == "Fiducial"
    assert markup["coordinateUnits"] == "mm"
    flip = {"LPS": np.array([-1.0, -1, 1]), "RAS": np.ones(3)}[markup["coordinateSystem"]]
    assert markup["coordinateSystem"] == "LPS", "Slicer's own choice"
    points = markup["controlPoints"]
    assert len({item["id"] for item in points}) == len(points)
    assert all(item["positionStatus"] == "defined" for item in points)
    return {item["label"]: flip * item["position"] for item in points}


def read_pose(text: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return coils and the image's affine, rebuilt from the header's fields by the NIfTI standard's formula."""
    content = json.loads(text)
    info = content["AssociatedImageInfo"]
    b, c, d = info["quatern_bcd"]
    a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    factor, *sizes = info["pixdim"]
    turn = Rotation.from_quat([b, c, d, a]).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([sizes[0], sizes[1], sizes[2] * (-1 if factor == -1 else 1)])
    affine[:3, 3] = info["qoffset_xyz"]
    return {item["Name"]: np.array(item["Matrix"]) for item in content["Markers"]}, affine


def same_coil(found: np.ndarray, expected: np.ndarray) -> bool:
    """Within 0.01 mm and 0.01 degrees, and a rotation, not a mirror."""
    turn = found[:3, :3].T @ expected[:3, :3]
    angle = np.linalg.norm(turn - np.eye(3)) / np.sqrt(2)
    place = np.linalg.norm(found[:3, 3] - expected[:3, 3])
    return bool(place < MM and angle < RADIANS and np.linalg.det(found[:3, :3]) > 0.99)


# Numbers by hand


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> NavigatorImage:
    return NavigatorImage.load(save_t1w(tmp_path_factory.mktemp("image") / "T1w.nii.gz", oblique()), URI)


def cyclic_site() -> CoilSite:
    return CoilSite('Müller links <& "3"> – DLPFC', np.array([-35.0, 55, 40]), CYCLIC[:3, 3].copy(), CYCLIC)


def test_brainsight_numbers_by_hand(image: NavigatorImage) -> None:
    """By hand: Brainsight's x is (0, -1, 0), y (0, 0, 1), z (-1, 0, 0); rows in place of columns would read otherwise."""
    lines = brainsight_text([cyclic_site()], image).splitlines()
    assert lines[:7] == [
        "# Version: 14",
        "# Coordinate system: NIfTI:Q:Scanner",
        lines[2],
        "# Units: millimetres, degrees, milliseconds, and microvolts",
        "# Encoding: UTF-8",
        "# Notes: Each column is delimited by a tab. Each value within a column is delimited by a semicolon.",
        "# Target Name\tLoc. X\tLoc. Y\tLoc. Z\tm0n0\tm0n1\tm0n2\tm1n0\tm1n1\tm1n2\tm2n0\tm2n1\tm2n2",
    ]
    assert lines[2].startswith("# Created by: TMSPrep")
    assert "research" in lines[2]
    name, *cells = lines[7].split("\t")
    assert name == cyclic_site().name
    assert cells[:3] == ["-40.5000", "60.2500", "50.1250"]
    assert [float(cell) for cell in cells[3:]] == [0, -1, 0, 0, 0, 1, -1, 0, 0]
    assert "-0.0000" not in "\t".join(cells)


def test_localite_numbers_by_hand(image: NavigatorImage) -> None:
    """By hand: Localite's x is the coil's z (1, 0, 0), y its -y (0, 0, -1), z its x (0, 1, 0); columns of the matrix."""
    text = instrument_markers([cyclic_site()], image)
    cells = ET.fromstring(text).find(".//Matrix4D")
    assert cells is not None
    rows = [[float(cells.attrib[f"data{row}{column}"]) for column in range(4)] for row in range(4)]
    assert rows == [[1, 0, 0, -40.5], [0, 0, 1, 60.25], [0, -1, 0, 50.125], [0, 0, 0, 1]]
    assert "research" in text
    assert ET.fromstring(text).attrib["coordinateSpace"] == "RAS"


def test_slicer_numbers_by_hand(image: NavigatorImage) -> None:
    content = json.loads(slicer_markups([cyclic_site()], image))
    point = content["markups"][0]["controlPoints"][0]
    assert point["position"] == [35, -55, 40]
    # the schema: elements 0, 3, 6 are the x vector, here RAS (0, 1, 0), LPS (0, -1, 0)
    assert [point["orientation"][index] for index in (0, 3, 6)] == [0, -1, 0]
    assert [point["orientation"][index] for index in (2, 5, 8)] == [-1, 0, 0]


def test_the_comparison_itself_can_fail() -> None:
    """A transposed rotation, a mirror, 0.02 degrees and 0.02 mm are seen."""
    transposed = CYCLIC.copy()
    transposed[:3, :3] = CYCLIC[:3, :3].T
    mirrored = CYCLIC @ np.diag([-1.0, 1, 1, 1])
    turned = CYCLIC.copy()
    turned[:3, :3] = CYCLIC[:3, :3] @ Rotation.from_euler("z", 0.02, degrees=True).as_matrix()
    moved = CYCLIC.copy()
    moved[0, 3] += 0.02
    assert same_coil(CYCLIC, CYCLIC)
    assert not any(same_coil(wrong, CYCLIC) for wrong in (transposed, mirrored, turned, moved))


NAMES = {1: "Scanner", 2: "Aligned", 3: "Talairach", 4: "MNI-152", 5: "Other-Template"}


@pytest.mark.parametrize("code", list(NAMES))
@pytest.mark.parametrize(("qform", "sform", "form"), [(1, 1, "Q"), (1, 0, "Q"), (0, 1, "S")])
def test_brainsight_names_the_frame_by_the_code(tmp_path: Path, code: int, qform: int, sform: int, form: str) -> None:
    path = save_t1w(tmp_path / "T1w.nii.gz", las(), qform=qform * code, sform=sform * code)
    found = NavigatorImage.load(path, URI)
    new, old = (read_brainsight(brainsight_text([cyclic_site()], found, version))[0] for version in (14, 12))
    assert new["Coordinate system"] == f"NIfTI:{form}:{NAMES[code]}"
    assert old["Coordinate system"] == f"NIfTI:{NAMES[code]}"
    assert old["Version"] == "12"


# The stage


def marker(name: str, status: Status = Status.OK, turn: float = 0.0) -> Marker:
    """A placed candidate with a pose of its own, near the left front."""
    rotation = Rotation.from_euler("xyz", [25 + turn, -35, 40 + turn], degrees=True).as_matrix()
    entry = np.array([-47.6183, 52.9274, 54.3391]) - 1.1 * turn
    pose = CoilPose(entry, -rotation[:, 2], -rotation[:, 1])
    target = np.array([-33.1742, 41.7586, 38.8625]) - 1.3 * turn
    reasons = () if status is Status.OK else ("short scan",)
    site = Site(name, name, "in words", status, reasons)
    return Marker(site, Placement(target, target + 1, pose, 14.0))


PLACED = {name: marker(name, turn=turn) for name, turn in (("circuit", 0.0), ("beamF3", 3.0))}
OTHERS = [marker("circuit-2", turn=5.0), marker("group", Status.CAUTION, turn=7.0), marker("F3", turn=9.0)]


class Folder:
    """A derivative dataset with one participant's markers, and the raw T1w."""

    def __init__(self, root: Path) -> None:
        record.dataset_root.cache_clear()
        self.nibs = root / "out" / "sub-01" / "nibs"
        self.raw = root / "raw" / "sub-01" / "anat"
        for folder in (self.nibs, self.raw):
            folder.mkdir(parents=True)
        (root / "raw" / "dataset_description.json").write_text("{}")
        (root / "out" / "dataset_description.json").write_text(json.dumps({"DatasetLinks": {"raw": "../raw"}}))
        self.t1w = save_t1w(self.raw / "sub-01_T1w.nii.gz", oblique())

    def run(self, *placed: Marker, **more: Path | str) -> dict[str, Any]:
        """Run the stage and return the index."""
        table = markers_table([*(placed or PLACED.values()), *OTHERS])
        return self.run_table(table, **more)

    def run_table(self, table: pd.DataFrame, **more: Path | str) -> dict[str, Any]:
        write_tsv(self.nibs / f"{STEM}_markers.tsv", table)
        names = [f"{STEM}_desc-{site}_{ending}" for site in SITES for ending in ENDINGS]
        index = self.nibs / f"{STEM}_navigators.json"
        arguments = {
            "markers": self.nibs / f"{STEM}_markers.tsv",
            "t1w": self.t1w,
            "intended_for": URI,
            "out_files": [self.nibs / name for name in names],
            "out_index": index,
        }
        run("export", arguments | more)
        return json.loads(index.read_text(encoding="utf-8"))

    def path(self, site: str, ending: str) -> Path:
        return self.nibs / f"{STEM}_desc-{site}_{ending}"

    def text(self, site: str, ending: str) -> str:
        return self.path(site, ending).read_text(encoding="utf-8")

    def files(self, site: str) -> list[Path]:
        return sorted(self.nibs.glob(f"{STEM}_desc-{site}*"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_each_site_has_files_of_its_own_that_agree(folder: Folder) -> None:
    folder.run()
    for name, placed in PLACED.items():
        assert placed.placement is not None
        coil, target = placed.placement.pose.matrix_ras_mm, placed.placement.target_ras_mm
        for ending in ("brainsight.txt", "brainsight12.txt"):
            _, coils = read_brainsight(folder.text(name, ending))
            scalp, cortex = coils.values()
            assert same_coil(scalp, coil)
            assert same_coil(cortex, coil_matrix(*coil[:3, :3].T, target)), "the coil's orientation, at the target"
        (localite,) = read_instrument(folder.text(name, "localiteInstrument.xml")).values()
        assert same_coil(localite, coil)
        entry, deep = read_entry_target(folder.text(name, "localiteEntryTarget.xml"))
        assert np.allclose(entry, coil[:3, 3], atol=MM / 2)
        assert np.allclose(deep, target, atol=MM / 2)
        posed, affine = read_pose(folder.text(name, "pose.json"))
        assert same_coil(posed[name], coil)
        assert np.allclose(affine, oblique(), atol=1e-3)
        points = read_slicer(folder.text(name, "slicer.mrk.json"))
        assert len(points) == 2
        assert np.allclose(points[f"{name} target"], target, atol=MM / 2)


def test_only_circuit_and_beamf3_are_written_blind_to_each_other(folder: Folder) -> None:
    index = folder.run()
    assert sorted(index["Files"]) == sorted(f"{STEM}_desc-{site}_{ending}" for site in SITES for ending in ENDINGS)
    for site, other in (("circuit", "beamF3"), ("beamF3", "circuit")):
        assert len(folder.files(site)) >= len(ENDINGS)
        assert not mentions(folder.files(site), numbers_of(PLACED[other]))
    everything = [path for path in folder.nibs.iterdir() if not path.name.endswith("_markers.tsv")]
    for item in OTHERS:
        assert not mentions(everything, numbers_of(item))


def numbers_of(item: Marker) -> list[float]:
    assert item.placement is not None
    return [*item.placement.target_ras_mm.tolist(), *item.placement.pose.entry_ras_mm.tolist()[:1]]


def mentions(paths: list[Path], values: list[float]) -> list[tuple[str, float]]:
    """Return where a coordinate is found in the bytes: as text (of either sign), or as a 4 or 8 byte number."""
    found: list[tuple[str, float]] = []
    for path in paths:
        content = path.read_bytes()
        content += gzip.decompress(content) if path.suffix == ".gz" else b""
        for value in values:
            words = [f"{abs(value):.2f}".encode(), f"{int(abs(value) * 100) / 100:.2f}".encode()]
            packed = [struct.pack(form, sign * value) for form in ("<f", "<d") for sign in (1, -1)]
            if any(word in content for word in [*words, *packed]):
                found.append((path.name, value))
    return found


def test_the_search_for_coordinates_finds_them(folder: Folder) -> None:
    folder.run()
    assert {name for name, _ in mentions(folder.files("circuit"), numbers_of(PLACED["circuit"]))} >= {
        f"{STEM}_desc-circuit_{ending}" for ending in ENDINGS if not ending.endswith(".nii.gz")
    }


def withheld(name: str) -> Marker:
    """A candidate that abstains while its row still has coordinates."""
    return replace(PLACED[name], site=replace(PLACED[name].site, status=Status.ABSTAIN, reasons=("too noisy",)))


@pytest.mark.parametrize("abstains", ["circuit", "beamF3"])
def test_a_site_that_abstains_is_nowhere_even_if_the_table_has_coordinates(folder: Folder, abstains: str) -> None:
    folder.run()  # what an earlier run left must go
    other = next(name for name in PLACED if name != abstains)
    index = folder.run(withheld(abstains), PLACED[other])
    assert folder.files(abstains) == []
    assert len(folder.files(other)) >= len(ENDINGS), "the other one does not depend on it"
    left = [path for path in folder.nibs.iterdir() if not path.name.endswith("_markers.tsv")]
    assert mentions(left, numbers_of(PLACED[abstains])) == []
    assert index["Sites"][abstains]["Status"] == "abstain"
    assert "too noisy" in index["Sites"][abstains]["Reasons"]


def test_caution_is_exported_with_its_reasons(folder: Folder) -> None:
    index = folder.run(marker("circuit", Status.CAUTION), PLACED["beamF3"])
    assert folder.path("circuit", "brainsight.txt").is_file()
    assert index["Sites"]["circuit"] == {"Status": "caution", "Reasons": "short scan"}


def test_an_unknown_status_is_not_exported(folder: Folder) -> None:
    table = markers_table([*PLACED.values(), *OTHERS])
    table.loc[table["target_id"] == "circuit", "status"] = "fine"
    folder.run_table(table)
    assert folder.files("circuit") == []
    assert folder.files("beamF3")


@pytest.mark.parametrize("damage", ["transposed", "mirrored", "stretched", "elsewhere"])
def test_a_matrix_that_is_no_pose_is_not_exported(folder: Folder, damage: str) -> None:
    table = markers_table([*PLACED.values(), *OTHERS])
    matrix = np.array(json.loads(table.loc[0, "coil_transform"]))
    if damage == "transposed":
        matrix[:3, :3] = matrix[:3, :3].T
    elif damage == "mirrored":
        matrix[:3, 0] *= -1
    elif damage == "stretched":
        matrix[:3, 1] *= 1.01
    else:
        matrix[0, 3] += 1
    table.loc[0, "coil_transform"] = json.dumps(matrix.tolist())
    folder.run()
    with pytest.raises(InputError, match="circuit"):
        folder.run_table(table)
    assert folder.files("circuit") == [], "nor is one of an earlier run left"


# Which image


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("ending", ENDINGS)
def test_each_file_or_its_sidecar_names_its_image(folder: Folder, ending: str) -> None:
    folder.run()
    path = folder.path("circuit", ending)
    told = "" if path.suffix == ".gz" else path.read_text(encoding="utf-8")
    for suffix in (".nii.gz", ".tsv", ".txt"):
        if ending.endswith(suffix):
            told += path.with_name(path.name.removesuffix(suffix) + ".json").read_text(encoding="utf-8")
    assert "sub-01_T1w.nii.gz" in told
    assert sha256(folder.t1w) in told
    assert f"{oblique()[0, 3]:.6f}"[:5] in told, "the affine"


def test_a_sidecar_tells_its_own_checksum_from_that_of_the_image(folder: Folder) -> None:
    folder.run()
    path = folder.path("circuit", "brainsight.txt")
    sidecar = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert sidecar["SHA256"] == sha256(path)
    assert sidecar["AssociatedImage"]["SHA256"] == sha256(folder.t1w)
    assert sidecar["AssociatedImage"]["IntendedFor"] == URI
    assert np.allclose(sidecar["AssociatedImage"]["AffineRAS"], oblique(), atol=1e-4)


def test_markers_of_another_image_are_refused(folder: Folder) -> None:
    coordsystem = folder.nibs / f"{STEM}_coordsystem.json"
    coordsystem.write_text(json.dumps({"IntendedFor": URI, "AssociatedImage": {"SHA256": sha256(folder.t1w)}}))
    assert folder.run(coordsystem=coordsystem)["Files"]
    save_t1w(folder.t1w, las())
    with pytest.raises(InputError, match="belong to"):
        folder.run(coordsystem=coordsystem)
    assert folder.files("circuit") == []


def test_a_run_that_abstains_leaves_one_record_and_it_is_true(folder: Folder) -> None:
    folder.run()
    folder.run(withheld("circuit"), PLACED["beamF3"])
    (only,) = (folder.nibs.parents[1] / "prov" / "activities").glob("export__*.json")
    for item in json.loads(only.read_text(encoding="utf-8"))["Generated"]:
        path = folder.nibs.parents[1] / item["Id"].removeprefix("bids::")
        assert sha256(path) == item["SHA256"]


def shift_qform(path: Path, shift_mm: float) -> None:
    image = nib.load(path)
    moved = image.get_sform()
    moved[1, 3] += shift_mm
    image.header.set_qform(moved, 1)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), None, image.header), path)


def sheared() -> np.ndarray:
    affine = oblique()
    affine[:3, 1] += 0.05 * affine[:3, 0]
    return affine


def save_flipped(path: Path) -> None:
    """A qform with the left on the right."""
    image = nib.load(path)
    image.header.set_qform(np.diag([-1.0, 1, 1, 1]) @ image.get_sform(), 1)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), None, image.header), path)


def test_forms_that_differ_by_hundredths_are_refused_unless_the_user_says_which_is_read(folder: Folder) -> None:
    shift_qform(folder.t1w, 0.014)
    assert folder.run()["Files"] == {}
    index = folder.run(form="sform")
    assert len(index["Files"]) == len(SITES) * len(ENDINGS)
    assert index["T1w"]["FormRead"] == "sform"
    assert "NIfTI:S:Scanner" in folder.text("circuit", "brainsight.txt")
    save_t1w(folder.t1w, las(), sform=0)
    assert "no sform" in folder.run(form="sform")["Sites"]["circuit"]["Reasons"]


REFUSED: dict[str, Callable[[Path], object]] = {
    "qform moved by 0.05 mm": lambda path: shift_qform(path, 0.05),
    "qform flipped": save_flipped,
    "no code at all": lambda path: save_t1w(path, oblique(), qform=0, sform=0),
    "sheared sform beside a qform": lambda path: save_t1w(path, sheared(), qform=1, sform=1),
    "sheared sform alone": lambda path: save_t1w(path, sheared(), qform=0, sform=1),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_an_image_with_two_frames_gets_no_files_and_the_reason_is_told(folder: Folder, case: str) -> None:
    folder.run()
    REFUSED[case](folder.t1w)
    index = folder.run()
    assert index["Files"] == {}
    for site in SITES:
        assert folder.files(site) == []
        assert index["Sites"][site]["Status"] == "abstain"
        assert "form" in index["Sites"][site]["Reasons"]
    left = [path for path in folder.nibs.iterdir() if not path.name.endswith("_markers.tsv")]
    assert mentions(left, [value for item in PLACED.values() for value in numbers_of(item)]) == []


def test_a_float_s_rounding_is_no_disagreement(folder: Folder) -> None:
    shift_qform(folder.t1w, 0.0002)
    assert folder.run()["Files"]


# The burned-in image


@pytest.mark.parametrize("codes", [(1, 1), (2, 2), (1, 2), (1, 0), (0, 1)])
@pytest.mark.parametrize("make", [las, oblique])
def test_burned_in_where_the_marker_is(folder: Folder, make: Callable[[], np.ndarray], codes: tuple[int, int]) -> None:
    """The T1w has one bright voxel at the left; the target, given in mm, must be burned in around that voxel."""
    affine = make()
    voxel = np.array([47, 50, 45]) if make is las else np.array([14, 50, 40])
    place = affine[:3, :3] @ voxel + affine[:3, 3]
    assert place[0] < -20, "on the left in RAS"
    bright = np.zeros((60, 70, 64), dtype=np.int16)
    bright[tuple(voxel)] = 1000
    save_t1w(folder.t1w, affine, qform=codes[0], sform=codes[1], data=bright)
    placement = PLACED["circuit"].placement
    assert placement is not None
    folder.run(replace(PLACED["circuit"], placement=replace(placement, target_ras_mm=place)), PLACED["beamF3"])
    burned, t1w = nib.load(folder.path("circuit", "burnedIn.nii.gz")), nib.load(folder.t1w)
    label = np.asarray(burned.dataobj)
    assert label.dtype == np.uint8
    assert set(np.unique(label)) == {0, 1}
    assert np.asarray(t1w.dataobj)[label > 0].max() == 1000
    for field in ("dim", "pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x"):
        assert np.array_equal(burned.header[field].ravel()[:4], t1w.header[field].ravel()[:4]), field
    assert np.array_equal(burned.affine, t1w.affine)
    assert b"PATIENT" not in gzip.decompress(folder.path("circuit", "burnedIn.nii.gz").read_bytes())
    indices = np.indices(label.shape).reshape(3, -1).T
    distance = np.linalg.norm((indices - voxel) @ affine[:3, :3].T, axis=1).reshape(label.shape)
    assert label[distance < 2.999].all()
    assert not label[distance > 3.001].any(), "a ball of 3 mm"


def test_burned_in_left_is_not_right(folder: Folder) -> None:
    """As a viewer sees it that knows nothing of this program: the centre of the label's voxels, in RAS."""
    folder.run()
    for name, item in PLACED.items():
        assert item.placement is not None
        burned = nib.load(folder.path(name, "burnedIn.nii.gz"))
        centre = nib.affines.apply_affine(burned.affine, np.argwhere(np.asarray(burned.dataobj))).mean(axis=0)
        assert np.linalg.norm(centre - item.placement.target_ras_mm) < 1.0


# The rest


def test_the_same_bytes_at_another_place(tmp_path: Path) -> None:
    runs = [Folder(tmp_path / name) for name in ("one", "another place")]
    contents: list[dict[str, bytes]] = []
    for item in runs:
        item.run()
        contents.append({path.name: path.read_bytes() for path in item.nibs.iterdir()})
        assert not [path for path in item.nibs.iterdir() if str(tmp_path).encode() in path.read_bytes()]
    assert contents[0] == contents[1]
