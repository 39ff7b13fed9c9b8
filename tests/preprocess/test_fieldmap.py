from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from bold_phantom import LAS, SHAPE, Head, distorted, read, rigid, save, sidecar_of

from tmsprep.errors import ConfigurationError, InputError
from tmsprep.preprocess.builtin.distortion import Unwarp, unwarped
from tmsprep.preprocess.builtin.fieldmap import prepare_fieldmap
from tmsprep.preprocess.builtin.phase import in_radians, wrapped
from tmsprep.sidecars import ArrayDirection, Distortion

_READOUT_S = 0.05
_ECHO_TIMES_S = (0.005, 0.015)
_MM_PER_HZ = _READOUT_S * 4.0


def _field(points: np.ndarray) -> np.ndarray:
    """Up to 75 Hz: with 10 ms between the echoes, phase wraps."""
    peak = 70 * np.exp(-np.sum((points - [0, 40, -15]) ** 2, axis=1) / (2 * 22**2))
    side = -40 * np.exp(-np.sum((points - [35, -10, 0]) ** 2, axis=1) / (2 * 18**2))
    return peak + side + 5


class _Scene:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.head = Head()
        self.still = self.head.image(LAS)
        points = nib.affines.apply_affine(LAS, np.indices(SHAPE).reshape(3, -1).T)
        self.hertz = _field(points).reshape(SHAPE)
        self.inside = self.still > 450
        rng = np.random.default_rng(0)
        self.noise = 5 * rng.standard_normal((4, *SHAPE))
        self.boldref = self.epi("boldref", "j-", 0)

    def epi(self, name: str, direction: str, noise: int) -> Path:
        sign = -1 if direction.endswith("-") else 1
        image = distorted(self.still, sign * _READOUT_S * self.hertz, axis=1) + self.noise[noise]
        metadata = {"PhaseEncodingDirection": direction, "TotalReadoutTime": _READOUT_S}
        return save(self.folder / f"{name}.nii.gz", np.clip(image, 0, None), LAS, **metadata)

    def phase(self, name: str, time_s: float, affine: np.ndarray, motion: np.ndarray, **metadata: object) -> Path:
        """Phase at one time in 4096 steps, of the head moved by `motion`, on another grid."""
        shape = (37, 37, 29)
        points = nib.affines.apply_affine(affine, np.indices(shape).reshape(3, -1).T)
        at_head = nib.affines.apply_affine(np.linalg.inv(motion), points)
        radians = wrapped(2 * np.pi * _field(at_head) * time_s)
        brightness = self.head.at(at_head)
        rng = np.random.default_rng(1)
        radians = np.where(brightness > 100, radians, rng.uniform(-np.pi, np.pi, len(points)))
        save(self.folder / "magnitude.nii.gz", brightness.reshape(shape), affine)
        steps = np.round((radians + np.pi) / (2 * np.pi) * 4095).reshape(shape)
        return save(self.folder / f"{name}.nii.gz", steps, affine, **metadata)

    def run(self, kind: str, images: list[Path], *, with_sidecar: bool = True) -> np.ndarray:
        out = self.folder / f"{kind}-hz.nii.gz"
        prepare_fieldmap(
            kind=kind,
            images=images,
            sidecars=[sidecar_of(path) for path in images],
            boldref=self.boldref,
            sidecar=[sidecar_of(self.boldref)] if with_sidecar else None,
            out_fieldmap=out,
            out_reference=self.folder / f"{kind}-ref.nii.gz",
        )
        return read(out)

    def error_mm(self, found: np.ndarray) -> float:
        return float(np.sqrt(np.mean(((found - self.hertz) * _MM_PER_HZ)[self.inside] ** 2)))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> _Scene:
    return _Scene(tmp_path_factory.mktemp("fieldmap"))


_OTHER_GRID = np.array([[3.6, 0, 0, -66], [0, 3.6, 0, -66], [0, 0, 4, -56], [0, 0, 0, 1.0]])
_MOVED = rigid(np.array([2.0, -1.5, 1.0]), np.array([2.0, 0.0, -3.0]), np.zeros(3))


def test_the_scene_has_something_to_correct(scene: _Scene) -> None:
    assert scene.error_mm(np.zeros(SHAPE)) > 2


def test_phase_difference_on_another_grid_of_a_moved_head(scene: _Scene) -> None:
    times = {"EchoTime1": _ECHO_TIMES_S[0], "EchoTime2": _ECHO_TIMES_S[1]}
    phase = scene.phase("phasediff", _ECHO_TIMES_S[1] - _ECHO_TIMES_S[0], _OTHER_GRID, _MOVED, **times)
    assert scene.error_mm(scene.run("phasediff", [phase, scene.folder / "magnitude.nii.gz"])) < 0.4


def test_two_phases(scene: _Scene) -> None:
    images = [
        scene.phase(f"phase{index + 1}", time_s, _OTHER_GRID, np.eye(4), EchoTime=time_s)
        for index, time_s in enumerate(_ECHO_TIMES_S)
    ]
    assert scene.error_mm(scene.run("phases", [*images, scene.folder / "magnitude.nii.gz"])) < 0.4


@pytest.mark.parametrize(("units", "factor"), [("Hz", 1.0), ("rad/s", 2 * np.pi), ("T", 1 / 42.577478518e6)])
def test_a_measured_field_in_any_unit(scene: _Scene, units: str, factor: float) -> None:
    field = save(scene.folder / "fieldmap.nii.gz", scene.hertz * factor, LAS, Units=units)
    magnitude = save(scene.folder / "magnitude.nii.gz", scene.still, LAS)
    assert scene.error_mm(scene.run("fieldmap", [field, magnitude])) < 0.4


def test_two_directions_and_the_unwarped_reference(scene: _Scene) -> None:
    # the first is distorted against the BOLD reference, so the second must be found to be the one that matches it
    hertz = scene.run("epi", [scene.epi("up", "j", 1), scene.epi("down", "j-", 2)])
    assert scene.error_mm(hertz) < 0.4
    unwarp = Unwarp.of(hertz.astype(np.float32), Distortion(ArrayDirection(1, -1), _READOUT_S))
    bold = read(scene.boldref).astype(np.float32)
    before, after = (np.sqrt(np.mean((image - scene.still)[scene.inside] ** 2)) for image in (bold, unwarped(bold, unwarp)))
    assert after < 0.4 * before
    reference = read(scene.folder / "epi-ref.nii.gz")
    assert np.corrcoef(reference[scene.inside], scene.still[scene.inside])[0, 1] > 0.95


def test_without_the_run_s_metadata_it_is_less_exact(scene: _Scene) -> None:
    field = save(scene.folder / "fieldmap.nii.gz", scene.hertz, LAS, Units="Hz")
    magnitude = save(scene.folder / "magnitude.nii.gz", scene.still, LAS)
    assert scene.error_mm(scene.run("fieldmap", [field, magnitude], with_sidecar=False)) < 1.0


def test_signal_is_conserved_by_distortion_and_its_undoing() -> None:
    still = Head().image(LAS).astype(np.float32)
    shift = np.broadcast_to(2 * np.sin(np.linspace(0, np.pi, SHAPE[1]))[None, :, None], SHAPE).astype(np.float32)
    warped = distorted(still, shift, axis=1)
    back = unwarped(warped.astype(np.float32), Unwarp(1, shift))
    inside = still > 450
    assert np.abs(back - still)[inside].mean() < 0.3 * np.abs(warped - still)[inside].mean()
    assert back.sum() == pytest.approx(still.sum(), rel=0.02)


def test_an_unknown_kind_is_named(scene: _Scene) -> None:
    with pytest.raises(ConfigurationError, match=r"'spiral' are not supported.*phasediff"):
        scene.run("spiral", [scene.boldref])


def test_epi_without_a_partner_is_refused(scene: _Scene) -> None:
    with pytest.raises(InputError, match="opposite phase encoding"):
        scene.run("epi", [scene.epi("up", "j", 1), scene.epi("also-up", "j", 2)])


def test_unknown_units_are_refused(scene: _Scene) -> None:
    field = save(scene.folder / "fieldmap.nii.gz", scene.hertz, LAS, Units="G")
    with pytest.raises(InputError, match="Units is 'G'"):
        scene.run("fieldmap", [field, save(scene.folder / "magnitude.nii.gz", scene.still, LAS)])


@pytest.mark.parametrize(("low", "high"), [(0, 4095), (-4096, 4096), (-3141, 3142)])
def test_phase_images_are_scaled_to_one_turn(low: float, high: float) -> None:
    steps = np.linspace(low, high, 4001).round().reshape(1, 1, -1).astype(np.float32)
    np.testing.assert_allclose(in_radians(steps, None)[0, 0, [0, 2000, -1]], [-np.pi, 0, np.pi], atol=2e-3)


def test_phase_in_radians_is_left_alone() -> None:
    radians = np.linspace(-3.1, 3.1, 50).reshape(1, 1, -1).astype(np.float32)
    np.testing.assert_allclose(in_radians(radians, None), radians, atol=1e-5)
    np.testing.assert_allclose(in_radians(radians + 2 * np.pi, "rad"), radians, atol=1e-5)
