"""The container images: which ones, pinned to which digest, and what the local store holds.

``containers/images.yaml`` is the one list. A digest names content; a tag names whatever its owner last pushed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tmsprep.errors import ConfigurationError, ExternalProgramError
from tmsprep.files import atomic
from tmsprep.interfaces.containers import Runtime, output_of
from tmsprep.workflow_files import images_file

_INSPECT_SECONDS = 60
_PULL_SECONDS = 4 * 3600
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
STORES = (Runtime.DOCKER, Runtime.PODMAN)
"""The runtimes that keep images with the digest that their registry gave them."""


@dataclass(frozen=True)
class Image:
    """One entry of the list."""

    name: str
    repository: str
    """Without a registry's host."""
    tag: str
    digest: str | None
    """``sha256:`` and 64 hexadecimal digits; None: not pinned."""
    purpose: str

    @property
    def tagged(self) -> str:
        """The reference by tag."""
        return f"{self.repository}:{self.tag}"

    @property
    def reference(self) -> str:
        """What a runtime is asked for: the digest where one is pinned."""
        return f"{self.repository}@{self.digest}" if self.digest else self.tagged


def load_images(path: Path | None = None) -> dict[str, Image]:
    """Read the list of images, by name.

    Raises
    ------
    ConfigurationError
        The file is absent or has an entry of another form.
    """
    path = path or images_file()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        images = {name: _image(name, entry) for name, entry in content.items()}
    except (OSError, yaml.YAMLError, AttributeError, TypeError, KeyError) as error:
        raise ConfigurationError(
            f"no list of images ({error})", where=path, expected="NAME: {repository, tag, digest, purpose}"
        ) from error
    for image in images.values():
        if image.digest is not None and not _DIGEST.fullmatch(image.digest):
            raise ConfigurationError(
                f"the digest of {image.name} is {image.digest!r}", where=path, expected="sha256:<64 hex>"
            )
    return images


def _image(name: str, entry: Mapping[str, object]) -> Image:
    digest = entry["digest"]
    return Image(
        name,
        str(entry["repository"]),
        str(entry["tag"]),
        None if digest is None else str(digest),
        str(entry["purpose"]),
    )


def write_digests(path: Path, digests: Mapping[str, str]) -> None:
    """Write digests into the list; all else in the file, comments too, stays as it is.

    Raises
    ------
    ConfigurationError
        An image of that name is not in the file in the usual form.
    """
    text = path.read_text(encoding="utf-8")
    for name, digest in digests.items():
        pattern = re.compile(rf"(^{re.escape(name)}:\n(?:[ \t]+.*\n)*?[ \t]+digest:[ \t]*)\S+", re.MULTILINE)
        text, count = pattern.subn(rf"\g<1>{digest}", text)
        if count != 1:
            raise ConfigurationError(f"no digest line of {name} to write to", where=path)
    with atomic(path) as twin:
        twin.write_text(text, encoding="utf-8")


# What the local store holds


def stored_digests(runtime: Runtime, reference: str) -> list[str] | None:
    """Return the digests under which a store holds an image; None if it does not hold it.

    Docker gives an image that was built here and never pushed no digest: then the list is empty.

    Raises
    ------
    ExternalProgramError
        The runtime failed for another reason than that there is no such image.
    """
    words = [runtime.value, "image", "inspect", "--format", "{{json .}}", reference]
    try:
        text = output_of(words, _INSPECT_SECONDS)
    except ExternalProgramError as error:
        if re.search("no such image|image not known|no such object", str(error), re.IGNORECASE):
            return None
        raise
    found = json.loads(text)
    content = found[0] if isinstance(found, list) else found
    return sorted({word.partition("@")[2] for word in content.get("RepoDigests") or []})


def pull(runtime: Runtime, reference: str) -> None:
    """Fetch an image into the store, where there is internet.

    Raises
    ------
    ExternalProgramError
        The runtime could not; the message is its own.
    """
    output_of([runtime.value, "pull", reference], _PULL_SECONDS)


@dataclass(frozen=True)
class Finding:
    """What was found about one image."""

    image: Image
    stored: tuple[str, ...] | None
    """Digests in the store; None: not there."""

    @property
    def verdict(self) -> str:
        """``ok``, or what is wrong in a few words."""
        if self.image.digest is None:
            return "not pinned, not here" if self.stored is None else "not pinned"
        if self.stored is None:
            return "not here"
        return "ok" if self.image.digest in self.stored else "another image under this name"


def findings(runtime: Runtime, images: Sequence[Image]) -> list[Finding]:
    """Look each image up in the store, by digest where it is pinned and by tag otherwise.

    Raises
    ------
    ConfigurationError
        The runtime keeps no registry's digests.
    """
    if runtime not in STORES:
        raise ConfigurationError(
            f"{runtime} keeps images as plain files, without the registry's digest",
            where="--container-runtime",
            expected="docker or podman, on any machine with internet",
        )
    found: list[Finding] = []
    for image in images:
        by_digest = stored_digests(runtime, image.reference)
        stored = stored_digests(runtime, image.tagged) if by_digest is None else by_digest
        found.append(Finding(image, None if stored is None else tuple(stored)))
    return found
