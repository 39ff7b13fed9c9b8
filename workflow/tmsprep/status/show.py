"""The report in a terminal and as JSON: what needs attention first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tmsprep.provenance.verify import printable
from tmsprep.status.causes import Finding
from tmsprep.status.judge import FINISHED, Participant, Report, State, Trouble
from tmsprep.status.run import Life, Run

_SHOWN = 20
"""Participants of one state that are told of without ``--all``."""
_STYLES = {
    State.FAILED: "bold red",
    State.STOPPED: "yellow",
    State.RUNNING: "cyan",
    State.ABSTAINED: "magenta",
    State.DONE: "green",
}
_AGAIN = "run the same command again: finished steps are kept"


def print_report(console: Console, output: Path, report: Report, *, every: bool) -> None:
    """Print a report: the run, what needs attention, what runs, what is done."""
    _print_head(console, output, report)
    _print_shared(console, report.shared)
    _print_failed(console, [item for item in report.participants if item.state is State.FAILED], every=every)
    _print_states(console, report.participants, every=every)
    if advice := _advice(report):
        console.print(Text(advice, style="bold"))


def _print_head(console: Console, output: Path, report: Report) -> None:
    lines = Table.grid(padding=(0, 2))
    lines.add_column(no_wrap=True)
    lines.add_column(overflow="fold")
    lines.add_row("Output", Text(printable(str(output))))
    lines.add_row("Run", Text(printable(_run_text(report.run, report.now)), style=_run_style(report.run)))
    if report.steps_total and report.run.life is not Life.ENDED:
        share = f" ({100 * (report.steps_done or 0) / report.steps_total:.0f} %)"
        lines.add_row("Steps", Text(f"{report.steps_done} of {report.steps_total} done{share}"))
    lines.add_row("Participants", _counts_text(report))
    if report.group is not None:
        lines.add_row("Group", Text(report.group.value, style=_STYLES.get(report.group, "")))
    if report.run.alive:
        lines.add_row("Time left", Text(_left_text(report)))
        lines.add_row("Last change", Text(f"{_duration(report.now - report.last_sign)} ago"))
    if report.late_files:
        lines.add_row("Files", Text(_late_text(report.late_files), style="yellow"))
    console.print(lines)


def _run_text(run: Run, now: float) -> str:
    if run.life is Life.UNRECORDED:
        return "not recorded: Snakemake was called without tmsprep, so that whether it goes on cannot be told"
    began = f"begun {_clock(run.started)}" if run.started is not None else "begun at an unknown time"
    by = f" by tmsprep {run.version}" + (f" ({run.commit[:9]})" if run.commit else "") if run.version else ""
    return f"{_life_text(run, now)}; {began}{by}"


def _life_text(run: Run, now: float) -> str:
    where = f" on {run.host}, process {run.pid}" if run.host else ""
    if run.life is Life.RUNNING:
        since = "" if run.started is None else f", for {_duration(now - run.started)}"
        return f"running{where}{since}"
    if run.life is Life.KILLED:
        return f"killed, or its computer was switched off{' (it was' + where + ')' if where else ''}"
    took = "" if run.started is None or run.ended is None else f" after {_duration(run.ended - run.started)}"
    return f"ended{took} with exit status {run.exit_status}"


def _run_style(run: Run) -> str:
    return {Life.RUNNING: "cyan", Life.KILLED: "yellow"}.get(run.life, "")


def _counts_text(report: Report) -> Text:
    text = Text(f"{len(report.participants)}: ")
    parts = [
        Text(f"{report.counts[state]} {state}", style=_STYLES.get(state, "")) for state in State if report.counts[state]
    ]
    text.append_text(Text(", ").join(parts))
    if report.excluded:
        text.append(f"{'; ' if parts else ''}{report.excluded} left out by the plan")
    return text


def _left_text(report: Report) -> str:
    if report.seconds_left is None:
        return "not known yet: too few finished in this run"
    return f"about {_duration(report.seconds_left)}, at the pace of those that finished in this run"


def _late_text(count: int) -> str:
    return f"outputs of {count} step(s) did not appear in time: a slow file system; try -- --latency-wait 120"


def _print_shared(console: Console, shared: Sequence[Trouble]) -> None:
    alike: dict[Finding, list[Trouble]] = {}
    for trouble in shared:
        alike.setdefault(trouble.finding, []).append(trouble)
    for troubles in alike.values():
        steps = ", ".join(trouble.step for trouble in troubles)
        console.print(Text(f"\n✗ for all participants: {steps}", style="bold red"))
        console.print(_trouble_text(troubles[0]))


def _print_failed(console: Console, failed: Sequence[Participant], *, every: bool) -> None:
    if not failed:
        return
    console.print(Text("\nNeeds attention", style="bold"))
    shown = failed if every else failed[:_SHOWN]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), expand=False)
    table.add_column("failed", no_wrap=True, style="bold red")
    table.add_column("step", no_wrap=True)
    table.add_column("likely cause, and what to do", overflow="fold", ratio=1)
    for item in shown:
        for index, trouble in enumerate(item.troubles):
            table.add_row(Text("" if index else item.label), Text(trouble.step), _trouble_text(trouble))
    console.print(table)
    if len(shown) < len(failed):
        causes = Counter(trouble.finding.cause.name for item in failed for trouble in item.troubles[:1])
        told = ", ".join(f"{count} {name}" for name, count in causes.most_common())
        console.print(
            Text(f"... and {len(failed) - len(shown)} more (--all lists them). All {len(failed)} by cause: {told}")
        )


def _trouble_text(trouble: Trouble) -> Text:
    finding = trouble.finding
    text = Text()
    for sentence, style in (
        (finding.cause.what, "bold"),
        (finding.message.replace(" What to do: ", "\nWhat to do: "), ""),
        *((line, "dim") for line in finding.lines),
        ("" if "What to do:" in finding.message else f"What to do: {_action(trouble)}", ""),
        (f"log: {trouble.log}" if trouble.log else "", "dim"),
    ):
        if sentence:
            safe = "\n".join(map(printable, sentence.split("\n")))
            text.append(f"\n{safe}" if text else safe, style=style)
    return text


def _action(trouble: Trouble) -> str:
    return trouble.finding.cause.action.format(rule=trouble.step)


def _print_states(console: Console, people: Sequence[Participant], *, every: bool) -> None:
    """Tell who runs, waits, stopped or abstained; the done ones only where everybody is asked for."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column("participant", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("remark", overflow="fold", ratio=1)
    hidden: list[str] = []
    for state in State:
        members = [item for item in people if item.state is state and state is not State.FAILED]
        shown = members if every else [] if state is State.DONE else members[:_SHOWN]
        for item in shown:
            table.add_row(Text(printable(item.label)), Text(state.value, style=_STYLES.get(state, "")), _remark(item))
        if len(shown) < len(members):
            hidden.append(f"{len(members) - len(shown)} {state}")
    if table.row_count:
        console.print(table)
    if hidden:
        console.print(Text(f"Not listed: {', '.join(hidden)} (--all lists everybody)"))


def _remark(item: Participant) -> Text:
    told: list[str] = []
    if item.state is State.RUNNING:
        told.append(", ".join(f"{name} ({count})" if count > 1 else name for name, count in Counter(item.running).items()))
    told += [f"{trouble.step}: {trouble.finding.cause.what or trouble.finding.message}" for trouble in item.troubles]
    if item.reasons:
        told.append(f"{'caution: ' if item.verdict == 'caution' else ''}{'; '.join(item.reasons)}")
    return Text(printable("; ".join(told)))


def _advice(report: Report) -> str:
    unfinished = [item for item in report.participants if item.state not in FINISHED | {State.FAILED}]
    if report.run.alive:
        return ""
    if report.exit_status == 1:
        return "Correct what is told above, then run the same command again: only what is missing is computed."
    if unfinished or report.group in {State.STOPPED, State.NOT_STARTED}:
        return f"Not finished; {_AGAIN}."
    return ""


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours / 24:.0f} days"


def as_content(report: Report) -> dict[str, Any]:
    """Return a report as plain JSON content."""
    run = report.run
    return {
        "ExitStatus": report.exit_status,
        "Run": {
            "Name": run.name,
            "State": run.life.value,
            "StartedAtTime": _iso(run.started),
            "EndedAtTime": _iso(run.ended),
            "ExitStatus": run.exit_status,
            "Version": run.version,
            "Commit": run.commit,
            "Host": run.host,
            "Process": run.pid,
        },
        "LastChange": _iso(report.last_sign or None),
        "Steps": {"Done": report.steps_done, "Total": report.steps_total},
        "SecondsLeft": None if report.seconds_left is None else round(report.seconds_left),
        "StepsWithLateFiles": report.late_files,
        "Counts": {state.value: report.counts[state] for state in State},
        "Excluded": report.excluded,
        "Group": report.group and report.group.value,
        "Shared": [_trouble_content(trouble) for trouble in report.shared],
        "Participants": [_participant_content(item) for item in report.participants],
    }


def _participant_content(item: Participant) -> dict[str, Any]:
    return {
        "Label": item.label,
        "State": item.state.value,
        "Verdict": item.verdict,
        "Reasons": list(item.reasons),
        "Running": list(item.running),
        "Troubles": [_trouble_content(trouble) for trouble in item.troubles],
        "FinishedAtTime": _iso(item.finished),
    }


def _trouble_content(trouble: Trouble) -> Mapping[str, Any]:
    finding = trouble.finding
    return {
        "Step": trouble.step,
        "Cause": finding.cause.name,
        "What": finding.cause.what or finding.message,
        "Message": finding.message or None,
        "Action": _action(trouble),
        "LastLines": list(finding.lines),
        "Log": trouble.log or None,
    }


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="seconds")
