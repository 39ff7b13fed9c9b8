"""The T1w that a navigator must load, and whether its header says one thing only."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from tmsprep.errors import InputError
from tmsprep.files import load_nifti, sha256
from tmsprep.spaces import Array, Grid, apply_affine

MAX_FORMS_APART_MM = 1e-3
"""Between the places that qform and sform give the corners of the image."""


@dataclass(frozen=True, eq=False)
class NavigatorImage:
    """The identity of a T1w: every export names it, so that a reader can check that it has the same one."""

    uri: str
    """BIDS URI."""
    sha256: str
    grid: Grid
    qform_code: int
    sform_code: int
    quatern: tuple[float, float, float]
    """b, c, d of the header."""
    qoffset_mm: tuple[float, float, float]
    pixdim: tuple[float, ...]
    """First four."""

    @classmethod
    def load(cls, path: Path, uri: str) -> NavigatorImage:
        """Read a T1w's header.

        Raises
        ------
        InputError
            Its qform and sform disagree, or it has neither: navigators differ in which they read.
        """
        image = load_nifti(path)
        header = image.header
        codes = int(header["qform_code"]), int(header["sform_code"])
        _require_one_frame(path, image, codes)
        quatern = tuple(float(header[f"quatern_{axis}"]) for axis in "bcd")
        offset = tuple(float(header[f"qoffset_{axis}"]) for axis in "xyz")
        return cls(
            uri=uri,
            sha256=sha256(path),
            grid=Grid.of(image),
            qform_code=codes[0],
            sform_code=codes[1],
            quatern=(quatern[0], quatern[1], quatern[2]),
            qoffset_mm=(offset[0], offset[1], offset[2]),
            pixdim=tuple(float(value) for value in header["pixdim"][:4]),
        )

    def as_fields(self) -> dict[str, Any]:
        """Return the identity for a JSON file."""
        return {
            "IntendedFor": self.uri,
            "SHA256": self.sha256,
            "Shape": list(self.grid.shape),
            "AffineRAS": np.round(self.grid.affine_ras_mm, 6).tolist(),
            "QformCode": self.qform_code,
            "SformCode": self.sform_code,
        }


def _require_one_frame(path: Path, image: nib.Nifti1Image, codes: tuple[int, int]) -> None:
    if not any(codes):
        raise InputError(
            "the header has neither a qform nor an sform",
            where=path,
            expected="at least one, or a navigator guesses where the image lies",
            action="convert the scan again from DICOM",
        )
    if all(codes) and (apart := forms_apart_mm(image)) > MAX_FORMS_APART_MM:
        raise InputError(
            f"qform and sform place the image up to {apart:.3g} mm apart",
            where=path,
            expected=f"at most {MAX_FORMS_APART_MM:g} mm: navigators differ in which they read",
            action="make both equal (nibabel: set_qform(image.get_sform())) after checking which is right, and run again",
        )


def forms_apart_mm(image: nib.Nifti1Image) -> float:
    """Return the largest distance between a corner's places by qform and by sform."""
    corners = np.array(list(product(*((0, size - 1) for size in image.shape[:3]))), dtype=np.float64)
    one, two = apply_affine(_form(image, "q"), corners), apply_affine(_form(image, "s"), corners)
    return float(np.linalg.norm(one - two, axis=1).max())


def _form(image: nib.Nifti1Image, which: str) -> Array:
    return np.asarray(image.get_qform() if which == "q" else image.get_sform(), dtype=np.float64)
