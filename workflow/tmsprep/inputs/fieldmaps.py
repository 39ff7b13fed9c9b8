"""Which field map corrects a run, if any.

A run names its field map (``B0FieldSource``, matched with the field map's ``B0FieldIdentifier``), or the field map
names the run (``IntendedFor``: BIDS URI, or path relative to the participant's folder). The first way wins. Without
either, or where something needed is missing, the run's distortion is not corrected, and the plan says so and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tmsprep.errors import InputError
from tmsprep.inputs.index import Image, Index, require_content
from tmsprep.inputs.model import FieldmapPlan
from tmsprep.sidecars import Sidecar

_NOT_CORRECTED = "no field map: distortion not corrected"
_PRIMARY = ("epi", "fieldmap", "phasediff", "phase1")
"""Kinds that make a field map, best first (the order of fMRIPrep)."""
_KINDS = {"phase1": "phases"}
_OPPOSITE = {"-": "", "": "-"}


class _UnusableError(Exception):
    """Why a field map cannot be used; ends as a remark in the plan."""


def choose_fieldmap(
    index: Index, bold: Image, names: Sequence[Path], passes: Callable[[Image], bool] = lambda _: True
) -> tuple[FieldmapPlan | None, list[str]]:
    """Return the field map for a run, and what is to be said about it.

    Parameters
    ----------
    bold
        The run's first echo, whose sidecars count.
    names
        All images of the run: a field map may be intended for any one of them.
    passes
        Which field map images may be used at all.

    Raises
    ------
    InputError
        The content of a chosen image is not on this machine, or metadata that its use depends on are impossible.
    """
    own = [image for image in index.images[bold.subject] if image.session == bold.session and passes(image)]
    present = [image for image in own if image.datatype == "fmap" and image.name.suffix in _PRIMARY]
    primaries = _for_run(index, bold, own, names)
    if not primaries:
        hint = " (no field map of this session names the run in IntendedFor or B0FieldIdentifier)" if present else ""
        return None, [_NOT_CORRECTED + hint]
    reasons: list[str] = []
    for suffix in _PRIMARY:
        of_kind = [image for image in primaries if image.name.suffix == suffix or suffix == "epi" == _role(image)]
        if not of_kind:
            continue
        try:
            _require_readout(index, bold)
            plan = _plan(index, suffix, of_kind, own)
        except _UnusableError as error:
            reasons.append(str(error))
            continue
        return plan, [*_said(suffix, primaries, plan), *reasons]
    return None, [f"{_NOT_CORRECTED} ({'; '.join(dict.fromkeys(reasons))})"]


def _role(image: Image) -> str | None:
    """Return the kind of field map that an image can make: a single-band reference serves as EPI."""
    if image.datatype == "func":
        return "epi" if image.name.suffix == "sbref" else None
    return image.name.suffix if image.name.suffix in _PRIMARY else None


def _said(suffix: str, primaries: Sequence[Image], plan: FieldmapPlan) -> list[str]:
    kinds = {_role(image) for image in primaries} - {suffix}
    others = ", ".join(sorted(kind for kind in kinds if kind))
    remark = f"field map: {_KINDS.get(suffix, suffix)} ({', '.join(path.name for path in plan.images)})"
    return [remark + (f"; not used: {others}" if others else "")]


def _for_run(index: Index, bold: Image, images: Sequence[Image], names: Sequence[Path]) -> list[Image]:
    candidates = [image for image in images if _role(image)]
    sources = _texts(index.metadata(bold).get("B0FieldSource"))
    for source in sources:
        named = [image for image in candidates if source in _texts(index.metadata(image).get("B0FieldIdentifier"))]
        if named:
            return _first_echoes(named)
    wanted = set(names)
    return _first_echoes(
        image
        for image in candidates
        if image.datatype == "fmap"
        and any(_target(index, image, text) in wanted for text in _texts(index.metadata(image).get("IntendedFor")))
    )


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str)]


def _target(index: Index, image: Image, text: str) -> Path | None:
    """Return the file that an ``IntendedFor`` entry names; None for another dataset's."""
    if text.startswith("bids::"):
        return index.root / text.removeprefix("bids::").lstrip("/")
    if text.startswith("bids:"):
        return None
    return index.root / f"sub-{image.subject}" / text.removeprefix("./").lstrip("/")


def _first_echoes(images: Iterable[Image]) -> list[Image]:
    """Keep one image of each multi-echo or complex acquisition: magnitude, lowest echo."""
    kept: dict[object, Image] = {}
    for image in images:
        if image.name.get("part") in {"phase", "real", "imag"}:
            continue
        key = (image.datatype, image.name.suffix, image.name.without("echo", "part"))
        other = kept.get(key)
        if other is None or _echo(image) < _echo(other):
            kept[key] = image
    return list(kept.values())


def _echo(image: Image) -> int:
    return int(image.name.get("echo") or 0)


def _require_readout(index: Index, bold: Image) -> None:
    metadata = _sidecar(index, bold)
    if "PhaseEncodingDirection" not in metadata.fields:
        raise _UnusableError("the run's sidecars lack PhaseEncodingDirection")
    if not ({"TotalReadoutTime", "EffectiveEchoSpacing"} & set(metadata.fields)):
        raise _UnusableError("the run's sidecars lack TotalReadoutTime (or EffectiveEchoSpacing)")
    metadata.phase_encoding()
    if "TotalReadoutTime" in metadata.fields:
        metadata.readout_s()


def _sidecar(index: Index, image: Image) -> Sidecar:
    """Return the planning fields with typed access: what is there but impossible is refused, not passed over."""
    paths = index.sidecars(image)
    return Sidecar(index.metadata(image), paths[-1] if paths else None)


def _plan(index: Index, suffix: str, primaries: Sequence[Image], own: Sequence[Image]) -> FieldmapPlan:
    images = _epi_images(index, primaries) if suffix == "epi" else _complete(index, suffix, primaries, own)
    for image in images:
        require_content(image.path, index.relative(image.path))
    sidecars = tuple(index.sidecars(image) for image in images)
    return FieldmapPlan(_KINDS.get(suffix, suffix), tuple(image.path for image in images), sidecars)


def _epi_images(index: Index, primaries: Sequence[Image]) -> list[Image]:
    """Return the images of the first acquisition that has both phase-encoding directions; else all, if they have."""
    groups: dict[object, list[Image]] = {}
    for image in primaries:
        groups.setdefault(image.name.without("dir"), []).append(image)
    for images in [*groups.values(), list(primaries)]:
        directions = [index.metadata(image).get("PhaseEncodingDirection") for image in images]
        if any(_opposite(direction) in directions for direction in directions):
            return images
    raise _UnusableError("the EPI field map lacks the opposite PhaseEncodingDirection")


def _opposite(direction: Any) -> str | None:
    if not isinstance(direction, str) or not direction:
        return None
    return direction[0] + _OPPOSITE.get(direction[1:], "?")


def _complete(index: Index, suffix: str, primaries: Sequence[Image], own: Sequence[Image]) -> list[Image]:
    """Return the first field map of a kind that has its companions and metadata."""
    problems: list[str] = []
    for primary in primaries:
        companions = {
            image.name.suffix: image
            for image in own
            if image.datatype == "fmap" and image.name.without() == primary.name.without()
        }
        try:
            _require_metadata(index, primary)
            images = [primary, *_companions(suffix, primary, companions)]
        except _UnusableError as error:
            problems.append(str(error))
            continue
        if suffix == "phasediff":
            _require_echo_times(_sidecar(index, primary), primary)
        return images
    raise _UnusableError("; ".join(problems))


def _companions(suffix: str, primary: Image, at_hand: dict[str, Image]) -> list[Image]:
    magnitudes = [at_hand[name] for name in ("magnitude1", "magnitude2", "magnitude") if name in at_hand]
    if not magnitudes:
        raise _UnusableError(f"{primary.path.name} has no magnitude image")
    if suffix == "fieldmap":
        return [at_hand.get("magnitude", magnitudes[0])]
    if suffix == "phase1":
        if "phase2" not in at_hand:
            raise _UnusableError(f"{primary.path.name} has no phase2 image")
        return [at_hand["phase2"], *magnitudes]
    return magnitudes


def _require_metadata(index: Index, primary: Image) -> None:
    needed = {"phasediff": ("EchoTime1", "EchoTime2"), "phase1": ("EchoTime",), "fieldmap": ("Units",)}
    lacking = [key for key in needed[primary.name.suffix] if key not in index.metadata(primary)]
    if lacking:
        raise _UnusableError(f"the sidecars of {primary.path.name} lack {' and '.join(lacking)}")


def _require_echo_times(metadata: Sidecar, primary: Image) -> None:
    first_s, second_s = metadata.echo_time_s("EchoTime1"), metadata.echo_time_s("EchoTime2")
    if first_s >= second_s:
        raise InputError(
            f"EchoTime1 is {first_s:g} s and EchoTime2 {second_s:g} s",
            where=metadata.where,
            expected="EchoTime2 after EchoTime1: the sign of the field depends on it",
            action=f"correct the sidecar of {primary.path.name}, or leave the field map out by --bids-filter-file",
        )
