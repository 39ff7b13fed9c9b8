"""BIDS sidecars: merged as BIDS inherits them, and the few fields that processing depends on, read as checked types.

It knows no file names and no directory layout: the caller says which JSON files apply, the least specific first. Axes
named in a sidecar (``i``, ``j``, ``k``) are those of the *stored* array, so nothing here may be used after an image was
reordered.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from tmsprep.errors import InputError
from tmsprep.files import read_json, write_json
from tmsprep.stages import InFile, OutFile, SidecarFields

_AXES = {"i": 0, "j": 1, "k": 2}
PLAUSIBLE_TR_S = (0.05, 20.0)
PLAUSIBLE_TE_S = (0.0005, 0.2)
_TIMING_TOLERANCE_S = 0.001
_SHOWN_LETTERS = 60


@dataclass(frozen=True)
class ArrayDirection:
    """A direction along one axis of a stored array."""

    axis: int
    """0, 1 or 2."""
    sign: int
    """+1 towards larger indices, -1 towards smaller."""

    @classmethod
    def parse(cls, text: object, *, field: str, where: str | Path | None) -> ArrayDirection:
        """Read ``i``, ``j``, ``k``, ``i-``, ``j-`` or ``k-``.

        Raises
        ------
        InputError
            Anything else.
        """
        word = text if isinstance(text, str) else ""
        name = word.removesuffix("-")
        if name not in _AXES:
            raise InputError(
                f"{field} is {shortened(text)}",
                where=where,
                expected="i, j, k, i-, j- or k- (axes of the stored image)",
                action=f"correct {field} in the sidecar",
            )
        return cls(_AXES[name], -1 if word.endswith("-") else 1)


@dataclass(frozen=True)
class SliceTiming:
    """When each slice of a volume was acquired."""

    times_s: tuple[float, ...]
    """Time from the start of the volume, by slice index along `axis` of the stored array."""
    axis: int


@dataclass(frozen=True)
class Distortion:
    """How an off-resonance moves signal along the phase-encoding axis.

    Signal of a place whose off-resonance is f Hz appears ``sign * f * readout_s`` voxels further along `axis` of the
    stored array (the convention of BIDS and SDCFlows).
    """

    direction: ArrayDirection
    readout_s: float

    def shift_voxels(self, fieldmap_hz: Any) -> Any:
        """Return the displacement in voxels, same shape as the field in Hz."""
        return self.direction.sign * self.readout_s * fieldmap_hz


@dataclass(frozen=True)
class Sidecar:
    """The merged metadata of one image, with typed and validated access."""

    fields: dict[str, Any]
    where: Path | None
    """The most specific file, for messages."""

    @classmethod
    def merge(cls, paths: Sequence[Path]) -> Sidecar:
        """Merge JSON files by BIDS inheritance: `paths` least specific first, later ones override."""
        fields: dict[str, Any] = {}
        for path in paths:
            fields |= read_json(path)
        return cls(fields, paths[-1] if paths else None)

    def repetition_time_s(self) -> float:
        """Return RepetitionTime in s.

        Raises
        ------
        InputError
            Absent or implausible (milliseconds, for instance).
        """
        return self._number("RepetitionTime", PLAUSIBLE_TR_S)

    def echo_time_s(self, field: str = "EchoTime") -> float:
        """Return EchoTime (or EchoTime1, EchoTime2) in s.

        Raises
        ------
        InputError
            Absent or implausible.
        """
        return self._number(field, PLAUSIBLE_TE_S)

    def slice_timing(self, shape: Sequence[int]) -> SliceTiming | None:
        """Return the slice timing, or None where the sidecar has none.

        Parameters
        ----------
        shape
            Of the stored image.

        Raises
        ------
        InputError
            The list does not fit the image or the repetition time.
        """
        values = self.fields.get("SliceTiming")
        if values is None:
            return None
        direction = ArrayDirection.parse(
            self.fields.get("SliceEncodingDirection", "k"), field="SliceEncodingDirection", where=self.where
        )
        times = self._times(values, shape[direction.axis])
        # BIDS: with a negative direction the first entry belongs to the slice with the largest index
        return SliceTiming(times if direction.sign > 0 else times[::-1], direction.axis)

    def phase_encoding(self) -> ArrayDirection:
        """Return PhaseEncodingDirection.

        Raises
        ------
        InputError
            Absent or no array axis.
        """
        field = "PhaseEncodingDirection"
        return ArrayDirection.parse(self.fields.get(field), field=field, where=self.where)

    def readout_s(self) -> float:
        """Return TotalReadoutTime in s, or what EffectiveEchoSpacing and ReconMatrixPE make of it.

        Raises
        ------
        InputError
            Neither is given, or the value is implausible.
        """
        if "TotalReadoutTime" in self.fields:
            return self._number("TotalReadoutTime", (1e-4, 1.0))
        if "EffectiveEchoSpacing" in self.fields and "ReconMatrixPE" in self.fields:
            lines = self._number("ReconMatrixPE", (2, 10_000))
            return self._number("EffectiveEchoSpacing", (1e-6, 0.1)) * (lines - 1)
        raise InputError(
            "TotalReadoutTime is missing, and EffectiveEchoSpacing with ReconMatrixPE too",
            where=self.where,
            expected="the readout time, without which a field map cannot be turned into a displacement",
            action="add TotalReadoutTime to the sidecar, or leave out the field map",
        )

    def distortion(self) -> Distortion:
        """Return how off-resonance displaces this image.

        Raises
        ------
        InputError
            Phase-encoding direction or readout time is missing.
        """
        return Distortion(self.phase_encoding(), self.readout_s())

    def _times(self, values: object, slices: int) -> tuple[float, ...]:
        listed: list[object] = values if isinstance(values, list) else [values]
        odd = [value for value in listed if not _is_number(value)]
        if not isinstance(values, list) or len(listed) != slices or odd:
            found = f"{shortened(odd[0])} among its values" if odd else f"{len(listed)} values"
            raise InputError(
                f"SliceTiming has {found}",
                where=self.where,
                expected=f"one time in seconds for each of the {slices} slices",
                action="correct SliceTiming, or remove it to process without slice-timing correction",
            )
        times = tuple(float(value) for value in listed if _is_number(value))
        repetition = self.repetition_time_s()
        if not all(0 <= time <= repetition + _TIMING_TOLERANCE_S for time in times):
            raise InputError(
                f"SliceTiming runs from {min(times):g} to {max(times):g} with a RepetitionTime of {repetition:g} s",
                where=self.where,
                expected="times in seconds between 0 and RepetitionTime",
                action="correct SliceTiming (are they milliseconds?), or remove it",
            )
        return times

    def _number(self, field: str, limits: tuple[float, float]) -> float:
        value = self.fields.get(field)
        if not _is_number(value):
            found = "missing" if value is None else shortened(value)
            raise InputError(f"{field} is {found}", where=self.where, expected="a number", action=f"add {field}")
        if not limits[0] <= value <= limits[1]:
            raise InputError(
                f"{field} is {value:g}",
                where=self.where,
                expected=f"{limits[0]:g} to {limits[1]:g} (BIDS: seconds, not milliseconds)",
                action=f"correct {field}",
            )
        return float(value)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def shortened(value: object) -> str:
    """Return a metadata value as a message can show it, whatever its length."""
    text = repr(value)
    return text if len(text) <= _SHOWN_LETTERS else text[:_SHOWN_LETTERS] + "…"


def merge_sidecars(*, sidecar: list[InFile], out_merged: OutFile) -> SidecarFields:
    """Write one JSON file with the metadata of an image, inheritance resolved.

    Parameters
    ----------
    sidecar
        JSON files that apply, least specific first.
    out_merged
        The merged metadata.
    """
    write_json(out_merged, Sidecar.merge(sidecar).fields)
    return {}
