"""One call of tedana: what it is asked, whether its ICA converged, and what it found.

Nothing here decides what to do with the answer; see `ladder`.
"""

from __future__ import annotations

import gc
import logging
import re
import shutil
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tmsprep.errors import ProcessingError
from tmsprep.files import read_json, read_tsv, write_json
from tmsprep.provenance.record import without_folders

_LOGGER = "GENERAL"
_ICA_LINE = re.compile(r"ICA with random seed (\d+) (converged in|failed to converge after) (\d+) iterations")
_ROBUST_FAILURES_ALLOWED = 0.25
"""tedana's own limit: above it "inputted data are not appropriate for ICA"."""

COMBINED = "desc-optcom_bold.nii.gz"
DENOISED = "desc-denoised_bold.nii.gz"
MIXING = "desc-ICA_mixing.tsv"
METRICS = "desc-tedana_metrics.tsv"
T2STAR = "T2starmap.nii.gz"
S0 = "S0map.nii.gz"
ADAPTIVE_MASK = "desc-adaptiveGoodSignal_mask.nii.gz"
_ACCOUNTS = {
    "decision_tree": "desc-ICA_decision_tree.json",
    "status_table": "desc-ICA_status_table.tsv",
    "report": "report.txt",
}
_FROM_SETS = ("used_metrics", "used_cross_component_metrics")
_CROSS_METRICS = "desc-ICACrossComponent_metrics.json"


@dataclass(frozen=True)
class MultiEchoInput:
    """What tedana reads, whatever the settings."""

    echoes: tuple[Path, ...]
    """Preprocessed series, ascending echo time."""
    echo_times_s: tuple[float, ...]
    mask: Path
    dummy_scans: int
    """Volumes to leave out at the start."""


@dataclass(frozen=True)
class IcaTry:
    """One ICA with one seed."""

    seed: int
    converged: bool
    iterations: int | None
    """None for robustica, which runs many."""


@dataclass(frozen=True)
class KnownIca:
    """An ICA that ran before, to be classified again."""

    mixing: Path
    tries: tuple[IcaTry, ...]


@dataclass(frozen=True)
class IcaSettings:
    """How tedana decomposes and classifies."""

    method: str
    """``fastica`` or ``robustica``."""
    tree: str
    """``tedana_orig`` or ``minimal``."""
    component_number: str
    """How many principal components are kept: ``aic`` or ``mdl``."""
    seed: int
    """Of the first try."""
    tries: int
    """How many seeds (`seed`, `seed` + 1, ...) ICA may try."""
    maximum_iterations: int
    robust_runs: int
    known: KnownIca | None = None
    """If given, only its components are classified; ICA is not run."""


@dataclass(frozen=True)
class Decomposition:
    """What one call of tedana found."""

    tries: tuple[IcaTry, ...]
    metrics: pd.DataFrame
    """One row a component; tedana's columns."""
    mixing: pd.DataFrame
    """(volumes, components): time courses, z-scored."""
    cross_metrics: dict[str, Any]

    @property
    def converged(self) -> bool:
        """Whether the ICA that was used converged."""
        return self.tries[-1].converged

    @property
    def seed(self) -> int:
        """Seed of the ICA that was used."""
        return self.tries[-1].seed

    @property
    def components(self) -> int:
        """Number of components."""
        return len(self.metrics)

    @property
    def accepted(self) -> int:
        """Number of components kept in the denoised series."""
        return int(np.sum(np.asarray(self.metrics["classification"]) == "accepted"))

    @property
    def likely_bold(self) -> int:
        """Number of components that the tree took for BOLD; without any, "accepted" means nothing."""
        return sum("Likely BOLD" in str(tags) for tags in self.metrics["classification_tags"])


def decompose(data: MultiEchoInput, settings: IcaSettings, folder: Path) -> Decomposition:
    """Run tedana once, its files in `folder` (made).

    Raises
    ------
    ValueError, ArithmeticError, IndexError
        tedana could not go on with these data.
    """
    from tedana.workflows import tedana_workflow

    with _tedana(folder) as lines:
        tedana_workflow(
            [str(path) for path in data.echoes],
            list(data.echo_times_s),
            out_dir=str(folder),
            mask=str(data.mask),
            dummy_scans=data.dummy_scans,
            tree=settings.tree,
            tedpca=settings.component_number,
            ica_method=settings.method,
            n_robust_runs=settings.robust_runs,
            fixed_seed=settings.seed,
            maxit=settings.maximum_iterations,
            maxrestart=settings.tries,
            mixing_file=None if settings.known is None else str(settings.known.mixing),
            no_reports=True,
            n_threads=1,
        )
    cross_metrics = read_json(folder / _CROSS_METRICS)
    tries = _tries(settings, lines, cross_metrics)
    return Decomposition(tries, read_tsv(folder / METRICS), read_tsv(folder / MIXING), cross_metrics)


def combine(data: MultiEchoInput, folder: Path) -> None:
    """Make T2*, S0 and the optimal combination only, without ICA, in `folder` (made)."""
    from tedana.workflows import t2smap_workflow

    with _tedana(folder):
        t2smap_workflow(
            [str(path) for path in data.echoes],
            list(data.echo_times_s),
            out_dir=str(folder),
            mask=str(data.mask),
            dummy_scans=data.dummy_scans,
            n_threads=1,
        )


def save_accounts(folder: Path, places: Mapping[str, Path | None]) -> None:
    """Copy tedana's own accounts to `places` (keys of `_ACCOUNTS`), those that there are."""
    for name, place in places.items():
        source = folder / _ACCOUNTS[name]
        if place is None or not source.is_file():
            continue
        if source.suffix == ".json":
            write_json(place, _in_order(read_json(source)))
        else:
            shutil.copyfile(source, place)


def _in_order(content: dict[str, Any]) -> dict[str, Any]:
    """Sort the names of metrics that a tree's nodes used: tedana writes them out of sets, in any order."""
    sorted_lists = {key: sorted(content[key]) for key in _FROM_SETS if isinstance(content.get(key), list)}
    inner = {key: _in_order(value) for key, value in content.items() if isinstance(value, dict)}
    lists = {
        key: [_in_order(item) if isinstance(item, dict) else item for item in value]
        for key, value in content.items()
        if isinstance(value, list) and key not in sorted_lists
    }
    return content | inner | lists | sorted_lists


def own_record(folder: Path) -> dict[str, Any]:
    """Return what tedana itself wrote about its run, without the machine's name and folders."""
    description = folder / "dataset_description.json"
    maker = next(iter(read_json(description).get("GeneratedBy", [])), {}) if description.is_file() else {}
    found = {key: maker[key] for key in ("Name", "Version", "CodeURL", "Python_Libraries") if key in maker}
    command = without_folders(str(maker.get("Command", "")))
    return found | ({"Command": command} if command else {})


def version() -> str:
    """Return tedana's version."""
    from tedana import __version__

    return str(__version__)


def _tries(settings: IcaSettings, lines: Sequence[str], cross_metrics: dict[str, Any]) -> tuple[IcaTry, ...]:
    if settings.known is not None:
        return settings.known.tries
    if settings.method == "robustica":
        return _robust_tries(settings, cross_metrics)
    if not (tries := _fast_tries(lines)):
        raise ProcessingError("tedana's log does not say whether its ICA converged", expected="tedana 26.0.x")
    return tries


def _fast_tries(lines: Sequence[str]) -> tuple[IcaTry, ...]:
    found = [match for line in lines if (match := _ICA_LINE.search(line))]
    return tuple(IcaTry(int(match[1]), match[2].startswith("converged"), int(match[3])) for match in found)


def _robust_tries(settings: IcaSettings, cross_metrics: dict[str, Any]) -> tuple[IcaTry, ...]:
    failed = float(cross_metrics["fastica_convergence_warning_count"]) / settings.robust_runs
    return (IcaTry(settings.seed, failed <= _ROBUST_FAILURES_ALLOWED, None),)


class _Lines(logging.Handler):
    """Keeps the messages of a logger."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def _tedana(folder: Path) -> Generator[list[str]]:
    """Prepare a folder and this process for tedana; yield the messages that it logs."""
    from tedana.utils import teardown_loggers

    folder.mkdir(parents=True)
    listener = _Lines()
    logging.getLogger(_LOGGER).addHandler(listener)
    # nilearn collects garbage at every masking; with the imported modules set aside that takes no time (18 s -> 4 s)
    gc.freeze()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield listener.lines
    finally:
        gc.unfreeze()
        teardown_loggers()
