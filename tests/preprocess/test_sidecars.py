from __future__ import annotations

import json
from pathlib import Path

import pytest

from tmsprep.errors import InputError
from tmsprep.sidecars import ArrayDirection, Sidecar, merge_sidecars


def _sidecar(**fields: object) -> Sidecar:
    return Sidecar(dict(fields), Path("sub-1_bold.json"))


def test_the_more_specific_file_overrides(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"RepetitionTime": 3, "EchoTime": 0.03}')
    (tmp_path / "b.json").write_text('{"RepetitionTime": 1.5}')
    merged = Sidecar.merge([tmp_path / "a.json", tmp_path / "b.json"])
    assert merged.repetition_time_s() == 1.5
    assert merged.echo_time_s() == 0.03
    merge_sidecars(sidecar=[tmp_path / "a.json", tmp_path / "b.json"], out_merged=tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text()) == {"RepetitionTime": 1.5, "EchoTime": 0.03}


@pytest.mark.parametrize("value", [None, "2", 2000, 0, True, float("nan")])
def test_an_implausible_repetition_time_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="RepetitionTime"):
        _sidecar(RepetitionTime=value).repetition_time_s()


def test_echo_times_in_milliseconds_are_refused() -> None:
    with pytest.raises(InputError, match="seconds, not milliseconds"):
        _sidecar(EchoTime=28).echo_time_s()


def test_slice_times_belong_to_the_third_axis_unless_said_otherwise() -> None:
    timing = _sidecar(RepetitionTime=2, SliceTiming=[0, 1, 0.5]).slice_timing((8, 9, 3))
    assert timing is not None
    assert (timing.axis, timing.times_s) == (2, (0.0, 1.0, 0.5))


def test_a_negative_slice_direction_turns_the_list_round() -> None:
    fields = {"RepetitionTime": 2, "SliceTiming": [0, 1, 0.5], "SliceEncodingDirection": "i-"}
    timing = _sidecar(**fields).slice_timing((3, 9, 8))
    assert timing is not None
    assert (timing.axis, timing.times_s) == (0, (0.5, 1.0, 0.0))


def test_no_slice_timing_is_no_error() -> None:
    assert _sidecar(RepetitionTime=2).slice_timing((2, 2, 2)) is None


@pytest.mark.parametrize("times", [[0, 1], [0, 500, 1000], "0,1,2", [-1, 0, 1]])
def test_slice_times_that_do_not_fit_are_refused(times: object) -> None:
    with pytest.raises(InputError, match="SliceTiming"):
        _sidecar(RepetitionTime=2, SliceTiming=times).slice_timing((4, 4, 3))


def test_phase_encoding_gives_axis_and_sign_of_the_displacement() -> None:
    distortion = _sidecar(PhaseEncodingDirection="j-", TotalReadoutTime=0.05).distortion()
    assert distortion.direction == ArrayDirection(1, -1)
    assert distortion.shift_voxels(20.0) == pytest.approx(-1.0)


def test_readout_time_from_echo_spacing() -> None:
    assert _sidecar(EffectiveEchoSpacing=0.0005, ReconMatrixPE=64).readout_s() == pytest.approx(0.0315)


@pytest.mark.parametrize("fields", [{}, {"PhaseEncodingDirection": "AP"}, {"PhaseEncodingDirection": "j"}])
def test_missing_distortion_metadata_is_named(fields: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"PhaseEncodingDirection|TotalReadoutTime"):
        _sidecar(**fields).distortion()
