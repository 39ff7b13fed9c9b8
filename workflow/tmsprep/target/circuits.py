"""Circuits: signed weights on the brain, in a template's space, and the guard against an inverted one.

A circuit is a JSON file (``data/circuits``): seeds with signed weights, or an image with its checksum, and two anchor
spheres that tell its polarity. It is evaluated at points, never by voxel index, because published images differ in
storage order. It does not know the participant.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tmsprep.errors import ConfigurationError, InputError
from tmsprep.files import load_nifti, read_data, sha256
from tmsprep.spaces import apply_affine
from tmsprep.target import datafiles
from tmsprep.target.spheres import Sphere

Array = NDArray[np.float64]

_SMALLEST_DETERMINANT = 1e-9
DEFAULT_NEGATIVE = Sphere((6.0, 16.0, -10.0), 10.0)
"""sgACC (Fox et al. 2012, doi:10.1016/j.biopsych.2012.04.028), MNI152NLin6Asym."""
DEFAULT_POSITIVE = Sphere((-44.0, 40.0, 29.0), 10.0)
"""BA46, same source and space."""


@dataclass(frozen=True)
class Seed:
    """A sphere with a signed weight."""

    name: str
    sphere: Sphere
    weight: float


@dataclass(frozen=True)
class CircuitFile:
    """The image of a circuit that is not shipped."""

    name: str
    url: str | None
    """Where it can be fetched, over https."""
    sha256: str | None
    """Of its bytes; None only for a user's own file."""


@dataclass(frozen=True)
class Circuit:
    """What a circuit's data file says. Positions are mm of the template `space`."""

    name: str
    description: str
    space: str
    seeds: tuple[Seed, ...]
    file: CircuitFile | None
    """None for a circuit of seeds."""
    negative: Sphere
    """Where the weights must be negative on average, e.g. sgACC."""
    positive: Sphere
    """Where they must be positive (an image) or not negative (seeds), e.g. BA46."""
    licence: str
    citation: str
    notes: str


@dataclass(frozen=True)
class WeightImage:
    """A circuit's image: `values` (x, y, z) on the grid of `affine_ras_mm`; NaN where it says nothing."""

    values: NDArray[np.float32]
    affine_ras_mm: Array

    def at(self, points_mni_mm: Array) -> Array:
        """Return the values at points (n, 3) by linear interpolation; NaN outside the image."""
        voxels = apply_affine(np.linalg.inv(self.affine_ras_mm), points_mni_mm).T
        return ndimage.map_coordinates(self.values.astype(np.float64), voxels, order=1, mode="constant", cval=np.nan)


@dataclass(frozen=True)
class Weights:
    """A circuit that is ready to be evaluated."""

    circuit: Circuit
    image: WeightImage | None
    sha256: str | None
    """Of the image file that was read."""

    def at(self, points_mni_mm: Array) -> Array:
        """Return the weights at points (n, 3) in mm of the circuit's space.

        Seeds: 0 outside them, and their sum where they overlap. Image: NaN outside its field of view.
        """
        if self.image is not None:
            return self.image.at(points_mni_mm)
        total = np.zeros(len(points_mni_mm))
        for seed in self.circuit.seeds:
            total += seed.weight * seed.sphere.contains(points_mni_mm)
        return total


@dataclass(frozen=True)
class Polarity:
    """The mean weight in each anchor sphere."""

    negative_anchor: float
    positive_anchor: float

    @property
    def is_right(self) -> bool:
        """The negative anchor is below the positive one, and neither has the other's sign."""
        return self.negative_anchor < self.positive_anchor and self.negative_anchor <= 0 <= self.positive_anchor


def names() -> list[str]:
    """Return the names of the shipped circuits."""
    return datafiles.names("circuits")


def load_circuit(name: str) -> Circuit:
    """Load a shipped circuit.

    Raises
    ------
    ConfigurationError
        No shipped circuit has that name.
    """
    if name not in names():
        raise ConfigurationError(
            f"no circuit is called {name!r}",
            expected=", ".join(names()),
            action="choose one of these, or give the circuit's image or JSON as a file",
        )
    return read_circuit(datafiles.folder("circuits") / f"{name}.json")


def read_circuit(path: Path) -> Circuit:
    """Read a circuit's data file, a shipped one or a user's own.

    Raises
    ------
    InputError
        It does not fit the schema.
    """
    content = datafiles.read_checked(path, "circuits")
    seeds = [
        Seed(item["name"], Sphere.of([item["x"], item["y"], item["z"], item["radius_mm"]]), float(item["weight"]))
        for item in content["seeds"] or []
    ]
    return Circuit(
        name=content["name"],
        description=content["description"],
        space=content["space"],
        seeds=tuple(seeds),
        file=None if content["file"] is None else CircuitFile(**content["file"]),
        negative=Sphere.of(content["anchors"]["negative"]),
        positive=Sphere.of(content["anchors"]["positive"]),
        licence=content["licence"],
        citation=content["citation"],
        notes=content["notes"],
    )


def unknown_circuit(name: str, file: Path, space: str) -> Circuit:
    """Describe a user's image that comes without metadata: default anchors, and the space that the user states.

    Raises
    ------
    ConfigurationError
        The space is none that can be reached.
    """
    if space not in datafiles.SPACES:
        raise ConfigurationError(f"circuit space {space!r} is not known", expected=" or ".join(datafiles.SPACES))
    return Circuit(
        name=name,
        description="A user's image, given without metadata",
        space=space,
        seeds=(),
        file=CircuitFile(file.name, None, None),
        negative=DEFAULT_NEGATIVE,
        positive=DEFAULT_POSITIVE,
        licence="unknown",
        citation="unknown",
        notes="",
    )


def open_weights(circuit: Circuit, file: Path | None) -> Weights:
    """Make a circuit ready: read its image, if it is one, and check that it is the image meant.

    Raises
    ------
    InputError
        The image is not there, unreadable, or its sha256 is not the one that the circuit's data file states.
    ConfigurationError
        An image was given for a circuit of seeds.
    """
    if circuit.file is None:
        if file is not None:
            raise ConfigurationError(f"circuit {circuit.name!r} consists of seeds", where=file, action="leave the file out")
        return Weights(circuit, None, None)
    if file is None:
        raise InputError(
            f"the image of circuit {circuit.name!r} is not on this machine",
            where=circuit.file.name,
            action=f"run 'tmsprep circuits fetch {circuit.name}' once, or give the file by its path",
        )
    digest = require_checksum(circuit, file)
    return Weights(circuit, _read_image(file), digest)


def require_checksum(circuit: Circuit, file: Path) -> str:
    """Return the sha256 of a circuit's image, after comparing it with what the circuit's data file states.

    Raises
    ------
    InputError
        They differ, or there is no such file.
    """
    if not file.is_file():
        raise InputError(
            "there is no such circuit image", where=file, action="check the path; DataLad users: get its content"
        )
    digest = sha256(file)
    expected = circuit.file.sha256 if circuit.file is not None else None
    if expected is not None and digest != expected:
        raise InputError(
            f"the sha256 is {digest}, so this is not the image that circuit {circuit.name!r} describes",
            where=file,
            expected=expected,
            action="get the right file, or give yours under a circuit name of your own",
        )
    return digest


def _read_image(file: Path) -> WeightImage:
    image = load_nifti(file)
    values = read_data(image)
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise InputError(f"the circuit image has the shape {values.shape}", where=file, expected="one 3D image")
    if not np.any(np.nan_to_num(values)):
        raise InputError("the circuit image is empty", where=file, expected="signed weights")
    if image.affine is None or (image.header["sform_code"] == 0 and image.header["qform_code"] == 0):
        raise InputError("the circuit image does not say where it lies in space", where=file, expected="a qform or sform")
    if not np.all(np.isfinite(image.affine)) or abs(float(np.linalg.det(image.affine[:3, :3]))) < _SMALLEST_DETERMINANT:
        raise InputError(
            "the affine of the circuit image is not invertible",
            where=file,
            action="get the file again, or write its header anew",
        )
    if np.any(np.isinf(values)):
        raise InputError(
            "the circuit image holds infinite weights", where=file, expected="signed weights, NaN where it has none"
        )
    return WeightImage(np.asarray(values, dtype=np.float32), np.asarray(image.affine, dtype=np.float64))


def polarity(weights: Weights) -> Polarity:
    """Return the mean weight in each anchor sphere, over the points of a 1 mm lattice.

    Raises
    ------
    InputError
        The circuit says nothing at an anchor.
    """
    means: list[float] = []
    for anchor in (weights.circuit.negative, weights.circuit.positive):
        values = weights.at(anchor.lattice_mni_mm())
        if not np.isfinite(values).any():
            raise InputError(
                f"circuit {weights.circuit.name!r} has no value at its anchor {anchor.centre_mni_mm}",
                expected="an image that covers the brain",
                action="check that the image is in the template space that was stated",
            )
        means.append(float(np.nanmean(values)))
    return Polarity(*means)


def require_polarity(weights: Weights, *, force: bool) -> Polarity:
    """Return the polarity; refuse an inverted circuit unless `force` is set.

    With an inverted circuit the target would be the *least* wanted site. Published files and programs differ in sign.

    Raises
    ------
    InputError
        The circuit is inverted, or its sign cannot be told.
    """
    found = polarity(weights)
    if not found.is_right and not force:
        raise InputError(
            f"circuit {weights.circuit.name!r} has the wrong sign: its mean weight is {found.negative_anchor:.3g} "
            f"at the negative anchor {weights.circuit.negative.centre_mni_mm} and {found.positive_anchor:.3g} "
            f"at the positive anchor {weights.circuit.positive.centre_mni_mm}",
            where=weights.circuit.file.name if weights.circuit.file else None,
            expected="negative (sgACC) below zero, positive (left DLPFC) above",
            action="multiply the map by -1 if it is stored inverted, or state --force-polarity if you mean it",
        )
    return found
