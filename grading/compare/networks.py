"""Build complete networks on both sides, and PyTorch's training step, for training cases and the benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np

CHANNELS = (3, 16, 32, 64)


def build_student_image_network(student: Any, rng: Any) -> Any:
    """Build three blocks of convolution, batch norm, ReLU and max pooling, then a dense layer."""
    spatial, layers = student.spatial, []
    for before, after in pairwise(CHANNELS):
        layers += [spatial.Conv2d(before, after, 3, padding=1, bias=False, rng=rng), spatial.BatchNorm2d(after)]
        layers += [student.activations.ReLU(), spatial.MaxPool2d(2)]
    return student.layers.Sequential(*layers, spatial.Flatten(), student.layers.Dense(64 * 4 * 4, 10, rng=rng))


def build_torch_image_network(torch: Any) -> Any:
    """Build the image network of module 06 in PyTorch."""
    nn, layers = torch.nn, []
    for before, after in pairwise(CHANNELS):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, 10))


def build_torch_gpt_layers(torch: Any, vocab_size: int, width: int, blocks: int, length: int) -> dict[str, Any]:
    """Build the layers of a GPT in PyTorch, keyed by name. There is no head: its weight is that of `tokens`."""
    nn = torch.nn
    net = {
        "tokens": nn.Embedding(vocab_size, width),
        "places": nn.Embedding(length, width),
        "norm": nn.LayerNorm(width),
    }
    for number in range(blocks):
        net |= {
            f"norm1.{number}": nn.LayerNorm(width),
            f"qkv.{number}": nn.Linear(width, 3 * width),
            f"out.{number}": nn.Linear(width, width),
            f"norm2.{number}": nn.LayerNorm(width),
            f"mlp.{number}": nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width)),
        }
    return net


def compute_torch_logits(torch: Any, layers: dict[str, Any], heads: int, tokens: Any) -> Any:
    """Compute the next-token logits at each token, with PyTorch's own fused attention."""
    rows, length = tokens.shape
    x = layers["tokens"](tokens) + layers["places"](torch.arange(length))
    for number in range(sum(name.startswith("qkv") for name in layers)):
        qkv = layers[f"qkv.{number}"](layers[f"norm1.{number}"](x)).view(rows, length, 3, heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        seen = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + layers[f"out.{number}"](seen.transpose(1, 2).flatten(2))
        x = x + layers[f"mlp.{number}"](layers[f"norm2.{number}"](x))
    return torch.nn.functional.linear(layers["norm"](x), layers["tokens"].weight)


def make_torch_text_loss(torch: Any, layers: dict[str, Any], heads: int, tokens: np.ndarray) -> Callable[[], Any]:
    """Return a function that computes the mean cross-entropy over the predictions of each next token."""
    inputs, targets = (torch.from_numpy(part.copy()) for part in (tokens[:, :-1], tokens[:, 1:]))
    cross_entropy = torch.nn.functional.cross_entropy
    return lambda: cross_entropy(compute_torch_logits(torch, layers, heads, inputs).flatten(0, 1), targets.flatten())


def list_gpt_parameters(layers: dict[str, Any], blocks: int) -> list[Any]:
    """List the GPT's parameters in the order of module 16, with queries, keys and values separate."""
    ordered = [layers["tokens"].weight, layers["places"].weight]
    for number in range(blocks):
        norm1, qkv, out, norm2, mlp = (layers[f"{name}.{number}"] for name in ("norm1", "qkv", "out", "norm2", "mlp"))
        thirds = zip(qkv.weight.chunk(3), qkv.bias.chunk(3), strict=True)
        ordered += [norm1.weight, norm1.bias, *(part for third in thirds for part in third), out.weight, out.bias]
        ordered += [norm2.weight, norm2.bias, *mlp.parameters()]
    return [*ordered, layers["norm"].weight, layers["norm"].bias]


def copy_arrays_into_torch(torch: Any, arrays: Iterable[np.ndarray], torch_parameters: Iterable[Any]) -> None:
    """Copy arrays into PyTorch's parameters, in order."""
    with torch.no_grad():
        for array, parameter in zip(arrays, torch_parameters, strict=True):
            parameter.copy_(torch.from_numpy(array))


def make_torch_training_step(
    torch: Any, compute_loss: Callable[[], Any], optimizer: Any, max_norm: float | None = None
) -> Callable[[], float]:
    """Return a function that takes a step of eager PyTorch training and returns the loss.

    Gradients are clipped to ``max_norm`` if it is given.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def train_step() -> float:
        """Compute the loss and gradients, clip them if required, and update the parameters."""
        loss = compute_loss()
        optimizer.zero_grad()
        loss.backward()
        if max_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        optimizer.step()
        return float(loss.item())

    return train_step
