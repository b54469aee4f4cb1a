"""A recipe's generator tells nothing of the grader's own draws."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from grading.checks import images, network, xor
from grading.checks.seeds import own_draws, student_seed


@pytest.mark.parametrize("seed", [0, 1, 20, 2**31 - 1, 2**32 - 1])
def test_the_seed_a_recipe_is_given_is_another(seed):
    """Not the printed one, the same every time, and with no entropy of it in what the grader draws."""
    given = student_seed(seed)
    assert given == student_seed(seed)
    assert 2**40 < given < 2**63
    draws = own_draws(seed).integers(0, 2**63, 8)
    for known in (given, seed, [seed, 1], [given, 1]):
        assert not np.array_equal(np.random.default_rng(known).integers(0, 2**63, 8), draws)
    assert np.array_equal(own_draws(seed).integers(0, 2**63, 8), draws)


def test_each_purpose_has_its_own_draws():
    """What is asked of the network says nothing of how the other task is made."""
    assert own_draws(1).integers(2**63) != own_draws(1, "another task").integers(2**63)


@pytest.mark.parametrize("check", [images, xor, network])
def test_no_measurement_draws_from_the_seed_itself(check):
    """A generator made of the printed seed is one that student code could make again."""
    assert "default_rng" not in inspect.getsource(check)
