"""The workflow whose stages only leave empty files, and a plain one of the same shape beside it.

The copy has this project's Snakefile and rules, word for word but for the program that they call: a shell script that makes
an empty file, with an empty sidecar where a stage would write one, of each ``--out-...``. The plain workflow has for each
participant the same jobs, with the same edges between them and the same script, but patterns in place of functions, and no
logs, no benchmarks and no resources.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from _scale_data import names
from tmsprep.workflow_files import profile_folder, snakefile

_CALL = '"tmsprep stage '
_STUB = Path(__file__).with_name("_scale_stub.sh")


@dataclass(frozen=True)
class Workflow:
    """A workflow, and where it works."""

    snakefile: Path
    folder: Path
    config: Path | None = None

    def words(self, *targets: str, cores: int = 2, module: str = "tmsprep.run_snakemake") -> list[str]:
        """Return the command that runs it as a run of the program does, or by another module, with the same settings."""
        words = [sys.executable, "-m", module, *targets, "--snakefile", str(self.snakefile)]
        words += ["--configfile", str(self.config)] if self.config else []
        words += ["--directory", str(self.folder), "--profile", str(profile_folder("local")), "--cores", str(cores)]
        return [*words, "--quiet", "rules", "host", "reason"]


def write_config(bids: Path, output: Path) -> Path:
    """Write the options as a run does, and return the file."""
    work = output / "work"
    work.mkdir(parents=True)
    options = {
        "bids_dir": str(bids),
        "output_dir": str(output),
        "work_dir": str(work),
        "preproc": "builtin",
        "circuit": "example",
        "skip_bids_validation": True,
    }
    config = work / "options.yaml"
    config.write_text(yaml.safe_dump(options, sort_keys=True), encoding="utf-8")
    return config


def real_workflow(config: Path) -> Workflow:
    """Return the project's workflow as it is."""
    return Workflow(snakefile(), config.parent, config)


def stub_workflow(folder: Path, config: Path) -> Workflow:
    """Copy the workflow, its stages replaced by the script."""
    source = snakefile()
    shutil.copytree(source.parent / "rules", folder / "rules")
    shutil.copy(source, folder)
    script = Path(shutil.copy(_STUB, folder))
    for path in (folder / "rules").glob("*.smk"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(_CALL, f'"{script} '), encoding="utf-8")
    return Workflow(folder / source.name, config.parent, config)


@dataclass(frozen=True)
class Rule:
    """A job of every participant."""

    name: str
    reads: tuple[str, ...]
    """Outputs of other rules, or ``T1w`` and ``bold``, the scans."""
    writes: tuple[str, ...]
    """Its own."""


_ECHOES = ("echo1", "echo2", "echo3")
_TRANSFORMS = ("t1w_to_mni", "mni_to_t1w")
_TISSUES = ("gm", "wm", "csf")
_REFERENCE = ("reference", "motion", "moved")
_RUN = ("mask", "confounds", "boldref_to_t1w")
_CLEANED = ("cleaned", "cleaned_mask", "regressors", "regressors_sidecar", "global_beta", "summary")
SHAPE = (
    Rule("check", ("T1w", "bold1", "bold2", "bold3"), ("checked",)),
    Rule("anatomy", ("T1w", "checked"), ("t1w", "brain_mask", *_TISSUES, "dseg")),
    Rule("normalise", ("t1w", "brain_mask"), (*_TRANSFORMS, "mni_t1w")),
    Rule("bold_reference", ("bold1", "checked"), _REFERENCE),
    Rule("coregister", ("reference", "t1w", "brain_mask", "wm"), ("boldref", "boldref_to_t1w", "mask")),
    *(Rule(f"resample{n}", (f"bold{n}", *_REFERENCE), (f"echo{n}", f"echo{n}_sidecar")) for n in (1, 2, 3)),
    Rule("confounds", ("echo1", "mask", "boldref_to_t1w", *_TISSUES, "motion", "moved"), ("confounds",)),
    Rule(
        "tedana",
        (*_ECHOES, *(f"{echo}_sidecar" for echo in _ECHOES), "mask", "confounds"),
        ("denoised", "optcom", "mixing", "metrics", "t2star", "s0", "adaptive_mask", "tedana_summary"),
    ),
    Rule(
        "denoise",
        ("denoised", *_RUN, "t1w_to_mni", "t1w", "brain_mask"),
        (*_CLEANED, "mni_bold", "mni_mask"),
    ),
    Rule("carpet", (*_ECHOES, "optcom", "denoised", *_RUN, *_CLEANED[:3], *_TISSUES), ("picture", "steps")),
    Rule("scalp", ("t1w", "t1w_to_mni"), ("head_mask", "surface", "fiducials")),
    Rule("beamf3", ("surface", "fiducials"), ("beam", "electrodes", "scalp_picture")),
    Rule("target", (*_CLEANED, "t1w", "gm", *_TRANSFORMS, "surface"), ("scores", "probability", "cloud", "result")),
    Rule(
        "navigate",
        ("T1w", "surface", "fiducials", "beam", "electrodes", "result", "gm", "t1w_to_mni", "brain_mask"),
        ("markers", "coordsystem"),
    ),
    Rule("export", ("T1w", "markers", "coordsystem"), ("navigators",)),
    Rule(
        "report",
        (
            "t1w", "brain_mask", "scores", "result", "beam", "fiducials", "markers", "navigators", "scalp_picture",
            "confounds", "regressors", "wm", "summary", "tedana_summary", "metrics", "boldref", "boldref_to_t1w", "surface",
            "cloud", "picture",
            "steps",
        ),
        ("page",),
    ),
)  # fmt: skip
"""The jobs of a participant with one run of three echoes; those of the builtin engine."""
JOBS = len(SHAPE)
"""Of one participant."""


def plain_workflow(folder: Path, bids: Path, size: int) -> Workflow:
    """Write the plain workflow for a dataset of so many participants."""
    folder.mkdir(parents=True)
    script = Path(shutil.copy(_STUB, folder))
    pages = ", ".join(f'"{name}/page"' for name in names(size))
    rules = [f"rule participants:\n    input: {pages}\n", *(_rule_text(rule, bids, script) for rule in SHAPE)]
    path = folder / "Snakefile"
    path.write_text("\n\n".join(rules), encoding="utf-8")
    return Workflow(path, folder)


def _rule_text(rule: Rule, bids: Path, script: Path) -> str:
    reads = ", ".join(f'"{_scan(bids, name) or f"{{name}}/{name}"}"' for name in rule.reads)
    writes = ", ".join(f'"{{name}}/{name}"' for name in rule.writes)
    command = f'"{script} --in {{input:q}} --out-files {{output:q}}"'
    return f"rule {rule.name}:\n    input: {reads}\n    output: {writes}\n    shell: {command}\n"


def _scan(bids: Path, name: str) -> str | None:
    if name == "T1w":
        return f"{bids}/{{name}}/anat/{{name}}_T1w.nii.gz"
    if name.startswith("bold") and name[4:].isdigit():
        return f"{bids}/{{name}}/func/{{name}}_task-rest_echo-{name[4:]}_bold.nii.gz"
    return None
