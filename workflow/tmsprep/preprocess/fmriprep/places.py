"""The folders of one fMRIPrep job, on the host and in the container, and the command that brings them together.

All that a job writes lies in one folder of its own; what it produced is published when it has ended well.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from fmriprep_docker.__main__ import PKG_PATH

from tmsprep.errors import ConfigurationError, InputError
from tmsprep.interfaces.containers import ContainerCall, Mount, Runtime, command
from tmsprep.preprocess.fmriprep.arguments import OUTPUT_SPACES, Places, Request, command_line, options

_PATCH = "tmsprep_templateflow"
TEMPLATEFLOW_VARIABLES = {"TEMPLATEFLOW_AUTOUPDATE": "0"}


@dataclass(frozen=True)
class Job:
    """What one job reads and writes, on the host; absolute paths."""

    bids_dir: Path
    images: tuple[Path, ...]
    """The T1w and BOLD images that it is to process."""
    folder: Path
    """Its own: output, work and home folders, filter file."""
    license_file: Path
    templateflow: Path
    subjects_dir: Path | None
    """FreeSurfer's, shared by all participants; None without surfaces."""

    @property
    def output(self) -> Path:
        """Where fMRIPrep writes its dataset."""
        return self.folder / "out"

    @property
    def work(self) -> Path:
        """fMRIPrep's working directory, kept until it has ended well."""
        return self.folder / "work"

    @property
    def home(self) -> Path:
        """An empty home, for caches."""
        return self.folder / "home"

    @property
    def filter_file(self) -> Path:
        """fMRIPrep's filter file."""
        return self.folder / "filter.json"

    def make_folders(self) -> None:
        """Make what a container cannot make for itself."""
        for folder in (self.output, self.work, self.home):
            folder.mkdir(parents=True, exist_ok=True)

    def with_own_license(self) -> Job:
        """Copy the licence into the job's folder: Charliecloud mounts folders, and files only where the image has some."""
        copy = self.folder / "license.txt"
        copy.write_bytes(self.license_file.read_bytes())
        return replace(self, license_file=copy)


def mount_root(runtime: Runtime) -> str:
    """Return the folder in which a container's mount points are made; empty for its root."""
    # Charliecloud's images are read-only, its /tmp is fresh
    return "/tmp" if runtime is Runtime.CHARLIECLOUD else ""  # noqa: S108  # nosec B108


@dataclass(frozen=True)
class View:
    """A job as a container sees it."""

    job: Job
    runtime: Runtime

    @cached_property
    def mounts(self) -> tuple[Mount, ...]:
        """All that the container sees of the host; the dataset, the templates and the licence read-only."""
        job, root = self.job, mount_root(self.runtime)
        found = [
            *_dataset_mounts(job, root),
            Mount(job.folder, f"{root}/job", writable=True),
            Mount(job.templateflow, f"{root}/templateflow"),
        ]
        if job.folder not in job.license_file.parents:
            found.append(Mount(job.license_file, f"{root}/license.txt"))
        if job.subjects_dir:
            found.append(Mount(job.subjects_dir, f"{root}/subjects", writable=True))
        return tuple(found)

    def seen(self, path: Path) -> str:
        """Return the container's name of a host path; the path itself without a container."""
        if self.runtime is Runtime.NONE:
            return str(path)
        for mount in self.mounts:
            if path == mount.source or mount.source in path.parents:
                return mount.seen(path)
        raise ConfigurationError("the container cannot see it", where=path)

    @property
    def places(self) -> Places:
        """The paths of fMRIPrep's command line."""
        job = self.job
        return Places(
            bids_dir=self.seen(job.bids_dir),
            output_dir=self.seen(job.output),
            work_dir=self.seen(job.work),
            license_file=self.seen(job.license_file),
            filter_file=self.seen(job.filter_file),
            subjects_dir=self.seen(job.subjects_dir) if job.subjects_dir else None,
        )

    @property
    def environment(self) -> dict[str, str]:
        """What fMRIPrep's environment must say: one thread a library call, the prepared templates, a home to write to."""
        return {
            "HOME": self.seen(self.job.home),
            "TEMPLATEFLOW_HOME": self.seen(self.job.templateflow),
            **TEMPLATEFLOW_VARIABLES,
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }


def job_command(job: Job, request: Request, runtime: Runtime, image: str) -> tuple[list[str], dict[str, str]]:
    """Return the words that run fMRIPrep, and what to add to this process's environment.

    Parameters
    ----------
    job, request
        What is to be done, where.
    runtime
        What starts it; Docker goes through the ``fmriprep-docker`` wrapper.
    image
        Reference or file; not looked at without containers.

    Raises
    ------
    TmsprepError
        The dataset has links that this runtime cannot follow.
    """
    if runtime is Runtime.DOCKER:
        return _wrapper_command(job, request, image), {}
    view = View(job, runtime)
    words = tuple(command_line(request, view.places))
    program = "fmriprep" if runtime in {Runtime.NONE, Runtime.CHARLIECLOUD} else None
    if runtime is Runtime.NONE:
        return command(runtime, ContainerCall("", program, words)), view.environment
    return command(runtime, ContainerCall(image, program, words, view.mounts, view.environment)), {}


def _wrapper_command(job: Job, request: Request, image: str) -> list[str]:
    """Return the call of ``fmriprep-docker``; it mounts what its own options name.

    It has no option for the templates: they go the way of a package patch, a read-only mount at a place that it states.
    """
    if outside(job.bids_dir, job.images):
        raise InputError(
            "images are links to places outside the dataset, which fmriprep-docker does not mount",
            where=job.bids_dir,
            action="use podman or apptainer (--container-runtime), or put the files into the dataset",
        )
    if "=" in str(job.templateflow):
        raise ConfigurationError(
            "fmriprep-docker takes no path with =", where=job.templateflow, action="--templateflow-home"
        )
    words = ["fmriprep-docker", str(job.bids_dir), str(job.output), "participant", "--image", image]
    words += ["--no-tty", "--user", f"{os.getuid()}:{os.getgid()}", "--network", "none"]
    environment = {"HOME": "/scratch/home", "TEMPLATEFLOW_HOME": f"{PKG_PATH}/{_PATCH}"} | TEMPLATEFLOW_VARIABLES
    for name, value in environment.items():
        words += ["--env", name, value]
    words += ["--patch", f"{_PATCH}={job.templateflow}"]
    (job.work / "home").mkdir(parents=True, exist_ok=True)
    words += ["--work-dir", str(job.work), "--fs-license-file", str(job.license_file)]
    words += ["--bids-filter-file", str(job.filter_file)]
    words += ["--fs-subjects-dir", str(job.subjects_dir)] if job.subjects_dir else []
    return [*words, "--output-spaces", *OUTPUT_SPACES, *options(request)]


def _dataset_mounts(job: Job, root: str) -> list[Mount]:
    """Return the dataset, and where its images really are if that is elsewhere.

    Links mean the same inside as outside only if everything keeps its path.
    """
    elsewhere = outside(job.bids_dir, job.images)
    if not elsewhere:
        return [Mount(job.bids_dir, f"{root}/data")]
    return [Mount(folder, str(folder)) for folder in (job.bids_dir, *elsewhere)]


def outside(bids_dir: Path, images: Iterable[Path]) -> list[Path]:
    """Return the folders outside the dataset that its images are links into."""
    home = bids_dir.resolve()
    folders = {path.resolve().parent for path in images}
    return sorted(folder for folder in folders if folder != home and home not in folder.parents)
