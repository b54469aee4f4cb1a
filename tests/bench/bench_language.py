"""Milestone 5: compare a training step of the GPT with PyTorch's, and time writing and the grader's texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from grading.compare.networks import build_torch_gpt_layers, make_torch_text_loss, make_torch_training_step
from grading.language.function_corpus import draw_function_corpus
from grading.language.story_corpus import draw_story_corpus
from tests.bench.bench_figure import BenchmarkFigure, time_call
from tests.bench.peak_memory import measure_peak
from tests.bench.turns import import_pytorch, limit_threads, load_solution, measure_work_in_turns, run_training_steps

VOCAB, HEADS = 768, 4
SIZES = {"as the recipe's": (64, 3, 16, 60), "twice as wide": (128, 4, 32, 64)}
"""The width, blocks, rows and tokens of each training step, by the step's name."""
TURNS = 20
WIDTH, BLOCKS, WRITTEN = 128, 3, 240
"""The width and blocks of the network that writes, and the number of tokens that it writes."""


def compare_text_steps() -> Iterator[BenchmarkFigure]:
    """Compare training steps, with clipping and AdamW, with PyTorch's: processor time on one thread."""
    for name, (width, blocks, rows, length) in SIZES.items():
        tokens = np.random.default_rng(0).integers(0, VOCAB, (rows, length + 1))
        works = make_our_text_step(width, blocks, tokens), make_torch_text_step(width, blocks, tokens)
        with limit_threads(1):
            ours, theirs = measure_work_in_turns(*works, turns=TURNS, clock=time.process_time)
        how = f"width {width}, {blocks} blocks, {rows} × {length} tokens: {ours * 1e3:.1f} ms to {theirs * 1e3:.1f} ms"
        yield BenchmarkFigure(f"milestone 5, a training step against PyTorch, {name}", ours / theirs, 1.0, "×", how)


def make_our_text_step(width: int, blocks: int, tokens: np.ndarray) -> Callable[[], object]:
    """Make one training step of the solution's Trainer."""
    student = load_solution()
    gpt, tensor = student.tinygpt, student.tensor.Tensor
    net = gpt.GPT(VOCAB, tokens.shape[1] - 1, width, HEADS, blocks, rng=np.random.default_rng(0))
    optimizer = student.optimizers.AdamW(net.parameters(), lr=1e-3, weight_decay=0.1)
    trainer = student.training.Trainer(net, gpt.next_token_loss, optimizer, max_norm=1.0, metrics={})
    inputs, targets = tensor(tokens[:, :-1]), tensor(tokens[:, 1:])
    return lambda: trainer.train_step(inputs, targets)


def make_torch_text_step(width: int, blocks: int, tokens: np.ndarray) -> Callable[[], object]:
    """Make a training step of a GPT of that size in eager PyTorch, with its own fused attention."""
    torch = import_pytorch()
    net = build_torch_gpt_layers(torch, VOCAB, width, blocks, tokens.shape[1] - 1)
    parameters = [parameter for layer in net.values() for parameter in layer.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.1)
    return make_torch_training_step(torch, make_torch_text_loss(torch, net, HEADS, tokens), optimizer, max_norm=1.0)


def measure_writing_speed() -> Iterator[BenchmarkFigure]:
    """Measure the processor time per token when writing one sequence with the cache."""
    gpt, rng = load_solution().tinygpt, np.random.default_rng(0)
    net = gpt.GPT(VOCAB, WRITTEN + 1, WIDTH, HEADS, BLOCKS, rng=rng)
    with limit_threads(1):
        times = [time_call(lambda: gpt.generate(net, [[1]], WRITTEN, rng=rng), time.process_time) for _ in range(7)]
    each = 1e3 * float(np.median(times)) / WRITTEN
    how = f"width {WIDTH}, {BLOCKS} blocks, {WRITTEN} tokens, with the cache: {1e3 / each:,.0f} tokens per second"
    yield BenchmarkFigure("milestone 5, writing a token", each, 1, "ms", how)


def time_text_making() -> Iterator[BenchmarkFigure]:
    """Measure the processor time needed to make the grader's texts for one run."""
    taken = time_call(
        lambda: [draw(np.random.default_rng(0)) for draw in (draw_function_corpus, draw_story_corpus)],
        time.process_time,
    )
    yield BenchmarkFigure(
        "milestone 5, making the texts of a run", taken, 3, "s", "functions and stories, processor time"
    )


def measure_text_memory() -> Iterator[BenchmarkFigure]:
    """Measure the peak memory of a process that begins to train on as many functions as the milestone has."""
    _, peak = measure_peak("from tests.bench.bench_language import train_a_little as work")
    how = "resident memory of a process that encodes 20,000 functions and takes the recipe's first steps"
    yield BenchmarkFigure("peak memory of training milestone 5", peak, 1024, "MiB", how)


def train_a_little() -> None:
    """Begin the recipe's training on functions, and stop at its first report."""
    recipe, rng = load_solution().recipe("16_tinygpt"), np.random.default_rng(0)
    text = draw_function_corpus(rng).text
    net = recipe.build(recipe.learn_merges(text), rng)
    run_training_steps(recipe.train, net, text, rng=rng, step_count=1)
    recipe.next_logits(net, np.ones((100, 60), np.int64))
