"""Build comparison cases for functions of arrays, functions of tensors (plain or on a tape), layers, and losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from grading.compare.case_comparison import (
    GRADIENT_PREFIX,
    Arrays,
    CaseSide,
    ComparisonCase,
    build_local_side,
    build_worker_side,
)

Shapes = Mapping[str, tuple[int, ...]]
Builder = Callable[[Any], Any]
"""A function that builds a layer or a function from `student` or from PyTorch."""
Draw = Callable[[np.random.Generator], np.ndarray]


def make_normal_drawer(*shape: int) -> Draw:
    """Return a function that draws normally distributed float32 numbers."""
    return lambda rng: rng.normal(size=shape).astype(np.float32)


def make_positive_drawer(*shape: int) -> Draw:
    """Return a function that draws float32 numbers from 0.5 to 2, which are safe for logarithms, roots and division."""
    return lambda rng: rng.uniform(0.5, 2, shape).astype(np.float32)


def make_probability_drawer(*shape: int) -> Draw:
    """Return a function that draws float32 probabilities from 0.05 to 0.95."""
    return lambda rng: rng.uniform(0.05, 0.95, shape).astype(np.float32)


def make_integer_drawer(below: int, *shape: int) -> Draw:
    """Return a function that draws int64 integers from 0 to ``below`` (exclusive)."""
    return lambda rng: rng.integers(0, below, shape)


def combine_draws(**draws: Draw) -> Callable[[np.random.Generator], Arrays]:
    """Combine drawing functions into one that returns all arrays of a case, keyed by name."""
    return lambda rng: {name: draw(rng) for name, draw in draws.items()}


def to_torch(torch: Any, array: np.ndarray, *, differentiate: bool = True) -> Any:
    """Copy an array into a PyTorch tensor. Float tensors require a gradient unless ``differentiate`` is False."""
    tensor = torch.from_numpy(array.copy())
    return tensor.requires_grad_(differentiate and array.dtype.kind == "f")


def to_numpy(values: Any) -> np.ndarray:
    """Convert a PyTorch tensor, even one that requires a gradient, to an array that shares its memory."""
    return np.asarray(values.detach().numpy())


def read_tensor_array(tensor: Any) -> Any:
    """Return the array of a student's tensor, or None if given None, as for a missing gradient."""
    return None if tensor is None else tensor.numpy()


# Functions that run in the student's process. Each imports what it needs.


def hold_in_worker(array: Any) -> Any:
    """Return the array unchanged; `hold_result` calls this in the worker to keep a copy of the array there."""
    return array


def bind_op(apply: Callable[..., Any], op: Any, attributes: dict[str, Any]) -> Callable[..., Any]:
    """Turn an op into a function of its tensor arguments."""
    return lambda *tensors: apply(op, *tensors, **attributes)


def bind_attributes(function: Callable[..., Any], attributes: dict[str, Any]) -> Callable[..., Any]:
    """Fill in a function's non-tensor arguments. The new function returns only the first of several results."""

    def call_first(*tensors: Any) -> Any:
        """Call the function and return its first result."""
        output = function(*tensors, **attributes)
        return output[0] if isinstance(output, tuple) else output

    return call_first


def run_forward_and_backward(layer: Any, x: Any, grad: Any) -> tuple[Any, Any]:
    """Run a layer forward and backward, which sets parameter gradients; return the output and the input's gradient."""
    return layer(x), layer.backward(grad)


def compute_loss_and_gradient(criterion: Any, prediction: Any, target: Any) -> tuple[Any, Any]:
    """Return a loss and its gradient with respect to the prediction."""
    return criterion(prediction, target), criterion.backward()


def run_and_differentiate(function: Callable[..., Any], tensors: list[Any], grad: Any) -> Any:
    """Run a function on a tape and its backward pass with this gradient, and return the output."""
    from tinytorch.autograd import Tape

    with Tape():
        output = function(*tensors)
    output.backward(grad)
    return output


# The builders.


def build_layer_case(
    name: str, size: str, student_builder: Builder, pytorch_builder: Builder, *, x: Draw, grad: Draw, **weights: Draw
) -> ComparisonCase:
    """Build the case for a layer with its own backward method. ``weights`` draws the layer's parameters, in order."""

    def prepare_student_side(student: Any, arrays: Arrays) -> CaseSide:
        """Build what the student's code computes from these arrays, and the call that is timed."""
        made = student_builder(student)
        tensor = student.tensor.Tensor
        inputs, grads = tensor(arrays["x"]), tensor(arrays["grad"])
        parameters = list(made.parameters())
        step = student.define(run_forward_and_backward)
        for parameter, weight in zip(parameters, weights, strict=True):
            parameter.data = arrays[weight]

        def compute_student_output_and_gradients() -> dict[str, Any]:
            """Run the student's layer forward and backward, and return the output and each gradient, keyed by name."""
            for parameter in parameters:
                parameter.grad = None
            output, of_x = step(made, inputs, grads)
            gradients = {
                GRADIENT_PREFIX + key: read_tensor_array(p.grad) for key, p in zip(weights, parameters, strict=True)
            }
            return {
                "the output": read_tensor_array(output),
                f"{GRADIENT_PREFIX}x": read_tensor_array(of_x),
                **gradients,
            }

        return build_worker_side(student, compute_student_output_and_gradients, step, made, inputs, grads)

    def prepare_pytorch_side(torch: Any, arrays: Arrays) -> CaseSide:
        """Build what PyTorch computes from these arrays, and the call that is timed."""
        made = pytorch_builder(torch)
        parameters = list(made.parameters()) if weights else []
        with torch.no_grad():
            for parameter, weight in zip(parameters, weights, strict=True):
                parameter.copy_(torch.from_numpy(arrays[weight]))
        x, grad = to_torch(torch, arrays["x"]), to_torch(torch, arrays["grad"], differentiate=False)

        def run_pytorch_layer_and_backward() -> Any:
            """Run PyTorch's layer and its backward pass from the upstream gradient, and return the output."""
            output = made(x)
            output.backward(grad)
            return output

        def compute_pytorch_output_and_gradients() -> dict[str, np.ndarray]:
            """Run PyTorch's layer forward and backward, and return the output and each gradient, keyed by name."""
            for leaf in (x, *parameters):
                leaf.grad = None
            output = run_pytorch_layer_and_backward()
            gradients = {GRADIENT_PREFIX + key: to_numpy(p.grad) for key, p in zip(weights, parameters, strict=True)}
            return {"the output": to_numpy(output), f"{GRADIENT_PREFIX}x": to_numpy(x.grad), **gradients}

        return build_local_side(compute_pytorch_output_and_gradients, run_pytorch_layer_and_backward)

    return ComparisonCase(
        name, size, combine_draws(x=x, grad=grad, **weights), prepare_student_side, prepare_pytorch_side
    )


def build_loss_case(
    name: str, size: str, student_builder: Builder, pytorch_builder: Builder, *, prediction: Draw, target: Draw
) -> ComparisonCase:
    """Build the case for a loss and its gradient with respect to the prediction.

    ``pytorch_builder`` returns a function.
    """

    def prepare_student_side(student: Any, arrays: Arrays) -> CaseSide:
        """Build what the student's code computes from these arrays, and the call that is timed."""
        criterion, tensor = student_builder(student), student.tensor.Tensor
        inputs = [tensor(arrays[key]) for key in ("prediction", "target")]
        step = student.define(compute_loss_and_gradient)

        def compute_student_loss_and_gradient() -> dict[str, Any]:
            """Compute the student's loss and its gradient, keyed by name."""
            value, gradient = step(criterion, *inputs)
            return {"the loss": read_tensor_array(value), f"{GRADIENT_PREFIX}prediction": read_tensor_array(gradient)}

        return build_worker_side(student, compute_student_loss_and_gradient, step, criterion, *inputs)

    def prepare_pytorch_side(torch: Any, arrays: Arrays) -> CaseSide:
        """Build what PyTorch computes from these arrays, and the call that is timed."""
        criterion = pytorch_builder(torch)
        guess, right = to_torch(torch, arrays["prediction"]), torch.from_numpy(arrays["target"])

        def run_pytorch_loss_and_backward() -> Any:
            """Compute the loss, run its backward pass, and return the loss. Nothing is updated."""
            value = criterion(guess, right)
            value.backward()
            return value

        def compute_pytorch_loss_and_gradient() -> dict[str, np.ndarray]:
            """Compute PyTorch's loss and its gradient, keyed by name."""
            guess.grad = None
            value = run_pytorch_loss_and_backward()
            return {"the loss": to_numpy(value), f"{GRADIENT_PREFIX}prediction": to_numpy(guess.grad)}

        return build_local_side(compute_pytorch_loss_and_gradient, run_pytorch_loss_and_backward)

    return ComparisonCase(
        name, size, combine_draws(prediction=prediction, target=target), prepare_student_side, prepare_pytorch_side
    )


def build_function_case(
    name: str, size: str, student_builder: Builder, pytorch_builder: Builder, grad: Draw | None = None, **draws: Draw
) -> ComparisonCase:
    """Build the case for a function of tensors. With ``grad`` as its upstream gradient, gradients are compared too."""

    def prepare_student_side(student: Any, arrays: Arrays) -> CaseSide:
        """Build what the student's code computes from these arrays, and the call that is timed."""
        made, tensors = student_builder(student), [student.tensor.Tensor(arrays[key]) for key in draws]
        if grad is None:
            return build_worker_side(student, lambda: {"the output": read_tensor_array(made(*tensors))}, made, *tensors)
        leaves = {key: tensor for key, tensor in zip(draws, tensors, strict=True) if arrays[key].dtype.kind == "f"}
        student.autograd.require_grad(list(leaves.values()))
        step, grads = student.define(run_and_differentiate), student.tensor.Tensor(arrays["grad"])

        def compute_student_output_and_gradients() -> dict[str, Any]:
            """Run the student's function forward and backward; return the output and each gradient, keyed by name."""
            for leaf in leaves.values():
                leaf.grad = None
            output = step(made, tensors, grads)
            gradients = {GRADIENT_PREFIX + key: read_tensor_array(leaf.grad) for key, leaf in leaves.items()}
            return {"the output": read_tensor_array(output), **gradients}

        return build_worker_side(student, compute_student_output_and_gradients, step, made, tensors, grads)

    def prepare_pytorch_side(torch: Any, arrays: Arrays) -> CaseSide:
        """Build what PyTorch computes from these arrays, and the call that is timed."""
        made = pytorch_builder(torch)
        tensors = {key: to_torch(torch, arrays[key], differentiate=grad is not None) for key in draws}
        leaves = {key: tensor for key, tensor in tensors.items() if tensor.requires_grad}
        upstream = None if grad is None else torch.from_numpy(arrays["grad"])

        def run_pytorch_function_and_backward() -> Any:
            """Run PyTorch's function and, if there is an upstream gradient, its backward pass. Return the output."""
            output = made(*tensors.values())
            if upstream is not None:
                output.backward(upstream)
            return output

        def compute_pytorch_output_and_gradients() -> dict[str, np.ndarray]:
            """Run PyTorch's function forward and backward, and return the output and each gradient, keyed by name."""
            for leaf in leaves.values():
                leaf.grad = None
            output = run_pytorch_function_and_backward()
            return {
                "the output": to_numpy(output),
                **{GRADIENT_PREFIX + k: to_numpy(leaf.grad) for k, leaf in leaves.items()},
            }

        return build_local_side(compute_pytorch_output_and_gradients, run_pytorch_function_and_backward)

    drawn = draws if grad is None else {"grad": grad, **draws}
    return ComparisonCase(name, size, combine_draws(**drawn), prepare_student_side, prepare_pytorch_side)


def build_array_case(
    name: str, size: str, student_builder: Builder, pytorch_builder: Builder, **draws: Draw
) -> ComparisonCase:
    """Build the case for a function that takes arrays and returns one array."""

    def prepare_student_side(student: Any, arrays: Arrays) -> CaseSide:
        """Build what the student's code computes from these arrays, and the call that is timed."""
        made = student_builder(student)
        held = [student.hold_result(student.define(hold_in_worker), arrays[key]) for key in draws]
        return build_worker_side(student, lambda: {"the output": np.asarray(made(*held))}, made, *held)

    def prepare_pytorch_side(torch: Any, arrays: Arrays) -> CaseSide:
        """Build what PyTorch computes from these arrays, and the call that is timed."""
        made, tensors = pytorch_builder(torch), [torch.from_numpy(arrays[key]) for key in draws]
        return build_local_side(lambda: {"the output": to_numpy(made(*tensors))}, made, *tensors)

    return ComparisonCase(name, size, combine_draws(**draws), prepare_student_side, prepare_pytorch_side)


def make_op_builder(module: str, name: str, **attributes: Any) -> Builder:
    """Return a function that, given `student`, turns its op with these attributes into a function of tensors."""

    def bind_student_op(student: Any) -> Any:
        """Bind the attributes to the student's op."""
        return student.define(bind_op)(student.tensor.apply, getattr(getattr(student, module), name), attributes)

    return bind_student_op


def make_tensor_function_binder(module: str, name: str, **attributes: Any) -> Builder:
    """Return a function that, given `student`, binds the attributes to its function and keeps only the first result."""
    return lambda student: student.define(bind_attributes)(getattr(getattr(student, module), name), attributes)
