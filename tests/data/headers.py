"""NIfTI files that a scanner never wrote: damaged headers, sizes that are lies, data that are none."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.data.cases import CANARY, BadDataset, Noticed
from tests.data.good import Person, head, nifti

_AGAIN = r"What to do: (convert|copy)"


def t1w_field(field: str, value: float, index: int | slice | None = None) -> Callable[[Person], None]:
    return lambda person: person.header(person.t1w, lambda header: _set(header, field, value, index))


def echo_field(field: str, value: float, index: int | slice | None = None) -> Callable[[Person], None]:
    return lambda person: person.header(person.echo(2), lambda header: _set(header, field, value, index))


def _set(header: np.ndarray, field: str, value: float, index: int | slice | None) -> None:
    if index is None:
        header[field] = value
    else:
        header[field][index] = value


def _no_forms(header: np.ndarray) -> None:
    header["qform_code"] = header["sform_code"] = 0


def _mirror_sform(header: np.ndarray) -> None:
    header["srow_x"] = -header["srow_x"]


def _shear(header: np.ndarray) -> None:
    header["qform_code"] = 0
    header["srow_x"][1] = 1.0


def _far_away(header: np.ndarray) -> None:
    header["srow_x"][3] += 5000
    header["qoffset_x"] += 5000


def _t1w_header(change: Callable[[np.ndarray], None]) -> Callable[[Person], None]:
    return lambda person: person.header(person.t1w, change)


def _t1w_data(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Person], None]:
    def damage(person: Person) -> None:
        good = head()
        nib.save(nifti(change(np.asanyarray(good.dataobj)), good.affine), person.t1w)

    return damage


def _echo_data(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Person], None]:
    def damage(person: Person) -> None:
        good = nib.load(person.echo(2))
        nib.save(nifti(change(np.asanyarray(good.dataobj)), good.affine, 2.0), person.echo(2))

    return damage


def _nan_volume(data: np.ndarray) -> np.ndarray:
    changed = data.astype(np.float32)
    changed[..., 7] = np.nan
    return changed


def _complex(data: np.ndarray) -> np.ndarray:
    return data.astype(np.complex64)


def _colours(data: np.ndarray) -> np.ndarray:
    return np.zeros(data.shape, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])


def _gzip_bomb(person: Person) -> None:
    content = gzip.decompress(person.t1w.read_bytes())
    with gzip.open(person.t1w, "wb", compresslevel=1) as stream:
        stream.write(content)
        for _ in range(64):
            stream.write(bytes(1 << 20))


def _half(person: Person) -> None:
    content = person.t1w.read_bytes()
    person.t1w.write_bytes(content[: len(content) // 2])


def _brain_alone(data: np.ndarray) -> np.ndarray:
    return np.where(data == data.max(), data, 0)


class _Calling:
    """Runs a program when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path(CANARY),)  # type: ignore[return-value]


PICKLE = pickle.dumps(_Calling())


def _same_image(person: Person) -> None:
    person.echo(2).write_bytes(person.echo(1).read_bytes())


def _as_mgh(person: Person) -> None:
    path = person.t1w.with_suffix(".mgz")
    nib.save(nib.MGHImage(np.ones((8, 8, 8), dtype=np.int16), np.eye(4)), path)
    path.replace(person.t1w)


def _case(name: str, damage: Callable[[Person], object], message: str) -> BadDataset:
    return BadDataset(name, Noticed.CHECK, damage, message)


_T1W = r"sub-01_T1w\.nii\.gz: "
_ECHO = r"echo-2_bold\.nii\.gz: "
HEADERS = (
    _case("affine with NaN", t1w_field("srow_x", np.nan, 0), rf"{_T1W}the affine .*not invertible.*{_AGAIN}"),
    _case("affine with infinity", t1w_field("srow_y", np.inf, 3), rf"{_T1W}the affine .*not invertible.*{_AGAIN}"),
    _case("determinant 0", t1w_field("srow_x", 0), rf"{_T1W}the affine .*not invertible.*{_AGAIN}"),
    _case("voxel size 0", t1w_field("pixdim", 0, 1), rf"{_T1W}.*voxel size is 0 x 2.5 x 2.5 mm.*{_AGAIN}"),
    _case("voxel size NaN", t1w_field("pixdim", np.nan, 2), rf"{_T1W}.*2.5 x nan x 2.5 mm.*{_AGAIN}"),
    _case("voxel size below 0", t1w_field("pixdim", -2.5, 2), rf"{_T1W}.*2.5 x -2.5 x 2.5 mm.*{_AGAIN}"),
    _case("neither qform nor sform", _t1w_header(_no_forms), rf"{_T1W}.*left and right are unknown.*{_AGAIN}"),
    _case("sform code of no meaning", t1w_field("sform_code", 99), rf"{_T1W}.*sform_code 99.*codes from 0 to 5.*{_AGAIN}"),
    _case(
        "qform and sform mirror each other", _t1w_header(_mirror_sform), rf"{_T1W}qform and sform .* 158 mm apart.*set both"
    ),
    _case("qform that is no rotation", t1w_field("quatern_b", 2), rf"{_T1W}the qform is no rotation.*{_AGAIN}"),
    _case("qform with NaN", t1w_field("quatern_b", np.nan), rf"{_T1W}the qform .* not finite.*{_AGAIN}"),
    _case("sheared sform", _t1w_header(_shear), rf"{_T1W}the voxel size is .* in pixdim, but .* in the affine.*{_AGAIN}"),
    _case("five metres away", _t1w_header(_far_away), rf"{_T1W}.*5.08e\+03 mm from the scanner's isocentre.*{_AGAIN}"),
    _case("metres as unit", t1w_field("xyzt_units", 1 + 8), rf"{_T1W}.*unit of length is meter.*{_AGAIN}"),
    _case("size below 0", t1w_field("dim", -5, 1), rf"{_T1W}the header states the size \(-5, .*{_AGAIN}"),
    _case("no size", t1w_field("dim", 0, 0), rf"{_T1W}the header states the size.*{_AGAIN}"),
    _case("size of 64 TB", t1w_field("dim", 32767, slice(1, 4)), rf"{_T1W}.*cannot hold.*{_AGAIN}"),
    _case("more volumes than data", echo_field("dim", 2000, 4), rf"{_ECHO}.*fewer data than the header states.*{_AGAIN}"),
    _case("data before the header ends", t1w_field("vox_offset", -100), rf"{_T1W}no readable NIfTI image.*{_AGAIN}"),
    _case("unknown data type", t1w_field("datatype", 999), rf"{_T1W}no readable NIfTI image .*999 not recognized.*{_AGAIN}"),
    _case("infinite scale", t1w_field("scl_slope", np.inf), rf"{_T1W}.*scl_slope is inf.*{_AGAIN}"),
    _case("scale beyond all numbers", t1w_field("scl_slope", 1e38), rf"{_T1W}scaled by 1e\+38.*not finite.*{_AGAIN}"),
    _case("another format", _as_mgh, rf"{_T1W}no readable NIfTI image.*{_AGAIN}"),
    _case("a pickle", lambda person: person.t1w.write_bytes(PICKLE), rf"{_T1W}no readable NIfTI image.*{_AGAIN}"),
    _case("an empty file", lambda person: person.t1w.write_bytes(b""), rf"{_T1W}no readable NIfTI image.*{_AGAIN}"),
    _case("cut in the middle", _half, rf"{_T1W}.*(cut short|damaged).*{_AGAIN}"),
    _case("a gzip bomb", _gzip_bomb, rf"{_T1W}.*more data than the header states.*{_AGAIN}"),
    _case("complex numbers", _t1w_data(_complex), rf"{_T1W}the data type is complex64.*integer or real"),
    _case("colours", _t1w_data(_colours), rf"{_T1W}the data type is .*integer or real"),
    _case("a T1w of two volumes", _t1w_data(lambda data: np.stack([data, data], -1)), rf"{_T1W}.*4 dimensions.*Expected: 3"),
    _case(
        "an echo of five dimensions", _echo_data(lambda data: data[:, :, :, None]), rf"{_ECHO}.*5 dimensions.*Expected: 4"
    ),
    _case("an echo of one volume", _echo_data(lambda data: data[..., 0]), rf"{_ECHO}.*3 dimensions.*Expected: 4"),
    _case("a short run", _echo_data(lambda data: data[..., :5]), rf"{_ECHO}the run has 5 volumes.*--bids-filter-file"),
    _case("an echo shorter than the others", _echo_data(lambda data: data[..., :22]), r"22 volumes, but 24 in .*echo-1"),
    _case("zero everywhere", _t1w_data(np.zeros_like), rf"{_T1W}.*hold one value throughout.*convert it again"),
    _case(
        "NaN everywhere", _t1w_data(lambda data: np.full(data.shape, np.nan, np.float32)), rf"{_T1W}.*not finite.*{_AGAIN}"
    ),
    _case("one volume of NaN", _echo_data(_nan_volume), rf"{_ECHO}volume 7 holds values that are not finite.*{_AGAIN}"),
    _case("one image as two echoes", _same_image, rf"{_ECHO}holds the same image as .*echo-1.*copy or convert"),
    _case("a stripped brain", _t1w_data(_brain_alone), rf"{_T1W}.*skull-stripped.*give the T1w as it was scanned"),
)
