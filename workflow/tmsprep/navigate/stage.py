"""The navigate stage: every candidate with its scalp entry and coil pose, for a neuronavigator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tmsprep import templates
from tmsprep.errors import ConfigurationError, InputError
from tmsprep.files import load_nifti, read_data, read_tsv, write_json, write_tsv
from tmsprep.navigate.coordsystem import BEP037_DRAFT, coordsystem
from tmsprep.navigate.cortex import MAX_DEPTH_MM, cortex_below, cortex_normal
from tmsprep.navigate.frames import mni_of, require_left
from tmsprep.navigate.markers import Marker, Placement, Site, column_descriptions, markers_table
from tmsprep.navigate.pose import HeadAxes, coil_pose
from tmsprep.navigate.ways import Surroundings, columns, descriptions
from tmsprep.options import Entry
from tmsprep.records import (
    FIDUCIAL_NAMES,
    BeamF3Result,
    Candidate,
    Fiducial,
    Point,
    Status,
    TargetResult,
    load_fiducials,
)
from tmsprep.spaces import Array, Transform, apply_affine
from tmsprep.stages import InFile, OutFile, SidecarFields
from tmsprep.surfaces import Surface

F3_SCALP_MNI_MM = (-49.1, 52.45, 39.28)
"""F3 on the MNI scalp (Jurcak et al. 2007, doi:10.1016/j.neuroimage.2006.09.024), for a plausibility check."""
GROUP_NLIN6_MM = (-42.0, 44.0, 30.0)
"""Where the connectivity with sgACC is most negative in group averages (Cash et al. 2021,
doi:10.1016/j.biopsych.2020.05.033), MNI152NLin6Asym."""
_GROUP_REASON = "a group coordinate carried over from the template: it knows nothing of this person's connectivity"
_NO_DIRECTION = "the brain's surface has no direction at the target: look at the brain mask, or use --entry nearest"
MAX_FROM_TEMPLATE_F3_MM = 15.0
MAX_ENTRY_DISTANCE_MM = 60.0


@dataclass(frozen=True, eq=False)
class HeadModel:
    """What placing a coil needs of a head."""

    scalp: Surface
    axes: HeadAxes
    grey_matter: NDArray[np.float32]
    grey_matter_affine_ras_mm: Array
    t1w_to_mni: Transform
    handle_angle_deg: float
    brain: tuple[NDArray[np.float32], Array] | None
    """Brain mask and affine (RAS mm), where the entry follows the cortex; None where it is the nearest place."""

    def entry_over(self, target_ras_mm: ArrayLike) -> Array | None:
        """Return the place (3,) on the scalp for a target (3,); None where the brain's surface points nowhere."""
        if self.brain is None:
            return self.scalp.nearest(target_ras_mm)
        normal = cortex_normal(*self.brain, target_ras_mm)
        return None if normal is None else self.scalp.hit(target_ras_mm, normal)


def write_markers(
    *,
    t1w: InFile,
    scalp: InFile,
    fiducials: InFile,
    beamf3: InFile,
    target: InFile,
    gm: InFile,
    t1w_to_mni: InFile,
    intended_for: str,
    out_markers: OutFile,
    out_coordsystem: OutFile,
    electrodes: InFile | None = None,
    brain_mask: InFile | None = None,
    entry: Entry = Entry.NEAREST,
    handle_angle_deg: float = 45.0,
) -> SidecarFields:
    """Write every candidate's target, scalp entry, coil pose and depth.

    Parameters
    ----------
    t1w
        The image that the neuronavigator will load.
    scalp
        Scalp surface (.surf.gii), scanner RAS mm.
    fiducials
        TSV with NAS, INI, LPA, RPA, scanner RAS mm.
    beamf3
        Result of the beamf3 stage.
    target
        Result of the target stage.
    gm
        Grey matter probability, in the T1w's space.
    t1w_to_mni
        from-T1w_to-MNI152NLin2009cAsym.
    intended_for
        BIDS URI of the T1w.
    out_markers
        TSV, one row a candidate.
    out_coordsystem
        JSON: frame, landmarks, head measurements, identity of the T1w.
    electrodes
        TSV with 10-10 positions on this scalp (name, x, y, z; scanner RAS mm): with it every place has a name.
    brain_mask
        Of the T1w; needed where the entry follows the cortex.
    entry
        ``nearest``: the point of the scalp nearest to the target. ``cortex``: where the normal of the brain surface there
        leaves the head.
    handle_angle_deg
        Between the coil's handle and the mid-sagittal direction, to the back and left.
    """
    if not math.isfinite(handle_angle_deg):
        raise ConfigurationError(
            f"the angle is {handle_angle_deg}", where="--handle-angle-deg", expected="degrees, usually 45"
        )
    points, scalp_result, circuit = _read_fiducials(fiducials), BeamF3Result.load(beamf3), TargetResult.load(target)
    brain = _read_brain(brain_mask) if Entry(entry) is Entry.CORTEX else None
    head = _read_head(scalp, points, gm, t1w_to_mni, handle_angle_deg, brain)
    markers = [*_circuit_markers(head, circuit), _group_marker(head), *_scalp_markers(head, scalp_result)]
    around = _surroundings(head, points, scalp_result, electrodes, markers)
    ways = [around.ways_to(marker.placement) if marker.placement else None for marker in markers]
    table = pd.concat([markers_table(markers), pd.DataFrame([columns(way) for way in ways])], axis=1)
    write_tsv(out_markers, table)
    write_json(out_coordsystem, coordsystem(t1w, intended_for, points, scalp_result))
    return {
        "out_markers": {"NIBSBIDSDraft": BEP037_DRAFT, "IntendedFor": intended_for}
        | column_descriptions(handle_angle_deg)
        | {"EntryRule": Entry(entry).value}
        | descriptions()
    }


def _surroundings(
    head: HeadModel, points: Mapping[str, Fiducial], result: BeamF3Result, electrodes: Path | None, markers: list[Marker]
) -> Surroundings:
    landmarks = {name: np.asarray(points[name].position_ras_mm) for name in FIDUCIAL_NAMES}
    landmarks["vertex"] = np.asarray(result.vertex_ras_mm)
    beamf3 = next(marker.placement for marker in markers if marker.site.target_id == "beamF3")
    return Surroundings(head.scalp, head.axes, landmarks, _read_electrodes(electrodes), beamf3)


def _read_electrodes(path: Path | None) -> dict[str, Array]:
    if path is None:
        return {}
    table = read_tsv(path, required=("name", "x", "y", "z"))
    places = table[["x", "y", "z"]].to_numpy(dtype=np.float64)
    return {str(name): place for name, place in zip(table["name"], places, strict=True) if np.isfinite(place).all()}


def _read_fiducials(path: Path) -> dict[str, Fiducial]:
    points = load_fiducials(path)
    if missing := [name for name in FIDUCIAL_NAMES if name not in points]:
        raise InputError(f"no {', '.join(missing)}", where=path, expected=", ".join(FIDUCIAL_NAMES))
    return points


def _read_head(
    scalp: Path,
    points: Mapping[str, Fiducial],
    gm: Path,
    t1w_to_mni: Path,
    handle_angle_deg: float,
    brain: tuple[NDArray[np.float32], Array] | None,
) -> HeadModel:
    image = load_nifti(gm)
    nas, ini, lpa, rpa = (points[name].position_ras_mm for name in FIDUCIAL_NAMES)
    return HeadModel(
        scalp=Surface.load(scalp),
        axes=HeadAxes.of(nas, ini, lpa, rpa),
        grey_matter=read_data(image),
        grey_matter_affine_ras_mm=np.asarray(image.affine, dtype=np.float64),
        t1w_to_mni=Transform.load(t1w_to_mni),
        handle_angle_deg=handle_angle_deg,
        brain=brain,
    )


def _read_brain(path: Path | None) -> tuple[NDArray[np.float32], Array]:
    if path is None:
        raise ConfigurationError("--entry cortex needs the brain mask", where="--brain-mask")
    image = load_nifti(path)
    return read_data(image), np.asarray(image.affine, dtype=np.float64)


def _circuit_markers(head: HeadModel, result: TargetResult) -> list[Marker]:
    """Return one marker a candidate, best first; one empty row where there is no candidate at all."""
    if not result.candidates:
        reasons = result.reasons or ("the target stage found no candidate",)
        return [Marker(_circuit_site(result, 0, None, Status.ABSTAIN, reasons), None)]
    return [_circuit_marker(head, result, rank, found) for rank, found in enumerate(result.candidates)]


def _circuit_marker(head: HeadModel, result: TargetResult, rank: int, found: Candidate) -> Marker:
    site = _circuit_site(result, rank, found.score, result.status, result.reasons)
    require_left(site.target_id, found.target_ras_mm, found.target_mni_mm, head.t1w_to_mni)
    if result.status is Status.ABSTAIN:
        return Marker(site, None)
    entry = head.entry_over(found.target_ras_mm)
    if entry is None:
        return Marker(_circuit_site(result, rank, found.score, Status.ABSTAIN, (*result.reasons, _NO_DIRECTION)), None)
    if (distance := float(np.linalg.norm(entry - found.target_ras_mm))) > MAX_ENTRY_DISTANCE_MM:
        raise InputError(
            f"it is {distance:.0f} mm from the scalp",
            where=f"target {site.target_id}",
            expected=f"at most {MAX_ENTRY_DISTANCE_MM:.0f} mm",
            action="use the scalp and target of one participant and session",
        )
    placement = _placement(head, entry, np.asarray(found.target_ras_mm), np.asarray(found.target_mni_mm))
    return Marker(site, placement)


def _circuit_site(result: TargetResult, rank: int, score: float | None, status: Status, reasons: tuple[str, ...]) -> Site:
    name = "circuit" if rank == 0 else f"circuit-{rank + 1}"
    text = f"{result.method} with circuit {result.circuit} in search mask {result.search_mask}"
    return Site(name, name, text, status, reasons, score)


def _group_marker(head: HeadModel) -> Marker:
    """Return the published group coordinate in this head: what remains beside Beam F3 where the circuit gives no target."""
    x, y, z = (f"{value:g}" for value in GROUP_NLIN6_MM)
    text = f"group coordinate MNI152NLin6Asym {x}, {y}, {z} (Cash et al. 2021), by the template transform"
    in_nlin6 = np.array([GROUP_NLIN6_MM])
    mni = templates.transform(templates.NLIN2009C, templates.NLIN6).pull_points(in_nlin6)[0]
    target = head.t1w_to_mni.pull_points(mni)[0]
    require_left("group", target, mni, head.t1w_to_mni)
    entry = head.entry_over(target)
    if entry is None or np.linalg.norm(entry - target) > MAX_ENTRY_DISTANCE_MM:
        reason = _NO_DIRECTION if entry is None else f"it is more than {MAX_ENTRY_DISTANCE_MM:.0f} mm from the scalp"
        return Marker(Site("group", "group", text, Status.ABSTAIN, (_GROUP_REASON, reason)), None)
    site = Site("group", "group", text, Status.CAUTION, (_GROUP_REASON,))
    return Marker(site, _placement(head, entry, target, mni))


def _scalp_markers(head: HeadModel, result: BeamF3Result) -> list[Marker]:
    beamf3 = f"Beam F3 ({result.variant}): X {result.x_mm:.1f} mm, Y {result.y_mm:.1f} mm"
    return [
        _scalp_marker(head, result, "beamF3", beamf3, result.beamf3_ras_mm),
        _scalp_marker(head, result, "F3", "10-20 position F3 by contours", result.f3_ras_mm),
    ]


def _scalp_marker(head: HeadModel, result: BeamF3Result, name: str, text: str, entry_ras_mm: Point) -> Marker:
    """Place a scalp position: its target is the first grey matter along the inward normal."""
    if result.status is Status.ABSTAIN:
        return Marker(Site(name, name, text, Status.ABSTAIN, result.reasons), None)
    pose = coil_pose(head.scalp, entry_ras_mm, head.axes, head.handle_angle_deg)
    below = cortex_below(head.grey_matter, head.grey_matter_affine_ras_mm, pose.entry_ras_mm, pose.normal)
    if below is None:
        reason = f"no grey matter within {MAX_DEPTH_MM:.0f} mm below the scalp"
        return Marker(Site(name, name, text, Status.ABSTAIN, (*result.reasons, reason)), None)
    mni = mni_of(below, head.t1w_to_mni)
    require_left(name, below, mni, head.t1w_to_mni)
    status, reasons = _against_template(head, name, pose.entry_ras_mm, result.status, result.reasons)
    return Marker(Site(name, name, text, status, reasons), _placement(head, pose.entry_ras_mm, below, mni))


def _against_template(
    head: HeadModel, name: str, entry_ras_mm: Array, status: Status, reasons: tuple[str, ...]
) -> tuple[Status, tuple[str, ...]]:
    """Add a caution where a scalp position is far from where the template has F3."""
    expected = apply_affine(head.t1w_to_mni.affine_part(), F3_SCALP_MNI_MM)
    apart = float(np.linalg.norm(head.scalp.nearest(expected) - entry_ras_mm))
    if apart <= MAX_FROM_TEMPLATE_F3_MM:
        return status, reasons
    reason = f"{name} is {apart:.0f} mm from the template's F3 (expected at most {MAX_FROM_TEMPLATE_F3_MM:.0f} mm)"
    return Status.CAUTION, (*reasons, reason)


def _placement(head: HeadModel, entry_ras_mm: Array, target_ras_mm: Array, target_mni_mm: Array) -> Placement:
    pose = coil_pose(head.scalp, entry_ras_mm, head.axes, head.handle_angle_deg)
    below = cortex_below(head.grey_matter, head.grey_matter_affine_ras_mm, pose.entry_ras_mm, pose.normal)
    depth = None if below is None else float(np.linalg.norm(below - pose.entry_ras_mm))
    return Placement(target_ras_mm, target_mni_mm, pose, depth)
