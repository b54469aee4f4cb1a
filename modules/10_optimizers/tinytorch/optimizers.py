"""Optimisers: how a gradient becomes a step, and how long the step is, exactly as in PyTorch.

Read it in this order: the step, SGD, Adam, AdamW, clipping, saving the state, schedules of the learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from tinytorch.autograd import require_grad
from tinytorch.tensor import Tensor

BELOW_1 = math.nextafter(1, 0)


def at_least_float32(array: np.ndarray) -> np.ndarray:
    """Return `array`, as float32 if it is float16, in which the square of 1e-4 is 0, and so is Adam's eps of 1e-8."""
    return array.astype(np.result_type(array.dtype, np.float32), copy=False)


class Optimizer:
    """Plain gradient descent: moves parameters against their gradients. Subclasses override `update`.

    `parameters` are marked by `require_grad`; a tensor that is given twice counts once. `state[i]` holds what is
    remembered about parameter i: "step", its step count, and an array of its shape for each name in `buffers`. These
    arrays start as zeros, in the parameter's dtype, or in float32 for float16. Raise ValueError if there are no
    parameters, or if `lr` is below 0.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, buffers: tuple[str, ...] = ()):
        self.parameters = list(dict.fromkeys(parameters))
        if not self.parameters:
            raise ValueError("an optimiser without parameters has nothing to do: pass it network.parameters()")
        check_range("lr", lr, 0)
        require_grad(self.parameters)
        self.lr = float(lr)
        arrays = [at_least_float32(parameter.data) for parameter in self.parameters]
        self.state = [{"step": 0} | {name: np.zeros_like(array) for name in buffers} for array in arrays]

    def zero_grad(self) -> None:
        """Clear all gradients: every `.grad` becomes None."""
        # BEGIN SOLUTION 10.1
        for parameter in self.parameters:
            parameter.grad = None
        # END SOLUTION

    def update(self, value: np.ndarray, grad: np.ndarray, state: dict) -> np.ndarray:  # noqa: ARG002 - for subclasses
        """Return the direction to subtract, computed from a parameter's array, its gradient and its state."""
        return grad

    def step(self) -> None:
        """Count a step for every parameter that has a gradient, and move it by -lr times its `update`.

        `update` gets the value and the gradient as `at_least_float32`. The tensors stay the same objects with the same
        dtype. A parameter whose `grad` is None is left unchanged, and so is its state.
        """
        # BEGIN SOLUTION 10.1
        for parameter, state in zip(self.parameters, self.state, strict=True):
            if parameter.grad is not None:
                state["step"] += 1
                value, grad = at_least_float32(parameter.data), at_least_float32(parameter.grad.data)
                parameter.data -= self.lr * self.update(value, grad, state)
        # END SOLUTION

    def state_dict(self) -> dict[str, np.ndarray | int | float]:
        """Return what `step` depends on, apart from parameters and options: {"lr": …, "0.step": …, "1.step": …, …}.

        Each name is the parameter's number followed by the name in `state`; the arrays are copies.
        """
        # BEGIN SOLUTION 10.6
        flat = {"lr": float(self.lr)}
        for number, state in enumerate(self.state):
            flat |= {f"{number}.{name}": x if isinstance(x, int) else np.array(x) for name, x in state.items()}
        return flat
        # END SOLUTION

    def load_state_dict(self, state: Mapping) -> None:
        """Load copies of a state that `state_dict` returned for an optimiser of the same kind with the same parameters.

        Raise ValueError in the same cases as `checked`, before changing anything.
        """
        # BEGIN SOLUTION 10.6
        new = checked(state, self.state_dict())
        self.lr = new.pop("lr")
        for name, value in new.items():
            number, _, what = name.partition(".")
            self.state[int(number)][what] = value
        # END SOLUTION


def check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise ValueError, with the name and the value, unless low ≤ value ≤ high."""
    if not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low} to {high}, not {value}")


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak, 1964) and Nesterov's look-ahead (Sutskever et al., 2013).

    With g = grad + weight_decay · value, the velocity becomes momentum · velocity + g. The update is the velocity, or
    g + momentum · velocity with `nesterov`. Without momentum the update is g, and there is no velocity.

    >>> weight = Tensor([1.0, 2.0])
    >>> weight.grad = Tensor([10.0, 20.0])
    >>> SGD([weight], lr=0.01).step()
    >>> weight
    Tensor([0.9, 1.8])
    """

    def __init__(self, parameters, lr: float, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0):
        check_range("momentum", momentum, 0)
        check_range("weight_decay", weight_decay, 0)
        if nesterov and not momentum:
            raise ValueError("nesterov looks ahead along the velocity, so momentum must be above 0")
        super().__init__(parameters, lr, ("velocity",) if momentum else ())
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay

    def update(self, value: np.ndarray, grad: np.ndarray, state: dict) -> np.ndarray:
        """Return the update with momentum, and keep the new velocity in `state["velocity"]`."""
        # BEGIN SOLUTION 10.2
        grad = grad + self.weight_decay * value
        if not self.momentum:
            return grad
        state["velocity"] = self.momentum * state["velocity"] + grad
        return grad + self.momentum * state["velocity"] if self.nesterov else state["velocity"]
        # END SOLUTION


class Adam(Optimizer):
    """Takes steps of about `lr` in every element, whatever its gradient's scale (Kingma and Ba, 2015, algorithm 1).

    `weight_decay` · value is added to the gradient, so the decay is scaled along with the gradient.

    >>> weight = Tensor([1.0, 2.0])
    >>> weight.grad = Tensor([10.0, -0.001])
    >>> Adam([weight], lr=0.1).step()
    >>> weight
    Tensor([0.9, 2.1])
    """

    def __init__(self, parameters, lr: float = 1e-3, betas=(0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0):
        for beta in betas:
            check_range("each of betas", beta, 0, BELOW_1)
        check_range("eps", eps, 0)
        check_range("weight_decay", weight_decay, 0)
        super().__init__(parameters, lr, ("mean", "square"))
        self.betas, self.eps, self.weight_decay = tuple(betas), eps, weight_decay

    def adapted(self, grad: np.ndarray, state: dict) -> np.ndarray:
        """Return m̂ / (√v̂ + eps), and keep the new m and v in `state["mean"]` and `state["square"]`.

        m becomes β₁ m + (1 - β₁) grad, and v becomes β₂ v + (1 - β₂) grad². Both begin at 0; m̂ = m / (1 - β₁ᵗ) and v̂
        = v / (1 - β₂ᵗ) correct this. Here t is `state["step"]`, which is 1 in the first step.
        """
        # BEGIN SOLUTION 10.3
        beta1, beta2 = self.betas
        state["mean"] = beta1 * state["mean"] + (1 - beta1) * grad
        state["square"] = beta2 * state["square"] + (1 - beta2) * grad**2
        mean = state["mean"] / (1 - beta1 ** state["step"])
        square = state["square"] / (1 - beta2 ** state["step"])
        return mean / (np.sqrt(square) + self.eps)
        # END SOLUTION

    def update(self, value: np.ndarray, grad: np.ndarray, state: dict) -> np.ndarray:
        """Return `adapted` of gradient + weight_decay · value; update `state`."""
        # BEGIN SOLUTION 10.3
        return self.adapted(grad + self.weight_decay * value, state)
        # END SOLUTION


class AdamW(Adam):
    """Adam with decoupled weight decay: values shrink by the fraction lr · weight_decay (Loshchilov, Hutter, 2019).

    The decay is thus not divided by the gradient's size, and all elements shrink by the same fraction.
    """

    def __init__(self, parameters, lr: float = 1e-3, betas=(0.9, 0.999), eps: float = 1e-8, weight_decay: float = 1e-2):
        super().__init__(parameters, lr, betas, eps, weight_decay)

    def update(self, value: np.ndarray, grad: np.ndarray, state: dict) -> np.ndarray:
        """Return `adapted` of the gradient, plus weight_decay · value; update `state`."""
        # BEGIN SOLUTION 10.4
        return self.adapted(grad, state) + self.weight_decay * value
        # END SOLUTION


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients by one factor so that their total norm is at most `max_norm`; return the original norm.

    The norm is the square root of the sum of the squares of all elements of all gradients. Each `grad` keeps its dtype,
    and none changes if the norm is small enough. Raise ValueError if the norm is not finite, or if `max_norm` is not
    above 0 (Pascanu et al., 2013).
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be above 0, not {max_norm}")
    # BEGIN SOLUTION 10.5
    with_grad = [parameter for parameter in parameters if parameter.grad is not None]
    norm = math.sqrt(sum(float(np.sum(p.grad.data.astype("float64") ** 2)) for p in with_grad))
    if not math.isfinite(norm):
        raise ValueError(
            f"the gradients have the norm {norm}, which no factor can fix: an element or its square is not finite"
        )
    for parameter in with_grad if norm > max_norm else ():
        parameter.grad = Tensor(parameter.grad.data * np.float64(max_norm / norm), dtype=parameter.grad.dtype)
    return norm
    # END SOLUTION


def checked(state: Mapping, own: Mapping) -> dict:
    """Return copies of `state`'s values in the types of those in `own`; raise ValueError if names or shapes differ.

    The error names each entry that is missing, unknown, not a number, or of the wrong shape (with both shapes).
    """
    # BEGIN SOLUTION 10.6
    if state.keys() != own.keys():
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        raise ValueError(f"this state belongs to something else: missing {missing}, unknown {unknown}")
    new = {}
    for name, value in own.items():
        if np.shape(state[name]) != np.shape(value):
            raise ValueError(f"{name} has the shape {np.shape(state[name])}, but {np.shape(value)} is required")
        try:
            plain = isinstance(value, int | float)
            new[name] = type(value)(state[name]) if plain else np.array(state[name], value.dtype)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} is not a number: {error}") from error
    return new
    # END SOLUTION


class Scheduler:
    """Sets an optimiser's `lr` from `count`, the schedule's own steps; a subclass defines the formula in `rate`.

    Call `step()` after each epoch, or after each batch if `every_batch` is True, as module 11 does.
    """

    every_batch = False

    def __init__(self, optimizer: Optimizer):
        self.optimizer = optimizer
        self.base_lr = optimizer.lr
        self.count = 0
        optimizer.lr = self.rate(0)

    def rate(self, count: int) -> float:
        """Return the learning rate after `count` steps, computed from `base_lr`. Each subclass must define this."""
        raise NotImplementedError(f"{type(self).__name__} must define rate")

    def step(self) -> None:
        """Count one step, and set the optimiser's learning rate."""
        # BEGIN SOLUTION 10.7
        self.count += 1
        self.optimizer.lr = self.rate(self.count)
        # END SOLUTION

    def state_dict(self) -> dict[str, int | float]:
        """Return the schedule's state, {"count": …, "base_lr": …}."""
        return {"count": self.count, "base_lr": float(self.base_lr)}

    def load_state_dict(self, state: Mapping) -> None:
        """Load a state returned by `state_dict`, and set the learning rate. Raise ValueError if `checked` does."""
        # BEGIN SOLUTION 10.7
        new = checked(state, self.state_dict())
        self.count, self.base_lr = new["count"], new["base_lr"]
        self.optimizer.lr = self.rate(self.count)
        # END SOLUTION


class StepLR(Scheduler):
    """Multiplies the rate by `gamma` every `step_size` steps: base_lr · gamma^(count // step_size)."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1):
        check_range("step_size", step_size, 1)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def rate(self, count: int) -> float:
        """Return the learning rate, which goes 1, 1, ½, ½, ¼ for base_lr = 1, step_size = 2 and gamma = 0.5."""
        # BEGIN SOLUTION 10.7
        return self.base_lr * self.gamma ** (count // self.step_size)
        # END SOLUTION


def cosine(start: float, end: float, share: float) -> float:
    """Return the value at a `share` of the way from `start` to `end` along half a cosine: slow, fast, slow."""
    # BEGIN SOLUTION 10.8
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
    # END SOLUTION


class CosineAnnealingLR(Scheduler):
    """Goes from base_lr to `eta_min` in `T_max` steps along half a cosine, then back up (Loshchilov, Hutter, 2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0):  # noqa: N803 - PyTorch's name
        check_range("T_max", T_max, 1)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def rate(self, count: int) -> float:
        """Return the learning rate, which goes 1, ½, 0, ½, 1 for base_lr = 1 and T_max = 2."""
        # BEGIN SOLUTION 10.8
        return cosine(self.base_lr, self.eta_min, count / self.T_max)
        # END SOLUTION


class OneCycleLR(Scheduler):
    """Rises to `max_lr` and falls to nearly 0, along two half cosines, in `total_steps` batches (Smith, 2018).

    It begins at max_lr / div_factor, whatever the optimiser's rate was, and ends at that rate divided by
    final_div_factor. The peak is at step pct_start · total_steps - 1 and the end at total_steps - 1, as in PyTorch with
    `cycle_momentum=False`.
    """

    every_batch = True

    def __init__(self, optimizer, max_lr, total_steps, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
        check_range("total_steps", total_steps, 1)
        check_range("pct_start", pct_start, 0, BELOW_1)
        self.max_lr, self.total_steps, self.pct_start = max_lr, total_steps, pct_start
        self.first_lr, self.last_lr = max_lr / div_factor, max_lr / div_factor / final_div_factor
        super().__init__(optimizer)

    def rate(self, count: int) -> float:
        """Return the learning rate. Raise ValueError if `count` is above total_steps."""
        if count > self.total_steps:
            raise ValueError(f"a cycle of {self.total_steps} steps has no step {count}: increase total_steps")
        # BEGIN SOLUTION 10.9
        top, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        if count < top:
            return cosine(self.first_lr, self.max_lr, count / top)
        return cosine(self.max_lr, self.last_lr, (count - top) / (last - top))
        # END SOLUTION
