"""Snakemake's scheduler with passes that cost the same however many jobs there are.

Whenever a job has ended, Snakemake (9.27) looks for the next ones. In each of these passes its `JobScheduler` visits all
jobs that are ready and all that remain, and asks the file system for the size of each input of those that it may choose
from, again and again: three quarters of the time that 5,400 jobs take besides their own work, and more with more. Here a
pass considers so many of the ready jobs as may begin at once, asks for a file's size once (the inputs of a job that is ready
do not change) or, where sizes decide nothing, never, and leaves out the list of what remains, which the greedy scheduler
does not read.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from snakemake.scheduling.greedy import Scheduler as Greedy
from snakemake.scheduling.job_scheduler import JobScheduler

_KEPT = 100_000
"""File sizes remembered: those of all jobs in a pass, many times over."""


class BoundedScheduler(JobScheduler):
    """Snakemake's, each pass bounded; with another than the greedy scheduler as Snakemake has it."""

    @property
    def open_jobs(self) -> list[Any]:
        """Jobs that are ready: those of the highest priority, as many as ``--scheduler-subsample`` asks for."""
        ready = self._ready
        if self._greedy and self.subsample and len(ready) > self.subsample:
            return heapq.nlargest(self.subsample, ready, key=attrgetter("priority"))
        return list(ready)

    @property
    def remaining_jobs(self) -> list[Any]:
        """Jobs that have not begun; told only where nothing goes on and nothing can begin."""
        if self._greedy and (self.running or self._ready):
            return []
        return super().remaining_jobs

    async def update_input_sizes(self, jobs: Iterable[Any]) -> None:
        """Learn the sizes of the inputs of jobs that are ready, of each once, and of none where they decide nothing."""
        greedy = self._greedy
        if greedy is None:
            await super().update_input_sizes(jobs)
        elif not vars(greedy.settings)["omit_prioritize_by_temp_and_input"]:
            await self._learn_new_sizes({path for job in jobs for path in job.input})

    async def _learn_new_sizes(self, paths: set[Any]) -> None:
        sizes: dict[Any, int | None] = self._input_sizes
        if len(sizes) > _KEPT:
            sizes.clear()
        for path in paths - sizes.keys():
            sizes[path] = await path.size() if await path.exists() else None

    @property
    def _greedy(self) -> Greedy | None:
        return self._scheduler if isinstance(self._scheduler, Greedy) else None

    @property
    def _ready(self) -> set[Any]:
        graph: Any = self.workflow.dag
        return graph.ready_jobs


def use_bounded_scheduler() -> None:
    """Let the workflows of this process be scheduled so."""
    import snakemake.workflow

    snakemake.workflow.JobScheduler = BoundedScheduler
