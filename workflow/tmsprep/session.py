"""One call of the BIDS App: validate, plan, let Snakemake run, and say what came out for whom."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

from tmsprep import DISCLAIMER, runlock, slurm
from tmsprep.app import Execution, Level
from tmsprep.errors import InputError, TmsprepError
from tmsprep.files import atomic, remove_all_leftovers
from tmsprep.images import load_images
from tmsprep.interfaces.containers import Runtime
from tmsprep.options import Options, to_mapping
from tmsprep.profiles import executor_of, find_profile
from tmsprep.provenance.publish import publish_provenance
from tmsprep.provenance.runs import WorkflowRun, changed_since
from tmsprep.study import GROUP_UNITS, GROUP_WITHOUT, Engine, Study, check_fmriprep, check_options, engine_of, unit_label
from tmsprep.summary import failures, make_console, plan_table, print_failures, targets_table, without_result
from tmsprep.workflow_files import snakefile

_VALIDATOR_MINUTES = 30
STOPPED = frozenset({128 + signal.SIGINT, 128 + signal.SIGTERM})
"""Exit statuses of a run that was asked to stop, as shells have them."""


@dataclass(frozen=True)
class Session:
    """One call: what, how, which levels, and what is passed on to Snakemake."""

    options: Options
    execution: Execution
    levels: frozenset[Level]
    snakemake_words: tuple[str, ...] = ()
    _inherited: list[int] = field(default_factory=list[int])
    """File descriptors that Snakemake keeps open: the lock's."""

    def run(self) -> int:
        """Run everything that was asked for and return the exit status: 0 only if all participants are well."""
        check_options(self.options)
        console = make_console()
        if engine_of(self.options) is Engine.FMRIPREP:
            self._announce_fmriprep(console)
        if not self.options.skip_bids_validation:
            console.print(f"BIDS validator: {self.options.bids_dir.name} ...")
            validate_bids(self.options.bids_dir)
        with self._exclusively(console):
            console.print(plan_table(self.study))
            self._require_units()
            self._require_remembered_options()
            self._write_config({})
            if self.execution.dry_run:
                return self._snakemake("participants", "--dry-run", "--quiet", "rules", "host", "reason")
            return self._run_recorded(console)

    def _require_units(self) -> None:
        if not self.study.units:
            raise InputError(
                "nothing to process",
                where=self.options.bids_dir,
                expected="a participant with a T1w and a usable BOLD run",
                action="see the remarks in the plan above",
            )

    def _require_remembered_options(self) -> None:
        """Refuse changed options where nothing tells which outputs were made with the earlier ones.

        Snakemake keeps that in the work folder; without it, outputs of other options would stay and pass for these.
        """
        if (self.options.work / ".snakemake" / "metadata").is_dir() or {"--forceall", "-F"} & set(self.snakemake_words):
            return
        if changed := changed_since(self.study.tmsprep, self.options):
            raise InputError(
                f"earlier runs had another {', '.join(changed)}, and the work folder that knows their outputs is gone",
                where=self.options.output_dir,
                expected=f"the work folder of those runs ({self.options.work}), or the same options",
                action="take another output folder, or compute everything anew: add -- --forceall",
            )

    def _run_recorded(self, console: Console) -> int:
        run = WorkflowRun(self.study.tmsprep, self.options, [level.value for level in Level if level in self.levels])
        run.start()
        status = self._run_levels()
        status = self._conclude(console, status)
        run.end(status, sorted(failures(self.study)))
        self._publish_provenance(console)
        return status

    @contextmanager
    def _exclusively(self, console: Console) -> Generator[None]:
        """Be the only run on the output folder, and clear away what one left that was killed.

        A dry run is alone too: it writes the plan, which the jobs of another run may be reading. It ends nothing.
        """
        runs = not self.execution.dry_run
        with runlock.exclusive(self.options.output_dir, self._executor, takes_over=runs) as (descriptor, killed):
            self._inherited.append(descriptor)
            try:
                if runs:
                    self._end_orphans(console, killed)
                yield
            finally:
                self._inherited.clear()

    def _end_orphans(self, console: Console, killed: runlock.Holder | None) -> None:
        """End what an earlier run left working, so that nothing writes beside this one."""
        on_cluster = "slurm" in {self._executor, killed.executor if killed else None}
        ended = slurm.end_orphans(self.options.output_dir) if on_cluster else 0
        if killed:
            ended += runlock.end_orphans(self.options.output_dir / "tmsprep")
            if on_cluster:  # a process that has ended just now may have been submitting a job
                ended += slurm.end_orphans(self.options.output_dir)
            # Snakemake's own lock says no more than ours, and stays behind when it is killed
            shutil.rmtree(self.options.work / ".snakemake" / "locks", ignore_errors=True)
            remove_all_leftovers(self.options.output_dir)
            left = f", {ended} job(s) of it ended" if ended else ""
            told = f"An earlier run on this output was killed{left}; going on where it stopped."
            console.print(Text(told, style="yellow"))

    def _publish_provenance(self, console: Console) -> None:
        """Write what is made of the records; results stand also where that fails, and the user is told."""
        try:
            publish_provenance(self.options.output_dir)
            console.print(f"Provenance: {self.study.tmsprep / 'prov' / 'summary.html'}")
        except Exception as error:
            console.print(Text(f"Provenance could not be summed up: {error}", style="yellow"))

    def _announce_fmriprep(self, console: Console) -> None:
        """Say what will start fMRIPrep; a dry run goes on where nothing can."""
        try:
            runtime = check_fmriprep(self.options)
        except TmsprepError as error:
            if not self.execution.dry_run:
                raise
            console.print(Text(f"fMRIPrep cannot be started here: {error}", style="bold red"))
            return
        listed = load_images()["fmriprep"]
        image = self.options.fmriprep_image or listed.reference
        unpinned = self.options.fmriprep_image is None and listed.digest is None
        named = f"{image}{' (digest not pinned)' if unpinned else ''}, by {runtime}"
        named = "the one installed here, without a container" if runtime is Runtime.NONE else named
        console.print(Text(f"fMRIPrep: {named} (--container-runtime {self.options.container_runtime})"))

    @cached_property
    def study(self) -> Study:
        """The study of these options."""
        return Study.from_config(to_mapping(self.options))

    def _run_levels(self) -> int:
        status = 0
        if Level.PARTICIPANT in self.levels:
            status = self._snakemake("participants")
        if Level.GROUP in self.levels and status not in STOPPED:
            failed = failures(self.study)
            well = [unit for unit in self.study.units if unit_label(unit) not in failed]
            if not well:
                return 1
            self._write_config({GROUP_UNITS: well, GROUP_WITHOUT: without_result(self.study, failed)})
            status = self._snakemake("group") or status
        return status

    def _conclude(self, console: Console, status: int) -> int:
        if status in STOPPED:  # who is not finished has not failed
            console.print(Text("Stopped. Run the same command again: it goes on where it stopped.", style="yellow"))
            return status
        failed = failures(self.study)
        print_failures(console, self.study, failed)
        table = self.study.tmsprep / "group_targets.tsv"
        if Level.GROUP in self.levels and table.is_file():
            console.print(targets_table(table))
            console.print(f"Report: {self.study.tmsprep / 'group.html'}")
        elif Level.PARTICIPANT in self.levels:
            console.print(f"Reports: {self.study.tmsprep}{os.sep}sub-*.html")
        console.print(DISCLAIMER)
        errors = [row for row in self.study.plan.rows if row.status == "error"]
        return 1 if failed or errors or status else 0

    @cached_property
    def _profile(self) -> str:
        return find_profile(self.execution.profile)

    @cached_property
    def _executor(self) -> str:
        return executor_of(self._profile, self.snakemake_words)

    @property
    def _config_file(self) -> Path:
        return self.options.work / "options.yaml"

    def _write_config(self, extra: Mapping[str, list[str]]) -> None:
        with atomic(self._config_file) as twin:
            content = to_mapping(self.options) | dict(extra)
            twin.write_text(yaml.safe_dump(content, sort_keys=True), encoding="utf-8")

    def _snakemake(self, target: str, *extra: str) -> int:
        """Run Snakemake on one target in the work folder; participants that fail do not stop the others."""
        words = [sys.executable, "-m", "tmsprep.run_snakemake", target]
        words += ["--snakefile", str(snakefile()), "--configfile", str(self._config_file)]
        words += ["--directory", str(self.options.work), "--profile", self._profile]
        words += ["--cores", str(self.execution.nprocs)] if self.execution.nprocs else []
        if self._executor == "slurm" and not self.execution.dry_run:
            words += slurm.snakemake_words(self.options.output_dir)
        # bars on a terminal; elsewhere a line for each finished job
        words += ["--logger", "rich"] if sys.stdout.isatty() else ["--quiet", "rules", "host", "reason"]
        if self.execution.mem_mb:
            words += ["--resources", f"mem_mb={self.execution.mem_mb}"]
        words += [*extra, *self.snakemake_words]
        return call_to_the_end(words, self._inherited)


def call_to_the_end(words: Sequence[str], inherited: Sequence[int]) -> int:
    """Run Snakemake and return its exit status; asked to stop, wait until its jobs have, and return one of `STOPPED`.

    It inherits the lock, which is held as long as Snakemake runs, also where this process is killed.
    """
    child = subprocess.Popen(words, pass_fds=inherited)
    told: list[int] = []

    def stop(number: int, _: object) -> None:
        told.append(number)
        if number == signal.SIGTERM:  # of an interrupt the terminal has told Snakemake too
            child.terminate()

    earlier = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        status = child.wait()
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    return 128 + told[0] if told else status


def validate_bids(bids_dir: Path) -> None:
    """Run the BIDS validator on a dataset.

    Raises
    ------
    InputError
        The validator is not installed, or finds errors; the message lists the first of them.
    """
    command = Path(sys.executable).with_name("bids-validator-deno")
    if not command.exists():
        raise InputError(
            "the BIDS validator is not installed", action="pip install bids-validator-deno, or --skip-bids-validation"
        )
    result = subprocess.run(
        [str(command), "--json", "--ignoreWarnings", str(bids_dir)],
        check=False,
        capture_output=True,
        text=True,
        timeout=_VALIDATOR_MINUTES * 60,
    )
    try:
        issues: list[dict[str, Any]] = json.loads(result.stdout)["issues"]["issues"]
    except (ValueError, KeyError) as error:
        raise InputError(f"the BIDS validator failed: {result.stderr[-500:]}", where=bids_dir) from error
    found = [f"{issue['code']} ({issue.get('location', '?')})" for issue in issues if issue.get("severity") == "error"]
    if found:
        raise InputError(
            f"no valid BIDS dataset, {len(found)} error(s): " + "; ".join(found[:5]),
            where=bids_dir,
            action="correct them, or pass --skip-bids-validation",
        )
