"""A trial that is made up: 40 participants at three sites, each with a circuit target and a Beam F3 site in their own form.

The two kinds of site differ in what real ones differ in: the circuit's entry lies on a vertex of a lattice (two of three
coordinates share a fraction), Beam F3's anywhere; depths, scores and digits are each kind's own.
"""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from tests.provenance.made_up import add_record, make_dataset
from tmsprep.files import sha256, write_tsv
from tmsprep.navigate.markers import Marker, Placement, Site, markers_table
from tmsprep.navigate.pose import CoilPose
from tmsprep.records import Status
from tmsprep.spaces import Array

CENTRE_RAS_MM = np.array([0.0, 20.0, 10.0])
RADIUS_MM = 85.0
CIRCUIT_MEAN = np.array([-0.55, 0.45, 0.7])
BEAMF3_MEAN = np.array([-0.6, 0.5, 0.62])
"""Directions from the middle of the head: close, as in people."""


def pose(direction: Array, lattice: bool) -> CoilPose:
    normal = direction / np.linalg.norm(direction)
    entry = CENTRE_RAS_MM + RADIUS_MM * normal
    if lattice:  # a vertex of marching cubes lies on an edge of the grid
        entry[:2] = np.round(entry[:2]) + 0.3141
    back = np.array([0.0, -1.0, 0.0])
    back -= normal * (back @ normal)
    back /= np.linalg.norm(back)
    left = np.cross(normal, back)
    left = left if left[0] < 0 else -left
    return CoilPose(entry, normal, (back + left) / np.sqrt(2))


def marker(name: str, status: Status, direction: Array, rng: np.random.Generator) -> Marker:
    circuit = name == "circuit"
    reasons = ("few minutes",) if status is not Status.OK else ()
    site = Site(name, name, f"{name} as it was found", status, reasons, float(rng.normal(0.4, 0.1)) if circuit else None)
    if status is Status.ABSTAIN:
        return Marker(site, None)
    placed = pose(direction, lattice=circuit)
    depth = 18.0 if circuit else float(rng.normal(15, 2))
    target = placed.entry_ras_mm - depth * placed.normal
    target = np.round(target) + 0.25 if circuit else target
    return Marker(site, Placement(target, target, placed, 14.0 if circuit else None))


def make_trial(folder: Path, participants: int, seed: int = 7, abstaining: tuple[int, ...] = ()) -> tuple[Path, Path]:
    """Return the output folder and the raw dataset."""
    rng = np.random.default_rng(seed)
    raw, output = folder / "raw", folder / "out"
    main = make_dataset(output / "tmsprep", {"raw": "../../raw"})
    for index in range(1, participants + 1):
        label = f"sub-{index:02d}"
        image = raw / label / "anat" / f"{label}_T1w.nii.gz"
        image.parent.mkdir(parents=True)
        affine = np.diag([2.0, 2.0, 2.0, 1.0])
        affine[:3, 3] = rng.normal(0, 3, 3) - 100
        nifti = nib.Nifti1Image(rng.integers(0, 9, (8, 8, 8)).astype(np.uint8), affine)
        nifti.set_qform(affine, 1)
        nifti.set_sform(affine, 1)
        nib.save(nifti, image)
        status = Status.ABSTAIN if index in abstaining else Status.CAUTION if index % 3 else Status.OK
        made = [
            marker("circuit", status, CIRCUIT_MEAN + rng.normal(0, 0.08, 3), rng),
            marker("beamF3", Status.OK, BEAMF3_MEAN + rng.normal(0, 0.08, 3), rng),
        ]
        stem = f"{label}/nibs/{label}_task-rest"
        (main / stem).parent.mkdir(parents=True)
        write_tsv(main / f"{stem}_markers.tsv", markers_table(made))
        content = {"IntendedFor": f"bids:raw:{label}/anat/{image.name}", "AssociatedImage": {"SHA256": sha256(image)}}
        (main / f"{stem}_coordsystem.json").write_text(json.dumps(content), encoding="utf-8")
        texts = {f"bids::{stem}{end}": (main / f"{stem}{end}").read_text() for end in ("_markers.tsv", "_coordsystem.json")}
        add_record(main, "navigate", index, {}, texts)
    return output, raw


def allocate(path: Path, participants: int, seed: int = 3) -> pd.Series:
    """Write an allocation, half to each arm, and return it by label."""
    arms = np.array(["circuit", "beamF3"] * (participants // 2))
    np.random.default_rng(seed).shuffle(arms)
    labels = [f"sub-{index:02d}" for index in range(1, participants + 1)]
    table = pd.DataFrame({"participant_id": labels, "target_id": arms})
    write_tsv(path, table)
    return table.set_index("participant_id")["target_id"]
