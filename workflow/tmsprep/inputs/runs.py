"""From the images of one functional run to a `Run`, or to the reason why it cannot be one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tmsprep.errors import InputError
from tmsprep.inputs.entities import natural_key
from tmsprep.inputs.fieldmaps import choose_fieldmap
from tmsprep.inputs.filters import Filter
from tmsprep.inputs.index import Image, Index, require_content
from tmsprep.inputs.model import Echo, Run
from tmsprep.sidecars import PLAUSIBLE_TE_S, PLAUSIBLE_TR_S, shortened

BEST_SINGLE_ECHO_S = 0.030
"""Of two echoes the one nearest to this is used: about T2* of cortex at 3 T, where BOLD contrast is largest
(Posse et al. 1999, doi:10.1002/(SICI)1522-2594(199907)42:1<87::AID-MRM13>3.0.CO;2-O)."""

_MAGNITUDE = (None, "mag")
_HIGHEST_ECHO = 99


@dataclass(frozen=True)
class RunImages:
    """All images of one run: its echoes and parts."""

    key: tuple[tuple[str, str], ...]
    """The entities without echo and part."""
    images: tuple[Image, ...]

    @property
    def magnitudes(self) -> tuple[Image, ...]:
        """The images that are no phase, real or imaginary part."""
        return tuple(image for image in self.images if image.name.get("part") in _MAGNITUDE)

    @property
    def task(self) -> str | None:
        """The task label."""
        return dict(self.key).get("task")

    @property
    def session(self) -> str | None:
        """Without ``ses-``."""
        return dict(self.key).get("ses")


def group_runs(images: Iterable[Image]) -> list[RunImages]:
    """Gather BOLD images into runs, in natural order of name."""
    groups: dict[tuple[tuple[str, str], ...], list[Image]] = {}
    for image in images:
        if image.datatype == "func" and image.name.suffix == "bold":
            groups.setdefault(image.name.without("echo", "part"), []).append(image)
    ordered = sorted(groups, key=lambda key: natural_key(str(key)))
    return [RunImages(key, tuple(groups[key])) for key in ordered]


@dataclass(frozen=True)
class PreparedRun:
    """A run that can be processed, and what is to be said about it."""

    run: Run
    remarks: tuple[str, ...]


def prepare_run(
    index: Index,
    whole: RunImages,
    selected: Sequence[Image],
    siblings: Sequence[RunImages],
    fieldmap_filter: Filter,
) -> PreparedRun:
    """Make a `Run` of the selected magnitude images of a run.

    Parameters
    ----------
    whole
        The run with all its images: whether an echo is missing is judged on them.
    selected
        Those of its magnitude images that the filters let through; at least one.
    siblings
        The participant's runs, to notice an echo that only this one lacks.
    fieldmap_filter
        Which field map images may be used.

    Raises
    ------
    InputError
        The run cannot be used.
    """
    _require_task(index, whole)
    _require_one_file_each(index, selected)
    _require_all_echoes(index, whole, siblings)
    for image in selected:
        require_content(image.path, index.relative(image.path))
    echoes = sorted((_echo(index, image) for image in selected), key=lambda echo: echo.echo_time_s or 0.0)
    _require_distinct_echo_times(index, echoes)
    repetition_time_s = _common_repetition_time(index, selected)
    used, remarks = _choose_echoes(whole, echoes)
    first = min(selected, key=lambda image: int(image.name.get("echo") or 0))
    fieldmap, said = choose_fieldmap(index, first, [image.path for image in whole.images], fieldmap_filter.passes)
    return PreparedRun(Run(dict(whole.key), used, repetition_time_s, fieldmap), (*remarks, *said))


def _require_task(index: Index, whole: RunImages) -> None:
    if whole.task is None:
        raise InputError(
            "the name has no task-",
            where=index.relative(whole.images[0].path),
            expected="sub-LABEL[_ses-LABEL]_task-LABEL[...]_bold",
            action="rename the run's images and sidecars, e.g. with task-rest",
        )


def _require_one_file_each(index: Index, images: Sequence[Image]) -> None:
    seen: dict[str | None, Image] = {}
    for image in images:
        echo = image.name.get("echo")
        number = None if echo is None else str(int(echo))
        other = seen.setdefault(number, image)
        if other is not image:
            raise InputError(
                f"two images for the same echo of one run: also {other.path.name}",
                where=index.relative(image.path),
                expected="one magnitude image for each echo (.nii or .nii.gz, with or without part-mag)",
                action="remove one, or choose by --bids-filter-file",
            )
    if None in seen and len(seen) > 1:
        raise InputError(
            "one image without echo- beside images with it",
            where=index.relative(seen[None].path),
            expected="either one image without echo-, or echo-1, echo-2, ...",
            action="move the combined image to derivatives, or choose by --bids-filter-file",
        )


def _numbers(images: Iterable[Image]) -> set[int]:
    return {int(echo) for image in images if (echo := image.name.get("echo")) is not None}


def _require_all_echoes(index: Index, whole: RunImages, siblings: Sequence[RunImages]) -> None:
    own = _numbers(whole.magnitudes)
    if not own:
        return
    if max(own) > _HIGHEST_ECHO:
        raise InputError(
            f"the echo number is {max(own)}",
            where=index.relative(whole.magnitudes[0].path),
            expected=f"echo-1, echo-2, ... up to {_HIGHEST_ECHO}",
            action="rename the run's images and sidecars",
        )
    expected = set(range(1, max(own) + 1))
    for other in siblings:
        if _protocol(other) == _protocol(whole):
            expected |= _numbers(other.magnitudes)
    if missing := sorted(expected - own):
        raise InputError(
            f"echo {', '.join(map(str, missing))} is missing: there is echo {', '.join(map(str, sorted(own)))}",
            where=index.relative(whole.magnitudes[0].path),
            expected="all echoes of the run, as in the participant's other runs of this kind",
            action="add the missing images, or leave this run out by --bids-filter-file",
        )


def _protocol(run: RunImages) -> tuple[tuple[str, str], ...]:
    return tuple(item for item in run.key if item[0] not in {"ses", "run", "dir"})


def _echo(index: Index, image: Image) -> Echo:
    time_s = _seconds(index, image, "EchoTime", PLAUSIBLE_TE_S)
    if time_s is None and image.name.get("echo") is not None:
        raise _missing(index, image, "EchoTime", "0.0137")
    return Echo(image.path, time_s, index.sidecars(image))


def _seconds(index: Index, image: Image, key: str, limits_s: tuple[float, float]) -> float | None:
    value: Any = index.metadata(image).get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not limits_s[0] <= value <= limits_s[1]:
        raise InputError(
            f"{key} is {shortened(value)}",
            where=index.relative(image.path),
            expected=f"a number of seconds from {limits_s[0]:g} to {limits_s[1]:g}",
            action="correct it in the JSON sidecar (BIDS gives times in seconds, not milliseconds)",
        )
    return float(value)


def _missing(index: Index, image: Image, key: str, example: str) -> InputError:
    sidecar = image.path.name.removesuffix(image.name.extension) + ".json"
    applied = ", ".join(index.relative(path) for path in index.sidecars(image)) or "none"
    return InputError(
        f"{key} is missing from the JSON sidecars (read: {applied})",
        where=index.relative(image.path),
        expected=f'{key} in seconds, e.g. "{key}": {example}',
        action=f"add it to {sidecar} beside the image",
    )


def _require_distinct_echo_times(index: Index, echoes: Sequence[Echo]) -> None:
    for one, other in pairwise(echoes):
        if one.echo_time_s == other.echo_time_s:
            raise InputError(
                f"the same EchoTime ({one.echo_time_s} s) as {other.path.name}",
                where=index.relative(one.path),
                expected="a different echo time for each echo",
                action="correct EchoTime in the JSON sidecars",
            )


def _common_repetition_time(index: Index, images: Sequence[Image]) -> float:
    times = [_repetition_time(index, image) for image in images]
    for image, time_s in zip(images, times, strict=True):
        if time_s != times[0]:
            raise InputError(
                f"RepetitionTime is {time_s} s, but {times[0]} s in {images[0].path.name}",
                where=index.relative(image.path),
                expected="one repetition time for all echoes of a run",
                action="correct the JSON sidecars",
            )
    return times[0]


def _repetition_time(index: Index, image: Image) -> float:
    time_s = _seconds(index, image, "RepetitionTime", PLAUSIBLE_TR_S)
    if time_s is not None:
        return time_s
    if "VolumeTiming" in index.metadata(image):
        raise InputError(
            "VolumeTiming in place of RepetitionTime (sparse sampling)",
            where=index.relative(image.path),
            expected="volumes at equal intervals",
            action="leave this run out by --bids-filter-file or --task-id",
        )
    raise _missing(index, image, "RepetitionTime", "2.0")


def _choose_echoes(whole: RunImages, echoes: Sequence[Echo]) -> tuple[tuple[Echo, ...], list[str]]:
    """Return the echoes to use and what to say about them."""
    remarks: list[str] = []
    if len(whole.magnitudes) < len(whole.images):
        remarks.append("magnitude used, phase (or real and imaginary) images left out")
    if len(echoes) < len(whole.magnitudes):
        remarks.append(f"{len(echoes)} of {len(whole.magnitudes)} echoes used (--bids-filter-file)")
    if len(echoes) == 2:
        best = min(echoes, key=lambda echo: abs((echo.echo_time_s or 0.0) - BEST_SINGLE_ECHO_S))
        remarks.append(
            f"two echoes are too few for tedana: the one at {1000 * (best.echo_time_s or 0.0):g} ms, nearest to "
            f"{1000 * BEST_SINGLE_ECHO_S:g} ms, is used as single-echo"
        )
        return (best,), remarks
    if len(echoes) == 1:
        remarks.append("single-echo: no tedana")
    return tuple(echoes), remarks
