"""Stage ``fmriprep-image``: what fMRIPrep will be started with, fetched once where there is internet, and written down.

Every job reads what is written here, so that all participants run the same image by the same runtime.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path

from packaging.version import Version

from tmsprep.errors import ConfigurationError, ExternalProgramError
from tmsprep.files import read_json, sha256, write_json
from tmsprep.images import STORES, Image, load_images, pull, stored_digests
from tmsprep.interfaces.containers import (
    ContainerCall,
    Runtime,
    RuntimeChoice,
    choose,
    command,
    output_of,
    runtime_version,
)
from tmsprep.preprocess.existing import OLDEST
from tmsprep.stages import OutFile, SidecarFields

_FETCH_SECONDS = 4 * 3600
_VERSION_SECONDS = 600
_VERSION = re.compile(r"fMRIPrep v(\S+)")


@dataclass(frozen=True)
class FmriprepImage:
    """fMRIPrep as it is on this machine."""

    runtime: Runtime
    runtime_version: str
    image: str
    """What the runtime is given: a reference, a file or a folder; empty without containers."""
    name: str
    """The image for people: ``nipreps/fmriprep:25.2.7``, or the file's name."""
    digest: str | None
    """The registry's, where the runtime keeps it."""
    sha256: str | None
    """Of an image that is one file."""
    pinned: bool
    """Whether the digest is the one of ``containers/images.yaml``."""
    fmriprep_version: str
    """What the program itself says."""

    @classmethod
    def read(cls, path: Path) -> FmriprepImage:
        """Read what the stage wrote."""
        content = read_json(path)["Fmriprep"]
        return cls(**content | {"runtime": Runtime(content["runtime"])})

    def generated_by(self) -> dict[str, object]:
        """Return the item of a dataset's ``GeneratedBy``."""
        item: dict[str, object] = {
            "Name": "fMRIPrep",
            "Version": self.fmriprep_version,
            "CodeURL": f"https://github.com/nipreps/fmriprep/releases/tag/{self.fmriprep_version}",
        }
        if self.runtime is Runtime.NONE:
            return item
        container = {"Type": self.runtime.value, "Tag": self.name}
        if self.digest or self.sha256:
            repository = re.sub(r"(:[^:/@]+)?(@.*)?$", "", self.name)
            container["URI"] = f"{repository}@{self.digest}" if self.digest else f"sha256:{self.sha256}"
        return item | {"Container": container}


def prepare_image(*, container_runtime: RuntimeChoice, image: str | None = None, out_image: OutFile) -> SidecarFields:
    """Choose the runtime, fetch the image if it is not here, verify its digest, and ask fMRIPrep for its version.

    Parameters
    ----------
    container_runtime
        A runtime, or ``auto``.
    image
        Another image than that of ``containers/images.yaml``: a reference, a ``.sif`` or SquashFS file, or a folder.
    out_image
        JSON: an `FmriprepImage`.

    Raises
    ------
    ConfigurationError
        No runtime works here, or the program is another version than the list says, or older than the contract.
    ExternalProgramError
        The image cannot be fetched or started, or is not the one that was pinned.
    """
    runtime = choose(container_runtime)
    listed = load_images()["fmriprep"]
    used, name = _fetched(runtime, image, listed, out_image.parent)
    digest = _digest(runtime, used)
    pinned = digest is not None and digest == listed.digest
    if image is None and digest and listed.digest and not pinned:
        raise ExternalProgramError(
            f"the image {used} has the digest {digest}",
            expected=listed.digest,
            action=f"remove it ({runtime} image rm {used}); it is fetched again",
        )
    version = _version(runtime, used)
    _require_version(version, listed if image is None and runtime is not Runtime.NONE else None)
    path = Path(used)
    content = FmriprepImage(
        runtime=runtime,
        runtime_version="" if runtime is Runtime.NONE else runtime_version(runtime),
        image=used,
        name=name,
        digest=digest,
        sha256=sha256(path) if path.is_file() else None,
        pinned=pinned,
        fmriprep_version=version,
    )
    print(f"fMRIPrep {version} by {runtime} ({content.runtime_version}): {name} {digest or content.sha256 or ''}")
    write_json(out_image, {"Fmriprep": asdict(content)})
    return {}


def _fetched(runtime: Runtime, image: str | None, listed: Image, folder: Path) -> tuple[str, str]:
    """Return what the runtime is given for the image, and its name; fetch it if it is not here."""
    if runtime is Runtime.NONE:
        return "", "installed fMRIPrep"
    if image is not None and Path(image).exists():
        return image, Path(image).name
    reference, name = (image, image) if image else (listed.reference, listed.tagged)
    if runtime in STORES:
        if stored_digests(runtime, reference) is None:
            print(f"fetching {reference} ...")
            pull(runtime, reference)
        return reference, name
    return str(_image_file(runtime, reference, listed, folder)), name


def _image_file(runtime: Runtime, reference: str, listed: Image, folder: Path) -> Path:
    """Fetch an image into a file of the work folder, once."""
    ending = "sqfs" if runtime is Runtime.CHARLIECLOUD else "sif"
    label = re.sub(r"[^0-9A-Za-z.+-]", "_", reference if reference != listed.reference else f"fmriprep-{listed.tag}")
    path = folder / f"{label}.{ending}"
    if not path.exists():
        twin = path.with_name(f".tmp-{path.name}")
        twin.unlink(missing_ok=True)
        for words in fetch_commands(runtime, reference, twin):
            output_of(words, _FETCH_SECONDS)
        twin.replace(path)
    return path


def fetch_commands(runtime: Runtime, reference: str, path: Path) -> list[list[str]]:
    """Return the commands that fetch an image into a file."""
    if runtime is Runtime.CHARLIECLOUD:
        return [["ch-image", "pull", reference], ["ch-convert", "-i", "ch-image", "-o", "squash", reference, str(path)]]
    return [[runtime.value, "pull", str(path), f"docker://{reference}"]]


def _digest(runtime: Runtime, used: str) -> str | None:
    if runtime not in STORES:
        return None
    digests = stored_digests(runtime, used) or []
    wanted = used.partition("@")[2]
    return wanted if wanted in digests else (digests[0] if digests else None)


def _version(runtime: Runtime, used: str) -> str:
    program = "fmriprep" if runtime in {Runtime.NONE, Runtime.CHARLIECLOUD} else None
    said = output_of(command(runtime, ContainerCall(used, program, ("--version",))), _VERSION_SECONDS)
    if not (found := _VERSION.search(said)):
        raise ExternalProgramError(
            f"it says {said.strip()[:200]!r}", where=used or "fmriprep", expected="fMRIPrep v<version>"
        )
    return found[1]


def _require_version(version: str, listed: Image | None) -> None:
    if Version(Version(version).base_version) < OLDEST:
        raise ConfigurationError(f"fMRIPrep {version} is too old", expected=f"{OLDEST} or later")
    if listed and version != listed.tag:
        raise ConfigurationError(
            f"fMRIPrep {version} is not the version that TMSPrep was made for",
            expected=listed.tag,
            action="to use it all the same, name it: --fmriprep-image",
        )
