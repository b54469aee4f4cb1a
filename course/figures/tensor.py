"""Pictures for module 02: how shapes stretch, and how several arrays share one block of memory."""

from __future__ import annotations

import numpy as np
from tinytorch.tensor import Tensor

from course.figures.canvas import EDGE, WIDTH, Figure
from grading.render.svg import draw_box, draw_text

CELL = 34


def draw_broadcasting() -> Figure:
    """Draw a column plus a row, each repeated along the axis on which its size is 1."""
    column, row = Tensor([[0.0], [10.0], [20.0]]), Tensor([[1.0, 2.0, 3.0, 4.0]])
    total = column + row
    parts = ((column, f"{column.shape}", "a"), (row, f"{row.shape}", "b"), (total, f"{total.shape}", "c"))
    shapes, left, top = [], float(EDGE), 52.0
    for place, (part, shape, colour) in enumerate(parts):
        own = part.shape
        whole = np.broadcast_to(part.numpy(), total.shape)
        shapes.append(draw_text(left + 2 * CELL, top - 14, shape, "middle", css_class=f"bold word-{colour}"))
        for i, j in np.ndindex(total.shape):
            ghost = i >= own[0] or j >= own[1]
            look = 'fill="none" class="grid dash"' if ghost else f'class="fill-{colour}" fill-opacity="0.22"'
            x, y = left + CELL * j, top + CELL * i
            shapes.append(draw_box(x + 1, y + 1, CELL - 2, CELL - 2, look))
            text = f"{whole[i, j]:g}"
            shapes.append(
                draw_text(x + CELL / 2, y + CELL / 2 + 5, text, "middle", css_class="small" if ghost else "bold")
            )
        left += 4 * CELL + 22
        if place < 2:
            shapes.append(draw_text(left - 11, top + 1.5 * CELL + 5, "+="[place], "middle", css_class="bold"))
    said = "dashed: the same numbers again, never copied"
    shapes.append(draw_text(EDGE, top + 3 * CELL + 24, said, css_class="small"))
    return Figure("A column of 3 plus a row of 4 gives a table of 3 by 4", top + 3 * CELL + 38, shapes)


def draw_array_strides() -> Figure:
    """Draw nine numbers in memory, and three arrays that read them with different strides."""
    x = Tensor(np.arange(1, 10, dtype=np.float32).reshape(3, 3))
    views = (("x", x), ("x.T", x.T), ("x[::2]", x[::2]))
    base = x.numpy().__array_interface__["data"][0]
    wide = (WIDTH - 2 * EDGE) / 9
    shapes = [draw_text(EDGE, 24, "memory: one strip of bytes, 4 for each float32")]
    for place, value in enumerate(x.numpy().ravel()):
        left = EDGE + wide * place
        shapes.append(_draw_memory_cell(left, 34, wide, place))
        shapes.append(draw_text(left + wide / 2, 34 + CELL / 2 + 5, f"{value:g}", "middle"))
        shapes.append(draw_text(left + 1, 34 + CELL + 14, f"{4 * place}", css_class="small"))
    for which, (name, view) in enumerate(views):
        array, left, top = view.numpy(), EDGE + 158 * which, 150.0
        start = (array.__array_interface__["data"][0] - base) // 4
        shapes.append(draw_text(left, top - 34, name, css_class="bold code"))
        shapes.append(draw_text(left, top - 14, f"strides {array.strides}", css_class="small"))
        for i, j in np.ndindex(array.shape):
            place = start + (i * array.strides[0] + j * array.strides[1]) // 4
            at = left + CELL * j, top + CELL * i
            shapes.append(_draw_memory_cell(*at, CELL, int(place)))
            shapes.append(draw_text(at[0] + CELL / 2, at[1] + CELL / 2 + 5, f"{array[i, j]:g}", "middle"))
    return Figure("One strip of memory, read as x, as x.T and as x[::2]", 266, shapes)


def _draw_memory_cell(x: float, y: float, width: float, memory_position: int) -> str:
    """Draw a cell whose colour shows its position in memory."""
    return draw_box(
        x + 1, y + 1, width - 2, CELL - 2, f'class="fill-a" fill-opacity="{0.06 + 0.055 * memory_position:.3g}"'
    )


FIGURES = {"broadcasting": draw_broadcasting, "strides": draw_array_strides}
