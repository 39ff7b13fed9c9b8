"""The plan: which participants, sessions and runs are processed, with which files, and why the others are not.

Nothing that the dataset holds is dropped silently: each T1w image and each functional run has a row. Images are not
read here (the stage `check` does that); names, sidecars and links are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tmsprep.errors import InputError
from tmsprep.inputs.anatomy import choose_t1w, require_usable_t1w, t1w_images
from tmsprep.inputs.entities import natural_key
from tmsprep.inputs.filters import Filter, load_filters
from tmsprep.inputs.index import Image, Index, Refused, build_index
from tmsprep.inputs.model import Echo, FieldmapPlan, Plan, PlanRow, RowStatus, Run, Unit
from tmsprep.inputs.participants import read_sites
from tmsprep.inputs.runs import PreparedRun, RunImages, group_runs, prepare_run

__all__ = ["Echo", "FieldmapPlan", "Plan", "PlanOptions", "PlanRow", "RowStatus", "Run", "Unit", "make_plan"]

_SHOWN_LABELS = 20


@dataclass(frozen=True)
class PlanOptions:
    """What the user chose."""

    bids_dir: Path
    participant_label: tuple[str, ...] = ()
    """With or without ``sub-``; empty: all."""
    session_label: tuple[str, ...] = ()
    """With or without ``ses-``; empty: all."""
    task_id: str | None = None
    """None: a participant's rest runs if there are any, otherwise all their tasks."""
    bids_filter_file: Path | None = None
    """JSON in fMRIPrep's format."""
    per_session: bool = False
    """One target for each session in place of one for each participant."""


def make_plan(options: PlanOptions) -> Plan:
    """Plan a dataset.

    Raises
    ------
    InputError
        No BIDS dataset; a participant, session or task that it does not hold.
    ConfigurationError
        The filter file is wrong.
    """
    filters = load_filters(options.bids_filter_file)
    index = build_index(options.bids_dir)
    request = _request(options, filters, index)
    sites = read_sites(index.root)
    units: list[Unit] = []
    rows: list[PlanRow] = []
    for label in index.participants:
        outcome = _Participant(request, label).plan(sites.get(label))
        units += outcome[0]
        rows += outcome[1]
    rows += [_refused_row(index, item, request) for item in index.refused]
    rows += [_absent_row(label) for label in sites if label not in index.images]
    return Plan(index.root, tuple(units), tuple(sorted(rows, key=_row_order)))


@dataclass(frozen=True)
class _Request:
    """The options, checked against what the dataset holds."""

    index: Index
    participants: frozenset[str]
    chosen: bool
    """Whether the user named participants."""
    sessions: frozenset[str]
    """Empty: all."""
    task: str | None
    bold: Filter
    t1w: Filter
    fieldmap: Filter
    per_session: bool


def _request(options: PlanOptions, filters: Mapping[str, Filter], index: Index) -> _Request:
    participants = _labels(options.participant_label, "sub-") or frozenset(index.participants)
    _require_known("participant", participants, index.participants, index)
    sessions = _labels(options.session_label, "ses-")
    _require_known("session", sessions, _found_sessions(index, participants), index)
    task = options.task_id.removeprefix("task-") if options.task_id else None
    _require_known("task", {task} if task else (), _found_tasks(index, participants), index)
    return _Request(
        index=index,
        participants=participants,
        chosen=bool(options.participant_label),
        sessions=sessions,
        task=task,
        bold=filters.get("bold", Filter()),
        t1w=filters.get("t1w", Filter()),
        fieldmap=filters.get("fmap", Filter()),
        per_session=options.per_session,
    )


def _labels(labels: Iterable[str], prefix: str) -> frozenset[str]:
    return frozenset(label.removeprefix(prefix) for label in labels)


def _require_known(kind: str, wanted: Collection[str], found: Collection[str], index: Index) -> None:
    if unknown := sorted(set(wanted) - set(found)):
        some = sorted(set(found), key=natural_key)
        shown = ", ".join(some[:_SHOWN_LABELS]) + (f", ... ({len(some)} in all)" if len(some) > _SHOWN_LABELS else "")
        raise InputError(
            f"the dataset holds no {kind} {', '.join(map(repr, unknown))}",
            where=index.root,
            expected=f"one of: {shown}" if some else f"a dataset with a {kind}",
        )


def _found_sessions(index: Index, participants: Collection[str]) -> set[str]:
    return {session for label in participants for session in index.sessions[label]}


def _found_tasks(index: Index, participants: Collection[str]) -> set[str]:
    return {
        task
        for label in participants
        for image in index.images[label]
        if image.name.suffix == "bold" and (task := image.name.get("task"))
    }


@dataclass(frozen=True)
class _Verdict:
    """What becomes of one run."""

    status: RowStatus
    reasons: tuple[str, ...]
    run: Run | None = None


class _Participant:
    """Plans one participant: first each run for itself, then the T1w image for each unit."""

    def __init__(self, request: _Request, label: str) -> None:
        self._request = request
        self._index = request.index
        self._label = label
        images = request.index.images[label]
        self._runs = group_runs(images)
        self._t1ws = t1w_images(images)

    def plan(self, site: str | None) -> tuple[list[Unit], list[PlanRow]]:
        """Return the participant's units and rows."""
        verdicts = {run.key: self._exclusion(run) for run in self._runs}
        self._apply_participant_rules(verdicts)
        for run in self._runs:
            if verdicts[run.key] is None:
                verdicts[run.key] = self._prepare(run)
        decided = {key: verdict for key, verdict in verdicts.items() if verdict is not None}
        t1w_verdicts: dict[Path, _Verdict] = {}
        units = self._units(decided, t1w_verdicts, site)
        return units, [*self._t1w_rows(t1w_verdicts, decided), *self._run_rows(decided), *self._empty_rows()]

    # --- runs -------------------------------------------------------------------------------------------------------

    def _exclusion(self, run: RunImages) -> _Verdict | None:
        request = self._request
        if self._label not in request.participants:
            return _excluded("participant not selected (--participant-label)")
        if request.sessions and run.session not in request.sessions:
            return _excluded("session not selected (--session-label)")
        if request.task is not None and run.task != request.task:
            return _excluded("task not selected (--task-id)")
        if not run.magnitudes:
            return _excluded("no magnitude image (phase, real or imaginary parts only)")
        if not self._selected(run):
            return _excluded("left out by the filter file (bold)")
        return None

    def _selected(self, run: RunImages) -> list[Image]:
        return [image for image in run.magnitudes if self._request.bold.passes(image)]

    def _apply_participant_rules(self, verdicts: dict[tuple[tuple[str, str], ...], _Verdict | None]) -> None:
        """Leave all out where there is no T1w image; and all but rest, unless a task was chosen or there is no rest."""
        open_runs = [run for run in self._runs if verdicts[run.key] is None]
        if not self._t1ws:
            verdicts |= {run.key: _excluded("no T1w image") for run in open_runs}
            return
        if self._request.task is not None or not any(_is_rest(run) for run in open_runs):
            return
        for run in open_runs:
            if not _is_rest(run):
                verdicts[run.key] = _excluded("not rest, and the participant has rest runs (choose by --task-id)")

    def _prepare(self, run: RunImages) -> _Verdict:
        try:
            prepared = prepare_run(self._index, run, self._selected(run), self._runs, self._request.fieldmap)
        except InputError as error:
            return _Verdict(RowStatus.ERROR, (str(error),))
        return _Verdict(RowStatus.PROCESS, self._remarks(run, prepared), prepared.run)

    def _remarks(self, run: RunImages, prepared: PreparedRun) -> tuple[str, ...]:
        unasked = self._request.task is None and not _is_rest(run)
        return (*prepared.remarks, *(["no rest run: all tasks are used"] if unasked else []))

    # --- units ------------------------------------------------------------------------------------------------------

    def _units(
        self,
        verdicts: dict[tuple[tuple[str, str], ...], _Verdict],
        t1w_verdicts: dict[Path, _Verdict],
        site: str | None,
    ) -> list[Unit]:
        usable = [run for run in self._runs if verdicts[run.key].run is not None]
        names = list(dict.fromkeys(run.session if self._request.per_session else None for run in usable))
        units: list[Unit] = []
        for name in names:
            members = [run for run in usable if not self._request.per_session or run.session == name]
            t1w, problem = self._t1w_for(members, t1w_verdicts)
            if t1w is None:
                verdicts |= {run.key: _excluded(problem) for run in members}
                continue
            verdicts |= {run.key: _with_t1w(verdicts[run.key], run, t1w) for run in members}
            runs = tuple(planned for run in members if (planned := verdicts[run.key].run) is not None)
            units.append(Unit(self._label, name, t1w.path, self._index.sidecars(t1w), runs, site))
        return units

    def _t1w_for(self, runs: Sequence[RunImages], verdicts: dict[Path, _Verdict]) -> tuple[Image | None, str]:
        """Return the T1w image for some runs, or None and why there is none."""
        candidates = [image for image in self._t1ws if self._request.t1w.passes(image)]
        if not candidates:
            return None, "no T1w image that the filter file lets through"
        chosen = choose_t1w(candidates, {run.session for run in runs})
        try:
            require_usable_t1w(self._index, chosen)
        except InputError as error:
            verdicts[chosen.path] = _Verdict(RowStatus.ERROR, (str(error),))
            return None, f"its T1w image cannot be used ({chosen.path.name})"
        passed_over = len(candidates) - 1
        remarks = (f"chosen of {passed_over + 1} T1w images",) if passed_over else ()
        verdicts[chosen.path] = _Verdict(RowStatus.PROCESS, remarks)
        return chosen, ""

    # --- rows -------------------------------------------------------------------------------------------------------

    def _t1w_rows(
        self, verdicts: Mapping[Path, _Verdict], runs: Mapping[tuple[tuple[str, str], ...], _Verdict]
    ) -> list[PlanRow]:
        rows: list[PlanRow] = []
        for image in self._t1ws:
            verdict = verdicts.get(image.path) or _excluded(self._why_not(image, verdicts, runs))
            rows.append(_row(self._index, dict(image.name.entities), "T1w", [image], verdict))
        return rows

    def _why_not(
        self,
        image: Image,
        chosen: Mapping[Path, _Verdict],
        runs: Mapping[tuple[tuple[str, str], ...], _Verdict],
    ) -> str:
        if self._label not in self._request.participants:
            return "participant not selected (--participant-label)"
        if not self._request.t1w.passes(image):
            return "left out by the filter file (t1w)"
        if chosen:
            return "another T1w image was chosen: " + ", ".join(path.name for path in chosen)
        return "no functional run that can be processed" if runs else "no functional run (Beam F3 alone is not made)"

    def _run_rows(self, verdicts: Mapping[tuple[tuple[str, str], ...], _Verdict]) -> list[PlanRow]:
        rows: list[PlanRow] = []
        for run in self._runs:
            row = _row(self._index, dict(run.key), "bold", run.images, verdicts[run.key])
            rows.append(replace(row, echoes=len(run.magnitudes)))
        return rows

    def _empty_rows(self) -> list[PlanRow]:
        """Return a row for the participant, or each session, that has neither T1w image nor functional run."""
        seen = {image.session for image in self._t1ws} | {run.session for run in self._runs}
        sessions: tuple[str | None, ...] = self._index.sessions[self._label] or (None,)
        verdict = _excluded("neither a T1w image nor a functional run")
        keys = [{"sub": self._label} | ({"ses": name} if name else {}) for name in sessions if name not in seen]
        return [_row(self._index, entities, None, [], verdict) for entities in keys]


def _is_rest(run: RunImages) -> bool:
    return (run.task or "").lower().startswith("rest")


def _excluded(reason: str) -> _Verdict:
    return _Verdict(RowStatus.EXCLUDE, (reason,))


def _with_t1w(verdict: _Verdict, run: RunImages, t1w: Image) -> _Verdict:
    if run.session == t1w.session:
        return verdict
    return replace(verdict, reasons=(*verdict.reasons, f"T1w image of another session ({t1w.path.name})"))


def _row(
    index: Index, entities: Mapping[str, str], suffix: str | None, images: Iterable[Image], verdict: _Verdict
) -> PlanRow:
    return PlanRow(
        participant_id=f"sub-{entities['sub']}",
        session_id=f"ses-{entities['ses']}" if "ses" in entities else None,
        suffix=suffix,
        task=entities.get("task"),
        acq=entities.get("acq"),
        dir=entities.get("dir"),
        run=entities.get("run"),
        echoes=None,
        status=verdict.status,
        reason=_one_line("; ".join(verdict.reasons)),
        files=",".join(index.relative(image.path) for image in images),
    )


def _refused_row(index: Index, item: Refused, request: _Request) -> PlanRow:
    selected = not request.chosen or item.participant_id.removeprefix("sub-") in request.participants
    matters = item.meant_for_us and selected
    return PlanRow(
        participant_id=_one_line(item.participant_id),
        session_id=_one_line(item.session_id) if item.session_id else None,
        suffix=None,
        task=None,
        acq=None,
        dir=None,
        run=None,
        echoes=None,
        status=RowStatus.ERROR if matters else RowStatus.EXCLUDE,
        reason=_one_line(item.reason),
        files=_one_line(index.relative(item.path)),
    )


def _absent_row(label: str) -> PlanRow:
    reason = "listed in participants.tsv, but the dataset has no such folder"
    name = _one_line(f"sub-{label}")
    return PlanRow(name, None, None, None, None, None, None, None, RowStatus.EXCLUDE, reason, "")


def _one_line(text: str) -> str:
    """Return text that fits a TSV cell: no tabs, line ends or quotes, and nothing that UTF-8 cannot write."""
    encodable = text.encode("utf-8", "backslashreplace").decode("utf-8")
    words = " ".join(encodable.split()).replace('"', "'")
    # what is left of control characters could steer a terminal
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in words)


def _row_order(row: PlanRow) -> tuple[object, ...]:
    kinds = {"T1w": 0, "bold": 1}
    session = natural_key(row.session_id or "")
    return (natural_key(row.participant_id), session, kinds.get(row.suffix or "", 2), natural_key(row.files))
