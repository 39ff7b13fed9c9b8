"""Podman and Buildah with settings and storage of our own: /etc and the machine's own images are not touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.containers.machine import cache_folder, run
from tests.containers.package_settings import PackageSettings

_RUN_FOLDER = Path("/run/tmsprep-tests")
"""The state of running containers. It is written into the storage's database, so it must be the same in each test run."""

_CONTAINERS_CONF = f"""[containers]
netns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "{_RUN_FOLDER}/libpod"
"""
"""What works with cgroups v1 and v2, without systemd and without a network of the container's own."""

_STORAGE_CONF = """[storage]
driver = "{driver}"
graphroot = "{images}"
runroot = "{state}"
"""


@dataclass(frozen=True)
class Podman:
    """Podman, and Buildah on the same images."""

    environment: dict[str, str]
    """The environment that any command needs to see these images; `docker` in it is Podman."""
    packages: PackageSettings
    """How a build gets packages on this machine."""

    def run(self, *words: object, limit_s: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `podman WORDS`."""
        return run("podman", *words, limit_s=limit_s, environment=self.environment, check=check)

    def start(
        self, image: str, *words: object, options: tuple[object, ...] = (), limit_s: int = 120, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run an image's program with these words, in a container that is removed afterwards."""
        own = ("--rm", "--pull=never", f"--timeout={limit_s}")
        return self.run("run", *own, *options, image, *words, limit_s=limit_s + 30, check=check)

    def exists(self, image: str) -> bool:
        """Tell whether an image is there."""
        return self.run("image", "exists", image, check=False).returncode == 0

    def inspect(self, image: str) -> dict[str, Any]:
        """Return what Podman tells of an image."""
        return json.loads(self.run("image", "inspect", image).stdout)[0]

    def build(self, containerfile: Path, image: str, *, context: Path, limit_s: float = 800) -> str:
        """Build an image; steps that have not changed are taken from the last build. Returns the image's name."""
        words = ["build", "--layers", "--pull=never", "--isolation", "chroot", "--network", "host", "--quiet"]
        words += [*self.packages.build_options(), "--tag", image, "--file", str(containerfile), str(context)]
        run("buildah", *words, limit_s=limit_s, environment=self.environment)
        return image

    def unpack(self, image: str, folder: Path, *, limit_s: float = 300) -> None:
        """Unpack an image's file system into a folder."""
        container = self.run("create", "--pull=never", image).stdout.strip()
        archive = folder.with_name(folder.name + ".tar")
        try:
            self.run("export", "--output", archive, container, limit_s=limit_s)
            folder.mkdir(parents=True)
            run("tar", "-x", "-f", archive, "-C", folder, limit_s=limit_s)
        finally:
            archive.unlink(missing_ok=True)
            self.run("rm", container)


def make_podman(settings: Path) -> Podman:
    """Return Podman with settings written to a folder, images kept in the cache folder; overlay storage where that works."""
    (settings / "containers.conf").write_text(_CONTAINERS_CONF, encoding="utf-8")
    (settings / "bin").mkdir()
    (settings / "bin" / "docker").symlink_to(str(shutil.which("podman")))
    environment = {
        **os.environ,
        "PATH": f"{settings / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "CONTAINERS_CONF": str(settings / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(settings / "storage.conf"),
    }
    podman = Podman(environment, PackageSettings.of_machine(settings))
    for driver in ("overlay", "vfs"):
        images = cache_folder("containers") / driver
        text = _STORAGE_CONF.format(driver=driver, images=images, state=_RUN_FOLDER / driver)
        (settings / "storage.conf").write_text(text, encoding="utf-8")
        if podman.run("info", check=False).returncode == 0:
            return podman
    raise AssertionError(podman.run("info", check=False).stderr)
