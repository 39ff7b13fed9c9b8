"""The carpet stage: tSNR of series whose noise is known, and signals that show in the right tissue at the right volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up_participant import CENTRE, storage_affine

from tmsprep import stages
from tmsprep.denoise.series import Series
from tmsprep.errors import ContractError, InputError
from tmsprep.files import read_tsv, save_nifti, write_tsv
from tmsprep.report import carpet as stage
from tmsprep.report.carpet_picture import Carpet, draw
from tmsprep.report.tsnr_steps import cleaned_tsnr
from tmsprep.spaces import Grid, Transform, apply_affine, save_itk_affines

VOLUMES, DUMMIES, CENSORED = 120, 2, (40, 41)
SHAPE = (26, 30, 24)
TURN = np.eye(4)
TURN[:3, :3] = [[np.cos(0.2), -np.sin(0.2), 0], [np.sin(0.2), np.cos(0.2), 0], [0, 0, 1]]
TURN[:3, 3] = [7.0, -5.0, 3.0]
"""T1w points to boldref points."""
SPIKES = {"grey matter": 20, "white matter": 60, "CSF": 90}
"""At this volume, as acquired, all voxels of the tissue are bright."""


def tissues(points: np.ndarray) -> dict[str, np.ndarray]:
    """Return which points (..., 3), T1w mm, are of which tissue: a ball of CSF to the left, white matter, a grey rim."""
    radius = np.linalg.norm(points - CENTRE, axis=-1)
    csf = np.linalg.norm(points - (CENTRE + [-22.0, 8.0, 0.0]), axis=-1) < 11
    return {"gm": (radius < 50) & (radius >= 36) & ~csf, "wm": (radius < 36) & ~csf, "csf": csf, "brain": radius < 50}


def grid_points(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    return apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))


def made_up(
    folder: Path, *, native: str = "LPS", anatomical: str = "PSR", multi_echo: bool = True, dummies: int = DUMMIES
) -> dict[str, Any]:
    """Write a run: mean 100; standard deviation 4 in one echo, 2.5 combined, 2 after tedana, 1 after the regression."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    affine = TURN @ storage_affine(native, SHAPE, 5.0)
    own = tissues(apply_affine(np.linalg.inv(TURN), grid_points(affine, SHAPE)))
    files: dict[str, Any] = {}
    files["mask"] = folder / "mask.nii.gz"
    save_nifti(files["mask"], own["brain"], affine, xform_code=1)
    for name, sd, first in (("echo", 4.0, 0), ("optcom", 2.5, dummies), ("denoised", 2.0, dummies)):
        files[name] = folder / f"{name}_bold.nii"
        save_series(files[name], series(own, rng, 100.0, sd)[..., first:], affine)
    anatomy = storage_affine(anatomical, (60, 64, 62), 2.0)
    anatomical_tissues = tissues(grid_points(anatomy, (60, 64, 62)))
    for name in ("gm", "wm", "csf"):
        files[name] = folder / f"{name}.nii.gz"
        save_nifti(files[name], anatomical_tissues[name].astype(np.float32), anatomy, xform_code=1)
    files["cleaned"], files["cleaned_mask"] = folder / "cleaned_bold.nii", folder / "cleaned_mask.nii.gz"
    target = storage_affine("LAS", (24, 24, 22), 5.0)
    cleaned = tissues(grid_points(target, (24, 24, 22)))
    save_series(files["cleaned"], series(cleaned, rng, 0.0, 1.0)[..., dummies:], target)
    save_nifti(files["cleaned_mask"], cleaned["brain"], target, xform_code=1)
    files["boldref_to_t1w"] = folder / "from-boldref_to-T1w.txt"
    save_itk_affines(files["boldref_to_t1w"], [TURN])
    files |= tables(folder, dummies)
    echoes = [files.pop("echo")]
    files["echo"] = echoes * 3 if multi_echo else echoes
    if not multi_echo:
        del files["optcom"], files["denoised"]
    return files | {"out_carpet": folder / "carpet.png", "out_tsnr": folder / "tsnr.tsv"}


def series(own: dict[str, np.ndarray], rng: np.random.Generator, mean: float, sd: float) -> np.ndarray:
    data = np.zeros((*own["brain"].shape, VOLUMES), dtype=np.float32)
    data[own["brain"]] = rng.normal(mean, sd, (int(own["brain"].sum()), VOLUMES))
    for name, tissue in (("gm", "grey matter"), ("wm", "white matter"), ("csf", "CSF")):
        data[own[name], SPIKES[tissue]] += 3 * sd
    return data


def save_series(path: Path, data: np.ndarray, affine: np.ndarray) -> None:
    save_nifti(path, data, affine, xform_code=1, repetition_time_s=2.0)


def tables(folder: Path, dummies: int) -> dict[str, Path]:
    fd = np.full(VOLUMES, 0.1)
    fd[list(CENSORED)], fd[0] = 0.8, np.nan
    table = pd.DataFrame({"framewise_displacement": fd})
    for index in range(dummies):
        table[f"non_steady_state_outlier{index:02d}"] = (np.arange(VOLUMES) == index).astype(float)
    files = {"confounds": folder / "confounds.tsv", "regressors": folder / "regressors.tsv"}
    write_tsv(files["confounds"], table)
    volumes = np.arange(dummies, VOLUMES)
    kept = (~np.isin(volumes, CENSORED)).astype(int)
    write_tsv(files["regressors"], pd.DataFrame({"volume": volumes, "kept": kept}))
    return files


def drawn_by(arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    """Run the stage's function and return what it draws: both carpets, FD, kept volumes."""
    calls: list[tuple[Any, ...]] = []

    def keep(path: Path, *what: Any) -> None:
        calls.append(what)
        path.write_bytes(b"")

    monkeypatch.setattr(stage, "draw", keep)
    stage.draw_carpet(**arguments)
    return calls[0]


def carpets(arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Carpet, Carpet]:
    before, after, *_ = drawn_by(arguments, monkeypatch)
    return before, after


def test_tsnr_is_mean_over_the_noise_that_was_put_in(tmp_path: Path) -> None:
    arguments = made_up(tmp_path / "run")
    stages.run("carpet", arguments)
    table = read_tsv(arguments["out_tsnr"]).set_index("step")
    expected = {"one echo": 25.0, "combined": 40.0, "tedana": 50.0, "regression": 100.0}
    assert list(table.index) == list(expected)
    for column in ("tsnr_median_brain", "tsnr_median_gm"):
        # one spike of 3 SD in 116 volumes makes the noise 4 % larger
        assert table[column].to_dict() == pytest.approx(expected, rel=0.06)
    assert table.loc["one echo", "description"] == "echo 2 of 3 alone"


def test_the_last_step_takes_the_mean_of_the_same_place() -> None:
    """The mean rises from left to right (boldref mm); censored volumes are wild, and the grids lie between each other."""
    native = np.diag([5.0, 5.0, 5.0, 1.0])
    everywhere = np.ones(SHAPE, dtype=bool)
    everywhere[:, :4] = False
    means = 100 + grid_points(native, SHAPE)[everywhere][:, 0]
    before = Series(means[np.newaxis].astype(np.float32), everywhere, Grid(SHAPE, native), 2.0)
    affine = np.linalg.inv(TURN) @ native @ np.array([[1, 0, 0, 5.5], [0, 1, 0, 2.7], [0, 0, 1, 4.5], [0, 0, 0, 1.0]])
    small = (12, 16, 14)
    kept = np.arange(40) != 7
    samples = np.where(np.arange(40) % 2, 2.0, -2.0)[:, np.newaxis] * np.ones((1, int(np.prod(small))))
    samples[7] = 1e4
    cleaned = Series(samples.astype(np.float32), np.ones(small, dtype=bool), Grid(small, affine.astype(np.float64)), 2.0)
    found = cleaned_tsnr(cleaned, kept, before, Transform.from_matrix(TURN)).reshape(small)
    x_mm = apply_affine(TURN @ affine, np.moveaxis(np.indices(small), 0, -1))[..., 0]
    assert np.isnan(found[:, 0]).all(), "there is no mean where the mask before does not reach"
    expected = (100 + x_mm) / samples[kept, 0].std()
    assert found[:, 2:] == pytest.approx(expected[:, 2:], rel=1e-5)
    assert found[:, 1] == pytest.approx(expected[:, 1], rel=1e-5), "the rim is not darkened by the nothing around it"


def test_single_echo_has_two_steps(tmp_path: Path) -> None:
    arguments = made_up(tmp_path / "run", multi_echo=False, dummies=0)
    stages.run("carpet", arguments)
    table = read_tsv(arguments["out_tsnr"])
    assert list(table["step"]) == ["preprocessed", "regression"]
    assert table["tsnr_median_brain"].to_numpy() == pytest.approx([25, 100], rel=0.06)


@pytest.mark.parametrize(
    ("native", "anatomical"), [("LPS", "PSR"), ("RAS", "oblique"), ("oblique", "LAS"), ("SAR", "sheared")]
)
def test_each_tissues_spike_is_in_its_rows_at_its_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: str, anatomical: str
) -> None:
    before, after = carpets(made_up(tmp_path / "run", native=native, anatomical=anatomical), monkeypatch)
    for drawn in (before, after):
        for block, tissue in zip(drawn.blocks, stage.TISSUES, strict=True):
            assert len(block) > 15
            assert block.shape[1] == VOLUMES
            assert np.isnan(block[:, :DUMMIES]).all(), "the series begins after the dummy scans"
            mean = block[:, DUMMIES:].mean(axis=0)
            for name, volume in SPIKES.items():
                value = mean[volume - DUMMIES]
                assert value > 1.8 if name == tissue else abs(value) < 0.75, (tissue, name)


def test_dummies_and_censored_volumes_are_at_their_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single-echo series holds the dummies as acquired, the cleaned one does not."""
    before, after, fd_mm, kept = drawn_by(made_up(tmp_path / "run", multi_echo=False), monkeypatch)[:4]
    assert np.flatnonzero(~kept).tolist() == [*range(DUMMIES), *CENSORED]
    assert np.flatnonzero(fd_mm > 0.5).tolist() == list(CENSORED)
    for block in before.blocks:
        assert block.shape[1] == VOLUMES and np.isfinite(block).all()
    for block in after.blocks:
        assert np.flatnonzero(np.isnan(block).any(axis=0)).tolist() == list(range(DUMMIES))
        assert block.mean(axis=0)[DUMMIES:].argmax() + DUMMIES in SPIKES.values()


def test_pixels_of_the_picture_are_at_their_volumes(tmp_path: Path) -> None:
    """One censored volume is shaded, one volume is black, one is lacking: each in its column of the picture."""
    from PIL import Image

    volumes = 20
    rows = np.zeros((60, volumes), dtype=np.float32)
    rows[:, 6], rows[:, 0] = -5, np.nan
    kept = np.arange(volumes) != 12
    carpet = Carpet((rows, rows, rows))
    draw(tmp_path / "drawn.png", carpet, carpet, np.full(volumes, 0.1), kept, stage.TISSUES)
    with Image.open(tmp_path / "drawn.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert (pixels[:, -1] == 255).all() and (pixels[:, 0] == 255).all(), "nothing is cut off at the edges"
    middle = pixels[240]  # through the upper carpet
    left, right = extent_of(middle)
    width = (right - left) / volumes
    black = [column for column in range(volumes) if middle[int(left + (column + 0.5) * width)].sum() < 30]
    assert black == [6]
    lacking = middle[int(left + 0.5 * width)]
    assert lacking[0] > lacking[2] + 20, "a volume that is not there is in a colour, not in grey"
    shaded = [column for column in range(volumes) if is_orange(pixels[40, int(left + (column + 0.5) * width)])]
    assert shaded == [12]


def extent_of(row: np.ndarray) -> tuple[int, int]:
    """Return where the carpet begins and ends in a row of pixels: between the dark lines of its frame."""
    dark = np.flatnonzero(row.sum(axis=1) < 30)
    return int(dark[0]), int(dark[-1])


def is_orange(pixel: np.ndarray) -> bool:
    return bool(pixel[0] > pixel[1] + 15 > pixel[2] + 30)


def test_drift_is_no_part_of_what_is_drawn() -> None:
    ramp = np.linspace(-100, 100, VOLUMES)[:, np.newaxis]
    samples = (1000 + ramp + np.random.default_rng(2).normal(0, 10, (VOLUMES, 50))).astype(np.float32)
    kept = np.arange(VOLUMES) > 4
    rest = stage.standardised(samples, kept)
    assert np.abs(np.polyfit(np.flatnonzero(kept), rest[kept], 1)).max() < 1e-4


def test_voxels_without_signal_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the brain holds nothing, and one voxel no number: neither rows nor medians know of them."""
    import nibabel as nib

    arguments = made_up(tmp_path / "run", multi_echo=False)
    image = nib.Nifti1Image.from_filename(arguments["echo"][0])
    data = np.array(image.dataobj, dtype=np.float32)
    data[: SHAPE[0] // 3] = 0
    data[SHAPE[0] // 2, SHAPE[1] // 2, SHAPE[2] // 2] = np.nan
    assert image.affine is not None
    save_series(arguments["echo"][0], data, image.affine)
    before, _ = carpets(arguments, monkeypatch)
    for block in before.blocks:
        assert np.isfinite(block).all() and (block.std(axis=1) > 0).all()
    table = read_tsv(arguments["out_tsnr"])
    assert table["tsnr_median_brain"].to_numpy() == pytest.approx([25, 100], rel=0.06)


def test_without_tedanas_series_there_is_no_row_for_it(tmp_path: Path) -> None:
    arguments = made_up(tmp_path / "run")
    del arguments["denoised"]
    stages.run("carpet", arguments)
    assert list(read_tsv(arguments["out_tsnr"])["step"]) == ["one echo", "combined", "regression"]


@pytest.mark.parametrize(("echoes", "lacks"), [(3, "optcom"), (1, "denoised")])
def test_echoes_that_do_not_go_with_tedanas_series_are_refused(tmp_path: Path, echoes: int, lacks: str) -> None:
    arguments = made_up(tmp_path / "run")
    del arguments[lacks]
    with pytest.raises(InputError, match="one echo alone, or several"):
        stages.run("carpet", arguments | {"echo": arguments["echo"][:echoes]})


def test_a_mask_on_another_grid_is_refused(tmp_path: Path) -> None:
    arguments = made_up(tmp_path / "run")
    with pytest.raises(ContractError, match="the grid"):
        stages.run("carpet", arguments | {"mask": arguments["cleaned_mask"]})


def test_rows_are_standardised_over_the_kept_volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = carpets(made_up(tmp_path / "run"), monkeypatch)
    kept = np.setdiff1d(np.arange(DUMMIES, VOLUMES), CENSORED)
    for block in (*before.blocks, *after.blocks):
        assert block[:, kept].mean(axis=1) == pytest.approx(np.zeros(len(block)), abs=1e-4)
        assert block[:, kept].std(axis=1) == pytest.approx(np.ones(len(block)), abs=1e-4)


def test_the_picture_does_not_depend_on_how_files_are_stored(tmp_path: Path) -> None:
    """The same voxels in another order in the file: the same bytes."""
    first = made_up(tmp_path / "a")
    second = made_up(tmp_path / "b")
    for name in ("optcom", "denoised", "mask", "cleaned", "cleaned_mask"):
        flip(second[name])
    for path in dict.fromkeys(second["echo"]):
        flip(path)
    for arguments in (first, second):
        stages.run("carpet", arguments)
    stages.run("carpet", first | {"out_carpet": tmp_path / "again.png"})
    assert (tmp_path / "again.png").read_bytes() == first["out_carpet"].read_bytes()
    assert first["out_carpet"].read_bytes() == second["out_carpet"].read_bytes()
    assert first["out_tsnr"].read_bytes() == second["out_tsnr"].read_bytes()


def flip(path: Path) -> None:
    """Store an image with its first axis reversed and the other two exchanged."""
    import nibabel as nib

    image = nib.Nifti1Image.from_filename(path)
    data = np.swapaxes(np.asarray(image.dataobj)[::-1], 1, 2)
    change = np.array([[-1, 0, 0, image.shape[0] - 1], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], dtype=float)
    affine = image.affine @ change
    if image.ndim == 4:
        save_series(path, data.astype(np.float32), affine)
    else:
        save_nifti(path, data > 0, affine, xform_code=1)


def test_the_picture_is_small_and_says_nothing_of_when_and_where(tmp_path: Path) -> None:
    from PIL import Image

    arguments = made_up(tmp_path / "run")
    stages.run("carpet", arguments)
    with Image.open(arguments["out_carpet"]) as image:
        assert image.info == {} or set(image.info) <= {"transparency", "gamma", "dpi"}
        assert image.width >= 800


def test_a_long_run_of_pure_noise_makes_no_large_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    carpet = Carpet(tuple(rng.normal(size=(rows, 600)).astype(np.float32) for rows in (170, 90, 40)))
    draw(tmp_path / "drawn.png", carpet, carpet, np.full(600, 0.1), np.ones(600, dtype=bool), stage.TISSUES)
    assert (tmp_path / "drawn.png").stat().st_size < 400_000


def test_tables_of_another_run_are_refused(tmp_path: Path) -> None:
    arguments = made_up(tmp_path / "run")
    for named in ([0, VOLUMES], [], list(range(VOLUMES - 1)), [0, *range(2, VOLUMES)]):
        write_tsv(arguments["regressors"], pd.DataFrame({"volume": named, "kept": [1] * len(named)}))
        with pytest.raises(ContractError, match="the confounds have 120 rows"):
            stages.run("carpet", arguments)
    write_tsv(arguments["regressors"], pd.DataFrame({"volume": range(VOLUMES), "kept": [0] * VOLUMES}))
    with pytest.raises(ContractError, match="0 volumes kept"):
        stages.run("carpet", arguments)
    assert not arguments["out_carpet"].exists() and not arguments["out_tsnr"].exists()


def test_a_cleaned_series_of_another_run_is_refused(tmp_path: Path) -> None:
    arguments = made_up(tmp_path / "run")
    other = made_up(tmp_path / "other", dummies=5)
    with pytest.raises(ContractError, match="volumes, but the confounds have"):
        stages.run("carpet", arguments | {"cleaned": other["cleaned"], "cleaned_mask": other["cleaned_mask"]})
