"""Grey matter, white matter and cerebrospinal fluid of a brain: probabilities from its own brightness and neighbourhoods.

Atropos (Avants et al. 2011, doi:10.1007/s12021-011-9109-y): a three-class mixture with a Markov random field, no atlas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmsprep.errors import ProcessingError
from tmsprep.spaces import from_ants, to_ants

Array = NDArray[np.float64]
Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

FIELD_WEIGHT = 0.1
ITERATIONS = 5
SHARE_RANGE = (0.05, 0.75)
"""Each tissue's plausible share of the brain mask."""
GM, WM, CSF = 1, 2, 3
"""Labels of ``dseg``, as fMRIPrep's."""


@dataclass(frozen=True)
class Tissues:
    """Probabilities (x, y, z); their sum is 1 inside the brain mask and 0 outside."""

    gm: Volume
    wm: Volume
    csf: Volume

    def labels(self) -> NDArray[np.uint8]:
        """Return the likeliest tissue of each voxel; 0 outside the brain."""
        stack = np.stack([self.gm, self.wm, self.csf])
        return np.where(stack.sum(axis=0) > 0, stack.argmax(axis=0) + 1, 0).astype(np.uint8)


def segment(data: Volume, affine_ras_mm: Array, mask: Mask) -> Tissues:
    """Segment a bias-corrected T1w.

    Parameters
    ----------
    data
        (x, y, z).
    affine_ras_mm
        Right-angled voxels.
    mask
        The brain.

    Raises
    ------
    ProcessingError
        A tissue is nearly absent: the contrast is not that of a T1w.
    """
    import ants

    bright = float(np.percentile(data[mask], 99.5))
    result: dict[str, Any] = ants.atropos(
        a=to_ants(np.clip(data, 0, bright), affine_ras_mm),
        x=to_ants(mask, affine_ras_mm),
        i="kmeans[3]",
        m=f"[{FIELD_WEIGHT},1x1x1]",
        c=f"[{ITERATIONS},0]",
    )
    raw = np.stack([from_ants(image)[0] for image in result["probabilityimages"]])
    order = np.argsort([float((data * share).sum() / max(share.sum(), 1e-6)) for share in raw])
    csf, gm, wm = _normalised(raw[order], mask)
    _require_three_tissues({"CSF": csf, "GM": gm, "WM": wm}, mask)
    return Tissues(gm, wm, csf)


def _normalised(stack: Volume, mask: Mask) -> Volume:
    total = stack.sum(axis=0)
    even = np.full_like(stack, 1 / 3)
    shares = np.divide(stack, total, out=even, where=total > 0)
    return np.where(mask, shares, 0).astype(np.float32)


def _require_three_tissues(shares: dict[str, Volume], mask: Mask) -> None:
    for name, share in shares.items():
        part = float(share[mask].mean())
        if not SHARE_RANGE[0] < part < SHARE_RANGE[1]:
            raise ProcessingError(
                f"{name} makes up {part:.0%} of the brain",
                expected=f"{SHARE_RANGE[0]:.0%} to {SHARE_RANGE[1]:.0%}",
                action="look at the T1w: its contrast, and whether the brain mask is right",
            )
