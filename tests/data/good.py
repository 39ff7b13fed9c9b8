"""The good inputs that each bad one is made from: as small as the program accepts, and made once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

SICK, WELL = "01", "02"
"""The participant that is damaged, and the neighbour that must not notice."""
ECHO_TIMES_S = (0.0132, 0.0305, 0.0478)
_T1W_MM, _BOLD_MM = 2.5, 6.0


def centred(shape: tuple[int, ...], voxel_mm: float) -> np.ndarray:
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = -voxel_mm * (np.array(shape[:3]) - 1) / 2
    return affine


def nifti(data: np.ndarray, affine: np.ndarray, repetition_time_s: float | None = None) -> nib.Nifti1Image:
    image = nib.Nifti1Image(data, affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    if repetition_time_s is not None:
        image.header["pixdim"][4] = repetition_time_s
    return image


def head() -> nib.Nifti1Image:
    """A bright brain in a dark skull in a scalp, 3.3 litres."""
    shape = (64, 80, 88)
    affine = centred(shape, _T1W_MM)
    points = np.moveaxis(np.indices(shape), 0, -1) * _T1W_MM + affine[:3, 3]
    radius = np.sqrt(((points / [72.0, 92.0, 100.0]) ** 2).sum(axis=-1))
    data = np.where(radius < 0.75, 800, np.where((radius > 0.92) & (radius < 1), 600, 0)).astype(np.int16)
    return nifti(data, affine)


def series(echo: int, volumes: int = 24) -> nib.Nifti1Image:
    """An echo: weaker the later it is."""
    shape = (16, 18, 14, volumes)
    data = np.random.default_rng(echo).integers(100, 900, shape) * np.exp(-0.4 * echo)
    return nifti(data.astype(np.int16), centred(shape, _BOLD_MM), 2.0)


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def make_dataset(root: Path) -> Path:
    """Write a BIDS dataset: two participants alike, three echoes each, with a phase-difference field map."""
    root.mkdir(parents=True)
    write_json(root / "dataset_description.json", {"Name": "good", "BIDSVersion": "1.10.0"})
    (root / "participants.tsv").write_text(f"participant_id\tsite\nsub-{SICK}\tA\nsub-{WELL}\tB\n", encoding="utf-8")
    for label in (SICK, WELL):
        for folder in ("anat", "func", "fmap"):
            (root / f"sub-{label}" / folder).mkdir(parents=True)
        person = Person(root, label)
        nib.save(head(), person.t1w)
        write_json(person.sidecar(person.t1w), {"SkullStripped": False})
        for number, time_s in enumerate(ECHO_TIMES_S, start=1):
            nib.save(series(number), person.echo(number))
            write_json(person.sidecar(person.echo(number)), _ECHO_FIELDS | {"EchoTime": time_s})
        for name in ("phasediff", "magnitude1"):
            nib.save(series(9, 1).slicer[..., 0], person.fieldmap(name))
        fields = {"EchoTime1": 0.00492, "EchoTime2": 0.00738, "IntendedFor": f"bids::sub-{label}/func/{person.echo(1).name}"}
        write_json(person.sidecar(person.fieldmap("phasediff")), fields)
    return root


_ECHO_FIELDS = {"RepetitionTime": 2.0, "PhaseEncodingDirection": "j", "TotalReadoutTime": 0.03}


@dataclass(frozen=True)
class Person:
    """Where the files of one participant are, and the usual ways to change them."""

    root: Path
    label: str = SICK

    @property
    def folder(self) -> Path:
        return self.root / f"sub-{self.label}"

    @property
    def t1w(self) -> Path:
        return self.folder / "anat" / f"sub-{self.label}_T1w.nii.gz"

    def echo(self, number: int) -> Path:
        return self.folder / "func" / f"sub-{self.label}_task-rest_echo-{number}_bold.nii.gz"

    def fieldmap(self, name: str) -> Path:
        return self.folder / "fmap" / f"sub-{self.label}_{name}.nii.gz"

    @staticmethod
    def sidecar(image: Path) -> Path:
        return image.with_name(image.name.replace(".nii.gz", ".json"))

    def edit(self, image: Path, **fields: Any) -> None:
        """Change fields of an image's sidecar; None takes one out."""
        path = self.sidecar(image)
        content = json.loads(path.read_text()) | fields
        write_json(path, {key: value for key, value in content.items() if value is not None})

    def text(self, image: Path, content: str | bytes) -> None:
        """Put something else in place of an image's sidecar."""
        self.sidecar(image).write_bytes(content.encode() if isinstance(content, str) else content)

    @staticmethod
    def change(image: Path, change: Callable[[nib.Nifti1Image], nib.Nifti1Image | None]) -> None:
        """Read an image, change it, and write it in its place."""
        read = nib.load(image)
        loaded = nib.Nifti1Image(np.asanyarray(read.dataobj), read.affine, read.header)
        nib.save(change(loaded) or loaded, image)

    @staticmethod
    def header(image: Path, change: Callable[[np.ndarray], None]) -> None:
        """Change bytes of the header that nibabel would not write, leaving the data as they are."""
        import gzip

        content = bytearray(gzip.decompress(image.read_bytes()))
        fields = np.frombuffer(content, dtype=nib.Nifti1Header.template_dtype, count=1).copy()
        change(fields[0])
        content[: fields.itemsize] = fields.tobytes()
        image.write_bytes(gzip.compress(bytes(content), 1, mtime=0))


def copy(good: Path, root: Path) -> Person:
    """Copy the good dataset and return the participant to be damaged."""
    shutil.copytree(good, root)
    return Person(root)
