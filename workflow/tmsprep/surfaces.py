"""Triangle surfaces in scanner RAS mm: reading and writing them, and simple questions about points on them.

It knows no anatomy. How a scalp is made from an image is the scalp stage's affair.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from xml.parsers.expat import ExpatError

import nibabel as nib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.spatial import KDTree

from tmsprep.errors import InputError

Array = NDArray[np.float64]
Faces = NDArray[np.int64]

_NEAREST_VERTICES = 12
_AGAIN = "copy it, or make it, again"
_INTENT_POINTS = "NIFTI_INTENT_POINTSET"
_INTENT_FACES = "NIFTI_INTENT_TRIANGLE"
_SCANNER = "NIFTI_XFORM_SCANNER_ANAT"


@dataclass(frozen=True, eq=False)
class Surface:
    """A triangle mesh."""

    vertices_ras_mm: Array
    """(n, 3)."""
    faces: Faces
    """(m, 3) vertex indices; counter-clockwise seen from outside."""

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(self.vertices_ras_mm)

    @cached_property
    def corners_ras_mm(self) -> Array:
        """Corners of the faces, (m, 3 corners, 3)."""
        return self.vertices_ras_mm[self.faces]

    @cached_property
    def _faces_at_vertex(self) -> sparse.csr_matrix:
        count = len(self.faces)
        rows, columns = self.faces.ravel(), np.repeat(np.arange(count), 3)
        shape = (len(self.vertices_ras_mm), count)
        return sparse.csr_matrix((np.ones(3 * count, dtype=bool), (rows, columns)), shape=shape)

    def nearest(self, point_ras_mm: ArrayLike) -> Array:
        """Return the point of the surface (on a face, an edge or a vertex) closest to a point (3,)."""
        point = np.asarray(point_ras_mm, dtype=np.float64)
        _, close = self._tree.query(point, k=min(_NEAREST_VERTICES, len(self.vertices_ras_mm)))
        faces = np.unique(self._faces_at_vertex[np.atleast_1d(close)].indices)
        candidates = _closest_on_triangles(point, self.corners_ras_mm[faces])
        return candidates[np.argmin(np.linalg.norm(candidates - point, axis=1))]

    def distance_mm(self, point_ras_mm: ArrayLike) -> float:
        """Return the distance from a point (3,) to the surface."""
        return float(np.linalg.norm(self.nearest(point_ras_mm) - np.asarray(point_ras_mm, dtype=np.float64)))

    def hit(self, origin_ras_mm: ArrayLike, direction: ArrayLike) -> Array | None:
        """Return the first point (3,) of the surface on a ray, or None where it meets none.

        Moeller and Trumbore 1997, doi:10.1080/10867651.1997.10487468, over all faces at once.
        """
        origin, along = np.asarray(origin_ras_mm, dtype=np.float64), np.asarray(direction, dtype=np.float64)
        first, second, third = self.corners_ras_mm.transpose(1, 0, 2)
        one, two, off = second - first, third - first, origin - first
        across = np.cross(along, two)
        det = np.einsum("ij,ij->i", one, across)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = np.einsum("ij,ij->i", off, across) / det
            v = np.cross(off, one) @ along / det
            away = np.einsum("ij,ij->i", np.cross(off, one), two) / det
            met = (u >= 0) & (v >= 0) & (u + v <= 1) & (away > 0)
        return origin + float(away[met].min()) * along if met.any() else None

    def nearest_vertex(self, point_ras_mm: ArrayLike) -> int:
        """Return the index of the vertex closest to a point (3,)."""
        return int(self._tree.query(np.asarray(point_ras_mm, dtype=np.float64))[1])

    def nearest_vertex_ras_mm(self, point_ras_mm: ArrayLike) -> Array:
        """Return the position (3,) of the vertex closest to a point (3,)."""
        return self.vertices_ras_mm[self.nearest_vertex(point_ras_mm)]

    def vertices_within(self, point_ras_mm: ArrayLike, radius_mm: float) -> NDArray[np.int64]:
        """Return the indices, ascending, of the vertices within a ball about a point (3,)."""
        found = self._tree.query_ball_point(np.asarray(point_ras_mm, dtype=np.float64), radius_mm)
        return np.sort(np.asarray(found, dtype=np.int64))

    @cached_property
    def vertex_normals(self) -> Array:
        """Unit normals (n, 3), weighted by the area of the adjacent faces; outward for a closed surface."""
        first, second, third = self.corners_ras_mm.transpose(1, 0, 2)
        face_normals = np.cross(second - first, third - first)
        normals = np.asarray(self._faces_at_vertex.astype(np.float64) @ face_normals)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), np.finfo(float).tiny)

    def signed_volume_mm3(self) -> float:
        """Return the enclosed volume: positive if the faces of a closed surface are wound outwards."""
        centred = self.corners_ras_mm - self.vertices_ras_mm.mean(axis=0)
        first, second, third = centred.transpose(1, 0, 2)
        return float(np.einsum("ij,ij->", first, np.cross(second, third)) / 6)

    def is_closed(self) -> bool:
        """Tell whether every edge belongs to exactly two faces that run along it in opposite directions."""
        directed = self.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
        forward = directed[:, 0] * len(self.vertices_ras_mm) + directed[:, 1]
        backward = directed[:, 1] * len(self.vertices_ras_mm) + directed[:, 0]
        unique = np.unique(forward)
        return unique.size == forward.size and np.array_equal(unique, np.unique(backward))

    def euler_number(self) -> int:
        """Return vertices - edges + faces: 2 for a single closed surface without handles."""
        edges = np.unique(np.sort(self.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
        return int(np.unique(self.faces).size - len(edges) + len(self.faces))

    def flipped(self) -> Surface:
        """Return the surface with the winding of every face reversed."""
        return Surface(self.vertices_ras_mm, self.faces[:, ::-1].copy())

    def save(self, path: Path) -> None:
        """Write GIFTI (``.surf.gii``) with coordinates in scanner RAS mm."""
        system = nib.gifti.GiftiCoordSystem(_SCANNER, _SCANNER, np.eye(4))
        points = nib.gifti.GiftiDataArray(
            self.vertices_ras_mm.astype(np.float32),
            intent=_INTENT_POINTS,
            datatype="NIFTI_TYPE_FLOAT32",
            coordsys=system,
            meta={"GeometricType": "Anatomical"},
        )
        faces = nib.gifti.GiftiDataArray(
            self.faces.astype(np.int32), intent=_INTENT_FACES, datatype="NIFTI_TYPE_INT32", coordsys=None
        )
        nib.save(nib.gifti.GiftiImage(darrays=[points, faces]), path)

    @classmethod
    def load(cls, path: Path) -> Surface:
        """Read GIFTI.

        Raises
        ------
        InputError
            The file is absent, unreadable or holds no surface.
        """
        try:
            image = nib.load(path)
        except (OSError, ValueError, TypeError, ExpatError, zlib.error, nib.filebasedimages.ImageFileError) as error:
            raise InputError(f"no readable surface ({error})", where=path, action=_AGAIN) from error
        if not isinstance(image, nib.gifti.GiftiImage):
            raise InputError(f"the format is {type(image).__name__}", where=path, expected="GIFTI (.surf.gii)")
        points, faces = image.get_arrays_from_intent(_INTENT_POINTS), image.get_arrays_from_intent(_INTENT_FACES)
        if len(points) != 1 or len(faces) != 1:
            raise InputError("not one point set and one triangle set", where=path, expected="a surface (.surf.gii)")
        vertices = np.asarray(points[0].data, dtype=np.float64)
        if points[0].coordsys is not None and points[0].coordsys.xform is not None:
            matrix = np.asarray(points[0].coordsys.xform, dtype=np.float64)
            vertices = vertices @ matrix[:3, :3].T + matrix[:3, 3]
        surface = cls(vertices, np.asarray(faces[0].data, dtype=np.int64))
        _require_mesh(path, surface)
        return surface


def _require_mesh(path: Path, surface: Surface) -> None:
    vertices, faces = surface.vertices_ras_mm, surface.faces
    if vertices.ndim != 2 or faces.ndim != 2 or vertices.shape[1] != 3 or faces.shape[1] != 3 or not faces.size:
        raise InputError(f"vertices of shape {vertices.shape}, faces of shape {faces.shape}", where=path, expected="(n, 3)")
    if not np.all(np.isfinite(vertices)):
        raise InputError("the surface has vertices that are not finite", where=path, action=_AGAIN)
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise InputError("the surface has faces of vertices that are not there", where=path, action=_AGAIN)


def _closest_on_triangles(point: Array, corners: Array) -> Array:
    """Return the point of each triangle (m, 3, 3) closest to `point`, (m, 3)."""
    edges = [_closest_on_segments(point, corners[:, i], corners[:, (i + 1) % 3]) for i in range(3)]
    inside, projected = _project_into(point, corners)
    candidates = np.stack([*edges, np.where(inside[:, None], projected, edges[0])])
    best = np.argmin(np.linalg.norm(candidates - point, axis=2), axis=0)
    return candidates[best, np.arange(len(corners))]


def _closest_on_segments(point: Array, starts: Array, ends: Array) -> Array:
    along = ends - starts
    lengths = np.maximum(np.einsum("ij,ij->i", along, along), np.finfo(float).tiny)
    fraction = np.clip(np.einsum("ij,ij->i", point - starts, along) / lengths, 0, 1)
    return starts + fraction[:, None] * along


def _project_into(point: Array, corners: Array) -> tuple[NDArray[np.bool_], Array]:
    """Project a point on the planes of triangles; tell which projections fall inside their triangle."""
    first, second, third = corners.transpose(1, 0, 2)
    normals = np.cross(second - first, third - first)
    areas = np.maximum(np.einsum("ij,ij->i", normals, normals), np.finfo(float).tiny)
    projected = point - (np.einsum("ij,ij->i", point - first, normals) / areas)[:, None] * normals
    sides = [
        np.einsum("ij,ij->i", np.cross(corners[:, (i + 1) % 3] - corners[:, i], projected - corners[:, i]), normals)
        for i in range(3)
    ]
    return np.all(np.stack(sides) >= 0, axis=0), projected
