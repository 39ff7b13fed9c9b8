"""Formats for what has none of its own: a pose file with the image's identity, 3D Slicer, a table, and an image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tmsprep.errors import InputError
from tmsprep.navigate.formats.image import NavigatorImage
from tmsprep.navigate.formats.site import CREATOR, CoilSite
from tmsprep.spaces import Array, apply_affine, lps_from_ras

BALL_MM = 3.0
"""Radius of the burned-in target."""
_SLICER_SCHEMA = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.3.json#"
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


def pose_json(sites: Sequence[CoilSite], image: NavigatorImage) -> str:
    """Return poses in RAS with the image's header fields, after visor2's ``.mrk``: a reader can check its image."""
    content = {
        "AssociatedImageInfo": {
            **image.as_fields(),
            "quatern_bcd": [float(image.header[f"quatern_{axis}"]) for axis in "bcd"],
            "qoffset_xyz": [float(image.header[f"qoffset_{axis}"]) for axis in "xyz"],
            "pixdim": [float(value) for value in image.header["pixdim"][:4]],
        },
        "CoordinateSystem": "RAS, mm: scanner coordinates of the image as its header says",
        "Axes": "columns of the matrix: x, y, z, origin; origin on the scalp, z into the head, handle along -y (SimNIBS)",
        "CreatedBy": CREATOR,
        "Markers": [
            {
                "Name": site.name,
                "Matrix": np.round(site.coil_ras_mm, 8).tolist(),
                "Target": np.round(site.target_ras_mm, 4).tolist(),
            }
            for site in sites
        ],
    }
    return _json(content)


def slicer_markups(sites: Sequence[CoilSite], image: NavigatorImage) -> str:
    """Return a 3D Slicer markups file: for each site its target and its entry, LPS mm."""
    points: list[dict[str, Any]] = []
    for site in sites:
        axes = (_RAS_TO_LPS @ site.coil_ras_mm[:3, :3]).ravel()
        for kind, place in (("target", site.target_ras_mm), ("entry", site.entry_ras_mm)):
            points.append(
                {
                    "id": str(len(points) + 1),
                    "label": f"{site.name} {kind}",
                    "description": f"{image.in_words()}; {CREATOR}",
                    "position": [round(float(value), 4) for value in lps_from_ras(place)],
                    "orientation": [round(float(value), 8) for value in axes],
                    "selected": True,
                    "locked": True,
                    "visibility": True,
                    "positionStatus": "defined",
                }
            )
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": True,
        "controlPoints": points,
    }
    return _json({"@schema": _SLICER_SCHEMA, "markups": [markup]})


def coordinate_table(sites: Sequence[CoilSite]) -> pd.DataFrame:
    """Return a table with every place in RAS and in LPS, mm."""
    rows: list[dict[str, Any]] = []
    for site in sites:
        for kind, place in (("target", site.target_ras_mm), ("entry", site.entry_ras_mm)):
            row: dict[str, Any] = {"name": site.name, "kind": kind}
            for frame, values in (("ras", place), ("lps", lps_from_ras(place))):
                row |= {f"{axis}_{frame}_mm": round(float(value), 4) for axis, value in zip("xyz", values, strict=True)}
            rows.append(row)
    return pd.DataFrame(rows)


def save_burned_in(path: Path, sites: Sequence[CoilSite], image: NavigatorImage) -> None:
    """Write a label image on the T1w's own grid: a ball of 3 mm about each target, labels from 1 in order.

    Raises
    ------
    InputError
        A target lies outside the image.
    """
    labels = np.zeros(image.grid.shape, dtype=np.uint8)
    for label, site in enumerate(sites, 1):
        if not bool(image.grid.contains(site.target_ras_mm)):
            raise InputError(f"the target {site.name} lies outside the T1w image", action="use files of one participant")
        labels[_ball(image, site.target_ras_mm)] = label
    # not save_nifti: a navigator must find the T1w's own codes and forms, whichever of them it reads
    nib.save(nib.Nifti1Image(labels, None, image.header), path)


def _ball(image: NavigatorImage, centre_ras_mm: Array) -> tuple[NDArray[np.int64], ...]:
    """Return the indices of the voxels within the ball; the voxel of its centre at least."""
    inverse = np.linalg.inv(image.grid.affine_ras_mm)
    middle = apply_affine(inverse, centre_ras_mm)
    reach = np.ceil(BALL_MM * np.linalg.norm(inverse[:3, :3], axis=1)).astype(int) + 1
    low = np.maximum(np.round(middle).astype(int) - reach, 0)
    high = np.minimum(np.round(middle).astype(int) + reach + 1, image.grid.shape)
    near = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1).reshape(-1, 3)
    distance = np.linalg.norm(apply_affine(image.grid.affine_ras_mm, near) - centre_ras_mm, axis=1)
    return tuple(near[(distance <= BALL_MM) | (distance == distance.min())].T)


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
