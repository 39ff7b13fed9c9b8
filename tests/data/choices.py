"""What a user chooses: circuits, search masks, limits, filter files, and the values of options."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from tests.data.cases import CANARY, TOUCH, BadCommand, Desk
from tests.data.good import Person, nifti
from tests.data.headers import PICKLE
from tmsprep.target import datafiles

Words = Callable[[Desk], list[object]]


def circuit() -> nib.Nifti1Image:
    """Negative about sgACC, positive about the left BA46, on 4 mm voxels."""
    affine = np.diag([-4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = [90, -126, -72]
    points = np.moveaxis(np.indices((46, 55, 46)), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    near = [np.exp(-((points - place) ** 2).sum(-1) / 800) for place in ([-44, 40, 29], [6, 16, -10])]
    return nifti((near[0] - near[1]).astype(np.float32), affine)


def image(change: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Words:
    """Give a circuit whose data and affine were changed."""

    def words(desk: Desk) -> list[object]:
        good = circuit()
        nib.save(nifti(*change(np.asanyarray(good.dataobj), good.affine.copy())), desk.folder / "mine.nii.gz")
        return desk.app("--circuit", desk.folder / "mine.nii.gz")

    return words


def header(change: Callable[[np.ndarray], None]) -> Words:
    def words(desk: Desk) -> list[object]:
        nib.save(circuit(), desk.folder / "mine.nii.gz")
        Person.header(desk.folder / "mine.nii.gz", change)
        return desk.app("--circuit", desk.folder / "mine.nii.gz")

    return words


def _no_forms(fields: np.ndarray) -> None:
    fields["qform_code"] = fields["sform_code"] = 0


def _no_determinant(fields: np.ndarray) -> None:
    fields["srow_x"] = 0


def _enormous(fields: np.ndarray) -> None:
    fields["dim"][1:4] = 30_000


def _elsewhere(data: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    affine[0, 3] += 500
    return data, affine


def described(**changes: Any) -> Words:
    """Give the example circuit's JSON with fields changed; None takes one out."""

    def words(desk: Desk) -> list[object]:
        content = json.loads((datafiles.folder("circuits") / "example.json").read_text(encoding="utf-8")) | changes
        kept = {key: value for key, value in content.items() if value is not _GONE}
        return desk.app("--circuit", desk.file("mine.json", json.dumps(kept)))

    return words


_GONE = object()


def _folder(desk: Desk) -> list[object]:
    (desk.folder / "mine.nii.gz").mkdir()
    return desk.app("--circuit", desk.folder / "mine.nii.gz")


def _other_image(desk: Desk) -> list[object]:
    desk.file("x.nii.gz", "another image")
    return described(seeds=None, file={"name": "x.nii.gz", "url": None, "sha256": "0" * 64})(desk)


_SEED = {"name": "s", "x": 6, "y": 16, "z": -10, "radius_mm": 10, "weight": -1}
_POSITIVE = [-44, 40, 29, 10]


def given(name: str, content: str | bytes) -> Words:
    return lambda desk: desk.app("--circuit", desk.file(name, content))


CIRCUITS = (
    BadCommand(
        "zero everywhere", image(lambda data, affine: (0 * data, affine)), "the circuit image is empty.*signed weights"
    ),
    BadCommand("NaN everywhere", image(lambda data, affine: (np.nan * data, affine)), "the circuit image is empty"),
    BadCommand(
        "infinite weights", image(lambda data, affine: (np.where(data > 0.5, np.inf, data), affine)), "infinite weights"
    ),
    BadCommand("inverted", image(lambda data, affine: (-data, affine)), "has the wrong sign.*multiply the map by -1"),
    BadCommand("left for right", image(lambda data, affine: (data, np.diag([-1, 1, 1, 1]) @ affine)), "has the wrong sign"),
    BadCommand(
        "outside the brain", image(_elsewhere), "has no value at its anchor.*check that the image is in the template space"
    ),
    BadCommand("two volumes", image(lambda data, affine: (np.stack([data, data], -1), affine)), "the shape .*one 3D image"),
    BadCommand("no place in space", header(_no_forms), "does not say where it lies in space.*qform or sform"),
    BadCommand(
        "no determinant", header(_no_determinant), "affine of the circuit image is not invertible.*get the file again"
    ),
    BadCommand("100 TB", header(_enormous), "cannot hold.*copy or convert the file again"),
    BadCommand("a pickle for an image", given("mine.nii.gz", PICKLE), "no readable NIfTI image"),
    BadCommand("a pickle in .npy", given("mine.npy", PICKLE), "no circuit is called.*or give the circuit's image or JSON"),
    BadCommand("a pickle in .npz", given("mine.npz", PICKLE), "no circuit is called.*or give the circuit's image or JSON"),
    BadCommand(
        "not there",
        lambda desk: desk.app("--circuit", "/nowhere/mine.nii.gz"),
        "there is no such circuit image.*check the path",
    ),
    BadCommand("a folder", _folder, "there is no such circuit image"),
    BadCommand(
        "a name for a shell",
        lambda desk: desk.app("--circuit", TOUCH),
        "no circuit is called '\\$\\(touch canary\\)'.*choose one",
    ),
    BadCommand(
        "a name that climbs out", lambda desk: desk.app("--circuit", "../../secret"), "no circuit is called '../../secret'"
    ),
    BadCommand(
        "no licence", described(licence=_GONE), r"mine\.json: \$: 'licence' is a required property.*docs/circuits\.md"
    ),
    BadCommand("an unknown space", described(space="MNI305"), r"mine\.json: \$\.space: 'MNI305' is not one of"),
    BadCommand(
        "a seed of weight NaN",
        described(seeds=[_SEED | {"weight": float("nan")}]),
        r"mine\.json: it holds NaN or an infinite",
    ),
    BadCommand(
        "a seed of infinite weight",
        described(seeds=[_SEED | {"weight": float("inf")}]),
        r"mine\.json: it holds NaN or an infinite",
    ),
    BadCommand("a seed half a metre away", described(seeds=[_SEED | {"x": 500}]), r"mine\.json: \$\.seeds.*"),
    BadCommand(
        "an anchor of 100 m",
        described(anchors={"negative": [6, 16, -10, 1e5], "positive": _POSITIVE}),
        r"mine\.json: \$\.anchors\.negative",
    ),
    BadCommand(
        "anchors swapped", described(anchors={"negative": _POSITIVE, "positive": [6, 16, -10, 10]}), "has the wrong sign"
    ),
    BadCommand(
        "an image elsewhere",
        described(seeds=None, file={"name": "../x.nii.gz", "url": None, "sha256": None}),
        r"mine\.json: \$\.file",
    ),
    BadCommand(
        "an image over http",
        described(seeds=None, file={"name": "x.nii.gz", "url": "http://x/x", "sha256": None}),
        r"mine\.json: \$\.file",
    ),
    BadCommand("another image than described", _other_image, "so this is not the image that circuit 'example' describes"),
    BadCommand(
        "JSON of 100,000 brackets",
        given("mine.json", '{"a": ' + "[" * 100_000),
        r"mine\.json: no readable JSON .*correct the file",
    ),
    BadCommand("fetching what climbs out", lambda desk: ["circuits", "fetch", "../x"], "no circuit is called '../x'"),
    BadCommand(
        "fetching what is not fetched", lambda desk: ["circuits", "fetch", "example"], "nothing to fetch.*use it as it is"
    ),
    BadCommand("fetching nothing", lambda desk: ["circuits", "fetch"], "no circuit was named.*tmsprep circuits fetch NAME"),
)


def limits(content: str | bytes) -> Words:
    return lambda desk: desk.app("--circuit", "example", "--thresholds", desk.file("limits.yaml", content))


def _laughs() -> str:
    """A list of 9 to the 9th elements in ten lines."""
    lines = ["mean_fd_abstain_mm:", "- &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"- &{name} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join(lines)


def chosen(content: str) -> Words:
    return lambda desk: desk.app("--circuit", "example", "--bids-filter-file", desk.file("filter.json", content))


def option(*words: object) -> Words:
    return lambda desk: desk.app("--circuit", "example", *words)


def _mask(**changes: Any) -> dict[str, Any]:
    content = json.loads((datafiles.folder("search_masks") / "dlpfc-spheres.json").read_text(encoding="utf-8"))
    return content | {"name": "mine"} | changes


_SPHERE = {"name": "s", "x": -40.0, "y": 40.0, "z": 30.0, "radius_mm": 20.0}
MASKS: dict[str, tuple[dict[str, Any], str]] = {
    "in the right hemisphere": (_mask(spheres=[_SPHERE | {"x": 40.0}]), r"mine\.json: \$\.spheres\[0\]\.x: 40"),
    "says that it is on the right": (_mask(hemisphere="right"), r"mine\.json: \$\.hemisphere: 'left' was expected"),
    "empty": (_mask(spheres=[]), r"mine\.json: \$\.spheres: \[\]"),
    "of no size": (_mask(spheres=[_SPHERE | {"radius_mm": 0}]), r"mine\.json: \$\.spheres\[0\]\.radius_mm: 0"),
    "at NaN": (_mask(spheres=[_SPHERE | {"y": float("nan")}]), r"mine\.json: it holds NaN"),
    "of the whole head": (_mask(spheres=[_SPHERE | {"radius_mm": 1e6}]), r"mine\.json: \$\.spheres\[0\]\.radius_mm"),
    "in an unknown space": (_mask(space="Talairach"), r"mine\.json: \$\.space: 'Talairach'"),
}
"""Search masks are chosen by name among shipped files: what such a file must not be, and the message."""


def save_mask(folder: Path, content: dict[str, Any]) -> None:
    (folder / "mine.json").write_text(json.dumps(content), encoding="utf-8")


_YAML = r"limits\.yaml: "
_FILTER = r"filter\.json: "
OPTIONS = (
    BadCommand("a mask that climbs out", option("--search-mask", "../x"), "no search mask is called '../x'"),
    BadCommand("a billion laughs", limits(_laughs()), rf"{_YAML}mean_fd_abstain_mm is a list.*finite number"),
    BadCommand(
        "a limit that is NaN", limits("mean_fd_abstain_mm: .nan"), rf"{_YAML}mean_fd_abstain_mm is nan.*finite number"
    ),
    BadCommand("a limit without end", limits("clean_minutes_abstain: -.inf"), rf"{_YAML}clean_minutes_abstain is -inf"),
    BadCommand("a limit in words", limits("mean_fd_abstain_mm: '0.3'"), rf"{_YAML}mean_fd_abstain_mm is '0\.3'"),
    BadCommand(
        "a limit twice",
        limits("mean_fd_abstain_mm: 0.3\nmean_fd_abstain_mm: 3"),
        rf"{_YAML}mean_fd_abstain_mm is there twice",
    ),
    BadCommand("a limit of another name", limits("mean_fd: 3"), rf"{_YAML}no limit is called 'mean_fd'"),
    BadCommand("limits in a list", limits("- 1"), rf"{_YAML}the YAML is no mapping"),
    BadCommand(
        "limits that run a program",
        limits(f'!!python/object/apply:os.system ["touch {CANARY}"]'),
        rf"{_YAML}no readable YAML",
    ),
    BadCommand("limits in UTF-16", limits("a: 1".encode("utf-16")), rf"{_YAML}no readable YAML"),
    BadCommand("limits of 2,000 brackets", limits("[" * 2000), rf"{_YAML}no readable YAML"),
    BadCommand("a filter of another kind", chosen('{"bald": {}}'), rf"{_FILTER}the filter file names 'bald'.*bold, t1w"),
    BadCommand(
        "a filter with a pattern", chosen('{"bold": {"session": {"$regex": "x"}}}'), rf"{_FILTER}'bold' filters 'session'"
    ),
    BadCommand("a filter of 100,000 brackets", chosen('{"a": ' + "[" * 100_000), rf"{_FILTER}no readable JSON"),
    BadCommand(
        "a filter that nothing passes", chosen('{"bold": {"task": null}}'), "nothing to process.*see the remarks in the plan"
    ),
    BadCommand("seed 0", option("--seed", 0), "--seed: the seed is 0"),
    BadCommand("a seed of 40 bits", option("--seed", 2**40), "--seed: the seed is 1099511627776"),
    BadCommand(
        "a participant for a shell",
        option("--participant-label", TOUCH),
        r"holds no participant '\$\(touch canary\)'.*one of: 01, 02",
    ),
    BadCommand("a participant that climbs out", option("--participant-label", "../.."), r"holds no participant '\.\./\.\.'"),
    BadCommand(
        "a task for a shell", option("--task-id", f"`touch {CANARY}`"), "holds no task '`touch canary`'.*one of: rest"
    ),
    BadCommand("a session that is not there", option("--session-label", "9"), "holds no session '9'"),
    BadCommand(
        "fMRIPrep options for a shell",
        option("--fmriprep-options", f"; touch {CANARY}"),
        "--fmriprep-options: ';' is no option",
    ),
    BadCommand(
        "fMRIPrep options that do not end",
        option("--fmriprep-options", '--x "y'),
        "--fmriprep-options: .*No closing quotation",
    ),
    BadCommand(
        "derivatives of another name", option("--derivatives", "xcpd=/x"), r"--derivatives: 'xcpd=/x'.*fmriprep=PATH"
    ),
    BadCommand(
        "derivatives that are nowhere", option("--derivatives", "fmriprep=/nowhere"), "/nowhere: no preprocessed dataset"
    ),
    BadCommand(
        "a movement limit that is NaN", option("--fd-threshold-mm", "nan"), "--fd-threshold-mm: it is nan.*0.01 to 10"
    ),
    BadCommand("smoothing below 0", option("--smoothing-fwhm-mm=-1"), r"--smoothing-fwhm-mm: it is -1\.0.*0 to 30"),
    BadCommand("a depth in metres", option("--max-depth-mm", 0.03), r"--max-depth-mm: it is 0\.03.*1 to 100"),
    BadCommand("an angle without end", option("--handle-angle-deg", "inf"), "--handle-angle-deg: it is inf.*-360 to 360"),
    BadCommand("dummy scans below 0", option("--dummy-scans=-3"), "--dummy-scans: it is -3.*0 to 10000"),
    BadCommand("no draws", option("--bootstrap-draws", 0), "--bootstrap-draws: at least 1"),
    BadCommand("an unknown method", option("--method", "magic"), r'Invalid value "magic" for --method'),
    BadCommand("an unknown option", option("--force"), 'Unknown option: "?--force'),
    BadCommand("fiducials that are nowhere", option("--fiducials", "/nowhere"), "/nowhere: the file is not there"),
    BadCommand(
        "results into the dataset",
        lambda desk: [desk.good, desk.good, "participant", "--skip-bids-validation"],
        "the output folder is the dataset itself",
    ),
    BadCommand(
        "no dataset", lambda desk: ["/nowhere", desk.out, "participant"], "/nowhere: there is no such folder.*BIDS dataset"
    ),
    BadCommand("no such stage", lambda desk: ["stage", "nosuch"], "no stage is called 'nosuch'"),
)
