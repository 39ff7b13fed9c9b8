"""One participant (or session) through fMRIPrep, and links to its files for later stages."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tmsprep.errors import ContractError, ExternalProgramError
from tmsprep.files import read_json, write_json
from tmsprep.interfaces.containers import Finished, Runtime, start
from tmsprep.preprocess.existing import Existing
from tmsprep.preprocess.fmriprep.arguments import Request, extra_options
from tmsprep.preprocess.fmriprep.image import FmriprepImage
from tmsprep.preprocess.fmriprep.places import Job, job_command
from tmsprep.preprocess.fmriprep.publish import Publication, contract_files, unit_of
from tmsprep.preprocess.fmriprep.selection import filter_content, tracks_sessions
from tmsprep.stages import InFile, OutFile, SidecarFields

_SIGNS_OF_AN_ERROR = ("Error", "ERROR", "error:", "Exception", "FAILED", "Killed", "No space left")


def run_fmriprep(
    *,
    image: InFile,
    anat: str,
    t1w: InFile,
    bold: list[InFile],
    license_file: InFile,
    templateflow_list: InFile,
    bids_dir: Path,
    dataset: Path,
    job_dir: Path,
    templateflow: Path,
    threads: int,
    mem_mb: int,
    seed: int,
    dummy_scans: int | None = None,
    fsaverage: InFile | None = None,
    bids_filter_file: InFile | None = None,
    extra: str = "",
    own_report: bool = False,
    read: list[InFile] | None = None,
    out_receipt: OutFile,
) -> SidecarFields:
    """Run fMRIPrep on one T1w image and the runs that belong to it, check its output, and publish it.

    Parameters
    ----------
    image
        What the stage ``fmriprep-image`` wrote.
    anat
        The job's name, ``sub-01`` or ``sub-01_ses-1``: the T1w's.
    t1w, bold
        Exactly what is processed: the T1w image, and all echoes of all runs, those of a run by ascending echo time.
    license_file
        FreeSurfer's licence; fMRIPrep wants it even without surfaces.
    templateflow_list
        What the stage ``templateflow`` wrote.
    bids_dir
        The raw dataset; mounted read-only.
    dataset
        fMRIPrep's dataset, which all participants share.
    job_dir
        This job's work folder; kept when fMRIPrep fails, so that the next run goes on from there.
    templateflow
        The TemplateFlow home.
    threads, mem_mb
        Processes at a time, and memory (MB).
    seed
        fMRIPrep's ``--random-seed``.
    dummy_scans
        Volumes to leave out; fMRIPrep finds them itself if not given.
    fsaverage
        What the stage ``fsaverage`` wrote; given if surfaces are reconstructed.
    bids_filter_file
        The user's, for kinds of images that the plan does not choose.
    extra
        The user's own fMRIPrep options, as one shell-quoted string.
    own_report
        The page is named by `anat`, because another job of the participant makes a page too.
    read
        What else fMRIPrep reads of this participant: sidecars and field maps.
    out_receipt
        JSON: what ran, what it wrote, and where each file of the contract is.

    Raises
    ------
    ExternalProgramError
        fMRIPrep failed.
    ContractError
        It ended well but lacks something that later stages need.
    """
    del read, templateflow_list  # named so that they are recorded, and looked at for changes
    used = FmriprepImage.read(image)
    subjects_dir = dataset.resolve() / "sourcedata" / "freesurfer" if fsaverage else None
    root = bids_dir.resolve()
    places = Job(
        bids_dir=root,
        images=tuple(root / path.relative_to(bids_dir) for path in (t1w, *bold)),
        folder=job_dir.resolve(),
        license_file=license_file.resolve(),
        templateflow=templateflow.resolve(),
        subjects_dir=subjects_dir,
    )
    unit = unit_of(t1w, bold)
    request = Request(
        participant=unit.subject,
        seed=seed,
        threads=threads,
        mem_mb=mem_mb,
        surfaces=subjects_dir is not None,
        dummy_scans=dummy_scans,
        track_sessions=tracks_sessions(t1w, bold),
        extra=extra_options(extra),
    )
    shutil.rmtree(places.output, ignore_errors=True)  # of an earlier, failed run
    places.make_folders()
    if used.runtime is Runtime.CHARLIECLOUD:
        places = places.with_own_license()
    chosen = filter_content(t1w, bold, read_json(bids_filter_file) if bids_filter_file else {})
    write_json(places.filter_file, chosen)
    finished = _run(places, request, used)
    made = Existing.open(places.output)
    _require_version(made, used)
    contract = {name: path.relative_to(places.output) for name, path in contract_files(made, unit).items()}
    publication = Publication(places.output, dataset, anat, job_dir.parent / f"{anat}_published.json", own_report)
    files = publication.publish()
    content = {
        "Fmriprep": used.generated_by(),
        "Runtime": f"{used.runtime} ({used.runtime_version})" if used.runtime_version else used.runtime.value,
        "ImagePinned": used.pinned,
        "FmriprepCommand": _without_folders(finished.words, places, dataset),
        "StartedAt": _time(finished.started_s),
        "EndedAt": _time(finished.ended_s),
        "ExitStatus": finished.status,
        "FilterFile": chosen,
        "ExtraOptions": extra,
        "Contract": {name: path.as_posix() for name, path in contract.items()},
        "Files": files,
    }
    write_json(out_receipt, content)
    shutil.rmtree(job_dir)
    maker = used.generated_by()
    ran: dict[str, object] = {
        "Software": {"fmriprep": used.fmriprep_version},
        "Generated": {dataset / name: digest for name, digest in files.items()},
        "OwnRecord": {"Name": "fMRIPrep", "Files": [name for name in files if name.startswith("logs/")]},
    }
    return {"record": ran | ({"Container": maker["Container"]} if "Container" in maker else {})}


def _without_folders(words: Sequence[str], job: Job, dataset: Path) -> list[str]:
    """Return a command with the names of what its folders are instead of where they are on this machine."""
    folders = {
        job.bids_dir: "bids:raw:",
        job.folder: "JOB",
        job.templateflow: "TEMPLATEFLOW",
        job.license_file.parent: "LICENCE",
        dataset.resolve(): "bids::",
        Path.home(): "HOME",
    } | ({job.subjects_dir: "SUBJECTS"} if job.subjects_dir else {})
    named = [words[0].rpartition("/")[2], *words[1:]]
    for folder in sorted(folders, key=lambda item: len(str(item)), reverse=True):
        if folder != Path("/"):
            named = [re.sub(rf"{re.escape(str(folder))}(?![^/:,\s])", folders[folder], word) for word in named]
    return named


def _run(job: Job, request: Request, image: FmriprepImage) -> Finished:
    words, environment = job_command(job, request, image.runtime, image.image)
    print("RUNNING:", " ".join(words), flush=True)
    finished = start(words, environment)
    if finished.status:
        raise ExternalProgramError(
            f"fMRIPrep ended with exit status {finished.status}: {_reason(finished)}",
            where=f"sub-{request.participant}",
            action=f"read the log; a new run goes on from {job.work.name} of {job.folder.name}, which was kept",
        )
    return finished


def _reason(finished: Finished) -> str:
    """Return the last line that tells what went wrong."""
    telling = [line for line in finished.last_lines if any(sign in line for sign in _SIGNS_OF_AN_ERROR)]
    lines = telling or [line for line in finished.last_lines if line.strip()] or ["it said nothing"]
    return lines[-1].strip()[:300]


def _require_version(made: Existing, image: FmriprepImage) -> None:
    if made.maker != f"fMRIPrep {image.fmriprep_version}":
        raise ContractError(
            f"its output says that {made.maker} made it", expected=f"fMRIPrep {image.fmriprep_version}", where=made.root.name
        )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def link_preprocessed(*, receipt: InFile, dataset: Path, name: list[str], out_link: list[OutFile]) -> SidecarFields:
    """Give contract files their fixed names: links into fMRIPrep's dataset.

    Parameters
    ----------
    receipt
        What the stage ``fmriprep`` wrote.
    dataset
        fMRIPrep's dataset.
    name
        The contract's names, as the receipt has them.
    out_link
        A link for each.

    Raises
    ------
    ContractError
        The receipt has no such file, or it is gone.
    """
    contract: dict[str, str] = read_json(receipt)["Contract"]
    for fixed, link in zip(name, out_link, strict=True):
        target = dataset / contract.get(fixed, "")
        if not target.is_file():
            raise ContractError("fMRIPrep's dataset lacks it", where=fixed, action=f"remove {receipt.name} and run again")
        link.symlink_to(os.path.relpath(target.resolve(), link.parent.resolve()))
    return {}
