"""Builders of cases: a function of arrays, one of tensors (plain or on a tape), a layer, and a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from grading.compare.beside import GRADIENT, Arrays, Case, Work, work_here, work_there

Shapes = Mapping[str, tuple[int, ...]]
Build = Callable[[Any], Any]
"""Builds a layer or a function from `student` or from PyTorch."""
Draw = Callable[[np.random.Generator], np.ndarray]


def normals(*shape: int) -> Draw:
    """Return a draw of normally distributed float32 numbers."""
    return lambda rng: rng.normal(size=shape).astype(np.float32)


def positives(*shape: int) -> Draw:
    """Return a draw of float32 numbers from 0.5 to 2, which are safe for logarithms, roots and division."""
    return lambda rng: rng.uniform(0.5, 2, shape).astype(np.float32)


def shares(*shape: int) -> Draw:
    """Return a draw of float32 probabilities away from 0 and 1."""
    return lambda rng: rng.uniform(0.05, 0.95, shape).astype(np.float32)


def counts(below: int, *shape: int) -> Draw:
    """Return a draw of int64 integers from 0 to ``below`` (exclusive)."""
    return lambda rng: rng.integers(0, below, shape)


def draw_all(**draws: Draw) -> Callable[[np.random.Generator], Arrays]:
    """Combine draws into one that returns all arrays of a case by name."""
    return lambda rng: {name: draw(rng) for name, draw in draws.items()}


def to_torch(torch: Any, array: np.ndarray, *, differentiate: bool = True) -> Any:
    """Copy an array into a PyTorch tensor; floats get a gradient."""
    tensor = torch.from_numpy(array.copy())
    return tensor.requires_grad_(differentiate and array.dtype.kind == "f")


def to_numpy(values: Any) -> np.ndarray:
    """Return a PyTorch tensor as an array."""
    return np.asarray(values.detach().numpy())


def read(tensor: Any) -> Any:
    """Return the array of a student's tensor; None for a missing gradient."""
    return None if tensor is None else tensor.numpy()


# Functions that run on the student's side: each imports what it needs.


def keep(array: Any) -> Any:
    """Return the array itself, so that the worker holds it."""
    return array


def bind_op(apply: Callable[..., Any], op: Any, attributes: dict[str, Any]) -> Callable[..., Any]:
    """Return an op as a function of its tensors."""
    return lambda *tensors: apply(op, *tensors, **attributes)


def bind(function: Callable[..., Any], attributes: dict[str, Any]) -> Callable[..., Any]:
    """Return a function with its non-tensor arguments filled in; of several results it returns the first."""

    def call(*tensors: Any) -> Any:
        """Call the function and return its first result."""
        output = function(*tensors, **attributes)
        return output[0] if isinstance(output, tuple) else output

    return call


def pass_both_ways(layer: Any, x: Any, grad: Any) -> tuple[Any, Any]:
    """Return a layer's output and the gradient of its input."""
    return layer(x), layer.backward(grad)


def compute_loss(criterion: Any, prediction: Any, target: Any) -> tuple[Any, Any]:
    """Return a loss and the gradient of the prediction."""
    return criterion(prediction, target), criterion.backward()


def play_tape(function: Callable[..., Any], tensors: list[Any], grad: Any) -> Any:
    """Run a function, record it and differentiate it; return its output."""
    from tinytorch.autograd import Tape

    with Tape():
        output = function(*tensors)
    output.backward(grad)
    return output


# The builders.


def layer(name: str, size: str, ours: Build, theirs: Build, *, x: Draw, grad: Draw, **weights: Draw) -> Case:
    """Build the case of a layer with its own backward; ``weights`` are its parameters in order."""

    def prepare(student: Any, arrays: Arrays) -> Work:
        """Prepare the student's side."""
        made = ours(student)
        tensor = student.tensor.Tensor
        inputs, grads = tensor(arrays["x"]), tensor(arrays["grad"])
        parameters = list(made.parameters())
        step = student.define(pass_both_ways)
        for parameter, weight in zip(parameters, weights, strict=True):
            parameter.data = arrays[weight]

        def compute() -> dict[str, Any]:
            for parameter in parameters:
                parameter.grad = None
            output, of_x = step(made, inputs, grads)
            gradients = {GRADIENT + key: read(p.grad) for key, p in zip(weights, parameters, strict=True)}
            return {"the output": read(output), f"{GRADIENT}x": read(of_x), **gradients}

        return work_there(student, compute, step, made, inputs, grads)

    def prepare_theirs(torch: Any, arrays: Arrays) -> Work:
        """Prepare PyTorch's side."""
        made = theirs(torch)
        parameters = list(made.parameters()) if weights else []
        with torch.no_grad():
            for parameter, weight in zip(parameters, weights, strict=True):
                parameter.copy_(torch.from_numpy(arrays[weight]))
        x, grad = to_torch(torch, arrays["x"]), to_torch(torch, arrays["grad"], differentiate=False)

        def step() -> Any:
            output = made(x)
            output.backward(grad)
            return output

        def compute() -> dict[str, np.ndarray]:
            for leaf in (x, *parameters):
                leaf.grad = None
            output = step()
            gradients = {GRADIENT + key: to_numpy(p.grad) for key, p in zip(weights, parameters, strict=True)}
            return {"the output": to_numpy(output), f"{GRADIENT}x": to_numpy(x.grad), **gradients}

        return work_here(compute, step)

    return Case(name, size, draw_all(x=x, grad=grad, **weights), prepare, prepare_theirs)


def loss(name: str, size: str, ours: Build, theirs: Build, *, prediction: Draw, target: Draw) -> Case:
    """Build the case of a loss and the gradient of its prediction; ``theirs`` builds a function."""

    def prepare(student: Any, arrays: Arrays) -> Work:
        """Prepare the student's side."""
        criterion, tensor = ours(student), student.tensor.Tensor
        inputs = [tensor(arrays[key]) for key in ("prediction", "target")]
        step = student.define(compute_loss)

        def compute() -> dict[str, Any]:
            value, gradient = step(criterion, *inputs)
            return {"the loss": read(value), f"{GRADIENT}prediction": read(gradient)}

        return work_there(student, compute, step, criterion, *inputs)

    def prepare_theirs(torch: Any, arrays: Arrays) -> Work:
        """Prepare PyTorch's side."""
        criterion = theirs(torch)
        guess, right = to_torch(torch, arrays["prediction"]), torch.from_numpy(arrays["target"])

        def step() -> Any:
            value = criterion(guess, right)
            value.backward()
            return value

        def compute() -> dict[str, np.ndarray]:
            guess.grad = None
            value = step()
            return {"the loss": to_numpy(value), f"{GRADIENT}prediction": to_numpy(guess.grad)}

        return work_here(compute, step)

    return Case(name, size, draw_all(prediction=prediction, target=target), prepare, prepare_theirs)


def function(name: str, size: str, ours: Build, theirs: Build, grad: Draw | None = None, **draws: Draw) -> Case:
    """Build the case of a function of tensors; given a draw of its ``grad``, the tape differentiates it."""

    def prepare(student: Any, arrays: Arrays) -> Work:
        """Prepare the student's side."""
        made, tensors = ours(student), [student.tensor.Tensor(arrays[key]) for key in draws]
        if grad is None:
            return work_there(student, lambda: {"the output": read(made(*tensors))}, made, *tensors)
        leaves = {key: tensor for key, tensor in zip(draws, tensors, strict=True) if arrays[key].dtype.kind == "f"}
        student.autograd.require_grad(list(leaves.values()))
        step, grads = student.define(play_tape), student.tensor.Tensor(arrays["grad"])

        def compute() -> dict[str, Any]:
            for leaf in leaves.values():
                leaf.grad = None
            output = step(made, tensors, grads)
            gradients = {GRADIENT + key: read(leaf.grad) for key, leaf in leaves.items()}
            return {"the output": read(output), **gradients}

        return work_there(student, compute, step, made, tensors, grads)

    def prepare_theirs(torch: Any, arrays: Arrays) -> Work:
        """Prepare PyTorch's side."""
        made = theirs(torch)
        tensors = {key: to_torch(torch, arrays[key], differentiate=grad is not None) for key in draws}
        leaves = {key: tensor for key, tensor in tensors.items() if tensor.requires_grad}
        upstream = None if grad is None else torch.from_numpy(arrays["grad"])

        def step() -> Any:
            output = made(*tensors.values())
            if upstream is not None:
                output.backward(upstream)
            return output

        def compute() -> dict[str, np.ndarray]:
            for leaf in leaves.values():
                leaf.grad = None
            output = step()
            return {"the output": to_numpy(output), **{GRADIENT + k: to_numpy(leaf.grad) for k, leaf in leaves.items()}}

        return work_here(compute, step)

    drawn = draws if grad is None else {"grad": grad, **draws}
    return Case(name, size, draw_all(**drawn), prepare, prepare_theirs)


def plain_function(name: str, size: str, ours: Build, theirs: Build, **draws: Draw) -> Case:
    """Build the case of a function from arrays to one array."""

    def prepare(student: Any, arrays: Arrays) -> Work:
        """Prepare the student's side."""
        made = ours(student)
        held = [student.hold_result(student.define(keep), arrays[key]) for key in draws]
        return work_there(student, lambda: {"the output": np.asarray(made(*held))}, made, *held)

    def prepare_theirs(torch: Any, arrays: Arrays) -> Work:
        """Prepare PyTorch's side."""
        made, tensors = theirs(torch), [torch.from_numpy(arrays[key]) for key in draws]
        return work_here(lambda: {"the output": to_numpy(made(*tensors))}, made, *tensors)

    return Case(name, size, draw_all(**draws), prepare, prepare_theirs)


def op(module: str, name: str, **attributes: Any) -> Build:
    """Return a builder of one of the student's ops with its attributes."""

    def make(student: Any) -> Any:
        """Bind the attributes to the student's op."""
        return student.define(bind_op)(student.tensor.apply, getattr(getattr(student, module), name), attributes)

    return make


def of_arrays(module: str, name: str, **attributes: Any) -> Build:
    """Return a builder of one of the student's tensor functions with its non-tensor arguments."""
    return lambda student: student.define(bind)(getattr(getattr(student, module), name), attributes)
