"""Snakemake's scheduler with passes that cost the same however many jobs there are.

Whenever a job has ended, Snakemake (9.27) looks for the next ones. In each of these passes its `JobScheduler` visits all
jobs that are ready and all that remain, and asks the file system for the size of each input of those that it may choose
from, again and again: three quarters of the time that 5,400 jobs take besides their own work, and more with more. Here a
pass considers so many of the ready jobs as may begin at once, those of the highest priority, asks for a size once (the
inputs of a job that is ready do not change) or, where sizes decide nothing, never, and leaves out the list of what remains,
which the greedy scheduler does not read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import islice
from typing import Any, Self

from snakemake.scheduling.greedy import Scheduler as Greedy
from snakemake.scheduling.job_scheduler import JobScheduler

_KEPT = 100_000
"""File sizes remembered: those of all jobs in a pass, many times over."""


class ReadyJobs(set[Any]):
    """Jobs that are ready, which tells those of the highest priority without a look at all."""

    def __init__(self, jobs: Iterable[Any] = ()) -> None:
        super().__init__()
        self._by_priority: dict[int, dict[Any, None]] = {}
        self.update(jobs)

    def highest(self, number: int) -> list[Any]:
        """Return so many (or all) of the highest priority; of the same priority those that have been ready for longest."""
        found: list[Any] = []
        for priority in sorted(self._by_priority, reverse=True):
            found += islice(self._by_priority[priority], number - len(found))
        return found

    def add(self, element: Any) -> None:
        """Add a job."""
        super().add(element)
        self._by_priority.setdefault(element.priority, {})[element] = None

    def update(self, *s: Iterable[Any]) -> None:
        """Add jobs."""
        for jobs in s:
            for job in jobs:
                self.add(job)

    def discard(self, element: Any) -> None:
        """Take a job out, if it is there."""
        super().discard(element)
        self._by_priority.get(element.priority, {}).pop(element, None)

    def remove(self, element: Any) -> None:
        """Take a job out that is there."""
        super().remove(element)
        self.discard(element)

    def clear(self) -> None:
        """Take all out."""
        super().clear()
        self._by_priority.clear()

    def __isub__(self, value: Iterable[Any]) -> Self:
        """Take jobs out."""
        for job in value:
            self.discard(job)
        return self


class BoundedScheduler(JobScheduler):
    """Snakemake's, each pass bounded; with another than the greedy scheduler the passes are as Snakemake has them."""

    @property
    def open_jobs(self) -> list[Any]:
        """Jobs that are ready: those of the highest priority, as many as ``--scheduler-subsample`` asks for."""
        ready = self._ready
        if self._greedy and self.subsample and len(ready) > self.subsample:
            return ready.highest(self.subsample)
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

    def exit_gracefully(self, *_: object) -> None:
        """Begin nothing more, as SIGTERM asks for; in a thread, because what the signal interrupts may hold the lock."""
        threading.Thread(target=super().exit_gracefully).start()

    @property
    def _greedy(self) -> Greedy | None:
        return self._scheduler if isinstance(self._scheduler, Greedy) else None

    @property
    def _ready(self) -> ReadyJobs:
        graph: Any = self.workflow.dag
        if not isinstance(graph.ready_jobs, ReadyJobs):
            graph._ready_jobs = ReadyJobs(graph.ready_jobs)
        return graph.ready_jobs


def use_bounded_scheduler() -> None:
    """Let the workflows of this process be scheduled so."""
    import snakemake.workflow

    snakemake.workflow.JobScheduler = BoundedScheduler
