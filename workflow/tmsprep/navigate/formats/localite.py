"""Localite's XML: instrument markers (the coil's pose), and entry with target.

Format: as SimNIBS writes it (``simnibs/utils/localite.py``): ``Matrix4D`` with ``dataRC``, row and column, mm.
Localite has x as SimNIBS's z, y as its -y, z as its x. RAS for sessions on NIfTI images.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

import numpy as np

from tmsprep.navigate.formats.image import NavigatorImage
from tmsprep.navigate.formats.site import CREATOR, CoilSite
from tmsprep.spaces import Array

_FROM_SIMNIBS = np.array([[0, 0, 1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])


def instrument_markers(sites: Sequence[CoilSite], image: NavigatorImage) -> str:
    """Return an ``InstrumentMarkerList`` with the coil's pose on the scalp for each site."""
    root = ET.Element("InstrumentMarkerList", coordinateSpace="RAS")
    for index, site in enumerate(sites):
        item = ET.SubElement(root, "InstrumentMarker", alwaysVisible="false", index=str(index), selected="false")
        marker = _marker(item, site.name, image)
        matrix = site.coil_ras_mm @ _FROM_SIMNIBS
        cells = {f"data{row}{column}": f"{matrix[row, column] + 0.0:.8f}" for row in range(4) for column in range(4)}
        ET.SubElement(marker, "Matrix4D", cells)
    return _text(root)


def entry_targets(sites: Sequence[CoilSite], image: NavigatorImage) -> str:
    """Return an ``EntryTargetList``: for each site the entry on the scalp and the target in the cortex."""
    root = ET.Element("EntryTargetList", coordinateSpace="RAS")
    for index, site in enumerate(sites):
        item = ET.SubElement(root, "EntryTarget", index=str(index), selected="false")
        for kind, place in (("Entry", site.entry_ras_mm), ("Target", site.target_ras_mm)):
            _column(_marker(ET.SubElement(item, kind), site.name, image), place)
    return _text(root)


def _marker(parent: ET.Element, name: str, image: NavigatorImage) -> ET.Element:
    info = f"{image.in_words()}; {CREATOR}"
    return ET.SubElement(parent, "Marker", additionalInformation=info, color="#ff0000", description=name, set="true")


def _column(marker: ET.Element, place: Array) -> None:
    ET.SubElement(marker, "ColVec3D", {f"data{row}": f"{value + 0.0:.4f}" for row, value in enumerate(place)})


def _text(root: ET.Element) -> str:
    ET.indent(root, "    ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
