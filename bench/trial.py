"""A simulated trial through the whole workflow: people at three sites, half in each arm, from scans to packages.

    python bench/trial.py [--json bench/results/trial.json] [--quick] [--folder DIR]

40 participants (--quick: 2, and no classifier) with known true targets: the tests' tiny head, its size varied a few per cent
along each axis, short multi-echo runs, sites that differ in head movement and noise, a few people who move so much that the
program should abstain, or that nothing can be computed. Then what a trial does: `tmsprep BIDS OUT participant group`, an
allocation of those with a result (half of each site to each arm, made here, not by the program), `tmsprep handoff`. A
classifier is asked to tell the arms apart by the packages, and, to show that it could, by the markers tables that the
packages were made of. With --folder the trial is kept there and what is done of it is not done again; without, it takes more
than an hour on two cores.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from _table import Row, at_least, at_most, finish, note, option_parser
from tmsprep.files import read_tsv, write_tsv

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = str(Path(sys.executable).with_name("tmsprep"))
OPTIONS = ("--preproc", "builtin", "--circuit", "example", "--skip-bids-validation", "--bootstrap-draws", "2000")
PEOPLE, QUICK_PEOPLE = 40, 2
FEWEST_PACKAGES = 10
"""Fewer teach a classifier nothing."""
RESTLESS = 10
"""Every so many-th participant moves too much."""


@dataclass(frozen=True)
class Site:
    """One scanner."""

    name: str
    mean_fd_mm: float
    tsnr: float


SITES = (Site("Northtown", 0.08, 130.0), Site("Southport", 0.12, 110.0), Site("Westfield", 0.16, 90.0))
RESTLESS_FD_MM = (0.6, 0.25)
"""In turn: too little is left for the regression; too few minutes are left for a target."""


def main(words: Sequence[str]) -> int:
    """Run the benchmark; return 1 if a goal was missed."""
    parser = option_parser(__doc__, quick=f"{QUICK_PEOPLE} participants instead of {PEOPLE}")
    parser.add_argument("--folder", type=Path, help="keep the trial in this folder, and go on with what is there")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        people = QUICK_PEOPLE if options.quick else PEOPLE
        scan(folder / "bids", people)
        command = [PROGRAM, folder / "bids", folder / "out", "participant", "group", *OPTIONS]
        # exit status 1 where somebody has no result, as some shall
        subprocess.run(command, check=False, capture_output=options.folder is None)
        return finish(list(measure(folder, people)), options.json)


def scan(bids: Path, people: int) -> None:
    """Simulate the people who are not there yet."""
    sys.path.insert(0, str(ROOT))
    from tests.tiny import PROTOCOL, add_participant

    for index in range(people):
        label, site = f"{index + 1:02d}", SITES[index % len(SITES)]
        if (bids / f"sub-{label}" / "func").exists():
            continue
        moves = RESTLESS_FD_MM[index // RESTLESS % 2] if (index + 1) % RESTLESS == 0 else site.mean_fd_mm
        size = np.random.default_rng([7, index]).uniform(0.95, 1.05, 3)
        protocol = replace(PROTOCOL, tsnr=site.tsnr)
        add_participant(bids, label, site=site.name, size=size, protocol=protocol, mean_fd_mm=moves, seed=100 + index)


def allocate(bids: Path, people: Collection[str], path: Path) -> dict[str, str]:
    """Draw the arms of some people: half of each site to each (an odd one by lot)."""
    rng = np.random.default_rng(2026)
    sites: dict[str, list[str]] = {}
    for row in sorted(read_tsv(bids / "participants.tsv").to_dict("records"), key=lambda row: row["participant_id"]):
        if row["participant_id"] in people:
            sites.setdefault(str(row["site"]), []).append(str(row["participant_id"]))
    arms: dict[str, str] = {}
    for own in sites.values():
        drawn = np.array(["circuit", "beamF3"] * ((len(own) + 1) // 2))
        drawn = rng.permutation(rng.permutation(drawn)[: len(own)] if len(own) % 2 else drawn)
        arms |= {name: str(arm) for name, arm in zip(own, drawn, strict=True)}
    write_tsv(path, pd.DataFrame({"participant_id": list(arms), "target_id": list(arms.values())}))
    return arms


@dataclass(frozen=True)
class Person:
    """One row of the group's table."""

    status: str
    truth_mm: float
    split_half_mm: float
    mni_mm: tuple[float, float, float]


def load_people(path: Path) -> dict[str, Person]:
    """Read the group's table."""
    return {
        str(row["participant_id"]): Person(
            str(row["status"]),
            float(row["distance_to_truth_mm"]),
            float(row["split_half_mm"]),
            (float(row["target_mni_x"]), float(row["target_mni_y"]), float(row["target_mni_z"])),
        )
        for row in read_tsv(path).to_dict("records")
    }


def measure(folder: Path, people: int) -> Iterator[Row]:
    """Yield the rows of a finished run."""
    table = load_people(folder / "out" / "tmsprep" / "group_targets.tsv")
    page = (folder / "out" / "tmsprep" / "group.html").read_text(encoding="utf-8")
    told = sum(f">sub-{index + 1:02d}<" in page for index in range(people))
    yield at_least("participants whom the group page names", told, people)
    yield note("  without a result, with the reason", people - len(table))
    for status in ("ok", "caution", "abstain"):
        yield note(f"status {status}", sum(person.status == status for person in table.values()))
    given = [person for person in table.values() if person.status != "abstain"]
    yield note("target to the known truth, median", float(np.median([person.truth_mm for person in given])), "mm")
    yield note("split-half distance, median", float(np.median([person.split_half_mm for person in given])), "mm")
    apart = [math.dist(one.mni_mm, other.mni_mm) for one, other in combinations(given, 2)]
    yield note("between people in MNI152NLin2009cAsym, median", float(np.median(apart)), "mm")
    yield from measure_handoff(folder, table)


def measure_handoff(folder: Path, table: dict[str, Person]) -> Iterator[Row]:
    """Hand off, count, and let a classifier try."""
    from tests.trial.fingerprints import markers_fingerprint, package_fingerprint, telling

    arms = allocate(folder / "bids", table, folder / "allocation.tsv")
    packages, key = folder / "packages", folder / "key.tsv"
    shutil.rmtree(packages, ignore_errors=True)
    key.unlink(missing_ok=True)
    words = ["handoff", folder / "out", "--allocation", folder / "allocation.tsv", "--to", packages, "--key", key]
    subprocess.run([PROGRAM, *words], check=True, capture_output=True)
    audit = subprocess.run([PROGRAM, "handoff", "--audit", packages], check=False, capture_output=True).returncode
    yield at_most("exit status of the audit", audit, 0)
    given = sorted(path for path in packages.iterdir() if path.is_dir() and not list(path.glob("*_stop.pdf")))
    stops = len(list(packages.glob("*/*_stop.pdf")))
    due = sum(table[name].status == "abstain" for name, arm in arms.items() if arm == "circuit")
    yield note("packages", len(given))
    yield at_least("stops that are due (circuit arm, abstained) and there", stops, float(due))
    if len(given) >= FEWEST_PACKAGES:
        labels = np.array([arms[path.name] for path in given])
        score, p = telling(np.array([package_fingerprint(path) for path in given]), labels)
        yield note("arms told from packages: balanced accuracy", score)
        yield at_least("  p of so much by chance", p, 0.05)
        markers = [markers_fingerprint(folder / "out" / "tmsprep" / path.name, arms[path.name]) for path in given]
        score, p = telling(np.array(markers), labels)
        yield at_least("the same from the markers tables (control)", score, 0.8)
    yield at_most("mode of the key's file, others' bits", float(key.stat().st_mode & 0o077), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
