"""``tmsprep circuits``: which circuits there are, and fetching the image of one."""

from __future__ import annotations

from typing import Literal

from tmsprep.errors import ConfigurationError
from tmsprep.target import circuits, library


def command(action: Literal["list", "fetch"], name: str | None = None, /) -> int:
    """List the circuits, or fetch the image of one into the user's cache.

    Parameters
    ----------
    action
        ``list`` or ``fetch``.
    name
        The circuit to fetch.
    """
    if action == "list":
        for item in circuits.names():
            print(_describe(circuits.load_circuit(item)))
        return 0
    if name is None:
        raise ConfigurationError("no circuit was named", expected="tmsprep circuits fetch NAME")
    print(library.fetch(circuits.load_circuit(name)))
    return 0


def _describe(circuit: circuits.Circuit) -> str:
    lines = [circuit.name, f"  {circuit.description}", f"  space: {circuit.space}", f"  image: {_image(circuit)}"]
    lines += [f"  licence: {circuit.licence}", f"  citation: {circuit.citation}"]
    return "\n".join(lines)


def _image(circuit: circuits.Circuit) -> str:
    if circuit.file is None:
        return f"none needed ({len(circuit.seeds)} seed(s))"
    cached = library.cached_image(circuit)
    return str(cached) if cached else f"not fetched yet (tmsprep circuits fetch {circuit.name}; {circuit.file.url})"
