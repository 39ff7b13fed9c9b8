"""Coil poses and markers on a spherical head, where every direction is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tests.scalp.conftest import icosphere
from tmsprep import templates
from tmsprep.errors import ConfigurationError, InputError, ProcessingError
from tmsprep.files import read_tsv, save_nifti, sha256, write_tsv
from tmsprep.navigate.frames import mni_of
from tmsprep.navigate.pose import HeadAxes, coil_pose, outward_normal
from tmsprep.records import BeamF3Result, Candidate, Fiducial, Status, TargetResult, save_fiducials
from tmsprep.spaces import Transform, apply_affine, save_itk_affines
from tmsprep.stages import run
from tmsprep.surfaces import Surface

RADIUS_MM = 90.0
CORTEX_MM = 75.0
AXES = HeadAxes.of((0, 90, 0), (0, -90, 0), (-90, 0, 0), (90, 0, 0))
LEFT_FRONT = np.array([-0.6, 0.5, np.sqrt(1 - 0.61)])
NEAR_F3 = np.array([-0.6, 0.6, np.sqrt(1 - 0.72)])


@pytest.fixture(scope="module")
def sphere() -> Surface:
    return icosphere(RADIUS_MM, 5)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.2, 1.3), st.floats(0.2, 1.3), st.floats(0, 90))
def test_pose_on_a_sphere(polar: float, azimuth: float, angle: float) -> None:
    surface = icosphere(RADIUS_MM, 4)
    out = np.array([-np.sin(polar) * np.sin(azimuth), np.sin(polar) * np.cos(azimuth), np.cos(polar)])
    pose = coil_pose(surface, out * RADIUS_MM, AXES, angle)
    matrix = pose.matrix_ras_mm
    rotation = matrix[:3, :3]
    assert np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert np.degrees(np.arccos(np.clip(pose.normal @ out, -1, 1))) < 1.5
    assert rotation[:, 2] @ out < -0.99, "z points into the head"
    assert np.allclose(rotation[:, 1], -pose.handle)
    back = np.array([0, -1.0, 0]) - pose.normal * (np.array([0, -1.0, 0]) @ pose.normal)
    between = np.degrees(np.arccos(np.clip(pose.handle @ back / np.linalg.norm(back), -1, 1)))
    assert between == pytest.approx(angle, abs=1e-3)
    if 1 < angle < 89:
        assert pose.handle[1] < 0 or polar > 1, "towards the back"
        assert pose.handle @ np.cross(pose.normal, back) * np.cross(pose.normal, back)[0] < 0, "towards the left"


def test_left_of_a_mirrored_mesh_is_still_left(sphere: Surface) -> None:
    pose = coil_pose(sphere, LEFT_FRONT * RADIUS_MM, AXES, 45)
    assert pose.handle[0] < 0
    assert pose.handle[1] < 0
    with pytest.raises(ProcessingError, match="LPA"):
        HeadAxes.of((0, 90, 0), (0, -90, 0), (90, 0, 0), (-90, 0, 0))


def test_normal_of_a_rough_scalp_is_that_of_the_smooth_one() -> None:
    ball = icosphere(RADIUS_MM, 5)
    rough = np.random.default_rng(1).normal(0, 0.2, len(ball.vertices_ras_mm))
    surface = Surface(ball.vertices_ras_mm * (1 + rough / RADIUS_MM)[:, np.newaxis], ball.faces)
    found = outward_normal(surface, surface.nearest(LEFT_FRONT * RADIUS_MM))
    assert np.degrees(np.arccos(found @ LEFT_FRONT)) < 1.0


def test_pose_turns_with_the_head(sphere: Surface) -> None:
    turn = Rotation.from_rotvec([0.1, -0.2, 0.15])
    axes = HeadAxes(turn.apply(AXES.left), turn.apply(AXES.back))
    turned = Surface(turn.apply(sphere.vertices_ras_mm), sphere.faces)
    one = coil_pose(sphere, LEFT_FRONT * RADIUS_MM, AXES, 45).matrix_ras_mm
    other = coil_pose(turned, turn.apply(LEFT_FRONT) * RADIUS_MM, axes, 45).matrix_ras_mm
    assert np.allclose(turn.as_matrix() @ one[:3, :3], other[:3, :3], atol=1e-6)


def test_mni_of_inverts_the_transform() -> None:
    matrix = np.array([[0.9, 0.05, 0, 4], [-0.04, 1.1, 0.1, -8], [0.02, -0.1, 0.95, 12], [0, 0, 0, 1.0]])
    place = np.array([-40.0, 42, 30])
    assert np.allclose(mni_of(apply_affine(matrix, place), Transform.from_matrix(matrix)), place, atol=0.02)


class Head:
    """Files of a spherical head of 90 mm with a cortex of 75 mm, moved from template space by a known affine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mni_to_t1w = np.eye(4)
        self.mni_to_t1w[:3, 3] = [0.5, 1.0, -2.0]
        affine = np.diag([2.0, 2, 2, 1])
        affine[:3, 3] = -100
        grid = np.indices((101, 101, 101)).reshape(3, -1).T * 2.0 - 100
        grey = (np.abs(np.linalg.norm(grid, axis=1) - (CORTEX_MM - 2)) <= 2).reshape(101, 101, 101)
        save_nifti(folder / "T1w.nii.gz", grey.astype(np.float32), affine, xform_code=1)
        save_nifti(folder / "gm.nii.gz", grey.astype(np.float32), affine, xform_code=1)
        save_itk_affines(folder / "xfm.txt", [self.mni_to_t1w])
        icosphere(RADIUS_MM, 5).save(folder / "scalp.surf.gii")
        points = {"NAS": (0, 90, 0), "INI": (0, -90, 0), "LPA": (-90, 0, 0), "RPA": (90, 0, 0)}
        save_fiducials(
            folder / "fiducials.tsv",
            tuple(Fiducial(name, place, "automatic", 1.0) for name, place in points.items()),
        )

    def candidate(self, target: np.ndarray) -> Candidate:
        mni = apply_affine(np.linalg.inv(self.mni_to_t1w), target)
        return Candidate(tuple(map(float, target)), tuple(map(float, mni)), 0.4, 0.5, 40, 1080.0)

    def target(self) -> TargetResult:
        places = [LEFT_FRONT * 70, np.array([-0.7, 0.3, 0.648]) * 68]
        found = tuple(self.candidate(place) for place in places)
        return TargetResult("timecourse", "sgacc", "dlpfc-spheres", Status.OK, (), found, 12.0, 0.1)

    def beamf3(self) -> BeamF3Result:
        place = tuple(float(value) for value in NEAR_F3 * RADIUS_MM)
        f3 = np.array([-0.55, 0.62, np.sqrt(1 - 0.55**2 - 0.62**2)]) * RADIUS_MM
        paths = {"nasion_inion": "a", "tragus_tragus": "b", "circumference": "c"}
        return BeamF3Result(360, 362, 560, 65, 95, place, tuple(map(float, f3)), (0.0, 0.0, 90.0), Status.OK, (), paths)

    def run(self, target: TargetResult, beamf3: BeamF3Result, angle: float = 45.0, **more: Path | str) -> pd.DataFrame:
        target.save(self.folder / "target.json")
        beamf3.save(self.folder / "beamf3.json")
        run(
            "navigate",
            {
                "t1w": self.folder / "T1w.nii.gz",
                "scalp": self.folder / "scalp.surf.gii",
                "fiducials": self.folder / "fiducials.tsv",
                "beamf3": self.folder / "beamf3.json",
                "target": self.folder / "target.json",
                "gm": self.folder / "gm.nii.gz",
                "t1w_to_mni": self.folder / "xfm.txt",
                "intended_for": "bids:raw:sub-01/anat/sub-01_T1w.nii.gz",
                "out_markers": self.folder / "markers.tsv",
                "out_coordsystem": self.folder / "coordsystem.json",
                "handle_angle_deg": angle,
            }
            | more,
        )
        return read_tsv(self.folder / "markers.tsv").set_index("target_id")


@pytest.fixture
def head(tmp_path: Path) -> Head:
    return Head(tmp_path)


def xyz(table: pd.DataFrame, row: str, name: str) -> np.ndarray:
    return table.loc[row, [f"{name}_{axis}" for axis in "xyz"]].to_numpy(dtype=float)


def test_rows_and_their_geometry(head: Head) -> None:
    table = head.run(head.target(), head.beamf3())
    assert list(table.index) == ["circuit", "circuit-2", "group", "beamF3", "F3"]
    assert list(table["status"]) == ["ok", "ok", "caution", "ok", "ok"]
    assert np.allclose(xyz(table, "circuit", "entry"), LEFT_FRONT * RADIUS_MM, atol=0.3)
    assert table.loc["circuit", "peeling_depth"] == pytest.approx(20, abs=0.3)
    assert table.loc["circuit", "coil_cortex_depth_mm"] == pytest.approx(RADIUS_MM - CORTEX_MM, abs=1.2)
    assert np.allclose(xyz(table, "beamF3", "entry"), NEAR_F3 * RADIUS_MM, atol=0.3)
    assert np.allclose(xyz(table, "beamF3", "target"), NEAR_F3 * CORTEX_MM, atol=1.5)
    moved = apply_affine(head.mni_to_t1w, xyz(table, "beamF3", "target_mni"))
    assert np.allclose(moved, xyz(table, "beamF3", "target"), atol=0.03)


def test_transform_agrees_with_the_columns(head: Head) -> None:
    table = head.run(head.target(), head.beamf3(), angle=30.0)
    matrix = np.array(json.loads(str(table.loc["circuit", "coil_transform"])))
    assert np.allclose(matrix[:3, 3], xyz(table, "circuit", "entry"), atol=1e-3)
    assert np.allclose(matrix[:3, 2], -xyz(table, "circuit", "normal"), atol=1e-5)
    assert np.allclose(matrix[:3, 1], xyz(table, "circuit", "direction"), atol=1e-5)
    assert not np.allclose(matrix[:3, :3], matrix[:3, :3].T, atol=0.05), "a transposed matrix would be noticed"


def test_entry_along_the_cortex(head: Head) -> None:
    """A brain whose surface leans: the entry follows its normal, not the nearest scalp."""
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -100
    points = np.moveaxis(np.indices((101, 101, 101)), 0, -1) * 2.0 - 100
    lean = LEFT_FRONT + [0.0, 0.25, 0.0]
    lean /= np.linalg.norm(lean)
    target = LEFT_FRONT * 70
    save_nifti(head.folder / "brain.nii.gz", ((points - target) @ lean < 2).astype(np.uint8), affine, xform_code=1)
    table = head.run(head.target(), head.beamf3(), brain_mask=head.folder / "brain.nii.gz", entry="cortex")
    entry = xyz(table, "circuit", "entry")
    way = (entry - target) / np.linalg.norm(entry - target)
    assert np.degrees(np.arccos(np.clip(way @ lean, -1, 1))) < 1.5
    assert np.linalg.norm(entry) == pytest.approx(RADIUS_MM, abs=0.3)
    with pytest.raises(ConfigurationError, match="brain mask"):
        head.run(head.target(), head.beamf3(), entry="cortex")


def test_a_cortex_without_direction_gives_no_circuit_marker_and_the_scalp_rule_stands(head: Head) -> None:
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -100
    save_nifti(head.folder / "brain.nii.gz", np.ones((101, 101, 101), dtype=np.uint8), affine, xform_code=1)
    table = head.run(head.target(), head.beamf3(), brain_mask=head.folder / "brain.nii.gz", entry="cortex")
    assert list(table.loc[["circuit", "circuit-2", "group"], "status"]) == ["abstain"] * 3
    assert "no direction" in str(table.loc["circuit", "reasons"])
    assert np.isnan(xyz(table, "circuit", "target")).all()
    assert table.loc["beamF3", "status"] == "ok"


def test_ways_for_a_tape(head: Head) -> None:
    write_tsv(
        head.folder / "electrodes.tsv", pd.DataFrame([["F3", *(NEAR_F3 * RADIUS_MM)]], columns=["name", "x", "y", "z"])
    )
    table = head.run(head.target(), head.beamf3(), electrodes=head.folder / "electrodes.tsv")
    entry = xyz(table, "circuit", "entry") / RADIUS_MM
    between = RADIUS_MM * np.arccos(entry @ NEAR_F3)
    assert table.loc["circuit", "from_beamF3_scalp_mm"] == pytest.approx(between, abs=0.2)
    assert table.loc["circuit", "from_vertex_scalp_mm"] == pytest.approx(RADIUS_MM * np.arccos(entry[2]), abs=0.3)
    assert table.loc["circuit", "from_LPA_scalp_mm"] == pytest.approx(RADIUS_MM * np.arccos(-entry[0]), abs=0.3)
    assert "mm back" in str(table.loc["circuit", "from_beamF3"])
    assert str(table.loc["circuit", "scalp_place"]) == "1.0 cm posterior and 0.6 cm medial of F3"
    assert table.loc["beamF3", "from_beamF3"] == "at the same place"
    apart = np.linalg.norm(xyz(table, "circuit", "target") - xyz(table, "beamF3", "target"))
    assert table.loc["circuit", "from_beamF3_cortex_mm"] == pytest.approx(apart, abs=0.02)


def test_without_beamf3_there_is_no_way_from_it(head: Head) -> None:
    table = head.run(head.target(), replace(head.beamf3(), status=Status.ABSTAIN, reasons=("circumference 800 mm",)))
    assert pd.isna(table.loc["circuit", "from_beamF3"])
    assert table.loc["circuit", "from_NAS_scalp_mm"] > 0


def test_group_coordinate_is_carried_over_and_says_what_it_is(head: Head) -> None:
    abstained = replace(head.target(), candidates=(), status=Status.ABSTAIN, reasons=("no signal",))
    table = head.run(abstained, head.beamf3())
    # the templates differ by 3 mm there: neither equated nor taken the wrong way round
    back = templates.transform(templates.NLIN6, templates.NLIN2009C).pull_points(xyz(table, "group", "target_mni"))[0]
    assert np.allclose(back, [-42, 44, 30], atol=0.3)
    expected = apply_affine(head.mni_to_t1w, xyz(table, "group", "target_mni"))
    assert np.allclose(expected, xyz(table, "group", "target"), atol=0.03)
    assert "nothing of this person" in str(table.loc["group", "reasons"])


def test_coordsystem_names_the_image(head: Head) -> None:
    head.run(head.target(), head.beamf3())
    content = json.loads((head.folder / "coordsystem.json").read_text())
    assert content["IntendedFor"] == "bids:raw:sub-01/anat/sub-01_T1w.nii.gz"
    assert content["AssociatedImage"]["SHA256"] == sha256(head.folder / "T1w.nii.gz")
    assert content["AssociatedImage"]["Affine"][0][3] == -100
    assert content["AnatomicalLandmarkCoordinates"]["LPA"] == [-90, 0, 0]
    assert content["HeadMeasurements"]["NasionInion"] == 360
    assert set(content["HeadMeasurementsDescription"]) == set(content["HeadMeasurements"])


def test_abstained_target_keeps_its_row_without_coordinates(head: Head) -> None:
    abstained = replace(head.target(), status=Status.ABSTAIN, reasons=("too few clean minutes",))
    table = head.run(abstained, head.beamf3())
    assert table.loc["circuit", "status"] == "abstain"
    assert table.loc["circuit", "reasons"] == "too few clean minutes"
    assert np.isnan(xyz(table, "circuit", "target")).all()
    assert np.isnan(xyz(table, "circuit", "entry")).all()
    assert np.isnan(xyz(table, "circuit", "target_mni")).all()
    assert pd.isna(table.loc["circuit", "coil_transform"])
    assert table.loc["beamF3", "status"] == "ok"


def test_no_candidate_at_all_keeps_one_row(head: Head) -> None:
    table = head.run(replace(head.target(), candidates=(), status=Status.ABSTAIN, reasons=("no signal",)), head.beamf3())
    assert list(table.index) == ["circuit", "group", "beamF3", "F3"]
    assert table.loc["circuit", "status"] == "abstain"


def test_abstained_beamf3_withholds_both_scalp_rows(head: Head) -> None:
    table = head.run(head.target(), replace(head.beamf3(), status=Status.ABSTAIN, reasons=("circumference 800 mm",)))
    assert list(table.loc[["beamF3", "F3"], "status"]) == ["abstain", "abstain"]
    assert np.isnan(xyz(table, "F3", "entry")).all()
    assert table.loc["circuit", "status"] == "ok"


def test_right_sided_target_is_refused(head: Head) -> None:
    wrong = replace(head.target(), candidates=(head.candidate(LEFT_FRONT * [-70, 70, 70]),))
    with pytest.raises(ProcessingError, match="left hemisphere"):
        head.run(wrong, head.beamf3())
    assert not (head.folder / "markers.tsv").exists()


def test_right_sided_scalp_point_is_refused(head: Head) -> None:
    place = tuple(float(value) for value in LEFT_FRONT * [-90, 90, 90])
    with pytest.raises(ProcessingError, match="left hemisphere"):
        head.run(head.target(), replace(head.beamf3(), beamf3_ras_mm=place))


def test_target_of_another_image_is_refused(head: Head) -> None:
    good = head.candidate(LEFT_FRONT * 70)
    x, y, z = good.target_ras_mm
    with pytest.raises(ProcessingError, match="apart"):
        head.run(replace(head.target(), candidates=(replace(good, target_ras_mm=(x, y + 12, z)),)), head.beamf3())


def test_scalp_point_far_from_the_template_makes_a_caution(head: Head) -> None:
    far = tuple(float(value) for value in np.array([-0.9, -0.1, np.sqrt(1 - 0.82)]) * RADIUS_MM)
    table = head.run(head.target(), replace(head.beamf3(), beamf3_ras_mm=far))
    assert table.loc["beamF3", "status"] == "caution"
    assert "template" in table.loc["beamF3", "reasons"]


def test_missing_fiducial_is_named(head: Head) -> None:
    path = head.folder / "fiducials.tsv"
    path.write_text("\n".join(path.read_text().splitlines()[:3]) + "\n")
    with pytest.raises(InputError, match="LPA, RPA"):
        head.run(head.target(), head.beamf3())
