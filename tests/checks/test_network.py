"""What a recipe gives is believed only as far as it was checked, and odd things are the student's, not the grader's."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from grading.checks import network
from grading.checks.network import RecipeError, StudentNetwork


class Array:
    """A parameter."""

    def __init__(self, values):
        self.data = np.asarray(values, np.float32)

    def numpy(self):
        """Its values."""
        return self.data


class FakeWorker:
    """A worker whose recipe, network and generator are this test's."""

    def __init__(self, parameters, reports=()):
        self._parameters, self._reports = parameters, reports

    def recipe(self, _module_id):
        """Itself."""
        return self

    def rng(self, seed):
        """Any generator."""
        return np.random.default_rng(seed)

    def build(self, _rng):
        """The network is the worker, too."""
        return self

    def parameters(self):
        """What the test says, again each time."""
        return self._parameters()

    def deadline(self, _seconds):
        """No deadline."""
        return contextlib.nullcontext()

    def train(self, _network, _inputs, _targets, *, rng, progress):
        """Reports only."""
        assert rng is not None
        for args, named in self._reports:
            progress(*args, **named)


def built(parameters, reports=()) -> StudentNetwork:
    return StudentNetwork(FakeWorker(parameters, reports), "04_layers", 0)


def test_parameters_must_stay_as_many_as_they_were():
    """A network with one more each time is told so; it is not the grader's error."""
    kept = [Array([1.0])]
    growing = built(lambda: kept.append(Array([2.0])) or list(kept))
    first = growing.weights()
    with pytest.raises(RecipeError, match="where there were 2"):
        growing.put(first)


def test_weights_have_an_end(monkeypatch):
    """The grader keeps a copy of all weights, so their bytes and their number are bounded."""
    monkeypatch.setattr(network, "MAX_WEIGHTS", 100)
    with pytest.raises(RecipeError, match="more than"):
        built(lambda: [Array(np.zeros(20))] * 2).weights()
    with pytest.raises(RecipeError, match=r"10,001 parameters"):
        built(lambda: [Array([0.0])] * 10_001).weights()


@pytest.mark.parametrize(
    ("args", "named", "told"),
    [
        ((1, 10, 0.5), {}, [(1.0, 10.0)]),
        ((1, 10), {"loss": 0.5, "accuracy": 0.1}, [(1.0, 10.0)]),
        ((), {"steps": 10, "step": 2}, [(2.0, 10.0)]),
        ((3, 10, 0.5), {"step": 4}, [(3.0, 10.0)]),
        ((3,), {"steps": 10}, [(3.0, 10.0)]),
        ((float("inf"), 10, 0.5), {}, []),
        ((1, float("nan"), 0.5), {}, []),
        ((10**400, 10**400, 0), {}, []),
        ((-1, 10, 0), {}, []),
        (("1", 10, 0), {}, []),
        ((True, 10, 0), {}, []),
        ((), {}, []),
    ],
)
def test_a_report_is_two_counts_or_nothing(args, named, told):
    """Whatever else is reported, in whatever form, neither reaches the curve nor ends the grading."""
    seen: list[tuple[float, float]] = []
    network_ = built(lambda: [Array([0.0])], [(args, named)])
    network_.train(np.zeros((1, 2)), np.zeros((1, 1)), 0, 5, lambda *counts: seen.append(counts))
    assert seen == told
