"""``tmsprep images``: which container images there are, pinning them to digests, and checking what is here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from tmsprep.errors import ConfigurationError, ExternalProgramError
from tmsprep.images import STORES, Finding, Image, findings, load_images, pull, stored_digests, write_digests
from tmsprep.interfaces.containers import Runtime, RuntimeChoice, choose, problem_with
from tmsprep.summary import make_console
from tmsprep.workflow_files import images_file


def command(
    action: Literal["list", "pin", "check"],
    names: list[str] | None = None,
    /,
    *,
    container_runtime: RuntimeChoice = RuntimeChoice.AUTO,
    registry: str = "",
    file: Path | None = None,
) -> int:
    """List the images, pin them to the digest that their tag stands for now, or check the local store against the pins.

    `pin` fetches an image that is not here, where there is internet, and writes its digest to the list. `check` ends with
    status 1 if an image is not pinned, not here, or another one than was pinned.

    Parameters
    ----------
    action
        ``list``, ``pin`` or ``check``.
    names
        The images meant; all if none is named.
    container_runtime
        Whose store is looked at: docker or podman.
    registry
        The host to fetch from, where the runtime has no default one (Podman often has none).
    file
        The list; the one that TMSPrep came with if not given.
    """
    path = file or images_file()
    images = _chosen(load_images(path), names or [])
    if action == "list":
        make_console().print(_list_table(images))
        return 0
    runtime = _store(container_runtime)
    if action == "pin":
        return _pin(path, images, runtime, registry)
    found = findings(runtime, images)
    make_console().print(_check_table(found, runtime))
    return 0 if all(item.verdict == "ok" for item in found) else 1


def _chosen(images: dict[str, Image], names: Sequence[str]) -> list[Image]:
    if unknown := [name for name in names if name not in images]:
        raise ConfigurationError(f"no image is called {unknown[0]!r}", expected=", ".join(images))
    return [images[name] for name in names or images]


def _store(choice: RuntimeChoice) -> Runtime:
    """Return the runtime whose store is looked at; only Docker and Podman keep registries' digests."""
    if choice is not RuntimeChoice.AUTO:
        return choose(choice)
    problems = {runtime: problem_with(runtime) for runtime in STORES}
    for runtime, problem in problems.items():
        if not problem:
            return runtime
    raise ConfigurationError(
        "; ".join(f"{runtime}: {problem}" for runtime, problem in problems.items()),
        expected="docker or podman: other runtimes keep no registry's digest",
    )


def _pin(path: Path, images: Sequence[Image], runtime: Runtime, registry: str) -> int:
    digests: dict[str, str] = {}
    for image in images:
        try:
            reference = f"{registry}/{image.tagged}" if registry else image.tagged
            if stored_digests(runtime, reference) is None:
                print(f"{image.name}: fetching {reference} ...")
                pull(runtime, reference)
            digests[image.name] = _only_digest(runtime, reference)
        except ExternalProgramError as error:
            print(f"{image.name}: not pinned. {error}")
            continue
        print(f"{image.name}: {image.tagged} is {digests[image.name]}" + _change(image, digests[image.name]))
    write_digests(path, digests)
    return 0 if len(digests) == len(images) else 1


def _only_digest(runtime: Runtime, reference: str) -> str:
    digests = stored_digests(runtime, reference) or []
    if not digests:
        raise ExternalProgramError(
            "the image was built here, and no registry gave it a digest", where=reference, action="push it, or fetch it"
        )
    if len(digests) != 1:
        raise ExternalProgramError(
            f"the store holds {len(digests)} digests: {', '.join(digests)}",
            where=reference,
            action=f"remove the image ({runtime} image rm) and pin again",
        )
    return digests[0]


def _change(image: Image, digest: str) -> str:
    if image.digest is None:
        return " (pinned now)"
    return " (as before)" if image.digest == digest else f" (was {image.digest})"


def _list_table(images: Sequence[Image]) -> Table:
    table = _table("name", "image", "digest", "purpose")
    for image in images:
        pin = Text(_short(image.digest)) if image.digest else Text("not pinned", style="yellow")
        table.add_row(Text(image.name), Text(image.tagged), pin, Text(image.purpose))
    return table


def _check_table(found: Sequence[Finding], runtime: Runtime) -> Table:
    table = _table("name", "image", "pinned", f"in {runtime}'s store", "verdict")
    for item in found:
        stored = ", ".join(map(_short, item.stored or ())) or "-"
        style = "green" if item.verdict == "ok" else "bold red"
        pinned = _short(item.image.digest) if item.image.digest else "-"
        table.add_row(item.image.name, item.image.tagged, pinned, stored, Text(item.verdict, style=style))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for name in columns:
        table.add_column(name)
    return table


def _short(digest: str | None) -> str:
    return (digest or "")[: len("sha256:") + 12]
