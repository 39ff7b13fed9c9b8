"""Selection: the labels on the command line and fMRIPrep's filter file.

A filter file is JSON, ``{"bold": {"acquisition": "highres"}, "t1w": {"run": 1, "session": null}}``: for a kind of image
the entities that it must have. A value may be one label or a list; ``null`` means "without this entity", ``"*"`` "with
any".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tmsprep.errors import ConfigurationError, InputError
from tmsprep.files import read_json
from tmsprep.inputs.entities import ENTITY_NAMES, INDICES
from tmsprep.inputs.index import Image

KINDS = ("bold", "t1w", "fmap", "sbref", "t2w", "flair", "roi", "asl", "fmap_id")
"""Kinds that fMRIPrep's filter files may name; `bold`, `t1w` and `fmap` matter here, the rest is fMRIPrep's affair."""

_KEYS = {long: short for short, long in ENTITY_NAMES.items()}
_OTHER_KEYS = ("suffix", "datatype", "extension")
_Allowed = tuple[str | None, ...]


@dataclass(frozen=True)
class Filter:
    """What an image of one kind must have; an empty filter lets everything pass."""

    entities: dict[str, _Allowed] = field(default_factory=dict[str, _Allowed])
    """Short key (or suffix, datatype, extension) to allowed values; None: absent, ``*``: any."""

    def passes(self, image: Image) -> bool:
        """Tell whether an image is let through."""
        return all(_matches(key, _value(image, key), allowed) for key, allowed in self.entities.items())


def _value(image: Image, key: str) -> str | None:
    if key == "suffix":
        return image.name.suffix
    if key == "datatype":
        return image.datatype
    if key == "extension":
        return image.name.extension
    return image.name.get(key)


def _matches(key: str, value: str | None, allowed: _Allowed) -> bool:
    if value is None:
        return None in allowed
    if "*" in allowed or value in allowed:
        return True
    return key in INDICES and any(item is not None and item.isdigit() and int(item) == int(value) for item in allowed)


def load_filters(path: Path | None) -> Mapping[str, Filter]:
    """Read a filter file; None gives no filters.

    Raises
    ------
    ConfigurationError
        The file is absent, no JSON, or has a kind, an entity or a value that fMRIPrep's format does not know.
    """
    if path is None:
        return {}
    try:
        content = read_json(path)
    except InputError as error:
        raise ConfigurationError(str(error)) from error
    return {kind: _filter(path, kind, query) for kind, query in content.items()}


def _filter(path: Path, kind: str, query: Any) -> Filter:
    if kind not in KINDS:
        raise ConfigurationError(f"the filter file names {kind!r}", where=path, expected=", ".join(KINDS))
    if not isinstance(query, dict):
        raise ConfigurationError(f"{kind!r} is no object", where=path, expected='{"bold": {"session": "1"}}')
    return Filter({_key(path, kind, key): _allowed(path, kind, key, value) for key, value in query.items()})


def _key(path: Path, kind: str, key: str) -> str:
    if key in _OTHER_KEYS:
        return key
    if key in _KEYS:
        return _KEYS[key]
    hint = f"write {ENTITY_NAMES[key]!r}" if key in ENTITY_NAMES else "list the values instead of a pattern"
    raise ConfigurationError(
        f"{kind!r} filters by {key!r}",
        where=path,
        expected=", ".join([*list(_KEYS)[:3], "task", "acquisition", "run", "echo", "..."]),
        action=hint,
    )


def _allowed(path: Path, kind: str, key: str, value: Any) -> _Allowed:
    values = value if isinstance(value, list) else [value]
    if not values or not all(item is None or type(item) in {str, int} for item in values):
        raise ConfigurationError(
            f"{kind!r} filters {key!r} by {value!r}",
            where=path,
            expected='a label, a number, null (without it), "*" (any), or a list of these',
        )
    return tuple(None if item is None else _label(key, str(item)) for item in values)


def _label(key: str, text: str) -> str:
    short = _KEYS.get(key)
    return text.removeprefix(f"{short}-") if short else text
