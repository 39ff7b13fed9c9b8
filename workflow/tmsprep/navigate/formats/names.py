"""The sites that go to a navigator, and how their files end. Imported by a rule: nothing here is slow to import."""

from __future__ import annotations

SITES = ("circuit", "beamF3")
"""Markers that go to a navigator; second candidates, the group coordinate and 10-20 F3 do not."""

ENDINGS = (
    "brainsight.txt",
    "brainsight12.txt",
    "localiteInstrument.xml",
    "localiteEntryTarget.xml",
    "pose.json",
    "slicer.mrk.json",
    "burnedIn.nii.gz",
    "coordinates.tsv",
)
"""Of the files of one site."""
