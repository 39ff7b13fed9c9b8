"""The description of a derivative dataset: what it is, who made it, of what.

The ``GeneratedBy`` chain names this program first, then what made its inputs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tmsprep import __version__
from tmsprep.errors import ConfigurationError
from tmsprep.files import read_json, write_json
from tmsprep.preprocess.fmriprep.image import FmriprepImage
from tmsprep.stages import InFile, OutFile, SidecarFields

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
        "**/figures",
        "ro-crate-metadata.json",
        "SHA256SUMS",
        "*_statmap.*",
        "*_timeseries.*",
        "**/*.surf.gii",
        "*_desc-scalp.json",
    ),
    "tedana": ("prov", "*_S0map.*", "*_T2starmap.*", "*_desc-tedana_*", "*_desc-ICA_*"),
    "tmsprep-builtin": ("prov", "*_timeseries.*", "*_xfm.*", "*_boldref.*", "*_fieldmap.*"),
    "fmriprep": (
        "prov",
        "*.html",
        "logs",
        "**/figures",
        "**/log",
        "sourcedata",
        "*_xfm.*",
        "*.surf.gii",
        "*_boldref.*",
        "*_bold.func.gii",
        "*_mixing.tsv",
        "*_timeseries.*",
        "*_fieldmap.*",
    ),
}
"""What the BIDS schema does not know yet; nothing else is hidden from the validator.

Those of ``fmriprep`` are what fMRIPrep hides, and field maps. The names of ``tmsprep-builtin`` are fMRIPrep's: of the ones
that it uses the same are hidden. For field maps the schema has neither a run's nor a field map's name, and asks for raw
magnitudes. Those of ``tedana`` are tedana's.
"""

_DATASETS = {
    "tmsprep": ("TMSPrep - individual TMS targets", "Circuit target, Beam F3, coil pose and reports."),
    "tedana": ("TMSPrep - multi-echo denoising", "TE-dependent analysis of each multi-echo run."),
    "fmriprep": ("TMSPrep - fMRIPrep preprocessing", "Started fMRIPrep, checked its output, and put it in its place."),
    "tmsprep-builtin": (
        "TMSPrep - builtin preprocessing",
        "Container-free preprocessing (niimath, ANTs) in fMRIPrep's layout. This is not fMRIPrep's output.",
    ),
}


def describe_dataset(
    *, dataset: str, link: list[str], image: InFile | None = None, out_description: OutFile, out_bidsignore: OutFile
) -> SidecarFields:
    """Write ``dataset_description.json`` and ``.bidsignore`` of a derivative dataset.

    Parameters
    ----------
    dataset
        ``tmsprep``, ``tedana``, ``tmsprep-builtin`` or ``fmriprep``.
    link
        NAME=PATH of the datasets that its sidecars refer to; paths relative to the dataset's folder.
    image
        What the stage ``fmriprep-image`` wrote, where this run starts fMRIPrep.
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
    name, _ = _DATASETS[dataset]
    links = dict(item.split("=", 1) for item in link)
    root = out_description.parent
    content: dict[str, Any] = {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "License": "see the source dataset",
        "GeneratedBy": _chain(dataset, root, links, image),
        "SourceDatasets": [{"URL": f"bids:{key}:"} for key in links if key != "tmsprep"],
        "DatasetLinks": links,
    }
    write_json(out_description, content)
    out_bidsignore.write_text("\n".join(_IGNORED[dataset]) + "\n", encoding="utf-8")
    return {}


def _chain(dataset: str, root: Path, links: dict[str, str], image: Path | None) -> list[dict[str, Any]]:
    """Return who made a dataset of this run, and its inputs, nearest first.

    Computed, not read from sibling datasets: their descriptions may be written at the same time.
    """
    upstream = {"tmsprep": ("tedana", "preprocessed"), "tedana": ("preprocessed",)}.get(dataset, ())
    chain = _makers(dataset, image)
    for key in upstream:
        if key in links:
            folder = Path(os.path.normpath(root / links[key]))
            sibling = folder.parent == root.parent and folder.name in _DATASETS
            chain += _chain(folder.name, root, links, image) if sibling else _chain_of(folder)
    return _unique(chain)


def _makers(dataset: str, image: Path | None) -> list[dict[str, Any]]:
    """Return the programs and libraries that made a dataset; BIDS wants the folder's name in the first."""
    if dataset == "fmriprep":
        if image is None:
            raise ConfigurationError("fMRIPrep's dataset without its image", expected="--image")
        return [dict(FmriprepImage.read(image).generated_by()), _self("tmsprep") | {"Description": _DATASETS[dataset][1]}]
    if dataset == "tedana":
        return [_library("tedana") | {"Description": _DATASETS[dataset][1]}, _self("tmsprep")]
    libraries = ("niimath", "antspyx") if dataset == "tmsprep-builtin" else ()
    return [_self(dataset), *map(_library, libraries)]


def _self(dataset: str) -> dict[str, Any]:
    return {"Name": dataset, "Version": __version__, "Description": _DATASETS[dataset][1], "CodeURL": CODE_URL}


def _library(name: str) -> dict[str, Any]:
    return {"Name": name, "Version": version(name)}


def _chain_of(folder: Path) -> list[dict[str, Any]]:
    description = folder / "dataset_description.json"
    return read_json(description).get("GeneratedBy", []) if description.is_file() else []


def _unique(chain: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    for item in chain:
        if item not in seen:
            seen.append(item)
    return seen
