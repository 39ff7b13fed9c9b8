"""From the files of an output folder to one state for each participant."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from tmsprep.records import Status
from tmsprep.runlock import holder
from tmsprep.status import causes
from tmsprep.status.causes import Ending, Finding, likely_cause
from tmsprep.status.planned import PlanFound, Planned, read_plan
from tmsprep.status.run import Life, Run, SnakemakeLogs, find_run, read_object, read_snakemake
from tmsprep.status.slurm_logs import SlurmLogs
from tmsprep.status.steps import Step, by_unit, file_times, find_steps, tail

_PAGE_SLACK_S = 2.0
_FEWEST_FOR_A_PACE = 2


class State(StrEnum):
    """What became of a participant; in the order in which they are told."""

    FAILED = "failed"
    STOPPED = "stopped"
    """Begun; the run is over, and nothing is wrong with it."""
    RUNNING = "running"
    WAITING = "waiting"
    NOT_STARTED = "not started"
    ABSTAINED = "abstained"
    """The program gives no target for this scan: a result."""
    DONE = "done"


FINISHED = frozenset({State.DONE, State.ABSTAINED})


@dataclass(frozen=True)
class Trouble:
    """Why something failed or stopped."""

    step: str
    log: str
    """From the output folder; empty if there is none."""
    finding: Finding


@dataclass(frozen=True)
class Participant:
    """One participant, or one of their sessions."""

    label: str
    state: State
    verdict: str | None = None
    """``ok``, ``caution`` or ``abstain``, of the target."""
    reasons: tuple[str, ...] = ()
    """The target's reasons, and what the plan says of images that could not be used."""
    running: tuple[str, ...] = ()
    """Steps that run now."""
    troubles: tuple[Trouble, ...] = ()
    partly: bool = False
    """Whether the plan has an image of it that could not be used, so that the run ends with 1."""
    finished: float | None = None
    """When its page was written, in seconds since the epoch."""


@dataclass(frozen=True)
class Report:
    """Everything that an output folder says."""

    run: Run
    participants: tuple[Participant, ...]
    excluded: int
    shared: tuple[Trouble, ...]
    """What failed for all."""
    group: State | None
    """None: it was not asked for."""
    steps_done: int | None
    steps_total: int | None
    late_files: int
    last_sign: float
    now: float
    counts: Mapping[State, int] = field(default_factory=dict[State, int])

    @property
    def exit_status(self) -> int:
        """0 all done, 1 something failed, 3 not finished and nothing failed."""
        if self.shared or any(item.state is State.FAILED or item.partly for item in self.participants):
            return 1
        finished = all(item.state in FINISHED for item in self.participants)
        return 0 if finished and self.group in {None, State.DONE} and not self.run.alive else 3

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the pace of those that finished in this run; None if there is no telling."""
        if not self.run.alive or self.run.started is None:
            return None
        fresh = [item for item in self.participants if (item.finished or 0.0) >= self.run.started]
        left = sum(item.state in {State.RUNNING, State.WAITING, State.NOT_STARTED} for item in self.participants)
        if len(fresh) < _FEWEST_FOR_A_PACE or not left:
            return None
        return left * (self.now - self.run.started) / len(fresh)


def look(output: Path, work: Path, now: float | None = None) -> Report | None:
    """Look at an output folder; None if it holds no plan and no run.

    Parameters
    ----------
    output
        The folder given to the run.
    work
        Its folder of intermediate files; need not exist.
    now
        Seconds since the epoch.
    """
    dataset = output / "tmsprep"
    now = time.time() if now is None else now
    run = find_run(dataset, holder(output))
    plan = read_plan(dataset / "plan.tsv", work / "plan.json", per_session=run.per_session)
    if plan is None and run.life is Life.UNRECORDED:
        return None
    plan = plan or PlanFound({}, {}, 0)
    steps = find_steps(dataset / "logs", dataset / "benchmarks")
    snakemake = read_snakemake(work, run.since)
    sign = max([snakemake.last_sign, *(step.ended or step.began for step in steps), run.started or 0.0])
    slurm = SlurmLogs(work, run.since)
    return _Judge(dataset, run, snakemake, slurm, file_times(dataset, ".html")).report(plan, steps, sign, now)


@dataclass(frozen=True)
class _Judge:
    """What all judgements need."""

    dataset: Path
    run: Run
    snakemake: SnakemakeLogs
    slurm: SlurmLogs
    pages: Mapping[str, float]

    def report(self, plan: PlanFound, steps: Sequence[Step], sign: float, now: float) -> Report:
        """Judge everybody."""
        of_unit, shared = by_unit(steps, plan.units)
        people = [self._participant(unit, of_unit[unit.label]) for unit in plan.units.values()]
        people += [_impossible(label, reasons) for label, reasons in plan.impossible.items()]
        people.sort(key=lambda item: item.label)
        return Report(
            run=self.run,
            participants=tuple(people),
            excluded=plan.excluded,
            shared=tuple(trouble for step in shared if (trouble := self._trouble(step)) and self._counts(step, trouble)),
            group=self._group(shared, people),
            steps_done=self.snakemake.done,
            steps_total=self.snakemake.total,
            late_files=self.snakemake.late_files,
            last_sign=sign,
            now=now,
            counts=Counter(item.state for item in people),
        )

    def _participant(self, unit: Planned, steps: Sequence[Step]) -> Participant:
        troubles = _telling([(step, trouble) for step in steps if (trouble := self._trouble(step))])
        failed = [trouble for step, trouble in troubles if self._counts(step, trouble)]
        found = Participant(unit.label, State.WAITING, reasons=tuple(unit.problems), partly=bool(unit.problems))
        if failed:
            return replace(found, state=State.FAILED, troubles=tuple(failed))
        page = self.pages.get(unit.label)
        broken = [step for step in steps if step.open]
        if page is not None and not broken and self._up_to_date(page, steps):
            return self._finished(replace(found, finished=page), unit)
        if self.run.alive:
            now = [step.name for step in broken if step.began >= self.run.since]
            return replace(found, state=State.RUNNING if now else State.WAITING, running=tuple(now))
        state = State.STOPPED if steps else State.NOT_STARTED
        return replace(found, state=state, troubles=tuple(trouble for _, trouble in troubles))

    def _finished(self, found: Participant, unit: Planned) -> Participant:
        target = read_object(self.dataset / unit.target)
        verdict, reasons = target.get("status"), target.get("reasons")
        state = State.ABSTAINED if verdict == Status.ABSTAIN else State.DONE
        told = tuple(map(str, reasons)) if isinstance(reasons, list) else ()
        return replace(found, state=state, verdict=str(verdict) if verdict else None, reasons=(*told, *found.reasons))

    @staticmethod
    def _up_to_date(page: float, steps: Sequence[Step]) -> bool:
        """Tell whether no step that the page is made of ended after it."""
        return all((step.ended or step.began) <= page + _PAGE_SLACK_S for step in steps if step.name != "report")

    def _trouble(self, step: Step) -> Trouble | None:
        """Return what went wrong in a step that did not end well; None also where nothing tells."""
        if step.ended is not None:
            return None
        of_this_run = step.began >= self.run.since
        ending = Ending(
            log="" if step.empty else tail(self.dataset / "logs" / step.path),
            scheduler=self._scheduler(step) if step.open else "",
            status=self.snakemake.statuses.get(step.path) if of_this_run else None,
        )
        finding = likely_cause(ending)
        if finding is None and step.open and not (self.run.alive and of_this_run):
            finding = Finding(causes.LOST, "", causes.last_lines(ending.log))
        return finding and Trouble(step.name, f"tmsprep/logs/{step.path}", finding)

    def _scheduler(self, step: Step) -> str:
        said = (self.snakemake.messages.get(step.path, ""), self.slurm.of(step))
        return "\n".join(text for text in said if text)

    def _counts(self, step: Step, trouble: Trouble) -> bool:
        """Tell whether a step's trouble is a failure: not where the run will do it again, or was itself stopped."""
        if self.run.alive:
            return step.began >= self.run.since
        cause = trouble.finding.cause
        went_on = self.run.life is Life.ENDED and step.began >= self.run.since
        if cause in {causes.LOST, causes.CANCELLED}:
            return went_on
        return cause is not causes.INTERRUPTED

    def _group(self, shared: Sequence[Step], people: Sequence[Participant]) -> State | None:
        step = next((item for item in shared if item.name == "group"), None)
        if not self.run.group and step is None:
            return None
        page = self.pages.get("group")
        newest = max((item.finished or 0.0 for item in people), default=0.0)
        if step is not None and (trouble := self._trouble(step)) and self._counts(step, trouble):
            return State.FAILED
        if page is not None and page >= newest - _PAGE_SLACK_S and not (step and step.open):
            return State.DONE
        if not self.run.group:
            return None
        if not self.run.alive:
            return State.NOT_STARTED if page is None else State.STOPPED
        return State.RUNNING if step and step.open and step.began >= self.run.since else State.WAITING


def _telling(troubles: Sequence[tuple[Step, Trouble]]) -> list[tuple[Step, Trouble]]:
    """Return the troubles of which something is known; or the first one.

    When a job of several steps fails, Snakemake makes empty logs of those that had not begun.
    """
    told = sorted(troubles, key=lambda item: item[0].began)
    return [item for item in told if item[1].finding.cause is not causes.LOST] or told[:1]


def _impossible(label: str, reasons: Sequence[str]) -> Participant:
    troubles = tuple(Trouble("plan", "", Finding(causes.PLAN, reason)) for reason in reasons)
    return Participant(label, State.FAILED, troubles=troubles)
