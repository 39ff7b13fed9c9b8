"""The blinded hand-off: what the packages hold, what they must not tell, and who may read the key."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.trial.fingerprints import package_fingerprint, site_in, telling
from tests.trial.made_up_trial import allocate, make_trial
from tmsprep.errors import TmsprepError
from tmsprep.files import read_tsv, sha256
from tmsprep.navigate.formats.site import CoilSite
from tmsprep.trial.audit import audit
from tmsprep.trial.handoff import command
from tmsprep.trial.neutral import AIM_DEPTH_MM, LARGEST_SHIFT_MM, neutral_site
from tmsprep.trial.package import Navigator

PARTICIPANTS = 40
STOPPED = (4, 11)


class Trial:
    def __init__(self, folder: Path, navigator: Navigator = Navigator.BRAINSIGHT) -> None:
        self.output, self.raw = make_trial(folder, PARTICIPANTS, abstaining=STOPPED)
        self.allocation = folder / "allocation.tsv"
        self.arms = allocate(self.allocation, PARTICIPANTS)
        self.to, self.key = folder / "packages", folder / "key.tsv"
        self.status = self.hand_off(navigator)

    def hand_off(self, navigator: Navigator = Navigator.BRAINSIGHT) -> int:
        return command(self.output, allocation=self.allocation, to=self.to, key=self.key, navigator=navigator)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return Trial(tmp_path_factory.mktemp("trial"))


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Path]:
    output, _ = make_trial(tmp_path, 4)
    allocate(tmp_path / "allocation.tsv", 4)
    return output, tmp_path


def given(trial: Trial) -> list[Path]:
    return sorted(path for path in trial.to.iterdir() if not list(path.glob("*_stop.pdf")))


def test_everyone_has_a_package_or_a_stop(trial: Trial) -> None:
    assert trial.status == 0
    key = read_tsv(trial.key).set_index("participant_id")
    assert len(list(trial.to.iterdir())) == PARTICIPANTS
    for label, arm in trial.arms.items():
        stopped = arm == "circuit" and int(str(label)[-2:]) in STOPPED
        names = sorted(path.name for path in (trial.to / str(label)).iterdir())
        assert (f"{label}_stop.pdf" in names) == stopped
        assert any("target" in name for name in names) != stopped
        assert key.loc[label, "given"] == ("stop" if stopped else "target")
        assert key.loc[label, "target_id"] == arm


def test_the_allocated_site_arrives_within_the_rounding(trial: Trial) -> None:
    for package in given(trial):
        table = read_tsv(next((trial.output / "tmsprep" / package.name).rglob("*_markers.tsv")))
        row = table[table["target_id"] == trial.arms[package.name]].iloc[0]
        derived = CoilSite.of_row({str(key): value for key, value in row.items()})
        entry, rotation = site_in(package)
        assert np.linalg.norm(entry - derived.entry_ras_mm) <= LARGEST_SHIFT_MM
        turned = np.rad2deg(np.arccos(np.clip((np.trace(rotation.T @ derived.coil_ras_mm[:3, :3]) - 1) / 2, -1, 1)))
        assert turned < 1.0
        assert np.linalg.det(rotation) == pytest.approx(1.0, abs=1e-6)


def test_the_list_names_the_image_and_the_files(trial: Trial) -> None:
    for package in given(trial)[:5]:
        content = json.loads(next(package.glob("*_package.json")).read_text(encoding="utf-8"))
        image = trial.raw / package.name / "anat" / f"{package.name}_T1w.nii.gz"
        assert content["T1w"]["SHA256"] == sha256(image)
        for name, digest in content["Files"].items():
            assert sha256(package / name) == digest


def test_only_the_owner_reads_the_key_and_it_names_every_package(trial: Trial) -> None:
    assert trial.key.stat().st_mode & 0o777 == 0o600
    key = read_tsv(trial.key)
    for _, row in key.iterrows():
        listing = trial.to / row["participant_id"] / f"{row['participant_id']}_package.json"
        assert sha256(listing) == row["package_sha256"]
    for path in trial.output.rglob("*"):
        assert "allocation" not in path.name


# Blinding


@pytest.mark.parametrize("entry_too", [False, True])
def test_a_classifier_cannot_tell_the_arms_apart(trial: Trial, entry_too: bool) -> None:
    packages = given(trial)
    data = np.array([package_fingerprint(package, entry_too) for package in packages])
    score, p = telling(data, np.array([trial.arms[package.name] for package in packages]))
    assert p > 0.05, score


def test_the_same_classifier_tells_the_markers_apart(trial: Trial) -> None:
    """A test that cannot fail is worth nothing: the sites as derived differ in their digits."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    rows: list[list[float]] = []
    for package in given(trial):
        table = read_tsv(next((trial.output / "tmsprep" / package.name).rglob("*_markers.tsv"))).set_index("target_id")
        row = table.loc[trial.arms[package.name]]
        rows.append([float(row[f"entry_{axis}"]) % 1 for axis in "xyz"])
    arms = np.array([trial.arms[package.name] for package in given(trial)])
    folds = StratifiedKFold(5, shuffle=True, random_state=1)
    forest = RandomForestClassifier(n_estimators=100, random_state=1)
    assert cross_val_score(forest, np.array(rows), arms, cv=folds).mean() > 0.8


@pytest.mark.parametrize("navigator", list(Navigator))
def test_packages_of_every_navigator_have_one_form(tmp_path: Path, navigator: Navigator) -> None:
    output, _ = make_trial(tmp_path, 6)
    allocate(tmp_path / "allocation.tsv", 6)
    status = command(
        output, allocation=tmp_path / "allocation.tsv", to=tmp_path / "to", key=tmp_path / "key.tsv", navigator=navigator
    )
    assert status == 0
    assert audit(tmp_path / "to") == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.with_name("notes.txt").write_text("x"), "names of files"),
        (lambda path: path.write_text(path.read_text().replace("Target", "circuit")), "'circuit'"),
        (lambda path: path.write_text(path.read_text().replace("Target", "Beam F3 ")), "'Beam'"),
        (lambda path: path.write_text(path.read_text() + "# score 0.41\n"), "'score'"),
        (lambda path: path.write_text(path.read_text().replace("0000\t", "00\t", 1)), "texts of files"),
        (lambda path: path.write_bytes(path.read_bytes() + b" " * 4096), "sizes of files"),
        (lambda path: path.chmod(0o600), "sizes of files"),
        (lambda path: path.touch(), "its date"),
    ],
)
def test_the_audit_finds_what_would_tell(tmp_path: Path, change, words: str) -> None:  # type: ignore[no-untyped-def]
    output, _ = make_trial(tmp_path, 4)
    allocate(tmp_path / "allocation.tsv", 4)
    command(output, allocation=tmp_path / "allocation.tsv", to=tmp_path / "to", key=tmp_path / "key.tsv")
    assert audit(tmp_path / "to") == []
    change(next((tmp_path / "to").glob("sub-02/*brainsight.txt")))
    found = audit(tmp_path / "to")
    assert any(words in item for item in found), found
    assert all("sub-02" in item for item in found)
    assert command(audit=tmp_path / "to") == 1


def test_rounding_hides_the_lattice_and_keeps_the_pose() -> None:
    coil = np.eye(4)
    coil[:3, 3] = [-54.3141, 61.3141, 53.777]
    site = neutral_site(CoilSite("circuit", np.array([-40.25, 50.25, 40.25]), coil[:3, 3], coil))
    assert site.name == "Target"
    assert site.entry_ras_mm.tolist() == [-54.0, 61.0, 54.0]
    assert np.linalg.norm(site.target_ras_mm - site.entry_ras_mm) == pytest.approx(AIM_DEPTH_MM, abs=0.01)


# What is refused


def refused(folder: Path, output: Path, **changed: Path) -> str:
    words = {"allocation": folder / "allocation.tsv", "to": folder / "to", "key": folder / "key.tsv"} | changed
    with pytest.raises(TmsprepError) as caught:
        command(output, **words)
    assert not (folder / "to").exists()
    return str(caught.value)


def test_an_edited_table_another_image_and_unknown_sites_are_refused_by_name(small: tuple[Path, Path]) -> None:
    output, folder = small
    markers = next((output / "tmsprep" / "sub-01").rglob("*_markers.tsv"))
    markers.write_text(markers.read_text().replace("-", "+", 1), encoding="utf-8")
    image = next((folder / "raw" / "sub-02").rglob("*.nii.gz"))
    image.write_bytes(next((folder / "raw" / "sub-03").rglob("*.nii.gz")).read_bytes())
    table = pd.read_csv(folder / "allocation.tsv", sep="\t")
    table.loc[table["participant_id"] == "sub-04", "target_id"] = "vertex"
    table.loc[len(table)] = ["sub-99", "circuit"]
    table.to_csv(folder / "allocation.tsv", sep="\t", index=False)
    text = refused(folder, output)
    assert "sub-01: " in text
    assert "not the file that its record tells of" in text
    assert "another checksum" in text
    assert "no site 'vertex'" in text
    assert "sub-99" in text
    assert not (folder / "key.tsv").exists()


def test_places_that_would_unblind_or_overwrite_are_refused(small: tuple[Path, Path]) -> None:
    output, folder = small
    assert "hold no allocation" in refused(folder, output, to=output / "packages")
    assert "hold no allocation" in refused(folder, output, key=output / "key.tsv")
    assert "among the packages" in refused(folder, output, key=folder / "to" / "key.tsv")
    (folder / "old.tsv").write_text("x", encoding="utf-8")
    assert "there already" in refused(folder, output, key=folder / "old.tsv")
    (folder / "there").mkdir()
    assert "there already" in refused(folder, output, to=folder / "there")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("participant_id\tarm\nsub-01\tcircuit\n", "target_id"),
        ("participant_id\ttarget_id\nsub-01\tcircuit\n01\tbeamF3\n", "more than once"),
        ("participant_id\ttarget_id\nsub-01\tn/a\n", "lacks"),
        ("participant_id\ttarget_id\n", "nobody"),
        ("participant_id\ttarget_id\nsub-../../x\tcircuit\n", "no BIDS label"),
        ("participant_id\tsession_id\ttarget_id\nsub-01\tses-*\tcircuit\n", "no BIDS label"),
    ],
)
def test_a_bad_allocation_is_refused(small: tuple[Path, Path], text: str, words: str) -> None:
    output, folder = small
    (folder / "allocation.tsv").write_text(text, encoding="utf-8")
    assert words in refused(folder, output)
