"""Pictures for module 16: a network that learns to copy, and how sampling changes four probabilities."""

from __future__ import annotations

import math

import numpy as np
from tinytorch.autograd import Tape
from tinytorch.optimizers import AdamW
from tinytorch.tensor import Tensor
from tinytorch.tinygpt import GPT, next_token_loss, sampling_probabilities

from course.figures.canvas import WIDTH, Figure
from course.figures.charts import Chart, Scale, draw_axes, draw_bars, draw_curve, draw_signed_heatmap
from course.figures.records import read_record, round_values, write_record
from grading.render.svg import draw_box, draw_text

LINE = "say tok: tok"


def draw_copying_losses() -> Figure:
    """Draw the recorded loss of task 16.12's network, and the best losses possible with copying and without."""
    losses = read_record("copying")["losses"]
    steps = [10 * k for k in range(len(losses))]
    chart = Chart(46, 44, WIDTH - 66, 190, Scale(0, 500), Scale(0, 3))
    shapes = draw_axes(
        chart, [(k, f"{k}") for k in range(0, 501, 100)], [(k, f"{k}") for k in range(4)], x_label="steps"
    )
    shapes.append(draw_text(14, 24, "loss in nats per token", css_class="bold"))
    for words, kind in ((2, "b"), (1, "c")):
        least = words * 3 * math.log(12) / 12
        shapes.append(draw_curve(chart, [0, 500], [least, least], f"line-{kind} dash"))
        name = ("copies: ", "only guesses: ")[words - 1] + f"{least:.2f}"
        shapes.append(draw_text(WIDTH - 22, chart.map_y(least) - 6, name, "end", css_class=f"small bold word-{kind}"))
    shapes.append(draw_curve(chart, steps, losses, "line-a"))
    return Figure("Loss while a small transformer learns to copy a word", 286, shapes)


def draw_attention_heads() -> Figure:
    """Draw where the four heads of the first block look, letter by letter, and mark the head that copies."""
    weights = np.array(read_record("copying")["weights"])[0]
    copying = range(8, 11)  # the second word's letters are written after these
    copier = int(weights[:, copying, range(4, 7)].sum(axis=1).argmax())
    size, shapes = 15, []
    letters = [letter if letter != " " else "␣" for letter in LINE]
    for head in range(4):
        left, top = 40 + 226 * (head % 2), 54 + 222 * (head // 2)
        shapes.append(draw_text(left, top - 26, f"head {head + 1}", css_class="bold"))
        shapes.append(draw_signed_heatmap(weights[head], left, top, size, 1.0))
        shapes.append(draw_box(left, top, 12 * size, 12 * size, 'fill="none" class="axis"'))
        for place, letter in enumerate(letters):
            at = size * (place + 0.5)
            shapes.append(draw_text(left + at, top - 6, letter, "middle", css_class="small code"))
            shapes.append(draw_text(left - 8, top + at + 4, letter, "middle", css_class="small code"))
    left, top = 40 + 226 * (copier % 2), 54 + 222 * (copier // 2)
    for row, column in zip(copying, range(4, 7), strict=True):
        look = 'fill="none" class="line-b"'
        shapes.append(draw_box(left + size * column - 1, top + size * row - 1, size + 2, size + 2, look))
    shapes.append(draw_text(40, 476, "each row shows where the network looks after that letter", css_class="small"))
    return Figure("Attention of four heads over the letters of a line", 492, shapes)


def draw_sampling_probabilities() -> Figure:
    """Draw four probabilities and how temperature, top_k and top_p change them."""
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05]))
    ways: tuple[tuple[str, dict], ...] = (
        ("unchanged", {}),
        ("temperature 0.5", {"temperature": 0.5}),
        ("temperature 2", {"temperature": 2.0}),
        ("top_k = 2", {"top_k": 2}),
        ("top_p = 0.9", {"top_p": 0.9}),
        ("0.5, then top_p = 0.9", {"temperature": 0.5, "top_p": 0.9}),
    )
    shapes = []
    for place, (name, options) in enumerate(ways):
        chart = Chart(22 + 154 * (place % 3), 50 + 166 * (place // 3), 128, 100, Scale(0, 4), Scale(0, 0.8))
        probabilities = sampling_probabilities(logits, **options)
        shapes.append(draw_text(chart.left, chart.top - 24, name, css_class="small bold"))
        shapes += draw_axes(chart, [(k + 0.5, "ABCD"[k]) for k in range(4)], [], grid=False)
        shapes.append(
            draw_bars(chart, [k + 0.1 for k in range(4)], [k + 0.9 for k in range(4)], probabilities, 'class="fill-a"')
        )
        for token, probability in enumerate(probabilities):
            at = chart.map_x(token + 0.5), chart.map_y(probability) - 4
            shapes.append(draw_text(*at, f"{probability:.2f}", "middle", css_class="small"))
    return Figure("Four probabilities after temperature, top-k and top-p", 350, shapes)


def record_copying_network() -> None:
    """Train the network of task 16.12, and record its losses and every block's attention weights for one line."""
    rng = np.random.default_rng(0)

    def sample_copying_lines(count: int) -> np.ndarray:
        """Draw this number of lines with two equal words, or all such lines."""
        words = [bytes(word) for word in rng.choice(list(b"aeiklmnorstu"), (count, 3)).tolist()]
        return np.array([list(b"say " + word + b": " + word + b"\n") for word in words])

    model = GPT(256, context_length=12, embed_dim=32, num_heads=4, num_layers=2, rng=rng)
    optimizer, losses = AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.99)), []
    for step in range(501):
        lines = sample_copying_lines(32)
        with Tape():
            loss = next_token_loss(model(Tensor(lines[:, :-1])), Tensor(lines[:, 1:]))
        if step % 10 == 0:
            losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model(Tensor(np.array([list(LINE.encode())])))
    weights = np.stack([block.self_attn.weights.numpy()[0] for block in model.blocks])
    values = {"losses": round_values(np.array(losses), 3), "weights": np.round(weights, 3).tolist()}
    about = "task 16.12's network after 500 steps; weights (block, head, query, key) for the line of the picture"
    write_record("copying", about, values, ["16_tinygpt/tinytorch/tinygpt.py"])


FIGURES = {"copying": draw_copying_losses, "attention": draw_attention_heads, "sampling": draw_sampling_probabilities}
MEASUREMENTS = {"copying": record_copying_network}
