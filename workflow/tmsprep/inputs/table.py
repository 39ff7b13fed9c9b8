"""Stage ``plan``: the plan as the table that people read."""

from __future__ import annotations

from pathlib import Path

from tmsprep.inputs.model import Plan
from tmsprep.stages import InFile, OutFile, SidecarFields


def write_plan_table(*, plan: InFile, out_table: OutFile) -> SidecarFields:
    """Write ``plan.tsv``: every participant, session and run, processed or not, and why.

    Parameters
    ----------
    plan
        The plan as JSON.
    out_table
        The table.
    """
    Plan.from_json(plan, Path()).write_tsv(out_table)
    return {}
