"""From facts to HTML: the template environment, and how numbers and words are put.

Everything that a template prints is escaped; only what this package makes itself (SVG, data URIs, the style sheet) is
marked as safe, and none of it contains strings from files.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from tmsprep import DISCLAIMER
from tmsprep.records import Point, Status
from tmsprep.report.facts import Pair

MISSING = "not available"

LABELS: dict[str, str] = {
    "CleanMinutes": "Minutes of clean data",
    "MeanFD_mm": "Mean head movement, FD (mm)",
    "MeanFD": "Mean head movement, FD (mm)",
    "MaxFD_mm": "Largest head movement, FD (mm)",
    "KeptVolumes": "Volumes kept",
    "TotalVolumes": "Volumes recorded",
    "CensoredVolumes": "Volumes left out",
    "RepetitionTime": "Time between volumes (s)",
    "Regressors": "Regressors (dimensions of the fit)",
    "BandRegressors": "Regressors for slow and fast changes",
    "DegreesOfFreedomLeft": "Volumes kept minus regressors",
    "VoxelsWithSignal": "Voxels with signal",
    "CoverageBrain_T1w": "Part of the brain mask with signal",
    "CoverageBrain_MNI152NLin2009cAsym": "Part of the standard brain mask with signal",
    "TSNRMedianBrain": "tSNR, median over the brain",
    "FDThreshold_mm": "FD above which a volume is left out (mm)",
    "split_half_mm": "Distance between the targets of the two halves of the data (mm)",
    "odd_even_mm": "Distance between the targets of odd and even five-minute blocks (mm)",
    "radius_95_mm": "Radius about the target in which the true place lies with 95 %, by simulation (mm)",
    "bootstrap_radius_mm": "Radius that holds 95 % of the targets of resampled data (mm)",
    "bootstrap_median_mm": "Radius that holds half of the targets of resampled data (mm)",
    "without_one_run_mm": "Largest shift of the target when one run is left out (mm)",
    "to_timecourse_mm": "To the target of the method 'timecourse' (mm)",
    "to_similarity_linear_mm": "To the target of the method 'similarity-linear' (mm)",
    "to_seed_mm": "To the target of the method 'seed' (mm)",
    "to_parcel_mm": "To the target of the method 'parcel' (mm)",
    "other_global_signal_mm": "To the target with the other choice about the global signal (mm)",
    "chance_score_p": "Share of time-shifted circuit courses that score as high",
    "chance_score_95": "Score that 95 % of time-shifted circuit courses stay below",
    "chance_distance_mm": "Distance of two random places in the search region (mm)",
    "coverage_search_mask": "Part of the search region that has signal",
    "coverage_sgacc": "Part of the sgACC that has signal",
    "coverage_seeds": "Part of the circuit's seed regions that has signal",
    "edge_distance_mm": "Distance from the target to the edge of the search region (mm)",
    "search_voxels": "Voxels that were scored",
    "weight_voxels": "Voxels of the circuit that were used",
    "peak_score": "Highest score of the target's cluster",
    "score_percentile_95": "Score that 95 % of the search region stay below",
    "snapped_mm": "From the cluster's centre to the target on grey matter (mm)",
    "mni_round_trip_mm": "To the standard brain and back, at the target: error (mm)",
    "nlin6_routes_mm": "Between the two ways to MNI152NLin6Asym, at the target (mm)",
    "vertex": "Vertex",
    "beamf3": "Beam F3",
    "f3": "10-20 position F3",
    "Seed": "Seed of the random numbers",
    "Converged": "ICA converged",
    "Components": "Components",
    "EchoTimes_s": "Echo times (s)",
    "RepetitionTime_s": "Time between volumes (s)",
    "DummyScansRemoved": "First volumes left out",
    "Denoised": "Components removed",
    "LikelyBOLD": "Kept as likely blood oxygenation",
    "VarianceExplainedAccepted_percent": "Variance in the kept ones (%)",
    "Volumes": "Volumes",
    "VoxelsInMask": "Voxels in the mask",
    "VoxelsWithThreeGoodEchoes": "Voxels with three good echoes or more",
    "VoxelsWithoutGoodEcho": "Voxels without a good echo",
    "TedanaVersion": "tedana's version",
}
"""Plain words for names that stages write; other names are shown as they stand in the file."""

STATUS_WORDS = {
    Status.OK: "passed its checks",
    Status.CAUTION: "use with caution",
    Status.ABSTAIN: "none given out",
}

PLAN_WORDS = {"process": "used", "exclude": "left out", "error": "could not be used"}


@dataclass(frozen=True)
class Table:
    """A table with a head: cells are texts, to be escaped by the template."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def number(value: Any, decimals: int = 1) -> str:
    """Return a number with a fixed number of decimals; never minus zero."""
    if value is None:
        return MISSING
    text = f"{float(value):.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def point(value: Point | None, decimals: int = 1) -> str:
    """Return a point as ``x, y, z``."""
    return MISSING if value is None else ", ".join(number(item, decimals) for item in value)


def plain(value: Any) -> str:
    """Return any plain JSON value as text: floats with four significant digits, truth as yes or no."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def label(name: str) -> str:
    """Return the plain words for a name, or the name."""
    return LABELS.get(name, name)


def comparison_table(heads: Sequence[str], columns: Sequence[Iterable[Pair]]) -> Table:
    """Put the values of several files side by side, one row a name."""
    values = [{pair.name: plain(pair.value) for pair in column} for column in columns]
    names = dict.fromkeys(name for column in values for name in column)
    rows = tuple((label(name), *(column.get(name, MISSING) for column in values)) for name in names)
    return Table(("", *heads), rows)


def script(name: str) -> str:
    """Return one of this package's own scripts, as it stands in the folder of templates."""
    return resources.files("tmsprep.report").joinpath(f"templates/{name}").read_text(encoding="utf-8").strip()


def render(template: str, scripts: Sequence[str] = (), **content: Any) -> str:
    """Fill a template of this package.

    The page allows no script but `scripts`, which it carries itself and names by their checksums.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tmsprep.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(number=number, point=point, plain=plain, label=label)
    words = {"missing": MISSING, "status_words": STATUS_WORDS, "plan_words": PLAN_WORDS, "disclaimer": DISCLAIMER}
    given = {"scripts": tuple(scripts), "script_policy": _policy(scripts)}
    return environment.get_template(template).render(words | given | content)


def _policy(scripts: Sequence[str]) -> str:
    """Return what a Content-Security-Policy says of scripts: these, and no other."""
    if any("</script" in text or "\r" in text for text in scripts):
        raise ValueError("a script that would end early, or read otherwise than its checksum says")
    sums = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in scripts]
    return "; script-src " + " ".join(f"'sha256-{value}'" for value in sums) if sums else ""


def in_script(text: str) -> str:
    """Return JSON so that it may stand in a script element: nothing in it can end the element."""
    return text.replace("<", "\\u003c")
