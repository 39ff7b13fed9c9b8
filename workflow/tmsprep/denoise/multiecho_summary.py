"""What the tedana stage tells those who come later: the rung that held, the counts, and what to be wary of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tmsprep.denoise import tedana_call
from tmsprep.denoise.ladder import Attempt, Descent, Rung
from tmsprep.denoise.multiecho_input import FEWEST_ECHOES, MultiEchoRun
from tmsprep.files import load_nifti, read_data

_COMPONENT_SHARE = (1 / 5, 1 / 2)
"""Of the volumes; a number of components outside is suspicious (tedana's FAQ)."""
_LOW_QUALITY = 0.6
"""Mean index quality below which tedana warns about robustica."""


def summarise(descent: Descent, run: MultiEchoRun, adaptive_mask: Path, mask: Path) -> dict[str, Any]:
    """Return the summary of a run; the two masks tell in how many voxels how many echoes are good."""
    found = descent.decomposition
    good = read_data(load_nifti(adaptive_mask))[read_data(load_nifti(mask)) > 0.5]
    return {
        "Rung": descent.rung.value,
        "Denoised": found is not None,
        "Seed": found.seed if found else None,
        "Converged": found.converged if found else None,
        "Components": found.components if found else 0,
        "Accepted": found.accepted if found else 0,
        "Rejected": found.components - found.accepted if found else 0,
        "LikelyBOLD": found.likely_bold if found else 0,
        "VarianceExplainedAccepted_percent": _accepted_variance_percent(descent),
        "Volumes": run.steady_volumes,
        "DummyScansRemoved": run.data.dummy_scans,
        "EchoTimes_s": list(run.data.echo_times_s),
        "RepetitionTime_s": run.repetition_time_s,
        "VoxelsInMask": good.size,
        "VoxelsWithThreeGoodEchoes": int((good >= FEWEST_ECHOES).sum()),
        "VoxelsWithoutGoodEcho": int((good == 0).sum()),
        "Ladder": [_attempt_fields(attempt) for attempt in descent.attempts],
        "Warnings": _warnings(descent, run),
        "TedanaVersion": tedana_call.version(),
    }


def _accepted_variance_percent(descent: Descent) -> float | None:
    if descent.decomposition is None:
        return None
    table = descent.decomposition.metrics
    return round(float(table.loc[table["classification"] == "accepted", "variance explained"].sum()), 3)


def _attempt_fields(attempt: Attempt) -> dict[str, Any]:
    return {
        "Rung": attempt.rung.value,
        "Outcome": attempt.outcome.value,
        "Detail": attempt.detail,
        "Seeds": [item.seed for item in attempt.tries],
        "Converged": [item.converged for item in attempt.tries],
        "Iterations": [item.iterations for item in attempt.tries],
        "Components": attempt.components,
        "LikelyBOLD": attempt.likely_bold,
        "Accepted": attempt.accepted,
    }


def _warnings(descent: Descent, run: MultiEchoRun) -> list[str]:
    return [*_descent_warnings(descent), *_component_warnings(descent, run.steady_volumes)]


def _descent_warnings(descent: Descent) -> list[str]:
    left = [f"{item.rung.value} ({item.outcome.value})" for item in descent.attempts[:-1]]
    found: list[str] = []
    if descent.rung is Rung.COMBINATION:
        found.append("The echoes were combined but NOT denoised: no decomposition could be used")
    if left:
        found.append(f"The ladder ended at {descent.rung.value} after {', '.join(left)}")
    failed = [item.seed for item in descent.attempts[-1].tries if not item.converged]
    if failed:
        found.append(f"ICA did not converge with seed(s) {', '.join(map(str, failed))}")
    return found


def _component_warnings(descent: Descent, volumes: int) -> list[str]:
    found = descent.decomposition
    if found is None:
        return []
    warnings: list[str] = []
    low, high = (share * volumes for share in _COMPONENT_SHARE)
    if not low <= found.components <= high:
        word = "few" if found.components < low else "many"
        warnings.append(
            f"Suspiciously {word} components: {found.components} for {volumes} volumes (expected {low:.0f} to {high:.0f})"
        )
    if found.accepted == found.components:
        warnings.append("No component was rejected")
    quality = found.cross_metrics.get("robustica_mean_index_quality")
    if quality is not None and float(quality) < _LOW_QUALITY:
        warnings.append(f"robustica's mean index quality is {float(quality):.2f} (below {_LOW_QUALITY})")
    return warnings
