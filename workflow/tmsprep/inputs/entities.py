"""BIDS file names: taken apart and put together, strictly.

A name that BIDS does not allow is refused rather than guessed at: labels travel into file names, rules and command
lines, so nothing but letters, digits and ``+`` may pass. This module knows names only, not folders or contents.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tmsprep.errors import InputError

ENTITY_NAMES: dict[str, str] = {
    "sub": "subject",
    "tpl": "template",
    "ses": "session",
    "cohort": "cohort",
    "sample": "sample",
    "task": "task",
    "tracksys": "tracksys",
    "acq": "acquisition",
    "nuc": "nucleus",
    "voi": "volume",
    "ce": "ceagent",
    "trc": "tracer",
    "stain": "stain",
    "rec": "reconstruction",
    "dir": "direction",
    "run": "run",
    "mod": "modality",
    "echo": "echo",
    "flip": "flip",
    "inv": "inversion",
    "mt": "mtransfer",
    "part": "part",
    "proc": "processing",
    "hemi": "hemisphere",
    "space": "space",
    "split": "split",
    "recording": "recording",
    "chunk": "chunk",
    "atlas": "atlas",
    "seg": "segmentation",
    "scale": "scale",
    "res": "resolution",
    "den": "density",
    "label": "label",
    "desc": "description",
}
"""Key in a file name to the long name (used by filter files), in the order that BIDS prescribes."""

INDICES = frozenset({"run", "echo", "flip", "inv", "split", "chunk"})
"""Entities whose value is a number, perhaps with leading zeros."""

DERIVED = frozenset({"tpl", "cohort", "space", "atlas", "seg", "scale", "res", "den", "label", "desc"})
"""Entities that only derivatives have: an image with one of them is no raw data, wherever it lies."""

_ORDER = {key: position for position, key in enumerate(ENTITY_NAMES)}
_LABEL = re.compile(r"[0-9a-zA-Z+]+")
_INDEX = re.compile(r"[0-9]+")
_SUFFIX = re.compile(r"[0-9a-zA-Z]+")
_EXTENSION = re.compile(r"[0-9a-zA-Z]+(\.[0-9a-zA-Z]+)*")
_ACTION = "rename it as BIDS prescribes (labels hold letters, digits and + only)"


@dataclass(frozen=True)
class Name:
    """A BIDS file name in its parts: ``sub-01_task-rest_bold.nii.gz``."""

    entities: tuple[tuple[str, str], ...]
    """Key and value, in the order of the name: ``(("sub", "01"), ("task", "rest"))``."""
    suffix: str
    extension: str
    """With the leading dot: ``.nii.gz``."""

    def get(self, key: str) -> str | None:
        """Return the value of an entity, or None."""
        for own, value in self.entities:
            if own == key:
                return value
        return None

    def without(self, *keys: str) -> tuple[tuple[str, str], ...]:
        """Return the entities but for `keys`."""
        return tuple(item for item in self.entities if item[0] not in keys)

    def __str__(self) -> str:
        return format_name(dict(self.entities), self.suffix, self.extension)


def is_label(text: str) -> bool:
    """Tell whether `text` may be the value of an entity."""
    return _LABEL.fullmatch(text) is not None


def parse_name(text: str) -> Name:
    """Take a file name apart.

    Raises
    ------
    InputError
        BIDS does not allow the name; the message says why.

    Examples
    --------
    >>> parse_name("sub-01_task-rest_echo-2_bold.nii.gz").get("echo")
    '2'
    """
    stem, dot, extension = text.partition(".")
    *pairs, suffix = stem.split("_")
    if not dot or not _SUFFIX.fullmatch(suffix) or not _EXTENSION.fullmatch(extension):
        raise _refusal(text, f"the suffix {suffix!r} or the extension is not allowed")
    return Name(_entities(text, pairs), suffix, dot + extension)


def _entities(text: str, pairs: list[str]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    last = -1
    for pair in pairs:
        key, dash, value = pair.partition("-")
        position = _ORDER.get(key)
        if position is None or not dash:
            raise _refusal(text, f"{pair!r} is no BIDS entity")
        if not (_INDEX if key in INDICES else _LABEL).fullmatch(value):
            raise _refusal(text, f"{value!r} is no value that {key}- may have")
        if position <= last:
            raise _refusal(text, f"{key}- is there twice or in the wrong place")
        last = position
        found.append((key, value))
    return tuple(found)


def _refusal(text: str, why: str) -> InputError:
    return InputError(f"{text!r} is no BIDS file name: {why}", action=_ACTION)


def format_stem(entities: Mapping[str, str]) -> str:
    """Return ``sub-01_task-rest`` of entities, in BIDS order.

    Raises
    ------
    InputError
        A key or a value that BIDS does not allow.
    """
    pairs = [f"{key}-{entities[key]}" for key in sorted(entities, key=lambda key: _ORDER.get(key, -1))]
    stem = "_".join(pairs)
    _entities(stem, pairs)
    return stem


def format_name(entities: Mapping[str, str], suffix: str, extension: str) -> str:
    """Return the file name of entities, in BIDS order; the opposite of `parse_name`."""
    return f"{format_stem(entities)}_{suffix}{extension}" if entities else suffix + extension


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that puts ``run-2`` before ``run-10``."""
    parts = re.split(r"([0-9]+)", text)
    return tuple((1, int(part), part) if odd % 2 else (0, 0, part) for odd, part in enumerate(parts))
