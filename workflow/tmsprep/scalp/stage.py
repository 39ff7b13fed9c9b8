"""The two scalp stages: the head's surface with its fiducials, and Beam F3 measured on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tmsprep.errors import InputError, ProcessingError
from tmsprep.files import load_nifti, read_data, save_nifti, write_tsv
from tmsprep.options import BeamF3Variant, CircumferencePlane
from tmsprep.records import FIDUCIAL_NAMES, BeamF3Result, Fiducial, Point, Status, save_fiducials
from tmsprep.scalp.beamf3 import TapeLengths, implausible
from tmsprep.scalp.fiducials import CAUTION_SNAP_MM, combine, find_fiducials, read_fiducials, read_manual_fiducials
from tmsprep.scalp.headmask import Head, find_head
from tmsprep.scalp.measure import (
    ADJUSTMENT_MM,
    BeamF3Location,
    Landmarks,
    Measurements,
    f3_on_scalp,
    locate_beamf4,
    locate_on_scalp,
    measure,
)
from tmsprep.scalp.picture import draw_scalp
from tmsprep.scalp.reconstruct import scalp_surface
from tmsprep.scalp.spread import Spread, beamf3_spread
from tmsprep.scalp.tape import compare, doubts_of, read_tape
from tmsprep.scalp.tenten import ten_ten
from tmsprep.scalp.wholehead import FaceEvidence, require_face, require_skull
from tmsprep.spaces import Array, Transform
from tmsprep.stages import InFile, OutFile, SidecarFields
from tmsprep.surfaces import Surface

MAX_BEAMF3_TO_F3_MM = 8.0
"""Beam F3 approximates the 10-20 F3; farther apart than this, a landmark is likely wrong."""
MAX_SPREAD_MM = 10.0
"""95 % of the places that moved fiducials give lie within this distance, or the status is ``caution``."""
_SCANNER_CODE = 1

_PATHS = {
    "nasion_inion": "tape in the plane of nasion, vertex and inion, over the convex hull of the scalp's section",
    "tragus_tragus": "tape in the plane of LPA, vertex and RPA, over the convex hull of the scalp's section",
    "circumference": "tape around the head in the plane through FPz and Oz (10 and 90 % of nasion-inion), square to the "
    "mid-sagittal plane, over the convex hull of the scalp's section",
    "vertex": "half of nasion-inion and half of tragus-tragus",
    "beamf3": "X along the circumference from FPz to the left; then Y on the shortest line over the scalp from the vertex "
    "to the X mark; X and Y by the web calculator's equations",
    "f3": "10-20 system by contours: a quarter of F7-Fz-F8 from F7 (Oostenveld and Praamstra 2001)",
}


_CIRCUMFERENCE = {
    CircumferencePlane.FPZ_OZ: _PATHS["circumference"],
    CircumferencePlane.EYEBROWS_INION: "tape around the head in the plane through the eyebrows (a third of the way from "
    "nasion to FPz) and the inion, square to the mid-sagittal plane, over the convex hull of the scalp's section",
}


def reconstruct_scalp(
    *,
    t1w: InFile,
    t1w_to_mni: InFile,
    fiducials_file: InFile | None = None,
    out_head_mask: OutFile,
    out_scalp: OutFile,
    out_fiducials: OutFile,
) -> SidecarFields:
    """Make the scalp surface of a head and find its fiducials.

    Parameters
    ----------
    t1w
        Whole head, bias field corrected.
    t1w_to_mni
        from-T1w_to-MNI152NLin2009cAsym; only its affine part is used.
    fiducials_file
        TSV with columns name, x, y, z (scanner RAS mm): NAS, INI, LPA, RPA, or some of them, in place of automatic ones.
        With a column participant_id, only the rows of the participant that the T1w's name begins with count.
    out_head_mask
        Filled head mask, 2 mm voxels along the T1w's axes.
    out_scalp
        Scalp surface, scanner RAS mm.
    out_fiducials
        TSV of the four fiducials, scanner RAS mm.
    """
    image = _require_volume(t1w)
    data, affine = read_data(image), np.asarray(image.affine, dtype=np.float64)
    mni_to_t1w = Transform.load(t1w_to_mni).affine_part()
    head, evidence = _whole_head(t1w, data, affine, mni_to_t1w)
    surface = scalp_surface(head)
    manual = () if fiducials_file is None else read_manual_fiducials(fiducials_file, surface, _participant(t1w))
    fiducials = combine(find_fiducials(data, affine, surface, mni_to_t1w), manual)
    save_nifti(out_head_mask, head.mask, head.grid.affine_ras_mm, xform_code=_SCANNER_CODE)
    surface.save(out_scalp)
    save_fiducials(out_fiducials, fiducials)
    return {
        "out_head_mask": {"SpatialReference": t1w, "Type": "ROI", "HeadVolumeLitres": round(head.volume_litres, 3)}
        | {f"Face{key.capitalize()}Fraction": round(value, 4) for key, value in asdict(evidence).items()},
        "out_scalp": {"SpatialReference": t1w, "CoordinateSystem": "ScanRAS", "CoordinateUnits": "mm"},
        "out_fiducials": _fiducial_fields(),
    }


def _participant(t1w: Path) -> str | None:
    """Return the ``sub-LABEL`` that a file's name begins with, or None."""
    found = re.match(r"sub-[0-9A-Za-z+]+(?=_)", t1w.name)
    return found.group() if found else None


def _require_volume(t1w: Path) -> nib.Nifti1Image:
    image = load_nifti(t1w)
    if len(image.shape) != 3:
        raise InputError(f"the T1w image has {len(image.shape)} dimensions", where=t1w, expected="3")
    return image


def _whole_head(
    t1w: Path, data: NDArray[np.float32], affine_ras_mm: Array, mni_to_t1w_ras_mm: Array
) -> tuple[Head, FaceEvidence]:
    """Return the head and what speaks for its face; refuse, naming the file, what is no whole head."""
    head = find_head(data, affine_ras_mm)
    try:
        require_skull(head)
        return head, require_face(data, affine_ras_mm, mni_to_t1w_ras_mm)
    except InputError as error:
        raise InputError(error.what, where=t1w, expected=error.expected, action=error.action) from error


@dataclass(frozen=True)
class _MeasuredHead:
    """What was measured on a scalp, and the places that follow from it."""

    measured: Measurements
    web: BeamF3Location
    adjusted: BeamF3Location
    f3_ras_mm: Array
    """F3 of the 10-20 system, shape (3,), scanner RAS mm."""

    def beamf3(self, variant: BeamF3Variant) -> BeamF3Location:
        """Return Beam F3 by one of its variants."""
        return {BeamF3Variant.WEB: self.web, BeamF3Variant.ADJUSTED: self.adjusted}[variant]


def _measure_all(surface: Surface, fiducials: dict[str, Fiducial], plane: CircumferencePlane) -> _MeasuredHead:
    positions = {name: np.asarray(fiducials[name].position_ras_mm) for name in FIDUCIAL_NAMES}
    measured = measure(surface, Landmarks.on(surface, positions), plane)
    adjusted = locate_on_scalp(surface, measured, beyond_mm=ADJUSTMENT_MM)
    return _MeasuredHead(measured, locate_on_scalp(surface, measured), adjusted, f3_on_scalp(surface, measured))


def _fiducial_fields() -> dict[str, object]:
    return {
        "name": {
            "Description": "Landmark",
            "Levels": {
                "NAS": "nasion: deepest point of the mid-sagittal profile at the root of the nose",
                "INI": "inion: where the bone at the back of the head leaves the skin",
                "LPA": "left preauricular point",
                "RPA": "right preauricular point",
            },
        },
        **{axis: {"Description": f"{axis} in scanner RAS of the T1w", "Units": "mm"} for axis in "xyz"},
        "source": {"Description": "automatic, or manual where the user gave it"},
        "snapped_mm": {"Description": "How far the template's point moved to the scalp", "Units": "mm"},
        "status": {
            "Description": "caution where the landmark's shape was not found, it lies at the edge of the image, or moved by "
            "more than " + ", ".join(f"{name} {limit:.0f}" for name, limit in CAUTION_SNAP_MM.items()) + " mm"
        },
    }


def locate_beamf3(
    *,
    scalp: InFile,
    fiducials: InFile,
    out_result: OutFile,
    out_electrodes: OutFile | None = None,
    out_picture: OutFile | None = None,
    tape: InFile | None = None,
    participant: str = "",
    variant: BeamF3Variant = BeamF3Variant.WEB,
    circumference_plane: CircumferencePlane = CircumferencePlane.FPZ_OZ,
    seed: int = 42,
) -> SidecarFields:
    """Measure the head along its scalp and locate Beam F3 and the positions of the 10-10 system.

    Parameters
    ----------
    scalp
        Scalp surface (.surf.gii), scanner RAS mm.
    fiducials
        TSV with NAS, INI, LPA, RPA in scanner RAS mm.
    out_result
        JSON: lengths, X, Y, positions, status and reasons.
    out_electrodes
        TSV: the 10-10 positions, scanner RAS mm.
    out_picture
        PNG of the scalp with all of it; shows the participant's face.
    tape
        ``participants.tsv`` or ``phenotype/beamf3.tsv`` that may hold tape measurements.
    participant
        Whose row of it, with ``sub-``.
    variant
        ``web``, or ``adjusted``: 3.5 mm farther from the vertex.
    circumference_plane
        Where the tape for the circumference lies.
    seed
        Governs the draws of the spread.
    """
    surface = Surface.load(scalp)
    if not surface.is_closed():
        raise InputError("the surface has holes or edges", where=scalp, expected="the closed scalp of the scalp stage")
    chosen = read_fiducials(fiducials, surface)
    plane = CircumferencePlane(circumference_plane)
    head = _measure_all(surface, chosen, plane)
    variant = BeamF3Variant(variant)
    status, reasons = _judge(head.measured, head.web, head.f3_ras_mm, chosen)
    difference, doubts = _against_tape(tape, participant, head.web)
    spread, unsure = _spread(surface, head.measured, plane, seed)
    doubts += unsure
    if doubts and status is Status.OK:
        status = Status.CAUTION
    _result(surface, head, variant, plane, spread, difference, status, (*reasons, *doubts)).save(out_result)
    if out_electrodes is not None:
        places = {name: _point(place) for name, place in ten_ten(surface, head.measured).items()}
        write_tsv(
            out_electrodes,
            pd.DataFrame([(name, *place) for name, place in places.items()], columns=pd.Index(["name", *"xyz"])),
        )
    if out_picture is not None:
        beamf3 = head.beamf3(variant)
        notes = _notes(head.measured.lengths, beamf3, chosen)
        draw_scalp(out_picture, surface, measured=head.measured, beamf3=beamf3, f3_ras_mm=head.f3_ras_mm, notes=notes)
    return {"out_electrodes": _electrode_fields()}


def _result(
    surface: Surface,
    head: _MeasuredHead,
    variant: BeamF3Variant,
    plane: CircumferencePlane,
    spread: Spread | None,
    tape: dict[str, float],
    status: Status,
    reasons: tuple[str, ...],
) -> BeamF3Result:
    """Round what was found, and say how it was measured."""
    lengths, chosen = head.measured.lengths, head.beamf3(variant)
    return BeamF3Result(
        nasion_inion_mm=round(lengths.nasion_inion_mm, 3),
        tragus_tragus_mm=round(lengths.tragus_tragus_mm, 3),
        circumference_mm=round(lengths.circumference_mm, 3),
        x_mm=round(chosen.distances.x_mm, 3),
        y_mm=round(chosen.distances.y_mm, 3),
        beamf3_ras_mm=_point(chosen.position_ras_mm),
        f3_ras_mm=_point(head.f3_ras_mm),
        vertex_ras_mm=_point(head.measured.vertex_ras_mm),
        status=status,
        reasons=reasons,
        paths=_PATHS | {"circumference": _CIRCUMFERENCE[plane]},
        variant=variant.value,
        web_ras_mm=_point(head.web.position_ras_mm),
        adjusted_ras_mm=_point(head.adjusted.position_ras_mm),
        beamf4_ras_mm=_point(locate_beamf4(surface, head.measured.landmarks, plane)),
        spread_median_mm=None if spread is None else round(spread.median_mm, 2),
        spread_95_mm=None if spread is None else round(spread.p95_mm, 2),
        tape=tape,
    )


def _notes(lengths: TapeLengths, beamf3: BeamF3Location, fiducials: Mapping[str, Fiducial]) -> list[str]:
    """Return what stands below the picture."""
    return [
        f"nasion to inion {lengths.nasion_inion_mm:.0f} mm",
        f"ear to ear {lengths.tragus_tragus_mm:.0f} mm",
        f"circumference {lengths.circumference_mm:.0f} mm",
        f"Beam F3: X {beamf3.distances.x_mm:.0f} mm, Y {beamf3.distances.y_mm:.0f} mm",
        *(f"CHECK {name}" for name in FIDUCIAL_NAMES if fiducials[name].status is not Status.OK),
    ]


def _electrode_fields() -> dict[str, object]:
    axes = {axis: {"Description": f"{axis} in scanner RAS of the T1w", "Units": "mm"} for axis in "xyz"}
    return {"name": {"Description": "Position of the 10-10 system, by contours on this scalp"}, **axes}


def _against_tape(tape: Path | None, participant: str, web: BeamF3Location) -> tuple[dict[str, float], list[str]]:
    """Return how tape measurements compare, and doubts; a bad entry is a doubt: the MRI's result stands."""
    if tape is None:
        return {}, []
    try:
        lengths = read_tape(tape, participant)
    except InputError as error:
        return {}, [f"tape measurements not used: {error.what} ({error.where})"]
    if lengths is None:
        return {}, []
    difference = compare(lengths, web.distances)
    return difference, doubts_of(difference)


def _spread(
    surface: Surface, measured: Measurements, plane: CircumferencePlane, seed: int
) -> tuple[Spread | None, list[str]]:
    try:
        spread = beamf3_spread(surface, measured.landmarks, seed=seed, plane=plane)
    except ProcessingError as error:
        return None, [f"how far fiducials move Beam F3 is unknown: {error.what}"]
    if spread.p95_mm <= MAX_SPREAD_MM:
        return spread, []
    return spread, [f"small errors of the fiducials move Beam F3 by up to {spread.p95_mm:.1f} mm (limit {MAX_SPREAD_MM:g})"]


def _judge(
    measured: Measurements, beamf3: BeamF3Location, f3_ras_mm: Array, fiducials: dict[str, Fiducial]
) -> tuple[Status, tuple[str, ...]]:
    """Return the status and why: abstain on implausible lengths, caution on a doubtful landmark or positions far apart."""
    impossible = implausible(measured.lengths)
    doubts = [
        f"{name} is uncertain: its shape was not found, it lies at the edge of the image, or it is far "
        f"({fiducials[name].snapped_mm:.0f} mm) from where the template has it"
        for name in FIDUCIAL_NAMES
        if fiducials[name].status is not Status.OK
    ]
    apart = float(np.linalg.norm(beamf3.position_ras_mm - f3_ras_mm))
    if apart > MAX_BEAMF3_TO_F3_MM:
        doubts.append(
            f"Beam F3 is {apart:.1f} mm from the 10-20 F3 (expected at most {MAX_BEAMF3_TO_F3_MM:.0f} mm): "
            "check the fiducials"
        )
    if impossible:
        return Status.ABSTAIN, (*impossible, *doubts)
    return (Status.CAUTION if doubts else Status.OK), tuple(doubts)


def _point(values: Array) -> Point:
    x, y, z = (round(float(value), 3) for value in values)
    return (x, y, z)
