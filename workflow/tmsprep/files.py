"""Writing files: complete or not at all, and byte-identical for identical content.

Everything that ends in an output directory is written through this module. It knows no BIDS names.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
import zlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmsprep.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_BLOCK = 1 << 20
_LARGEST_RATIO = 1032
"""Of deflate (RFC 1951): 258 bytes by two bits."""
_QFORM_TOLERANCE_MM = 1e-3
_UNREADABLE = (
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    zlib.error,
)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def temporary_twin(path: Path) -> Path:
    """Return a name in the same folder to write to before `path` is published.

    The whole name follows the prefix, because writers choose the format by the suffix.
    """
    return path.with_name(f".tmp-{os.getpid()}-{path.name}")


@contextmanager
def atomic(path: Path) -> Generator[Path]:
    """Yield a temporary twin of `path`; rename it to `path` if the block ends without an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    twin = temporary_twin(path)
    try:
        yield twin
        publish(twin, path)
    finally:
        twin.unlink(missing_ok=True)


def publish(twin: Path, path: Path) -> None:
    """Move a finished file to its final name, with the permissions that the user's umask asks for.

    Some programs write with mode 0600 whatever the umask. A link is moved as it is.
    """
    if not twin.is_symlink():
        umask = os.umask(0)
        os.umask(umask)
        twin.chmod(0o666 & ~umask)
    twin.replace(path)


def save_nifti(
    path: Path,
    data: ArrayLike,
    affine_ras_mm: NDArray[np.float64],
    *,
    xform_code: int,
    repetition_time_s: float | None = None,
) -> None:
    """Write a NIfTI-1 image with equal qform and sform.

    Parameters
    ----------
    path
        Ends in ``.nii.gz`` or ``.nii``.
    data
        3D or 4D; written in its own type (bool as uint8, float64 as float32, int64 as int32).
    affine_ras_mm
        4 x 4, voxel indices to RAS+ mm.
    xform_code
        1 scanner, 2 aligned, 4 MNI152.
    repetition_time_s
        For 4D data, the time between volumes.
    """
    array = np.asarray(data)
    narrow = {"b": np.uint8, "f8": np.float32, "i8": np.int32, "u8": np.uint32}
    array = array.astype(narrow.get(array.dtype.str[1:], narrow.get(array.dtype.kind, array.dtype)), copy=False)
    image = nib.Nifti1Image(array, affine_ras_mm)
    image.set_sform(affine_ras_mm, xform_code)
    image.set_qform(affine_ras_mm, xform_code, strip_shears=True)
    if not np.allclose(image.get_qform(), affine_ras_mm, atol=_QFORM_TOLERANCE_MM):
        image.set_qform(None, 0)  # a sheared grid has no qform; writing a wrong one would move the image
    image.header.set_xyzt_units("mm", "sec")
    if repetition_time_s is not None:
        image.header["pixdim"][4] = repetition_time_s
    nib.save(image, path)


def load_nifti(path: Path) -> nib.Nifti1Image:
    """Open a NIfTI image (data not yet read), or say in one sentence why that is impossible.

    Raises
    ------
    InputError
        The file is absent, empty, or no NIfTI image.
    """
    if not path.exists():
        raise InputError("the file is not there", where=path, action="check the path; DataLad users: get its content")
    try:
        image = nib.load(path)
    except _UNREADABLE as error:
        raise InputError(
            f"no readable NIfTI image ({error})", where=path, action="copy or convert the file again"
        ) from error
    if not isinstance(image, nib.Nifti1Image):
        raise InputError(f"the format is {type(image).__name__}", where=path, expected="NIfTI (.nii or .nii.gz)")
    if min(image.shape, default=0) < 1:
        raise InputError(f"the header states the size {image.shape}", where=path, action="copy or convert the file again")
    _require_room(path, image)
    return image


def _require_room(path: Path, image: nib.Nifti1Image) -> None:
    """Refuse a size that the file cannot hold, before anything allocates it."""
    needed, size = math.prod(image.shape) * image.get_data_dtype().itemsize, path.stat().st_size
    if path.suffix == ".gz" and needed > _LARGEST_RATIO * size + _BLOCK:
        raise InputError(
            f"the header states {image.shape} voxels ({needed} bytes), which a compressed file of {size} bytes cannot hold",
            where=path,
            action="copy or convert the file again",
        )


def read_data(image: nib.Nifti1Image, dtype: type[np.floating[Any]] = np.float32) -> NDArray[Any]:
    """Return the image's scaled data, or say that the file is cut short.

    Raises
    ------
    InputError
        The compressed stream or the file ends before the data do.
    """
    try:
        return np.asarray(image.dataobj, dtype=dtype)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(
            f"the image data end early or are damaged ({error})",
            where=image.get_filename(),
            expected=f"{image.shape} voxels as the header says",
            action="copy or convert the file again",
        ) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON with the keys in the order given; NaN is refused."""
    path.write_text(json_text(content), encoding="utf-8")


def json_text(content: Mapping[str, Any]) -> str:
    """Return JSON with the keys in the order given; NaN is refused."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    InputError
        The file is absent, holds no JSON object, or gives a key two values.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_contradiction)
    except (OSError, ValueError, RecursionError) as error:
        action = "correct the file; it must be JSON text in UTF-8, without a byte order mark"
        raise InputError(f"no readable JSON ({error})", where=path, action=action) from error
    if not isinstance(content, dict):
        raise InputError("the JSON is not an object", where=path, expected='{"Key": value, ...}')
    return content


def _without_contradiction(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its members; readers differ in which of two values of one key they take."""
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content and content[key] != value:
            raise ValueError(f"the key {key!r} is there twice, with different values")
        content[key] = value
    return content


def write_tsv(path: Path, table: pd.DataFrame, *, decimals: int = 6) -> None:
    """Write a BIDS TSV: tabs, ``n/a`` for what is missing, floats with at most `decimals` digits after the point."""
    rounded = table.copy()
    for name in rounded.select_dtypes("float").columns:
        rounded[name] = [_number(value, decimals) for value in rounded[name]]
    rounded.to_csv(path, sep="\t", index=False, na_rep="n/a", lineterminator="\n")


def _number(value: float, decimals: int) -> str:
    if not np.isfinite(value):
        return "n/a"
    text = f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    return "0" if text in {"", "-0"} else text


def read_tsv(path: Path, required: Sequence[str] = (), texts: Sequence[str] = ()) -> pd.DataFrame:
    """Read a BIDS TSV (``n/a`` as missing) and check that it has the columns `required`, each of them once.

    Parameters
    ----------
    path
        The table.
    required
        Columns that it must have.
    texts
        Columns that stay text where all their values look like numbers: ``01`` is not 1.

    Raises
    ------
    InputError
        The file is absent, unreadable, lacks a column or has it twice.
    """
    import pandas as pd

    words = {name: str for name in texts}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # index_col: lines with a cell more than the head would shift all columns by one, and nothing would be said
            table = pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False, index_col=False, dtype=words)
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        action = "save it as text: UTF-8, tabs, as many cells in each line as in the first"
        raise InputError(f"no readable TSV ({error})", where=path, action=action) from error
    if twice := [name for name in required if f"{name}.1" in table.columns]:  # what pandas calls a second one
        raise InputError(f"column(s) {', '.join(twice)} twice", where=path, expected="one of each")
    if missing := [name for name in required if name not in table.columns]:
        raise InputError(f"missing column(s) {', '.join(missing)}", where=path, expected=", ".join(required))
    return table
