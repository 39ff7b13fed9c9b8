"""Everything under ``prov`` that is made of the records: BIDS-Prov files, the RO-Crate, the summary page.

``prov/published.json`` of the dataset with targets lists them all, and the records of workflow runs, with their checksums,
and says which version of the code made them; `verify` holds them to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tmsprep import __version__
from tmsprep.errors import InputError
from tmsprep.files import atomic, json_text, sha256
from tmsprep.provenance import machine
from tmsprep.provenance.activity import RUNS
from tmsprep.provenance.bidsprov import records
from tmsprep.provenance.crate import crate
from tmsprep.provenance.lineage import Lineage
from tmsprep.provenance.summary_page import summary

LIST = Path("prov") / "published.json"


def from_records(lineage: Lineage) -> dict[Path, str]:
    """Return the texts of all files that depend on the records alone."""
    return records(lineage) | crate(lineage)


def publish_provenance(folder: Path) -> list[Path]:
    """Write it all anew.

    Parameters
    ----------
    folder
        An output folder.

    Returns
    -------
    list[Path]
        What was written.

    Raises
    ------
    InputError
        There are no records, one cannot be read, or a folder under ``prov`` leads out of its dataset.
    """
    lineage = Lineage(folder)
    texts = from_records(lineage) | summary(lineage)
    if lineage.main:
        texts |= {lineage.main.root / LIST: json_text(_list(lineage, texts))}
    for path in texts:
        _require_inside(lineage, path)
    for path, text in texts.items():
        with atomic(path) as twin:
            twin.write_text(text, encoding="utf-8", newline="\n")
    return list(texts)


def _list(lineage: Lineage, texts: dict[Path, str]) -> dict[str, Any]:
    digests = {name_of(lineage, path): hashlib.sha256(text.encode()).hexdigest() for path, text in texts.items()}
    runs = sorted((lineage.main.root / RUNS).glob("*.json")) if lineage.main else []
    digests |= {name_of(lineage, path): sha256(path) for path in runs}
    content = {"MadeBy": {"tmsprep": __version__, "Source": dict(machine.source())["SHA256"]}, "Files": digests}
    return content | {"SHA256": own_checksum(content)}


def own_checksum(content: Mapping[str, Any]) -> str:
    """Return the checksum of a list of files, without the checksum in it."""
    return hashlib.sha256(json_text({key: content[key] for key in ("MadeBy", "Files")}).encode()).hexdigest()


def name_of(lineage: Lineage, path: Path) -> str:
    """Return a file's name with its dataset's folder."""
    for dataset in lineage.datasets:
        if path.is_relative_to(dataset.root):
            return f"{dataset.name}/{path.relative_to(dataset.root).as_posix()}"
    return path.name


def _require_inside(lineage: Lineage, path: Path) -> None:
    """Refuse to write through a link that leads out of the dataset."""
    root = next(dataset.root for dataset in lineage.datasets if path.is_relative_to(dataset.root))
    if not path.parent.resolve().is_relative_to(root):
        raise InputError("the folder is a link that leads out of the dataset", where=path.parent, action="remove the link")


def command(derivatives: Path) -> None:
    """Write the BIDS-Prov files, the RO-Crate and the summary page anew, from the records.

    A run does so when it ends. This is for stages that were run by hand, or by Snakemake itself.

    Parameters
    ----------
    derivatives
        The OUTPUT_DIR of a run.
    """
    for path in publish_provenance(derivatives):
        print(path)
