"""Write modules/16_tinygpt/reference.json: PyTorch's layer normalisation and pre-norm block, for the module's tests.

Run this by hand after adding a case: `pip install torch==2.13.0` in a separate environment, then
`python course/transformer_values.py`. It needs no other part of the course, and the course's checks do not need it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

TARGET = Path(__file__).resolve().parent.parent / "modules" / "16_tinygpt" / "reference.json"
ABOUT = (
    "What PyTorch computes in float64 on a CPU. Made by course/transformer_values.py. layer_norm: torch's layer_norm "
    "of x over its last axis, and the gradients of (output * grad).sum(). block: TransformerEncoderLayer with "
    "norm_first, ReLU, no dropout and a causal mask; its parameters by PyTorch's names, its output for x, and the "
    "gradients of (output * grad).sum() for x and for each parameter."
)
NORMS: list[tuple[list[int], float, float, float]] = [  # shape, eps, scale and mean of x
    ([2, 3, 4], 1e-5, 1.0, 0.0),
    ([5], 1e-5, 2.0, 1.0),
    ([3, 7], 1e-3, 0.03, -2.0),
    ([2, 2, 2, 3], 0.1, 1.0, 5.0),
]
EMBED, HEADS = 4, 2


def draw_tensor(shape: list[int], seed: int, scale: float = 1.0, mean: float = 0.0) -> torch.Tensor:
    """Draw a tensor of numbers with four decimals, which the file of reference values can contain exactly."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(shape, generator=generator, dtype=torch.float64) * scale + mean
    return numbers.mul(10_000).round().div(10_000)


def convert_to_short_numbers(tensor: torch.Tensor) -> Any:
    """Return a tensor as nested lists of numbers with nine significant digits."""
    nested = tensor.detach().tolist()

    def round_nested(value: Any) -> Any:
        """Round a number, or every number in nested lists, to nine significant digits."""
        return [round_nested(v) for v in value] if isinstance(value, list) else float(f"{value:.9g}")

    return round_nested(nested)


def compute_layer_norm_case(number: int, shape: list[int], eps: float, scale: float, mean: float) -> dict[str, Any]:
    """Draw a case of layer normalization, and compute PyTorch's output and gradients."""
    x = draw_tensor(shape, 4 * number, scale, mean).requires_grad_()
    weight, bias = (draw_tensor(shape[-1:], 4 * number + k, 0.5, 2.0 - k).requires_grad_() for k in (1, 2))
    grad = draw_tensor(shape, 4 * number + 3)
    output = torch.nn.functional.layer_norm(x, shape[-1:], weight, bias, eps)
    output.backward(grad)
    given = {"eps": eps, "x": x, "weight": weight, "bias": bias, "grad": grad}
    got = {"output": output, "grad_x": x.grad, "grad_weight": weight.grad, "grad_bias": bias.grad}
    return {
        name: convert_to_short_numbers(v) if isinstance(v, torch.Tensor) else v for name, v in (given | got).items()
    }


def compute_block_case() -> dict[str, Any]:
    """Return the input, parameters, output and gradients of PyTorch's causal pre-norm transformer block."""
    # The mask is True where PyTorch must *not* attend.
    layer = torch.nn.TransformerEncoderLayer(
        EMBED, HEADS, 4 * EMBED, dropout=0.0, activation="relu", batch_first=True, norm_first=True, dtype=torch.float64
    )
    with torch.no_grad():
        for seed, (name, parameter) in enumerate(layer.named_parameters()):
            is_scale = name in ("norm1.weight", "norm2.weight")
            parameter.copy_(draw_tensor(list(parameter.shape), 100 + seed, 0.4, float(is_scale)))
    x, grad = draw_tensor([2, 5, EMBED], 90).requires_grad_(), draw_tensor([2, 5, EMBED], 91)
    output = layer(x, src_mask=torch.ones(5, 5, dtype=torch.bool).triu(1))
    output.backward(grad)
    parameters = {name: convert_to_short_numbers(p) for name, p in layer.named_parameters()}
    grads = {name: convert_to_short_numbers(p.grad) for name, p in layer.named_parameters() if p.grad is not None}
    given = {
        "num_heads": HEADS,
        "x": convert_to_short_numbers(x),
        "grad": convert_to_short_numbers(grad),
        "parameters": parameters,
    }
    return given | {
        "output": convert_to_short_numbers(output),
        "grad_x": convert_to_short_numbers(x.grad),
        "grads": grads,
    }


def write_transformer_values() -> None:
    """Write the file of PyTorch's reference values for transformers, one case or value on each line."""
    torch.set_num_threads(1)
    cases = ",\n".join(json.dumps(compute_layer_norm_case(number, *case)) for number, case in enumerate(NORMS))
    values = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in compute_block_case().items())
    head = f'{{"about": {json.dumps(ABOUT)},\n"torch": {json.dumps(torch.__version__)},\n'
    TARGET.write_text(f'{head}"layer_norm": [\n{cases}],\n"block": {{\n{values}}}}}\n', encoding="utf-8")


if __name__ == "__main__":
    write_transformer_values()
