"""Allocations of a trial that fit no targets, or would give a person the wrong one."""

from __future__ import annotations

from tests.data.cases import CANARY, TOUCH

HEAD = "participant_id\ttarget_id\n"
ALLOCATIONS: dict[str, tuple[str | bytes, str]] = {
    "an arm that nobody has": (
        HEAD + "sub-01\tvertex\nsub-02\tbeamF3\n",
        "no package was written: sub-01: .*no site 'vertex'",
    ),
    "an arm for a shell": (HEAD + f"sub-01\t{TOUCH}\n", r"sub-01: .*no site '\$\(touch canary\)'"),
    "a person twice": (HEAD + "sub-01\tcircuit\nsub-01\tbeamF3\n", r"allocation\.tsv: sub-01 is there more than once"),
    "a person twice, once without sub-": (HEAD + "sub-01\tcircuit\n01\tbeamF3\n", "sub-01 is there more than once"),
    "a person that was not scanned": (HEAD + "sub-01\tcircuit\nsub-99\tbeamF3\n", "sub-99: .*no table of markers"),
    "numbers for persons": (HEAD + "0001\t1\n2\t2\n", r"sub-0001: .*no table of markers.*sub-2: "),
    "numbers for sessions": (
        "participant_id\tsession_id\ttarget_id\nsub-01\t1\tcircuit\n",
        "sub-01_ses-1: .*no table of markers",
    ),
    "a person that climbs out": (HEAD + "sub-../../x\tcircuit\n", "no BIDS label. Expected: letters and digits"),
    "a person for a shell": (HEAD + f"sub-01;touch {CANARY}\tcircuit\n", "no BIDS label"),
    "a session of any name": ("participant_id\tsession_id\ttarget_id\nsub-01\t*\tcircuit\n", "no BIDS label"),
    "a person without arm": (HEAD + "sub-01\tn/a\n", "a line lacks its participant or its target"),
    "no column of arms": ("participant_id\tarm\nsub-01\tcircuit\n", r"missing column\(s\) target_id"),
    "two columns of arms": (
        "participant_id\ttarget_id\ttarget_id\nsub-01\tcircuit\tbeamF3\n",
        r"column\(s\) target_id twice",
    ),
    "cells too many": (HEAD + "sub-01\tcircuit\tbeamF3\n", "no readable TSV"),
    "nobody": (HEAD, "nobody is allocated"),
    "nothing": ("", "no readable TSV"),
    "UTF-16": ((HEAD + "sub-01\tcircuit\n").encode("utf-16"), r"allocation\.tsv: no readable TSV .*UTF-8"),
}
"""The content of the table, and the message."""
