"""Pictures for module 06: kernels and what they find in a digit, and how often windows overlap."""

from __future__ import annotations

import numpy as np
from tinytorch.spatial import col2im, conv2d

from course.figures.canvas import Figure
from course.figures.charts import draw_signed_heatmap
from course.figures.recipes import load_recipe
from course.figures.records import read_record, round_values, write_record
from grading.render.svg import draw_box, draw_text


def draw_learned_kernels() -> Figure:
    """Draw a digit, the eight kernels that module 06's network has learned, and the feature map of each."""
    record = read_record("digits")
    kernels, bias = np.array(record["kernels"]), np.array(record["bias"])
    digit = np.array(record["digit"])
    image = (digit / 255 - 0.13) / 0.31
    maps = conv2d.forward(image[None, None], kernels[:, None], bias, stride=(2, 2), padding=(2, 2))[0]
    shapes = [
        draw_text(14, 24, "the image", css_class="bold"),
        draw_signed_heatmap(digit / 255, 14, 36, 3.5, 1.0, colours="ca"),
    ]
    shapes.append(draw_box(14, 36, 98, 98, 'fill="none" class="axis"'))
    shapes.append(draw_text(132, 24, "eight kernels of 5×5, each with its map", css_class="bold"))
    most = np.abs(kernels).max()
    for place in range(8):
        left, top = 132 + 84 * (place % 4), 36 + 142 * (place // 4)
        shapes.append(draw_signed_heatmap(kernels[place], left, top, 9, most))
        shapes.append(draw_box(left, top, 45, 45, 'fill="none" class="axis"'))
        shapes.append(draw_signed_heatmap(np.maximum(maps[place], 0), left, top + 52, 5, maps.max()))
        shapes.append(draw_box(left, top + 52, 70, 70, 'fill="none" class="grid"'))
    shapes.append(draw_text(14, 160, "kernels:", css_class="small"))
    shapes.append(draw_text(14, 178, "blue above 0,", css_class="small"))
    shapes.append(draw_text(14, 196, "orange below", css_class="small"))
    shapes.append(draw_text(14, 222, "maps: after ReLU", css_class="small"))
    return Figure("A handwritten digit, eight learned kernels and their feature maps", 320, shapes)


def draw_window_overlaps() -> Figure:
    """Draw 3×3 windows on a 7×7 image and the number of windows that contain each pixel, for strides 1, 2 and 3."""
    shapes = []
    for place, stride in enumerate((1, 2, 3)):
        count = (7 - 3) // stride + 1
        ones = np.ones((1, 9, count * count))
        counts = col2im(ones, (1, 1, 7, 7), (3, 3), (stride, stride), (0, 0))[0, 0]
        left, size = 14 + 156 * place, 20
        shapes.append(draw_text(left, 24, f"stride {stride}", css_class="bold"))
        shapes.append(draw_signed_heatmap(counts, left, 40, size, 12.0))
        for (row, column), value in np.ndenumerate(counts):
            x, y = left + size * (column + 0.5), 40 + size * (row + 0.5) + 5
            shapes.append(draw_text(x, y, f"{value:g}", "middle", css_class="small word-ink"))
        shapes.append(draw_box(left, 40, 140, 140, 'fill="none" class="axis"'))
        for step, kind in ((0, "b"), (1, "c")):
            x = left + size * stride * step
            shapes.append(draw_box(x + 1.5, 41.5, 57, 57, f'fill="none" class="line-{kind}"'))
    shapes.append(draw_text(14, 204, "orange and green show the first two windows", css_class="small"))
    return Figure("The number of 3 by 3 windows that each pixel is in, for strides 1, 2 and 3", 220, shapes)


def record_digit_kernels() -> None:
    """Train module 06's network on 6,000 MNIST images, and record its kernels and biases and one test image."""
    from grading.data.load import load_images

    recipe, data, rng = load_recipe("06_spatial"), load_images("mnist"), np.random.default_rng(0)
    network = recipe.build(rng)
    recipe.train(network, data.train_inputs[:6000], data.train_targets[:6000], rng=rng, progress=lambda *_: None)
    answers = recipe.predict(network, data.test_inputs).argmax(axis=1)
    right = (answers == data.test_targets).mean()
    about = f"kernels of module 06's recipe, trained on 6,000 images of {data.name} from seed 0 to {right:.2%}"
    values = {
        "kernels": round_values(network[0].weight.numpy()[:, 0]),
        "bias": round_values(network[0].bias.numpy()),
        "digit": data.test_inputs[int(np.flatnonzero(data.test_targets == 5)[0]), 0].tolist(),
    }
    write_record("digits", about, values, ["06_spatial/tinytorch/spatial.py", "06_spatial/recipe.py"])


FIGURES = {"kernels": draw_learned_kernels, "overlaps": draw_window_overlaps}
MEASUREMENTS = {"digits": record_digit_kernels}
