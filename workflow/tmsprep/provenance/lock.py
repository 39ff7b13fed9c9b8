"""A manifest of derivatives that ``sha256sum -c`` accepts."""

from __future__ import annotations

from pathlib import Path

from tmsprep.errors import InputError
from tmsprep.files import atomic, sha256

NAME = "SHA256SUMS"


def command(derivatives: Path) -> None:
    """Write SHA256SUMS of all files of derivatives; ``sha256sum -c SHA256SUMS`` in that folder checks it.

    Parameters
    ----------
    derivatives
        The OUTPUT_DIR of a run, or one dataset in it. The work folder is left out.
    """
    if not derivatives.is_dir():
        raise InputError("it is no folder", where=derivatives)
    lines = [f"{sha256(path)}  {path.relative_to(derivatives).as_posix()}" for path in _files(derivatives)]
    with atomic(derivatives / NAME) as twin:
        twin.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
    print(f"{derivatives / NAME}: {len(lines)} files")


def _files(folder: Path) -> list[Path]:
    """Return all files in order; names with a line break, which the format cannot hold, are refused."""
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != NAME and path.relative_to(folder).parts[0] != "work"
    ]
    if bad := next((path for path in found if "\n" in path.name or "\\" in path.name), None):
        raise InputError("a file name with a line break or a backslash", where=bad)
    return found
