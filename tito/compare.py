"""`tito compare`: compare a module's ops with PyTorch's, if PyTorch is installed."""

from __future__ import annotations

import dataclasses
import io
import secrets
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from grading.files import require_folder
from tito.console import open_console, print_json, raise_interrupted_with_message, require_repository
from tito.module import ModuleName, find_module
from tito.options import JsonOption, SeedOption
from tito.outline import read_outline


def compare_with_pytorch(
    name: ModuleName = None,
    seed: SeedOption = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write the table and the bars as a picture.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Compare a module's ops with PyTorch's on random inputs: values, gradients and speed. Your grade is not affected.

    PyTorch is not part of the course. To install it: pip install torch --index-url https://download.pytorch.org/whl/cpu

    \b
    Examples:
      tito compare
      tito compare 06
      tito compare 06 --seed 1234
      tito compare 06 --svg speed.svg
    """
    root = require_repository()
    module = find_module(root, read_outline(root), name)
    if svg is not None:
        require_folder(svg)
    from grading.compare.compare_module import compare_module  # imports the grader
    from grading.compare.rendering import print_comparison
    from grading.render.progress_watch import SilentWatch, create_watch

    drawn = secrets.randbelow(1 << 31) if seed is None else seed
    out = open_console()
    with raise_interrupted_with_message("Interrupted. Nothing was changed or recorded."):
        if as_json:
            compared = compare_module(root, module.id, seed=drawn, watch=SilentWatch())
            print_json({"module": module.id, "seed": drawn, "ops": [dataclasses.asdict(one) for one in compared]})
            return 0
        with create_watch(out) as watch:
            compared = compare_module(root, module.id, seed=drawn, watch=watch)
    again = Text.assemble("Inputs from seed ", str(drawn), ": ", (f"tito compare {module.id} --seed {drawn}", "bold"))
    picture = Console(record=True, width=100, file=io.StringIO()) if svg else None
    for screen in [out] if picture is None else [out, picture]:
        screen.print(Text(f"{module.id}, {module.title}, compared with PyTorch", style="bold"))
        screen.print(again)
        print_comparison(screen, compared)
    if picture is not None and svg is not None:
        picture.save_svg(str(svg), title=f"{module.title} compared with PyTorch")
        out.print(f"Picture written to {svg}")
    return 0
