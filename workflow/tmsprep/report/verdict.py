"""May the target be used? The first words of the page, from the status alone; they promise no more than the checks found."""

from __future__ import annotations

from collections.abc import Sequence

from tmsprep.records import Status
from tmsprep.report.facts import Sites


def verdict(sites: Sites, doubts: Sequence[str]) -> str:
    """Return the answer to "May I use it?" in a sentence or two.

    Parameters
    ----------
    sites
        The two sites with their status.
    doubts
        Reasons and remarks that the page shows beside it.
    """
    beam = sites.beamf3_scalp_ras_mm is not None
    if sites.target_status is Status.ABSTAIN:
        instead = " Beam F3 was found; it follows from the head's size, not from this brain's connectivity." if beam else ""
        return f"No: the program gives no circuit target for this scan.{instead} A clinician decides."
    if sites.target_status is Status.CAUTION or doubts:
        count = len(doubts)
        reasons = "the reason for doubt" if count == 1 else f"the {count} reasons for doubt" if count else "the doubts"
        return f"Only after a clinician has weighed {reasons} below. In research, and only with this very T1w image."
    return "Yes, in research, if a clinician agrees: every check passed. Only with this very T1w image."
