"""The two MNI templates that TMSPrep carries, and the transform between them.

Circuits and search masks are published in MNI152NLin6Asym, preprocessed data speak MNI152NLin2009cAsym. The two differ by
millimetres and are never equated. How the files were made is in ``data/templates/README.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tmsprep.errors import ConfigurationError
from tmsprep.spaces import Transform

NLIN6 = "MNI152NLin6Asym"
NLIN2009C = "MNI152NLin2009cAsym"
SPACES = (NLIN2009C, NLIN6)

_FOLDER = Path(__file__).resolve().parent / "data" / "templates"


@dataclass(frozen=True)
class Template:
    """A template of one space: images at 2 mm on TemplateFlow's ``res-02`` grid, axes R, A, S."""

    space: str
    """The space's TemplateFlow name."""
    head: Path
    """T1w with skull and scalp, 0 to 255."""
    brain_mask: Path
    """1 inside the brain (with cerebellum and brain stem), 0 outside."""


def load(space: str) -> Template:
    """Return the template of a space.

    Raises
    ------
    ConfigurationError
        TMSPrep carries no template of that space.
    """
    _require(space)
    stem = f"tpl-{space}_res-02"
    return Template(space, _FOLDER / f"{stem}_T1w.nii.gz", _FOLDER / f"{stem}_desc-brain_mask.nii.gz")


def transform(source: str, target: str) -> Transform:
    """Return ``from-source_to-target``: it resamples an image of `source` onto `target`.

    Its `Transform.pull_points` maps points of `target` to points of `source`, RAS mm.

    Raises
    ------
    ConfigurationError
        TMSPrep carries no template of one of the spaces.
    """
    _require(source)
    _require(target)
    if source == target:
        return Transform.identity()
    return Transform.load(_FOLDER / f"from-{source}_to-{target}_mode-image_xfm.h5")


def _require(space: str) -> None:
    if space not in SPACES:
        raise ConfigurationError(
            f"there is no template of space {space!r}",
            expected=" or ".join(SPACES),
            action="name one of these spaces, or bring the image into one of them first",
        )
