"""Which T1w image a target is computed on, where there is a choice.

Order of preference: a session that has the runs; the earlier session; no contrast agent; ``rec-norm`` (intensity
normalised), then no ``rec-``; the lowest ``run-``; the earlier name. What was passed over is said in the plan.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable

from tmsprep.errors import InputError
from tmsprep.inputs.entities import natural_key
from tmsprep.inputs.index import Image, Index, require_content

_MAGNITUDE = (None, "mag")


def t1w_images(images: Iterable[Image]) -> list[Image]:
    """Return the T1-weighted images, but for phase, real and imaginary parts."""
    return [
        image
        for image in images
        if image.datatype == "anat" and image.name.suffix == "T1w" and image.name.get("part") in _MAGNITUDE
    ]


def choose_t1w(candidates: Collection[Image], sessions: Collection[str | None]) -> Image:
    """Return the preferred one of several T1w images for runs of the given sessions."""

    def rank(image: Image) -> tuple[object, ...]:
        reconstruction = image.name.get("rec")
        return (
            image.session not in sessions,
            natural_key(image.session or ""),
            image.name.get("ce") is not None,
            {"norm": 0, None: 1}.get(reconstruction, 2),
            int(image.name.get("run") or 0),
            natural_key(image.path.name),
        )

    return min(candidates, key=rank)


def require_usable_t1w(index: Index, image: Image) -> None:
    """Check what can be known of a T1w image without reading it.

    Raises
    ------
    InputError
        Its content is not on this machine, it is there as .nii and as .nii.gz, or its sidecar says (or does not clearly
        deny) that the skull was stripped.
    """
    require_content(image.path, index.relative(image.path))
    for other in index.images[image.subject]:
        if other.path != image.path and other.path.parent == image.path.parent and _same_name(other, image):
            raise InputError(
                f"there is {other.path.name} beside it",
                where=index.relative(image.path),
                expected="one file for each image",
                action="remove the one that is not the scan",
            )
    stripped = index.metadata(image).get("SkullStripped")
    if stripped is not None and stripped is not False:
        raise InputError(
            f"the sidecar says SkullStripped: {json.dumps(stripped)}",
            where=index.relative(image.path),
            expected="a whole head: Beam F3 and the coil's place are measured on the scalp",
            action="give the T1w as it was scanned",
        )


def _same_name(one: Image, other: Image) -> bool:
    return (one.name.entities, one.name.suffix) == (other.name.entities, other.name.suffix)
