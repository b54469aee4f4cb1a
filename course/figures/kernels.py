"""Pictures for module 13: where a step's time goes, which blocks may run in parallel, and whitening kernels."""

from __future__ import annotations

import math
import time

import numpy as np
from tinytorch.activations import ReLU
from tinytorch.autograd import Tape
from tinytorch.dense import CrossEntropyLoss
from tinytorch.kernels import Profile, optimise, row_blocks
from tinytorch.layers import Dense, Sequential
from tinytorch.optimizers import SGD
from tinytorch.spatial import BatchNorm2d, Conv2d, Flatten, MaxPool2d
from tinytorch.tensor import Tensor

from course.figures.canvas import WIDTH, Figure
from course.figures.recipes import load_recipe
from course.figures.records import read_record, round_values, write_record
from grading.render.svg import draw_box, draw_text

PARTS = {
    "convolution": ("conv2d", "blocked_conv2d"),
    "batch normalisation, ReLU": ("batch_norm", "relu", "batch_norm_relu"),
    "max pooling": ("max_pool2d",),
}


def draw_step_times() -> Figure:
    """Draw a training step of module 06 and of module 13, divided into the recorded times of its parts."""
    record = read_record("step")
    whole = record["module 06"]["whole"]
    shapes, wide = [], WIDTH - 2 * 14
    for row, (name, times) in enumerate(record.items()):
        top, left = 38 + 84 * row, 14.0
        shapes.append(draw_text(14, top - 10, name, css_class="bold"))
        shapes.append(draw_text(WIDTH - 14, top - 10, f"{times['whole'] / whole:.0%}", "end", css_class="bold"))
        rest = times["whole"] - sum(times[part] for part in PARTS)
        for part, kind in zip((*PARTS, "rest"), "abcd", strict=True):
            share = wide * times.get(part, rest) / whole
            shapes.append(draw_box(left, top, share - 1, 34, f'class="fill-{kind}"'))
            if share > 34:
                text = f"{times.get(part, rest) / whole:.0%}"
                shapes.append(draw_text(left + share / 2, top + 22, text, "middle", css_class="bold word-paper"))
            left += share
    for place, (part, kind) in enumerate(zip((*PARTS, "everything else"), "abcd", strict=True)):
        x, y = 14 + 232 * (place % 2), 216 + 22 * (place // 2)
        shapes.append(draw_box(x, y - 10, 12, 12, f'class="fill-{kind}"'))
        shapes.append(draw_text(x + 18, y, part, css_class="small"))
    return Figure("Times of the parts of a training step in module 06 and module 13", 256, shapes)


def draw_gradient_blocks() -> Figure:
    """Draw blocks of output rows, and the image rows to which each block adds gradients."""
    rows, kernel, size = 12, 3, 17
    blocks = row_blocks(rows, 1 << 18)
    first, rest = blocks[::2], blocks[1::2]
    shapes = []
    for place, (name, group, kind) in enumerate((("first 0, 2, 4", first, "a"), ("then 1, 3, 5", rest, "b"))):
        left = 60 + 214 * place
        shapes.append(draw_text(left, 24, name, css_class="bold"))
        shapes.append(draw_text(left, 46, "output", css_class="small"))
        shapes.append(draw_text(left + 86, 46, "image, padded", css_class="small"))
        for row in range(rows + kernel - 1):
            y = 56 + size * row
            shapes.append(draw_box(left + 86, y, 84, size, 'fill="none" class="grid"'))
            if row < rows:
                shapes.append(draw_box(left, y + size, 60, size, 'fill="none" class="grid"'))
        for block in group:
            out = 56 + size * (block.start + 1)
            height = size * (block.stop - block.start)
            read = size * (block.stop - block.start + kernel - 1)
            look = f'class="fill-{kind}" fill-opacity="0.75"'
            shapes.append(draw_box(left, out + 1, 60, height - 2, look))
            shapes.append(draw_box(left + 86, 57 + size * block.start, 84, read - 2, look))
    shapes.append(draw_text(14, 316, "within a group no two blocks share an image row", css_class="small"))
    return Figure("Even blocks, and then odd ones, add to rows that do not overlap", 332, shapes)


def draw_whitening_directions() -> Figure:
    """Draw the recorded principal directions of 3×3 patches of photographs, strongest first, with their variances."""
    record = read_record("whitening")
    vectors, strengths = np.array(record["vectors"]), np.array(record["strengths"])
    shapes = [draw_text(14, 24, "27 directions, strongest first, with their variances", css_class="bold")]
    for place, (vector, strength) in enumerate(zip(vectors, strengths, strict=True)):
        x, y = 14 + 51 * (place % 9), 40 + 68 * (place // 9)
        shades = np.clip(np.rint(128 + 127 * vector / np.abs(vector).max()), 0, 255).astype(int).reshape(3, 3, 3)
        for row, column in np.ndindex(3, 3):
            red, green, blue = shades[:, row, column].tolist()
            look = f'fill="#{red:02x}{green:02x}{blue:02x}"'
            shapes.append(draw_box(x + 14 * column, y + 14 * row, 14, 14, look))
        shapes.append(draw_text(x + 21, y + 56, _format_strength(strength), "middle", css_class="small"))
    return Figure("Directions of 3 by 3 patches of photographs with their variances", 246, shapes)


def _format_strength(value: float) -> str:
    """Format a number with two digits, or with one digit and a power of ten: 0.27, 7e-4."""
    return f"{value:.2g}" if value >= 0.01 else f"{value:.0e}".replace("e-0", "e-")


def record_step_part_times() -> None:
    """Time the parts of a training step with the networks of modules 06 and 13, and record the medians."""
    rng, layers = np.random.default_rng(0), []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [Conv2d(before, after, 3, padding=1, rng=rng), BatchNorm2d(after), ReLU(), MaxPool2d(2)]
    plain = Sequential(*layers, Flatten(), Dense(1024, 10, rng=rng))
    networks = {"module 06": plain, "module 13": optimise(plain)}
    images, labels = Tensor(rng.normal(size=(64, 3, 32, 32)).astype("float32")), Tensor(np.arange(64) % 10)
    optimizer = SGD(plain.parameters(), lr=0.01, momentum=0.9)
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in networks}
    for _ in range(25):
        for name, network in networks.items():
            start = time.process_time()
            with Tape(), Profile(time.process_time) as profile:
                loss = CrossEntropyLoss()(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            parts = {"whole": time.process_time() - start}
            for part, ops in PARTS.items():
                names = [*ops, *(f"{op} backward" for op in ops)]
                parts[part] = math.fsum(profile.seconds.get(op, 0.0) for op in names)
            taken[name].append(parts)
    values = {
        name: {key: float(f"{1000 * np.median([t[key] for t in times[5:]]):.3g}") for key in times[0]}
        for name, times in taken.items()
    }
    about = "the training step of module 13's lesson, medians of 20 turns, processor time in ms"
    write_record("step", about, values, ["06_spatial/tinytorch/spatial.py", "13_kernels/tinytorch/kernels.py"])


def record_whitening_directions() -> None:
    """Compute the directions of patches in 2,000 downloaded images of CIFAR-10 with module 13's recipe; record them."""
    from grading.data.load import load_images

    recipe, data = load_recipe("13_kernels"), load_images("cifar10")
    images = recipe.normalize(data.train_inputs[:2000])
    kernels = recipe.whitening_kernels(images, 27).reshape(27, 27)
    norms = np.linalg.norm(kernels, axis=1)
    values = {"vectors": round_values(kernels / norms[:, None], 3), "strengths": round_values(1 / norms**2 - 0.1, 3)}
    about = f"whitening_kernels of module 13's recipe on 2,000 images of {data.name}"
    write_record("whitening", about, values, ["13_kernels/recipe.py"])


FIGURES = {"step": draw_step_times, "blocks": draw_gradient_blocks, "whitening": draw_whitening_directions}
MEASUREMENTS = {"step": record_step_part_times, "whitening": record_whitening_directions}
