"""Check an op's backward against central finite differences, which the test itself computes in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from grading.proxy import Proxy, list_argument_names
from grading.remote import RemoteError
from grading.render.text import to_one_line
from grading.testing import expect

DIFFERENTIATE = (
    "`backward` does not match your own `forward`. Differentiate its formula by hand, and multiply by `grad`."
)


def list_forward_argument_names(forward: Any, count: int) -> list[str]:
    """List the names of the arrays that an op's forward takes (x, weight, bias) or, if unknown, input 0, input 1, …."""
    try:
        named = list_argument_names(forward) if isinstance(forward, Proxy) else forward.__code__.co_varnames
    except (AttributeError, RemoteError):  # a NumPy function, for example
        named = ()
    plain = [name for name in named[:count] if isinstance(name, str) and name.isidentifier() and len(name) <= 30]
    return plain if len(plain) == count else [f"input {position}" for position in range(count)]


def check_gradient(
    op: Any,
    *arrays: np.ndarray,
    call: str | None = None,
    hint: str | None = None,
    step: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    **attributes: Any,
) -> None:
    """Raise Mismatch unless ``op.backward`` agrees with central differences for every element of every float array.

    They are ``(f(x + step) - f(x - step)) / (2 step)``, where ``f`` is the sum of the output weighted by fixed random
    numbers, so each output element has a different weight. ``None`` for a floating-point array is a missing gradient.
    """
    inputs = [np.asarray(a, dtype=np.float64) if np.asarray(a).dtype.kind == "f" else np.asarray(a) for a in arrays]
    shapes = ", ".join(str(a.shape) for a in inputs)
    named = "".join(f", {name}={to_one_line(repr(value), 40)}" for name, value in attributes.items())
    shown = call or f"the backward of {op.name} for inputs of shape {shapes}{named}"
    output = expect.pull(op.forward(*inputs, **attributes), call=shown)
    weight = np.random.default_rng(7).uniform(0.5, 1.5, output.shape) * np.where(
        np.arange(output.size) % 2, 1, -1
    ).reshape(output.shape)
    gradients = op.backward(weight, output, *inputs, **attributes)
    if not isinstance(gradients, tuple | list) or len(gradients) != len(inputs):
        raise expect.Mismatch(
            call=shown,
            got=expect.describe_value(gradients),
            expected=f"a tuple of {len(inputs)} arrays, one gradient per input"
            if len(inputs) > 1
            else "a tuple of one array: `return (gradient,)`",
            hint=hint,
        )
    names = list_forward_argument_names(op.forward, len(inputs))
    for position, (x, gradient) in enumerate(zip(inputs, gradients, strict=True)):
        if x.dtype.kind != "f":
            continue
        numeric = np.empty_like(x)
        for index in np.ndindex(x.shape):
            ends = []
            for sign in (1, -1):
                moved = [a.copy() if k == position else a for k, a in enumerate(inputs)]
                moved[position][index] += sign * step
                ends.append(float((expect.pull(op.forward(*moved, **attributes), call=shown) * weight).sum()))
            numeric[index] = (ends[0] - ends[1]) / (2 * step)
        which = shown if len(inputs) == 1 else f"{shown}, gradient of {names[position]}"
        expect.array(gradient, numeric, call=which, hint=hint or DIFFERENTIATE, rtol=rtol, atol=atol)
