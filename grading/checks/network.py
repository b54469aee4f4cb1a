"""A student's network in a worker, as a check sees it: build, train, predict; arrays in, arrays out, all checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from grading.checks.seeds import student_seed
from grading.client import Worker
from grading.remote import WorkerFailureError
from grading.testing import expect

TOLERANCE = 1e-3
"""Of probabilities in float32."""
MAX_WEIGHTS = 256 << 20
"""Bytes of all parameters together: the grader keeps a copy of them."""
MAX_PARAMETERS = 10_000
MAX_STEPS = 1e9
"""Of training, as it reports them."""
PLAIN = (type(None), bool, int, float, str, bytes, list, tuple, dict, slice, type(...), np.dtype, np.ndarray)
"""What crosses as a value: none of it is an object of the student's, whose methods could be called."""
Progress = Callable[[float, float], None]


class RecipeError(Exception):
    """The recipe gave something that is not what its docstring promises; the message is for the student."""

    def __init__(self, call: str, got: str, expected: str):
        super().__init__(f"{call}: {got}")
        self.call, self.got, self.expected = call, got, expected


class StudentNetwork:
    """One network built by the student's recipe, in one worker.

    ``outputs`` is how many probabilities it gives for each input: 1 of a yes, or one for each of several classes, which
    then add up to 1.
    """

    def __init__(self, worker: Worker, module_id: str, seed: int, *, outputs: int = 1):
        self._worker, self._outputs = worker, outputs
        self._recipe = worker.recipe(module_id)
        self._network = _object(self._recipe.build(worker.rng(student_seed(seed))), "build(rng)", "a network")
        self._count = 0

    def weights(self) -> list[np.ndarray]:
        """A copy of every parameter, in order."""
        arrays: list[np.ndarray] = []
        for parameter in self._parameters():
            values = parameter.numpy()
            if type(values) is not np.ndarray or values.dtype.kind != "f":
                raise RecipeError("network.parameters()[i].numpy()", _kind_of(values), "a float array")
            arrays.append(values)
            if sum(array.nbytes for array in arrays) > MAX_WEIGHTS:
                got = f"more than {MAX_WEIGHTS >> 20} MiB"
                raise RecipeError("network.parameters()", got, "the weights of a network of a sensible size")
        if not arrays:
            raise RecipeError("network.parameters()", "no parameters", "a list with every weight and bias")
        return arrays

    def put(self, weights: list[np.ndarray]) -> None:
        """Set every parameter's ``data``."""
        for parameter, values in zip(self._parameters(), weights, strict=True):
            parameter.data = values

    def train(self, inputs: np.ndarray, targets: np.ndarray, seed: int, seconds: float, progress: Progress) -> None:
        """Run the recipe's training; the steps it reports go to ``progress`` if they are two counts.

        Whatever else it reports, a loss for instance, is not believed and not even looked at.
        """

        def report(*told: Any, **named: Any) -> None:
            counts: list[Any] = [*told[:2], *(named.get(name) for name in ("step", "steps")[len(told) :])]
            step, steps = counts
            if all(type(n) in (int, float) and 0 <= n <= MAX_STEPS for n in (step, steps)):
                progress(float(step), float(steps))

        generator = self._worker.rng(student_seed(seed))
        with self._worker.deadline(seconds):
            self._recipe.train(self._network, inputs, targets, rng=generator, progress=report)

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Probabilities of shape (n, outputs) in float64; RecipeError for anything else, NaN and Inf included."""
        call = f"predict(network, inputs of shape {inputs.shape})"
        values = _finite_floats(self._recipe.predict(self._network, inputs), call, (len(inputs), self._outputs))
        if values.min() < 0 or values.max() > 1 + TOLERANCE:
            got = f"values from {values.min():.3g} to {values.max():.3g}"
            raise RecipeError(call, got, "probabilities: 0 to 1")
        sums = values.sum(axis=1)
        if self._outputs > 1 and np.abs(sums - 1).max() > TOLERANCE:
            got = f"rows that add up to {sums.min():.3g} to {sums.max():.3g}"
            raise RecipeError(call, got, "one probability for each class, which add up to 1")
        return values

    def feature_maps(self, images: np.ndarray) -> np.ndarray:
        """What the first convolution makes of images: (n, maps, height, width) in float64; else RecipeError."""
        call = f"feature_maps(network, images of shape {images.shape})"
        return _finite_floats(self._recipe.feature_maps(self._network, images), call, (len(images), None, None, None))

    def _parameters(self) -> list[Any]:
        parameters = self._network.parameters()
        if type(parameters) not in (list, tuple):
            raise RecipeError("network.parameters()", expect.name_type(parameters), "a list of tensors")
        if len(parameters) > MAX_PARAMETERS:
            raise RecipeError("network.parameters()", f"{len(parameters):,} parameters", "a list of a few tensors")
        self._count = self._count or len(parameters)
        if len(parameters) != self._count:
            got = f"{len(parameters)} parameters, where there were {self._count}"
            raise RecipeError("network.parameters()", got, "the same parameters, in the same order, every time")
        return [_object(parameter, "network.parameters()[i]", "a tensor") for parameter in parameters]


def _object(value: Any, call: str, expected: str) -> Any:
    """An object of the student's; RecipeError for a plain value in its place."""
    if isinstance(value, PLAIN):
        raise RecipeError(call, expect.describe(value), expected)
    return value


def _finite_floats(values: Any, call: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """The array in float64; RecipeError unless it is one of finite floats of this shape, None being any size."""
    wanted = f"an array of shape ({', '.join('any' if n is None else str(n) for n in shape)})"
    if type(values) is not np.ndarray or values.dtype.kind != "f":
        raise RecipeError(call, _kind_of(values), f"{wanted} of floats")
    fits = values.ndim == len(shape) and all(n in (None, size) for n, size in zip(shape, values.shape, strict=True))
    if not fits or not values.size:
        raise RecipeError(call, f"an array of shape {values.shape}", wanted)
    if not np.isfinite(values).all():
        raise RecipeError(call, "NaN or infinity", f"{wanted} of finite numbers")
    return values.astype(np.float64)


def _kind_of(value: Any) -> str:
    """What came instead of an array of floats: its dtype, or what it is."""
    if type(value) is np.ndarray:
        return f"an array of {value.dtype}"
    name = expect.name_type(value)
    return "a Tensor; call .numpy()" if name == "Tensor" else f"an object of type {name}"


def in_words(error: Exception) -> dict[str, Any]:
    """An exception of student code, or a worker's end, as the fields of a Failure."""
    if isinstance(error, RecipeError):
        return {"call": error.call, "got": error.got, "expected": error.expected}
    if isinstance(error, WorkerFailureError):
        return {"got": str(error)}
    frames = getattr(error, "frames", ())
    told: dict[str, Any] = {"got": f"{getattr(error, 'remote_type', type(error).__name__)}: {error}"}
    if frames:
        told |= {"file": frames[-1].file, "line": frames[-1].line}
        told["detail"] = "\n".join(map(str, frames))
    return told
