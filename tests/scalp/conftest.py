"""Heads for the scalp tests: a sphere, and the template's head, whose fiducials are published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tmsprep.files import load_nifti, read_data, save_nifti
from tmsprep.spaces import save_itk_affines
from tmsprep.stages import run
from tmsprep.surfaces import Surface
from tmsprep.templates import NLIN2009C, load

Array = NDArray[np.float64]


def icosphere(radius_mm: float, subdivisions: int) -> Surface:
    """A sphere of equal triangles, wound outwards."""
    golden = (1 + 5**0.5) / 2
    points = [p for a in (-1, 1) for b in (-golden, golden) for p in ((0, a, b), (a, b, 0), (b, 0, a))]
    vertices = np.array(points, dtype=np.float64)
    from scipy.spatial import ConvexHull

    for _ in range(subdivisions + 1):
        vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
        faces = ConvexHull(vertices).simplices
        edges = np.unique(np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
        finer = np.vstack([vertices, vertices[edges].mean(axis=1)])
        done, vertices = vertices, finer
    corners = done[faces]
    outward = np.einsum("ij,ij->i", np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), corners[:, 0])
    faces = np.where((outward > 0)[:, np.newaxis], faces, faces[:, ::-1])
    return Surface(done * radius_mm, faces.astype(np.int64))


@dataclass(frozen=True)
class HeadFiles:
    """A T1w, its transform to MNI, and what the scalp stages made of it."""

    folder: Path
    affine_ras_mm: Array

    @property
    def t1w(self) -> Path:
        return self.folder / "T1w.nii.gz"

    @property
    def t1w_to_mni(self) -> Path:
        return self.folder / "from-T1w_to-MNI_xfm.txt"

    @property
    def scalp(self) -> Path:
        return self.folder / "desc-scalp.surf.gii"

    @property
    def fiducials(self) -> Path:
        return self.folder / "fiducials.tsv"

    @property
    def beamf3(self) -> Path:
        return self.folder / "beamf3.json"

    def run_scalp(self, fiducials_file: Path | None = None) -> None:
        run(
            "scalp",
            {
                "t1w": self.t1w,
                "t1w_to_mni": self.t1w_to_mni,
                "fiducials_file": fiducials_file,
                "out_head_mask": self.folder / "head_mask.nii.gz",
                "out_scalp": self.scalp,
                "out_fiducials": self.fiducials,
            },
        )

    def run_beamf3(self) -> None:
        given = {"scalp": self.scalp, "fiducials": self.fiducials}
        run("beamf3", given | {"out_result": self.beamf3, "out_picture": self.folder / "scalp.png"})


def write_head(folder: Path, data: Array, affine_ras_mm: Array, mni_to_t1w: Array) -> HeadFiles:
    folder.mkdir(parents=True, exist_ok=True)
    head = HeadFiles(folder, affine_ras_mm)
    save_nifti(head.t1w, np.asarray(data, dtype=np.float32), affine_ras_mm, xform_code=1)
    save_itk_affines(head.t1w_to_mni, [mni_to_t1w])
    return head


@pytest.fixture(scope="session")
def template_t1w() -> tuple[Array, Array]:
    image = load_nifti(load(NLIN2009C).head)
    return read_data(image), np.asarray(image.affine, dtype=np.float64)


@pytest.fixture(scope="session")
def template_brain() -> Array:
    return read_data(load_nifti(load(NLIN2009C).brain_mask)) > 0


@pytest.fixture(scope="session")
def template_head(tmp_path_factory: pytest.TempPathFactory, template_t1w: tuple[Array, Array]) -> HeadFiles:
    """The template's head after both scalp stages."""
    head = write_head(tmp_path_factory.mktemp("template"), *template_t1w, np.eye(4))
    head.run_scalp()
    head.run_beamf3()
    return head
