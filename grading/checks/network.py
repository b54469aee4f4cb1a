"""A student's network in a worker, as a check sees it: build, train, predict; arrays in, arrays out, all checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from grading.client import Worker
from grading.remote import WorkerFailureError

Progress = Callable[[float, float, float], None]


class RecipeError(Exception):
    """The recipe gave something that is not what its docstring promises; the message is for the student."""

    def __init__(self, call: str, got: str, expected: str):
        super().__init__(f"{call}: {got}")
        self.call, self.got, self.expected = call, got, expected


class StudentNetwork:
    """One network built by the student's recipe, in one worker."""

    def __init__(self, worker: Worker, module_id: str, seed: int, outputs: int = 1):
        self._worker = worker
        self._outputs = outputs
        self._recipe = worker.recipe(module_id)
        self._network = self._recipe.build(worker.rng(seed))

    def weights(self) -> list[np.ndarray]:
        """A copy of every parameter, in order."""
        arrays = []
        for parameter in self._parameters():
            values = parameter.numpy()
            if type(values) is not np.ndarray or values.dtype.kind != "f":
                raise RecipeError("network.parameters()[i].numpy()", f"{type(values).__name__}", "a float array")
            arrays.append(values)
        if not arrays:
            raise RecipeError("network.parameters()", "no parameters", "a list with every weight and bias")
        return arrays

    def put(self, weights: list[np.ndarray]) -> None:
        """Set every parameter's ``data``."""
        for parameter, values in zip(self._parameters(), weights, strict=True):
            parameter.data = values

    def train(self, inputs: np.ndarray, targets: np.ndarray, seed: int, seconds: float, progress: Progress) -> None:
        """Run the recipe's training; what it reports goes to ``progress`` only if it is three numbers."""

        def report(step: Any = None, steps: Any = None, loss: Any = None, *_: Any, **__: Any) -> None:
            if all(type(n) in (int, float) for n in (step, steps, loss)):
                progress(float(step), float(steps), float(loss))

        with self._worker.deadline(seconds):
            self._recipe.train(self._network, inputs, targets, rng=self._worker.rng(seed), progress=report)

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Probabilities of shape (n, outputs) in float64; RecipeError for anything else, NaN and Inf included."""
        values = self._recipe.predict(self._network, inputs)
        shape = (len(inputs), self._outputs)
        call, expected = f"predict(network, inputs of shape {inputs.shape})", f"an array of shape {shape}"
        if type(values) is not np.ndarray or values.dtype.kind != "f":
            kind = values.dtype if type(values) is np.ndarray else type(values).__name__
            raise RecipeError(call, f"{kind}", f"{expected} of floats")
        if values.shape != shape:
            raise RecipeError(call, f"an array of shape {values.shape}", expected)
        if not np.isfinite(values).all():
            raise RecipeError(call, "NaN or infinity", f"{expected} of probabilities")
        if values.min() < 0 or values.max() > 1:
            raise RecipeError(call, f"values from {values.min():.3g} to {values.max():.3g}", "probabilities: 0 to 1")
        return values.astype(np.float64)

    def feature_maps(self, images: np.ndarray) -> np.ndarray:
        """What the first convolution makes of images: (n, maps, h, w), float32, all finite; else RecipeError."""
        values = self._recipe.feature_maps(self._network, images)
        call, expected = f"feature_maps(network, images of shape {images.shape})", f"({len(images)}, maps, h, w)"
        if type(values) is not np.ndarray or values.dtype.kind != "f":
            kind = values.dtype if type(values) is np.ndarray else type(values).__name__
            raise RecipeError(call, f"{kind}", f"an array of floats of shape {expected}")
        if values.ndim != 4 or len(values) != len(images) or not values.size:
            raise RecipeError(call, f"an array of shape {values.shape}", f"an array of shape {expected}")
        if not np.isfinite(values).all():
            raise RecipeError(call, "NaN or infinity", "finite numbers")
        return values.astype(np.float32)

    def _parameters(self) -> list[Any]:
        parameters = self._network.parameters()
        if type(parameters) not in (list, tuple):
            raise RecipeError("network.parameters()", f"{type(parameters).__name__}", "a list of tensors")
        return list(parameters)


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
        told["detail"] = "\n".join(f"{f.file}:{f.line} in {f.function}: {f.text}" for f in frames)
    return told
