"""The whole-head affine: any start, known truth."""

from __future__ import annotations

import numpy as np
import pytest
from anatomy_head import moved_head

from tmsprep import templates
from tmsprep.errors import ProcessingError
from tmsprep.preprocess.builtin.affine import initial_affine, register_affine, require_resemblance
from tmsprep.preprocess.builtin.head import Head
from tmsprep.spaces import apply_affine

TEMPLATE = templates.load(templates.NLIN2009C)


@pytest.mark.parametrize(
    ("angles_deg", "shift_mm"),
    [((0, 0, 0), (0, 0, 0)), ((35, 5, -10), (20, -45, 60)), ((-30, -15, 20), (-50, 30, -70)), ((5, 8, -9), (20, -30, 20))],
)
def test_the_first_guess_is_right_from_anywhere(angles_deg, shift_mm):
    """It need only be near: but a wrong basin is centimetres off."""
    head = moved_head(angles_deg, shift_mm)
    pull = initial_affine(Head(head.data, head.affine_ras_mm), TEMPLATE)
    points = head.brain_ras_mm(500)
    unmoved = apply_affine(np.linalg.inv(head.motion), points)
    truth = templates.transform(templates.NLIN2009C, templates.NLIN6).pull_points(unmoved)
    found = apply_affine(np.linalg.inv(pull), points)
    assert np.linalg.norm(found - truth, axis=1).mean() < 5.0


def test_the_affine_is_right():
    head = moved_head((10, -6, 8), (15, 25, -30))
    image = Head(head.data, head.affine_ras_mm)
    pull = register_affine(image, TEMPLATE, seed=42)
    points = head.brain_ras_mm(500)
    truth = templates.transform(templates.NLIN2009C, templates.NLIN6).pull_points(
        apply_affine(np.linalg.inv(head.motion), points)
    )
    found = apply_affine(np.linalg.inv(pull), points)
    assert np.linalg.norm(found - truth, axis=1).mean() < 2.5  # what an affine cannot follow is left


def test_another_contrast_is_refused():
    """Fluid bright, white matter dark: refused in the search, by its size, or at the latest by likeness."""
    head = moved_head((0, 0, 0), (0, 0, 0))
    inverted = np.where(head.data > 80, head.data.max() - head.data, 0)
    with pytest.raises(ProcessingError, match="template"):
        register_affine(Head(inverted, head.affine_ras_mm), TEMPLATE, seed=42)


def test_likeness_is_asked_at_the_right_place_too():
    head = moved_head((0, 0, 0), (0, 0, 0))
    near = np.eye(4)  # the two template spaces are some millimetres apart
    require_resemblance(Head(head.data, head.affine_ras_mm), TEMPLATE, near)
    inverted = np.where(head.data > 80, head.data.max() - head.data, 0)
    with pytest.raises(ProcessingError, match="resemble the template"):
        require_resemblance(Head(inverted, head.affine_ras_mm), TEMPLATE, near)


def test_a_head_upside_down_is_refused():
    """A header that lies by 180 degrees: the search does not go there, and what it finds must not pass."""
    head = moved_head((180, 0, 0), (0, 0, 0))
    with pytest.raises(ProcessingError, match="template"):
        register_affine(Head(head.data, head.affine_ras_mm), TEMPLATE, seed=42)


def test_a_head_of_impossible_size_is_refused():
    head = moved_head((0, 0, 0), (0, 0, 0))
    shrunk = np.diag([0.5, 0.5, 0.5, 1]) @ head.affine_ras_mm  # a header in other units
    with pytest.raises(ProcessingError, match="template"):
        register_affine(Head(head.data, shrunk), TEMPLATE, seed=42)
