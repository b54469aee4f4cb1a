"""A few inputs for every reader in each run of the tests; `nox -s fuzz` has a hundred thousand."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import fuzz_target
from tests.fuzz.targets import TARGETS, FuzzTarget, make_message


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_nearly_right_is_read_or_refused(name):
    """Changed a little, an input is still read or refused in the reader's own way."""

    @given(st.integers(0, (1 << 32) - 1))  # by number, as the runner makes them
    @settings(max_examples=100)
    def check(number):
        TARGETS[name].read(TARGETS[name].make(Random(number)))

    check()


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=400))
@settings(max_examples=100)
def test_noise_is_refused(name, data):
    """So are bytes without any order."""
    TARGETS[name].read(data)


def test_a_reader_that_crashes_is_found():
    """The runner tells the input, and stops after three."""
    figures = fuzz_target(FuzzTarget(make_message, lambda data: data[:0] == 1 / 0), 10, seed=1)
    assert len(figures.findings) == 3


def test_inputs_are_made_again_by_seed_and_number():
    """The same seed and number make the same input, others another."""
    assert [make_message(Random("1/2")) for _ in range(2)] == [make_message(Random("1/2"))] * 2
    assert len({make_message(Random(f"1/{n}")) for n in range(20)}) > 10


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_reach_beyond_the_first_check(name):
    """Of each target's inputs some are accepted and some refused, and none is a finding."""
    figures = fuzz_target(TARGETS[name], 150, seed=1)
    assert not figures.findings
    assert 3 <= figures.accepted <= 147
