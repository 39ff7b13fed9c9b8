"""The base image of a Containerfile, made from Debian's packages and given the name that the Containerfile asks for.

So the Containerfile that is tested is the one that users build, although the tests ask no registry.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from tests.containers.machine import give_up, need, run
from tests.containers.podman import Podman

_APT = Path("/etc/apt")
_NOT_NEEDED = ("var/cache/apt/archives/*.deb", "var/lib/apt/lists/*", "usr/share/doc/*", "usr/share/man/*")


def base_of(containerfile: Path) -> str:
    """Return the name in a Containerfile's first FROM; of an ARG, its default."""
    text = containerfile.read_text(encoding="utf-8")
    name = re.findall(r"^FROM\s+(\S+)", text, re.MULTILINE)[0]
    if (argument := re.fullmatch(r"\$\{?(\w+)\}?", name)) is None:
        return name
    return re.findall(rf"^ARG\s+{argument[1]}=(\S+)", text, re.MULTILINE)[0]


def make_base(podman: Podman, containerfile: Path) -> str:
    """Make a Containerfile's base image (`debian:SUITE...`) unless it is there; returns its name."""
    name = base_of(containerfile)
    if podman.exists(name):
        return name
    need("debootstrap")
    distribution, _, tag = name.partition(":")
    suite = tag.partition("-")[0]
    assert distribution == "debian", f"{containerfile} wants the base {name}; only Debian's can be made here"
    with tempfile.TemporaryDirectory() as folder:
        root, archive = Path(folder, "root"), Path(folder, "root.tar")
        run("debootstrap", "--variant=minbase", suite, root, _mirror(suite), limit_s=400)
        left_out = [f"--exclude=./{pattern}" for pattern in _NOT_NEEDED]
        run("tar", "-C", root, *left_out, "-c", "-f", archive, ".", limit_s=100)
        podman.run("import", archive, name, limit_s=100)
    return name


def _mirror(suite: str) -> str:
    """Return the mirror from which this machine gets a Debian suite."""
    files = sorted([*_APT.glob("*.list"), *_APT.glob("sources.list.d/*.list"), *_APT.glob("sources.list.d/*.sources")])
    sources = [source for file in files for source in _sources(file)]
    mirrors = [address for address, suites in sources if suite in suites and "debian" in address]
    if not mirrors:
        give_up(f"no apt source of this machine has Debian {suite}, from which the base image is made")
    return mirrors[0]


def _sources(path: Path) -> list[tuple[str, list[str]]]:
    """Return the address and suites of each source in a file of either of apt's two forms."""
    text = "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    if path.suffix == ".list":
        found = re.findall(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)", text, re.MULTILINE)
        return [(address, [suite]) for address, suite in found]
    stanzas = [dict(re.findall(r"^(\w[\w-]*):\s*(.*)$", stanza, re.MULTILINE)) for stanza in text.split("\n\n")]
    return [
        (stanza["URIs"].split()[0], stanza["Suites"].split()) for stanza in stanzas if {"URIs", "Suites"} <= stanza.keys()
    ]
