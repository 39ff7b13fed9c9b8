"""From raw images to the target: simulated people through the whole workflow, builtin engine, as a user would run it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tmsprep.errors import ProcessingError
from tmsprep.files import read_json, read_tsv, write_json
from tmsprep.simulate.anatomy import AnatomyFiles

MINUTES = 12


def measure_whole(label: str, prepare: Callable[[], AnatomyFiles], folder: Path, seed: int) -> dict[str, Any]:
    """Simulate a participant on a head, run the workflow and return the error; what was measured before is not run again."""
    kept = folder / f"sub-{label}.json"
    if kept.exists():
        return read_json(kept)
    anatomy = prepare()
    raw, out = folder / f"raw-{label}", folder / f"out-{label}"
    given = ["--t1w", anatomy.t1w, "--gm", anatomy.gm, "--wm", anatomy.wm, "--csf", anatomy.csf]
    given += ["--t1w-to-mni", anatomy.t1w_to_mni]
    _run("simulate", *given, "--out", raw, "--participant-label", label, "--minutes", MINUTES, "--seed", seed)
    _run(raw, out, "participant", "--preproc", "builtin", "--circuit", "example", "--nprocs", 2)
    result = read_json(next((out / "tmsprep").rglob("*_desc-circuit_target.json")))
    truth = read_tsv(raw / "derivatives" / "truth" / "targets.tsv").iloc[0]
    place = np.array([truth[f"target_{axis}"] for axis in "xyz"], dtype=float)
    found = result["candidates"][0]["target_ras_mm"] if result["candidates"] else None
    error = None if found is None else float(np.linalg.norm(np.array(found) - place))
    measured = {"Error_mm": error, "Status": result["status"], "Reasons": result["reasons"], "Measures": result["measures"]}
    write_json(kept, measured)
    return measured


def _run(*words: object) -> None:
    command = [sys.executable, "-m", "tmsprep", *map(str, words)]
    result = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        raise ProcessingError(f"{' '.join(command)} failed: {result.stdout[-2000:]}")
