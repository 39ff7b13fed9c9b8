"""Writing files: complete or not at all, and byte-identical for identical content.

Everything that ends in an output directory is written through this module. It knows no BIDS names.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmsprep.errors import InputError, ProcessingError, TmsprepError

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
_TWIN = re.compile(r"\.tmp-\d+-(?P<name>.+)", re.DOTALL)
_SCRATCH, _SCRATCH_TO_BE = "tmsprep-stage-", ".tmsprep-new-stage-"
_SCRATCH_LOCK = ".lock"
_FULL_BYTES = 1 << 16
_AGAIN = "run the same command again: it goes on where it stopped"
_DISK_ERRORS = {
    errno.ENOSPC: ("no space left on the disk", "free some space and"),
    errno.EDQUOT: ("your quota on the disk is used up", "free some space and"),
    errno.EFBIG: ("the file would be larger than is allowed here", "raise the limit (`ulimit -f`) and"),
    errno.EROFS: ("the file system is read-only", "make it writable, or choose another folder, and"),
    errno.EACCES: ("permission denied", "check the permissions of the file and its folder, and"),
    errno.EPERM: ("the operation is not permitted", "check the permissions of the file and its folder, and"),
    errno.EIO: ("the disk cannot be read or written", "check the disk or the network and"),
    errno.ESTALE: ("the file system was taken away", "check the network and"),
}


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

    Some programs write with mode 0600 whatever the umask. A link is moved as it is. The content is on the disk before the
    name is, also if power fails.
    """
    if not twin.is_symlink():
        umask = os.umask(0)
        os.umask(umask)
        twin.chmod(0o666 & ~umask)
        with twin.open("rb") as stream:
            os.fsync(stream.fileno())
    twin.replace(path)


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove what processes that were killed left beside files: their temporary twins, and folders named after those.

    Whatever process number is in the name: in containers numbers repeat. Only for files that nobody else is writing.
    """
    names: dict[Path, set[str]] = {}
    for path in paths:
        names.setdefault(path.parent, set()).add(path.name)
    for folder, own in names.items():
        for path in _temporary(folder):
            twin = _TWIN.fullmatch(path.name)
            if twin and (twin["name"] in own or (path.is_dir() and twin["name"].rpartition("-")[0] in own)):
                _remove(path)


def remove_all_leftovers(folder: Path) -> None:
    """Remove what processes that were killed left anywhere in a folder that nobody else is writing to."""
    for path in list(_temporary(folder)):
        _remove(path)
    for place, folders, _ in os.walk(folder):
        for name in folders:
            for path in list(_temporary(Path(place, name))):
                _remove(path)


def _temporary(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as found:
        yield from [Path(entry.path) for entry in found if entry.name.startswith(".tmp-")]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def own_temporary_folder() -> Generator[Path]:
    """Let temporary files of this process and its children lie in one folder, and remove those of killed processes.

    A lock of the operating system tells which are in use: it ends with its process, however that ends.
    """
    _remove_dead_scratch(Path(tempfile.gettempdir()))
    folder, lock = _new_scratch()
    with lock:
        before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = before
            os.environ.pop("TMPDIR")
            os.environ |= {"TMPDIR": variable} if variable is not None else {}
            shutil.rmtree(folder, ignore_errors=True)


def _new_scratch() -> tuple[Path, IO[bytes]]:
    """Make a folder that bears its final name from the moment when it is locked; return it with the lock."""
    while True:
        made = Path(tempfile.mkdtemp(prefix=_SCRATCH_TO_BE))
        # gone or held: another process, which removes what dead ones left, was faster
        with suppress(FileNotFoundError, BlockingIOError), ExitStack() as undo:
            lock = undo.enter_context((made / _SCRATCH_LOCK).open("wb"))
            _lock(lock)
            folder = made.rename(made.with_name(made.name.replace(_SCRATCH_TO_BE, _SCRATCH, 1)))
            undo.pop_all()
            return folder, lock


def _remove_dead_scratch(home: Path) -> None:
    """Remove what no living process holds; one that is about to lock its folder makes another."""
    for prefix in (_SCRATCH_TO_BE, _SCRATCH):
        for folder in home.glob(f"{prefix}*"):
            with suppress(OSError):
                if folder.stat().st_uid == os.geteuid():
                    _remove_unless_locked(folder)


def _remove_unless_locked(folder: Path) -> None:
    try:
        with (folder / _SCRATCH_LOCK).open("rb") as lock:
            if _lock(lock):  # held until the folder is gone
                shutil.rmtree(folder, ignore_errors=True)
    except FileNotFoundError:
        if folder.name.startswith(_SCRATCH_TO_BE):
            folder.rmdir()  # not if the lock was made meanwhile
        else:  # half removed
            shutil.rmtree(folder, ignore_errors=True)


def _lock(stream: IO[bytes]) -> bool:
    """Take the lock of a file; return False if the file system has no such locks.

    Raises
    ------
    BlockingIOError
        Another process holds it.
    """
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def disk_trouble(error: BaseException, folders: Iterable[Path] = ()) -> TmsprepError | None:
    """Return what a user can do about an error that comes from the disk, not from the data or the program; else None.

    Parameters
    ----------
    error
        What was raised, or what that came from.
    folders
        What is written to. Programs and libraries seldom say that the disk is full, so these are looked at.
    """
    full = next((folder for folder in folders if _is_full(folder)), None)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _DISK_ERRORS:
            what, action = _DISK_ERRORS[cause.errno]
            named = isinstance(cause.filename, str) and cause.filename
            return ProcessingError(what, where=_final(Path(named)) if named else full, action=f"{action} {_AGAIN}")
        cause = cause.__cause__ or (None if isinstance(cause, TmsprepError) else cause.__context__)
    if full is None or not isinstance(error, Exception):
        return None
    what, action = _DISK_ERRORS[errno.ENOSPC]
    return ProcessingError(what, where=full, action=f"{action} {_AGAIN}")


def _final(path: Path) -> Path:
    twin = _TWIN.fullmatch(path.name)
    return path.with_name(twin["name"]) if twin else path


def _is_full(folder: Path) -> bool:
    with suppress(OSError):
        return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free < _FULL_BYTES
    return False


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
        The file is absent, holds no JSON object, or gives a key two values that are no lists.
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
    """Make an object of its members; readers differ in which of two values of one key they take.

    Of two lists the last counts, as for most readers: published sidecars have IntendedFor twice.
    """
    content: dict[str, Any] = {}
    for key, value in pairs:
        earlier = content.get(key)
        if key in content and earlier != value and not (isinstance(earlier, list) and isinstance(value, list)):
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

    words: Any = dict.fromkeys(texts, str)
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
