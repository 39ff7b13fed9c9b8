"""Whether the files that are made of the records are there, unchanged, and say what the records say."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tmsprep.errors import InputError
from tmsprep.files import read_json, sha256
from tmsprep.provenance import machine
from tmsprep.provenance.activity import RUNS
from tmsprep.provenance.bidsprov import FOLDER
from tmsprep.provenance.lineage import Lineage, Step
from tmsprep.provenance.publish import LIST, from_records, name_of, own_checksum

_AGAIN = "`tmsprep provenance` makes it anew, once you know why"


def disagreements(lineage: Lineage) -> Iterator[tuple[str, str]]:
    """Yield what does not fit and the file that it is about, with its dataset's folder.

    An activity's identifier holds the checksum of its record: a record that was edited afterwards is found by that. Where
    the same code made the files, they are made again and compared whole.
    """
    main = lineage.main
    if main is None:
        return
    try:
        listed = read_json(main.root / LIST)
        files, source = listed["Files"], listed["MadeBy"]["Source"]
        digests = {str(name): str(digest) for name, digest in files.items()}
        intact = listed["SHA256"] == own_checksum(listed)
    except (InputError, KeyError, TypeError, AttributeError):
        yield (
            f"is not there or not readable: nothing says what was made of the records; {_AGAIN}",
            f"{main.name}/{LIST.as_posix()}",
        )
        return
    if not intact:
        yield (
            f"is not as it was written: it says which files were made of the records; {_AGAIN}",
            f"{main.name}/{LIST.as_posix()}",
        )
        return
    roots = {dataset.name: dataset.root for dataset in lineage.datasets}
    found = [*_listed(roots, digests), *_unlisted(lineage, digests)]
    if not any(where.endswith("_act.json") for _, where in found):
        found += _records(lineage, main.root / FOLDER)
    yield from found
    if not found and source == dict(machine.source())["SHA256"]:
        yield from _made_again(lineage, digests)


def _listed(roots: Mapping[str, Path], digests: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, digest in digests.items():
        folder, _, relative = name.partition("/")
        path = roots.get(folder, Path()) / relative
        if folder not in roots or ".." in Path(relative).parts or Path(relative).is_absolute():
            yield "is listed among the files made of the records, and lies in no dataset", name
        elif not path.is_file():
            yield f"is not there; it was made of the records; {_AGAIN}", name
        elif sha256(path) != digest:
            yield f"is not what was made of the records: another checksum; {_AGAIN}", name


def _unlisted(lineage: Lineage, digests: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for dataset in lineage.datasets:
        patterns = (f"{FOLDER}/prov-*/*", f"{FOLDER}/provenance.*", f"{FOLDER}/workflow/**/*.*", f"{RUNS.as_posix()}/*")
        for path in (item for pattern in patterns for item in sorted(dataset.root.glob(pattern)) if item.is_file()):
            if (name := name_of(lineage, path)) not in digests:
                yield f"is not among the files that were made of the records; {_AGAIN}", name


def _made_again(lineage: Lineage, digests: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Tell a list that was forged together with its files, and files that were not listed."""
    import hashlib

    links = {name: root for dataset in lineage.datasets for name, root in dataset.links.items()}
    absent = {f"bids:{name}:." for name, root in links.items() if not root.is_dir()}
    for path, text in from_records(lineage).items():
        name = name_of(lineage, path)
        if digests.get(name) == hashlib.sha256(text.encode()).hexdigest():
            continue
        if name not in digests or not (absent and _same_but_for(absent, path, text)):
            yield f"does not say what the records say; {_AGAIN}", name


def _same_but_for(absent: Collection[str], path: Path, text: str) -> bool:
    """Whether a file says the same, but for what a dataset says of itself that is not there to be read."""
    if not path.name.endswith((".json", ".jsonld")):
        return False
    return _without(absent, read_json(path)) == _without(absent, json.loads(text))


def _without(identifiers: Collection[str], content: Mapping[str, Any]) -> dict[str, Any]:
    """Leave objects out of the lists in a BIDS-Prov file."""
    return {
        key: [item for item in value if not (isinstance(item, dict) and item.get("Id") in identifiers)]
        if isinstance(value, list)
        else value
        for key, value in content.items()
    }


def _records(lineage: Lineage, folder: Path) -> Iterator[tuple[str, str]]:
    """Compare the records with the runs that the BIDS-Prov files of the whole chain name."""
    known = {f"bids::prov#{step.identifier}": step for step in lineage.steps}
    named: dict[str, tuple[dict[str, Any], Path]] = {}
    for path in sorted(folder.glob("prov-*/prov-*_act.json")):
        named |= {str(item.get("Id")): (item, path) for item in _activities(path)}
    if not named:
        return
    for identifier, (item, path) in named.items():
        if identifier not in known:
            twin = next((step for step in lineage.steps if _same(step, item)), None)
            if twin is None:
                yield f"names a run that no record tells of: {identifier}", name_of(lineage, path)
            else:
                what = "is not the record that it was when the BIDS-Prov files were made: it was edited"
                yield what, name_of(lineage, twin.activity.path)
                known.pop(f"bids::prov#{twin.identifier}", None)
    for identifier, step in known.items():
        if identifier not in named:
            yield f"is a record that the BIDS-Prov files do not name; {_AGAIN}", name_of(lineage, step.activity.path)


def _activities(path: Path) -> list[dict[str, Any]]:
    try:
        found = read_json(path).get("Activities")
    except InputError:
        return []  # its checksum tells
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _same(step: Step, item: dict[str, Any]) -> bool:
    content = step.activity.content
    keys = ("Command", "StartedAtTime", "EndedAtTime")
    return step.stage == item.get("Label") and sum(content[key] == item.get(key) for key in keys) >= len(keys) - 1
