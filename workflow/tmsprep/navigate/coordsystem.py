"""The content of ``coordsystem.json`` after the NIBS-BIDS draft (BEP037, v6.3): names may still move, so they live here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep.files import load_nifti, sha256
from tmsprep.records import FIDUCIAL_NAMES, BeamF3Result, Fiducial

BEP037_DRAFT = "6.3"
_SYSTEM = "ScanRAS"
_IN_WORDS = (
    "Scanner RAS of the T1w image named in IntendedFor: mm, x to the participant's right, y to the front, z up, as that "
    "image's header (affine) says. Coordinates hold for that image only: compare its SHA-256 and affine."
)


def coordsystem(t1w: Path, intended_for: str, fiducials: Mapping[str, Fiducial], beamf3: BeamF3Result) -> dict[str, Any]:
    """Return the JSON content.

    Parameters
    ----------
    t1w
        The image that the neuronavigator must load.
    intended_for
        Its BIDS URI.
    fiducials
        By name.
    beamf3
        For the head measurements.
    """
    return {
        "NIBSBIDSDraft": BEP037_DRAFT,
        "IntendedFor": intended_for,
        "NIBSCoordinateSystem": _SYSTEM,
        "NIBSCoordinateUnits": "mm",
        "NIBSCoordinateSystemDescription": _IN_WORDS,
        "AnatomicalLandmarkCoordinates": {
            name: [round(value, 3) for value in fiducials[name].position_ras_mm] for name in FIDUCIAL_NAMES
        },
        "AnatomicalLandmarkCoordinateSystem": _SYSTEM,
        "AnatomicalLandmarkCoordinateUnits": "mm",
        "AnatomicalLandmarkCoordinateSystemDescription": _IN_WORDS,
        **_head_measurements(beamf3),
        "AssociatedImage": _image_identity(t1w),
    }


def _head_measurements(beamf3: BeamF3Result) -> dict[str, Any]:
    return {
        "HeadMeasurements": {
            "NasionInion": round(beamf3.nasion_inion_mm, 2),
            "TragusTragus": round(beamf3.tragus_tragus_mm, 2),
            "Circumference": round(beamf3.circumference_mm, 2),
        },
        "HeadMeasurementsUnits": "mm",
        "HeadMeasurementsDescription": {
            "NasionInion": beamf3.paths["nasion_inion"],
            "TragusTragus": beamf3.paths["tragus_tragus"],
            "Circumference": beamf3.paths["circumference"],
        },
    }


def _image_identity(t1w: Path) -> dict[str, Any]:
    """Say which image the coordinates belong to, so that a reader can check that it has the same one."""
    image = load_nifti(t1w)
    return {
        "SHA256": sha256(t1w),
        "Affine": np.round(np.asarray(image.affine, dtype=np.float64), 6).tolist(),
        "Shape": [int(size) for size in image.shape],
        "QformCode": int(image.header["qform_code"]),
        "SformCode": int(image.header["sform_code"]),
    }
