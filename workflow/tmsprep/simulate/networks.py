"""Resting-state networks of the simulation: nodes at usual places, in MNI152NLin2009cAsym mm.

The places are the usual centres of the regions, rounded: they make a brain of plausible layout, they are no atlas.
"""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Network:
    """Regions that share one time course."""

    name: str
    nodes_mni_mm: tuple[Point, ...]
    fwhm_mm: float
    """Of the smooth support about each node."""


def _both(x: float, y: float, z: float) -> tuple[Point, Point]:
    return (-x, y, z), (x, y, z)


NETWORKS = (
    Network("default mode", ((0, -54, 28), (0, 54, 4), *_both(46, -66, 32), *_both(60, -12, -18)), 28),
    Network("left frontoparietal", ((-44, 44, 6), (-46, -54, 48), (-58, -46, -10)), 26),
    Network("right frontoparietal", ((44, 44, 6), (46, -54, 48), (58, -46, -10), (40, 24, 44)), 26),
    Network("salience", ((2, 16, 42), *_both(38, 16, 0), *_both(58, -38, 30)), 24),
    Network("dorsal attention", (*_both(26, -60, 54), *_both(26, -4, 54), *_both(50, -60, -6)), 24),
    Network("visual", ((0, -84, 4), *_both(18, -92, 8), *_both(32, -84, -8)), 28),
    Network("somatomotor hand", _both(40, -24, 56), 26),
    Network("somatomotor face", _both(54, -8, 30), 24),
    Network("auditory", _both(54, -18, 8), 26),
    Network("limbic", (*_both(20, -6, -20), (0, 22, -14), *_both(32, 8, -34)), 24),
    Network("basal ganglia", (*_both(14, 10, 4), *_both(28, -4, 2), *_both(10, -18, 8)), 20),
    Network("cerebellum", (*_both(26, -62, -32), (0, -60, -20)), 30),
    Network("precuneus", ((0, -66, 46), *_both(38, -78, 30)), 24),
)
