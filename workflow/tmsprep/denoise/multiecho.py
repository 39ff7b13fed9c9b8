"""Stage ``tedana``: TE-dependent denoising of one multi-echo run, with a written fallback ladder.

tedana (DuPre et al. 2021, doi:10.21105/joss.03669) is run unchanged; this module checks what goes in, and says in the
summary which rung of the ladder the result stands on.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tmsprep.denoise import ladder, tedana_call
from tmsprep.denoise.ladder import Descent
from tmsprep.denoise.multiecho_input import MultiEchoRun, check_run
from tmsprep.denoise.multiecho_summary import summarise
from tmsprep.denoise.tedana_call import IcaSettings
from tmsprep.files import load_nifti, read_data, save_nifti, write_json, write_tsv
from tmsprep.spaces import Grid
from tmsprep.stages import InFile, MaybeOutFile, OutFile, SidecarFields

_SEEDS = 5
_METRICS_HEADER = ("Component", "kappa", "rho", "variance explained", "classification", "classification_tags")
"""Of the table that has no row, because no component exists."""


def denoise_multiecho(
    *,
    echo: list[InFile],
    echo_sidecar: list[InFile],
    mask: InFile,
    confounds: InFile,
    out_denoised: OutFile,
    out_optcom: OutFile,
    out_mixing: OutFile,
    out_metrics: OutFile,
    out_t2star: OutFile,
    out_s0: OutFile,
    out_adaptive_mask: OutFile,
    out_summary: OutFile,
    out_decision_tree: MaybeOutFile | None = None,
    out_status_table: MaybeOutFile | None = None,
    out_report: MaybeOutFile | None = None,
    seed: int = 42,
    ladder_rungs: list[str] | None = None,
    maximum_iterations: int = 500,
    robust_runs: int = 30,
) -> SidecarFields:
    """Denoise a multi-echo run with tedana.

    Parameters
    ----------
    echo
        Preprocessed echoes on the native BOLD grid, ascending echo time.
    echo_sidecar
        Their JSON files (EchoTime and RepetitionTime in s), same order.
    mask
        Brain mask on the same grid.
    confounds
        fMRIPrep's confounds: volumes flagged ``non_steady_state_outlierXX`` are left out.
    out_denoised
        The denoised series, without those volumes; on the last rung the same as `out_optcom`.
    out_optcom
        The echoes optimally combined, without those volumes.
    out_mixing
        Component time courses, a row a volume of `out_denoised`.
    out_metrics
        tedana's table of components.
    out_t2star
        T2* in s.
    out_s0
        S0 in the units of the series.
    out_adaptive_mask
        How many echoes are good in each voxel.
    out_summary
        JSON: the rung used, every rung tried, counts, warnings.
    out_decision_tree, out_status_table, out_report
        tedana's own account of how it classified the components, and its text for a paper; none on the last rung.
    seed
        Of the first ICA; four more follow where it does not converge.
    ladder_rungs
        Rungs in order: fastica, robustica, minimal-tree, mdl, optimal-combination; all if not given.
    maximum_iterations
        Of each ICA.
    robust_runs
        How many FastICA runs robustica compares.

    Raises
    ------
    InputError, ContractError
        Fewer than three echoes, or files that do not fit together.
    """
    rungs = ladder.parse(ladder_rungs)
    run = check_run(echo, echo_sidecar, mask, confounds)
    start = IcaSettings("fastica", "tedana_orig", "aic", seed, _SEEDS, maximum_iterations, robust_runs)
    with tempfile.TemporaryDirectory(prefix=f"{out_denoised.name}-", dir=out_denoised.parent) as folder:
        descent = ladder.descend(run.data, rungs, start, Path(folder))
        _save_series(descent, run, out_denoised, out_optcom)
        _save_maps(descent, run, out_t2star, out_s0, out_adaptive_mask)
        accounts = {"decision_tree": out_decision_tree, "status_table": out_status_table, "report": out_report}
        tedana_call.save_accounts(descent.folder, accounts)
        own_record = tedana_call.own_record(descent.folder)
    _save_components(descent, out_mixing, out_metrics)
    write_json(out_summary, summarise(descent, run, out_adaptive_mask, mask))
    series = _series_fields(descent, run)
    maps = {"SkullStripped": True}
    return {
        "record": {"OwnRecord": own_record},
        "out_denoised": series,
        "out_optcom": series | {"Description": "Echoes combined with voxelwise T2* weights; not denoised"},
        "out_t2star": maps | {"Units": "s"},
        "out_s0": maps,
        "out_adaptive_mask": maps | {"Description": "Number of echoes with good signal"},
    }


def _save_series(descent: Descent, run: MultiEchoRun, out_denoised: Path, out_optcom: Path) -> None:
    combined = descent.folder / tedana_call.COMBINED
    denoised = combined if descent.decomposition is None else descent.folder / tedana_call.DENOISED
    for source, target in ((denoised, out_denoised), (combined, out_optcom)):
        image = load_nifti(source)
        save_nifti(
            target,
            read_data(image),
            Grid.of(image).affine_ras_mm,
            xform_code=run.xform_code,
            repetition_time_s=run.repetition_time_s,
        )


def _save_maps(descent: Descent, run: MultiEchoRun, out_t2star: Path, out_s0: Path, out_adaptive_mask: Path) -> None:
    names = ((tedana_call.T2STAR, out_t2star), (tedana_call.S0, out_s0), (tedana_call.ADAPTIVE_MASK, out_adaptive_mask))
    for name, target in names:
        image = load_nifti(descent.folder / name)
        values = read_data(image)
        counts = target is out_adaptive_mask
        save_nifti(
            target,
            values.astype(np.uint8) if counts else values,
            Grid.of(image).affine_ras_mm,
            xform_code=run.xform_code,
        )


def _save_components(descent: Descent, out_mixing: Path, out_metrics: Path) -> None:
    found = descent.decomposition
    if found is None:  # a header alone: there are no components
        write_tsv(out_mixing, pd.DataFrame(columns=pd.Index(["no_components"])))
        write_tsv(out_metrics, pd.DataFrame(columns=pd.Index(_METRICS_HEADER)))
        return
    write_tsv(out_mixing, found.mixing)
    write_tsv(out_metrics, found.metrics)


def _series_fields(descent: Descent, run: MultiEchoRun) -> dict[str, Any]:
    return {
        "RepetitionTime": run.repetition_time_s,
        "EchoTime": list(run.data.echo_times_s),
        "DummyScansRemoved": run.data.dummy_scans,
        "NumberOfVolumesDiscardedByUser": run.data.dummy_scans,
        "SkullStripped": True,
        "MultiEchoRung": descent.rung.value,
        "TedanaVersion": tedana_call.version(),
    }
