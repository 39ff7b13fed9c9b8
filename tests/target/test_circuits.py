"""Circuits: data files, polarity, checksums, evaluation at points."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep.cli import main
from tmsprep.errors import ConfigurationError, InputError
from tmsprep.files import sha256
from tmsprep.target import circuits, datafiles, library
from tmsprep.target.circuits import Polarity
from tmsprep.target.spheres import Sphere

BA46 = np.array([-44.0, 40.0, 29.0])
SGACC = np.array([6.0, 16.0, -10.0])


def save_map(path: Path, *, sign: float = 1.0, flipped: bool = False, mm: float = 4.0) -> Path:
    """A smooth map, positive at BA46 and negative at sgACC; optionally stored with the first axis reversed."""
    shape = (46, 55, 46)
    affine = np.diag([mm, mm, mm, 1.0])
    affine[:3, 3] = (-90.0, -126.0, -72.0)
    points = nib.affines.apply_affine(affine, np.indices(shape).reshape(3, -1).T)
    values = [np.exp(-((points - place) ** 2).sum(1) / 2 / 15**2) for place in (BA46, SGACC)]
    data = (sign * 3 * (values[0] - values[1])).reshape(shape).astype(np.float32)
    if flipped:
        data, affine = data[::-1], affine @ np.array([[-1, 0, 0, 45], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


@pytest.mark.parametrize("name", circuits.names())
def test_every_shipped_circuit_fits_the_schema_and_names_itself(name: str) -> None:
    circuit = circuits.load_circuit(name)
    assert circuit.name == name
    assert (circuit.file is None) != (circuit.seeds == ())
    if circuit.file is None:
        assert circuits.polarity(circuits.open_weights(circuit, None)).is_right
    else:
        assert circuit.file.url is not None
        assert circuit.file.url.startswith("https://")


def test_unknown_circuit_is_named_with_the_choices() -> None:
    with pytest.raises(ConfigurationError, match="sgacc"):
        circuits.load_circuit("subgenual")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"space": "Talairach"}, "space"),
        ({"seeds": None}, "is not valid"),
        ({"anchors": {"negative": [6, 16, -10, 10]}}, "positive"),
        ({"extra": 1}, "extra"),
        ({"seeds": [{"name": "a", "x": 0, "y": 0, "z": 0, "radius_mm": 0, "weight": 1}]}, "radius_mm"),
    ],
)
def test_a_wrong_data_file_is_refused(tmp_path: Path, change: dict[str, object], where: str) -> None:
    content = json.loads((datafiles.folder("circuits") / "sgacc.json").read_text()) | change
    path = tmp_path / "own.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=where):
        circuits.read_circuit(path)


def test_seed_weights_are_signed_and_zero_outside() -> None:
    weights = circuits.open_weights(circuits.load_circuit("sgacc"), None)
    assert weights.at(np.array([SGACC, SGACC + np.array([9.9, 0, 0]), SGACC + np.array([10.1, 0, 0])])).tolist() == [
        -1,
        -1,
        0,
    ]


def test_lattice_has_the_volume_of_the_sphere() -> None:
    sphere = Sphere((1.5, 2.0, -3.0), 10.0)
    assert len(sphere.lattice_mni_mm()) == pytest.approx(4 / 3 * np.pi * 1000, rel=0.02)


@pytest.mark.parametrize("flipped", [False, True])
def test_image_is_read_by_affine_not_by_index(tmp_path: Path, flipped: bool) -> None:
    file = save_map(tmp_path / "map.nii.gz", flipped=flipped)
    weights = library.resolve("mine", file, "MNI152NLin6Asym")
    assert weights.at(BA46[np.newaxis])[0] == pytest.approx(3.0, abs=0.15)
    assert weights.at((BA46 * [-1, 1, 1])[np.newaxis])[0] == pytest.approx(0.0, abs=0.1)
    assert np.isnan(weights.at(np.array([[200.0, 0, 0]])))[0]
    assert weights.sha256 == sha256(file)


def test_inverted_image_is_refused_and_accepted_only_by_force(tmp_path: Path) -> None:
    weights = library.resolve("mine", save_map(tmp_path / "map.nii.gz", sign=-1), "MNI152NLin6Asym")
    with pytest.raises(InputError, match="wrong sign"):
        circuits.require_polarity(weights, force=False)
    forced = circuits.require_polarity(weights, force=True)
    assert not forced.is_right
    assert forced.negative_anchor > 0 > forced.positive_anchor


@pytest.mark.parametrize(
    ("negative", "positive", "right"),
    [(-1, 1, True), (-1, 0, True), (0, 1, True), (1, 2, False), (-2, -1, False), (1, -1, False), (0, 0, False)],
)
def test_polarity_rule(negative: float, positive: float, right: bool) -> None:
    assert Polarity(negative, positive).is_right is right


def test_image_that_does_not_reach_an_anchor_is_refused(tmp_path: Path) -> None:
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = (100, 100, 100)
    nib.save(nib.Nifti1Image(np.ones((5, 5, 5), np.float32), affine), tmp_path / "far.nii")
    with pytest.raises(InputError, match="no value at its anchor"):
        circuits.polarity(library.resolve("far", tmp_path / "far.nii", "MNI152NLin6Asym"))


def test_another_file_than_the_described_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sha256"):
        library.resolve("convergent-depression", save_map(tmp_path / "map.nii.gz"), "MNI152NLin6Asym")


def test_image_not_fetched_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.CACHE_VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match="circuits fetch convergent-depression"):
        library.resolve("convergent-depression", None, "MNI152NLin6Asym")


def test_unknown_space_and_needless_file_are_refused(tmp_path: Path) -> None:
    file = save_map(tmp_path / "map.nii.gz")
    with pytest.raises(ConfigurationError, match="Talairach"):
        library.resolve("mine", file, "Talairach")
    with pytest.raises(ConfigurationError, match="seeds"):
        library.resolve("sgacc", file, "MNI152NLin6Asym")


def test_own_json_with_seeds_and_with_an_image_beside_it(tmp_path: Path) -> None:
    content = json.loads((datafiles.folder("circuits") / "sgacc.json").read_text()) | {"name": "own"}
    (tmp_path / "own.json").write_text(json.dumps(content))
    assert library.resolve("own", tmp_path / "own.json", "").circuit.seeds[0].weight == -1
    file = save_map(tmp_path / "map.nii.gz")
    content |= {"seeds": None, "file": {"name": "map.nii.gz", "url": None, "sha256": sha256(file)}}
    (tmp_path / "own.json").write_text(json.dumps(content))
    assert library.resolve("own", tmp_path / "own.json", "").image is not None
    save_map(file, sign=2)
    with pytest.raises(InputError, match="sha256"):
        library.resolve("own", tmp_path / "own.json", "")


def test_fetch_refuses_another_file_and_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pooch

    monkeypatch.setenv(library.CACHE_VARIABLE, str(tmp_path))
    asked: list[tuple[str, str]] = []

    def served(url: str, known_hash: str, **_: object) -> str:
        asked.append((url, known_hash))
        raise ValueError("SHA256 hash of downloaded file does not match")

    monkeypatch.setattr(pooch, "retrieve", served)
    circuit = circuits.load_circuit("convergent-depression")
    with pytest.raises(InputError, match="another file"):
        library.fetch(circuit)
    assert circuit.file is not None
    assert asked == [(circuit.file.url, f"sha256:{circuit.file.sha256}")]
    assert library.cached_image(circuit) is None


def test_fetch_checks_what_is_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.CACHE_VARIABLE, str(tmp_path))
    circuit = circuits.load_circuit("convergent-depression")
    assert circuit.file is not None
    (tmp_path / "circuits").mkdir()
    save_map(tmp_path / "circuits" / circuit.file.name)
    with pytest.raises(InputError, match="sha256"):
        library.fetch(circuit)


def test_the_command_lists_and_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["circuits", "list"])
    assert done.value.code == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in circuits.names())
    for words in (["circuits", "fetch", "sgacc"], ["circuits", "fetch", "nothing"], ["circuits", "fetch"]):
        with pytest.raises(SystemExit) as done:
            main(words)
        assert done.value.code == 1
        assert "tmsprep: error" in capsys.readouterr().err


@pytest.mark.shared
def test_published_circuit(shared_data: Path) -> None:
    """Signs and values as read off the file by other means (science.md 3.1), and where its maximum falls."""
    circuit = circuits.load_circuit("convergent-depression")
    assert circuit.file is not None
    weights = library.resolve("convergent-depression", shared_data / "circuits" / circuit.file.name, "MNI152NLin6Asym")
    points = np.array([[6, 16, -10], [8, 24, -4], [-44, 40, 29], [-38, 44, 26], [-36, 26, 50.0]])
    assert weights.at(points)[:4] == pytest.approx([-2.78, -4.65, 3.35, 2.24], abs=0.3)
    found = circuits.require_polarity(weights, force=False)
    assert found.negative_anchor == pytest.approx(-2.95, abs=0.05)
    assert found.positive_anchor == pytest.approx(3.08, abs=0.05)
