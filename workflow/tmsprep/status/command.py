"""``tmsprep status OUTPUT_DIR``: how far a run is, who failed, and why."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tmsprep.errors import ERROR_MARK
from tmsprep.status.judge import State, look
from tmsprep.status.show import as_content, print_report
from tmsprep.summary import make_console

NO_OUTPUT = 2


def command(
    output_dir: Path,
    /,
    *,
    every: Annotated[bool, Parameter(name="--all", negative=())] = False,
    failed: Annotated[bool, Parameter(negative=())] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    work_dir: Path | None = None,
) -> int:
    """Show how far a run is: who is done, who is not, who failed, the likely cause, and what to do.

    Reads the output folder only, writes nothing, and works from any machine that sees the folder, while the run goes on and
    after it.

    Exit status: 0 all are done (that the program gives no target for a scan is a result, too); 1 something failed; 3 not
    finished, and nothing failed; 2 a wrong call, or no output of this program.

    Parameters
    ----------
    output_dir
        The OUTPUT_DIR of a run.
    every
        List every participant.
    failed
        Print only the labels of those that failed, one a line.
    as_json
        Print everything as JSON.
    work_dir
        The run's `--work-dir`, if it had one.
    """
    output = output_dir.absolute()
    report = look(output, (work_dir or output / "work").absolute())
    if report is None:
        print(f"{ERROR_MARK}{output_dir}: no output of tmsprep is there.", file=sys.stderr)
        return NO_OUTPUT
    if failed:
        for item in report.participants:
            if item.state is State.FAILED:
                print(item.label)
    elif as_json:
        print(json.dumps(as_content(report), indent=2, ensure_ascii=False))
    else:
        print_report(make_console(), output_dir, report, every=every)
    return report.exit_status
