"""Truth, motion and distortion mean what they say, in the frame they say, on a grid stored L, A, S."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tests.simulate.conftest import PROTOCOL, STILL, request_for, set_up
from tmsprep.files import load_nifti, read_json
from tmsprep.simulate.anatomy import AnatomyFiles
from tmsprep.simulate.field import PHASE_ENCODING_SIGN
from tmsprep.simulate.frames import push_points
from tmsprep.simulate.hotspot import DEPTH_MM, EDGE_MM
from tmsprep.simulate.motion import rigid
from tmsprep.simulate.participant import Anatomy, Participant, make_participant
from tmsprep.simulate.study import simulate
from tmsprep.spaces import Transform, apply_affine, load_itk_affines
from tmsprep.target.masks import load_search_mask


def test_target_is_grey_matter_in_the_search_mask_on_the_left(anatomy: Anatomy) -> None:
    search = load_search_mask("dlpfc-spheres")
    places = []
    for seed in range(6):
        person = make_participant("01", anatomy, search, seed, fine_mm=3.0)
        spot, head = person.hot_spot, person.head
        voxel = np.rint(apply_affine(np.linalg.inv(head.grid.affine_ras_mm), spot.target_ras_mm)).astype(int)
        assert head.grey[tuple(voxel)] > 0.5
        assert spot.target_ras_mm[0] < 0
        assert search.edge_distance(person.frames.to_nlin6(spot.centre_ras_mm[np.newaxis]))[0] >= EDGE_MM - 0.1
        assert DEPTH_MM[0] - 5 <= spot.depth_mm <= DEPTH_MM[1] + 5
        assert np.linalg.norm(spot.target_ras_mm - spot.centre_ras_mm) < 6
        places.append(tuple(spot.target_ras_mm))
    assert len(set(places)) >= 4


def test_truth_depends_on_the_label(anatomy: Anatomy) -> None:
    search = load_search_mask("dlpfc-spheres")
    differing = 0
    for seed in range(5, 10):
        one, two = (make_participant(label, anatomy, search, seed, fine_mm=3.0).hot_spot for label in ("01", "02"))
        differing += bool(np.linalg.norm(one.target_ras_mm - two.target_ras_mm) > 1)
    assert differing >= 4  # on this coarse head two draws may meet


def _small_motion(first: np.ndarray, other: np.ndarray, affine: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return translation (mm) and rotation (rad) between two images by one least-squares step on image gradients."""
    slopes = np.stack(np.gradient(first), axis=-1).reshape(-1, 3) @ np.linalg.inv(affine[:3, :3])
    points = apply_affine(affine, np.argwhere(np.ones(first.shape))) - centre
    design = np.hstack([-slopes, -np.cross(points, slopes)])
    return np.linalg.lstsq(design, (other - first).ravel(), rcond=None)[0]


def test_independent_registration_recovers_the_motion(person: Participant) -> None:
    protocol = replace(PROTOCOL, minutes=1.2, echo_times_s=(0.013,))
    setup = set_up(person, protocol=protocol, bold=False, artefacts=False, conditions=replace(STILL, mean_fd_mm=0.25))
    volumes = [volume[0].astype(np.float64) for volume in setup.scanner.volumes()]
    smooth = [ndimage.gaussian_filter(volume, 1.0) for volume in volumes]
    motion = setup.scene.motion
    found = np.array([_small_motion(smooth[0], item, setup.grid.affine_ras_mm, motion.centre_ras_mm) for item in smooth])
    truth = motion.parameters - motion.parameters[0]
    assert np.abs(truth[:, :3]).max() > 0.2
    assert np.abs(found[:, :3] - truth[:, :3]).max() < 0.05
    assert np.rad2deg(np.abs(found[:, 3:] - truth[:, 3:])).max() < 0.1
    for axis in range(6):
        assert np.corrcoef(found[:, axis], truth[:, axis])[0, 1] > 0.97


def test_written_motion_moves_reference_points_to_the_volume(files: AnatomyFiles, tmp_path: Path) -> None:
    person = simulate(request_for(tmp_path), files)
    folder = tmp_path / "derivatives" / "truth" / "sub-01" / "func"
    matrices = load_itk_affines(next(folder.glob("*_from-orig_to-boldref_*.txt")))
    table = pd.read_csv(next(folder.glob("*_motion.tsv")), sep="\t")
    row = table.iloc[-1].to_numpy(dtype=float)
    brain = np.argwhere(person.head.grey + person.head.white + person.head.fluid > 0.5)
    points = apply_affine(person.head.grid.affine_ras_mm, brain)
    expected = rigid(row[:3], row[3:6], (points.min(axis=0) + points.max(axis=0)) / 2)
    np.testing.assert_allclose(matrices[-1], expected, atol=1e-4)
    assert table["framewise_displacement"][1:].mean() == pytest.approx(0.1, rel=1e-3)


def test_circuit_is_found_in_the_file_where_the_truth_says(files: AnatomyFiles, tmp_path: Path) -> None:
    """From the written files alone: where the search mask follows the circuit most is where the truth says."""
    protocol = replace(PROTOCOL, minutes=6.0, tsnr=400.0, echo_times_s=(0.03,))
    simulate(request_for(tmp_path, protocol=protocol, conditions=STILL, fine_mm=3.0), files)
    truth = tmp_path / "derivatives" / "truth"
    image = load_nifti(next(tmp_path.glob("sub-01/func/*_bold.nii.gz")))
    assert nib.aff2axcodes(image.affine) == ("L", "A", "S")
    target = pd.read_csv(truth / "targets.tsv", sep="\t").loc[0, ["target_x", "target_y", "target_z"]].to_numpy(float)
    to_scanner = load_itk_affines(next(truth.glob("sub-01/func/*_from-boldref_to-T1w_*.txt")))[0]
    sources = pd.read_csv(next(truth.glob("sub-01/func/*_sources.tsv")), sep="\t")
    data = np.asarray(image.dataobj, dtype=np.float64)
    slopes = _circuit_slopes(data, sources)
    to_head = np.linalg.inv(to_scanner) @ image.affine
    points = apply_affine(to_head, np.argwhere(np.ones(data.shape[:3])))  # the phantom lies in template space
    searched = load_search_mask("dlpfc-spheres").contains(points)
    best = np.argsort(np.where(searched, slopes.ravel(), -1))[-25:]
    centre = np.average(points[best], axis=0, weights=slopes.ravel()[best])
    assert np.linalg.norm(centre - target) < 4


def _circuit_slopes(data: np.ndarray, sources: pd.DataFrame) -> np.ndarray:
    """Return the change of signal with the circuit, all other sources held, as a share of the mean; 0 outside the head."""
    mean = data.mean(axis=-1)
    design = np.column_stack([sources.to_numpy(), np.ones(len(sources))])
    slopes = np.linalg.lstsq(design, data.reshape(-1, data.shape[-1]).T, rcond=None)[0]
    circuit = slopes[list(sources.columns).index("bold: circuit")].reshape(mean.shape)
    return np.where(mean > 0.3 * mean.max(), circuit / np.maximum(mean, 1), 0)


def test_distorted_image_is_put_right_by_the_field_map_that_is_written(files: AnatomyFiles, tmp_path: Path) -> None:
    conditions = replace(STILL, distorted=True)
    person = simulate(request_for(tmp_path, conditions=conditions, field_map="phasediff", protocol=PROTOCOL), files)
    setup = set_up(person, conditions=conditions)
    stored = load_nifti(tmp_path / "sub-01" / "fmap" / "sub-01_phasediff.nii.gz")
    sidecar = read_json(tmp_path / "sub-01" / "fmap" / "sub-01_phasediff.json")
    delta = sidecar["EchoTime2"] - sidecar["EchoTime1"]
    hertz = np.asarray(stored.dataobj, dtype=float) / 4096 / (2 * delta)
    sidecar = read_json(next(tmp_path.glob("sub-01/func/*echo-1_bold.json")))
    assert sidecar["PhaseEncodingDirection"] == "j-"
    shift = -hertz * sidecar["TotalReadoutTime"]
    assert np.abs(shift).max() > 0.8
    true = setup.scanner.image(0.013, 0)
    seen = setup.scanner.image(0.013, PHASE_ENCODING_SIGN)
    indices = np.indices(true.shape, dtype=float)
    indices[1] += shift
    unwarped = ndimage.map_coordinates(seen, indices, order=1) * (1 + np.gradient(shift, axis=1))
    inside = ndimage.binary_erosion(np.asarray(stored.dataobj) != 0, iterations=2)
    before, after = np.abs(seen - true)[inside].mean(), np.abs(unwarped - true)[inside].mean()
    wrong = ndimage.map_coordinates(seen, 2 * np.indices(true.shape, dtype=float) - indices, order=1)
    assert after < 0.4 * before
    assert np.abs(wrong - true)[inside].mean() > before


def test_two_directions_are_distorted_oppositely(files: AnatomyFiles, tmp_path: Path) -> None:
    simulate(request_for(tmp_path, conditions=replace(STILL, distorted=True), field_map="epi"), files)
    images = {label: load_nifti(next(tmp_path.glob(f"sub-01/fmap/*dir-{label}_epi.nii.gz"))) for label in ("AP", "PA")}
    run = np.asarray(load_nifti(next(tmp_path.glob("sub-01/func/*echo-2_bold.nii.gz"))).dataobj).mean(axis=-1)
    means = {label: np.asarray(image.dataobj).mean(axis=-1) for label, image in images.items()}
    alike = {label: np.corrcoef(mean.ravel(), run.ravel())[0, 1] for label, mean in means.items()}
    assert alike["AP"] > alike["PA"] + 0.002  # the run is encoded front to back
    for label, direction in (("AP", "j-"), ("PA", "j")):
        sidecar = read_json(next(tmp_path.glob(f"sub-01/fmap/*dir-{label}_epi.json")))
        assert sidecar["PhaseEncodingDirection"] == direction


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-0.3, 0.3), min_size=9, max_size=9), st.lists(st.floats(-30, 30), min_size=3, max_size=3))
def test_pushing_points_undoes_pulling_them(entries: list[float], shift: list[float]) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] += np.array(entries).reshape(3, 3) * 0.5
    matrix[:3, 3] = shift
    transform = Transform.from_matrix(matrix)
    points = np.array([[0.0, 0, 0], [-40, 30, 40], [20, -60, 10]])
    np.testing.assert_allclose(push_points(transform, transform.pull_points(points)), points, atol=0.1)
