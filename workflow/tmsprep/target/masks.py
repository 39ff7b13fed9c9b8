"""Search masks: where in the left DLPFC a target may be. Unions of published spheres, made from coordinates.

Grey matter and signal are the participant's affair and are applied elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tmsprep.errors import ConfigurationError
from tmsprep.target import datafiles
from tmsprep.target.spheres import Sphere


@dataclass(frozen=True)
class SearchMask:
    """The union of spheres, cut at the midline. Positions are mm of the template `space`."""

    name: str
    description: str
    space: str
    spheres: tuple[Sphere, ...]
    licence: str
    citation: str

    def edge_distance(self, points_mni_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return for points (n, 3) the distance in mm to the mask's edge; negative outside.

        It is the depth inside the sphere that holds the point best: exact near one sphere's surface, and a lower bound
        where spheres overlap.
        """
        inner = np.max([sphere.inner_distance(points_mni_mm) for sphere in self.spheres], axis=0)
        return np.minimum(inner, -np.asarray(points_mni_mm, dtype=np.float64)[..., 0])

    def contains(self, points_mni_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell for points (n, 3) whether they lie in the mask, in the left hemisphere."""
        return self.edge_distance(points_mni_mm) > 0


def names() -> list[str]:
    """Return the names of the shipped search masks."""
    return datafiles.names("search_masks")


def load_search_mask(name: str) -> SearchMask:
    """Load a shipped search mask.

    Raises
    ------
    ConfigurationError
        No shipped mask has that name.
    """
    if name not in names():
        raise ConfigurationError(f"no search mask is called {name!r}", expected=", ".join(names()))
    return read_search_mask(datafiles.folder("search_masks") / f"{name}.json")


def read_search_mask(path: Path) -> SearchMask:
    """Read a search mask's data file.

    Raises
    ------
    InputError
        It does not fit the schema.
    """
    content = datafiles.read_checked(path, "search_masks")
    spheres = [Sphere.of([item["x"], item["y"], item["z"], item["radius_mm"]]) for item in content["spheres"]]
    return SearchMask(
        name=content["name"],
        description=content["description"],
        space=content["space"],
        spheres=tuple(spheres),
        licence=content["licence"],
        citation=content["citation"],
    )
