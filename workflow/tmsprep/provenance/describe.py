"""The description of a derivative dataset: what it is, who made it, of what.

The ``GeneratedBy`` chain names this program first, then what made its inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tmsprep import __version__
from tmsprep.errors import ConfigurationError
from tmsprep.files import read_json, write_json
from tmsprep.stages import OutFile, SidecarFields

BIDS_VERSION = "1.10.0"
CODE_URL = "https://github.com/tmsprep/tmsprep"

_IGNORED = {
    "tmsprep": (
        "**/nibs",
        "*.html",
        "plan.*",
        "group_*.*",
        "prov",
        "logs",
        "benchmarks",
        "ro-crate-metadata.json",
        "SHA256SUMS",
        "*_statmap.*",
        "*_timeseries.*",
        "**/*.surf.gii",
        "*_desc-scalp.json",
    ),
    "tedana": ("*_S0map.*", "*_T2starmap.*", "*_desc-tedana_metrics.*", "*_desc-ICA_mixing.*"),
    "tmsprep-builtin": ("*_timeseries.*", "*_xfm.*", "*_boldref.*"),
}
"""What the BIDS schema does not know yet; nothing else is hidden from the validator.

The names of ``tmsprep-builtin`` are fMRIPrep's, which hides the same ones; those of ``tedana`` are tedana's.
"""

_DATASETS = {
    "tmsprep": ("TMSPrep - individual TMS targets", "tmsprep", "Circuit target, Beam F3, coil pose and reports."),
    "tedana": ("TMSPrep - multi-echo denoising", "tedana", "TE-dependent analysis of each multi-echo run."),
    "tmsprep-builtin": (
        "TMSPrep - builtin preprocessing",
        "tmsprep-builtin",
        "Container-free preprocessing (niimath, ANTs) in fMRIPrep's layout. This is not fMRIPrep's output.",
    ),
}


def describe_dataset(*, dataset: str, link: list[str], out_description: OutFile, out_bidsignore: OutFile) -> SidecarFields:
    """Write ``dataset_description.json`` and ``.bidsignore`` of a derivative dataset.

    Parameters
    ----------
    dataset
        ``tmsprep``, ``tedana`` or ``tmsprep-builtin``.
    link
        NAME=PATH of the datasets that its sidecars refer to; paths relative to the dataset's folder.
    out_description
        The description.
    out_bidsignore
        What the BIDS schema does not know.

    Raises
    ------
    ConfigurationError
        The dataset is none of these.
    """
    if dataset not in _DATASETS:
        raise ConfigurationError(f"no dataset is called {dataset!r}", expected=", ".join(_DATASETS))
    name, generator, text = _DATASETS[dataset]
    links = dict(item.split("=", 1) for item in link)
    root = out_description.parent
    content: dict[str, Any] = {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "License": "see the source dataset",
        "GeneratedBy": [_self(generator, text), *_upstream(dataset, root, links)],
        "SourceDatasets": [{"URL": f"bids:{key}:"} for key in links],
        "DatasetLinks": links,
    }
    write_json(out_description, content)
    out_bidsignore.write_text("\n".join(_IGNORED[dataset]) + "\n", encoding="utf-8")
    return {}


def _self(name: str, text: str) -> dict[str, Any]:
    return {"Name": name, "Version": __version__, "Description": text, "CodeURL": CODE_URL}


def _upstream(dataset: str, root: Path, links: dict[str, str]) -> list[dict[str, Any]]:
    """Return what made the inputs, nearest first; each dataset brings its own chain."""
    libraries = {"tedana": ("tedana",), "tmsprep-builtin": ("niimath", "antspyx"), "tmsprep": ()}[dataset]
    chain = [{"Name": name, "Version": version(name)} for name in libraries]
    for key in ("tedana", "preprocessed"):
        if key in links and dataset == "tmsprep":
            chain += _chain_of(root / links[key])
    if dataset == "tedana":
        chain += _chain_of(root / links["preprocessed"])
    return _unique(chain)


def _chain_of(folder: Path) -> list[dict[str, Any]]:
    description = folder / "dataset_description.json"
    if description.is_file():
        return read_json(description).get("GeneratedBy", [])
    if folder.name in _DATASETS:  # written by a sibling job of the same run, maybe later: named, not waited for
        return [_self(folder.name, _DATASETS[folder.name][2])]
    return []


def _unique(chain: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    for item in chain:
        if item not in seen:
            seen.append(item)
    return seen
