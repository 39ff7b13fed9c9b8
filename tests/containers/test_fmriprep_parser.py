"""The command of every runtime, read by fMRIPrep's own parser: it means what was asked for."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.containers.podman import Podman
from tests.preprocess.test_fmriprep_arguments import request_of
from tmsprep.interfaces.containers import Runtime
from tmsprep.preprocess.fmriprep.arguments import extra_options
from tmsprep.preprocess.fmriprep.places import Job, job_command

pytestmark = [pytest.mark.slow, pytest.mark.containers]

IMAGE = "image:1"
PARSE = """
import json, sys
from pathlib import Path
words = json.loads(sys.argv[1])
for word in words:  # the parser looks whether they exist; in this container they are made up
    if word.startswith("/"):
        path = Path(word)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "filter.json" or path.name == "bids_filter.json":
            path.write_text(sys.argv[2])
        elif path.suffix:
            path.touch()
        else:
            path.mkdir(exist_ok=True)
from fmriprep.cli.parser import _build_parser
found = vars(_build_parser().parse_args(words))
print(json.dumps({key: value if isinstance(value, (int, float, bool, list, type(None))) else str(value)
                  for key, value in found.items()}, default=str))
"""
FILTER = {"t1w": {"session": ["1"], "run": None}, "bold": {"task": "rest", "echo": ["1", "2", None]}}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    folder = tmp_path / "work" / "sub-01"
    for name in ("bids", "work/sub-01", "templates", "subjects"):
        (tmp_path / name).mkdir(parents=True)
    license_file = tmp_path / "license.txt"
    license_file.touch()
    (folder / "filter.json").write_text(json.dumps(FILTER))
    return Job(tmp_path / "bids", (), folder, license_file, tmp_path / "templates", tmp_path / "subjects")


def words_for_fmriprep(job: Job, runtime: Runtime, tmp_path: Path) -> list[str]:
    """Return what fMRIPrep itself is given."""
    extra = extra_options("--use-syn-sdc warn --force bbr --fd-spike-threshold 0.4")
    request = request_of(surfaces=True, dummy_scans=3, track_sessions=False, extra=extra)
    words, _ = job_command(job, request, runtime, IMAGE)
    if runtime is Runtime.DOCKER:
        words = words_of_the_wrapper(words, tmp_path)
    place = {Runtime.NONE: "fmriprep", Runtime.CHARLIECLOUD: "fmriprep"}.get(runtime, IMAGE)
    if runtime in {Runtime.APPTAINER, Runtime.SINGULARITY}:
        place = f"docker://{IMAGE}"
    return words[words.index(place) + 1 :]


def words_of_the_wrapper(words: list[str], tmp_path: Path) -> list[str]:
    """Run the real fmriprep-docker with a docker that only answers its questions, and return what it would have run."""
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text('#!/bin/sh\ncase "$*" in *entrypoint=free*) echo "Mem: 4000 1 1";; *) echo 1;; esac\n')
    docker.chmod(docker.stat().st_mode | stat.S_IXUSR)
    path = os.pathsep.join([str(docker.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    result = subprocess.run(
        words,
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PATH": path},
    )
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("RUNNING: ")]
    return line.split()[1:]


@pytest.mark.parametrize("runtime", list(Runtime))
def test_fmriprep_understands_what_was_meant(
    podman: Podman, fmriprep_image: str, job: Job, runtime: Runtime, tmp_path: Path
) -> None:
    words = words_for_fmriprep(job, runtime, tmp_path)
    options = ("--entrypoint=/opt/fmriprep/bin/python", "--network=none", "--env=TEMPLATEFLOW_AUTOUPDATE=0")
    result = podman.start(fmriprep_image, "-c", PARSE, json.dumps(words), json.dumps(FILTER), options=options)
    found: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    expected = {
        "analysis_level": "participant",
        "participant_label": ["01"],
        "skip_bids_validation": True,
        "me_output_echos": True,
        "_random_seed": 7,
        "skull_strip_fixed_seed": True,
        "omp_nthreads": 1,
        "nprocs": 3,
        "memory_gb": 9.0,
        "notrack": True,
        "stop_on_first_crash": True,
        "track_sessions": False,
        "run_reconall": True,
        "dummy_scans": 3,
        "use_syn_sdc": "warn",
        "regressors_fd_th": 0.4,
    }
    assert {key: found[key] for key in expected} == expected
    assert found["force"] == ["bbr"]
    spaces = found["output_spaces"]
    assert all(space in spaces for space in ("func", "MNI152NLin2009cAsym", "MNI152NLin6Asym")), spaces
    places = {Runtime.NONE: str(tmp_path), Runtime.CHARLIECLOUD: "/tmp"}
    if runtime is Runtime.DOCKER:
        assert (found["bids_dir"], found["output_dir"], found["work_dir"]) == ("/data", "/out", "/scratch")
        assert found["fs_subjects_dir"] == "/opt/subjects"
    elif runtime is Runtime.NONE:
        assert (found["bids_dir"], found["output_dir"]) == (str(job.bids_dir), str(job.output))
        assert (found["fs_license_file"], found["fs_subjects_dir"]) == (str(job.license_file), str(job.subjects_dir))
    else:
        root = places.get(runtime, "")
        assert (found["bids_dir"], found["output_dir"]) == (f"{root}/data", f"{root}/job/out")
        assert (found["fs_license_file"], found["fs_subjects_dir"]) == (f"{root}/license.txt", f"{root}/subjects")
    assert "'session': ['1']" in found["bids_filters"]
    assert "Query.NONE" in found["bids_filters"]
