"""What fMRIPrep is asked for, and what users may not change."""

from __future__ import annotations

import pytest

from tmsprep.errors import ConfigurationError
from tmsprep.preprocess.fmriprep.arguments import Places, Request, command_line, extra_options

PLACES = Places("/data", "/job/out", "/job/work", "/license.txt", "/job/filter.json", None)


def request_of(**changes: object) -> Request:
    given: dict[str, object] = {
        "participant": "01",
        "seed": 7,
        "threads": 3,
        "mem_mb": 9000,
        "surfaces": False,
        "dummy_scans": None,
        "track_sessions": True,
        "extra": (),
    }
    return Request(**(given | changes))  # pyright: ignore[reportArgumentType]


def test_all_that_makes_a_run_repeatable_is_asked_for() -> None:
    words = " ".join(command_line(request_of(), PLACES))
    for part in ("--random-seed 7", "--skull-strip-fixed-seed", "--omp-nthreads 1", "--me-output-echos", "--notrack"):
        assert part in words
    assert "--output-spaces func MNI152NLin2009cAsym:res-2 MNI152NLin6Asym:res-2" in words
    assert "--fs-no-reconall" in words


def test_options_follow_the_request() -> None:
    changed = request_of(surfaces=True, dummy_scans=4, track_sessions=False, extra=("--use-syn-sdc", "warn"))
    words = command_line(changed, PLACES)
    assert "--fs-no-reconall" not in words
    assert words[words.index("--dummy-scans") + 1] == "4"
    assert "--no-track-sessions" in words
    assert words[words.index("--use-syn-sdc") + 1] == "warn"


def test_the_users_own_options_pass() -> None:
    assert extra_options('--use-syn-sdc warn --force bbr no-jacobian --fallback-total-readout-time "0.03"') == (
        *("--use-syn-sdc", "warn", "--force", "bbr", "no-jacobian", "--fallback-total-readout-time", "0.03"),
    )
    assert extra_options("") == ()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("--random-seed 1", "--seed"),
        ("--rand 1", "--seed"),
        ("--random_seed=1", "--seed"),
        ("--participant-label 02", "--participant-label"),
        ("-w /x", "-w"),
        ("--patch a=b", "--patch"),
        ("--output-spaces T1w", "leave it out"),
        ("--nthreads 9", "--fmriprep-threads"),
        ("--mem 9", "--fmriprep-mem-mb"),
        ("02", "no option"),
        ("--use-syn-sdc 'warn", "quot"),
        ("-- --anything", "--"),
    ],
)
def test_what_the_workflow_depends_on_is_not_theirs(text: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match="--fmriprep-options") as caught:
        extra_options(text)
    assert word in str(caught.value)
