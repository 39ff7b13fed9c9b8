"""The command of each runtime: what is mounted where, and that fMRIPrep is told the paths that it will see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.preprocess.test_fmriprep_arguments import request_of

from tmsprep.errors import TmsprepError
from tmsprep.interfaces.containers import Runtime
from tmsprep.preprocess.fmriprep.places import Job, View, job_command, outside

CONTAINERS = (Runtime.PODMAN, Runtime.APPTAINER, Runtime.SINGULARITY, Runtime.CHARLIECLOUD)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A dataset with one image, and a job's folders; names with a space."""
    image = tmp_path / "my bids" / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    image.parent.mkdir(parents=True)
    image.touch()
    license_file = tmp_path / "license.txt"
    license_file.touch()
    for name in ("templates", "work"):
        (tmp_path / name).mkdir()
    return Job(tmp_path / "my bids", (image,), tmp_path / "work" / "sub-01", license_file, tmp_path / "templates", None)


def mounts_of(words: list[str], runtime: Runtime) -> dict[str, tuple[str, bool]]:
    """Read the mounts from a command: target to source and whether it may be written."""
    flag = {Runtime.PODMAN: "--volume"}.get(runtime, "--bind")
    given = [words[index + 1].split(":") for index, word in enumerate(words) if word == flag]
    return {parts[1]: (parts[0], len(parts) == 2) for parts in given}


@pytest.mark.parametrize("runtime", CONTAINERS)
def test_fmriprep_is_told_paths_that_are_mounted(job: Job, runtime: Runtime) -> None:
    words, environment = job_command(job, request_of(), runtime, "image:1")
    assert environment == {}
    mounts = mounts_of(words, runtime)
    told = words[words.index("participant") - 2 :]

    def host(path: str) -> Path:
        target = next(target for target in mounts if path == target or path.startswith(f"{target}/"))
        return Path(mounts[target][0] + path.removeprefix(target))

    assert host(told[0]) == job.bids_dir
    assert host(told[1]) == job.output
    for option, expected in (
        ("--work-dir", job.work),
        ("--fs-license-file", job.license_file),
        ("--bids-filter-file", job.filter_file),
    ):
        assert host(told[told.index(option) + 1]) == expected
    writable = {source for source, may_write in mounts.values() if may_write}
    if runtime is Runtime.CHARLIECLOUD:  # 0.31 mounts nothing read-only
        assert str(job.folder) in writable
    else:
        assert writable == {str(job.folder)}


def test_each_runtime_is_called_as_documented(job: Job) -> None:
    podman = job_command(job, request_of(), Runtime.PODMAN, "image:1")[0]
    assert podman[:3] == ["podman", "run", "--rm"]
    assert podman[podman.index("--network") + 1] == "none"
    assert podman[podman.index("--user") + 1] == f"{os.getuid()}:{os.getgid()}"
    apptainer = job_command(job, request_of(), Runtime.APPTAINER, "image:1")[0]
    assert apptainer[:4] == ["apptainer", "run", "--cleanenv", "--containall"]
    assert "docker://image:1" in apptainer
    assert apptainer[apptainer.index("--home") + 1] == f"{job.home}:/job/home"
    assert "HOME" not in " ".join(word for word in apptainer if word.startswith("HOME="))
    charliecloud = job_command(job, request_of(), Runtime.CHARLIECLOUD, "/images/fmriprep.sqfs")[0]
    assert charliecloud[:4] == ["ch-run", "--unset-env=*", "--set-env", "--private-tmp"]
    assert charliecloud[charliecloud.index("--") + 1] == "fmriprep"


def test_apptainer_takes_a_file_as_it_is(job: Job, tmp_path: Path) -> None:
    image = tmp_path / "fmriprep.sif"
    image.touch()
    words = job_command(job, request_of(), Runtime.APPTAINER, str(image))[0]
    assert str(image) in words


def test_without_a_container_paths_are_the_hosts(job: Job) -> None:
    words, environment = job_command(job, request_of(), Runtime.NONE, "")
    assert words[:4] == ["fmriprep", str(job.bids_dir), str(job.output), "participant"]
    assert environment["TEMPLATEFLOW_HOME"] == str(job.templateflow)
    assert environment["OMP_NUM_THREADS"] == "1"


def test_the_wrapper_gets_what_it_mounts_itself(job: Job) -> None:
    words = job_command(job, request_of(), Runtime.DOCKER, "image:1")[0]
    assert words[:6] == ["fmriprep-docker", str(job.bids_dir), str(job.output), "participant", "--image", "image:1"]
    assert "--no-tty" in words
    assert words[words.index("--patch") + 1] == f"tmsprep_templateflow={job.templateflow}"
    assert "--mem_mb" in words  # so spelled, it asks no question where memory is short


def test_links_out_of_the_dataset_are_followed_or_refused(job: Job, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    job.images[0].unlink()
    (store / "a.nii.gz").touch()
    job.images[0].symlink_to(store / "a.nii.gz")
    assert outside(job.bids_dir, job.images) == [store]
    mounts = View(job, Runtime.PODMAN).mounts
    assert [(mount.source, mount.target, mount.writable) for mount in mounts[:2]] == [
        (job.bids_dir, str(job.bids_dir), False),
        (store, str(store), False),
    ]
    with pytest.raises(TmsprepError, match="fmriprep-docker does not mount"):
        job_command(job, request_of(), Runtime.DOCKER, "image:1")


def test_links_within_the_dataset_are_no_matter(job: Job) -> None:
    annexed = job.bids_dir / ".git" / "annex" / "objects" / "x.nii.gz"
    annexed.parent.mkdir(parents=True)
    annexed.touch()
    job.images[0].unlink()
    job.images[0].symlink_to(os.path.relpath(annexed, job.images[0].parent))
    assert outside(job.bids_dir, job.images) == []
