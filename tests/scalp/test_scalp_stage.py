"""The scalp stages on the template's head, in every storage order and turned in space, and on what is no whole head."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy.spatial.transform import Rotation

from tmsprep.errors import InputError
from tmsprep.files import load_nifti, sha256
from tmsprep.records import BeamF3Result, Status, load_fiducials
from tmsprep.scalp.fiducials import template_landmark
from tmsprep.scalp.headmask import find_head
from tmsprep.spaces import apply_affine
from tmsprep.surfaces import Surface

from .conftest import HeadFiles, write_head

pytestmark = pytest.mark.slow


def positions(head: HeadFiles) -> dict[str, np.ndarray]:
    return {name: np.array(item.position_ras_mm) for name, item in load_fiducials(head.fiducials).items()}


def rigid(rotation_deg: float, shift_mm: float) -> np.ndarray:
    matrix = np.eye(4)
    axis = np.array([0.6, 0.5, 0.62]) / np.linalg.norm([0.6, 0.5, 0.62])
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(rotation_deg) * axis).as_matrix()
    matrix[:3, 3] = shift_mm * np.array([0.5, -0.7, 0.51]) / np.linalg.norm([0.5, -0.7, 0.51])
    return matrix


def reordered(data: np.ndarray, affine: np.ndarray, codes: str) -> tuple[np.ndarray, np.ndarray]:
    change = ornt_transform(io_orientation(affine), axcodes2ornt(tuple(codes)))
    image = nib.Nifti1Image(data, affine).as_reoriented(change)
    return np.asarray(image.dataobj), image.affine


def test_surface_is_a_closed_sphere_wound_outwards(template_head: HeadFiles) -> None:
    surface = Surface.load(template_head.scalp)
    assert surface.is_closed()
    assert surface.euler_number() == 2
    mask = load_nifti(template_head.folder / "head_mask.nii.gz")
    volume = np.asarray(mask.dataobj).sum() * abs(np.linalg.det(mask.affine[:3, :3]))
    assert surface.signed_volume_mm3() == pytest.approx(volume, rel=0.02)


def test_fiducials_near_the_published_ones(template_head: HeadFiles) -> None:
    for name, place in positions(template_head).items():
        assert np.linalg.norm(place - template_landmark(name)) < 12, name
        assert Surface.load(template_head.scalp).distance_mm(place) < 0.01


def test_measures_are_those_of_a_large_head(template_head: HeadFiles) -> None:
    found = BeamF3Result.load(template_head.beamf3)
    assert 360 < found.nasion_inion_mm < 420
    assert 360 < found.tragus_tragus_mm < 420
    assert 560 < found.circumference_mm < 640
    assert found.beamf3_ras_mm[0] < -30
    assert np.linalg.norm(np.subtract(found.beamf3_ras_mm, found.f3_ras_mm)) < 9
    assert np.linalg.norm(np.subtract(found.f3_ras_mm, (-49.1, 52.45, 39.28))) < 10, "Jurcak 2007, MNI scalp"


def test_storage_order_does_not_matter(
    tmp_path: Path, template_t1w: tuple[np.ndarray, np.ndarray], template_head: HeadFiles
) -> None:
    head = write_head(tmp_path, *reordered(*template_t1w, "PSR"), np.eye(4))
    head.run_scalp()
    assert sha256(head.scalp) == sha256(template_head.scalp)
    assert sha256(head.fiducials) == sha256(template_head.fiducials)
    head.run_beamf3()
    assert sha256(head.folder / "scalp.png") == sha256(template_head.folder / "scalp.png"), "byte for byte repeatable"


@pytest.mark.parametrize("codes", ["LAS", "RPI", "SLP"])
def test_head_mask_does_not_depend_on_storage_order(template_t1w: tuple[np.ndarray, np.ndarray], codes: str) -> None:
    wanted, found = find_head(*template_t1w), find_head(*reordered(*template_t1w, codes))
    assert np.array_equal(found.mask, wanted.mask)
    assert np.allclose(found.grid.affine_ras_mm, wanted.grid.affine_ras_mm)


def test_oblique_head_gives_the_same_places(
    tmp_path: Path, template_t1w: tuple[np.ndarray, np.ndarray], template_head: HeadFiles
) -> None:
    data, affine = template_t1w
    turn = rigid(13, 41)
    head = write_head(tmp_path, data, turn @ affine, turn)
    head.run_scalp()
    head.run_beamf3()
    found, wanted = BeamF3Result.load(head.beamf3), BeamF3Result.load(template_head.beamf3)
    back = apply_affine(np.linalg.inv(turn), found.beamf3_ras_mm)
    assert np.linalg.norm(back - wanted.beamf3_ras_mm) < 0.5
    for name, place in positions(head).items():
        assert np.linalg.norm(apply_affine(np.linalg.inv(turn), place) - positions(template_head)[name]) < 0.5


def test_mirrored_head_gives_the_left_of_that_head_and_takes_the_users_inion(
    tmp_path: Path, template_t1w: tuple[np.ndarray, np.ndarray], template_head: HeadFiles
) -> None:
    data, affine = template_t1w
    inion = tuple(float(value) for value in positions(template_head)["INI"] * [-1, 1, 1])
    head = write_head(tmp_path, data[::-1].copy(), affine, np.eye(4))
    head.run_scalp(write_points(tmp_path / "mine.tsv", {"INI": inion}))
    head.run_beamf3()
    chosen = load_fiducials(head.fiducials)
    assert [chosen[name].source for name in ("NAS", "INI")] == ["automatic", "manual"]
    assert chosen["INI"].position_ras_mm == pytest.approx(inion, abs=1e-3)
    found, wanted = BeamF3Result.load(head.beamf3), BeamF3Result.load(template_head.beamf3)
    assert np.linalg.norm(np.subtract(found.beamf3_ras_mm, wanted.beamf3_ras_mm)) < 5, "the template is nearly symmetric"


def test_skull_stripped_is_refused_by_name(
    tmp_path: Path, template_t1w: tuple[np.ndarray, np.ndarray], template_brain: np.ndarray
) -> None:
    data, affine = template_t1w
    head = write_head(tmp_path, data * template_brain, affine, np.eye(4))
    with pytest.raises(InputError, match=r"T1w\.nii\.gz.*skull-stripped"):
        head.run_scalp()
    assert not head.scalp.exists()


def test_a_field_of_view_that_ends_before_the_inion_is_flagged(
    tmp_path: Path, template_head: HeadFiles, template_t1w: tuple[np.ndarray, np.ndarray]
) -> None:
    data, affine = template_t1w
    inion = np.array(load_fiducials(template_head.fiducials)["INI"].position_ras_mm)
    first = int(np.ceil(apply_affine(np.linalg.inv(affine), inion + [0, 8.0, 0])[1]))
    moved = affine.copy()
    moved[:3, 3] += affine[:3, 1] * first
    head = write_head(tmp_path, data[:, first:], moved, np.eye(4))
    head.run_scalp()
    found = load_fiducials(head.fiducials)
    assert found["INI"].status is Status.CAUTION
    assert found["NAS"].status is Status.OK
    head.run_beamf3()
    assert any("edge of the image" in reason for reason in BeamF3Result.load(head.beamf3).reasons)


@pytest.mark.parametrize("cut", ["plane", "box", "ellipse"])
def test_defaced_is_refused_by_name(tmp_path: Path, template_t1w: tuple[np.ndarray, np.ndarray], cut: str) -> None:
    data, affine = template_t1w
    x, y, z = apply_affine(affine, np.indices(data.shape).reshape(3, -1).T).T.reshape(3, *data.shape)
    face = {
        "plane": 0.75 * y - 0.66 * z > 72,
        "box": (y > 50) & (z < -35),
        "ellipse": (np.hypot(x / 70, (z + 75) / 50) < 1) & (y > 35),
    }[cut]
    head = write_head(tmp_path, np.where(face, 0, data), affine, np.eye(4))
    with pytest.raises(InputError, match="defaced"):
        head.run_scalp()


def write_points(path: Path, points: dict[str, tuple[float, float, float]]) -> Path:
    rows = [{"name": name, **dict(zip("xyz", place, strict=True))} for name, place in points.items()]
    pd.DataFrame(rows).to_csv(path, sep="\t", index=False)
    return path


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ({"LPA": (84, -20, -45), "RPA": (-84, -20, -45)}, "left and right are swapped"),
        ({"NAS": (0, 110, -40)}, "mm from the scalp"),
        ({"Nz": (0, 85, -40)}, "unknown fiducial"),
    ],
)
def test_users_mistakes_are_refused(
    template_head: HeadFiles, tmp_path: Path, points: dict[str, tuple[float, float, float]], message: str
) -> None:
    from tmsprep.scalp.fiducials import combine, read_manual_fiducials

    surface = Surface.load(template_head.scalp)
    automatic = tuple(load_fiducials(template_head.fiducials).values())
    with pytest.raises(InputError, match=message):
        combine(automatic, read_manual_fiducials(write_points(tmp_path / "mine.tsv", points), surface))


def test_doubtful_fiducial_makes_a_caution_and_a_child_sized_head_an_abstention(
    tmp_path: Path, template_head: HeadFiles
) -> None:
    table = pd.read_csv(template_head.fiducials, sep="\t")
    table.loc[table["name"] == "NAS", ["snapped_mm", "status"]] = [14.0, "caution"]
    head = HeadFiles(tmp_path, np.eye(4))
    table.to_csv(head.fiducials, sep="\t", index=False)
    surface = Surface.load(template_head.scalp)
    surface.save(head.scalp)
    head.run_beamf3()
    found = BeamF3Result.load(head.beamf3)
    assert found.status is Status.CAUTION
    assert "NAS is uncertain" in found.reasons[0]
    Surface(surface.vertices_ras_mm * 0.7, surface.faces).save(head.scalp)
    table[["x", "y", "z"]] *= 0.7
    table.to_csv(head.fiducials, sep="\t", index=False)
    head.run_beamf3()
    assert BeamF3Result.load(head.beamf3).status is Status.ABSTAIN


@pytest.mark.shared
def test_colin27_fiducials_against_the_published_ones(tmp_path: Path, shared_data: Path) -> None:
    """Turned and shifted out of template space; Colin27's own space stands in for a normalisation."""
    image = load_nifti(shared_data / "heads" / "colin27_T1w.nii.gz")
    turn = rigid(13, 41)
    data = np.squeeze(np.asarray(image.dataobj, dtype=np.float32))
    head = write_head(tmp_path, data, turn @ image.affine, turn)
    head.run_scalp()
    truth = published(shared_data / "heads" / "colin27_1005.elc")
    errors = {
        name: np.linalg.norm(apply_affine(np.linalg.inv(turn), place) - truth[name])
        for name, place in positions(head).items()
    }
    assert np.sqrt(np.mean([errors[name] ** 2 for name in ("NAS", "LPA", "RPA")])) < 4, errors
    assert errors["INI"] < 6, errors


def published(path: Path) -> dict[str, np.ndarray]:
    lines = [line.strip() for line in path.read_text().splitlines()]
    start, middle = lines.index("Positions"), lines.index("Labels")
    points = [np.array(line.split(), dtype=float) for line in lines[start + 1 : middle]]
    found = dict(zip(lines[middle + 1 :], points, strict=False))
    return {"NAS": found["Nz"], "INI": found["Iz"], "LPA": found["LPA"], "RPA": found["RPA"]}
