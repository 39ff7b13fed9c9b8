"""What all participants share, prepared once before any of them starts: templates, and FreeSurfer's fsaverage.

Compute nodes often have no internet, and fMRIPrep's parallel jobs would each write fsaverage (fmriprep#3492).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from tmsprep.errors import ExternalProgramError
from tmsprep.files import sha256, write_json
from tmsprep.interfaces.containers import ContainerCall, Mount, Runtime, command, output_of
from tmsprep.preprocess.fmriprep.image import FmriprepImage
from tmsprep.preprocess.fmriprep.places import TEMPLATEFLOW_VARIABLES, mount_root
from tmsprep.stages import InFile, OutFile, SidecarFields

_SCRIPT = Path(__file__).with_name("fetch_templates.py")
_FETCH_SECONDS = 2 * 3600
_COPY_FSAVERAGE = 'cp -R "${FREESURFER_HOME:?is not set}/subjects/fsaverage" "$1"'


def prepare_templateflow(*, image: InFile, home: Path, surfaces: bool, out_list: OutFile) -> SidecarFields:
    """Fill a TemplateFlow home with all that fMRIPrep will ask for.

    Needs internet for what is neither there nor in the image.

    Parameters
    ----------
    image
        What the stage ``fmriprep-image`` wrote.
    home
        The TemplateFlow home; what it holds already is kept.
    surfaces
        Templates of surfaces too.
    out_list
        JSON: the files, with their sha256.

    Raises
    ------
    ExternalProgramError
        A template cannot be fetched.
    """
    home.mkdir(parents=True, exist_ok=True)
    words = ["-c", _SCRIPT.read_text(encoding="utf-8"), *(["surfaces"] if surfaces else [])]
    try:
        said = _in_image(FmriprepImage.read(image), "python", words, Mount(home, "/templateflow", writable=True))
    except ExternalProgramError as error:
        raise ExternalProgramError(
            f"the templates cannot be prepared ({error})",
            where=home,
            action="run this step where there is internet (end the command with: -- --until templateflow), or give a filled"
            " folder with --templateflow-home",
        ) from error
    names: list[str] = json.loads(said.strip().splitlines()[-1])["TemplateFlowFiles"]
    write_json(out_list, {"Files": {name: sha256(home / name) for name in names}})
    return {}


def prepare_fsaverage(*, image: InFile, subjects_dir: Path, out_list: OutFile) -> SidecarFields:
    """Copy fsaverage from the image into FreeSurfer's folder of subjects.

    Parameters
    ----------
    image
        What the stage ``fmriprep-image`` wrote.
    subjects_dir
        FreeSurfer's folder of subjects.
    out_list
        JSON: the number of files copied.

    Raises
    ------
    ExternalProgramError
        The image holds none.
    """
    target = subjects_dir / "fsaverage"
    if not target.is_dir():
        twin = subjects_dir / ".tmp-fsaverage"
        shutil.rmtree(twin, ignore_errors=True)
        twin.mkdir(parents=True)
        mount = Mount(twin, "/subjects", writable=True)
        _in_image(FmriprepImage.read(image), "sh", ["-c", _COPY_FSAVERAGE, "sh", "TARGET"], mount)
        (twin / "fsaverage").replace(target)
        twin.rmdir()
    write_json(out_list, {"FsaverageFiles": sum(path.is_file() for path in target.rglob("*"))})
    return {}


def _in_image(image: FmriprepImage, program: str, words: Sequence[str], mount: Mount) -> str:
    """Run one of the image's programs on a mounted folder; the word TARGET becomes the folder's name there."""
    installed = image.runtime is Runtime.NONE
    seen = str(mount.source) if installed else mount_root(image.runtime) + mount.target
    environment = {"TEMPLATEFLOW_HOME": seen, **TEMPLATEFLOW_VARIABLES}
    arguments = tuple(seen if word == "TARGET" else word for word in words)
    if installed:
        return output_of([_beside_fmriprep(program), *arguments], _FETCH_SECONDS, environment)
    call = ContainerCall(
        image.image, program, arguments, (Mount(mount.source, seen, writable=True),), environment, network=True
    )
    return output_of(command(image.runtime, call), _FETCH_SECONDS)


def _beside_fmriprep(program: str) -> str:
    """Return a program of the environment that fMRIPrep is installed in, or the one on the path."""
    fmriprep = shutil.which("fmriprep")
    beside = Path(fmriprep).resolve().with_name(program) if fmriprep else Path(program)
    return str(beside) if beside.exists() else program
