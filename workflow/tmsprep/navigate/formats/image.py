"""The T1w that a navigator must load, and whether its header says one thing only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from tmsprep.errors import InputError
from tmsprep.files import load_nifti, sha256
from tmsprep.options import NavigatorForm
from tmsprep.spaces import Array, Grid, apply_affine

MAX_FORMS_APART_MM = 1e-3
"""Between the places that qform and sform give the corners of the image, unless the user says which one is read."""
_GEOMETRY = ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
             "srow_x", "srow_y", "srow_z")  # fmt: skip


@dataclass(frozen=True, eq=False)
class NavigatorImage:
    """The identity of a T1w: every export names it, so that a reader can check that it has the same one."""

    uri: str
    """BIDS URI."""
    sha256: str
    grid: Grid
    header: nib.Nifti1Header
    """The grid's fields of the header and no others."""
    form: NavigatorForm = NavigatorForm.AGREE
    """What the user says that the navigator reads."""

    @classmethod
    def load(cls, path: Path, uri: str, form: NavigatorForm = NavigatorForm.AGREE) -> NavigatorImage:
        """Read a T1w's header.

        `form` says what the navigator reads: either, because they agree; or the sform, in whose frame TMSPrep's coordinates
        are.

        Raises
        ------
        InputError
            Its qform and sform disagree, or it has neither, or not the one that is read.
        """
        image = load_nifti(path)
        _require_one_frame(path, image, form)
        return cls(uri, sha256(path), Grid.of(image), _geometry(image.header), form)

    @property
    def qform_code(self) -> int:
        """Of the header."""
        return int(self.header["qform_code"])

    @property
    def sform_code(self) -> int:
        """Of the header."""
        return int(self.header["sform_code"])

    @property
    def named_form(self) -> tuple[str, int]:
        """The form that a file names, Q or S, and its code."""
        if self.form is NavigatorForm.SFORM or not self.qform_code:
            return "S", self.sform_code
        return "Q", self.qform_code

    def as_fields(self) -> dict[str, Any]:
        """Return the identity for a JSON file."""
        return {
            "IntendedFor": self.uri,
            "SHA256": self.sha256,
            "Shape": list(self.grid.shape),
            "AffineRAS": np.round(self.grid.affine_ras_mm, 6).tolist(),
            "QformCode": self.qform_code,
            "SformCode": self.sform_code,
            "FormRead": self.form.value,
        }

    def in_words(self) -> str:
        """Return the identity in one line, for formats with nothing but a comment."""
        affine = json.dumps(np.round(self.grid.affine_ras_mm, 6).tolist())
        return f"{self.uri} sha256 {self.sha256} affine {affine}"


def _require_one_frame(path: Path, image: nib.Nifti1Image, form: NavigatorForm) -> None:
    codes = int(image.header["qform_code"]), int(image.header["sform_code"])
    if not any(codes):
        raise InputError(
            "the header has neither a qform nor an sform",
            where=path,
            expected="at least one, or a navigator guesses where the image lies",
            action="convert the scan again from DICOM",
        )
    if unknown := [code for code in codes if code not in range(6)]:
        raise InputError(f"the header has the qform or sform code {unknown[0]}", where=path, expected="0 to 5")
    if (unit := image.header.get_xyzt_units()[0]) not in {"mm", "unknown"}:
        raise InputError(f"the header's qform and sform are in {unit}", where=path, expected="mm", action="convert it again")
    if form is NavigatorForm.SFORM:
        if not codes[1]:
            raise InputError("the header has no sform", where=path, expected="one, since --navigator-form is sform")
        return
    if (apart := forms_apart_mm(image)) > MAX_FORMS_APART_MM:
        raise InputError(
            f"qform and sform place the image up to {apart:.3g} mm apart",
            where=path,
            expected=f"at most {MAX_FORMS_APART_MM:g} mm: navigators differ in which they read",
            action="make both equal (nibabel: set_qform(image.get_sform())) after checking which is right, and run again; "
            "or --navigator-form sform, if your navigator reads the sform",
        )


def forms_apart_mm(image: nib.Nifti1Image) -> float:
    """Return the largest distance between a corner's places by qform and by sform.

    An sform alone is held against the qform closest to it: a sheared grid has none, and a program that knows rotations and
    voxel sizes only would show another image.
    """
    image = _with_both(image)
    corners = np.array(list(product(*((0, size - 1) for size in image.shape[:3]))), dtype=np.float64)
    one, two = apply_affine(_form(image, "q"), corners), apply_affine(_form(image, "s"), corners)
    return float(np.linalg.norm(one - two, axis=1).max())


def _geometry(header: nib.Nifti1Header) -> nib.Nifti1Header:
    """Return a header that has these fields as they are, and no text that may name a person."""
    kept = nib.Nifti1Header()
    for name in _GEOMETRY:
        kept[name] = header[name]
    kept["pixdim"][:4] = header["pixdim"][:4]
    kept.set_xyzt_units("mm")
    kept.set_data_dtype(np.uint8)
    return kept


def _with_both(image: nib.Nifti1Image) -> nib.Nifti1Image:
    header = image.header.copy()
    if not int(header["qform_code"]):
        header.set_qform(header.get_sform(), 1, strip_shears=True)
    elif not int(header["sform_code"]):
        header.set_sform(header.get_qform(), 1)
    return nib.Nifti1Image(image.dataobj, None, header)


def _form(image: nib.Nifti1Image, which: str) -> Array:
    return np.asarray(image.get_qform() if which == "q" else image.get_sform(), dtype=np.float64)
