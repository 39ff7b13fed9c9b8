"""Snakemake's command line as ``python -m tmsprep.run_snakemake``, without its default limit of 100 job starts a second.

With that limit each pass of Snakemake's scheduler (9.27) sets a timer for another pass, and each finished job begins a pass
of its own, so that the passes in a second grow with the jobs done: after 125 of 685 jobs the scheduler took 0.7 of a core. A
limit that the user sets is kept.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any


def parse(words: Sequence[str]) -> tuple[Any, Any]:
    """Return Snakemake's parser and the parsed options, the default limit taken off.

    Parameters
    ----------
    words
        The command line, without the program's name.
    """
    from snakemake.cli import parse_args
    from snakemake.settings.types import MaxJobsPerTimespan

    parser, options = parse_args(list(words))
    default = MaxJobsPerTimespan.parse_choice(parser.get_default("max_jobs_per_timespan"))
    if vars(options.max_jobs_per_timespan) == vars(default):
        options.max_jobs_per_timespan = None
    return parser, options


def main() -> int:
    """Run Snakemake and return its exit status."""
    from snakemake.cli import args_to_api
    from snakemake.exceptions import print_exception

    from tmsprep.scheduling import use_bounded_scheduler

    use_bounded_scheduler()
    try:
        parser, options = parse(sys.argv[1:])
        return 0 if args_to_api(options, parser) else 1
    except Exception as error:
        print_exception(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
