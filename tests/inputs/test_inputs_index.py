"""The index: what is entered, what is not, and which sidecars apply."""

from __future__ import annotations

import json
import tempfile
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_dataset import Dataset

from tmsprep.errors import InputError
from tmsprep.inputs.index import build_index, require_content

_ENTITIES = ("sub-01", "ses-1", "task-rest", "run-1", "echo-2")
_FOLDERS = ("", "sub-01", "sub-01/ses-1", "sub-01/ses-1/func")
_APPLYING = [[*chosen, "bold"] for size in range(len(_ENTITIES) + 1) for chosen in combinations(_ENTITIES, size)]
_OTHERS = [["task-rest", "sbref"], ["task-other", "bold"], ["task-rest", "echo-3", "bold"], ["acq-x", "bold"]]
_SIDECARS = st.lists(
    st.tuples(
        st.integers(0, len(_FOLDERS) - 1),
        st.sampled_from(_APPLYING + _OTHERS),
        st.sets(st.sampled_from(["EchoTime", "RepetitionTime", "Units"]), min_size=1),
    ),
    max_size=10,
    unique_by=lambda item: (item[0], tuple(item[1])),
)


@settings(max_examples=60, deadline=None)
@given(_SIDECARS)
def test_the_nearest_and_most_specific_sidecar_wins(sidecars: list[tuple[int, list[str], set[str]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        dataset = Dataset(Path(folder))
        dataset.image(f"{_FOLDERS[-1]}/{'_'.join(_ENTITIES)}_bold.nii.gz")
        for number, (depth, stem, keys) in enumerate(sidecars):
            dataset.json(f"{_FOLDERS[depth]}/{'_'.join(stem)}.json".lstrip("/"), dict.fromkeys(sorted(keys), number))
        index = build_index(dataset.root)
        found = index.metadata(index.images["01"][0])
    for key in ("EchoTime", "RepetitionTime", "Units"):
        ranks = {
            number: (depth, len(stem))
            for number, (depth, stem, keys) in enumerate(sidecars)
            if stem in _APPLYING and key in keys
        }
        best = {number for number, rank in ranks.items() if rank == max(ranks.values())}
        assert found.get(key) in (best or {None})


def test_only_the_raw_data_are_entered(dataset: Dataset) -> None:
    dataset.bold()
    for folder in ("derivatives/fmriprep", "sourcedata", "code", ".git", "derivatives"):
        dataset.image(f"{folder}/sub-02/func/sub-02_task-rest_bold.nii.gz")
    dataset.image("sub-01/dwi/sub-01_dwi.nii.gz")
    dataset.image("sub-01/func/._sub-01_task-rest_bold.nii.gz")
    index = build_index(dataset.root)
    assert index.participants == ("01",)
    assert [image.path.name for image in index.images["01"]] == ["sub-01_task-rest_bold.nii.gz"]
    assert index.refused == []


def test_names_in_the_wrong_folder_are_refused(dataset: Dataset) -> None:
    dataset.image("sub-01/func/sub-02_task-rest_bold.nii.gz")
    dataset.image("sub-01/ses-1/func/sub-01_task-rest_bold.nii.gz")
    index = build_index(dataset.root)
    assert index.images["01"] == []
    assert ["folder of another" in item.reason for item in index.refused] == [True, True]


def test_what_is_no_raw_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        build_index(tmp_path / "absent")
    with pytest.raises(InputError, match=r"dataset_description\.json is missing"):
        build_index(tmp_path)
    (tmp_path / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.10.0"}))
    with pytest.raises(InputError, match="holds no participant"):
        build_index(tmp_path)
    (tmp_path / "dataset_description.json").write_text(json.dumps({"DatasetType": "derivative"}))
    with pytest.raises(InputError, match="--derivatives"):
        build_index(tmp_path)


def test_absent_content_is_told_from_an_empty_image(dataset: Dataset) -> None:
    link = dataset.root / "link.nii.gz"
    link.symlink_to(".git/annex/objects/aa/bb/MD5E-s10--0.nii.gz")
    pointer = dataset.file("pointer.nii.gz", b"/annex/objects/MD5E-s10--0123.nii.gz\n")
    for path in (link, pointer):
        with pytest.raises(InputError, match=r"datalad get sub/x\.nii\.gz"):
            require_content(path, "sub/x.nii.gz")
    require_content(dataset.file("empty.nii.gz"), "empty.nii.gz")


def test_a_damaged_or_absent_sidecar_is_named(dataset: Dataset) -> None:
    dataset.bold()
    dataset.file("task-rest_bold.json", b'{"EchoTime": ')
    index = build_index(dataset.root)
    with pytest.raises(InputError, match=r"task-rest_bold\.json: no readable JSON"):
        index.metadata(index.images["01"][0])
    (dataset.root / "task-rest_bold.json").unlink()
    (dataset.root / "task-rest_bold.json").symlink_to("nowhere")
    index = build_index(dataset.root)
    with pytest.raises(InputError, match=r"datalad get task-rest_bold\.json"):
        index.metadata(index.images["01"][0])


def test_a_symlinked_dataset_is_read_like_any_other(dataset: Dataset, tmp_path: Path) -> None:
    dataset.bold()
    link = tmp_path / "link"
    link.symlink_to(dataset.root)
    index = build_index(link)
    assert index.images["01"][0].path.is_relative_to(link)
    assert index.metadata(index.images["01"][0])["EchoTime"] == 0.03


@pytest.mark.shared
@pytest.mark.parametrize("name", ["ds210", "eyetracking_fmri"])
def test_metadata_are_those_that_pybids_finds(layouts: Path, name: str) -> None:
    from bids import BIDSLayout

    reference = BIDSLayout(layouts / name, validate=False)
    index = build_index(layouts / name)
    images = [image for label in index.participants for image in index.images[label]]
    expected = {file.path for file in reference.get(extension=[".nii", ".nii.gz"], datatype=["anat", "func", "fmap"])}
    assert {str(image.path) for image in images} == expected
    for image in images[:40]:
        theirs = reference.get_metadata(str(image.path))
        ours = index.metadata(image)
        assert ours == {key: theirs[key] for key in ours}
        for key in ("EchoTime", "RepetitionTime", "IntendedFor", "PhaseEncodingDirection"):
            assert ours.get(key) == theirs.get(key)
