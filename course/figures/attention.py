"""Pictures for module 07: masks, the scale of scores, positions, and why queries and keys are different vectors."""

from __future__ import annotations

import numpy as np
from tinytorch.activations import softmax
from tinytorch.attention import attention_scores, causal_mask, scaled_dot_product_attention, sinusoidal_positions
from tinytorch.tensor import Tensor, apply

from course.figures.canvas import WIDTH, Figure, draw_dot
from course.figures.charts import Chart, Scale, draw_axes, draw_curve, draw_signed_heatmap
from grading.render.svg import draw_box, draw_text

TOKENS = 12


def draw_attention_masks() -> Figure:
    """Draw attention weights of the same tokens without a mask and with the causal mask."""
    queries, keys = (Tensor(part) for part in np.random.default_rng(4).normal(size=(2, TOKENS, 16)) * 1.2)
    shapes = []
    for place, (name, mask) in enumerate((("no mask", None), ("causal mask", causal_mask(TOKENS)))):
        _, weights = scaled_dot_product_attention(queries, keys, keys, mask)
        shapes += _draw_weights(weights.numpy(), 40 + 226 * place, 58, 198 / TOKENS, name)
    shapes.append(
        draw_text(40, 282, "one row per query, one column per key; full colour is a weight of 1", css_class="small")
    )
    shapes.append(draw_text(26, 158, "queries", "middle", -90, css_class="small"))
    return Figure("Attention weights without a mask and with the causal mask", 298, shapes)


def draw_score_scaling() -> Figure:
    """Draw the mean of the largest of ten weights against d, with and without dividing the scores by √d."""
    rng, sizes = np.random.default_rng(0), [4, 16, 64, 256, 1024]
    chart = Chart(52, 46, WIDTH - 82, 180, Scale(4, 1024, log=True), Scale(0, 1))
    found: tuple[list[float], list[float]] = ([], [])
    for d in sizes:
        query, key = Tensor(rng.normal(size=(1000, d))), Tensor(rng.normal(size=(10, d)))
        for which, scores in enumerate((query @ key.T, attention_scores(query, key))):
            found[which].append(apply(softmax, scores, axis=-1).max(axis=-1).mean().item())
    y = [(k / 4, f"{k / 4:g}") for k in range(5)]
    shapes = draw_axes(chart, [(d, f"{d}") for d in sizes], y, x_label="number of features d")
    shapes.append(draw_text(14, 24, "largest of ten weights, mean of 1,000 queries"))
    for values, name, kind in zip(found, ("not divided", "divided by √d"), "ba", strict=True):
        shapes.append(draw_curve(chart, sizes, values, f"line-{kind}"))
        shapes += [
            draw_dot(chart.map_x(d), chart.map_y(v), f"fill-{kind}", 3) for d, v in zip(sizes, values, strict=True)
        ]
        shapes.append(
            draw_text(chart.map_x(256), chart.map_y(values[3]) + 22, name, "middle", css_class=f"bold word-{kind}")
        )
    at = chart.map_y(0.1)
    shapes.append(draw_text(chart.left + 4, at - 4, "0.1: all weights equal", css_class="small"))
    shapes.append(draw_curve(chart, [4, 1024], [0.1, 0.1], "axis dash"))
    return Figure("Largest attention weight against d, with and without the division by √d", 282, shapes)


def draw_sinusoidal_positions() -> Figure:
    """Draw sinusoidal positions as the rows of a heatmap, and the dot product of every pair of positions."""
    positions = sinusoidal_positions(48, 32).astype(np.float64)
    products = positions @ positions.T
    shapes = [
        draw_text(40, 24, "48 positions, 32 columns", css_class="bold"),
        draw_text(276, 24, "dot products", css_class="bold"),
    ]
    shapes.append(draw_signed_heatmap(positions, 40, 36, 6, 1.0, pixel_height=4))
    shapes.append(draw_box(40, 36, 192, 192, 'fill="none" class="axis"'))
    shapes.append(draw_signed_heatmap(products, 276, 36, 4, products.max()))
    shapes.append(draw_box(276, 36, 192, 192, 'fill="none" class="axis"'))
    shapes.append(draw_text(32, 132, "position", "middle", -90, css_class="small"))
    shapes.append(draw_text(136, 246, "fast waves     …     slow waves", "middle", css_class="small"))
    shapes.append(draw_text(372, 246, "each position with each", "middle", css_class="small"))
    shapes.append(draw_text(40, 268, "blue is above 0, orange below", css_class="small"))
    return Figure("Sinusoidal positions and their dot products", 282, shapes)


def draw_attention_by_position() -> Figure:
    """Draw attention weights when query and key are the same vector, and when the keys are shifted by one position."""
    positions = sinusoidal_positions(TOKENS, 64).astype(np.float64) * 3
    keys = sinusoidal_positions(TOKENS + 1, 64).astype(np.float64)[1:] * 3  # a rotation of each pair of columns
    mask, shapes = causal_mask(TOKENS), []
    for place, (name, key) in enumerate((("query = key", positions), ("separate key projection", keys))):
        _, weights = scaled_dot_product_attention(Tensor(positions), Tensor(key), Tensor(positions), mask)
        shapes += _draw_weights(weights.numpy(), 40 + 226 * place, 58, 198 / TOKENS, name)
    shapes.append(draw_text(26, 158, "queries", "middle", -90, css_class="small"))
    shapes.append(
        draw_text(40, 282, "left: each token attends to itself; right: to the one before it", css_class="small")
    )
    return Figure("Attention weights with one projection for queries and keys, and with two", 298, shapes)


def _draw_weights(weights: np.ndarray, left: float, top: float, cell_size: float, name: str) -> list[str]:
    """Draw a square heatmap of attention weights, with a title above it and `keys` over its columns."""
    side = cell_size * len(weights)
    shapes = [draw_text(left, top - 30, name, css_class="bold"), draw_text(left, top - 8, "keys", css_class="small")]
    shapes.append(draw_signed_heatmap(weights, left, top, cell_size, 1.0))
    return [*shapes, draw_box(left, top, side, side, 'fill="none" class="axis"')]


FIGURES = {
    "masks": draw_attention_masks,
    "scaling": draw_score_scaling,
    "positions": draw_sinusoidal_positions,
    "projections": draw_attention_by_position,
}
