"""``tmsprep handoff``: blinded packages for the technicians of a trial.

The trial allocates; this program only reads who gets which site, and writes for each participant a package that carries the
place and nothing that tells how it was found. What was given to whom goes to a key file that its owner alone can read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tmsprep.errors import ConfigurationError, InputError
from tmsprep.files import read_json, read_tsv, remove_leftovers, sha256, temporary_twin, write_tsv
from tmsprep.navigate.formats.image import NavigatorImage
from tmsprep.navigate.formats.site import CoilSite
from tmsprep.options import NavigatorForm
from tmsprep.provenance.compare import beside, image_sha256
from tmsprep.provenance.datasets import Dataset
from tmsprep.provenance.lineage import File, Lineage
from tmsprep.records import Status
from tmsprep.trial.allocation import Allocated, read_allocation
from tmsprep.trial.audit import audit as audit_packages
from tmsprep.trial.package import Navigator, Package, write_package, write_stop

_MARKERS = "_markers.tsv"
_GIVEN = (Status.OK.value, Status.CAUTION.value)


@dataclass(frozen=True)
class Derived:
    """What the derivatives say about an allocated participant."""

    allocated: Allocated
    markers: Path
    row: dict[str, Any]
    image: NavigatorImage | None
    """None where no target is given out."""
    reasons: str


def prepare(lineage: Lineage, allocations: Sequence[Allocated], form: NavigatorForm) -> list[Derived]:
    """Find every allocated site, before anything is written.

    Raises
    ------
    InputError
        A participant or site is not there, its table of markers or T1w is not what its record says, or qform and sform of
        the T1w disagree; all participants concerned are named.
    """
    main = lineage.main
    if main is None:
        raise InputError("there is no dataset with targets", expected="the OUTPUT_DIR of a finished run")
    found: list[Derived] = []
    problems: list[str] = []
    for item in allocations:
        try:
            found.append(_derived(lineage, main, item, form))
        except InputError as error:
            problems.append(f"{item.label}: {error}")
    if problems:
        raise InputError("no package was written: " + " | ".join(problems))
    return found


def _derived(lineage: Lineage, main: Dataset, item: Allocated, form: NavigatorForm) -> Derived:
    markers = _markers_of(main, item)
    _require_recorded(lineage, main, markers)
    table = read_tsv(markers, required=("target_id", "status", "reasons", "coil_transform"))
    rows = table[table["target_id"] == item.target_id]
    if rows.empty:
        raise InputError(f"no site {item.target_id!r}", where=markers.name, expected=", ".join(map(str, table["target_id"])))
    row = {str(key): value for key, value in rows.iloc[0].items()}
    reasons = row["reasons"] if isinstance(row["reasons"], str) else ""
    if row["status"] not in _GIVEN or not isinstance(row["coil_transform"], str):
        return Derived(item, markers, row, None, reasons)
    return Derived(item, markers, row, _image(main, markers, form), reasons)


def _markers_of(main: Dataset, item: Allocated) -> Path:
    folder = main.root / item.participant / (item.session or "")
    paths = sorted(folder.glob(f"nibs/{item.label}*{_MARKERS}"))
    if len(paths) != 1:
        count = "no table" if not paths else f"{len(paths)} tables"
        raise InputError(
            f"{count} of markers",
            where=f"{main.name}/{item.label}",
            expected="one; name the session_id if there are several",
        )
    return paths[0]


def _require_recorded(lineage: Lineage, main: Dataset, path: Path) -> None:
    """Refuse a table that was edited after it was derived."""
    file = File(main.name, path.relative_to(main.root).as_posix(), sha256(path))
    step = lineage.writer(file)
    if step is None or file not in step.generated:
        raise InputError("it is not the file that its record tells of", where=path.name, action="tmsprep verify")


def _image(main: Dataset, markers: Path, form: NavigatorForm) -> NavigatorImage:
    uri = str(read_json(beside(markers, "_coordsystem.json")).get("IntendedFor"))
    image = main.locate(uri)
    if image is None or not image.is_file():
        raise InputError("the T1w image is not there", where=uri, action="give the raw dataset with --raw")
    loaded = NavigatorImage.load(image, uri, form)
    if loaded.sha256 != image_sha256(markers):
        raise InputError("the T1w image is not the one that the target was derived on: another checksum", where=uri)
    return loaded


def command(
    derivatives: Path | None = None,
    *,
    allocation: Path | None = None,
    to: Path | None = None,
    key: Path | None = None,
    navigator: Navigator = Navigator.BRAINSIGHT,
    navigator_form: NavigatorForm = NavigatorForm.AGREE,
    raw: Path | None = None,
    audit: Path | None = None,
) -> int:
    """Write blinded packages for the technicians of a trial, one a participant, and a key for the unblinded.

    A package holds a navigator file, a one-page sheet and a list with checksums; the same form, digits, dates, names and
    sizes for everyone. Where the allocated site is not given out (abstain), it is a documented stop. Exit status 1 if the
    packages could tell the arms apart; they are then removed.

    Parameters
    ----------
    derivatives
        The OUTPUT_DIR of a run. It is only read.
    allocation
        TSV: participant_id, target_id (circuit, beamF3, ...), session_id where targets are by session. Made by the trial;
        this program never randomises.
    to
        A new folder for the packages.
    key
        A new TSV: who was given what, with checksums. Only its owner can read it. Keep it away from the packages.
    navigator
        Which file the technicians' navigator loads.
    navigator_form
        As in the run.
    raw
        The raw dataset, if it has moved.
    audit
        Only check the packages in this folder.
    """
    if audit is not None:
        return _tell(audit_packages(audit))
    if derivatives is None or allocation is None or to is None or key is None:
        raise ConfigurationError("handoff needs DERIVATIVES, --allocation, --to and --key; or --audit alone")
    _require_apart(derivatives, to, key)
    found = prepare(Lineage(derivatives, raw), read_allocation(allocation), navigator_form)
    remove_leftovers([to, key])
    made = temporary_twin(to)
    try:
        packages = [_write(made, item, navigator) for item in found]
        problems = audit_packages(made)
        if problems:
            return _tell(problems)
        _write_key(key, found, packages)
        made.rename(to)
    except BaseException:
        key.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    stops = sum(item.image is None for item in found)
    print(f"{len(found)} packages ({stops} of them a stop) in {to}; the key is {key}")
    return _tell(problems)


def _write(to: Path, item: Derived, navigator: Navigator) -> Package:
    label = item.allocated.label
    if item.image is None:
        return write_stop(to / label, label)
    return write_package(to / label, label, CoilSite.of_row(item.row), item.image, navigator)


def _require_apart(derivatives: Path, to: Path, key: Path) -> None:
    if to.exists():
        raise ConfigurationError("the folder for the packages is there already", where=to, action="name a new one")
    if key.exists():
        raise ConfigurationError("the key is there already", where=key, action="name a new file; never overwrite a key")
    for path in (to, key):
        if path.resolve().is_relative_to(derivatives.resolve()):
            raise ConfigurationError("it lies in the derivatives, which hold no allocation", where=path)
    if key.resolve().is_relative_to(to.resolve()):
        raise ConfigurationError("the key would lie among the packages", where=key)


def _write_key(key: Path, found: Sequence[Derived], packages: Sequence[Package]) -> None:
    rows = [
        {
            "participant_id": item.allocated.participant,
            "session_id": item.allocated.session or "n/a",
            "target_id": item.allocated.target_id,
            "given": "stop" if item.image is None else "target",
            "status": item.row["status"],
            "reasons": item.reasons or "n/a",
            "markers_sha256": sha256(item.markers),
            "package_sha256": sha256(package.files[-1]),
        }
        for item, package in zip(found, packages, strict=True)
    ]
    twin = temporary_twin(key)
    try:
        os.close(os.open(twin, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        write_tsv(twin, pd.DataFrame(rows))
        twin.rename(key)
    finally:
        twin.unlink(missing_ok=True)


def _tell(problems: Sequence[str]) -> int:
    for problem in problems:
        print(problem)
    print(
        "NOT BLINDED: no package may be used" if problems else "audit: nothing in the packages tells how a target was found"
    )
    return 1 if problems else 0
