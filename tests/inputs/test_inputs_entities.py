"""Names: against the BIDS schema, and against names that must not pass."""

from __future__ import annotations

import pytest
from bidsschematools.schema import load_schema
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.errors import InputError
from tmsprep.inputs.entities import ENTITY_NAMES, INDICES, format_name, natural_key, parse_name

_LABELS = st.text("abcXYZ019+", min_size=1, max_size=6)
_NUMBERS = st.text("0123456789", min_size=1, max_size=3)


def test_entities_and_their_order_are_those_of_the_schema() -> None:
    schema = load_schema()
    expected = {schema.objects.entities[name].name: name for name in schema.rules.entities}
    assert expected == ENTITY_NAMES
    assert list(expected) == list(ENTITY_NAMES)
    assert {key for key, name in expected.items() if schema.objects.entities[name].format == "index"} == set(INDICES)


@given(
    st.dictionaries(st.sampled_from(sorted(set(ENTITY_NAMES) - INDICES)), _LABELS, min_size=1),
    st.dictionaries(st.sampled_from(sorted(INDICES)), _NUMBERS),
)
def test_a_name_taken_apart_and_put_together_is_the_same(labels: dict[str, str], numbers: dict[str, str]) -> None:
    text = format_name(labels | numbers, "bold", ".nii.gz")
    name = parse_name(text)
    assert str(name) == text
    assert dict(name.entities) == labels | numbers
    assert [key for key, _ in name.entities] == [key for key in ENTITY_NAMES if key in labels | numbers]


@pytest.mark.parametrize(
    "text",
    [
        "sub-01_task-rest_bold",  # no extension
        "sub-01_task-re st_bold.nii.gz",
        "sub-01_task-rest_run-one_bold.nii.gz",
        "sub-01_task-{task}_bold.nii.gz",
        "sub-01_task-$(reboot)_bold.nii.gz",
        "sub-01_task-a;b_bold.nii.gz",
        "sub-01_task-a'b_bold.nii.gz",
        "sub-..%2f_task-rest_bold.nii.gz",
        "sub-01_task-rest_task-rest_bold.nii.gz",
        "task-rest_sub-01_bold.nii.gz",
        "sub-01_echo-1_run-1_bold.nii.gz",
        "sub-01_colour-red_bold.nii.gz",
        "sub-_bold.nii.gz",
        "sub-01_task-été_bold.nii.gz",
        "sub-01_run-²_bold.nii.gz",
        "sub-01_task-rest\n_bold.nii.gz",
        "sub-01__bold.nii.gz",
        "",
    ],
)
def test_names_that_bids_does_not_allow_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="no BIDS file name"):
        parse_name(text)


def test_numbers_sort_as_numbers_and_odd_digits_do_no_harm() -> None:
    assert sorted(["run-10", "run-2", "run-²", "run-02"], key=natural_key)[:2] == ["run-02", "run-2"]
