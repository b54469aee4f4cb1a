"""List the cases for modules 10 to 16: optimisers, schedules, training steps, int8, kernels and the GPT."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from grading.compare.case_builders import (
    Draw,
    build_array_case,
    build_function_case,
    build_layer_case,
    combine_draws,
    make_integer_drawer,
    make_normal_drawer,
    make_positive_drawer,
    read_tensor_array,
    to_numpy,
    to_torch,
)
from grading.compare.case_comparison import Arrays, CaseSide, ComparisonCase, build_local_side, build_worker_side
from grading.compare.cases import (
    EMBEDDING,
    HEADS,
    TOKENS,
    bind_attention,
    compute_torch_attention,
    list_convolution_cases,
    make_projection_drawers,
)
from grading.compare.networks import (
    build_student_image_network,
    build_torch_gpt_layers,
    build_torch_image_network,
    copy_arrays_into_torch,
    list_gpt_parameters,
    make_torch_text_loss,
    make_torch_training_step,
)

OPTIMIZER_STEPS = 20
SCHEDULE_STEPS = 60
TRAINING_STEPS = 3
"""The number of training steps whose losses are compared. After more steps, rounding makes the networks diverge."""
VOCAB, WIDTH, BLOCKS, LENGTH, ROWS = 256, 64, 2, 32, 8


# Functions that run in the student's process. Each imports what it needs.


def apply_gradients(optimizer: Any, parameter: Any, start: Any, grads: Any) -> Any:
    """Set a parameter to a copy of ``start``, take an optimiser step for each gradient, and return its data."""
    from tinytorch.tensor import Tensor

    parameter.data = start.copy()
    for grad in grads:
        parameter.grad = Tensor(grad)
        optimizer.step()
    return parameter.data


def record_learning_rates(
    make_optimizer: Any, tensor: Any, make_schedule: Any, options: dict[str, Any], steps: int
) -> list[float]:
    """Return a new optimiser's learning rates before the first step of a schedule and after each."""
    optimizer = make_optimizer([tensor], 0.1)
    schedule, rates = make_schedule(optimizer, **options), [optimizer.lr]
    for _ in range(steps):
        schedule.step()
        rates.append(optimizer.lr)
    return rates


def restore_and_clip_gradients(clip: Any, parameters: list[Any], grads: list[Any], max_norm: float) -> float:
    """Set the parameters' gradients again, clip them, and return their norm before clipping."""
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = grad
    return clip(parameters, max_norm)


def bind_embedding(apply: Any, embedding: Any) -> Any:
    """Turn module 16's embedding op into a function of the weight and the tokens."""
    return lambda weight, tokens: apply(embedding, weight, indices=tokens.data)


# Module 10.


def build_optimizer_case(name: str, **options: Any) -> ComparisonCase:
    """Build the case for an optimiser's steps with random gradients."""
    shape = (256, 256)

    def prepare_student_side(student: Any, arrays: Arrays) -> CaseSide:
        """Prepare the student's side, which takes optimizer steps."""
        make, step = getattr(student.optimizers, name), student.define(apply_gradients)
        parameter, timed = (student.tensor.Tensor(arrays["start"]) for _ in range(2))

        def compute_student_parameter() -> dict[str, Any]:
            """Return the parameter after the steps of the student's optimizer, keyed by name."""
            return {"the parameter": step(make([parameter], **options), parameter, arrays["start"], arrays["grads"])}

        kept = [student.hold(student.tensor.Tensor(arrays[key]), "data") for key in ("start", "grads")]
        return build_worker_side(student, compute_student_parameter, step, make([timed], **options), timed, *kept)

    def prepare_pytorch_side(torch: Any, arrays: Arrays) -> CaseSide:
        """Build what PyTorch computes from these arrays, and the call that is timed."""
        make = getattr(torch.optim, name)
        start, grads = torch.from_numpy(arrays["start"]), torch.from_numpy(arrays["grads"])
        parameter = start.clone().requires_grad_()

        def take_optimizer_steps(optimizer: Any) -> None:
            """Reset the parameter, and take one step of the optimizer for each gradient."""
            with torch.no_grad():
                parameter.copy_(start)
            for grad in grads:
                parameter.grad = grad
                optimizer.step()

        def compute_pytorch_parameter() -> dict[str, np.ndarray]:
            """Return the parameter after the steps of PyTorch's optimizer, keyed by name."""
            take_optimizer_steps(make([parameter], **options))
            return {"the parameter": to_numpy(parameter).copy()}

        return build_local_side(compute_pytorch_parameter, take_optimizer_steps, make([parameter], **options))

    called = ", ".join(f"{key}={value}" for key, value in options.items())
    draws = {"start": make_normal_drawer(*shape), "grads": make_normal_drawer(OPTIMIZER_STEPS, *shape)}
    return ComparisonCase(
        f"{name}({called})",
        f"{OPTIMIZER_STEPS} steps of 256×256",
        combine_draws(**draws),
        prepare_student_side,
        prepare_pytorch_side,
    )


def build_schedule_case(name: str, **options: Any) -> ComparisonCase:
    """Build the case for a schedule's learning rates."""

    def prepare_student_side(student: Any, _arrays: Arrays) -> CaseSide:
        """Prepare the student's side, which records the learning rate of every step."""
        follow, tensor = student.define(record_learning_rates), student.tensor.Tensor([0.0])
        arguments = student.optimizers.SGD, tensor, getattr(student.optimizers, name), options, SCHEDULE_STEPS
        return build_worker_side(student, lambda: {"the rates": np.array(follow(*arguments))}, follow, *arguments)

    def prepare_pytorch_side(torch: Any, _arrays: Arrays) -> CaseSide:
        """Build what PyTorch computes from these arrays, and the call that is timed."""
        make = getattr(torch.optim.lr_scheduler, name)
        more = {"cycle_momentum": False} if name == "OneCycleLR" else {}

        def list_learning_rates() -> list[float]:
            """Return the learning rates before the first step of PyTorch's schedule and after each."""
            optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch expects an optimiser step before each schedule step
                schedule, rates = make(optimizer, **options, **more), [optimizer.param_groups[0]["lr"]]
                for _ in range(SCHEDULE_STEPS):
                    schedule.step()
                    rates.append(optimizer.param_groups[0]["lr"])
            return rates

        return build_local_side(lambda: {"the rates": np.array(list_learning_rates())}, list_learning_rates)

    called = ", ".join(f"{key}={value}" for key, value in options.items())
    return ComparisonCase(
        f"{name}({called})", f"{SCHEDULE_STEPS} steps", lambda _rng: {}, prepare_student_side, prepare_pytorch_side
    )


def build_clipping_case() -> ComparisonCase:
    """Build the case for `clip_grad_norm` on three gradients."""
    shapes = {"first": (256, 256), "second": (256,), "third": (64, 16, 3, 3)}

    def prepare_student_side(student: Any, arrays: Arrays) -> CaseSide:
        """Prepare the student's side, which clips gradients."""
        tensor, clip = student.tensor.Tensor, student.optimizers.clip_grad_norm
        parameters, grads = ([tensor(array) for array in arrays.values()] for _ in range(2))
        arguments = clip, parameters, grads, 1.0

        def compute_student_gradients() -> dict[str, Any]:
            """Clip gradients with the student's code, and return the norm and each clipped gradient, keyed by name."""
            norm = student.define(restore_and_clip_gradients)(*arguments)
            clipped = {key: read_tensor_array(p.grad) for key, p in zip(arrays, parameters, strict=True)}
            return {"the norm": np.array(norm), **clipped}

        return build_worker_side(
            student, compute_student_gradients, student.define(restore_and_clip_gradients), *arguments
        )

    def prepare_pytorch_side(torch: Any, arrays: Arrays) -> CaseSide:
        """Build what PyTorch computes from these arrays, and the call that is timed."""
        parameters = [to_torch(torch, array) for array in arrays.values()]

        def clip_restored_gradients() -> Any:
            """Restore the gradients, clip them with PyTorch, and return their norm."""
            for parameter, array in zip(parameters, arrays.values(), strict=True):
                parameter.grad = torch.from_numpy(array.copy())
            return torch.nn.utils.clip_grad_norm_(parameters, 1.0)

        def compute_pytorch_gradients() -> dict[str, np.ndarray]:
            """Clip the gradients with PyTorch, and return the norm and each clipped gradient, keyed by name."""
            norm = clip_restored_gradients()
            clipped = {key: to_numpy(p.grad) for key, p in zip(arrays, parameters, strict=True)}
            return {"the norm": to_numpy(norm), **clipped}

        return build_local_side(compute_pytorch_gradients, clip_restored_gradients)

    draws = {name: make_normal_drawer(*shape) for name, shape in shapes.items()}
    return ComparisonCase(
        "clip_grad_norm(parameters, 1.0)",
        "3 gradients",
        combine_draws(**draws),
        prepare_student_side,
        prepare_pytorch_side,
    )


def list_optimizer_cases() -> list[ComparisonCase]:
    """List the cases that compare the optimizers, clipping and schedules of module 10 with PyTorch's."""
    return [
        build_optimizer_case("SGD", lr=0.01),
        build_optimizer_case("SGD", lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.01),
        build_optimizer_case("Adam", lr=0.001),
        build_optimizer_case("AdamW", lr=0.001, weight_decay=0.1),
        build_clipping_case(),
        build_schedule_case("StepLR", step_size=10, gamma=0.5),
        build_schedule_case("CosineAnnealingLR", T_max=60),
        build_schedule_case("OneCycleLR", max_lr=0.1, total_steps=SCHEDULE_STEPS + 1),
    ]


# Modules 11 and 13: training steps.


def build_training_case(name: str, change: Callable[[Any, Any], Any]) -> ComparisonCase:
    """Build the case for training steps with module 11's Trainer, on what ``change(network, student)`` returns."""
    how = {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}

    def prepare_student_side(student: Any, arrays: Arrays) -> CaseSide:
        """Prepare the student's side, which takes a training step with an image network."""
        network = build_student_image_network(student, student.rng(0))
        for parameter, array in zip(network.parameters(), list(arrays.values())[2:], strict=True):
            parameter.data = array
        network = change(network, student)
        tensor, training = student.tensor.Tensor, student.training
        optimizer = student.optimizers.SGD(network.parameters(), 0.01, **how)
        trainer = training.Trainer(network, student.dense.CrossEntropyLoss(), optimizer, metrics={})
        batch = tensor(arrays["images"]), tensor(arrays["labels"])
        step = trainer.train_step
        return build_worker_side(
            student, lambda: {"losses": np.array([step(*batch)["loss"] for _ in range(TRAINING_STEPS)])}, step, *batch
        )

    def prepare_pytorch_side(torch: Any, arrays: Arrays) -> CaseSide:
        """Build what PyTorch computes from these arrays, and the call that is timed."""
        network = build_torch_image_network(torch)
        copy_arrays_into_torch(torch, list(arrays.values())[2:], network.parameters())
        optimizer = torch.optim.SGD(network.parameters(), 0.01, **how)
        x, y = (torch.from_numpy(arrays[key]) for key in ("images", "labels"))
        step = make_torch_training_step(torch, lambda: torch.nn.functional.cross_entropy(network(x), y), optimizer)
        return build_local_side(lambda: {"losses": np.array([step() for _ in range(TRAINING_STEPS)])}, step)

    draws: dict[str, Draw] = {"images": make_normal_drawer(32, 3, 32, 32), "labels": make_integer_drawer(10, 32)}
    for number, (before, after) in enumerate(((3, 16), (16, 32), (32, 64))):
        draws[f"kernels{number}"] = make_he_weight_drawer(after, before)
        draws |= {f"scale{number}": make_positive_drawer(after), f"shift{number}": make_normal_drawer(after)}
    draws |= {"weight": make_he_weight_drawer(10, 1024, size=()), "bias": make_normal_drawer(10)}
    return ComparisonCase(name, "32×3×32×32", combine_draws(**draws), prepare_student_side, prepare_pytorch_side)


def make_he_weight_drawer(n_out: int, n_in: int, *, size: tuple[int, ...] = (3, 3)) -> Draw:
    """Return a function that draws weights with He initialisation."""
    shape = (n_out, n_in, *size)
    return lambda rng: (rng.normal(size=shape) * (2 / np.prod(shape[1:])) ** 0.5).astype(np.float32)


def list_training_cases() -> list[ComparisonCase]:
    """List the case that compares the training step of module 11 with PyTorch's."""
    return [build_training_case("Trainer.train_step, a convolutional network", lambda network, _student: network)]


# Module 12.


def bind_quantization(quantize: Any, dequantize: Any, scale: float, zero_point: int) -> Any:
    """Return a function that quantises and dequantises an array. This runs in the student's process."""
    return lambda x: dequantize(quantize(x, scale, zero_point), scale, zero_point)


def bind_weight_quantization(quantize_weight: Any, dequantize: Any) -> Any:
    """Return a function that quantises and dequantises a weight. This runs in the student's process."""
    return lambda weight: dequantize(*quantize_weight(weight))


def list_quantization_cases() -> list[ComparisonCase]:
    """List the cases for `quantize` with one scale and zero point, and `quantize_weight` with a scale per output."""
    # Scales are powers of two: PyTorch multiplies by their inverse, which could round a few numbers differently.
    scale, zero_point = 1 / 32, 5

    def draw_weight_with_equal_scales(rng: np.random.Generator) -> np.ndarray:
        """Draw a weight for which every output's scale is the same power of two."""
        weight = rng.uniform(-1.9, 1.9, (64, 32, 3, 3)).astype(np.float32)
        weight[:, 0, 0, 0] = 127 / 64
        return weight

    def build_student_quantizer(student: Any) -> Any:
        """Build the student's quantisation of an array."""
        made = student.compression
        return student.define(bind_quantization)(made.quantize, made.dequantize, scale, zero_point)

    def build_student_weight_quantizer(student: Any) -> Any:
        """Build the student's quantisation of a weight."""
        made = student.compression
        return student.define(bind_weight_quantization)(made.quantize_weight, made.dequantize)

    def build_torch_quantizer(torch: Any) -> Any:
        """Build PyTorch's quantisation of an array."""
        return lambda x: torch.fake_quantize_per_tensor_affine(x, scale, zero_point, -127, 127)

    def build_torch_weight_quantizer(torch: Any) -> Any:
        """Build PyTorch's quantisation of a weight."""

        def fake_quantize_weight(weight: Any) -> Any:
            """Round each output channel's weights to 8 bits and back, with PyTorch's fake quantization."""
            scales = weight.abs().flatten(1).amax(1) / 127
            zeros = torch.zeros(len(weight), dtype=torch.int32)
            return torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -127, 127)

        return fake_quantize_weight

    return [
        build_array_case(
            "quantize, dequantize", "512×512", build_student_quantizer, build_torch_quantizer,
            x=lambda rng: rng.uniform(-6, 6, (512, 512)).astype(np.float32),
        ),
        build_array_case(
            "quantize_weight, dequantize", "64×32×3×3", build_student_weight_quantizer, build_torch_weight_quantizer,
            weight=draw_weight_with_equal_scales,
        ),
    ]  # fmt: skip


def list_compression_cases() -> list[ComparisonCase]:
    """List the cases that compare the quantization and distillation of module 12 with PyTorch's."""

    def build_torch_distillation(torch: Any) -> Callable[..., Any]:
        """Build PyTorch's distillation loss."""
        f = torch.nn.functional

        def compute_distillation_loss(logits: Any, teacher: Any, targets: Any) -> Any:
            """Compute the distillation loss with temperature 4, and 0.1 of the cross-entropy with the targets."""
            log_q, log_p = f.log_softmax(logits / 4, 1), f.log_softmax(teacher.detach() / 4, 1)
            divergence = f.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
            # A teacher is not trained. Adding 0 times its sum gives it a gradient of zeros, like the student's side.
            return 0.9 * 16 * divergence + 0.1 * f.cross_entropy(logits, targets) + 0 * teacher.sum()

        return compute_distillation_loss

    def build_student_distillation(student: Any) -> Any:
        """Build the student's distillation loss."""
        return student.define(bind_distillation)(student.compression.distillation_loss)

    return [
        *list_quantization_cases(),
        build_function_case(
            "distillation_loss", "256×10", build_student_distillation, build_torch_distillation,
            lambda _rng: np.ones((), np.float32),
            logits=make_normal_drawer(256, 10), teacher=make_normal_drawer(256, 10),
            targets=make_integer_drawer(10, 256),
        ),
    ]  # fmt: skip


def bind_distillation(loss: Any) -> Any:
    """Return a loss that also gives the teacher a gradient of zeros. This runs in the student's process."""
    return lambda logits, teacher, targets: loss(logits, teacher, targets) + (teacher * 0.0).sum()


# Module 13.


def list_kernel_cases() -> list[ComparisonCase]:
    """List the cases of module 13, which computes the layers of module 06 in other ways."""

    def build_fused_norm_relu(student: Any) -> Any:
        """Build the student's batch normalization fused with ReLU, for 16 channels."""
        return student.kernels.BatchNormReLU(student.spatial.BatchNorm2d(16))

    def build_optimised_pooling(student: Any) -> Any:
        """Build the student's optimised network of one 2×2 max-pooling layer."""
        return student.kernels.optimise(student.layers.Sequential(student.spatial.MaxPool2d(2)))

    images = make_normal_drawer(16, 16, 32, 32)
    return [
        *list_convolution_cases(
            lambda conv, student: student.kernels.BlockedConv2d(conv), "BlockedConv2d(Conv2d(16, 32, 3, …))"
        ),
        build_layer_case(
            "BatchNormReLU(BatchNorm2d(16))", "16×16×32×32", build_fused_norm_relu,
            lambda torch: torch.nn.Sequential(torch.nn.BatchNorm2d(16), torch.nn.ReLU()),
            x=images, grad=images, weight=make_positive_drawer(16), bias=make_normal_drawer(16),
        ),
        build_layer_case(
            "optimise(MaxPool2d(2))", "16×16×32×32", build_optimised_pooling, lambda torch: torch.nn.MaxPool2d(2),
            x=images, grad=make_normal_drawer(16, 16, 16, 16),
        ),
        build_training_case(
            "train_step after optimise(network)", lambda network, student: student.kernels.optimise(network)
        ),
    ]  # fmt: skip


# Module 16.


def build_gpt_case() -> ComparisonCase:
    """Build the case for training steps with a small GPT, AdamW and clipping."""

    def prepare_student_side(student: Any, arrays: Arrays) -> CaseSide:
        """Prepare the student's side, which takes a training step with a GPT."""
        gpt, tensor = student.tinygpt, student.tensor.Tensor
        network = gpt.GPT(VOCAB, LENGTH, WIDTH, HEADS, BLOCKS, rng=student.rng(0))
        for parameter, array in zip(network.parameters(), list(arrays.values())[1:], strict=True):
            parameter.data = array
        optimizer = student.optimizers.AdamW(network.parameters(), lr=1e-3, weight_decay=0.1)
        trainer = student.training.Trainer(network, gpt.next_token_loss, optimizer, max_norm=1.0, metrics={})
        tokens = arrays["tokens"]
        batch, step = (tensor(tokens[:, :-1]), tensor(tokens[:, 1:])), trainer.train_step
        return build_worker_side(
            student, lambda: {"losses": np.array([step(*batch)["loss"] for _ in range(TRAINING_STEPS)])}, step, *batch
        )

    def prepare_pytorch_side(torch: Any, arrays: Arrays) -> CaseSide:
        """Build what PyTorch computes from these arrays, and the call that is timed."""
        net = build_torch_gpt_layers(torch, VOCAB, WIDTH, BLOCKS, LENGTH)
        copy_arrays_into_torch(torch, list(arrays.values())[1:], list_gpt_parameters(net, BLOCKS))
        parameters = [parameter for part in net.values() for parameter in part.parameters()]
        optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.1)
        loss = make_torch_text_loss(torch, net, HEADS, arrays["tokens"])
        step = make_torch_training_step(torch, loss, optimizer, max_norm=1.0)
        return build_local_side(lambda: {"losses": np.array([step() for _ in range(TRAINING_STEPS)])}, step)

    draws: dict[str, Draw] = {"tokens": make_integer_drawer(VOCAB, ROWS, LENGTH + 1)}
    for number, shape in enumerate(list_gpt_shapes()):
        draws[f"parameter{number}"] = make_small_value_drawer(*shape)
    return ComparisonCase(
        "Trainer.train_step of a GPT",
        "8 × 32 tokens",
        combine_draws(**draws),
        prepare_student_side,
        prepare_pytorch_side,
    )


def make_small_value_drawer(*shape: int) -> Draw:
    """Return a function that draws float32 values from a normal distribution with a standard deviation of 0.1."""
    return lambda rng: (0.1 * rng.normal(size=shape)).astype(np.float32)


def list_gpt_shapes() -> list[tuple[int, ...]]:
    """List the shapes of the GPT's parameters, in order."""
    norm = [(WIDTH,), (WIDTH,)]
    square = [(WIDTH, WIDTH), (WIDTH,)]
    block = [*norm, *square * 4, *norm, (4 * WIDTH, WIDTH), (4 * WIDTH,), (WIDTH, 4 * WIDTH), (WIDTH,)]
    return [(VOCAB, WIDTH), (LENGTH, WIDTH), *block * BLOCKS, *norm]


def list_language_cases() -> list[ComparisonCase]:
    """List the cases that compare the layers and the training step of module 16 with PyTorch's."""
    tokens, width = (8, TOKENS), EMBEDDING
    return [
        build_function_case(
            "Embedding(256, 128)", "8×64 tokens",
            lambda student: student.define(bind_embedding)(student.tensor.apply, student.tinygpt.embedding),
            lambda torch: lambda weight, tokens: torch.nn.functional.embedding(tokens, weight),
            make_normal_drawer(*tokens, width),
            weight=make_normal_drawer(VOCAB, width), tokens=make_integer_drawer(VOCAB, *tokens),
        ),
        build_layer_case(
            "LayerNorm(128)", "8×64×128",
            lambda student: student.tinygpt.LayerNorm(width), lambda torch: torch.nn.LayerNorm(width),
            x=make_normal_drawer(*tokens, width), grad=make_normal_drawer(*tokens, width),
            weight=make_positive_drawer(width), bias=make_normal_drawer(width),
        ),
        build_function_case(
            "CausalSelfAttention(128, 4)", "8×64×128",
            lambda student: student.define(bind_attention)(
                student.tinygpt.CausalSelfAttention(width, HEADS, rng=student.rng(0))
            ),
            lambda torch: partial(compute_torch_attention, torch, causal=True), make_normal_drawer(*tokens, width),
            x=make_normal_drawer(*tokens, width), **make_projection_drawers(),
        ),
        build_gpt_case(),
    ]  # fmt: skip
