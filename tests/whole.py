"""The program run as a user runs it, and the one whole run of the tiny dataset that many tests look at."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.tiny import make_tiny

MINUTES = 12
KEPT = "TMSPREP_WHOLE_RUN"
"""Environment variable: a folder in which the tiny dataset and its whole run are kept, for the suites that come later."""


@dataclass(frozen=True)
class Finished:
    """A run that has ended."""

    bids_dir: Path
    output_dir: Path
    status: int
    text: str

    @property
    def tmsprep(self) -> Path:
        return self.output_dir / "tmsprep"


def run_tmsprep(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the program as a user does."""
    command = [str(Path(sys.executable).with_name("tmsprep")), *map(str, words)]
    return subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=MINUTES * 60
    )


def finished(bids_dir: Path, output_dir: Path, *words: object) -> Finished:
    result = run_tmsprep(bids_dir, output_dir, "participant", "group", "--circuit", "example", *words)
    return Finished(bids_dir, output_dir, result.returncode, result.stdout)


def whole_run(folder: Path) -> Finished:
    """Return the run of the tiny dataset on one core in a folder; what was kept there is taken."""
    bids_dir, output_dir, end = folder / "tiny" / "bids", folder / "whole" / "out", folder / "end.json"
    if not end.is_file():
        output_dir.parent.mkdir(parents=True)
        run = finished(make_tiny(bids_dir), output_dir, "--nprocs", 1)
        end.write_text(json.dumps({"status": run.status, "text": run.text}), encoding="utf-8")
    return Finished(bids_dir, output_dir, **json.loads(end.read_text(encoding="utf-8")))


def as_fmriprep_outputs(run: Finished, folder: Path, labels: Sequence[str] = ("01",)) -> Path:
    """Write what the engine computed for the participant as if fMRIPrep had, under each of the labels; return the folder."""
    source = run.output_dir / "tmsprep-builtin"
    for label in labels:
        for path in sorted((source / "sub-01").rglob("*")):
            copy = folder / str(path.relative_to(source)).replace("sub-01", f"sub-{label}")
            if path.suffix in {".json", ".tsv"}:
                text = path.read_text(encoding="utf-8").replace("sub-01", f"sub-{label}")
                copy.write_text(text, encoding="utf-8")
            elif path.is_dir():
                copy.mkdir(parents=True)
            else:
                shutil.copyfile(path, copy)
    content = json.loads((source / "dataset_description.json").read_text(encoding="utf-8"))
    content["GeneratedBy"] = [{"Name": "fMRIPrep", "Version": "25.2.7"}]
    (folder / "dataset_description.json").write_text(json.dumps(content), encoding="utf-8")
    return folder
