"""Finding a circuit by what the user gave: a shipped name, an image, or JSON of their own; and the cache of images.

Images of shipped circuits are not part of the package: they are fetched over https on request, and never otherwise.
"""

from __future__ import annotations

import os
from pathlib import Path

from tmsprep.errors import ConfigurationError, InputError
from tmsprep.target.circuits import (
    Circuit,
    Weights,
    load_circuit,
    names,
    open_weights,
    read_circuit,
    require_checksum,
    unknown_circuit,
)

CACHE_VARIABLE = "TMSPREP_CACHE"
"""Environment variable that replaces the cache folder."""


def cache_folder() -> Path:
    """Return the folder where fetched images are kept."""
    import pooch

    own = os.environ.get(CACHE_VARIABLE)
    return (Path(own) if own else Path(pooch.os_cache("tmsprep"))) / "circuits"


def cached_image(circuit: Circuit) -> Path | None:
    """Return where a circuit's image is in the cache, or None if it is not there (or has none)."""
    if circuit.file is None:
        return None
    path = cache_folder() / circuit.file.name
    return path if path.is_file() else None


def fetch(circuit: Circuit) -> Path:
    """Fetch a circuit's image into the cache, if it is not there, and check its sha256.

    Raises
    ------
    ConfigurationError
        The circuit has nothing to fetch.
    InputError
        The address cannot be reached, or serves another file than the one described.
    """
    if circuit.file is None or circuit.file.url is None or circuit.file.sha256 is None:
        raise ConfigurationError(f"circuit {circuit.name!r} has nothing to fetch", action="use it as it is")
    if (path := cached_image(circuit)) is not None:
        require_checksum(circuit, path)
        return path
    return _download(circuit.file.url, circuit.file.name, circuit.file.sha256)


def _download(url: str, name: str, expected: str) -> Path:
    import pooch

    if not url.startswith("https://"):
        raise ConfigurationError("circuits are fetched over https only", where=url)
    advice = "download the map yourself and give it by its path; docs/circuits.md says how"
    try:
        return Path(pooch.retrieve(url, f"sha256:{expected}", fname=name, path=cache_folder()))
    except ValueError as error:  # pooch's word for another checksum; it has deleted the file
        raise InputError(
            f"the address serves another file than the one described ({error})",
            where=url,
            expected=expected,
            action=advice,
        ) from error
    except OSError as error:  # requests' errors are OSErrors too
        raise InputError(f"could not be fetched ({error})", where=url, action=advice) from error


def resolve(name: str, file: Path | None, space: str) -> Weights:
    """Make a circuit ready from what the user gave.

    Parameters
    ----------
    name
        A shipped circuit; or, with `file`, a name of the user's own.
    file
        The image of the shipped circuit (its sha256 must fit); or the user's own image, or JSON that fits the circuits'
        schema (an image that it names lies beside it).
    space
        Template space of a user's image that comes without JSON.

    Raises
    ------
    TmsprepError
        What `name` and `file` say does not fit together, or a file is wrong.
    """
    if name in names():
        circuit = load_circuit(name)
        return open_weights(circuit, file or cached_image(circuit))
    if file is None:
        return open_weights(load_circuit(name), None)  # says which names there are
    if file.suffix == ".json":
        circuit = read_circuit(file)
        return open_weights(circuit, file.with_name(circuit.file.name) if circuit.file else None)
    return open_weights(unknown_circuit(name, file, space), file)
