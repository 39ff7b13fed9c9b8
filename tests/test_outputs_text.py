"""The page of output files says what the rules write, and says it of every file."""

from __future__ import annotations

import os
import re

from tests.conftest import ROOT
from tmsprep import outputs_text
from tmsprep.outputs_text import DATASETS, DESCRIPTIONS, WILDCARDS, outputs, reference_text
from tmsprep.stages import STAGES

RULES = sorted((ROOT / "rules").glob("*.smk"))


def test_the_page_is_the_programs_own() -> None:
    assert (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8") == reference_text()


def test_every_pattern_is_described_and_every_description_used() -> None:
    assert {output.ending for output in outputs()} == set(DESCRIPTIONS)
    assert all(output.description for output in outputs())


def test_no_rule_with_outputs_is_overlooked() -> None:
    named: set[str] = set()
    for path in RULES:
        for block in re.split(r"^ *rule ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            if re.search(r"^ +output:", block, re.MULTILINE):
                named.add(block.partition(":")[0])
    rules = {rule.name for engine in outputs_text.Preprocessing for rule in outputs_text.rules(engine) if rule.output()}
    assert len(named) > 20
    assert rules == named


def test_every_stage_of_a_rule_is_on_the_page() -> None:
    called = {name for path in RULES for name in re.findall(r"tmsprep stage ([\w-]+)", path.read_text(encoding="utf-8"))}
    assert {output.stage for output in outputs()} - {None} == called
    assert called <= set(STAGES)


def test_wildcards_and_datasets_are_explained() -> None:
    assert {output.dataset for output in outputs()} == set(DATASETS)
    assert {name for output in outputs() for name in re.findall(r"\{(\w+)\}", output.pattern)} == set(WILDCARDS)


def test_what_a_stage_may_leave_out_is_marked() -> None:
    optional = {output.pattern.rpartition("/")[2] for output in outputs() if output.optional}
    assert "{unit}_desc-circuit_brainsight.txt" in optional
    assert "{run}_desc-ICA_decision_tree.json" in optional
    assert "{unit}_markers.tsv" not in optional


def test_reading_the_rules_changes_nothing_in_the_process() -> None:
    before = dict(os.environ)
    outputs()
    assert dict(os.environ) == before
