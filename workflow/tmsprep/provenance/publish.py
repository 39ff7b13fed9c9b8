"""Everything under ``prov`` that is made of the records: BIDS-Prov files, the RO-Crate, the summary page."""

from __future__ import annotations

from pathlib import Path

from tmsprep.provenance.bidsprov import write_records
from tmsprep.provenance.crate import write_crate
from tmsprep.provenance.lineage import Lineage
from tmsprep.provenance.summary_page import write_summary


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
        There are no records, or one cannot be read.
    """
    lineage = Lineage(folder)
    crate = write_crate(lineage)
    return [*write_records(lineage), *([crate] if crate else []), *write_summary(lineage)]


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
