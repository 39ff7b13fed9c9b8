"""Labels and file names that BIDS does not allow, names that are there twice, and links and pipes in the place of files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib

from tests.data.cases import CANARY, TOUCH, BadDataset, Noticed
from tests.data.good import WELL, Person


def echo_named(name: str) -> Callable[[Person], object]:
    return lambda person: person.echo(2).rename(person.echo(2).with_name(name))


def _not_utf8(person: Person) -> None:
    path = person.echo(2)
    path.rename(path.with_name(os.fsdecode(os.fsencode(path.name).replace(b"task-rest", b"task-r\xffst"))))


def instead_of_t1w(make: Callable[[Path], object]) -> Callable[[Person], None]:
    def damage(person: Person) -> None:
        person.t1w.unlink()
        make(person.t1w)

    return damage


def _second_format(image: Path) -> None:
    nib.save(nib.load(image), image.with_suffix(""))


def _second_echo_two(person: Person) -> None:
    shutil.copy(person.echo(2), str(person.echo(2)).replace("echo-2", "echo-02"))


def _last_echo(person: Person) -> None:
    for path in (person.echo(3), person.sidecar(person.echo(3))):
        path.rename(str(path).replace("echo-3", "echo-99999999999"))


def _participant(name: str) -> Callable[[Person], object]:
    return lambda person: shutil.copytree(person.folder, person.root / name)


def _circle(name: str) -> Callable[[Person], None]:
    return lambda person: (person.folder / name).symlink_to(name)


def _anat_circle(person: Person) -> None:
    shutil.rmtree(person.folder / "anat")
    _circle("anat")(person)


def _no_task(person: Person) -> None:
    for number in (1, 2, 3):
        for path in (person.echo(number), person.sidecar(person.echo(number))):
            path.rename(str(path).replace("_task-rest", ""))


_RENAME = r"What to do: rename it as BIDS prescribes \(labels hold letters, digits and \+ only\)"
_TWICE = r"two images for the same echo of one run.*What to do: remove one"
_ABSENT = r"sub-01_T1w\.nii\.gz: the file's content is not on this machine.*datalad get"
_PLACE = r"sub-01_T1w\.nii\.gz: a folder or a pipe in place of the file.*What to do"
_NOWHERE = "a symbolic link that leads nowhere or in a circle, in place of the folder"
_FOLDER = "is no BIDS folder name: labels hold letters, digits and [+] only"


def _refused(name: str, file: str, message: str) -> BadDataset:
    """A file of the second echo whose name is refused: the run then lacks an echo."""
    return BadDataset(name, Noticed.PLAN, echo_named(file), rf"{message}.*{_RENAME}")


NAMES = (
    _refused("a task for a shell", f"sub-01_task-{TOUCH}_echo-2_bold.nii.gz", r"no value that task- may have"),
    _refused(
        "a command after a semicolon", f"sub-01_task-rest;touch {CANARY}_echo-2_bold.nii.gz", "no value that task- may"
    ),
    _refused("an extension for a shell", f"sub-01_task-rest_echo-2_bold.{TOUCH}.nii.gz", r"the suffix .* or the extension"),
    _refused("a line end", "sub-01_task-rest\nx_echo-2_bold.nii.gz", r"'rest\\nx' is no value that task- may have"),
    _refused("a colour for the terminal", "sub-01_task-\x1b[31mrest_echo-2_bold.nii.gz", r"'\\x1b\[31mrest' is no value"),
    _refused(
        "an entity twice", "sub-01_task-rest_task-rest_echo-2_bold.nii.gz", "task- is there twice or in the wrong place"
    ),
    _refused("an echo in words", "sub-01_task-rest_echo-two_bold.nii.gz", "'two' is no value that echo- may have"),
    BadDataset("bytes that are no UTF-8", Noticed.PLAN, _not_utf8, r"\\udcff.* is no BIDS file name"),
    BadDataset(
        "another participant's name",
        Noticed.PLAN,
        echo_named(f"sub-{WELL}_task-rest_echo-2_bold.nii.gz"),
        r"lies in the folder of another participant or session \(sub-01\)",
    ),
    BadDataset("a run without task", Noticed.PLAN, _no_task, r"the name has no task-.*rename the run's images and sidecars"),
    BadDataset("a participant for a shell", Noticed.OTHER, _participant(f"sub-{TOUCH}"), _FOLDER),
    BadDataset("a participant that climbs out", Noticed.OTHER, _participant("sub-.."), _FOLDER),
    BadDataset(
        "a session for a shell", Noticed.OTHER, lambda person: (person.folder / f"ses-`touch {CANARY}`").mkdir(), _FOLDER
    ),
    BadDataset(
        "a participant that links to itself",
        Noticed.OTHER,
        lambda person: (person.root / "sub-03").symlink_to("sub-03"),
        _NOWHERE,
    ),
    BadDataset("a session that links to itself", Noticed.OTHER, _circle("ses-1"), _NOWHERE),
    BadDataset("a datatype that links to itself", Noticed.PLAN, _anat_circle, _NOWHERE),
    BadDataset("an echo number of eleven digits", Noticed.PLAN, _last_echo, r"the echo number is 99999999999.*rename"),
    BadDataset("an echo under two numbers", Noticed.PLAN, _second_echo_two, _TWICE),
    BadDataset("an echo as .nii and .nii.gz", Noticed.PLAN, lambda person: _second_format(person.echo(2)), _TWICE),
    BadDataset(
        "a T1w as .nii and .nii.gz",
        Noticed.PLAN,
        lambda person: _second_format(person.t1w),
        r"there is sub-01_T1w\.nii\.gz beside it.*remove the one that is not the scan",
    ),
    BadDataset(
        "an echo is missing", Noticed.PLAN, lambda person: person.echo(2).unlink(), r"echo 2 is missing.*add the missing"
    ),
    BadDataset("a T1w that links to itself", Noticed.PLAN, instead_of_t1w(lambda path: path.symlink_to(path.name)), _ABSENT),
    BadDataset(
        "a T1w that links to nothing", Noticed.PLAN, instead_of_t1w(lambda path: path.symlink_to("/nowhere")), _ABSENT
    ),
    BadDataset("a T1w that is a folder", Noticed.PLAN, instead_of_t1w(Path.mkdir), _PLACE),
    BadDataset("a T1w that is a pipe", Noticed.PLAN, instead_of_t1w(os.mkfifo), _PLACE),
    BadDataset(
        "a T1w that links out of the dataset",
        Noticed.CHECK,
        instead_of_t1w(lambda path: path.symlink_to("/etc/passwd")),
        r"sub-01_T1w\.nii\.gz: no readable NIfTI image",
    ),
)
