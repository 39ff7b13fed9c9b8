"""One participant's anatomy, as far as a target needs it: the ways to the templates, the grey matter, the scalp."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tmsprep.spaces import Transform
from tmsprep.surfaces import Surface
from tmsprep.target.place import CONTRACT_SPACE, Anatomy, TissueMap

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Person:
    """Anatomy of one participant. Points are scanner RAS mm of the T1w."""

    anatomy: Anatomy
    t1w_to_mni: Transform
    """The other direction, to check the first."""
    grey: TissueMap
    scalp: Surface | None

    @classmethod
    def load(cls, gm: Path, mni_to_t1w: Path, t1w_to_mni: Path, scalp: Path | None) -> Person:
        """Read the files."""
        anatomy = Anatomy(Transform.load(mni_to_t1w), _between_templates)
        surface = None if scalp is None else Surface.load(scalp)
        return cls(anatomy, Transform.load(t1w_to_mni), TissueMap.load(gm), surface)

    @property
    def scalp_points_ras_mm(self) -> Array | None:
        """Vertices of the scalp (m, 3), or None."""
        return None if self.scalp is None else self.scalp.vertices_ras_mm

    def mni_mm(self, point_ras_mm: Array) -> Array:
        """Map a point (3,) to MNI152NLin2009cAsym."""
        return self.anatomy.template_points(point_ras_mm[np.newaxis], CONTRACT_SPACE)[0]

    def round_trip_mm(self, point_ras_mm: Array) -> float:
        """Return how far a point (3,) lands from itself after T1w to template to T1w."""
        back = self.t1w_to_mni.pull_points(self.mni_mm(point_ras_mm)[np.newaxis])[0]
        return float(np.linalg.norm(back - point_ras_mm))

    def depth_mm(self, point_ras_mm: Array) -> float | None:
        """Return the distance of a point (3,) to the scalp, or None if the scalp is not known."""
        return None if self.scalp is None else self.scalp.distance_mm(point_ras_mm)


def _between_templates(source: str, destination: str) -> Transform:
    from tmsprep.templates import transform

    return transform(source, destination)
