"""Stands in for fMRIPrep's program in tests: fMRIPrep 25.2.7 itself up to its computations, then the builtin engine's.

fMRIPrep's own parser reads the arguments, its own index selects the images, its own workflow is built (which asks for
every template), all from PyPI's package. What its external programs (FSL, FreeSurfer, AFNI, ANTs) would compute was
computed by TMSPrep's builtin engine from the same scans, which is checked, and is written as fMRIPrep writes it. What it
saw around it goes to logs/seen.json.

A participant labelled ``crash`` fails, as a broken one would.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PYTHON = "/opt/tmsprep/bin/python"
COMPUTED = Path("/opt/computed")
"""Results of the builtin engine, computed outside, and ``scans.json``: the scans' checksums."""


def main() -> None:
    """Behave as ``fmriprep ARGUMENTS``."""
    from fmriprep.cli.parser import parse_args

    parse_args()  # as fMRIPrep's own entry point; ends here for --version and for arguments that it does not accept
    from fmriprep import config

    label = config.execution.participant_label[0]
    seen = {"Arguments": sys.argv[1:], **surroundings(config)}
    config_file = config.execution.work_dir / "config.toml"
    config.to_filename(config_file)
    config.load(config_file)  # what fMRIPrep does, too: loading completes some settings
    seen |= {"Bold": images(config, "bold"), "T1w": images(config, "t1w"), "WorkflowNodes": build_workflow()}
    print("STAND-IN:", json.dumps(seen))
    if label == "crash":
        sys.exit("RuntimeError: participant crash always fails")
    fulfil(config, label, seen)


def surroundings(config: Any) -> dict[str, Any]:
    """Return what the container lets the program see and do."""
    execution = config.execution
    return {
        "Uid": os.getuid(),
        "DatasetWritable": can_write(execution.bids_dir),
        "TemplatesWritable": can_write(Path(os.environ["TEMPLATEFLOW_HOME"])),
        "OutputWritable": can_write(execution.output_dir),
        "WorkWritable": can_write(execution.work_dir),
        "HomeWritable": can_write(Path(os.environ["HOME"])),
        "LicenseRead": Path(os.environ["FS_LICENSE"]).read_text(encoding="utf-8"),
        "Interfaces": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "Threads": [config.nipype.nprocs, config.nipype.omp_nthreads],
        "MemoryGB": config.nipype.memory_gb,
        "Seeds": [config.seeds.master, config.workflow.skull_strip_fixed_seed],
        "HostVariable": os.environ.get("TMSPREP_TEST_HOST_VARIABLE"),
        "SubjectsDir": sorted(path.name for path in Path(execution.fs_subjects_dir).glob("*")),
    }


def can_write(folder: Path) -> bool:
    """Tell whether a file can be made in a folder."""
    try:
        (folder / ".stand-in").write_text("x", encoding="utf-8")
    except OSError:
        return False
    (folder / ".stand-in").unlink()
    return True


def images(config: Any, kind: str) -> list[str]:
    """Return the images that fMRIPrep itself selects, by name."""
    from niworkflows.utils.bids import collect_data

    ((subject, sessions),) = config.execution.processing_groups
    found, _ = collect_data(
        config.execution.layout, subject, session_id=sessions, bids_filters=config.execution.bids_filters, group_echos=False
    )
    return sorted(Path(path).name for path in found[kind])


def build_workflow() -> int:
    """Build fMRIPrep's whole workflow, without network: fails if a template is missing. Return its size."""
    from fmriprep.workflows.base import init_fmriprep_wf

    return len(init_fmriprep_wf()._get_all_nodes())


def fulfil(config: Any, label: str, seen: dict[str, Any]) -> None:
    """Write what fMRIPrep writes, for the scans that the results were computed from."""
    for name, digest in json.loads((COMPUTED / "scans.json").read_text(encoding="utf-8")).items():
        if hashlib.sha256((config.execution.bids_dir / name).read_bytes()).hexdigest() != digest:
            sys.exit(f"stand-in: {name} is not the scan that its results were computed from")
    out = config.execution.output_dir
    shutil.copytree(COMPUTED / f"sub-{label}", out / f"sub-{label}", dirs_exist_ok=True)
    for path in out.rglob("*_from-MNI152NLin2009cAsym_to-T1w_mode-image_xfm.h5"):
        other = path.with_name(path.name.replace("MNI152NLin2009cAsym", "MNI152NLin6Asym"))
        subprocess.run([PYTHON, "-c", COMPOSE, str(path), str(other)], check=True)
    from fmriprep.utils.bids import write_bidsignore, write_derivative_description

    write_derivative_description(config.execution.bids_dir, out)
    write_bidsignore(out)
    (out / f"sub-{label}.html").write_text("<title>stand-in</title>", encoding="utf-8")
    (out / "logs" / "seen.json").write_text(json.dumps(seen, indent=1), encoding="utf-8")


COMPOSE = """
import sys
from pathlib import Path
from tmsprep.itk_composite import read_steps, write_steps
from tmsprep.target.person import between_templates
templates = between_templates("MNI152NLin6Asym", "MNI152NLin2009cAsym")
write_steps(Path(sys.argv[2]), [*templates._steps, *read_steps(Path(sys.argv[1]))])
"""

if __name__ == "__main__":
    main()
