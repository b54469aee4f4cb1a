"""Build, train, query and copy a student's network in a worker, and check every array that it returns.

What a network has learned is in its parameters and its buffers, and nowhere else. So both are copied out of the process
that trained, given a little noise, and loaded into a network in a process that saw no training. The figures that count
are measured in that second process.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from grading.checks.grader_seeds import derive_student_seed
from grading.client import Worker
from grading.manifest.model import Milestone
from grading.remote import DeadlineError, WorkerFailureError, choose_traceback_frame
from grading.result import Failure
from grading.testing import expect
from grading.testing.failures import find_exception_hint

TOLERANCE = 1e-3
"""The rounding error allowed in float32 probabilities."""
MAX_WEIGHTS = 64 << 20
"""The maximum total size of all parameters and buffers in bytes. The grader keeps copies of them."""
MAX_TENSORS = 1_000
"""The maximum number of tensors in each of the two lists. Noise cannot alter a float's exponent, so each tensor can
hide one exponent.
"""
MAX_STEPS = 1e9
"""The largest number of training steps that a progress report may contain."""
PLAIN_TYPES = (type(None), bool, int, float, str, bytes, list, tuple, dict, slice, type(...), np.dtype, np.ndarray)
"""The types that a worker sends as values. All other types are student objects, whose methods can be called."""
ProgressCallback = Callable[[float, float], None]


class RecipeError(Exception):
    """The error raised if a recipe does not return what its docstring promises. The message is for the student."""

    def __init__(self, call: str, got: str, expected: str):
        super().__init__(f"{call}: {got}")
        self.call, self.got, self.expected = call, got, expected


@dataclass(frozen=True, eq=False)
class Weights:
    """A copy of everything that a network has learned."""

    parameters: tuple[np.ndarray, ...]
    buffers: tuple[np.ndarray, ...]

    @property
    def value_count(self) -> int:
        """The number of values in all arrays, with each byte of a buffer counted as one.

        Noise cannot alter an integer in a buffer or the exponent of a float.
        """
        return sum(array.size for array in self.parameters) + sum(array.nbytes for array in self.buffers)

    @property
    def float_count(self) -> int:
        """The number of values that are floats. An uncompressed network has no others."""
        return sum(array.size for array in (*self.parameters, *self.buffers) if array.dtype.kind == "f")

    @property
    def nbytes(self) -> int:
        """The total size of all arrays in bytes."""
        return sum(array.nbytes for array in (*self.parameters, *self.buffers))

    @property
    def shapes(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """The shapes of the parameters and of the buffers."""
        return tuple(tuple(a.shape for a in arrays) for arrays in (self.parameters, self.buffers))

    def add_noise(self, relative_noise: float, rng: np.random.Generator) -> Weights:
        """Return a copy with noise that erases anything hidden in the low bits of floats but keeps what was learned.

        The noise of a parameter is relative to its tensor's root mean square. Seen as a noisy channel, each number
        then holds at most log2(1 / relative_noise) bits (Shannon, 1948). The noise of a float buffer is relative to
        each of its values, so that a variance stays above 0. Integers do not change.
        """

        def perturb(array: np.ndarray, scale: Any) -> np.ndarray:
            """Add normal noise to an array, relative to this scale, and keep its type."""
            moved = array + scale * relative_noise * rng.standard_normal(array.shape)
            return _cast_values(moved, array.dtype)

        def compute_root_mean_square(array: np.ndarray) -> float:
            """Compute the root mean square of an array; return 0 if the array is empty."""
            # Divide by the largest value first: the square of a float64 below 1e-162 is 0, which would mean no noise.
            largest = float(np.abs(array).max(initial=0))
            return largest * float(np.sqrt(np.mean(np.square(array / largest, dtype=np.float64)))) if largest else 0.0

        return Weights(
            tuple(perturb(array, compute_root_mean_square(array)) for array in self.parameters),
            tuple(perturb(array, array) if array.dtype.kind == "f" else array for array in self.buffers),
        )


class StudentNetwork:
    """One network built by the student's recipe, in one worker.

    ``outputs`` is the number of probabilities for each input. It is 1 for a yes-or-no question. Otherwise there is one
    probability for each class, and they add up to 1.
    """

    def __init__(self, worker: Worker, module_id: str, seed: int, *extra_arrays: np.ndarray, outputs: int = 1):
        """Call the recipe's `build` with any extra arrays that it takes, and with a generator made from the seed."""
        self._worker, self._outputs = worker, outputs
        self._recipe = _require_student_object(worker.recipe(module_id), "recipe.py", "a module")
        network = self._get_recipe_function("build")(*extra_arrays, worker.rng(derive_student_seed(seed)))
        self._network = _require_student_object(network, "build(rng)", "a network")
        self._counts: dict[str, int] = {}
        self._compressed = False

    def copy_weights(self) -> Weights:
        """Copy every parameter and buffer, in order. Raise RecipeError if one of them is not valid."""
        parameters = self._copy_tensor_values(
            "parameters", self._list_network_tensors("parameters"), "f", "a float array"
        )
        if not parameters and not self._compressed:  # a network that is no longer trained may have only buffers
            raise RecipeError("network.parameters()", "no parameters", "a list with every weight and bias")
        buffers = self._copy_tensor_values(
            "buffers", self._list_network_tensors("buffers"), "fiub", "an array of numbers"
        )
        if not all(np.isfinite(array).all() for array in (*parameters, *buffers)):
            expected = "finite numbers; a smaller learning rate or gradient clipping keeps them finite"
            raise RecipeError("network.parameters(), network.buffers()", "NaN or infinity", expected)
        return Weights(parameters, buffers)

    def load_weights(self, weights: Weights) -> None:
        """Set the `data` of every parameter and buffer. Raise RecipeError if the weights do not fit this network.

        Every tensor keeps its dtype in this network. If it adopted the dtype it had after training, that dtype could
        carry information that noise cannot erase.
        """
        own = self.copy_weights()
        if own.shapes != weights.shapes:
            for what, here, there in zip(("parameters", "buffers"), own.shapes, weights.shapes, strict=True):
                if here != there:
                    shapes = _format_shapes(there), _format_shapes(here)
                    got = f"shapes {shapes[0]} after training, {shapes[1]} when built from a different seed"
                    expected = "the same list for every seed, before and after training"
                    raise RecipeError(f"network.{what}()", got, expected)
        for what in ("parameters", "buffers"):
            for tensor, here, there in zip(
                self._list_network_tensors(what), getattr(own, what), getattr(weights, what), strict=True
            ):
                tensor.data = _cast_values(there, here.dtype)

    def train(
        self, inputs: np.ndarray, targets: np.ndarray, seed: int, time_limit: float, progress: ProgressCallback
    ) -> None:
        """Run the recipe's training. Of each report, only the two counts of steps are passed on to ``progress``.

        The rest of a report, such as the loss, is ignored. A report without two sensible counts is ignored as a whole.
        """
        self._run_training((inputs, targets), seed, time_limit, progress)

    def _run_training(
        self, data: tuple[np.ndarray, ...], seed: int, time_limit: float, progress: ProgressCallback
    ) -> None:
        """Run the recipe's training on these arrays within a time limit, and pass its step counts to ``progress``."""

        def forward_step_counts(*arguments: Any, **keywords: Any) -> None:
            """Pass on the two counts of a report if both are sensible."""
            counts: list[Any] = [*arguments[:2], *(keywords.get(name) for name in ("step", "steps")[len(arguments) :])]
            step, steps = counts
            if all(type(n) in (int, float) and 0 <= n <= MAX_STEPS for n in (step, steps)):
                progress(float(step), float(steps))

        generator = self._worker.rng(derive_student_seed(seed))
        with self._worker.limit_time(time_limit):
            self._get_recipe_function("train")(self._network, *data, rng=generator, progress=forward_step_counts)

    def predict(self, inputs: np.ndarray, time_limit: float | None = None) -> np.ndarray:
        """Request probabilities: float64 of shape (n, outputs). Raise RecipeError if the network returns anything else.

        ``time_limit`` is the time limit of this call, in seconds; None means the usual limit of a call.
        """
        call = f"predict(network, inputs of shape {inputs.shape})"
        with contextlib.nullcontext() if time_limit is None else self._worker.limit_time(time_limit):
            answer = self._get_recipe_function("predict")(self._network, inputs)
        values = require_finite_floats(answer, call, (len(inputs), self._outputs))
        if values.min() < 0 or values.max() > 1 + TOLERANCE:
            got = f"values from {values.min():.3g} to {values.max():.3g}"
            raise RecipeError(call, got, "probabilities: 0 to 1")
        sums = values.sum(axis=1)
        if self._outputs > 1 and np.abs(sums - 1).max() > TOLERANCE:
            got = f"rows that add up to {sums.min():.3g} to {sums.max():.3g}"
            raise RecipeError(call, got, "one probability for each class, which add up to 1")
        return values

    def compress(self, images: np.ndarray) -> StudentNetwork:
        """Have the recipe compress the network, calibrated on some images, and return the compressed network."""
        network = self._get_recipe_function("compress")(self._network, images)
        small = copy.copy(self)
        small._network = _require_student_object(network, "compress(network, images)", "a network")
        small._counts, small._compressed = {}, True
        return small

    def feature_maps(self, images: np.ndarray) -> np.ndarray:
        """Request the first convolution's output: float64 (n, maps, height, width).

        Raise RecipeError for anything else.
        """
        call = f"feature_maps(network, images of shape {images.shape})"
        maps = self._get_recipe_function("feature_maps")(self._network, images)
        return require_finite_floats(maps, call, (len(images), None, None, None))

    def _get_recipe_function(self, name: str) -> Any:
        """Look up one of the recipe's functions by name; raise RecipeError if it is a plain value."""
        return _require_student_object(getattr(self._recipe, name), name, "a function")

    def _list_network_tensors(self, list_name: str) -> list[Any]:
        """Return `network.parameters()` or `network.buffers()` (empty if not defined); raise RecipeError if invalid."""
        try:
            method = getattr(self._network, list_name)
        except AttributeError:
            if list_name == "buffers":
                return []
            raise
        tensors = _require_student_object(method, f"network.{list_name}", "a method")()
        if type(tensors) not in (list, tuple):
            raise RecipeError(f"network.{list_name}()", expect.name_type(tensors), "a list of tensors")
        if len(tensors) > MAX_TENSORS:
            raise RecipeError(f"network.{list_name}()", f"{len(tensors):,} {list_name}", "a list of a few tensors")
        before = self._counts.setdefault(list_name, len(tensors))
        if len(tensors) != before:
            got = f"{len(tensors)} {list_name}, where there were {before} before"
            raise RecipeError(f"network.{list_name}()", got, f"the same {list_name}, in the same order, every time")
        return [_require_student_object(tensor, f"network.{list_name}()[i]", "a tensor") for tensor in tensors]

    def _copy_tensor_values(
        self, list_name: str, tensors: list[Any], dtype_kinds: str, expected: str
    ) -> tuple[np.ndarray, ...]:
        """Copy the tensors' values. Raise RecipeError unless they are arrays of these dtype kinds and not too large."""
        arrays: list[np.ndarray] = []
        size = 0
        for tensor in tensors:
            values = _require_student_object(tensor.numpy, f"network.{list_name}()[i].numpy", "a method")()
            if type(values) is not np.ndarray or values.dtype.kind not in dtype_kinds:
                raise RecipeError(f"network.{list_name}()[i].numpy()", _describe_wrong_type(values), expected)
            arrays.append(values)
            size += values.nbytes
            if size > MAX_WEIGHTS:
                got = f"more than {MAX_WEIGHTS >> 20} MiB"
                raise RecipeError(f"network.{list_name}()", got, "the weights of a network of a sensible size")
        return tuple(arrays)


def _cast_values(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Convert values to a dtype. Values too large for it become infinite, which shows in the network's answers."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(dtype)


def _format_shapes(shapes: tuple[tuple[int, ...], ...]) -> str:
    """Format the first six shapes, with “, …” if there are more; return "none" if there are none."""
    return ", ".join(map(str, shapes[:6])) + (", …" if len(shapes) > 6 else "") if shapes else "none"


def compute_mean_difference(answers: np.ndarray, other_answers: np.ndarray) -> float:
    """Compute the mean total variation distance between two sets of (n, outputs) probabilities, from 0 to 1."""
    halves = np.abs(answers - other_answers).sum(axis=1) / (2 if answers.shape[1] > 1 else 1)
    return float(halves.mean())


def _require_student_object(value: Any, call: str, expected: str) -> Any:
    """Return the value if it is a student's object. Raise RecipeError if it is a plain value."""
    if isinstance(value, PLAIN_TYPES):
        raise RecipeError(call, expect.describe_value(value), expected)
    return value


def require_finite_floats(values: Any, call: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return floats as float64. Raise RecipeError unless they are finite, not empty and of this shape (None: any)."""
    wanted = f"an array of shape ({', '.join('any' if n is None else str(n) for n in shape)})"
    if type(values) is not np.ndarray or values.dtype.kind != "f":
        raise RecipeError(call, _describe_wrong_type(values), f"{wanted} of floats")
    fits = values.ndim == len(shape) and all(n in (None, size) for n, size in zip(shape, values.shape, strict=True))
    if not fits or not values.size:
        raise RecipeError(call, f"an array of shape {values.shape}", wanted)
    if not np.isfinite(values).all():
        raise RecipeError(call, "NaN or infinity", f"{wanted} of finite numbers")
    return values.astype(np.float64)


def require_distributions(values: np.ndarray, call: str, description: str) -> None:
    """Raise RecipeError if a value is negative, or if the values along the last axis do not add up to 1."""
    sums = values.sum(axis=-1)
    if values.min() < 0 or np.abs(sums - 1).max() > TOLERANCE:
        got = f"values from {values.min():.3g}, which add up to {sums.min():.3g} to {sums.max():.3g}"
        raise RecipeError(call, got, f"{description}: not negative, with a sum of 1")


def _describe_wrong_type(value: Any) -> str:
    """Describe a value that is not an array of floats, by its dtype or its type."""
    if type(value) is np.ndarray:
        return f"an array of {value.dtype}"
    name = expect.name_type(value)
    return "a Tensor; call .numpy()" if name == "Tensor" else f"an object of type {name}"


def explain_failed_recipe(error: Exception, milestone: Milestone, run_name: str, slow_hint: str) -> Failure:
    """Describe the failure of a recipe that did not finish. `slow_hint` is the hint if it ran out of time."""
    return Failure(
        title=f"The recipe builds, trains and predicts ({run_name})",
        hint=(
            f"Training has {milestone.budget.train_seconds:.0f} s of CPU time. {slow_hint}"
            if isinstance(error, DeadlineError)
            else find_exception_hint(error)
            or f"Run the recipe's tests first: pytest modules/{milestone.trigger} -k recipe"
        ),
        **convert_error_to_failure_fields(error),
    )


def convert_error_to_failure_fields(error: Exception) -> dict[str, Any]:
    """Convert an error in student code, a recipe or a worker to keyword arguments of Failure, without a title."""
    if isinstance(error, RecipeError):
        return {"call": error.call, "got": error.got, "expected": error.expected}
    kind = "" if isinstance(error, WorkerFailureError) else f"{getattr(error, 'remote_type', type(error).__name__)}: "
    frames = getattr(error, "frames", ())
    told: dict[str, Any] = {"got": f"{kind}{error}"}
    if frames:
        place = choose_traceback_frame(frames)
        told |= {"file": place.file, "line": place.line, "detail": "\n".join(map(str, frames))}
    return told
