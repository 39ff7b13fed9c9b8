"""The rule for many draws gives, draw by draw, what the rule for one map gives."""

from __future__ import annotations

import numpy as np
import pytest

from tmsprep.spaces import Grid
from tmsprep.target.clusters import ScoreMap, find_clusters, refine
from tmsprep.target.many import ClusterRule

OBLIQUE = np.array([[-2.9, 0.2, 0.1, 40], [0.2, 3.0, -0.4, -20], [-0.1, 0.4, 3.1, 10], [0, 0, 0, 1]])


def problem(seed: int) -> tuple[Grid, np.ndarray, Grid, np.ndarray]:
    rng = np.random.default_rng(seed)
    coarse = Grid((12, 13, 11), OBLIQUE)
    scored = rng.random(coarse.shape) < 0.6
    inset = np.diag([0.66, 0.66, 0.66, 1])
    inset[:3, 3] = 0.1  # a point on the very edge is inside or not by rounding
    fine = Grid((16, 17, 14), OBLIQUE @ inset)
    candidates = rng.random(fine.shape) < 0.5
    return coarse, scored, fine, candidates


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("smooth", [False, True])
def test_each_draw_is_as_if_alone(seed: int, smooth: bool) -> None:
    coarse, scored, fine, candidates = problem(seed)
    rng = np.random.default_rng(100 + seed)
    scores = rng.normal(size=(40, int(scored.sum())))
    if smooth:
        points = np.argwhere(scored)
        centres = rng.uniform(0, 12, (40, 3))
        scores = scores * 0.2 + np.exp(-((points - centres[:, None]) ** 2).sum(axis=2) / 8)
    sites = ClusterRule.make(coarse, scored, fine, candidates, 0.1).sites(scores)
    for row, position in zip(scores, sites.positions_ras_mm, strict=True):
        values = np.zeros(coarse.shape)
        values[scored] = row
        fine_map = refine(ScoreMap(coarse, values, scored), fine, candidates)
        best = find_clusters(fine_map, top_fraction=0.1, min_volume_mm3=0)[0]
        np.testing.assert_allclose(position, best.position_ras_mm, atol=1e-6)
    assert 0 < sites.share.max() <= 1


def test_no_positive_score_gives_no_target() -> None:
    coarse, scored, fine, candidates = problem(1)
    rule = ClusterRule.make(coarse, scored, fine, candidates, 0.1)
    scores = np.vstack([np.full(int(scored.sum()), -1.0), np.ones(int(scored.sum()))])
    positions = rule.sites(scores).positions_ras_mm
    assert np.isnan(positions[0]).all()
    assert np.isfinite(positions[1]).all()


def test_share_counts_the_best_clusters_voxels() -> None:
    coarse = Grid((6, 6, 6), np.diag([3.0, 3.0, 3.0, 1.0]))
    scored = np.ones(coarse.shape, dtype=bool)
    rule = ClusterRule.make(coarse, scored, coarse, scored, 0.05)
    scores = np.zeros((2, 216))
    scores[0, 43], scores[0, 44], scores[1, 43] = 1.0, 0.9, 1.0
    share = rule.sites(scores).share
    assert (share[43], share[44]) == (1.0, 0.5)
    assert share.sum() == 1.5
