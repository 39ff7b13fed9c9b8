"""The allocated site without what would tell how it was found.

The two arms' sites differ in more than their place: one lies on a voxel, the other on a path over the scalp; depths, scores
and digits differ. A package carries the coil's pose alone, made in the same way for every site: the place on the scalp in
whole millimetres, the directions with two decimals, and an aim point at the same depth below the coil for everyone.
"""

from __future__ import annotations

import numpy as np

from tmsprep.errors import InputError
from tmsprep.navigate.formats.site import CoilSite
from tmsprep.spaces import Array

NAME = "Target"
AIM_DEPTH_MM = 20.0
"""From the scalp, along the coil's axis, to the aim point: the same for everyone, and no measured depth."""
PLACE_STEP_MM = 1.0
DIRECTION_DECIMALS = 2
LARGEST_SHIFT_MM = float(np.sqrt(3) / 2)
"""What rounding moves the place on the scalp at most."""


def neutral_site(site: CoilSite) -> CoilSite:
    """Return the site under a neutral name, its numbers made the same way for all.

    Parameters
    ----------
    site
        As the navigate stage found it, scanner RAS mm.

    Raises
    ------
    InputError
        Its rotation is none.
    """
    entry = np.round(site.entry_ras_mm / PLACE_STEP_MM) * PLACE_STEP_MM + 0.0
    coil = np.eye(4)
    coil[:3, :3] = _rounded_rotation(site.coil_ras_mm[:3, :3])
    coil[:3, 3] = entry
    aim = entry + AIM_DEPTH_MM * coil[:3, 2]
    return CoilSite(NAME, np.round(aim, DIRECTION_DECIMALS) + 0.0, entry, coil)


def _rounded_rotation(rotation: Array) -> Array:
    """Round z (into the head) and y, and make them orthonormal again."""
    z = np.round(rotation[:, 2], DIRECTION_DECIMALS)
    y = np.round(rotation[:, 1], DIRECTION_DECIMALS)
    if np.linalg.norm(z) < 0.5 or np.linalg.norm(np.cross(y, z)) < 0.5:
        raise InputError("the coil's directions are no rotation", action="derive the markers again")
    z = z / np.linalg.norm(z)
    y = y - z * (y @ z)
    y = y / np.linalg.norm(y)
    return np.stack([np.cross(y, z), y, z], axis=1).astype(np.float64)
