"""The fallback ladder of multi-echo denoising: what is tried, in which order, and why a step down was taken.

A rung is left when its ICA did not converge, when no component looked like BOLD, or when tedana could not go on. Each
rung that was tried or passed over is recorded with the reason. The last rung, the optimal combination, always holds and
says that nothing was denoised.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from tmsprep.denoise import tedana_call
from tmsprep.denoise.tedana_call import Decomposition, IcaSettings, IcaTry, KnownIca, MultiEchoInput
from tmsprep.errors import ConfigurationError

_LOG = logging.getLogger(__name__)


class Rung(StrEnum):
    """The ways to denoise, best first."""

    FASTICA = "fastica"
    """FastICA, AIC, tedana's own decision tree; seeds `seed` to `seed` + 4."""
    ROBUSTICA = "robustica"
    """The consensus of many FastICA runs."""
    MINIMAL = "minimal-tree"
    """The last converged ICA, classified by the minimal tree."""
    MDL = "mdl"
    """FastICA on the fewer components that MDL keeps."""
    COMBINATION = "optimal-combination"
    """No ICA: the echoes combined, not denoised."""


LADDER = tuple(Rung)
"""The order that is used unless another is asked for."""


class Outcome(StrEnum):
    """How a rung ended."""

    USED = "used"
    NOT_CONVERGED = "ICA did not converge"
    NO_BOLD = "no component was taken for BOLD"
    FAILED = "tedana stopped with an error"
    PASSED_OVER = "passed over"


@dataclass(frozen=True)
class Attempt:
    """One rung, as it went."""

    rung: Rung
    outcome: Outcome
    detail: str = ""
    tries: tuple[IcaTry, ...] = ()
    components: int = 0
    likely_bold: int = 0
    accepted: int = 0


@dataclass(frozen=True)
class Descent:
    """The whole way down the ladder."""

    attempts: tuple[Attempt, ...]
    folder: Path
    """tedana's files of the rung that was used."""
    decomposition: Decomposition | None
    """None on the last rung."""

    @property
    def rung(self) -> Rung:
        """The rung that was used."""
        return self.attempts[-1].rung


def parse(names: Sequence[str] | None) -> tuple[Rung, ...]:
    """Return the rungs named, or all.

    Raises
    ------
    ConfigurationError
        A name is unknown, or there is none.
    """
    if names is None:
        return LADDER
    known = [rung.value for rung in Rung]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        what = f"unknown rung(s) {', '.join(unknown)}" if names else "no rung is given"
        raise ConfigurationError(what, where="--ladder-rungs", expected=", ".join(known))
    return tuple(Rung(name) for name in names)


def descend(data: MultiEchoInput, rungs: Sequence[Rung], start: IcaSettings, folder: Path) -> Descent:
    """Try rungs in order until one holds.

    Parameters
    ----------
    data
        The run.
    rungs
        In the order to try; where none holds, the optimal combination is made all the same.
    start
        Settings of the first rung; seeds, iterations and runs hold for all.
    folder
        Exists; each rung gets a folder in it, and those of failed rungs are removed.
    """
    attempts: list[Attempt] = []
    known: KnownIca | None = None
    for rung in (rung for rung in rungs if rung is not Rung.COMBINATION):
        settings = _settings(rung, start, known)
        if settings is None:
            attempts.append(Attempt(rung, Outcome.PASSED_OVER, "a decision tree cannot help: no ICA converged before"))
            continue
        attempt, decomposition = _attempt(rung, data, settings, folder / rung.value)
        attempts.append(attempt)
        _LOG.warning("rung %s: %s %s", rung.value, attempt.outcome.value, attempt.detail)
        if attempt.outcome is Outcome.USED:
            return Descent(tuple(attempts), folder / rung.value, decomposition)
        known = _keep_mixing(attempt, folder, rung) or known
    tedana_call.combine(data, folder / Rung.COMBINATION.value)
    return Descent((*attempts, Attempt(Rung.COMBINATION, Outcome.USED)), folder / Rung.COMBINATION.value, None)


def _settings(rung: Rung, start: IcaSettings, known: KnownIca | None) -> IcaSettings | None:
    """Return what to ask of tedana on a rung, or None where the rung cannot help."""
    changes: dict[Rung, Callable[[], IcaSettings | None]] = {
        Rung.FASTICA: lambda: start,
        Rung.ROBUSTICA: lambda: replace(start, method="robustica"),
        Rung.MINIMAL: lambda: None if known is None else replace(start, tree="minimal", known=known),
        Rung.MDL: lambda: replace(start, component_number="mdl"),
    }
    return changes[rung]()


def _attempt(rung: Rung, data: MultiEchoInput, settings: IcaSettings, folder: Path) -> tuple[Attempt, Decomposition | None]:
    try:
        found = tedana_call.decompose(data, settings, folder)
    except (ValueError, ArithmeticError, IndexError) as error:  # what numpy, scikit-learn and tedana raise on odd data
        return Attempt(rung, Outcome.FAILED, f"{type(error).__name__}: {error}"), None
    outcome = Outcome.USED
    if not found.converged:
        outcome = Outcome.NOT_CONVERGED
    elif not found.likely_bold:
        outcome = Outcome.NO_BOLD
    detail = f"(seeds {', '.join(str(item.seed) for item in found.tries)})"
    attempt = Attempt(rung, outcome, detail, found.tries, found.components, found.likely_bold, found.accepted)
    return attempt, found


def _keep_mixing(attempt: Attempt, folder: Path, rung: Rung) -> KnownIca | None:
    """Clear a failed rung's folder; keep its components if only their classification failed."""
    kept: KnownIca | None = None
    if attempt.outcome is Outcome.NO_BOLD and rung is not Rung.MINIMAL:
        target = folder / f"{rung.value}_mixing.tsv"
        shutil.copyfile(folder / rung.value / tedana_call.MIXING, target)
        kept = KnownIca(target, attempt.tries)
    shutil.rmtree(folder / rung.value, ignore_errors=True)
    return kept
