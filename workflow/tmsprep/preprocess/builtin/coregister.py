"""Stage coregister: where the BOLD reference lies in the T1w, by mutual information and then the white-matter boundary.

Several starts are tried; the boundary cost alone, which needs no similar contrast, chooses among them and says whether
the best can be believed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.errors import InputError, ProcessingError
from tmsprep.files import load_nifti, read_data, save_nifti
from tmsprep.preprocess.builtin.boundary import Boundary, Target, boundary_cost, refine, rigid, white_matter_boundary
from tmsprep.preprocess.builtin.distortion import Unwarp, unwarped
from tmsprep.preprocess.builtin.rigid import as_ants, register_rigidly, without_bias
from tmsprep.preprocess.builtin.series import SCANNER, Volume
from tmsprep.sidecars import Sidecar
from tmsprep.spaces import Array, Grid, Transform, apply_affine, resample, save_itk_affines, voxel_sizes
from tmsprep.stages import InFile, OutFile, SidecarFields

_COARSE_POINTS = 3000
_FINE_POINTS = 20000
_COARSE_MM = 3.0
_COARSE_ZOOM_MM = 2.0
_FINE_MM = 1.5
_COARSE_SMOOTHING_MM = 1.5
_FINALISTS = 2
_HIGHEST_COST = 0.9
_DISPLACED_MM_DEG = 6.0
_LEAST_GAIN = 0.05
_SIGNAL_FRACTION = 0.1
_HALF = 0.5


@dataclass(frozen=True)
class Registration:
    """A registration and what speaks for it."""

    pull_ras_mm: Array
    """4 x 4, points of the T1w to points of the BOLD reference."""
    cost: float
    """Boundary cost: 0 perfect, 1 chance, 2 inverted."""
    start: str
    """The start that led to it."""
    start_costs: dict[str, float]
    """Boundary cost of each start before any refinement."""
    displaced_cost: float
    """Lowest boundary cost 6 mm or 6 degrees away from the result."""


def coregister_to_t1w(
    *,
    boldref: InFile,
    t1w: InFile,
    brain_mask: InFile,
    wm: InFile,
    sidecar: list[InFile],
    out_boldref: OutFile,
    out_boldref_to_t1w: OutFile,
    out_mask: OutFile,
    fieldmap: InFile | None = None,
    seed: int = 42,
) -> SidecarFields:
    """Align a BOLD reference with the T1w of the same person, rigidly.

    Parameters
    ----------
    boldref
        The BOLD reference (stage bold-reference).
    t1w
        Bias-corrected T1w.
    brain_mask, wm
        Brain mask and white-matter probability on the grid of `t1w`.
    sidecar
        JSON files of the run, for phase-encoding direction and readout time; needed with a field map only.
    fieldmap
        Field in Hz on the grid of `boldref`.
    out_boldref
        The reference, unwarped if there is a field map, on its own grid.
    out_boldref_to_t1w
        ``from-boldref_to-T1w``.
    out_mask
        The T1w's brain mask on the grid of `boldref`, where there is signal.
    seed
        For the sampling of mutual information.

    Raises
    ------
    ProcessingError
        No start led to a registration that the white-matter boundary supports.
    """
    image = load_nifti(boldref)
    grid = Grid.of(image)
    reference = read_data(image)
    if fieldmap is not None:
        shift = Unwarp.of(read_data(load_nifti(fieldmap)), Sidecar.merge(sidecar).distortion())
        reference = unwarped(reference, shift)
    head = load_head(t1w, brain_mask, wm)
    found = register(reference, grid.affine_ras_mm, head, seed=seed)
    _require_credible(found, boldref)
    mask = _mask_on(grid, reference, head, found.pull_ras_mm)
    save_nifti(out_boldref, reference, grid.affine_ras_mm, xform_code=SCANNER)
    save_nifti(out_mask, mask, grid.affine_ras_mm, xform_code=SCANNER)
    save_itk_affines(out_boldref_to_t1w, [found.pull_ras_mm])
    return {
        "out_boldref": {"SkullStripped": False, "DistortionCorrected": fieldmap is not None},
        "out_boldref_to_t1w": _quality(found),
        "out_mask": {"Type": "Brain"},
    }


@dataclass(frozen=True)
class Head:
    """The T1w side of a registration, cropped to the brain."""

    t1w: Volume
    brain: NDArray[np.bool_]
    wm: Volume
    affine_ras_mm: Array

    def boundary(self) -> Boundary:
        """Return the boundary of white and grey matter."""
        return white_matter_boundary(self.wm, self.t1w, self.brain, self.affine_ras_mm)


def load_head(t1w: Path, brain_mask: Path, wm: Path) -> Head:
    """Read the T1w side of a registration and crop it to the brain."""
    grid = Grid.of(load_nifti(t1w))
    for path in (brain_mask, wm):
        other = Grid.of(load_nifti(path))
        if other.shape != grid.shape or not np.allclose(other.affine_ras_mm, grid.affine_ras_mm, atol=1e-3):
            raise InputError("not on the grid of the T1w", where=path)
    intensities, mask, white = (read_data(load_nifti(path)) for path in (t1w, brain_mask, wm))
    return crop(intensities, mask > _HALF, white, grid.affine_ras_mm)


def crop(t1w: Volume, brain: NDArray[np.bool_], wm: Volume, affine_ras_mm: Array, margin: int = 4) -> Head:
    """Return what lies in the bounding box of the brain."""
    if not brain.any():
        raise InputError("the brain mask is empty")
    boxes = ndimage.find_objects(brain.astype(np.uint8))[0]
    box = tuple(slice(max(side.start - margin, 0), side.stop + margin) for side in boxes)
    affine = affine_ras_mm.copy()
    affine[:3, 3] = apply_affine(affine_ras_mm, [side.start for side in box])
    return Head(t1w[box], brain[box], wm[box], affine)


def register(reference: Volume, affine_ras_mm: Array, head: Head, *, seed: int = 42) -> Registration:
    """Align a BOLD reference with a head.

    Parameters
    ----------
    reference
        (x, y, z), without or with distortion.
    affine_ras_mm
        Of `reference`; may be sheared.
    head
        The T1w side.
    seed
        For the sampling of mutual information.
    """
    boundary = head.boundary()
    fine = Target.of(reference, affine_ras_mm)
    starts = {"header": np.eye(4)} | _mutual_information(reference, affine_ras_mm, head, seed)
    points = boundary.thinned(_FINE_POINTS)
    start_costs = {name: boundary_cost(points, fine, start, _FINE_MM) for name, start in starts.items()}
    coarse = _coarse(
        boundary.thinned(_COARSE_POINTS), Target.of(reference, affine_ras_mm, smoothing_mm=_COARSE_SMOOTHING_MM), starts
    )
    finalists = sorted(coarse, key=lambda item: item[1])[:_FINALISTS]
    results = [(*refine(points, fine, start, _FINE_MM, reach=1.0), name) for start, _, name in finalists]
    pull, cost, name = min(results, key=lambda item: item[1])
    return Registration(pull, cost, name, start_costs, _displaced_cost(points, fine, pull))


def _coarse(boundary: Boundary, target: Target, starts: dict[str, Array]) -> list[tuple[Array, float, str]]:
    return [(*refine(boundary, target, start, _COARSE_MM), name) for name, start in starts.items()]


def _displaced_cost(boundary: Boundary, target: Target, pull: Array) -> float:
    centre = boundary.points_ras_mm.mean(axis=0)
    moves = [sign * _DISPLACED_MM_DEG * axis for axis in np.eye(6) for sign in (1, -1)]
    return min(boundary_cost(boundary, target, pull @ rigid(move, centre), _FINE_MM) for move in moves)


def _mutual_information(reference: Volume, affine_ras_mm: Array, head: Head, seed: int) -> dict[str, Array]:
    """Return the results of rigid registration by mutual information from the headers and from the centres of mass."""
    shape = (head.t1w.shape[0], head.t1w.shape[1], head.t1w.shape[2])
    grid = Grid(shape, head.affine_ras_mm).with_zooms([_COARSE_ZOOM_MM] * 3)
    brain = np.where(head.brain, head.t1w, 0)
    fixed = as_ants(resample(brain, head.affine_ras_mm, grid, order=1), grid.affine_ras_mm)
    moving = without_bias(as_ants(reference, affine_ras_mm))
    found: dict[str, Array] = {}
    for name, centred in (("mutual-information", False), ("mutual-information-centred", True)):
        with suppress(ProcessingError):  # one start fewer; whether the end is credible is judged anyway
            found[name] = register_rigidly(fixed, moving, centred=centred, seed=seed)
    return found


def is_credible(found: Registration) -> bool:
    """Tell whether a registration's boundary cost is that of the right head at the right place.

    The right head: cost 0.65, 0.26 below what is found 6 mm off; another person's head: 0.95 to 0.97, 0.02 below.
    """
    return found.cost <= _HIGHEST_COST and found.displaced_cost - found.cost >= _LEAST_GAIN


def _require_credible(found: Registration, boldref: Path) -> None:
    if is_credible(found):
        return
    gain = found.displaced_cost - found.cost
    raise ProcessingError(
        f"no registration to the T1w is credible: boundary cost {found.cost:.3f}, only {gain:.3f} better than 6 mm off",
        where=boldref,
        expected=f"a cost of at most {_HIGHEST_COST} and a gain of at least {_LEAST_GAIN}",
        action="look at both images: same person? whole brain? tissue contrast? white-matter map right?",
    )


def _mask_on(grid: Grid, reference: Volume, head: Head, pull_ras_mm: Array) -> NDArray[np.bool_]:
    """Return the brain mask on the BOLD grid, where the reference has signal."""
    # smoothing by about the BOLD voxel makes 0.5 mean: half of the voxel is brain
    blur = voxel_sizes(grid.affine_ras_mm).max() / 2.355 / voxel_sizes(head.affine_ras_mm)
    soft = ndimage.gaussian_filter(head.brain.astype(np.float32), blur, mode="constant")
    to_boldref = Transform.from_matrix(np.linalg.inv(pull_ras_mm))
    brain = resample(soft, head.affine_ras_mm, grid, to_boldref, order=1) > _HALF
    if not brain.any():
        raise ProcessingError("the brain lies outside the BOLD images")
    return brain & (reference > _SIGNAL_FRACTION * np.median(reference[brain]))


def _quality(found: Registration) -> dict[str, object]:
    return {
        "BoundaryCost": round(found.cost, 4),
        "BoundaryCostDisplaced": round(found.displaced_cost, 4),
        "BoundaryCostStart": {name: round(cost, 4) for name, cost in found.start_costs.items()},
        "Start": found.start,
    }
