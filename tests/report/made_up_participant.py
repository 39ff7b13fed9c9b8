"""A small made-up participant, with every file that the report reads; stored in any orientation."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tests.scalp.conftest import icosphere

from tmsprep.files import save_nifti, write_tsv
from tmsprep.records import BeamF3Result, Candidate, Fiducial, Status, TargetResult, save_fiducials
from tmsprep.spaces import apply_affine, save_itk_affines
from tmsprep.surfaces import Surface

CENTRE = np.array([4.0, -12.0, 20.0])
TARGET = (-36.5, 25.0, 49.25)
SECOND = (-30.0, 33.0, 45.0)
ENTRY = (-47.3, 38.1, 68.2)
BEAM_SCALP = (-50.6, 46.2, 57.9)
BEAM_CORTEX = (-37.75, 33.5, 42.5)
MARKER_LEFT = (-45.0, -32.0, 20.0)
"""The centre of a bright ball in the left of the head, and only there."""

_OBLIQUE = np.array([[0.94, -0.26, 0.22], [0.30, 0.94, -0.17], [-0.16, 0.23, 0.96]])


def storage_affine(name: str, shape: tuple[int, int, int], zoom: float) -> np.ndarray:
    """Return the affine of a grid around the head, stored along the axes that `name` says."""
    if name == "oblique":
        u, _, v = np.linalg.svd(_OBLIQUE)
        directions = u @ v
    elif name == "sheared":
        directions = np.array([[1.0, 0.0, 0.1], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    else:
        directions = np.zeros((3, 3))
        for column, letter in enumerate(name):
            axis = "LRPAIS".index(letter) // 2
            directions[axis, column] = 1.0 if letter in "RAS" else -1.0
    affine = np.eye(4)
    affine[:3, :3] = directions * zoom
    affine[:3, 3] = CENTRE - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def head(points: np.ndarray) -> dict[str, np.ndarray]:
    """Return T1w value, brain and white matter at points (..., 3), RAS mm: ellipsoids and one bright ball."""
    relative = points - CENTRE
    radius = np.sqrt(((relative / [72.0, 92.0, 78.0]) ** 2).sum(axis=-1))
    brain = radius < 0.84
    white = (radius < 0.62) | (np.sin(relative[..., 1] / 5) * np.sin(relative[..., 2] / 5) > 0.55) & (radius < 0.78)
    value = np.zeros(radius.shape, dtype=np.float32)
    value[radius < 1.0] = 110
    value[radius < 0.93] = 25
    value[brain] = 90
    value[brain & white] = 140
    value[np.linalg.norm(points - np.array(MARKER_LEFT), axis=-1) < 7] = 400
    return {"t1w": value, "brain": brain, "white": white & brain}


@dataclass
class Participant:
    """The files of one made-up participant; change fields before `write`."""

    folder: Path
    name: str = "sub-01"
    orientation: str = "RAS"
    multi_echo: bool = True
    target_status: Status = Status.OK
    target_reasons: tuple[str, ...] = ()
    beam_status: Status = Status.OK
    circuit: str = "sgacc"
    candidates: tuple[Candidate, ...] = (
        Candidate(TARGET, (-38.2, 30.1, 44.4), 0.412, 0.533, 61, 1647.0, 24.6),
        Candidate(SECOND, (-31.0, 38.5, 41.2), 0.371, 0.467, 38, 1026.0, 22.1),
    )
    measures: dict[str, float] = field(
        default_factory=lambda: {"split_half_mm": 3.27, "radius_95_mm": 9.64, "coverage_search_mask": 0.974}
    )
    summary: dict[str, Any] = field(
        default_factory=lambda: {
            "CleanMinutes": 11.6 / 2, "MeanFD_mm": 0.131, "KeptVolumes": 290, "TotalVolumes": 300, "FDThreshold_mm": 0.3,
            "TSNR": {"GreyMatterMedian": 61.25, "SearchMaskMedian": 58.5}, "Warnings": [],
            "Command": "tmsprep stage denoise",
        }
    )  # fmt: skip
    marker_reasons: str = "n/a"
    plan_reason: str = "no T1w"
    scale: float = 2.0
    runs: int = 2

    def write(self) -> dict[str, Any]:
        """Write all files; return the arguments of the report stage."""
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments: dict[str, Any] = {"participant": self.name, **self._anatomy(), **self._results(), **self._runs()}
        arguments |= {"scalp": self._scalp(), "cloud": self._cloud(), **self._cleaning()}
        return arguments | {"plan": self._plan(), "out_html": self.folder / f"{self.name}.html"}

    def _scalp(self) -> Path:
        """The ellipsoid that the head is."""
        ball = icosphere(1.0, 5)
        path = self.folder / "scalp.surf.gii"
        Surface(ball.vertices_ras_mm * [72.0, 92.0, 78.0] + CENTRE, ball.faces).save(path)
        return path

    def _cloud(self) -> Path:
        path = self.folder / "cloud.tsv"
        places = np.array(TARGET) + [[0, 0, 0], [4, 3, -2], [-3, 5, 2], [6, -6, 4]]
        write_tsv(path, pd.DataFrame(dict(zip("xyz", places.T, strict=True)) | {"share": [0.7, 0.15, 0.1, 0.05]}))
        return path

    def _cleaning(self) -> dict[str, list[Path]]:
        stems = [self.folder / f"{self.name}_task-rest_run-{run}_" for run in range(1, self.runs + 1)]
        files = {name: [Path(f"{stem}{end}") for stem in stems] for name, end in _CLEANING_ENDS.items()}
        for picture, table in zip(files["carpet"], files["tsnr_steps"], strict=True):
            _png(picture)
            rows = [("combined", "echoes combined", 81.5, 77.25), ("regression", "what was left, smoothed", 148.0, 139.5)]
            write_tsv(table, pd.DataFrame(rows, columns=["step", "description", "tsnr_median_brain", "tsnr_median_gm"]))
        return files

    def _anatomy(self) -> dict[str, Path]:
        shape = tuple(int(size / self.scale) for size in (216, 256, 216))
        if self.orientation not in ("RAS", "LAS", "oblique", "sheared"):
            shape = (shape[1], shape[2], shape[0])
        affine = storage_affine(self.orientation, shape, self.scale)
        points = apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
        parts = head(points)
        rng = np.random.default_rng(1)
        t1w = parts["t1w"] + rng.normal(0, 4, shape).astype(np.float32) * (parts["t1w"] > 0)
        files = {"t1w": self.folder / "T1w.nii.gz", "brain_mask": self.folder / "mask.nii.gz"}
        save_nifti(files["t1w"], t1w.astype(np.float32), affine, xform_code=1)
        save_nifti(files["brain_mask"], parts["brain"], affine, xform_code=1)
        return files

    def write_results(self) -> dict[str, Path]:
        """Write the results alone: all that the group needs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self._results()

    def _results(self) -> dict[str, Path]:
        names = ("scores.nii.gz", "target.json", "beamf3.json", "fiducials.tsv", "markers.tsv", "scalp.png")
        keys = ("scores", "target", "beamf3", "fiducials", "markers", "scalp_picture")
        files = {key: self.folder / name for key, name in zip(keys, names, strict=True)}
        self._scores(files["scores"])
        TargetResult(
            "timecourse", self.circuit, "dlpfc-spheres", self.target_status, self.target_reasons, self.candidates, 11.6,
            0.131, self.measures,
        ).save(files["target"])  # fmt: skip
        self._beam().save(files["beamf3"])
        save_fiducials(files["fiducials"], FIDUCIALS)
        write_tsv(files["markers"], self._markers(), decimals=3)
        _png(files["scalp_picture"])
        return files

    def _scores(self, path: Path) -> None:
        affine = storage_affine("LAS", (54, 64, 54), 4.0)
        points = apply_affine(affine, np.moveaxis(np.indices((54, 64, 54)), 0, -1))
        distance = np.linalg.norm(points - np.array(TARGET), axis=-1)
        save_nifti(path, np.where(distance < 22, 0.5 - distance / 30, 0).astype(np.float32), affine, xform_code=1)

    def _beam(self) -> BeamF3Result:
        reasons = () if self.beam_status is Status.OK else ("the inion could not be found",)
        paths = {"nasion_inion": "plane section over the vertex", "circumference": "plane through FPz, T7, Oz and T8"}
        return BeamF3Result(
            369.4, 361.8, 581.2, 67.14, 96.37, BEAM_SCALP, (-49.1, 44.9, 60.2), (3.9, -10.2, 98.0), self.beam_status,
            reasons, paths,
        )  # fmt: skip

    def _markers(self) -> pd.DataFrame:
        places = [(("circuit", "circuit-2")[rank], item, ENTRY) for rank, item in enumerate(self.candidates[:2])]
        rows = [
            _marker_row(name, item.target_ras_mm, item.target_mni_mm, entry, self.target_status, self.marker_reasons)
            for name, item, entry in places
        ]
        rows.append(_marker_row("beamF3", BEAM_CORTEX, (-40.1, 36.4, 39.9), BEAM_SCALP, self.beam_status, "n/a"))
        return pd.DataFrame(rows)

    def _runs(self) -> dict[str, Any]:
        files: dict[str, Any] = {key: [] for key in ("confounds", "denoise_summary", "boldref", "boldref_to_t1w")}
        files |= {"tedana_summary": [], "tedana_metrics": []} if self.multi_echo else {}
        for run in range(1, self.runs + 1):
            stem = self.folder / f"{self.name}_task-rest_run-{run}_"
            endings = {
                "confounds": "desc-confounds_timeseries.tsv",
                "denoise_summary": "denoise.json",
                "boldref": "desc-coreg_boldref.nii.gz",
                "boldref_to_t1w": "from-boldref_to-T1w.txt",
                "tedana_summary": "tedana.json",
                "tedana_metrics": "desc-tedana_metrics.tsv",
            }
            named = {key: Path(f"{stem}{ending}") for key, ending in endings.items()}
            self._write_run(run, named)
            for key in files:
                files[key].append(named[key])
        return files

    def _write_run(self, run: int, named: dict[str, Path]) -> None:
        rng = np.random.default_rng(run)
        fd = np.abs(rng.normal(0.1, 0.05, 300))
        fd[120:126], fd[0] = 0.7, np.nan
        dvars = np.where(np.nan_to_num(fd) > 0.3, 1.9, 1.0) + rng.normal(0, 0.05, 300)
        table = pd.DataFrame({"framewise_displacement": fd, "std_dvars": dvars})
        for index in range(4):
            table[f"non_steady_state_outlier{index:02d}"] = (np.arange(300) == index).astype(float)
        write_tsv(named["confounds"], table)
        named["denoise_summary"].write_text(json.dumps(self.summary))
        _boldref(named["boldref"], named["boldref_to_t1w"])
        if self.multi_echo:
            named["tedana_summary"].write_text(json.dumps({"Rung": "seed 42", "Seed": 42, "Accepted": 20, "Rejected": 10}))
            write_tsv(named["tedana_metrics"], _metrics(rng))

    def _plan(self) -> Path:
        path = self.folder / "plan.tsv"
        rows = [
            (self.name, "rest", 1, "bold", "process", "n/a", "x"), (self.name, "rest", 2, "bold", "process", "n/a", "x"),
            (self.name, "nback", 1, "bold", "exclude", "another task was asked for", "x"),
            ("sub-02", "rest", 1, "bold", "exclude", self.plan_reason, "x"),
        ]  # fmt: skip
        table = pd.DataFrame(rows, columns=["participant_id", "task", "run", "suffix", "status", "reason", "files"])
        table.insert(1, "session_id", "n/a")
        write_tsv(path, table)
        return path


_CLEANING_ENDS = {"carpet": "desc-carpetplot_bold.png", "tsnr_steps": "desc-steps_tsnr.tsv"}

FIDUCIALS = (
    Fiducial("NAS", (4.2, 79.8, -12.1), "automatic", 1.4),
    Fiducial("INI", (3.9, -103.5, -8.0), "automatic", 6.2, Status.CAUTION),
    Fiducial("LPA", (-67.5, -20.3, -14.4), "automatic", 2.2),
    Fiducial("RPA", (75.1, -20.8, -14.0), "automatic", 2.0),
)


def _marker_row(
    name: str, target: tuple[float, ...], mni: tuple[float, ...], entry: tuple[float, ...], status: Status, reasons: str
) -> dict[str, Any]:
    given = status is not Status.ABSTAIN
    row: dict[str, Any] = {"target_id": name, "target_label": name}
    parts = (("target", target), ("entry", entry), ("target_mni", mni), ("direction", (0.6, 0.7, -0.39)))
    for prefix, place in parts:
        row |= {f"{prefix}_{axis}": value if given else np.nan for axis, value in zip("xyz", place, strict=True)}
    way = {"scalp_place": "1.2 cm anterior of F3", "from_beamF3": "14 mm forward and 6 mm down (towards the ear)"}
    return row | {"coil_cortex_depth_mm": 17.5 if given else np.nan, "status": status.value, "reasons": reasons} | way


def _boldref(image: Path, transform: Path) -> None:
    """Write the brain's inverse-contrast image in a frame that is turned and shifted, and the way back."""
    turn = np.eye(4)
    turn[:3, :3] = [[np.cos(0.15), -np.sin(0.15), 0], [np.sin(0.15), np.cos(0.15), 0], [0, 0, 1]]
    turn[:3, 3] = [9.0, -6.0, 4.0]  # T1w to boldref
    affine = storage_affine("LPS", (60, 72, 60), 3.5)
    points = apply_affine(np.linalg.inv(turn) @ affine, np.moveaxis(np.indices((60, 72, 60)), 0, -1))
    parts = head(points)
    save_nifti(
        image, np.where(parts["brain"], np.where(parts["white"], 60, 100), 4).astype(np.float32), affine, xform_code=1
    )
    save_itk_affines(transform, [turn])


def _metrics(rng: np.random.Generator) -> pd.DataFrame:
    kappa = np.concatenate([rng.uniform(50, 120, 20), rng.uniform(15, 35, 10)])
    rho = np.concatenate([rng.uniform(10, 25, 20), rng.uniform(30, 80, 10)])
    variance = rng.dirichlet(np.ones(30)) * 100
    kind = ["accepted"] * 20 + ["rejected"] * 10
    return pd.DataFrame({"kappa": kappa, "rho": rho, "variance explained": variance, "classification": kind})


def _png(path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.tile(np.linspace(0, 255, 640).astype(np.uint8), (360, 1))).save(path)
