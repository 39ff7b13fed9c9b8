"""The ladder's decisions, with tedana's answers given."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tmsprep.denoise import ladder, tedana_call
from tmsprep.denoise.ladder import LADDER, Outcome, Rung
from tmsprep.denoise.tedana_call import Decomposition, IcaSettings, IcaTry, MultiEchoInput

DATA = MultiEchoInput((Path("echo-1"), Path("echo-2"), Path("echo-3")), (0.01, 0.03, 0.05), Path("mask"), 0)
START = IcaSettings("fastica", "tedana_orig", "aic", 42, 5, 500, 30)


def found(*, converged: bool = True, bold: bool = True) -> Decomposition:
    tags = ["Likely BOLD", "Unlikely BOLD"] if bold else ["Low variance", "Unlikely BOLD"]
    metrics = pd.DataFrame({"classification": ["accepted", "rejected"], "classification_tags": tags})
    return Decomposition((IcaTry(42, converged, 10),), metrics, pd.DataFrame(), {})


class FakeTedana:
    """Answers each rung as told and remembers what it was asked."""

    def __init__(self, **answers: Decomposition | Exception) -> None:
        self.answers = {name.replace("_", "-"): answer for name, answer in answers.items()}
        self.asked: dict[str, IcaSettings] = {}

    def decompose(self, data: MultiEchoInput, settings: IcaSettings, folder: Path) -> Decomposition:
        folder.mkdir()
        (folder / tedana_call.MIXING).write_text(folder.name)
        self.asked[folder.name] = settings
        answer = self.answers[folder.name]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def descend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def go(tedana: FakeTedana) -> ladder.Descent:
        monkeypatch.setattr(tedana_call, "decompose", tedana.decompose)
        monkeypatch.setattr(tedana_call, "combine", lambda data, folder: folder.mkdir())
        return ladder.descend(DATA, LADDER, START, tmp_path)

    return go


def outcomes(descent: ladder.Descent) -> list[tuple[Rung, Outcome]]:
    return [(attempt.rung, attempt.outcome) for attempt in descent.attempts]


def test_first_rung_that_holds_is_used(descend) -> None:
    descent = descend(FakeTedana(fastica=found()))
    assert outcomes(descent) == [(Rung.FASTICA, Outcome.USED)]
    assert descent.folder.name == "fastica"


def test_without_bold_components_the_minimal_tree_gets_the_ica_that_converged(descend, tmp_path: Path) -> None:
    tedana = FakeTedana(fastica=found(bold=False), robustica=found(converged=False), minimal_tree=found())
    descent = descend(tedana)
    assert outcomes(descent) == [
        (Rung.FASTICA, Outcome.NO_BOLD),
        (Rung.ROBUSTICA, Outcome.NOT_CONVERGED),
        (Rung.MINIMAL, Outcome.USED),
    ]
    known = tedana.asked["minimal-tree"].known
    assert known is not None
    assert known.mixing.read_text() == "fastica"
    assert tedana.asked["minimal-tree"].tree == "minimal"
    assert not (tmp_path / "fastica").exists()


def test_an_error_of_tedana_is_a_step_down_with_its_words(descend) -> None:
    tedana = FakeTedana(fastica=ValueError("array must not contain infs"), robustica=found())
    descent = descend(tedana)
    assert outcomes(descent) == [(Rung.FASTICA, Outcome.FAILED), (Rung.ROBUSTICA, Outcome.USED)]
    assert descent.attempts[0].detail == "ValueError: array must not contain infs"
    assert tedana.asked["robustica"].method == "robustica"


def test_mdl_is_asked_for_fewer_components_with_the_original_tree(descend) -> None:
    bad = found(converged=False)
    tedana = FakeTedana(fastica=bad, robustica=bad, mdl=found())
    descent = descend(tedana)
    assert descent.rung is Rung.MDL
    assert (Rung.MINIMAL, Outcome.PASSED_OVER) in outcomes(descent)
    assert tedana.asked["mdl"].component_number == "mdl"
    assert tedana.asked["mdl"].tree == "tedana_orig"


def test_last_rung_holds_and_has_no_decomposition(descend) -> None:
    bad = found(bold=False)
    descent = descend(FakeTedana(fastica=bad, robustica=bad, minimal_tree=bad, mdl=bad))
    assert descent.rung is Rung.COMBINATION
    assert descent.decomposition is None
    assert len(descent.attempts) == len(LADDER)


def test_a_defect_of_this_program_is_not_swallowed(descend) -> None:
    with pytest.raises(KeyError):
        descend(FakeTedana())
