"""One participant's anatomy, as far as a target needs it: the ways to the templates, the grey matter, the scalp."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tmsprep.spaces import Transform
from tmsprep.surfaces import Surface
from tmsprep.target.tissue import TissueMap

Array = NDArray[np.float64]

NLIN6 = "MNI152NLin6Asym"
CONTRACT_SPACE = "MNI152NLin2009cAsym"
"""The template space that the preprocessing contract speaks."""


@dataclass(frozen=True, eq=False)
class Person:
    """Anatomy of one participant. Points are scanner RAS mm of the T1w."""

    mni_to_t1w: Transform
    """``from-MNI152NLin2009cAsym_to-T1w``: maps points of the T1w to the template."""
    t1w_to_mni: Transform
    """The other direction, to check the first."""
    grey: TissueMap
    scalp: Surface | None
    nlin6_to_t1w: Transform | None = None
    """``from-MNI152NLin6Asym_to-T1w``, if there is one: unlike the way between the templates, it knows the participant."""

    @classmethod
    def load(
        cls, gm: Path, mni_to_t1w: Path, t1w_to_mni: Path, scalp: Path | None, nlin6_to_t1w: Path | None = None
    ) -> Person:
        """Read the files."""
        surface = None if scalp is None else Surface.load(scalp)
        own = None if nlin6_to_t1w is None else Transform.load(nlin6_to_t1w)
        return cls(Transform.load(mni_to_t1w), Transform.load(t1w_to_mni), TissueMap.load(gm), surface, own)

    @property
    def scalp_points_ras_mm(self) -> Array | None:
        """Vertices of the scalp (m, 3), or None."""
        return None if self.scalp is None else self.scalp.vertices_ras_mm

    def template_points(self, points_ras_mm: Array, space: str) -> Array:
        """Map points (n, 3) to a template space. The templates differ by millimetres and are never equated."""
        if space == NLIN6 and self.nlin6_to_t1w is not None:
            return self.nlin6_to_t1w.pull_points(points_ras_mm)
        return self._route(space).pull_points(points_ras_mm)

    def _route(self, space: str) -> Transform:
        if space == CONTRACT_SPACE:
            return self.mni_to_t1w
        return between_templates(space, CONTRACT_SPACE).followed_by(self.mni_to_t1w)

    def routes_apart_mm(self, point_ras_mm: Array) -> float | None:
        """Return how far the two ways to MNI152NLin6Asym are apart at a point (3,), or None if there is only one."""
        if self.nlin6_to_t1w is None:
            return None
        one, two = (way.pull_points(point_ras_mm[np.newaxis])[0] for way in (self.nlin6_to_t1w, self._route(NLIN6)))
        return float(np.linalg.norm(one - two))

    def mni_mm(self, point_ras_mm: Array) -> Array:
        """Map a point (3,) to MNI152NLin2009cAsym."""
        return self.template_points(point_ras_mm[np.newaxis], CONTRACT_SPACE)[0]

    def round_trip_mm(self, point_ras_mm: Array) -> float:
        """Return how far a point (3,) lands from itself after T1w to template to T1w."""
        back = self.t1w_to_mni.pull_points(self.mni_mm(point_ras_mm)[np.newaxis])[0]
        return float(np.linalg.norm(back - point_ras_mm))

    def depth_mm(self, point_ras_mm: Array) -> float | None:
        """Return the distance of a point (3,) to the scalp, or None if the scalp is not known."""
        return None if self.scalp is None else self.scalp.distance_mm(point_ras_mm)


def between_templates(source: str, destination: str) -> Transform:
    """Return the transform ``from-SOURCE_to-DESTINATION``."""
    from tmsprep.templates import transform

    return transform(source, destination)
