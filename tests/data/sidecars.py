"""JSON sidecars that are no JSON, say the impossible, or say it twice; of images and of field maps."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.data.cases import TOUCH, BadCommand, BadDataset, Desk, Noticed
from tests.data.good import WELL, Person
from tmsprep.spaces import save_itk_affines

_SECRET = "the content of another file"
_GOOD = '"RepetitionTime": 2.0, "EchoTime": 0.0305'


def echo(**fields: Any) -> Callable[[Person], None]:
    """Change the sidecar of the second echo."""
    return lambda person: person.edit(person.echo(2), **fields)


def first(**fields: Any) -> Callable[[Person], None]:
    """Change the sidecar of the first echo, which speaks for the run."""
    return lambda person: person.edit(person.echo(1), **fields)


def text(content: str | bytes) -> Callable[[Person], None]:
    return lambda person: person.text(person.echo(2), content)


def phasediff(**fields: Any) -> Callable[[Person], None]:
    return lambda person: person.edit(person.fieldmap("phasediff"), **fields)


def instead(make: Callable[[Path], object]) -> Callable[[Person], None]:
    """Put something else than a file in the place of the second echo's sidecar."""

    def damage(person: Person) -> None:
        path = person.sidecar(person.echo(2))
        path.unlink()
        make(path)

    return damage


def _link_outside(path: Path) -> None:
    secret = path.parents[3] / "secret.txt"
    secret.write_text(_SECRET, encoding="utf-8")
    path.symlink_to(secret)


def _identifiers(person: Person) -> None:
    person.edit(person.echo(1), B0FieldSource=TOUCH)
    person.edit(person.fieldmap("phasediff"), B0FieldIdentifier=TOUCH + "; other", IntendedFor=None)


def _case(name: str, damage: Callable[[Person], object], message: str) -> BadDataset:
    return BadDataset(name, Noticed.PLAN, damage, message)


_ECHO = r"echo-2_bold\.nii\.gz: "
_JSON = r"echo-2_bold\.json: "
_SECONDS = r"Expected: a number of seconds from .* What to do: correct it in the JSON sidecar .*not milliseconds"
_CORRECT = r"What to do: correct the file; it must be JSON text in UTF-8"
_OTHER = r"no field map: distortion not corrected \(no field map of this session names the run"

SIDECARS = (
    _case("repetition time 0", echo(RepetitionTime=0), rf"{_ECHO}RepetitionTime is 0\. {_SECONDS}"),
    _case("repetition time below 0", echo(RepetitionTime=-2), rf"{_ECHO}RepetitionTime is -2\. {_SECONDS}"),
    _case("repetition time in ms", echo(RepetitionTime=2000), rf"{_ECHO}RepetitionTime is 2000\. {_SECONDS}"),
    _case("repetition time as text", echo(RepetitionTime="2.0"), rf"{_ECHO}RepetitionTime is '2\.0'\. {_SECONDS}"),
    _case("repetition time as list", echo(RepetitionTime=[2.0]), rf"{_ECHO}RepetitionTime is \[2\.0\]\. {_SECONDS}"),
    _case("repetition time NaN", echo(RepetitionTime=float("nan")), rf"{_ECHO}RepetitionTime is nan\. {_SECONDS}"),
    _case("repetition time of 400 digits", echo(RepetitionTime=10**400), rf"{_ECHO}RepetitionTime is 10+…\. {_SECONDS}"),
    _case("repetition time true", echo(RepetitionTime=True), rf"{_ECHO}RepetitionTime is True\. {_SECONDS}"),
    _case("repetition time missing", echo(RepetitionTime=None), rf"{_ECHO}RepetitionTime is missing.*add it to sub-01_task"),
    _case("two repetition times", echo(RepetitionTime=2.5), rf"{_ECHO}RepetitionTime is 2\.5 s, but 2\.0 s in .*echo-1"),
    _case("echo time in ms", echo(EchoTime=30.5), rf"{_ECHO}EchoTime is 30\.5\. {_SECONDS}"),
    _case("echo time 0", echo(EchoTime=0), rf"{_ECHO}EchoTime is 0\. {_SECONDS}"),
    _case("echo time of a nanosecond", echo(EchoTime=1e-9), rf"{_ECHO}EchoTime is 1e-09\. {_SECONDS}"),
    _case("echo time missing", echo(EchoTime=None), rf"{_ECHO}EchoTime is missing.*add it to sub-01_task"),
    _case("two echoes of one time", echo(EchoTime=0.0132), r"the same EchoTime \(0\.0132 s\) as .*correct EchoTime"),
    _case("byte order mark", text("\ufeff{" + _GOOD + "}"), rf"{_JSON}no readable JSON \(Unexpected UTF-8 BOM.*{_CORRECT}"),
    _case("UTF-16", text(("{" + _GOOD + "}").encode("utf-16")), rf"{_JSON}no readable JSON .*{_CORRECT}"),
    _case("a key twice", text("{" + _GOOD + ', "EchoTime": 0.02}'), rf"{_JSON}.*'EchoTime' is there twice.*{_CORRECT}"),
    _case("cut in the middle", text("{" + _GOOD), rf"{_JSON}no readable JSON .*{_CORRECT}"),
    _case("an array", text("[1, 2]"), rf"{_JSON}the JSON is not an object"),
    _case("100,000 brackets", text('{"a": ' + "[" * 100_000), rf"{_JSON}no readable JSON \(maximum recursion.*{_CORRECT}"),
    _case("a number of 5,000 digits", text('{"a": ' + "9" * 5000 + "}"), rf"{_JSON}no readable JSON .*digits.*{_CORRECT}"),
    _case("no file but a folder", instead(Path.mkdir), rf"{_JSON}a folder or a pipe in place of the file.*What to do"),
    _case("no file but a pipe", instead(os.mkfifo), rf"{_JSON}a folder or a pipe in place of the file.*What to do"),
    _case("a link to itself", instead(lambda path: path.symlink_to(path.name)), rf"{_JSON}.*absent content.*datalad get"),
    _case(
        "a link out of the dataset",
        instead(_link_outside),
        rf"{_JSON}no readable JSON \(Expecting value: line 1 .*{_CORRECT}",
    ),
    BadDataset(
        "field map of another participant",
        Noticed.REMARK,
        phasediff(IntendedFor=f"bids::sub-{WELL}/func/sub-{WELL}_task-rest_echo-1_bold.nii.gz"),
        _OTHER,
    ),
    BadDataset("IntendedFor that climbs out", Noticed.REMARK, phasediff(IntendedFor="bids::../../../etc/passwd"), _OTHER),
    BadDataset("IntendedFor for a shell", Noticed.REMARK, phasediff(IntendedFor=f"func/{TOUCH}\0"), _OTHER),
    BadDataset("IntendedFor of numbers", Noticed.REMARK, phasediff(IntendedFor=[5, None, {}]), _OTHER),
    BadDataset("B0FieldIdentifier for a shell", Noticed.REMARK, _identifiers, _OTHER),
    _case(
        "phase encoding as list", first(PhaseEncodingDirection=["j"]), r"PhaseEncodingDirection is \['j'\].*correct Phase"
    ),
    _case("phase encoding by anatomy", first(PhaseEncodingDirection="AP"), r"PhaseEncodingDirection is 'AP'.*correct Phase"),
    _case("readout time in ms", first(TotalReadoutTime=30), r"TotalReadoutTime is 30\..*not milliseconds"),
    _case(
        "field map's echo times in ms", phasediff(EchoTime1=4.92, EchoTime2=7.38), r"phasediff\.json: EchoTime1 is 4\.92\."
    ),
    _case("field map's echo times swapped", phasediff(EchoTime1=0.00738, EchoTime2=0.00492), r"EchoTime2 after EchoTime1"),
    _case("field map's echo times equal", phasediff(EchoTime1=0.005, EchoTime2=0.005), r"EchoTime2 after EchoTime1"),
    _case(
        "stripped, says the sidecar",
        lambda person: person.edit(person.t1w, SkullStripped=True),
        r"T1w\.nii\.gz: the sidecar says SkullStripped: true.*as it was scanned",
    ),
    _case(
        "stripped, says the sidecar as text",
        lambda person: person.edit(person.t1w, SkullStripped="true"),
        r"T1w\.nii\.gz: the sidecar says SkullStripped: 'true'.*as it was scanned",
    ),
)


def slices(*times: object, **fields: Any) -> Callable[[Desk], list[object]]:
    """Resample a run whose sidecar has these slice times."""

    def words(desk: Desk) -> list[object]:
        content = {"RepetitionTime": 2.0, "SliceTiming": list(times)} | fields
        sidecar = desk.file("run.json", json.dumps(content))
        save_itk_affines(desk.folder / "motion.txt", [np.eye(4)] * 24)
        return [
            *("stage", "bold-resample", "--echo", desk.person.echo(1), "--sidecar", sidecar),
            *("--reference", desk.person.fieldmap("magnitude1"), "--motion", desk.folder / "motion.txt"),
            *("--summary", desk.file("summary.json", "{}"), "--out-echo", desk.out / "sub-01_task-rest_bold.nii.gz"),
        ]

    return words


_SLICES = r"run\.json: SliceTiming "
SLICE_TIMES = (
    BadCommand("in words", slices(*["late"] * 14), rf"{_SLICES}has 'late' among its values.*for each of the 14 slices"),
    BadCommand("with NaN", slices(*[0.1] * 13, float("nan")), rf"{_SLICES}has nan among its values.*correct SliceTiming"),
    BadCommand("one too few", slices(*[0.1] * 13), rf"{_SLICES}has 13 values.*for each of the 14 slices"),
    BadCommand("in ms", slices(*[100 * index for index in range(14)]), rf"{_SLICES}runs from 0 to 1300.*milliseconds"),
    BadCommand("along no axis", slices(*[0.1] * 14, SliceEncodingDirection="z"), r"SliceEncodingDirection is 'z'.*i, j, k"),
)
