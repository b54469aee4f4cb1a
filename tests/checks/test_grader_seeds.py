"""A recipe's generator reveals nothing about the grader's own draws."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from grading.checks import image_training, student_network, xor_training
from grading.checks.grader_seeds import derive_student_seed, make_grader_rng


@pytest.mark.parametrize("seed", [0, 1, 20, 2**31 - 1, 2**32 - 1])
def test_the_seed_a_recipe_is_given_is_another(seed):
    """It is not the printed seed, it is the same every time, and the grader's draws use none of its entropy."""
    given = derive_student_seed(seed)
    assert given == derive_student_seed(seed)
    assert 2**40 < given < 2**63
    draws = make_grader_rng(seed).integers(0, 2**63, 8)
    for known in (given, seed, [seed, 1], [given, 1]):
        assert not np.array_equal(np.random.default_rng(known).integers(0, 2**63, 8), draws)
    assert np.array_equal(make_grader_rng(seed).integers(0, 2**63, 8), draws)


def test_each_purpose_has_its_own_draws():
    """The requests to the network reveal nothing about how the other task is made."""
    assert make_grader_rng(1).integers(2**63) != make_grader_rng(1, "another task").integers(2**63)


@pytest.mark.parametrize("check", [image_training, xor_training, student_network])
def test_no_measurement_draws_from_the_seed_itself(check):
    """Student code could make the same generator from the printed seed."""
    assert "default_rng" not in inspect.getsource(check)
