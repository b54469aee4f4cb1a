"""A recipe's values count only as far as they were checked, and odd ones are the student's error, not the grader's."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from grading.checks import student_network
from grading.checks.student_network import (
    RecipeError,
    StudentNetwork,
    Weights,
    compute_mean_difference,
    convert_error_to_failure_fields,
)
from grading.remote import DeadlineError, Frame


class FakeParameter:
    """A parameter with a value and a gradient."""

    def __init__(self, values):
        self.data = np.asarray(values, np.float32)

    def numpy(self):
        """Return the values."""
        return self.data


class FakeNetworkWorker:
    """A worker whose recipe, network and generator come from this test."""

    def __init__(self, parameters, reports=()):
        self._parameters, self._reports = parameters, reports

    def recipe(self, _module_id):
        """Return this worker, which is also the recipe."""
        return self

    def rng(self, seed):
        """Return a random number generator, whatever the seed."""
        return np.random.default_rng(seed)

    def build(self, _rng):
        """Return this worker, which is also the network."""
        return self

    def parameters(self):
        """Call the test's function for the parameters."""
        return self._parameters()

    def limit_time(self, _seconds):
        """Set no limit."""
        return contextlib.nullcontext()

    def train(self, _network, _inputs, _targets, *, rng, progress):
        """Report the test's steps, and train nothing."""
        assert rng is not None
        for args, named in self._reports:
            progress(*args, **named)


def build_network(parameters, reports=()) -> StudentNetwork:
    """Build a network whose worker returns these parameters and reports these steps."""
    return StudentNetwork(FakeNetworkWorker(parameters, reports), "04_layers", 0)


def test_parameters_must_stay_as_many_as_they_were():
    """A network with one more each time is the student's error, not the grader's."""
    kept = [FakeParameter([1.0])]
    growing = build_network(lambda: kept.append(FakeParameter([2.0])) or list(kept))
    first = growing.copy_weights()
    with pytest.raises(RecipeError, match="where there were 2"):
        growing.load_weights(first)


def add_buffers(worker, buffers):
    """Add buffers to the network in a worker."""
    worker.buffers = buffers
    return StudentNetwork(worker, "04_layers", 0)


def test_parameters_and_buffers_are_carried():
    """Both lists are copied and set. A network that defines no buffers has none."""
    weight, mean = FakeParameter([[1.0, 2.0]]), FakeParameter([0.5])
    source = add_buffers(FakeNetworkWorker(lambda: [weight]), lambda: [mean])
    other, others_mean = FakeParameter([[0.0, 0.0]]), FakeParameter([0.0])
    target = add_buffers(FakeNetworkWorker(lambda: [other]), lambda: [others_mean])
    target.load_weights(source.copy_weights())
    assert other.data.tolist() == [[1.0, 2.0]]
    assert others_mean.data.tolist() == [0.5]
    assert source.copy_weights().value_count == 2 + 4
    assert build_network(lambda: [weight]).copy_weights().buffers == ()


def test_other_shapes_are_said():
    """The message names the list and the shapes when another seed or training gives a different network."""
    grown, small = (
        build_network(lambda: [FakeParameter(np.zeros((3, 2)))]),
        build_network(lambda: [FakeParameter(np.zeros((2, 2)))]),
    )
    with pytest.raises(RecipeError, match=r"network\.parameters\(\): shapes \(3, 2\) after training, \(2, 2\) when"):
        small.load_weights(grown.copy_weights())
    keeping = add_buffers(FakeNetworkWorker(lambda: [FakeParameter([0.0])]), lambda: [FakeParameter(np.zeros(5))])
    with pytest.raises(RecipeError, match=r"network\.buffers\(\): shapes \(5,\) after training, none when"):
        build_network(lambda: [FakeParameter([0.0])]).load_weights(keeping.copy_weights())


def test_weights_that_are_not_numbers_are_said():
    """NaN is the student's error, with a message, and no noise is added to it."""
    with pytest.raises(RecipeError, match="NaN or infinity"):
        build_network(lambda: [FakeParameter([1.0, np.nan])]).copy_weights()
    keeping = add_buffers(FakeNetworkWorker(lambda: [FakeParameter([0.0])]), lambda: "none")
    with pytest.raises(RecipeError, match=r"buffers\(\): str"):
        keeping.copy_weights()


def test_noise_leaves_what_was_learned_and_nothing_of_low_bits():
    """Every number moves by a share of its tensor's size, and lower bits are as good as drawn."""
    rng = np.random.default_rng(1)
    values = rng.normal(0, 0.1, 20_000).astype(np.float32)
    hidden = (values.view(np.uint32) & ~np.uint32(1)) | rng.integers(0, 2, len(values)).astype(np.uint32)
    before = hidden.view(np.float32)
    (after,) = Weights((before,), ()).add_noise(1e-4, rng).parameters
    assert np.abs(after - before).std() == pytest.approx(1e-5 * np.sqrt(1 - 2 / np.pi), rel=0.1)
    kept = (after.view(np.uint32) & 1) == (before.view(np.uint32) & 1)
    assert 0.48 < kept.mean() < 0.52
    assert after.dtype == np.float32


def test_noise_spares_what_it_must():
    """A variance stays above 0, integers stay, and an array without size gets no noise."""
    tiny, scale = np.full(1000, 1e-8, np.float32), np.arange(5, dtype=np.int8)
    weights = Weights((np.zeros((0, 3), np.float32), np.zeros(4)), (np.append(tiny, 1.0), scale))
    noisy = weights.add_noise(1e-2, np.random.default_rng(2))
    assert noisy.shapes == weights.shapes
    assert noisy.buffers[0].min() > 0.9e-8
    assert noisy.buffers[1] is scale
    assert noisy.parameters[1].tolist() == [0] * 4
    assert weights.value_count == 4 + 8 * 1001 + 5


def test_noise_reaches_what_is_too_small_or_too_large_to_square():
    """Where the square of a float64 is 0 or infinite, its size is still known, and with it the noise."""
    for size in (2.0**-900, 2.0**900):
        before = np.full((50, 2), size) * [1, 3]
        (after,) = Weights((before,), ()).add_noise(1e-3, np.random.default_rng(3)).parameters
        assert np.std((after - before) / size) == pytest.approx(1e-3 * np.sqrt(5), rel=0.3)


def test_a_byte_of_a_buffer_counts_as_a_number():
    """Noise reaches neither integers nor a float's exponent there, so 64 bits hold more than a parameter does."""
    assert Weights((), (np.zeros(10, np.int64), np.zeros(10, np.float64))).value_count == 160
    assert Weights((np.zeros(10, np.float64),), ()).value_count == 10


def test_a_network_keeps_its_dtypes():
    """A dtype chosen in training does not carry an answer, because weights take the dtype that they find."""
    source, target = FakeParameter([1.5]), FakeParameter([0.0])
    source.data = source.data.astype(np.float64)
    build_network(lambda: [target]).load_weights(build_network(lambda: [source]).copy_weights())
    assert target.data.dtype == np.float32
    assert target.data.tolist() == [1.5]
    source.data[0] = 1e300
    build_network(lambda: [target]).load_weights(build_network(lambda: [source]).copy_weights())
    assert np.isposinf(target.data)


@pytest.mark.parametrize(
    ("name", "value", "call"),
    [
        ("build", 5, "build"),
        ("parameters", [], "network.parameters"),
        ("buffers", (), "network.buffers"),
        ("train", None, "train"),
        ("predict", 0.5, "predict"),
    ],
)
def test_a_value_where_a_function_belongs_is_said(name, value, call):
    """A property, or a name used twice, is the student's mistake and not an error of the grader's."""
    worker = FakeNetworkWorker(lambda: [FakeParameter([0.0])])
    setattr(worker, name, value)
    with pytest.raises(RecipeError) as told:
        exercise_network(worker)
    assert told.value.call == call
    assert told.value.expected in ("a function", "a method")


def test_a_recipe_and_a_tensor_that_are_values_are_said():
    """A module can replace itself by something else, and a class can have a number for a method."""
    worker = FakeNetworkWorker(lambda: [FakeParameter([0.0])])
    worker.recipe = lambda _module_id: 5
    with pytest.raises(RecipeError, match=r"recipe\.py: 5"):
        exercise_network(worker)
    plain = FakeParameter([0.0])
    plain.numpy = plain.data
    with pytest.raises(RecipeError, match=r"network\.parameters\(\)\[i\]\.numpy"):
        exercise_network(FakeNetworkWorker(lambda: [plain]))


def exercise_network(worker):
    """Do everything that the grader does with a network."""
    network_ = StudentNetwork(worker, "04_layers", 0)
    network_.copy_weights()
    network_.train(np.zeros((1, 2)), np.zeros((1, 1)), 0, 5, lambda *_: None)
    network_.predict(np.zeros((1, 2)))


def test_answers_differ_by_a_share():
    """Answers with nothing in common differ by 1, and equal ones by 0, for one probability and for many."""
    assert compute_mean_difference(np.eye(10), np.eye(10)) == 0
    assert compute_mean_difference(np.eye(10), np.roll(np.eye(10), 1, axis=1)) == 1
    assert compute_mean_difference(np.ones((4, 1)), np.zeros((4, 1))) == 1


def test_weights_have_an_end(monkeypatch):
    """The grader keeps a copy of all weights, so their bytes and their number are bounded."""
    monkeypatch.setattr(student_network, "MAX_WEIGHTS", 100)
    with pytest.raises(RecipeError, match="more than"):
        build_network(lambda: [FakeParameter(np.zeros(20))] * 2).copy_weights()
    with pytest.raises(RecipeError, match=r"1,001 parameters"):
        build_network(lambda: [FakeParameter([0.0])] * 1_001).copy_weights()


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
    """Anything else that is reported neither reaches the curve nor ends the grading."""
    seen: list[tuple[float, float]] = []
    network_ = build_network(lambda: [FakeParameter([0.0])], [(args, named)])
    network_.train(np.zeros((1, 2)), np.zeros((1, 1)), 0, 5, lambda *counts: seen.append(counts))
    assert seen == told


def test_the_line_of_a_training_run_without_end_is_shown():
    """The place and the quoted line; nothing is said if the worker did not report any."""
    frame = Frame("modules/04_x/recipe.py", 7, "train", "while True:")
    assert convert_error_to_failure_fields(DeadlineError("no answer", (frame,))) == {
        "got": "no answer",
        "file": "modules/04_x/recipe.py",
        "line": 7,
        "detail": "modules/04_x/recipe.py:7 in train: while True:",
    }
    assert convert_error_to_failure_fields(DeadlineError("no answer")) == {"got": "no answer"}
