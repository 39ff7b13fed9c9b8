"""Deriving a participant's target again, in a scratch folder, from the recorded commands and inputs.

Each recorded command is run as it was, with every BIDS URI replaced by the file's place: inputs that no replayed run wrote
are taken from the derivatives and the raw dataset, and only if their checksum is the recorded one.
"""

from __future__ import annotations

import inspect
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tmsprep import DISCLAIMER, stages
from tmsprep.errors import ConfigurationError, InputError, ProcessingError
from tmsprep.files import read_json, sha256, write_json
from tmsprep.provenance import machine
from tmsprep.provenance.activity import DATASET_VARIABLE, RUN_VARIABLE
from tmsprep.provenance.compare import Difference, differences
from tmsprep.provenance.datasets import DESCRIPTION, Dataset
from tmsprep.provenance.lineage import File, Lineage, Step
from tmsprep.provenance.record import UNLINKED
from tmsprep.provenance.verify import printable

_NOT_AGAIN = {
    "fmriprep": "fMRIPrep is not run again: its files are taken as they are, after their checksums were compared",
    "link-preprocessed": "links to fMRIPrep's files are not made again: the files themselves are read",
    "fmriprep-image": "no container image is fetched again",
    "templateflow": "no template is fetched again",
    "fsaverage": "FreeSurfer's average is not copied again",
}
"""Stages that are left out, and why: they start containers, fetch, or write to folders that the command only names."""
_MARKERS = "_markers.tsv"
_SHOWN = 5


@dataclass(frozen=True)
class Replayed:
    """One run, derived again."""

    step: Step
    seconds: float
    other_bytes: tuple[str, ...]
    """URIs of files that are not what they were."""


class Scratch:
    """A folder that looks to the stages like the output folder did, with only what they need."""

    def __init__(self, lineage: Lineage, folder: Path, files: Sequence[Path], steps: Sequence[Step]) -> None:
        """Take the places; nothing is written yet.

        Parameters
        ----------
        lineage
            What was recorded.
        folder
            Where to work: empty, and in no dataset.
        files
            Files from outside that records know by checksum only.
        steps
            What will be run.
        """
        self._steps = steps
        self._lineage = lineage
        self._given = files
        self._folder = folder
        self.out = folder / "out"
        self._unlinked = folder / "unlinked"
        self._own = {dataset.root: self.out / dataset.name for dataset in lineage.datasets}

    @cached_property
    def _by_checksum(self) -> dict[str, Path]:
        return {sha256(path): path for path in self._given}

    def describe(self) -> None:
        """Give each dataset its description; links to others are absolute here."""
        for root, copy in self._own.items():
            content = read_json(root / DESCRIPTION)
            dataset = next(item for item in self._lineage.datasets if item.root == root)
            content["DatasetLinks"] = {name: str(self._linked(dataset, name)) for name in dataset.links}
            copy.mkdir(parents=True)
            write_json(copy / DESCRIPTION, content)

    def _linked(self, dataset: Dataset, name: str) -> Path:
        target = dataset.links[name]
        return self._own.get(target, target)

    def place(self, dataset: Dataset, uri: str, digest: str | None = None) -> Path:
        """Return where a file that a record of a dataset names is in the scratch folder, or where it is read from.

        Parameters
        ----------
        dataset
            Whose record it is.
        uri
            The file.
        digest
            Its sha256; tells files from outside apart that have the same name. None for outputs.

        Raises
        ------
        InputError
            The URI names no link of the dataset, or leads out of it.
        """
        prefix, _, path = uri.removeprefix("bids:").partition(":")
        if ".." in Path(path).parts or Path(path).is_absolute():
            raise InputError(f"{uri!r} leads out of its dataset", where=dataset.root)
        if prefix == UNLINKED:
            return self._unlinked / (digest or "made")[:16] / path
        if prefix and prefix not in dataset.links:
            raise InputError(f"no link is called {prefix!r}", where=dataset.root / DESCRIPTION)
        root = self._linked(dataset, prefix) if prefix else self._own[dataset.root]
        return root / path

    def provide(self) -> None:
        """Copy what the runs read and none of them writes.

        Raises
        ------
        InputError
            Files are absent or not what they were; the message names all of them.
        """
        wrong: list[str] = []
        made = {file for step in self._steps for file in step.generated}
        for step in self._steps:
            for file, item in zip(step.used, step.activity.used, strict=True):
                if file in made:
                    continue
                source = self._source(step.activity.dataset, item.uri, file)
                if source is None or not source.is_file():
                    wrong.append(f"{item.uri} is not there")
                elif sha256(source) != file.sha256:
                    wrong.append(f"{item.uri} is not what stage {step.stage} read: another checksum")
                else:
                    self._copy(source, self.place(step.activity.dataset, item.uri, item.sha256))
        if wrong:
            raise InputError(
                "the recorded inputs cannot be had: " + "; ".join(dict.fromkeys(wrong)),
                where=self._lineage.datasets[0].root.parent,
                action="give the raw dataset with --raw, files from elsewhere with --file",
            )

    def _copy(self, source: Path, place: Path) -> None:
        """Copy into the scratch folder; a linked dataset is read where it is."""
        if place.resolve().is_relative_to(self._folder.resolve()):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place)

    def _source(self, dataset: Dataset, uri: str, file: File) -> Path | None:
        if file.dataset != UNLINKED:
            return dataset.locate(uri)
        if found := self._by_checksum.get(file.sha256):
            return found
        work = dataset.root.parent / "work"
        return next((path for path in sorted(work.rglob(file.name)) if sha256(path) == file.sha256), None)

    def words(self, step: Step) -> list[str]:
        """Return a recorded command with places for URIs.

        Raises
        ------
        InputError
            It is not one that this program records: a record is not trusted.
        """
        words = shlex.split(str(step.activity.content["Command"]))
        if words[:3] != ["tmsprep", "stage", step.stage] or step.stage not in stages.STAGES:
            raise self._refusal(step, "the command is no stage's")
        function = stages.load(step.stage)
        inputs, outputs = (_options(names) for names in _signature(function))
        known = _options(inspect.signature(function).parameters)
        held = stages.path_options(function) - inputs - outputs
        digests = self._digests(step)
        option, placed = "", words[:3]
        for word in words[3:]:
            if word.startswith("-") and not _is_number(word):
                option, _, value = word.partition("=")
                positive = option.replace("--no-", "--", 1) if option not in known else option
                if positive not in known or positive in held or (value and option in inputs | outputs):
                    raise self._refusal(step, f"{word!r} is no option that a record can hold")
                placed.append(word)
            elif option in inputs | outputs:
                placed.append(str(self._file(step, word, digests, is_output=option in outputs)))
            elif word.startswith("@"):  # the command line would read that file
                raise self._refusal(step, f"the word {word!r}")
            else:
                placed.append(word)
        return placed

    def _digests(self, step: Step) -> dict[str, list[str]]:
        """Return the checksums of what a step read, by URI; a name from outside may stand for several files, in order."""
        found: dict[str, list[str]] = {}
        for item in step.activity.used:
            found.setdefault(item.uri, []).append(item.sha256)
        return found

    def _file(self, step: Step, word: str, digests: dict[str, list[str]], *, is_output: bool) -> Path:
        if not word.startswith("bids:"):
            raise self._refusal(step, f"{word!r} names no file by a BIDS URI")
        waiting = [] if is_output else digests.get(word, [])
        digest = waiting.pop(0) if len(waiting) > 1 else next(iter(waiting), None)
        place = self.place(step.activity.dataset, word, self._from_outside(word, digest))
        if is_output and not place.resolve().is_relative_to(self._folder.resolve()):
            raise self._refusal(step, f"{word!r} would be written outside the scratch folder")
        return place

    def _from_outside(self, uri: str, digest: str | None) -> str | None:
        """Return the checksum of a file that no replayed run writes; None for one that is made here."""
        made = {item.sha256 for other in self._steps for item in other.activity.generated if item.uri == uri}
        return None if digest in made else digest

    @staticmethod
    def _refusal(step: Step, what: str) -> InputError:
        return InputError(
            f"{what}: not run",
            where=step.activity.path,
            expected="a record as this program writes it",
            action="tmsprep verify",
        )


def _signature(function: Callable[..., object]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    roles = stages.Signature.of(function)
    return roles.inputs, roles.outputs


def _options(names: Iterable[str]) -> frozenset[str]:
    return frozenset("--" + name.replace("_", "-") for name in names)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def choose(lineage: Lineage, participant: str, from_stage: str | None) -> list[Step]:
    """Return the runs to do again, in their order.

    Parameters
    ----------
    lineage
        What was recorded.
    participant
        ``sub-01``.
    from_stage
        Only this stage and what depends on it; all if None.

    Raises
    ------
    InputError
        There is no such participant or stage.
    """
    own = [step for step in lineage.steps if step.participant == participant and step.stage not in _NOT_AGAIN]
    if not own:
        raise InputError(f"no records of {participant}", expected=", ".join(lineage.participants()))
    if from_stage is None:
        return own
    first = [step for step in own if step.stage == from_stage]
    if not first:
        stages = ", ".join(dict.fromkeys(step.stage for step in own))
        raise ConfigurationError(f"{participant} has no record of stage {from_stage!r}", where="--from", expected=stages)
    wanted = lineage.descendants(first)
    return [step for step in own if step in wanted]


def replay(scratch: Scratch, steps: Sequence[Step]) -> Iterator[Replayed]:
    """Run the steps one after the other, each compared with its record.

    Raises
    ------
    InputError
        An input is absent or not what it was.
    ProcessingError
        A stage failed; the message holds the last line that it said.
    """
    scratch.describe()
    commands = [scratch.words(step) for step in steps]  # all of them, before the first is run
    scratch.provide()
    program = str(Path(sys.executable).with_name("tmsprep"))
    environment = {key: value for key, value in os.environ.items() if key not in {RUN_VARIABLE, DATASET_VARIABLE}}
    for step, words in zip(steps, commands, strict=True):
        started = time.time()
        words[0] = program
        result = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
        if result.returncode:
            said = (result.stderr or result.stdout).strip().splitlines() or ["it said nothing"]
            raise ProcessingError(f"stage {step.stage} failed when it was run again: {said[-1]}", where=step.participant)
        yield Replayed(step, time.time() - started, tuple(_other_bytes(scratch, step)))


def _other_bytes(scratch: Scratch, step: Step) -> Iterator[str]:
    for item in step.activity.generated:
        path = scratch.place(step.activity.dataset, item.uri)
        if not path.is_file() or sha256(path) != item.sha256:
            yield item.uri


def other_versions(steps: Iterable[Step]) -> list[str]:
    """Return what is not as it was recorded: the source code, and libraries that are installed in another version."""
    found: dict[str, None] = {}
    source = dict(machine.source())
    for step in steps:
        content = step.activity.content
        then = content.get("Source", {})
        if then.get("SHA256") not in {None, source["SHA256"]}:
            found[f"source code of tmsprep: {_code(then)} then, {_code(source)} now"] = None
        for name, number in content["Software"].items():
            now = machine.installed(name)
            if now != number:
                found[f"{name}: {number} then, {now or 'not installed'} now"] = None
    return list(found)


def _code(source: dict[str, object]) -> str:
    return str(source.get("Commit") or source["SHA256"])[:12]


@contextmanager
def _folder(given: Path | None) -> Generator[Path]:
    if given is None:
        with tempfile.TemporaryDirectory(prefix="tmsprep-replay-") as name:
            yield Path(name).resolve()
        return
    if given.exists() and any(given.iterdir()):
        raise ConfigurationError("the scratch folder is not empty", where=given)
    given.mkdir(parents=True, exist_ok=True)
    yield given.resolve()


def command(
    derivatives: Path,
    *,
    participant_label: str,
    from_: str | None = None,
    raw: Path | None = None,
    file: list[Path] | None = None,
    scratch: Path | None = None,
    tolerance_mm: float = 0.0,
) -> int:
    """Derive a participant again from the recorded commands and inputs, and compare.

    Exit status: 0 if every target is where it was (within the tolerance) with the same status, 1 if not. Files with other
    bytes are listed.

    Parameters
    ----------
    derivatives
        The OUTPUT_DIR of a run. It is only read.
    participant_label
        With or without `sub-`.
    from_
        Start with this stage; what it reads is taken from the derivatives.
    raw
        The raw dataset, if it has moved.
    file
        Files that records know by checksum only, such as a circuit of your own.
    scratch
        An empty folder to work in, and keep; a temporary one if not given.
    tolerance_mm
        Distance between targets that counts as agreement.
    """
    lineage = Lineage(derivatives, raw)
    participant = "sub-" + participant_label.removeprefix("sub-")
    steps = choose(lineage, participant, from_)
    for line in _remarks(lineage, participant, steps):
        print(printable(line))
    with _folder(scratch) as folder:
        place = Scratch(lineage, folder, file or [], steps)
        done: list[Replayed] = []
        for item in replay(place, steps):
            done.append(item)
            print(printable(f"{len(done)}/{len(steps)} {_line(item)}"), flush=True)
        found = list(_differences(place, steps))
        return _conclude(done, found, _not_compared(lineage, participant, steps), tolerance_mm)


def _remarks(lineage: Lineage, participant: str, steps: Sequence[Step]) -> Iterator[str]:
    for stage, why in _NOT_AGAIN.items():
        if any(step.stage == stage for step in lineage.of_participant(participant)):
            yield f"note: {why}"
    for line in other_versions(steps):
        yield f"differs: {line}"


def _line(item: Replayed) -> str:
    count = len(item.step.generated)
    same = "same bytes" if not item.other_bytes else f"{len(item.other_bytes)} of {count} files have OTHER bytes"
    names = ", ".join(item.other_bytes[:_SHOWN]) + (", ..." if len(item.other_bytes) > _SHOWN else "")
    return f"{item.step.stage}: {count} files, {same}{f' ({names})' if names else ''}, {item.seconds:.1f} s"


def _differences(scratch: Scratch, steps: Sequence[Step]) -> Iterator[Difference]:
    """Compare the tables of targets that were derived again with those that are there now."""
    for step in steps:
        for file, item in zip(step.generated, step.activity.generated, strict=True):
            if file.name.endswith(_MARKERS):
                there = step.activity.dataset.locate(item.uri)
                again = scratch.place(step.activity.dataset, item.uri)
                if there is None or not there.is_file():
                    raise InputError("the recorded table of targets is not there", where=there)
                yield from differences(file.name.removesuffix(_MARKERS), there, again)


def _not_compared(lineage: Lineage, participant: str, steps: Sequence[Step]) -> list[str]:
    """Return the tables of targets of a participant that no replayed run wrote."""
    main = lineage.main
    if main is None:
        return []
    made = {file.path for step in steps for file in step.generated if file.dataset == main.name}
    paths = sorted((main.root / participant).rglob(f"*{_MARKERS}"))
    return [name for path in paths if (name := path.relative_to(main.root).as_posix()) not in made]


def _conclude(done: Sequence[Replayed], found: Sequence[Difference], left: Sequence[str], tolerance_mm: float) -> int:
    for item in found:
        apart = "no target" if item.apart_mm is None else f"{item.apart_mm:.4f} mm apart"
        status = item.status_a if item.status_a == item.status_b else f"{item.status_a} there, {item.status_b} again"
        print(printable(f"{item.unit} {item.target}: {apart}, {status}"))
    other = sum(len(item.other_bytes) for item in done)
    files = sum(len(item.step.generated) for item in done)
    print(f"files with the same bytes: {files - other} of {files}")
    print(DISCLAIMER)
    for name in left:
        print(printable(f"not derived again: {name}"))
    if not found:
        print("NO TARGET was derived again: the runs that were replayed write none")
        return 1 if other else 0
    agree = all(item.within(tolerance_mm) for item in found) and not left
    print(f"{'REPRODUCED' if agree else 'NOT REPRODUCED'} (tolerance {tolerance_mm:g} mm)")
    return 0 if agree else 1
