"""The simulated signal obeys its equation: relaxation, what depends on echo time and what does not, noise, steady state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from tests.simulate.conftest import PROTOCOL, STILL, set_up
from tmsprep.simulate.head import GREY, WHITE
from tmsprep.simulate.participant import Participant, grey_level
from tmsprep.simulate.scanner import add_noise


def test_relaxation_rate_comes_back_from_a_fit_over_the_echoes(person: Participant) -> None:
    times = (0.010, 0.022, 0.034, 0.046)
    setup = set_up(person, protocol=replace(PROTOCOL, echo_times_s=times))
    echoes = np.stack([np.log(np.maximum(echo, 1e-6)) for echo in setup.scanner.at_rest()])
    fitted = -np.polyfit(times, echoes.reshape(4, -1), 1)[0].reshape(setup.grid.shape)
    put_in = setup.scanner.voxel_map(setup.scene.head.r2star)
    white = setup.scanner.voxel_map(setup.scene.head.white) > 0.995
    deep = ndimage.binary_erosion(white, iterations=1)
    assert deep.sum() > 500
    np.testing.assert_allclose(fitted[deep], put_in[deep], rtol=0.01)
    far_from_air = deep & (put_in < 1.02 / WHITE.t2star_s)
    assert np.median(fitted[far_from_air]) == pytest.approx(1 / 0.048, rel=0.01)
    assert GREY.t2star_s > WHITE.t2star_s


def _fractional_changes(setup, volumes: int) -> np.ndarray:
    """Return (echoes, voxels, volumes): signal over its mean in time, minus one, in the brain."""
    brain = setup.scanner.voxel_map(setup.scene.head.grey + setup.scene.head.white) > 0.9
    series = [[echo[brain] for echo in volume] for volume, _ in zip(setup.scanner.volumes(), range(volumes), strict=False)]
    data = np.array(series).transpose(1, 2, 0)
    return data / data.mean(axis=-1, keepdims=True) - 1


def test_bold_grows_with_echo_time(person: Participant) -> None:
    changes = _fractional_changes(set_up(person, artefacts=False), 12)
    strong = changes[1].std(axis=-1) > np.quantile(changes[1].std(axis=-1), 0.8)
    for echo, time in enumerate(PROTOCOL.echo_times_s):
        slope = np.sum(changes[echo, strong] * changes[1, strong]) / np.sum(changes[1, strong] ** 2)
        assert slope == pytest.approx(time / PROTOCOL.echo_times_s[1], rel=0.03)


def test_artefacts_are_the_same_at_every_echo_time(person: Participant) -> None:
    changes = _fractional_changes(set_up(person, bold=False, conditions=replace(STILL, mean_fd_mm=1e-6)), 12)
    strong = changes[0].std(axis=-1) > np.quantile(changes[0].std(axis=-1), 0.8)
    for echo in (1, 2):
        slope = np.sum(changes[echo, strong] * changes[0, strong]) / np.sum(changes[0, strong] ** 2)
        assert slope == pytest.approx(1.0, rel=0.03)


def test_noise_has_the_size_that_was_asked_for(person: Participant) -> None:
    setup = set_up(person)
    image = setup.scanner.at_rest()[0]
    level = grey_level(setup.scanner, setup.scene, image)
    generator = np.random.default_rng(0)
    noisy = np.stack([add_noise(image, level / 100, generator) for _ in range(150)])
    grey = setup.scanner.voxel_map(setup.scene.head.grey) > 0.8
    tsnr = noisy.mean(axis=0)[grey] / noisy.std(axis=0)[grey]
    assert np.median(tsnr) == pytest.approx(100 * np.median(image[grey]) / level, rel=0.03)
    empty = noisy[:, image == 0]
    assert empty.mean() == pytest.approx(level / 100 * np.sqrt(np.pi / 2), rel=0.01)  # Rayleigh: no signal


def test_first_volumes_are_brighter_before_the_steady_state(person: Participant) -> None:
    setup = set_up(person, bold=False, artefacts=False, conditions=replace(STILL, non_steady_volumes=2))
    means = [volume[0].mean() for volume, _ in zip(setup.scanner.volumes(), range(4), strict=False)]
    assert means[0] > 1.2 * means[2] > 0
    assert means[1] > 1.02 * means[2]
    assert means[3] == pytest.approx(means[2], rel=1e-4)


def test_slices_see_the_time_at_which_they_were_taken(person: Participant) -> None:
    """A source that rises steadily is higher in slices that were taken later, by rate times delay."""
    setup = set_up(person, bold=False, artefacts=False)
    head = setup.scene.head
    ramp = np.arange(len(setup.scene.artefacts.courses), dtype=np.float32)[:, np.newaxis] * 0.25  # seconds
    rising = replace(
        setup.scene.artefacts,
        names=("ramp",),
        maps=np.full((int(head.inside.sum()), 1), 0.01, dtype=np.float32),
        courses=ramp,
    )
    scanner = type(setup.scanner)(replace(setup.scene, artefacts=rising), setup.protocol, setup.grid)
    volume = next(scanner.volumes())[0]
    still = scanner.at_rest()[0]
    times = setup.protocol.slice_times_s()
    deep = ndimage.binary_erosion(scanner.voxel_map(head.white) > 0.99)
    gains = [np.median((volume / np.maximum(still, 1e-6))[..., k][deep[..., k]]) - 1 for k in range(10, 22)]
    np.testing.assert_allclose(gains, 0.01 * times[10:22], atol=2e-4)
