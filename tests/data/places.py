"""What says where something is: transforms, surfaces, fiducials, lengths of a tape, markers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np

from tests.data.cases import CANARY, BadCommand, Desk
from tests.data.good import centred
from tests.scalp.conftest import icosphere
from tmsprep.files import write_tsv
from tmsprep.itk_composite import write_steps
from tmsprep.navigate.markers import markers_table
from tmsprep.records import Status
from tmsprep.spaces import AffineStep, FieldStep, Grid, save_itk_affines
from tmsprep.surfaces import Surface

Words = Callable[[Desk], list[object]]


def scalp(desk: Desk, transform: Path) -> list[object]:
    return ["stage", "scalp", "--t1w", desk.person.t1w, "--t1w-to-mni", transform, "--out-head-mask", desk.out / "m.nii.gz",
            "--out-scalp", desk.out / "s.surf.gii", "--out-fiducials", desk.out / "f.tsv"]  # fmt: skip


def matrix(*diagonal: float) -> Words:
    def words(desk: Desk) -> list[object]:
        save_itk_affines(desk.folder / "xfm.txt", [np.diag([*diagonal, 1.0])])
        return scalp(desk, desk.folder / "xfm.txt")

    return words


def itk(parameters: str, centre: str = "0 0 0", repeats: int = 1) -> Words:
    part = f"Transform: AffineTransform_double_3_3\nParameters: {parameters}\nFixedParameters: {centre}\n"
    return lambda desk: scalp(desk, desk.file("xfm.txt", "#Insight Transform File V1.0\n" + part * repeats))


def composite(change: Callable[[h5py.File], object]) -> Words:
    """Give a good composite of an affine (1) and a field (2) after a change."""

    def words(desk: Desk) -> list[object]:
        path = _good_composite(desk)
        with h5py.File(path, "a") as file:
            change(file)
        return scalp(desk, path)

    return words


def _good_composite(desk: Desk) -> Path:
    grid = Grid((4, 4, 4), centred((4, 4, 4), 30.0))
    write_steps(desk.folder / "xfm.h5", [AffineStep(np.eye(4)), FieldStep(np.zeros((4, 4, 4, 3), dtype=np.float32), grid)])
    return desk.folder / "xfm.h5"


def _cut(desk: Desk) -> list[object]:
    content = _good_composite(desk).read_bytes()
    return scalp(desk, desk.file("xfm.h5", content[: len(content) * 2 // 3]))


def number(step: int, name: str, index: int, value: float) -> Words:
    def change(file: h5py.File) -> None:
        file[f"TransformGroup/{step}/Transform{name}"][index] = value  # type: ignore[index]

    return composite(change)


def _huge(file: h5py.File) -> None:
    del file["TransformGroup/2/TransformParameters"]
    file.create_dataset("TransformGroup/2/TransformParameters", (10**13,), "f4", chunks=(1 << 20,), compression="gzip")


def _other_file(file: h5py.File) -> None:
    del file["TransformGroup/1/TransformParameters"]
    file["TransformGroup/1/TransformParameters"] = h5py.ExternalLink("/etc/passwd", "x")


def _no_kind(file: h5py.File) -> None:
    del file["TransformGroup/1/TransformType"]
    file["TransformGroup/1/TransformType"] = 5


def _no_steps(file: h5py.File) -> None:
    for step in (1, 2):
        del file[f"TransformGroup/{step}"]


_ANEW = r"What to do: (run the registration|copy it)"
_ONES = "1 0 0 0 1 0 0 0 1 0 0 0"
TRANSFORMS = (
    BadCommand("a mirror", matrix(-1, 1, 1), rf"xfm\.txt: the transform mirrors.*left to stay on the left.*{_ANEW}"),
    BadCommand("flat", matrix(1, 1, 0), rf"xfm\.txt: the transform changes volumes by the factor 0 .*{_ANEW}"),
    BadCommand(
        "metres", matrix(1e-3, 1e-3, 1e-3), rf"xfm\.txt: the transform changes volumes by the factor 1e-09 .*{_ANEW}"
    ),
    BadCommand("NaN", matrix(1, np.nan, 1), rf"xfm\.txt: .*not finite.*{_ANEW}"),
    BadCommand("words", itk("one two three"), rf"xfm\.txt: no numbers in the transform.*{_ANEW}"),
    BadCommand("three numbers", itk("1 0 0"), r"xfm\.txt: .* with 3 parameters.*AffineTransform with 12"),
    BadCommand("no centre", itk(_ONES, "0"), r"xfm\.txt: the transform has 1 fixed parameters"),
    BadCommand("two transforms", itk(_ONES, repeats=2), r"xfm\.txt: holds 2 transforms.*one affine"),
    BadCommand(
        "another text", lambda desk: scalp(desk, desk.file("xfm.txt", "1 0 0\n0 1 0\n")), r"xfm\.txt: no ITK transform"
    ),
    BadCommand("a composite cut short", _cut, rf"xfm\.h5: no readable ITK composite.*truncated.*{_ANEW}"),
    BadCommand("a composite that mirrors", number(1, "Parameters", 0, -1), r"xfm\.h5: the transform mirrors"),
    BadCommand("a field with NaN", number(2, "Parameters", 5, np.nan), r"xfm\.h5: .*not finite"),
    BadCommand("a field larger than its data", number(2, "FixedParameters", 0, 1e9), rf"xfm\.h5: no readable ITK.*{_ANEW}"),
    BadCommand("a field of a size below 0", number(2, "FixedParameters", 0, -4), rf"xfm\.h5: .*-4 x 4 x 4 voxels.*{_ANEW}"),
    BadCommand("a field of size NaN", number(2, "FixedParameters", 0, np.nan), rf"xfm\.h5: no readable ITK.*{_ANEW}"),
    BadCommand("a field of voxels without size", number(2, "FixedParameters", 6, 0), r"xfm\.h5: .*on no possible grid"),
    BadCommand("a field of 36 TiB", composite(_huge), rf"xfm\.h5: no readable ITK.*{_ANEW}"),
    BadCommand("a composite that reads another file", composite(_other_file), rf"xfm\.h5: no readable ITK.*{_ANEW}"),
    BadCommand("a composite of no kind", composite(_no_kind), rf"xfm\.h5: no readable ITK.*{_ANEW}"),
    BadCommand("a composite of nothing", composite(_no_steps), r"xfm\.h5: the composite holds no transform"),
)


# Surfaces and fiducials

BALL = icosphere(90.0, 3)
_POINTS = {"NAS": (0, 90, 0), "INI": (0, -90, 0), "LPA": (-90, 0, 0), "RPA": (90, 0, 0)}


def beamf3(desk: Desk, surface: Path | None = None, fiducials: Path | None = None) -> list[object]:
    if surface is None:
        surface = desk.folder / "good.surf.gii"
        BALL.save(surface)
    points = fiducials or desk.file("good.tsv", _table(_POINTS))
    return ["stage", "beamf3", "--scalp", surface, "--fiducials", points, "--out-result", desk.out / "r.json"]


def _table(points: dict[str, tuple[object, ...]], head: str = "name\tx\ty\tz") -> str:
    return "\n".join([head, *("\t".join(map(str, (name, *place))) for name, place in points.items())]) + "\n"


def mesh(change: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Words:
    def words(desk: Desk) -> list[object]:
        Surface(*change(BALL.vertices_ras_mm.copy(), BALL.faces.copy())).save(desk.folder / "bad.surf.gii")
        return beamf3(desk, desk.folder / "bad.surf.gii")

    return words


def gifti(content: str) -> Words:
    return lambda desk: beamf3(desk, desk.file("bad.surf.gii", content))


def _nan_vertex(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    vertices[3] = np.nan
    return vertices, faces


def _vertex(index: int) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    def change(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        faces[3, 1] = index
        return vertices, faces

    return change


def _xml(entities: str, text: str) -> str:
    head = f'<?xml version="1.0"?><!DOCTYPE GIFTI [{entities}]>'
    return f'{head}<GIFTI Version="1.0"><MetaData><MD><Name>{text}</Name></MD></MetaData></GIFTI>'


_LAUGHS = '<!ENTITY a "lollollollollollollollollol">' + "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def fiducials(*, head: str = "name\tx\ty\tz", **points: Sequence[object]) -> Words:
    """Give fiducials, some changed; an empty one is left out."""
    kept = {name: tuple(place) for name, place in (_POINTS | points).items() if place}
    return lambda desk: beamf3(desk, fiducials=desk.file("bad.tsv", _table(kept, head)))


def _twice(desk: Desk) -> list[object]:
    return beamf3(desk, fiducials=desk.file("bad.tsv", _table(_POINTS) + "RPA\t80\t5\t0\n"))


def _cut_surface(desk: Desk) -> list[object]:
    BALL.save(desk.folder / "bad.surf.gii")
    return beamf3(desk, desk.file("bad.surf.gii", (desk.folder / "bad.surf.gii").read_bytes()[:3000]))


_COLUMNS = "numbers in scanner RAS mm"
SCALPS = (
    BadCommand("a surface cut short", _cut_surface, r"bad\.surf\.gii: no readable surface.*again"),
    BadCommand("no surface", gifti("hello"), r"bad\.surf\.gii: no readable surface"),
    BadCommand(
        "a billion laughs in XML", gifti(_xml(_LAUGHS, "&i;")), r"bad\.surf\.gii: no readable surface .*amplification"
    ),
    BadCommand(
        "another file in XML",
        gifti(_xml('<!ENTITY a SYSTEM "file:///etc/passwd">', "&a;")),
        r"bad\.surf\.gii: not one point set",
    ),
    BadCommand("a vertex at NaN", mesh(_nan_vertex), r"bad\.surf\.gii: .*not finite"),
    BadCommand("a face of no vertex", mesh(_vertex(10**6)), r"bad\.surf\.gii: .*faces of vertices that are not there"),
    BadCommand("a face of vertex -1", mesh(_vertex(-1)), r"bad\.surf\.gii: .*faces of vertices that are not there"),
    BadCommand(
        "half a surface",
        mesh(lambda vertices, faces: (vertices, faces[: len(faces) // 2])),
        r"bad\.surf\.gii: .*holes or edges",
    ),
    BadCommand("an image for a surface", lambda desk: beamf3(desk, desk.person.t1w), r"the format is Nifti1Image.*GIFTI"),
    BadCommand("ears swapped", fiducials(LPA=(90, 0, 0), RPA=(-90, 0, 0)), "LPA is not left of RPA.*check the fiducials"),
    BadCommand(
        "a fiducial in words", fiducials(RPA=("ear", 0, 0)), r"bad\.tsv: no table of fiducials.*name, and x, y, z in numbers"
    ),
    BadCommand("a fiducial without x", fiducials(RPA=("n/a", 0, 0)), rf"bad\.tsv: RPA lacks a coordinate.*{_COLUMNS}"),
    BadCommand("a fiducial without end", fiducials(RPA=("inf", 0, 0)), rf"bad\.tsv: RPA lacks a coordinate.*{_COLUMNS}"),
    BadCommand("a fiducial missing", fiducials(RPA=()), r"bad\.tsv: no RPA. Expected: NAS, INI, LPA, RPA"),
    BadCommand("a fiducial twice", _twice, r"bad\.tsv: a fiducial is given twice"),
    BadCommand(
        "fiducials in metres",
        fiducials(**{name: (x / 1000, y / 1000, z) for name, (x, y, z) in _POINTS.items()}),
        "90 mm from the scalp",
    ),
    BadCommand("two columns x", fiducials(head="name\tx\tx\tz"), r"bad\.tsv: (column\(s\) x twice|missing column)"),
    BadCommand("cells too many", fiducials(head="name\tx\ty", RPA=(90, 0, 0)), r"bad\.tsv: no readable TSV"),
)


def tape(*lengths: object) -> Words:
    names = ("--nasion-inion", "--tragus-tragus", "--circumference")
    return lambda desk: ["beamf3", *(word for pair in zip(names, lengths, strict=True) for word in pair)]


TAPES = (
    BadCommand("a length of NaN", tape("nan", 36, 57), "--nasion-inion: the length is not a positive number"),
    BadCommand("a length without end", tape("inf", 36, 57), "--nasion-inion: the length is not a positive number"),
    BadCommand("a length below 0", tape(-35, 36, 57), "--nasion-inion: the length is not a positive number"),
    BadCommand("a length of 0", tape(0, 36, 57), "--nasion-inion: the length is not a positive number"),
    BadCommand(
        "a length in words", tape("long", 36, 57), 'Invalid value for --nasion-inion: unable to convert "long" into float'
    ),
    BadCommand("mm for cm", tape(350, 360, 570), "350 cm is no plausible length.*use --unit mm"),
    BadCommand("inches for cm", tape(14, 14, 22), "14 cm is no plausible length.*use --unit in"),
    BadCommand(
        "two of three lengths",
        lambda desk: ["beamf3", "--nasion-inion", 35, "--tragus-tragus", 36],
        "--circumference requires",
    ),
)


# Markers


def markers(column: str, value: object) -> Words:
    """Export a table of markers in which a cell was edited."""

    def words(desk: Desk) -> list[object]:
        from tests.trial.made_up_trial import BEAMF3_MEAN, CIRCUIT_MEAN, marker

        rng = np.random.default_rng(1)
        sites = [marker("circuit", Status.OK, CIRCUIT_MEAN, rng), marker("beamF3", Status.OK, BEAMF3_MEAN, rng)]
        table = markers_table(sites).astype(object)
        table.loc[0, column] = value
        write_tsv(desk.folder / "markers.tsv", table)
        return ["stage", "export", "--markers", desk.folder / "markers.tsv", "--t1w", desk.person.t1w,
                "--intended-for", "bids:raw:sub-01/anat/sub-01_T1w.nii.gz", "--out-index", desk.out / "index.json",
                "--out-files", desk.out / "sub-01_desc-circuit_brainsight.txt"]  # fmt: skip

    return words


MARKERS = (
    BadCommand(
        "an entry on the other side", markers("entry_x", 50.0), "marker circuit: coil_transform is not the pose.*never edit"
    ),
    BadCommand(
        "a coil that is no matrix", markers("coil_transform", "[[1, 2"), "marker circuit: .*holds no numbers.*never edit"
    ),
    BadCommand(
        "a coil with a program",
        markers("coil_transform", f"__import__('os').system('touch {CANARY}')"),
        "marker circuit: .*no numbers",
    ),
    BadCommand(
        "a mirrored coil",
        markers("coil_transform", json.dumps(np.diag([-1.0, 1, 1, 1]).tolist())),
        "marker circuit: coil_transform is not",
    ),
    BadCommand("an entry in words", markers("entry_x", "left"), "marker circuit: .*holds no numbers.*never edit"),
)
