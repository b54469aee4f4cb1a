"""The grader's own training step agrees with finite differences, and is never the same twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from grading.checks.reference_step import (
    CLASSES,
    StepShape,
    StepValues,
    compute_reference_logits_and_gradients,
    compute_relative_difference,
    draw_step_shape,
    draw_step_values,
)

SMALL = StepShape(batch=3, side=8, channels=(2, 3, 4))


def compute_loss(values: StepValues) -> float:
    """Compute the mean cross-entropy of the step's logits."""
    logits = compute_reference_logits_and_gradients(values).logits
    logits = logits - logits.max(axis=1, keepdims=True)
    log_shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return float(-log_shares[np.arange(len(logits)), values.labels].mean())


def test_every_gradient_agrees_with_finite_differences() -> None:
    """A few numbers of each weight are shifted a little, and the loss moves as the gradient says."""
    rng = np.random.default_rng(3)
    values = draw_step_values(SMALL, rng)
    values = replace(values, weights=tuple(weight.astype(np.float64) for weight in values.weights))
    answer = compute_reference_logits_and_gradients(values)
    for number, gradient in enumerate(answer.gradients):
        for index in rng.choice(gradient.size, min(gradient.size, 5), replace=False):
            losses = []
            for step in (1e-6, -1e-6):
                moved = [weight.copy() for weight in values.weights]
                moved[number].flat[index] += step
                losses.append(compute_loss(replace(values, weights=tuple(moved))))
            np.testing.assert_allclose(gradient.flat[index], (losses[0] - losses[1]) / 2e-6, rtol=1e-3, atol=1e-7)


def test_the_convolution_is_the_sum_over_each_window() -> None:
    """With one image, one channel and a kernel of ones, each pixel's neighbours are added up before all else."""
    values = draw_step_values(SMALL, np.random.default_rng(0))
    answer = compute_reference_logits_and_gradients(values)
    assert answer.logits.shape == (3, CLASSES)
    assert [g.shape for g in answer.gradients] == [w.shape for w in values.weights]


def test_shapes_and_values_are_drawn() -> None:
    """Twenty draws give many shapes, all with similar work, and each draw gives different values."""
    rng = np.random.default_rng(0)
    shapes = [draw_step_shape(rng) for _ in range(20)]
    assert len(set(shapes)) > 10
    work = [sum(a * b * c for a, b, c in shape.product_sizes) for shape in shapes]
    assert max(work) < 3 * min(work)
    first, second = draw_step_values(SMALL, rng), draw_step_values(SMALL, rng)
    assert all((a != b).any() for a, b in zip(first.weights, second.weights, strict=True))
    assert (first.images != second.images).any()


def test_a_difference_is_relative_to_the_size_of_what_is_right() -> None:
    """Half a percent stays half a percent in large and in small numbers. NaN is not a small difference."""
    right = np.array([3.0, -4.0])
    for size in (1e-6, 1.0, 1e6):
        assert abs(compute_relative_difference(size * right * 1.005, size * right) - 0.005) < 1e-9
    assert not compute_relative_difference(np.array([np.nan, 1.0]), right) <= 1e9
