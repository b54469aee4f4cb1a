"""List the cases for modules 01 to 09: sums, operations, activations, layers, losses, attention, loading and tapes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from grading.compare.case_builders import (
    Draw,
    build_array_case,
    build_function_case,
    build_layer_case,
    build_loss_case,
    combine_draws,
    make_integer_drawer,
    make_normal_drawer,
    make_op_builder,
    make_positive_drawer,
    make_probability_drawer,
    make_tensor_function_binder,
)
from grading.compare.case_comparison import Arrays, CaseSide, ComparisonCase, build_local_side, build_worker_side

HEADS, TOKENS, HEAD_WIDTH = 4, 64, 32
EMBEDDING = HEADS * HEAD_WIDTH
CAUSAL = np.tril(np.ones((TOKENS, TOKENS), bool))

Operation = tuple[str, str, str, dict[str, Any], Callable[[Any], Any], dict[str, Draw], tuple[int, ...]]
_ROWS = np.array([3, 1, 4, 1, 5, 9, 2, 6] * 16)
OPERATIONS: list[Operation] = [
    ("a + b, broadcast", "256×512 + 512", "add", {}, lambda torch: torch.add,
     {"a": make_normal_drawer(256, 512), "b": make_normal_drawer(512)}, (256, 512)),
    ("a * b", "512×512", "multiply", {}, lambda torch: torch.mul,
     {"a": make_normal_drawer(512, 512), "b": make_normal_drawer(512, 512)}, (512, 512)),
    ("a / b", "512×512", "divide", {}, lambda torch: torch.div,
     {"a": make_normal_drawer(512, 512), "b": make_positive_drawer(512, 512)}, (512, 512)),
    ("a ** b", "256×256", "power", {}, lambda torch: torch.pow,
     {"a": make_positive_drawer(256, 256), "b": make_normal_drawer(256, 256)}, (256, 256)),
    ("exp", "512×512", "exp", {}, lambda torch: torch.exp, {"a": make_normal_drawer(512, 512)}, (512, 512)),
    ("log", "512×512", "log", {}, lambda torch: torch.log, {"a": make_positive_drawer(512, 512)}, (512, 512)),
    ("sqrt", "512×512", "sqrt", {}, lambda torch: torch.sqrt, {"a": make_positive_drawer(512, 512)}, (512, 512)),
    ("a @ b", "256×256 @ 256×256", "matmul", {}, lambda torch: torch.matmul,
     {"a": make_normal_drawer(256, 256), "b": make_normal_drawer(256, 256)}, (256, 256)),
    ("a @ b, batched", "16×64×64 @ 16×64×64", "matmul", {}, lambda torch: torch.matmul,
     {"a": make_normal_drawer(16, 64, 64), "b": make_normal_drawer(16, 64, 64)}, (16, 64, 64)),
    ("sum(axis=1)", "512×512", "reduce_sum", {"axis": 1, "keepdims": False}, lambda torch: partial(torch.sum, dim=1),
     {"a": make_normal_drawer(512, 512)}, (512,)),
    ("mean(axis=0)", "512×512", "reduce_mean", {"axis": 0, "keepdims": False}, lambda torch: partial(torch.mean, dim=0),
     {"a": make_normal_drawer(512, 512)}, (512,)),
    ("max(axis=1)", "512×512", "reduce_max", {"axis": 1, "keepdims": False}, lambda torch: partial(torch.amax, dim=1),
     {"a": make_normal_drawer(512, 512)}, (512,)),
    ("a[rows], some twice", "128 of 64×256", "index", {"key": _ROWS}, lambda torch: lambda a: a[torch.tensor(_ROWS)],
     {"a": make_normal_drawer(64, 256)}, (128, 256)),
]  # fmt: skip


def list_dot_product_cases() -> list[ComparisonCase]:
    """List the cases that compare the dot products of module 01, a loop and NumPy's, with PyTorch's."""

    def make_setup_lookup(name: str) -> Callable[[Any], Any]:
        """Return a function that looks up one of module 01's functions."""
        return lambda student: getattr(student.setup, name)

    return [
        build_array_case(
            "dot_loop", "1,000", make_setup_lookup("dot_loop"), lambda torch: torch.dot,
            a=make_positive_drawer(1000), b=make_positive_drawer(1000),
        ),
        build_array_case(
            "dot_vectorised", "100,000", make_setup_lookup("dot_vectorised"), lambda torch: torch.dot,
            a=make_positive_drawer(100_000), b=make_positive_drawer(100_000),
        ),
    ]  # fmt: skip


def list_operation_cases(*, differentiate: bool) -> list[ComparisonCase]:
    """List the cases of module 02's operations, with gradients from module 09's tape if `differentiate` is set."""
    return [
        build_function_case(
            name,
            size,
            make_op_builder("tensor", ours, **how),
            theirs,
            make_normal_drawer(*output) if differentiate else None,
            **draws,
        )
        for name, size, ours, how, theirs, draws, output in OPERATIONS
    ]


def list_activation_cases() -> list[ComparisonCase]:
    """List the cases that compare the layers of module 03 with PyTorch's."""
    theirs: dict[str, Callable[[Any], Any]] = {
        "ReLU": lambda torch: torch.nn.ReLU(),
        "LeakyReLU": lambda torch: torch.nn.LeakyReLU(),
        "Sigmoid": lambda torch: torch.nn.Sigmoid(),
        "Tanh": lambda torch: torch.nn.Tanh(),
        "Softmax": lambda torch: torch.nn.Softmax(-1),
        "GELU": lambda torch: torch.nn.GELU(approximate="tanh"),
    }

    def make_activation_lookup(name: str) -> Callable[[Any], Any]:
        """Return a function that makes one of module 03's layers."""
        return lambda student: getattr(student.activations, name)()

    shape = (256, 512)
    return [
        build_layer_case(
            name,
            "256×512",
            make_activation_lookup(name),
            build,
            x=make_normal_drawer(*shape),
            grad=make_normal_drawer(*shape),
        )
        for name, build in theirs.items()
    ]


def list_layer_cases() -> list[ComparisonCase]:
    """List the cases that compare the layers and losses of module 04 with PyTorch's."""
    return [
        build_layer_case(
            "Dense(256, 128)", "128×256",
            lambda student: student.layers.Dense(256, 128, rng=student.rng(0)),
            lambda torch: torch.nn.Linear(256, 128),
            x=make_normal_drawer(128, 256), grad=make_normal_drawer(128, 128),
            weight=make_normal_drawer(128, 256), bias=make_normal_drawer(128),
        ),
        build_loss_case(
            "MSELoss", "256×256",
            lambda student: student.layers.MSELoss(), lambda torch: torch.nn.functional.mse_loss,
            prediction=make_normal_drawer(256, 256), target=make_normal_drawer(256, 256),
        ),
        build_loss_case(
            "BCELoss", "256×256",
            lambda student: student.layers.BCELoss(), lambda torch: torch.nn.functional.binary_cross_entropy,
            prediction=make_probability_drawer(256, 256), target=make_probability_drawer(256, 256),
        ),
    ]  # fmt: skip


def list_network_cases() -> list[ComparisonCase]:
    """List the cases that compare the network and loss of module 05 with PyTorch's."""
    return [
        build_layer_case(
            "MLP((256, 128, 64, 10))", "128×256",
            lambda student: student.dense.MLP([256, 128, 64, 10], rng=student.rng(0)),
            lambda torch: torch.nn.Sequential(
                torch.nn.Linear(256, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64), torch.nn.ReLU(),
                torch.nn.Linear(64, 10),
            ),
            x=make_normal_drawer(128, 256), grad=make_normal_drawer(128, 10),
            weight1=make_scaled_weight_drawer(128, 256), bias1=make_normal_drawer(128),
            weight2=make_scaled_weight_drawer(64, 128), bias2=make_normal_drawer(64),
            weight3=make_scaled_weight_drawer(10, 64), bias3=make_normal_drawer(10),
        ),
        build_loss_case(
            "CrossEntropyLoss", "512×10",
            lambda student: student.dense.CrossEntropyLoss(), lambda torch: torch.nn.functional.cross_entropy,
            prediction=make_normal_drawer(512, 10), target=make_integer_drawer(10, 512),
        ),
        build_loss_case(
            "CrossEntropyLoss", "256×1,000",
            lambda student: student.dense.CrossEntropyLoss(), lambda torch: torch.nn.functional.cross_entropy,
            prediction=make_normal_drawer(256, 1000), target=make_integer_drawer(1000, 256),
        ),
    ]  # fmt: skip


def make_scaled_weight_drawer(n_out: int, n_in: int) -> Draw:
    """Return a function that draws weights that keep outputs on the same scale as inputs."""
    draw = make_normal_drawer(n_out, n_in)
    return lambda rng: draw(rng) * np.float32(n_in**-0.5)


def list_spatial_cases() -> list[ComparisonCase]:
    """List the cases that compare the layers of module 06 with PyTorch's."""
    return [
        build_layer_case(
            "Conv2d(3, 16, 5, stride=2, padding=2)", "16×3×32×32",
            lambda student: student.spatial.Conv2d(3, 16, 5, stride=2, padding=2, rng=student.rng(0)),
            lambda torch: torch.nn.Conv2d(3, 16, 5, stride=2, padding=2),
            x=make_normal_drawer(16, 3, 32, 32), grad=make_normal_drawer(16, 16, 16, 16),
            weight=make_normal_drawer(16, 3, 5, 5), bias=make_normal_drawer(16),
        ),
        *list_convolution_cases(lambda conv, _student: conv),
        build_layer_case(
            "MaxPool2d(2)", "16×16×32×32",
            lambda student: student.spatial.MaxPool2d(2), lambda torch: torch.nn.MaxPool2d(2),
            x=make_normal_drawer(16, 16, 32, 32), grad=make_normal_drawer(16, 16, 16, 16),
        ),
        build_layer_case(
            "AvgPool2d(2)", "16×16×32×32",
            lambda student: student.spatial.AvgPool2d(2), lambda torch: torch.nn.AvgPool2d(2),
            x=make_normal_drawer(16, 16, 32, 32), grad=make_normal_drawer(16, 16, 16, 16),
        ),
        build_layer_case(
            "Flatten()", "64×16×8×8",
            lambda student: student.spatial.Flatten(), lambda torch: torch.nn.Flatten(),
            x=make_normal_drawer(64, 16, 8, 8), grad=make_normal_drawer(64, 1024),
        ),
        build_layer_case(
            "BatchNorm2d(16), training", "16×16×32×32",
            lambda student: student.spatial.BatchNorm2d(16), lambda torch: torch.nn.BatchNorm2d(16),
            x=make_normal_drawer(16, 16, 32, 32), grad=make_normal_drawer(16, 16, 32, 32),
            weight=make_positive_drawer(16), bias=make_normal_drawer(16),
        ),
    ]  # fmt: skip


def list_convolution_cases(
    change: Callable[[Any, Any], Any], name: str = "Conv2d(16, 32, 3, padding=1)"
) -> list[ComparisonCase]:
    """List a single case: a mid-network convolution, with ``change(conv, student)`` as the student's layer."""
    return [
        build_layer_case(
            name, "16×16×32×32",
            lambda student: change(student.spatial.Conv2d(16, 32, 3, padding=1, rng=student.rng(0)), student),
            lambda torch: torch.nn.Conv2d(16, 32, 3, padding=1),
            x=make_normal_drawer(16, 16, 32, 32), grad=make_normal_drawer(16, 32, 32, 32),
            weight=make_normal_drawer(32, 16, 3, 3), bias=make_normal_drawer(32),
        ),
    ]  # fmt: skip


def bind_attention(layer: Any) -> Callable[..., Any]:
    """Turn an attention layer into a function of its input and parameters. This runs in the student's process."""
    parts = layer.q_proj, layer.k_proj, layer.v_proj, layer.out_proj

    def attend(x: Any, *weights_and_biases: Any) -> Any:
        """Set the layer's parameters (weight, bias, weight, bias, …) and run it on x."""
        for part, weight, bias in zip(parts, weights_and_biases[::2], weights_and_biases[1::2], strict=True):
            part.weight, part.bias = weight, bias
        return layer(x)

    return attend


def compute_torch_attention(torch: Any, x: Any, *weights: Any, causal: bool = False) -> Any:
    """Compute multi-head self-attention with PyTorch, from weight and bias of query, key, value and output in turn."""
    linear = torch.nn.functional.linear
    parts = (linear(x, weights[i], weights[i + 1]) for i in (0, 2, 4))
    heads = (part.view(*x.shape[:2], HEADS, HEAD_WIDTH).transpose(1, 2) for part in parts)
    output = torch.nn.functional.scaled_dot_product_attention(*heads, is_causal=causal)
    return linear(output.transpose(1, 2).flatten(2), weights[6], weights[7])


def make_projection_drawers() -> dict[str, Draw]:
    """Return the functions that draw an attention layer's parameters, keyed by name, in the parameters' order."""
    names = [f"{name}_{what}" for name in ("query", "key", "value", "output") for what in ("weight", "bias")]
    return {
        name: make_scaled_weight_drawer(EMBEDDING, EMBEDDING) if "weight" in name else make_normal_drawer(EMBEDDING)
        for name in names
    }


def list_attention_cases(*, differentiate: bool) -> list[ComparisonCase]:
    """List the cases of module 07's attention, with gradients from module 09's tape if `differentiate` is set."""
    shape = (8, HEADS, TOKENS, HEAD_WIDTH)
    draws = {name: make_normal_drawer(*shape) for name in ("query", "key", "value")}
    grad = make_normal_drawer(*shape) if differentiate else None
    tokens = make_normal_drawer(8, TOKENS, EMBEDDING)
    return [
        build_function_case(
            "scaled_dot_product_attention", "8×4×64×32",
            make_tensor_function_binder("attention", "scaled_dot_product_attention"),
            lambda torch: torch.nn.functional.scaled_dot_product_attention, grad, **draws,
        ),
        build_function_case(
            "attention, causal", "8×4×64×32",
            make_tensor_function_binder("attention", "scaled_dot_product_attention", mask=CAUSAL),
            lambda torch: partial(torch.nn.functional.scaled_dot_product_attention, is_causal=True), grad, **draws,
        ),
        build_function_case(
            "MultiHeadAttention(128, 4)", "8×64×128",
            lambda student: student.define(bind_attention)(
                student.attention.MultiHeadAttention(EMBEDDING, HEADS, rng=student.rng(0))
            ),
            lambda torch: partial(compute_torch_attention, torch), tokens if differentiate else None,
            x=tokens, **make_projection_drawers(),
        ),
    ]  # fmt: skip


def list_epoch_batches(loader: Any) -> Any:
    """Read every batch of an epoch. This runs in both processes."""
    return list(loader)


def join_epoch_batches(loader: Any) -> list[Any]:
    """Join an epoch's batches into an array of inputs and an array of targets. This runs in both processes."""
    from numpy import concatenate

    batches = [[tensor.numpy() for tensor in batch] for batch in loader]
    return [concatenate(parts) for parts in zip(*batches, strict=True)]


def list_loading_cases() -> list[ComparisonCase]:
    """List module 08's only case: an epoch of images in their original order."""
    names = "the inputs", "the targets"

    def prepare_student_side(student: Any, arrays: Arrays) -> CaseSide:
        """Build what the student's code computes from these arrays, and the call that is timed."""
        data = student.dataloader
        loader = data.DataLoader(data.ArrayDataset(arrays["images"], arrays["labels"]), 64)
        join = student.define(join_epoch_batches)
        return build_worker_side(
            student, lambda: dict(zip(names, join(loader), strict=True)), student.define(list_epoch_batches), loader
        )

    def prepare_pytorch_side(torch: Any, arrays: Arrays) -> CaseSide:
        """Build what PyTorch computes from these arrays, and the call that is timed."""
        data = torch.utils.data
        dataset = data.TensorDataset(*(torch.from_numpy(arrays[name]) for name in ("images", "labels")))
        loader = data.DataLoader(dataset, 64)
        return build_local_side(
            lambda: dict(zip(names, join_epoch_batches(loader), strict=True)), list_epoch_batches, loader
        )

    draws = combine_draws(images=make_normal_drawer(1000, 1, 28, 28), labels=make_integer_drawer(10, 1000))
    return [
        ComparisonCase(
            "DataLoader(dataset, 64), an epoch", "1,000×1×28×28", draws, prepare_student_side, prepare_pytorch_side
        )
    ]


def list_autograd_cases() -> list[ComparisonCase]:
    """List the cases of module 09, which differentiate the operations of earlier modules."""
    return list_operation_cases(differentiate=True) + list_attention_cases(differentiate=True)
