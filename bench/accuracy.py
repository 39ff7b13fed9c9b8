"""How far targets are from the truth, and whether their stated uncertainty holds: simulated people with a known hot spot.

Real heads (Colin27, ixi012, S1, bids_real sub-01 in turn), each person with a hot spot drawn anew. From native echoes as
preprocessing hands them over, through the stages `tedana` and `denoise` and the target's own code: the best single echo, the
optimal combination and tedana; the methods timecourse, similarity, seed and parcel; scans of 6 to 41 minutes, the short ones
being the beginning of the long one. Results are kept in a folder and a run goes on where it ended. Heads are prepared by the
builtin engine once. With `--whole 3` three people go from raw images through the whole
workflow too (12 min, builtin engine).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from _accuracy_scan import CIRCUIT, MASK, USUAL, WEAK, Difficulty, Scan, scan, write_scan
from _accuracy_whole import MINUTES as WHOLE_MINUTES
from _accuracy_whole import measure_whole
from _table import Row, at_least, at_most, finish, note, option_parser
from tmsprep import stages
from tmsprep.errors import ProcessingError
from tmsprep.files import read_json, write_json
from tmsprep.options import Method
from tmsprep.records import Status
from tmsprep.simulate.anatomy import AnatomyFiles
from tmsprep.target.circuits import require_polarity
from tmsprep.target.library import resolve
from tmsprep.target.locate import Search, locate
from tmsprep.target.masks import load_search_mask
from tmsprep.target.nuisance import RunDesign
from tmsprep.target.outcome import summarise
from tmsprep.target.person import Person
from tmsprep.target.quality import Judge, Thresholds, judge_scan, judge_target, read_scan
from tmsprep.target.quality import Scan as ScanQuality
from tmsprep.target.reliability import UNSEEN_MM, Alternatives, Data, assess, cluster_rule
from tmsprep.target.scores import correlate
from tmsprep.target.series import common_mask, grid_of, open_runs, read_series, read_volume
from tmsprep.target.survey import Plan, survey_fine, survey_voxels

Array = NDArray[np.float64]

HEADS = (
    "heads/colin27_T1w.nii.gz",
    "heads/ixi012_T1w.nii.gz",
    "heads/s1/T1w.nii.gz",
    "bids_real/sub-01/anat/sub-01_T1w.nii.gz",
)
MINUTES = (6, 12, 24, 41)
SERIES = ("echo-2", "optcom", "tedana")
METHODS = (Method.TIMECOURSE, Method.SIMILARITY, Method.SEED, Method.PARCEL)
SEED = 11
_BOOTSTRAPS = 2000
_NULLS = 100


@dataclass(frozen=True)
class Setting:
    """What is simulated."""

    people: int
    minutes: tuple[int, ...]
    voxel_mm: float
    difficulty: Difficulty
    data: Path
    results: Path

    @property
    def folder(self) -> Path:
        """Where results of this kind are kept."""
        return self.results / f"{self.difficulty.name}_voxel-{self.voxel_mm:g}mm"


def main(words: Sequence[str]) -> int:
    """Run the benchmark; return 1 if a goal was missed."""
    parser = option_parser(__doc__, quick="one person, 6 minutes, 4 mm voxels, in a scratch folder")
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--minutes", type=int, nargs="+", default=list(MINUTES))
    parser.add_argument("--weak", action="store_true", help="the circuit weaker than what competes with it, and more noise")
    parser.add_argument("--whole", type=int, default=3, help="how many people go through the whole workflow")
    parser.add_argument("--voxel-mm", type=float, default=3.0)
    parser.add_argument("--results", type=Path, default=Path("bench/results/accuracy"))
    options = parser.parse_args(words)
    if not all((options.data / head).exists() for head in HEADS):
        print(f"skipped: the heads are not in {options.data}")
        return finish([], options.json)
    with tempfile.TemporaryDirectory() as scratch:
        setting = Setting(
            options.people,
            tuple(options.minutes),
            options.voxel_mm,
            WEAK if options.weak else USUAL,
            options.data,
            options.results,
        )
        if options.quick:
            setting = Setting(1, (6,), 4.0, setting.difficulty, options.data, Path(scratch) / "results")
        for index in range(setting.people):
            measure_person(index, setting, Path(scratch) / "work")
        rows = report(setting, whole=not options.quick)
        return finish([*rows, *whole_rows(setting, 0 if options.quick else options.whole)], options.json)


# One person


def measure_person(index: int, setting: Setting, work: Path) -> None:
    """Measure all that is not yet in the results."""
    todo = [minutes for minutes in setting.minutes if not _result_of(setting, index, minutes).exists()]
    if not todo:
        return
    head = setting.data / HEADS[index % len(HEADS)]
    anatomy = _anatomy(head, setting.results / "heads")
    longest = max(setting.minutes)
    scanned = scan(f"{index:02d}", anatomy, setting.difficulty, minutes=longest, voxel_mm=setting.voxel_mm, seed=SEED)
    for minutes in todo:
        print(f"person {index}, {minutes} min ...", file=sys.stderr, flush=True)
        shutil.rmtree(work, ignore_errors=True)
        measured = _measure(scanned, anatomy, work, minutes)
        path = _result_of(setting, index, minutes)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"Seed": SEED, "Head": HEADS[index % len(HEADS)], "VoxelMM": setting.voxel_mm, **measured})
    shutil.rmtree(work, ignore_errors=True)


def _result_of(setting: Setting, index: int, minutes: int) -> Path:
    return setting.folder / f"person-{index:02d}_{minutes:02d}min.json"


def _anatomy(t1w: Path, folder: Path) -> AnatomyFiles:
    """Prepare a head by the builtin engine, once."""
    own = folder / t1w.parent.name / t1w.name.partition(".")[0]
    names = {key: own / f"{key}.nii.gz" for key in ("t1w", "gm", "wm", "csf")}
    if not (own / "mni_to_t1w.h5").exists():
        AnatomyFiles.of(t1w, gm=None, wm=None, csf=None, t1w_to_mni=None, scratch=own, seed=SEED)
    return AnatomyFiles(**names, t1w_to_mni=own / "t1w_to_mni.h5")


def _measure(scanned: Scan, anatomy: AnatomyFiles, work: Path, minutes: int) -> dict[str, Any]:
    inputs = write_scan(scanned, work, minutes)
    write_json(work / "dataset_description.json", {"Name": "scratch"})  # stages write sidecars in datasets only
    made = {name: work / f"{name}.nii.gz" for name in ("denoised", "optcom", "t2star", "s0", "adaptive_mask")}
    made |= {"mixing": work / "mixing.tsv", "metrics": work / "metrics.tsv", "summary": work / "tedana.json"}
    _run_tedana(inputs | {f"out_{name}": path for name, path in made.items()})
    sources = {"echo-2": work / "echo-2_bold.nii", "optcom": made["optcom"], "tedana": made["denoised"]}
    return {name: _of_series(scanned, anatomy, work, sources[name]) for name in SERIES}


def _run_tedana(arguments: Mapping[str, list[Path] | Path]) -> None:
    """Run the stage in a process of its own: tedana tells every step, and the log is wanted only where it fails."""
    words = [sys.executable, "-m", "tmsprep", "stage", "tedana", "--seed", str(SEED)]
    for name, value in arguments.items():
        words += ["--" + name.replace("_", "-"), *map(str, value if isinstance(value, list) else [value])]
    result = subprocess.run(words, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        raise ProcessingError(f"tedana failed: {result.stdout[-2000:]}")


def _of_series(scanned: Scan, anatomy: AnatomyFiles, work: Path, bold: Path) -> dict[str, Any]:
    """Denoise one series and find its target by every method."""
    folder = anatomy.t1w_to_mni.parent
    out = {name: work / f"out_{name}.nii.gz" for name in ("t1w_bold", "t1w_mask", "global_beta")}
    out |= {"regressors": work / "out_regressors.tsv", "summary": work / "out_summary.json"}
    stages.run(
        "denoise",
        {
            "bold": bold,
            "mask": work / "mask.nii.gz",
            "confounds": work / "confounds.tsv",
            "boldref_to_t1w": work / "boldref_to_t1w.txt",
            "t1w_to_mni": anatomy.t1w_to_mni,
            "t1w": anatomy.t1w,
            "t1w_mask": folder / "brain_mask.nii.gz",
        }
        | {f"out_{name}": path for name, path in out.items()},
    )
    person = Person.load(anatomy.gm, folder / "mni_to_t1w.h5", anatomy.t1w_to_mni, None)
    return _targets(scanned, person, out)


def _targets(scanned: Scan, person: Person, out: dict[str, Path]) -> dict[str, Any]:
    """Return each method's error, and the reliability of the default one."""
    weights = resolve(CIRCUIT, None, "MNI152NLin6Asym")
    require_polarity(weights, force=False)
    plan = Plan(weights, load_search_mask(MASK), 10.0, None)
    runs = open_runs([out["t1w_bold"]], [out["t1w_mask"]], [out["regressors"]])
    voxels = survey_voxels(grid_of(runs), common_mask(runs), person, plan)
    series = read_series(runs, voxels.where)
    search = Search(Method.TIMECOURSE, voxels, survey_fine(person, plan), voxels.problem(series.has_signal, 10.0), 0.1)
    truth = np.asarray(scanned.person.hot_spot.target_ras_mm)
    errors: dict[str, float | None] = {}
    for method in METHODS:
        try:
            clusters = locate(series.z, replace(search, method=method)).clusters
        except ProcessingError:
            clusters = ()
        errors[method.value] = float(np.linalg.norm(clusters[0].position_ras_mm - truth)) if clusters else None
    found = locate(series.z, search)
    scan_summary = read_scan([out["summary"]], [runs[0].kept.size])
    beta = read_volume(out["global_beta"], voxels.where)[np.newaxis] * series.has_signal / series.deviations
    designs = (RunDesign.load(out["regressors"], out["regressors"].with_suffix(".json")),)
    sure = assess(Data(series.z, designs, 2.0), search, found, Alternatives(_BOOTSTRAPS, SEED, beta))
    outcome = summarise(found, person, plan.mask, sure.measures)
    return {
        "Error_mm": errors,
        "Measures": outcome.measures,
        "Scan": asdict(scan_summary),
        "TargetMNI": list(outcome.candidates[0].target_mni_mm),
        "NullError_mm": _null_errors(series.z, search, found.scores.course, truth),
        "ChanceError_mm": _chance_error(search, truth),
    }


def _null_errors(
    z: NDArray[np.float32], search: Search, course: NDArray[np.float64], truth: NDArray[np.float64]
) -> list[float]:
    """Return how far from the truth the targets of circularly shifted circuit courses lie."""
    total = len(course)
    shifts = np.random.default_rng(SEED).integers(total // 10, total - total // 10, size=_NULLS)
    columns = np.flatnonzero(search.problem.search)
    scores = np.stack([correlate(z, columns, np.roll(course, shift)) for shift in shifts])
    places = cluster_rule(search).sites(scores).positions_ras_mm
    distances = np.linalg.norm(places[np.isfinite(places[:, 0])] - truth, axis=1)
    return [round(float(item), 3) for item in distances]


def _chance_error(search: Search, truth: Array) -> float:
    """Return the median distance from the truth to a random place where a target may be."""
    points = search.fine.points_ras_mm[search.fine.in_mask & search.fine.reachable]
    return round(float(np.median(np.linalg.norm(points - truth, axis=1))), 3)


# Through the whole workflow


def whole_rows(setting: Setting, people: int) -> list[Row]:
    """Return the errors of people who went through the whole workflow, each on another head."""
    errors: list[float] = []
    for index in range(people):
        print(f"person {index}, whole workflow ...", file=sys.stderr, flush=True)
        head = setting.data / HEADS[index % len(HEADS)]
        made = partial(_anatomy, head, setting.results / "heads")
        measured = measure_whole(f"{index:02d}", made, setting.results / "whole", SEED)
        errors.append(float("nan") if measured["Error_mm"] is None else measured["Error_mm"])
    words = f"{WHOLE_MINUTES} min, whole workflow"
    each = [note(f"{words}, person {index}: error", error, "mm") for index, error in enumerate(errors)]
    return [*each, at_most(f"{words}: median error", float(np.median(errors)), 3.0, "mm")] if errors else []


# All of them


def report(setting: Setting, *, whole: bool) -> list[Row]:
    """Return the table."""
    rows = [note("seed", str(SEED)), note("people", str(setting.people)), note("voxel", setting.voxel_mm, "mm")]
    rows.append(note("circuit", setting.difficulty.name))
    everyone: list[dict[str, Any]] = []
    all_series: list[dict[str, Any]] = []
    for minutes in setting.minutes:
        results = [read_json(_result_of(setting, index, minutes)) for index in range(setting.people)]
        everyone += [result["tedana"] for result in results]
        all_series += [result[name] for result in results for name in SERIES]
        for name in SERIES:
            goal = goal_of(minutes, name, whole and setting.difficulty is USUAL)
            rows += _error_rows(f"{minutes} min, {name}", [result[name] for result in results], goal)
        tedana = [result["tedana"] for result in results]
        usual = whole and setting.difficulty is USUAL
        rows += _stable_rows(f"{minutes} min, tedana", tedana, goals=usual and minutes == 41)
        rows += _verdict_rows(f"{minutes} min, tedana", tedana)
        rows += _gain_rows(f"{minutes} min", results, goals=whole)
    rows += [*_calibration_rows("tedana", everyone, goals=False), *_calibration_rows("all series", all_series, goals=whole)]
    return [*rows, *_null_rows(everyone, goals=whole)]


def goal_of(minutes: int, name: str, goals: bool) -> float | None:
    """Return the goal for the median error of the default method."""
    return 3.0 if goals and minutes == 12 and name == "tedana" else None


def _errors(results: Sequence[dict[str, Any]], name: str) -> Array:
    return np.array([result[name]["Error_mm"]["timecourse"] for result in results], dtype=float)


def _error_rows(name: str, results: Sequence[dict[str, Any]], goal: float | None) -> Iterator[Row]:
    for method in METHODS:
        errors = [result["Error_mm"][method.value] for result in results]
        known = [error for error in errors if error is not None]
        words = f"{name}, {method.value}"
        if not known:
            yield note(f"{words}: no target", str(len(errors)))
            continue
        low, high = _interval(known)
        yield at_most(f"{words}: median error", float(np.median(known)), goal if method is Method.TIMECOURSE else None, "mm")
        yield note(f"{words}: 95 % interval of the median", f"{low:.1f}-{high:.1f}", "mm")
        yield note(f"{words}: largest error", max(known), "mm")
        if len(known) < len(errors):
            yield note(f"{words}: without a target", str(len(errors) - len(known)))


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the bootstrap interval of the median over people."""
    rng = np.random.default_rng(SEED)
    medians = np.median(rng.choice(values, size=(2000, len(values))), axis=1)
    return float(np.quantile(medians, 0.025)), float(np.quantile(medians, 0.975))


def _stable_rows(name: str, results: Sequence[dict[str, Any]], *, goals: bool) -> Iterator[Row]:
    """Return how far targets move within a person, and how far people are apart."""
    measures = [result["Measures"] for result in results]
    halves = [item["split_half_mm"] for item in measures if "split_half_mm" in item]
    within = float(np.median(halves)) if halves else float("nan")
    yield at_most(f"{name}: median split-half", within, 4.47 if goals else None, "mm")
    blocks = [item["odd_even_mm"] for item in measures if "odd_even_mm" in item]
    if blocks:
        yield note(f"{name}: median odd-even", float(np.median(blocks)), "mm")
    places = np.array([result["TargetMNI"] for result in results])
    if len(places) > 1:
        between = float(np.median([np.linalg.norm(one - two) for one, two in combinations(places, 2)]))
        yield note(f"{name}: median between people", between, "mm")
        yield at_least(f"{name}: between over within", between / max(within, 0.1), 2.9 if goals else None, "x")


def _verdict_rows(name: str, results: Sequence[dict[str, Any]]) -> Iterator[Row]:
    """Return how often the program would say what, and how wrong it is then."""
    by_status: dict[Status, list[float]] = {status: [] for status in Status}
    for result in results:
        by_status[_status(result)].append(result["Error_mm"]["timecourse"])
    for status, errors in by_status.items():
        worst = f", largest error {max(errors):.1f} mm" if errors else ""
        yield note(f"{name}: status {status.value}", f"{len(errors)}{worst}")


def _status(result: dict[str, Any]) -> Status:
    judge, limits = Judge(), Thresholds()
    judge_scan(judge, ScanQuality(**result["Scan"]), limits)
    judge_target(judge, result["Measures"], limits)
    return judge.verdict.status


def _gain_rows(name: str, results: Sequence[dict[str, Any]], *, goals: bool) -> Iterator[Row]:
    """Return what tedana gains over the best single echo, person by person."""
    single, best = _errors(results, "echo-2"), _errors(results, "tedana")
    goal = np.finfo(float).tiny if goals else None  # strictly better
    yield at_least(f"{name}: tedana's gain over the single echo, mean error", float((single - best).mean()), goal, "mm")
    yield note(
        f"{name}: tedana nearer / equal / farther",
        f"{(best < single).sum()}/{(best == single).sum()}/{(best > single).sum()}",
    )
    peaks = [np.array([result[series]["Measures"]["peak_score"] for result in results]) for series in ("echo-2", "tedana")]
    yield note(f"{name}: tedana's gain in the highest score, mean", float((peaks[1] - peaks[0]).mean()))


def _calibration_rows(name: str, results: Sequence[dict[str, Any]], *, goals: bool) -> Iterator[Row]:
    """Return how often the truth lies within the radius that is stated."""
    raw = np.array([result["Measures"]["bootstrap_radius_mm"] for result in results])
    errors = np.array([result["Error_mm"]["timecourse"] for result in results])
    stated = np.hypot(raw, UNSEEN_MM)
    share = 100 * float(np.mean(errors <= stated))
    low, high = binomtest(int((errors <= stated).sum()), errors.size).proportion_ci(method="wilson")
    yield note(f"{name}: median bootstrap radius", float(np.median(raw)), "mm")
    yield note(f"{name}: median stated 95 % radius", float(np.median(stated)), "mm")
    yield note(f"{name}: truth within the bootstrap radius alone", 100 * float(np.mean(errors <= raw)), "%")
    yield at_least(f"{name}: truth within the stated 95 % radius", share, 90.0 if goals else None, "%")
    yield note(f"{name}: truth within the stated 95 % radius: 95 % interval", f"{100 * low:.0f}-{100 * high:.0f}", "%")


def _null_rows(results: Sequence[dict[str, Any]], *, goals: bool) -> Iterator[Row]:
    """Return where the targets of shifted circuit courses lie, beside random places of the mask."""
    found = np.array([np.median(result["NullError_mm"]) for result in results])
    chance = np.array([result["ChanceError_mm"] for result in results])
    yield note("shifted circuit: median distance to the truth", float(np.median(found)), "mm")
    yield note("random places of the mask: median distance to the truth", float(np.median(chance)), "mm")
    yield at_least("shifted circuit over random places", float(np.mean(found / chance)), 0.8 if goals else None, "x")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
