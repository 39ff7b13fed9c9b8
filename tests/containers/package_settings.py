"""How this machine gets its packages (certificates, pip's index, apt's options), lent to a build without a trace.

The settings are mounted during the build over two folders that are there in any case: /root and /etc/apt/apt.conf.d.
"""

from __future__ import annotations

import ast
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.containers.machine import run

_PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class PackageSettings:
    """Two folders: what a build sees as its home, and what it sees as apt's configuration."""

    home: Path
    apt: Path

    @classmethod
    def of_machine(cls, folder: Path) -> PackageSettings:
        """Write this machine's settings into a folder, in the form that a build needs."""
        settings = cls(folder / "home", folder / "apt")
        settings.apt.mkdir()
        (settings.home / ".config" / "pip").mkdir(parents=True)
        shutil.copy(os.environ.get("SSL_CERT_FILE") or _CERTIFICATES, settings.home / "ca.crt")
        (settings.home / ".config" / "pip" / "pip.conf").write_text(_pip_text(), encoding="utf-8")
        (settings.apt / "machine").write_text(_apt_text(), encoding="utf-8")
        return settings

    def build_options(self) -> list[str]:
        """Return Buildah's options that lend the settings to a build."""
        return ["--volume", f"{self.home}:/root:ro", "--volume", f"{self.apt}:/etc/apt/apt.conf.d:ro"]


def _pip_text() -> str:
    """Return a configuration of pip: what the machine's own says of the network, but not of folders."""
    values = {"cert": "/root/ca.crt"}
    for line in run(sys.executable, "-m", "pip", "config", "list", limit_s=60).stdout.splitlines():
        key, _, value = line.partition("=")
        words = [word for word in str(ast.literal_eval(value)).split() if not word.startswith(("/", "file:"))]
        if (name := key.rpartition(".")[2]) in _PIP_KEYS and words:
            values[name] = " ".join(words)
    return "\n".join(["[global]", *(f"{name} = {value}" for name, value in values.items()), ""])


def _apt_text() -> str:
    """Return a configuration of apt: how the machine's own fetches files."""
    lines = run("apt-config", "dump", limit_s=60).stdout.splitlines()
    fetching = [line for line in lines if line.startswith("Acquire::") and "CAInfo" not in line]
    return "\n".join([*fetching, 'Acquire::https::CAInfo "/root/ca.crt";', ""])
