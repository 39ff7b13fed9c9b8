"""Check what ``make example`` left: targets near the truth, outputs valid, sides right."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd

GOAL_MM = 4.0
LANDMARKS = ["NAS", "LPA", "RPA"]
"""Of Colin27's real head (sub-02); the inion has a goal of its own (bench/scalp.py)."""


def main(output: Path, dataset: Path) -> None:
    """Print what is found; end with a non-zero status where a check fails."""
    targets = pd.read_csv(output / "tmsprep" / "group_targets.tsv", sep="\t").set_index("participant_id")
    truth = pd.read_csv(dataset / "derivatives" / "truth" / "targets.tsv", sep="\t").set_index("participant_id")
    problems: list[str] = []
    for participant, known in truth.iterrows():
        found = targets.loc[participant]
        axes = ("target_x", "target_y", "target_z")
        error = math.dist([found[axis] for axis in axes], [known[axis] for axis in axes])
        print(f"{participant}: {error:.2f} mm from the truth")
        if not error <= GOAL_MM:
            problems.append(f"{participant}: {error:.2f} mm from the truth, more than {GOAL_MM}")
        if not (output / "tmsprep" / f"{participant}.html").is_file():
            problems.append(f"{participant}: no page")
    problems += misplaced_landmarks(output, dataset)
    problems += invalid(dataset)
    for folder in ("tmsprep-builtin", "tedana", "tmsprep"):
        problems += invalid(output / folder)
    if problems:
        sys.exit("\n".join(problems))
    print("example: all checks passed")


def misplaced_landmarks(output: Path, dataset: Path) -> list[str]:
    """Compare automatic fiducials with published ones, root mean square."""
    found, truth = (
        pd.read_csv(path, sep="\t").set_index("name").loc[LANDMARKS, ["x", "y", "z"]]
        for path in (
            output / "tmsprep" / "sub-02" / "nibs" / "sub-02_fiducials.tsv",
            dataset / "derivatives" / "truth" / "sub-02" / "anat" / "sub-02_desc-truth_fiducials.tsv",
        )
    )
    error = math.sqrt(((found - truth) ** 2).sum(axis=1).mean())
    print(f"sub-02: nasion and ears {error:.2f} mm (RMS) from the published positions")
    return [] if error <= GOAL_MM else [f"sub-02: nasion and ears {error:.2f} mm off, more than {GOAL_MM}"]


def invalid(dataset: Path) -> list[str]:
    """Return the BIDS validator's errors of a dataset."""
    command = [str(Path(sys.executable).with_name("bids-validator-deno")), "--json", "--ignoreWarnings", str(dataset)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    issues = json.loads(result.stdout)["issues"]["issues"]
    errors = [f"{dataset.name}: {item['code']} {item.get('location', '')}" for item in issues if item["severity"] == "error"]
    print(f"{dataset.name}: {len(errors)} error(s) by the BIDS validator")
    return errors


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
