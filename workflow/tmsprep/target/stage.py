"""The stage ``target``: from denoised series to the circuit target of one participant.

This module reads and writes; what a circuit, a score or a cluster is, its neighbours say: `circuits` and `masks`
(definitions), `survey` (which voxels), `series` (their data), `scores` and `clusters` (method), `quality` (verdict).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tmsprep.errors import ConfigurationError, ProcessingError
from tmsprep.files import save_nifti, sha256, write_tsv
from tmsprep.options import Method
from tmsprep.records import TargetResult
from tmsprep.spaces import Grid
from tmsprep.stages import InFile, OutFile, SidecarFields
from tmsprep.target import quality
from tmsprep.target.circuits import Polarity, require_polarity
from tmsprep.target.library import resolve
from tmsprep.target.locate import Found, Search, locate
from tmsprep.target.masks import load_search_mask
from tmsprep.target.nuisance import RunDesign
from tmsprep.target.outcome import Outcome, judge_outcome, summarise
from tmsprep.target.person import Person
from tmsprep.target.reliability import Alternatives, Data, Reliability, assess
from tmsprep.target.series import Series, common_mask, grid_of, open_runs, read_series, read_volume, repetition_time_s
from tmsprep.target.survey import FINE_MM, GREY, Plan, Voxels, survey_fine, survey_voxels

_ALIGNED = 2


def find_target(
    *,
    bold: list[InFile],
    bold_mask: list[InFile],
    regressors: list[InFile],
    summary: list[InFile],
    t1w: InFile,
    gm: InFile,
    mni_to_t1w: InFile,
    t1w_to_mni: InFile,
    out_scores: OutFile,
    out_result: OutFile,
    out_probability: OutFile | None = None,
    out_cloud: OutFile | None = None,
    regressors_sidecar: list[InFile] | None = None,
    global_beta: list[InFile] | None = None,
    scalp: InFile | None = None,
    nlin6_to_t1w: InFile | None = None,
    circuit: str = "sgacc",
    circuit_file: InFile | None = None,
    circuit_space: str = "MNI152NLin6Asym",
    search_mask: str = "dlpfc-spheres",
    method: Method = Method.TIMECOURSE,
    force_polarity: bool = False,
    top_fraction: float = 0.1,
    exclusion_mm: float = 10.0,
    max_depth_mm: float | None = 30.0,
    draws: int = 10_000,
    thresholds: InFile | None = None,
    seed: int = 42,
) -> SidecarFields:
    """Find the site in the left DLPFC that follows the circuit best.

    Parameters
    ----------
    bold
        Denoised runs on the BOLD grid in T1w space.
    bold_mask
        For each run, the voxels with signal on that grid.
    regressors
        For each run, the table with the column ``kept``.
    summary
        For each run, the summary of the denoise stage (JSON).
    t1w
        The T1w whose scanner RAS mm the target is given in.
    gm
        Grey-matter probability of the T1w.
    mni_to_t1w
        ``from-MNI152NLin2009cAsym_to-T1w``: takes T1w points to the template.
    t1w_to_mni
        Its inverse; used to check the first at the target.
    out_scores
        The score map on the BOLD grid; 0 where nothing was scored.
    out_result
        The target as JSON.
    out_probability
        On a 2 mm grid: the share of bootstrap draws in whose best cluster a voxel lies.
    out_cloud
        The targets of the bootstrap: a row a place, with the share of draws (x, y, z scanner RAS mm).
    regressors_sidecar
        For each run, the sidecar of its regressors: with it the regression is fitted anew on each half.
    global_beta
        For each run, what the other choice about the global signal would add.
    scalp
        The scalp surface, for depth and reach.
    nlin6_to_t1w
        ``from-MNI152NLin6Asym_to-T1w``, if preprocessing made one: taken for circuits and masks of that space in place of
        the way over MNI152NLin2009cAsym.
    circuit
        A shipped circuit, or with ``circuit_file`` a name of your own.
    circuit_file
        The circuit's image, or its JSON.
    circuit_space
        Template space of an image without metadata.
    search_mask
        A shipped search mask.
    method
        How a voxel is scored.
    force_polarity
        Accept a circuit whose sign looks inverted. Recorded.
    top_fraction
        The share of scores that is clustered.
    exclusion_mm
        Voxels this near to the search mask carry no weight.
    max_depth_mm
        Voxels farther than this from the scalp are no candidates.
    draws
        Of the bootstrap.
    thresholds
        Limits of the verdict that differ from the written ones (YAML).
    seed
        Governs the bootstrap; the target itself has nothing random.
    """
    _check_numbers(top_fraction, exclusion_mm, max_depth_mm, draws)
    limits = quality.Thresholds.load(thresholds)
    weights = resolve(circuit, circuit_file, circuit_space)
    polarity = require_polarity(weights, force=force_polarity)
    plan = Plan(weights, load_search_mask(search_mask), exclusion_mm, max_depth_mm)
    runs = open_runs(bold, bold_mask, regressors)
    scan = quality.read_scan(summary, [run.kept.size for run in runs])
    person = Person.load(gm, mni_to_t1w, t1w_to_mni, scalp, nlin6_to_t1w)

    brain = common_mask(runs)
    voxels = survey_voxels(grid_of(runs), brain, person, plan)
    fine = survey_fine(person, plan)
    series = read_series(runs, voxels.where)
    search = Search(Method(method), voxels, fine, voxels.problem(series.has_signal, exclusion_mm), top_fraction)

    judge = quality.Judge()
    _judge_circuit(judge, polarity)
    quality.judge_scan(judge, scan, limits)
    coverage = fine.coverage(_signal(brain, voxels, series), voxels.grid)
    quality.judge_coverage(judge, coverage, limits)
    data = Data(series.z, _designs(regressors, regressors_sidecar), repetition_time_s(runs[0]))
    alternatives = Alternatives(draws, seed, _beta_of(global_beta, series, voxels))
    found, sure = _search(data, search, alternatives, judge)
    outcome = Outcome((), {}) if found is None else summarise(found, person, plan.mask, sure.measures)
    if found is not None:
        judge_outcome(judge, outcome, limits)

    verdict = judge.verdict
    TargetResult(
        method=search.method.value,
        circuit=weights.circuit.name,
        search_mask=plan.mask.name,
        status=verdict.status,
        reasons=verdict.reasons,
        candidates=outcome.candidates,
        clean_minutes=round(scan.clean_minutes, 4),
        mean_fd_mm=round(scan.mean_fd_mm, 4),
        measures={name: round(value, 6) for name, value in coverage.items()} | outcome.measures,
    ).save(out_result)
    _save_scores(out_scores, found, voxels.grid)
    _save_cloud(out_probability, out_cloud, sure, fine.grid)
    fields = _fields(plan, polarity, search, forced=force_polarity) | {
        "NLin6Transform": "between templates" if nlin6_to_t1w is None else nlin6_to_t1w,
        "T1wSHA256": sha256(t1w),
        "Seed": seed,
    }
    return {
        "out_scores": _map_fields(t1w) | fields,
        "out_result": fields | {"Thresholds": asdict(limits)},
        "out_probability": _PROBABILITY_FIELDS | {"SpatialReference": t1w, "Draws": draws} | fields,
        "out_cloud": _CLOUD_FIELDS | {"Draws": draws} | fields,
    }


_PROBABILITY_FIELDS = {
    "Description": "Share of bootstrap draws in whose best cluster the voxel lies",
    "Units": "1",
}
_CLOUD_FIELDS = {
    "Description": "Targets of the bootstrap, a row a place",
    **{axis: {"Description": f"{axis} of the place, scanner RAS", "Units": "mm"} for axis in "xyz"},
    "share": {"Description": "Share of the draws"},
}


def _check_numbers(top_fraction: float, exclusion_mm: float, max_depth_mm: float | None, draws: int) -> None:
    if draws < 1:
        raise ConfigurationError(f"{draws} draws", where="--draws", expected="1 or more, usually 10000")
    if not 0 < top_fraction < 1:
        raise ConfigurationError(f"top_fraction is {top_fraction}", expected="a share between 0 and 1, for example 0.1")
    if not exclusion_mm >= 0:
        raise ConfigurationError(f"exclusion_mm is {exclusion_mm}", expected="0 or more")
    if max_depth_mm is not None and not max_depth_mm > 0:
        raise ConfigurationError(f"max_depth_mm is {max_depth_mm}", expected="more than 0")


def _judge_circuit(judge: quality.Judge, polarity: Polarity) -> None:
    if not polarity.is_right:
        judge.caution("the circuit has the opposite sign of what is expected, and was accepted by --force-polarity")


def _signal(brain: NDArray[np.bool_], voxels: Voxels, series: Series) -> NDArray[np.bool_]:
    """Return the voxels with signal: in every run's mask, and not flat where the series were read."""
    signal = brain.copy()
    signal[voxels.where] = series.has_signal
    return signal


def _designs(tables: list[Path], sidecars: list[Path] | None) -> tuple[RunDesign, ...]:
    beside = sidecars or [None] * len(tables)
    return tuple(RunDesign.load(table, sidecar) for table, sidecar in zip(tables, beside, strict=True))


def _beta_of(paths: list[Path] | None, series: Series, voxels: Voxels) -> NDArray[np.float64] | None:
    """Return the weights of the unique global signal in the standardised series (runs, voxels)."""
    if not paths:
        return None
    return np.stack([read_volume(path, voxels.where) for path in paths]) * series.has_signal / series.deviations


def _search(
    data: Data, search: Search, alternatives: Alternatives, judge: quality.Judge
) -> tuple[Found | None, Reliability]:
    """Search, and measure how sure it is. Data that allow no search end in an abstention, not in an error."""
    nothing = Reliability({}, None)
    try:
        found = locate(data.z, search)
    except ProcessingError as error:
        judge.abstain(error.what)
        return None, nothing
    return found, assess(data, search, found, alternatives) if found.clusters else nothing


def _save_cloud(probability: Path | None, table: Path | None, sure: Reliability, grid: Grid) -> None:
    """Save what the bootstrap gave; empty where there was none."""
    cloud = sure.cloud
    if probability is not None:
        values = np.zeros(grid.shape, dtype=np.float32)
        if cloud is not None:
            values[tuple(cloud.voxels.T)] = cloud.cluster_share
        save_nifti(probability, values, grid.affine_ras_mm, xform_code=_ALIGNED)
    if table is not None:
        places = np.zeros((0, 3)) if cloud is None else cloud.positions_ras_mm
        columns = dict(zip("xyz", places.T, strict=True))
        write_tsv(table, pd.DataFrame(columns | {"share": [] if cloud is None else cloud.share}))


def _save_scores(path: Path, found: Found | None, grid: Grid) -> None:
    values = np.zeros(grid.shape, dtype=np.float32)
    if found is not None:
        values[found.map.inside] = found.map.values[found.map.inside]
    save_nifti(path, values, grid.affine_ras_mm, xform_code=_ALIGNED)


def _fields(plan: Plan, polarity: Polarity, search: Search, *, forced: bool) -> dict[str, Any]:
    """Return what was done, for the sidecars."""
    circuit = plan.weights.circuit
    return {
        "Method": search.method.value,
        "Circuit": circuit.name,
        "CircuitSpace": circuit.space,
        "CircuitSHA256": plan.weights.sha256,
        "CircuitCitation": circuit.citation,
        "PolarityNegativeAnchor": round(polarity.negative_anchor, 6),
        "PolarityPositiveAnchor": round(polarity.positive_anchor, 6),
        "PolarityAsExpected": polarity.is_right,
        "PolarityForced": forced,
        "SearchMask": plan.mask.name,
        "SearchMaskSpace": plan.mask.space,
        "TopFraction": search.top_fraction,
        "ExclusionMM": plan.exclusion_mm,
        "MaxDepthMM": plan.max_depth_mm,
        "GreyMatterThreshold": GREY,
        "FineGridMM": FINE_MM,
    }


def _map_fields(t1w: Path) -> dict[str, Any]:
    return {
        "Description": "Correlation with the circuit's time course in the search mask; 0 where nothing was scored",
        "SpatialReference": t1w,
        "Units": "1",
    }
