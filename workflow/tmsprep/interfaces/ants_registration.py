"""ANTs' registration, repeatable: the only place that starts one.

ANTs reads its seed from the environment. antspyx takes a ``random_seed`` too, and 0.6.3 silently ignores it: two runs
then differ by tenths of a millimetre.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tmsprep.errors import ConfigurationError

if TYPE_CHECKING:
    import ants

_VARIABLE = "ANTS_RANDOM_SEED"


def register(fixed: ants.ANTsImage, moving: ants.ANTsImage, kind: str, *, seed: int, **settings: Any) -> dict[str, Any]:
    """Register two images by ``ants.registration``.

    Parameters
    ----------
    fixed, moving
        The images.
    kind
        ANTs' name of the transform: ``Rigid``, ``Affine``, ``SyNOnly`` ...
    seed
        Of the metric's random sampling; at least 1.
    **settings
        As for ``ants.registration``.

    Returns
    -------
    dict
        What ``ants.registration`` returns.

    Raises
    ------
    ConfigurationError
        The seed is one for which ANTs would take the clock.
    """
    import ants

    if seed < 1:
        raise ConfigurationError(f"the seed is {seed}", expected="at least 1: ANTs takes the clock for 0")
    with _seeded(seed):
        return ants.registration(fixed, moving, kind, **settings)


@contextmanager
def _seeded(seed: int) -> Generator[None]:
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = str(seed)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before
