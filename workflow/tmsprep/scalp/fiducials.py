"""Nasion, inion and the two preauricular points: found automatically, or given by the user.

Automatic: the template's points come into the T1w by the affine part of the normalisation, because outside the brain a
deformation made for the brain means nothing; then each goes to its landmark on the individual scalp. Which movement is
plausible, and what the user's own must satisfy, is decided here too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmsprep import templates
from tmsprep.errors import InputError
from tmsprep.files import read_tsv
from tmsprep.records import FIDUCIAL_NAMES, Fiducial, Point, Status, load_fiducials
from tmsprep.scalp.inion import bone_inion
from tmsprep.scalp.lines import Plane, section
from tmsprep.spaces import Array, apply_affine, voxel_sizes
from tmsprep.surfaces import Surface

_TEMPLATE_NLIN6_MM: dict[str, tuple[float, float, float]] = {
    "NAS": (0.0, 82.9, -43.0),
    "INI": (0.0, -116.2, -30.5),
    "LPA": (-79.6, -20.6, -48.6),
    "RPA": (80.6, -20.6, -48.1),
    "vertex": (0.0, -8.2, 97.4),
}
"""On the MNI scalp, as SimNIBS publishes them (Fiducials.csv).

It does not name the template. The skin of MNI152NLin6Asym ends within half a millimetre of all four; that of
MNI152NLin2009cAsym one to two millimetres farther out.
"""

CAUTION_SNAP_MM = {"NAS": 10.0, "INI": 15.0, "LPA": 10.0, "RPA": 10.0}
"""A template point that had to move farther than this to reach its landmark needs a look.

The height of the inion differs by a centimetre between heads, and matters least to Beam F3.
"""
EDGE_MM = 3.0
"""A landmark nearer than this to the edge of the image may be the edge itself."""
MAX_MANUAL_DISTANCE_MM = 15.0
"""A user's fiducial farther from the scalp than this belongs to another image or frame."""

_COLUMNS_EXPECTED = "columns name, x, y, z: numbers in scanner RAS mm"
_NASION_WINDOW_MM = 15.0
_PROFILE_STEP_MM = 0.25
_HOLLOW_MM = 0.3
_HOLLOW_EDGE_MM = 2.0


@cache
def _nlin6_to_2009c() -> Array:
    return templates.transform(templates.NLIN2009C, templates.NLIN6).affine_part()


def template_landmark(name: str) -> Array:
    """Return a landmark on MNI152NLin2009cAsym's scalp, (3,) mm: brought there by the affine, as outside every brain."""
    return apply_affine(_nlin6_to_2009c(), _TEMPLATE_NLIN6_MM[name])


@dataclass(frozen=True, eq=False)
class TemplateHead:
    """The template's landmarks and axes, brought into the T1w by an affine."""

    mni_to_t1w_ras_mm: Array
    """4 x 4."""

    def point(self, name: str) -> Array:
        """Return a landmark, (3,) RAS mm."""
        return apply_affine(self.mni_to_t1w_ras_mm, template_landmark(name))

    @property
    def up(self) -> Array:
        """Unit vector (3,) towards the top of the head."""
        axis = self.mni_to_t1w_ras_mm[:3, 2]
        return axis / np.linalg.norm(axis)

    @property
    def front(self) -> Array:
        """Unit vector (3,) towards the face, square to `up`."""
        axis = self.mni_to_t1w_ras_mm[:3, 1] - self.up * (self.mni_to_t1w_ras_mm[:3, 1] @ self.up)
        return axis / np.linalg.norm(axis)

    @property
    def vertex_ras_mm(self) -> Array:
        """The template's vertex, (3,) RAS mm."""
        return apply_affine(self.mni_to_t1w_ras_mm, template_landmark("vertex"))

    @property
    def midline(self) -> Plane:
        """The mid-sagittal plane."""
        return Plane.through(self.point("NAS"), self.point("INI"), self.vertex_ras_mm)


def find_fiducials(
    t1w: NDArray[np.float32], affine_ras_mm: Array, surface: Surface, mni_to_t1w_ras_mm: Array
) -> tuple[Fiducial, ...]:
    """Find the four fiducials on a scalp.

    Parameters
    ----------
    t1w
        (x, y, z).
    affine_ras_mm
        Of `t1w`.
    surface
        The scalp.
    mni_to_t1w_ras_mm
        4 x 4, maps points of MNI152NLin2009cAsym to the T1w.

    Returns
    -------
    tuple[Fiducial, ...]
        NAS, INI, LPA, RPA.

    Notes
    -----
    NAS: deepest point of the mid-sagittal profile between glabella and nasal bone, within 15 mm of the template's height.
    INI: where the bone leaves the skin (`tmsprep.scalp.inion`). LPA, RPA: the template's point, moved to the closest point
    of the scalp. Where a shape is not found, the template's point is moved to the scalp and the status is ``caution``.
    """
    template = TemplateHead(mni_to_t1w_ras_mm)
    inion = bone_inion(
        t1w,
        affine_ras_mm,
        surface,
        midline=template.midline,
        vertex_ras_mm=template.vertex_ras_mm,
        expected_ras_mm=template.point("INI"),
        up=template.up,
    )
    shapes = {"NAS": _deepest_point(template, surface), "INI": inion}
    uncertain = {name for name, place in shapes.items() if place is None}
    found = [_automatic(name, template, surface, shapes.get(name), name in uncertain) for name in FIDUCIAL_NAMES]
    size = (t1w.shape[0], t1w.shape[1], t1w.shape[2])
    return tuple(_doubted_at_the_edge(item, size, affine_ras_mm) for item in found)


def _doubted_at_the_edge(item: Fiducial, shape: tuple[int, int, int], affine_ras_mm: Array) -> Fiducial:
    """Doubt a fiducial at the edge of the image: there the scalp is where the field of view ends, not the head."""
    voxel = apply_affine(np.linalg.inv(affine_ras_mm), item.position_ras_mm)
    from_edge = np.minimum(voxel, np.array(shape) - 1 - voxel) * voxel_sizes(affine_ras_mm)
    return replace(item, status=Status.CAUTION) if from_edge.min() < EDGE_MM else item


def _automatic(name: str, template: TemplateHead, surface: Surface, shape: Array | None, uncertain: bool) -> Fiducial:
    expected = template.point(name)
    place = surface.nearest(expected if shape is None else shape)
    moved = float(np.linalg.norm(place - expected))
    status = Status.CAUTION if uncertain or moved > CAUTION_SNAP_MM[name] else Status.OK
    return Fiducial(name, (float(place[0]), float(place[1]), float(place[2])), "automatic", moved, status)


def _deepest_point(template: TemplateHead, surface: Surface) -> Array | None:
    """Return the bottom (3,) of the hollow at the root of the nose, or None where the profile has no hollow there.

    The bottom can be flat over some millimetres: its middle is taken.
    """
    profile = section(surface, template.midline, template.vertex_ras_mm)
    points = profile.densified(_PROFILE_STEP_MM).points_ras_mm[:-1]
    relative = points - template.point("NAS")
    height, depth = relative @ template.up, relative @ template.front
    window = (np.abs(height) <= _NASION_WINDOW_MM) & (np.abs(depth) <= 2 * _NASION_WINDOW_MM)
    if not window.any():
        return None
    points, height, depth = points[window], height[window], depth[window]
    if np.abs(height[np.argmin(depth)]) > _NASION_WINDOW_MM - _HOLLOW_EDGE_MM:
        return None
    bottom = depth <= depth.min() + _HOLLOW_MM
    return points[bottom].mean(axis=0)


def read_fiducials(path: Path, surface: Surface) -> dict[str, Fiducial]:
    """Read the four fiducials that the scalp stage wrote.

    Raises
    ------
    InputError
        One is missing or there twice, is no fiducial, or belongs to another scalp.
    """
    names = [str(name) for name in read_tsv(path, required=("name", "x", "y", "z"))["name"]]
    if len(names) != len(set(names)):
        raise InputError("a fiducial is given twice", where=path, expected="one row each")
    found = load_fiducials(path)
    if missing := [name for name in FIDUCIAL_NAMES if name not in found]:
        raise InputError(f"no {', '.join(missing)}", where=path, expected=", ".join(FIDUCIAL_NAMES))
    for name in FIDUCIAL_NAMES:
        _require_on_scalp(path, found[name], surface)
    return found


def read_manual_fiducials(path: Path, surface: Surface, participant: str | None = None) -> tuple[Fiducial, ...]:
    """Read and check the fiducials that a user gives, all four or some of them.

    Parameters
    ----------
    path
        TSV with name, x, y, z (scanner RAS mm); with a column participant_id, it may be of several participants.
    surface
        The scalp.
    participant
        Whose rows count where there is a column participant_id, with ``sub-``. None of theirs: no fiducials.

    Raises
    ------
    InputError
        An unknown, repeated or missing name, a missing coordinate, a point too far from the scalp; rows of several
        participants, and nothing that says which is meant.
    """
    table = read_tsv(path, required=("name", "x", "y", "z"), texts=("participant_id", "name"))
    rows: list[dict[str, Any]] = table.to_dict("records")
    if not rows:
        raise InputError("no fiducial", where=path, expected="rows " + ", ".join(FIDUCIAL_NAMES))
    if "participant_id" in table.columns:
        rows = _rows_of(path, rows, participant)
    names = [str(row["name"]) for row in rows]
    if len(names) != len(set(names)):
        raise InputError("a fiducial is given twice", where=path, expected="one row each")
    if unknown := sorted(set(names) - set(FIDUCIAL_NAMES)):
        raise InputError(f"unknown fiducial(s) {', '.join(unknown)}", where=path, expected=", ".join(FIDUCIAL_NAMES))
    given = tuple(Fiducial(str(row["name"]), _position(row), "manual", 0.0) for row in rows)
    for item in given:
        _require_on_scalp(path, item, surface)
    return given


def _rows_of(path: Path, rows: list[dict[str, Any]], participant: str | None) -> list[dict[str, Any]]:
    if participant is None:
        raise InputError(
            "the table has a column participant_id, and the T1w's name does not say whose it is",
            where=path,
            expected="a T1w that is named sub-LABEL_...",
            action="take the column out if all rows are of this T1w",
        )
    return [row for row in rows if str(row["participant_id"]).removeprefix("sub-") == participant.removeprefix("sub-")]


def _position(row: dict[str, Any]) -> Point:
    values: list[float] = []
    for axis in "xyz":
        try:
            values.append(float(row[axis]))
        except (TypeError, ValueError):
            values.append(math.nan)
    return (values[0], values[1], values[2])


def _require_on_scalp(path: Path, item: Fiducial, surface: Surface) -> None:
    if not np.all(np.isfinite(item.position_ras_mm)):
        raise InputError(f"{item.name} lacks a coordinate", where=path, expected="x, y, z: numbers in scanner RAS mm")
    distance = surface.distance_mm(item.position_ras_mm)
    if distance > MAX_MANUAL_DISTANCE_MM:
        raise InputError(
            f"{item.name} is {distance:.0f} mm from the scalp",
            where=path,
            expected=f"at most {MAX_MANUAL_DISTANCE_MM:.0f} mm",
            action="give scanner RAS mm of this participant's T1w image (LPS has x and y of the other sign)",
        )


def combine(automatic: tuple[Fiducial, ...], manual: tuple[Fiducial, ...]) -> tuple[Fiducial, ...]:
    """Replace automatic fiducials by the user's, and check that each lies on its side of the head.

    Raises
    ------
    InputError
        Left and right, or front and back, are swapped.
    """
    chosen = {item.name: item for item in (*automatic, *manual)}
    points = {name: np.asarray(item.position_ras_mm) for name, item in chosen.items()}
    if points["LPA"][0] >= points["RPA"][0]:
        raise InputError(
            "LPA lies to the right of RPA: left and right are swapped",
            expected="LPA with the smaller x (scanner RAS mm: x grows to the participant's right)",
            action="swap the two, or give RAS in place of LPS coordinates",
        )
    if points["NAS"][1] <= points["INI"][1]:
        raise InputError(
            "NAS lies behind INI: front and back are swapped",
            expected="NAS with the greater y (scanner RAS mm: y grows to the front)",
            action="swap the two, or give RAS in place of LPS coordinates",
        )
    return tuple(chosen[name] for name in FIDUCIAL_NAMES)
