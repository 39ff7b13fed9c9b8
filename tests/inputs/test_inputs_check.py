"""The check of the images: good ones pass, each kind of bad one is refused by name."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep import stages
from tmsprep.errors import InputError
from tmsprep.inputs.check import check_participant
from tmsprep.inputs.skullstrip import SMALLEST_HEAD_LITRES, head_volume_litres

_HEADS = (
    "heads/colin27_T1w.nii.gz",
    "heads/ixi012_T1w.nii.gz",
    "heads/s1/T1w.nii.gz",
    "bids_real/sub-01/anat/sub-01_T1w.nii.gz",
)
_HEAD_MM = (75.0, 95.0, 110.0)
_BRAIN_MM = (65.0, 80.0, 60.0)


def _ellipsoid(shape: tuple[int, ...], voxel_mm: float, radii_mm: tuple[float, ...]) -> NDArray[np.bool_]:
    axes = [(np.arange(size) - (size - 1) / 2) * voxel_mm / radius for size, radius in zip(shape, radii_mm, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return x**2 + y**2 + z**2 <= 1


def _head(stripped: bool = False) -> NDArray[np.int16]:
    """A scalp shell of 1, dark skull, brain inside; 4 mm would be too coarse, so 2.5 mm."""
    shape = (72, 88, 96)
    brain = _ellipsoid(shape, 2.5, _BRAIN_MM)
    head = 800 * brain.astype(np.int16)
    if not stripped:
        scalp = _ellipsoid(shape, 2.5, _HEAD_MM)
        head += 600 * (scalp & ~ndimage.binary_erosion(scalp, iterations=3)).astype(np.int16)
    return head + np.random.default_rng(1).integers(0, 20, shape).astype(np.int16)


def _save(path: Path, data: NDArray[Any], voxel_mm: float, change: Callable[[nib.Nifti1Image], None] | None = None) -> Path:
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    image = nib.Nifti1Image(data, affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    if data.ndim == 4:
        image.header["pixdim"][4] = 2.0
    if change:
        change(image)
    nib.save(image, path)
    return path


def _bold(volumes: int = 24, shape: tuple[int, int, int] = (16, 18, 14)) -> NDArray[np.int16]:
    return np.random.default_rng(2).integers(0, 900, (*shape, volumes)).astype(np.int16)


@pytest.fixture
def t1w(tmp_path: Path) -> Path:
    return _save(tmp_path / "sub-01_T1w.nii.gz", _head(), 2.5)


def _echo(folder: Path, number: int, data: NDArray[Any] | None = None, voxel_mm: float = 6.0, **options: Any) -> Path:
    name = folder / f"sub-01_task-rest_echo-{number}_bold.nii.gz"
    return _save(name, _bold() + number if data is None else data, voxel_mm, **options)


def _check(t1w: Path, bold: list[Path] | None = None, **options: Any) -> dict[str, Any]:
    report = t1w.parent / "report.json"
    check_participant(t1w=t1w, bold=bold, out_report=report, **options)
    return json.loads(report.read_text())


def test_good_images_pass_and_their_facts_are_reported(t1w: Path, tmp_path: Path) -> None:
    echoes = [_echo(tmp_path, number) for number in (1, 2, 3)]
    report = _check(t1w, echoes, repetition_time=[2.0, 2.0, 2.5])
    volume = 4 / 3 * np.pi * np.prod(_HEAD_MM) / 1e6
    assert report["T1w"]["HeadVolumeLitres"] == pytest.approx(volume, rel=0.1)
    assert report["T1w"]["QformToSformMillimetres"] == pytest.approx(0, abs=1e-3)
    assert report["Bold"][0]["Shape"] == [16, 18, 14, 24]
    assert [item["Minutes"] for item in report["Bold"]] == [0.8, 0.8, 1.0]
    assert [text for text in report["Remarks"] if "sidecar" in text] == [
        "sub-01_task-rest_echo-3_bold.nii.gz: repetition time 2 s in the header, 2.5 s in the sidecar (used)"
    ]
    assert any("covers 84 mm only" in text for text in report["Remarks"])


def test_runs_of_other_lengths_and_grids_do_not_disturb_each_other(t1w: Path, tmp_path: Path) -> None:
    one = _save(tmp_path / "sub-01_task-rest_run-1_bold.nii.gz", _bold(24), 6.0)
    two = _save(tmp_path / "sub-01_task-rest_run-2_bold.nii.gz", _bold(30, (20, 20, 16)), 5.0)
    assert [item["Volumes"] for item in _check(t1w, [one, two])["Bold"]] == [24, 30]


def test_echoes_of_unequal_length_name_both_files(t1w: Path, tmp_path: Path) -> None:
    echoes = [_echo(tmp_path, 1), _echo(tmp_path, 2, _bold(23))]
    with pytest.raises(InputError, match=r"echo-2_bold\.nii\.gz: 23 volumes, but 24 in sub-01_task-rest_echo-1_bold"):
        _check(t1w, echoes)


def _shift(image: nib.Nifti1Image) -> None:
    affine = image.affine.copy()
    affine[0, 3] += 1.0
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)


def test_echoes_on_other_grids_are_refused(t1w: Path, tmp_path: Path) -> None:
    first = _echo(tmp_path, 1)
    for echo in (_echo(tmp_path, 2, _bold(24, (16, 18, 13))), _echo(tmp_path, 2, change=_shift)):
        with pytest.raises(InputError, match="its voxel grid"):
            _check(t1w, [first, echo])


@pytest.mark.parametrize("kept", [0.5, 0.98])
def test_truncated_files_are_refused(t1w: Path, tmp_path: Path, kept: float) -> None:
    content = t1w.read_bytes()
    t1w.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(InputError, match="cut short or damaged"):
        _check(t1w)
    plain = _save(tmp_path / "sub-01_task-rest_bold.nii", _bold(), 6.0)
    plain.write_bytes(plain.read_bytes()[: int(plain.stat().st_size * kept)])
    whole = _save(tmp_path / "sub-02_T1w.nii.gz", _head(), 2.5)
    with pytest.raises(InputError, match=r"sub-01_task-rest_bold\.nii: the image data end early"):
        _check(whole, [plain])


def test_the_last_bytes_and_the_checksum_count(t1w: Path) -> None:
    """Eight bytes of checksum and length end a gzip file; all voxels come before them."""
    content = t1w.read_bytes()
    t1w.write_bytes(content[:-3])
    with pytest.raises(InputError, match="cut short or damaged"):
        _check(t1w)
    t1w.write_bytes(content[:-8] + bytes([content[-8] ^ 1]) + content[-7:])
    with pytest.raises(InputError, match="cut short or damaged"):
        _check(t1w)


def test_what_is_no_nifti_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"hello", gzip.compress(b"hello"), gzip.compress(bytes(400))):
        path = tmp_path / "sub-01_T1w.nii.gz"
        path.write_bytes(content)
        with pytest.raises(InputError):
            _check(path)


def test_values_that_are_not_finite_and_empty_volumes_are_refused(t1w: Path, tmp_path: Path) -> None:
    data = _bold().astype(np.float32)
    data[3, 3, 3, 7] = np.nan
    with pytest.raises(InputError, match="volume 7 holds values that are not finite"):
        _check(t1w, [_echo(tmp_path, 1, data)])
    empty = _bold()
    empty[..., 20:] = 0
    with pytest.raises(InputError, match=r"4 of 24 volumes hold one value throughout \(volume 20, 21, 22, 23"):
        _check(t1w, [_echo(tmp_path, 1, empty)])


def test_wrong_dimensions_and_short_runs_are_refused(t1w: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="BOLD image has 3 dimensions"):
        _check(t1w, [_echo(tmp_path, 1, _bold()[..., 0])])
    with pytest.raises(InputError, match="the run has 19 volumes"):
        _check(t1w, [_echo(tmp_path, 1, _bold(19))])
    with pytest.raises(InputError, match="T1w image has 4 dimensions"):
        _check(_save(tmp_path / "sub-02_T1w.nii.gz", _bold(), 2.5))


def _set(**fields: Any) -> Callable[[nib.Nifti1Image], None]:
    def change(image: nib.Nifti1Image) -> None:
        for key, value in fields.items():
            image.header[key] = value

    return change


def _turned(image: nib.Nifti1Image) -> None:
    affine = image.affine.copy()
    affine[:3, :3] = affine[:3, :3] @ np.array([[0.9994, -0.0349, 0], [0.0349, 0.9994, 0], [0, 0, 1]])
    image.set_sform(affine, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set(qform_code=0, sform_code=0), "neither qform nor sform"),
        (_set(srow_x=[np.nan, 0, 0, 0]), "not invertible"),
        (_set(srow_x=[0, 0, 0, 0]), "not invertible"),
        (_turned, "qform and sform place the image up to"),
        (_set(pixdim=[1, 2.5, 2.5, 3.5, 0, 0, 0, 0], qform_code=0), "in pixdim, but 2.5 x 2.5 x 2.5 mm in the affine"),
    ],
)
def test_headers_without_one_place_are_refused(
    tmp_path: Path, change: Callable[[nib.Nifti1Image], None], message: str
) -> None:
    path = _save(tmp_path / "sub-01_T1w.nii", _head(), 2.5, _keep_raw)
    header = nib.Nifti1Header.from_fileobj(path.open("rb"), check=False)
    image = nib.load(path)
    change(image if change is _turned else _Raw(header))  # type: ignore[arg-type]
    content = bytearray(path.read_bytes())
    content[:348] = (image.header if change is _turned else header).binaryblock
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=message):
        _check(path)


def _keep_raw(_: nib.Nifti1Image) -> None:
    """Change nothing."""


class _Raw:
    """Lets a change be written into a header that nibabel would put right."""

    def __init__(self, header: nib.Nifti1Header) -> None:
        self.header = header


@pytest.mark.parametrize(("qform", "sform"), [(1, 0), (0, 1), (0, 2), (1, 4)])
def test_one_valid_place_is_enough(tmp_path: Path, qform: int, sform: int) -> None:
    report = _check(_save(tmp_path / "sub-01_T1w.nii.gz", _head(), 2.5, _set(qform_code=qform, sform_code=sform)))
    assert report["T1w"]["HeadVolumeLitres"] > 1


def test_implausible_sizes_are_refused(t1w: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the voxels measure 0\.0025 x 0\.0025 x 0\.0025 mm.*unit"):
        _check(_save(tmp_path / "sub-02_T1w.nii.gz", _head(), 0.0025))
    with pytest.raises(InputError, match="field of view measures 80 x 80 x 80 mm"):
        _check(_save(tmp_path / "sub-02_T1w.nii.gz", _head()[:40, :40, :40], 2.0))
    with pytest.raises(InputError, match=r"the voxels measure 7"):
        _check(t1w, [_echo(tmp_path, 1, voxel_mm=7.0)])


def test_a_stripped_head_is_refused_by_name(tmp_path: Path) -> None:
    path = _save(tmp_path / "sub-01_T1w.nii.gz", _head(stripped=True), 2.5)
    with pytest.raises(InputError, match=r"looks skull-stripped: its filled head volume is 1\.\d litres"):
        _check(path)


def test_a_refused_participant_leaves_no_report(tmp_path: Path) -> None:
    path = _save(tmp_path / "sub-01_T1w.nii.gz", _head(stripped=True), 2.5)
    out = tmp_path / "out" / "report.json"
    with pytest.raises(InputError):
        stages.run("check", {"t1w": path, "bold": None, "out_report": out})
    assert list(out.parent.iterdir()) == []


def test_head_volume_does_not_depend_on_orientation_or_scale() -> None:
    data = _head()
    affine = np.diag([2.5, 2.5, 2.5, 1.0])
    turned = np.ascontiguousarray(data.transpose(2, 0, 1)[::-1])
    other = np.array([[0, 2.5, 0, 0], [0, 0, 2.5, 0], [-2.5, 0, 0, 0], [0, 0, 0, 1]])
    expected = head_volume_litres(data, affine)
    assert head_volume_litres(turned, other) == pytest.approx(expected, rel=1e-6)
    assert head_volume_litres(data * 7.5 + 3, affine) == pytest.approx(expected, rel=0.01)
    with pytest.raises(InputError, match="constant"):
        head_volume_litres(np.ones((40, 40, 40)), affine)


@pytest.mark.shared
@pytest.mark.parametrize("name", _HEADS)
def test_real_heads_pass_whole_or_tightly_cut_and_not_stripped(shared_data: Path, name: str) -> None:
    """Stripped by an ellipsoid of a brain's size about the middle of the cranium: no brain extraction is needed here."""
    image = nib.as_closest_canonical(nib.load(shared_data / name))
    data, affine = np.asarray(image.dataobj, dtype=np.float32), np.asarray(image.affine)
    assert head_volume_litres(data, affine) > 3.2
    voxel = float(nib.affines.voxel_sizes(affine)[2])
    rough = ndimage.gaussian_filter(data, 2 / voxel) > 0.25 * np.percentile(data, 98)
    top = int(np.flatnonzero(rough.sum(axis=(0, 1)) * voxel**2 > 500)[-1])
    tight = slice(max(top - round(150 / voxel), 0), None)
    assert head_volume_litres(data[:, :, tight], affine) > SMALLEST_HEAD_LITRES
    centre = [*np.argwhere(rough[:, :, top - round(60 / voxel)]).mean(axis=0), top - 80 / voxel]
    axes = [(np.arange(size) - middle) * voxel for size, middle in zip(data.shape, centre, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    brain = (x / 70) ** 2 + (y / 85) ** 2 + (z / 65) ** 2 <= 1
    assert head_volume_litres(data * brain, affine) < SMALLEST_HEAD_LITRES
