"""Draw where a group map peaks in each search mask: ``make_group_peaks.py MAP.nii.gz group_peaks.svg``.

The map is not shipped (docs/circuits.md says why); the picture shows masks and places only. Prints a table for that page.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from tmsprep.files import load_nifti, read_data
from tmsprep.spaces import Grid, apply_affine
from tmsprep.target.clusters import ScoreMap, find_clusters
from tmsprep.target.masks import SearchMask, load_search_mask

MASKS = ("dlpfc-spheres", "dlpfc-spheres-dilated")
COLOURS = ("#1b6ca8", "#c1440e")
VIEWS = (("y", "z", 1, 2, "from the left"), ("x", "y", 0, 1, "from above"), ("x", "z", 0, 2, "from the front"))


def main(image: Path, figure: Path) -> None:
    """Compute and draw."""
    mpl.rcParams |= {"svg.hashsalt": "tmsprep", "font.size": 9}
    data = load_nifti(image)
    values, affine = np.nan_to_num(read_data(data)), np.asarray(data.affine, dtype=np.float64)
    points = Grid(values.shape, affine).points_ras_mm()
    panels, axes = plt.subplots(1, 3, figsize=(9, 4.0), constrained_layout=True)
    for name, colour in zip(MASKS, COLOURS, strict=True):
        mask = load_search_mask(name)
        inside = mask.contains(points).reshape(values.shape) & (values != 0)
        places = places_of(values, affine, inside)
        for word, (place, value) in places.items():
            print(f"| `{name}` | {word} | ({', '.join(f'{x:.0f}' for x in place)}) | {value:.2f} |")
        draw(axes, mask, name, [place for place, _ in places.values()], colour)
    for axis, (one, two, *_, words) in zip(axes, VIEWS, strict=True):
        axis.set(xlabel=f"{one} (mm)", ylabel=f"{two} (mm)", title=words, aspect="equal")
    panels.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    panels.suptitle("Search masks (circles) and where the group map peaks in them, MNI152NLin6Asym")
    panels.savefig(figure, metadata={"Date": None, "Creator": None})


def places_of(values: np.ndarray, affine: np.ndarray, inside: np.ndarray) -> dict[str, tuple[np.ndarray, float]]:
    """Return the highest voxel and the place that the cluster rule gives, with their values."""
    highest = np.unravel_index(np.argmax(np.where(inside, values, -np.inf)), values.shape)
    cluster = find_clusters(
        ScoreMap(Grid(values.shape, affine), values.astype(np.float64), inside), top_fraction=0.1, min_volume_mm3=0
    )[0]
    return {
        "highest voxel": (apply_affine(affine, np.array([highest]))[0], float(values[highest])),
        "largest cluster of the top tenth, centre": (cluster.position_ras_mm, cluster.mean_score),
    }


def draw(axes: np.ndarray, mask: SearchMask, name: str, places: list[np.ndarray], colour: str) -> None:
    """Draw the mask's spheres as circles, the highest voxel as a cross and the cluster's centre as a dot."""
    for axis, (_, _, first, second, _) in zip(axes, VIEWS, strict=True):
        for sphere in mask.spheres:
            centre = sphere.centre_mni_mm[first], sphere.centre_mni_mm[second]
            axis.add_patch(plt.Circle(centre, sphere.radius_mm, fill=False, edgecolor=colour, lw=0.8))
        for place, marker, words in zip(places, ("x", "o"), ("highest voxel", "cluster's centre"), strict=True):
            label = f"{name}: {words}"
            axis.plot(place[first], place[second], marker, color=colour, ms=8, mew=2, label=label, ls="none")
        axis.autoscale_view()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
