"""Charliecloud images made from Podman's, and running them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.containers.machine import cache_folder, run
from tests.containers.podman import Podman


def to_folder(podman: Podman, image: str) -> Path:
    """Return a Podman image as a Charliecloud folder; an older one of the same name is replaced."""
    described = podman.inspect(image)
    name = image.replace("/", "+").replace(":", "+")
    folder = cache_folder("charliecloud") / f"{name}@{described['Id'][:12]}"
    if folder.is_dir():
        return folder
    for old in folder.parent.glob(f"{name}@*"):
        shutil.rmtree(old)
    with tempfile.TemporaryDirectory(dir=folder.parent) as half:
        made = Path(half, "image")
        podman.unpack(image, made)
        (made / "ch").mkdir()
        (made / "ch" / "environment").write_text("\n".join(described["Config"]["Env"]) + "\n", encoding="utf-8")
        made.rename(folder)
    return folder


def to_squashfs(folder: Path, file: Path) -> Path:
    """Return a Charliecloud folder as one file; weakly compressed, because that is fast."""
    run("mksquashfs", folder, file, "-quiet", "-no-progress", "-comp", "lz4", limit_s=300)
    return file


def ch_run(
    image: Path, *words: object, binds: dict[Path, str], limit_s: float = 120, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command in an image (a folder or a squashfs), with the image's environment and a /tmp of its own."""
    options = ["--private-tmp", "--unset-env=*", "--set-env"] + [
        f"--bind={source}:{target}" for source, target in binds.items()
    ]
    environment = {"USER": "root", **os.environ}
    with tempfile.TemporaryDirectory() as mount:
        where = [f"--mount={mount}"] if image.is_file() else []
        return run("ch-run", *where, *options, image, "--", *words, limit_s=limit_s, environment=environment, check=check)
