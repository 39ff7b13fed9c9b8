"""The head to simulate on: its T1w, tissue maps and tie to the template, read or made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tmsprep import stages
from tmsprep.errors import ConfigurationError, InputError
from tmsprep.files import load_nifti, read_data
from tmsprep.simulate.frames import HeadFrames
from tmsprep.simulate.participant import Anatomy
from tmsprep.spaces import Grid, Transform, resample

_TEMPLATES = Path(__file__).resolve().parent.parent / "data" / "templates"
_BETWEEN = _TEMPLATES / "from-MNI152NLin2009cAsym_to-MNI152NLin6Asym_mode-image_xfm.h5"


@dataclass(frozen=True)
class AnatomyFiles:
    """Where a head's images are."""

    t1w: Path
    gm: Path
    wm: Path
    csf: Path
    t1w_to_mni: Path
    """``from-T1w_to-MNI152NLin2009cAsym``."""

    @classmethod
    def of(
        cls,
        t1w: Path,
        *,
        gm: Path | None,
        wm: Path | None,
        csf: Path | None,
        t1w_to_mni: Path | None,
        scratch: Path,
        seed: int,
    ) -> AnatomyFiles:
        """Take the files that the user gave, or run the stages that make them.

        Raises
        ------
        ConfigurationError
            Some were given and others not.
        """
        if gm is not None and wm is not None and csf is not None and t1w_to_mni is not None:
            return cls(t1w, gm, wm, csf, t1w_to_mni)
        if any(item is not None for item in (gm, wm, csf, t1w_to_mni)):
            raise ConfigurationError(
                "only some of --gm, --wm, --csf and --t1w-to-mni are given",
                expected="all four, or none",
                action="give all, or leave all out: they are then made from the T1w",
            )
        return _prepared(t1w, scratch, seed)

    def load(self) -> Anatomy:
        """Read everything; the tissue maps are brought onto the T1w's grid where they have another.

        Raises
        ------
        InputError
            The T1w is not three-dimensional, or the tissue maps do not look like probabilities.
        """
        image = load_nifti(self.t1w)
        t1w = np.squeeze(read_data(image))
        if t1w.ndim != 3:
            raise InputError(f"the T1w has the shape {t1w.shape}", where=self.t1w, expected="three dimensions")
        grid = Grid.of(image)
        maps = [_tissue(path, grid) for path in (self.gm, self.wm, self.csf)]
        to_2009c = Transform.load(self.t1w_to_mni)
        frames = HeadFrames(to_2009c, to_2009c.followed_by(Transform.load(_BETWEEN)))
        return Anatomy(grid, t1w, maps[0], maps[1], maps[2], frames)


def _tissue(path: Path, grid: Grid) -> NDArray[np.float32]:
    image = load_nifti(path)
    data = np.squeeze(read_data(image))
    if data.min() < -0.01 or data.max() > 1.01 or data.max() < 0.5:
        raise InputError(
            f"values from {data.min():.3g} to {data.max():.3g}", where=path, expected="probabilities from 0 to 1"
        )
    if Grid.of(image).shape == grid.shape and np.allclose(Grid.of(image).affine_ras_mm, grid.affine_ras_mm, atol=1e-3):
        return data
    return resample(data, np.asarray(image.affine, dtype=np.float64), grid, order=1)


def _prepared(t1w: Path, scratch: Path, seed: int) -> AnatomyFiles:
    """Run the stages `anatomy` and `normalise`, and return what they wrote."""
    scratch.mkdir(parents=True, exist_ok=True)
    new = {key: scratch / f"{key}.nii.gz" for key in ("t1w", "brain_mask", "gm", "wm", "csf", "dseg", "mni_t1w")}
    made = {f"out_{key}": path for key, path in new.items() if key != "mni_t1w"}
    stages.run("anatomy", {"t1w": t1w, **made, "seed": seed})
    to_mni, to_t1w = scratch / "t1w_to_mni.h5", scratch / "mni_to_t1w.h5"
    stages.run(
        "normalise",
        {
            "t1w": new["t1w"],
            "brain_mask": new["brain_mask"],
            "out_t1w_to_mni": to_mni,
            "out_mni_to_t1w": to_t1w,
            "out_mni_t1w": new["mni_t1w"],
            "seed": seed,
        },
    )
    return AnatomyFiles(t1w, new["gm"], new["wm"], new["csf"], to_mni)
