"""What a curious technician could measure of a package beside the place, and a classifier that tries to tell the arms."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tmsprep.files import read_tsv
from tmsprep.spaces import Array

NUMBER = re.compile(r"[+-]?\d+\.\d+")


def site_in(package: Path) -> tuple[Array, Array]:
    """Read a package's navigator file with a reader of its own: place on the scalp and rotation, SimNIBS's axes."""
    [path] = package.glob("*brainsight.txt")
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    numbers = np.array([float(word) for word in rows[0][1:]])
    return numbers[:3], numbers[3:].reshape(3, 3).T @ np.diag([-1.0, 1.0, -1.0])


def package_fingerprint(package: Path, entry_too: bool = True) -> list[float]:
    """Return sizes, dates, counts and digits of a package's files, and fractions of its numbers."""
    values: list[float] = []
    for path in sorted(package.iterdir()):
        content = path.read_bytes()
        stat = path.stat()
        text = content.decode("latin-1")
        values += [stat.st_size, stat.st_mtime, stat.st_mode, len(content.rstrip()) // 4096, text.count("\n") % 1000]
        decimals = [len(word.partition(".")[2]) for word in NUMBER.findall(text)]
        values += [float(np.sum(decimals)), float(np.max(decimals, initial=0)), float(len(decimals))]
    entry, rotation = site_in(package)
    values += [float(value) for value in np.abs(entry - np.round(entry))]  # the lattice of voxels and vertices
    values += [float(value % 0.01) for value in np.abs(np.round(rotation, 6)).ravel()] if entry_too else []
    return values


def markers_fingerprint(participant: Path, target_id: str) -> list[float]:
    """Return what tells in the row of a markers table behind a package: a score, fractions of places and depths."""
    [table] = participant.rglob("*_markers.tsv")
    row = read_tsv(table).set_index("target_id").loc[target_id]
    places = [float(row[f"entry_{axis}"]) % 1 for axis in "xyz"]
    return [float(np.isfinite(float(row["score"]))), *places, float(row["coil_cortex_depth_mm"]) % 1]


def telling(data: NDArray[np.float64], arms: NDArray[np.str_], permutations: int = 24) -> tuple[float, float]:
    """Return a random forest's cross-validated balanced accuracy, and how likely so much is by chance."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, permutation_test_score

    smallest = min(int((arms == arm).sum()) for arm in set(arms.tolist()))
    folds = StratifiedKFold(min(5, smallest), shuffle=True, random_state=1)
    forest = RandomForestClassifier(n_estimators=15, random_state=1)
    score, _, p = permutation_test_score(
        forest, data, arms, cv=folds, n_permutations=permutations, random_state=1, scoring="balanced_accuracy"
    )
    return float(score), float(p)
