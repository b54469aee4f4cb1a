"""The figures that the project promises, measured on this machine and printed next to their goals.

Run by `nox -s bench`, for all figures or for the named groups: `nox -s bench -- milestone-2`. Nothing fails here,
because a machine under load is not a defect. Short runs are repeated, and the median counts.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from grading.entry import run_command
from grading.errors import UsageError
from grading.render.progress import watch_for
from tests.bench import (
    colours,
    desk,
    digits,
    github,
    grader,
    hostile,
    kernels,
    language,
    large_class,
    site,
    training,
    watch,
)
from tests.bench.figure import Figure

NOX = shutil.which("nox") or str(Path(sys.prefix).parent.parent / "bin" / "nox")
Step = tuple[str, Callable[[], Iterator[Figure]]]
GROUPS: dict[str, list[Step]] = {
    "grader": [
        ("Calling a worker", grader.worker_calls),
        ("Writing a release", grader.release),
        ("Asking for the status", grader.status),
        ("Grading milestone 1 twice", lambda: grader.milestone(NOX)),
        ("Grading in a fresh clone with nothing installed", grader.bare),
    ],
    "watch": [
        ("Saving one task after another", watch.verdicts),
        ("Watching while nothing is saved", watch.idling),
    ],
    "desk": [
        ("Collecting a class that has not changed", desk.unchanged),
        ("Grading on every core", desk.throughput),
        ("Showing a class of 800", large_class.pages),
        ("Comparing 800 submissions", large_class.similarity),
    ],
    "milestone-2": [
        ("Taking training steps, ours and PyTorch's", digits.beside_pytorch),
        ("Training on more and more digits", digits.linear_cost),
        ("Watching the memory of training", digits.memory),
        ("Grading milestone 2 twice", lambda: digits.milestone(NOX, 2, 90)),
    ],
    "milestone-3": [
        ("Taking training steps, ours and PyTorch's", colours.beside_pytorch),
        ("Making batches", colours.loader),
        ("Watching memory, ours and PyTorch's", colours.memory),
    ],
    "milestone-4": [
        ("Running and recording operations", kernels.operations),
        ("Taking training steps, ours and PyTorch's", kernels.beside_pytorch),
        ("Training until accuracy passes 75%", training.seconds_until_goal),
        ("Grading milestone 4 twice", lambda: digits.milestone(NOX, 4, 360)),
    ],
    "milestone-5": [
        ("Taking training steps, ours and PyTorch's", language.beside_pytorch),
        ("Writing with the cache", language.writing),
        ("Making the texts of a run", language.corpora),
        ("Watching the memory of training", language.memory),
        ("Grading milestone 5 twice", lambda: digits.milestone(NOX, 5, 480, "compositions")),
    ],
    "github": [
        ("Grading a pull request, up to its comment", github.waiting),
    ],
    "hostile": [
        ("Watching the grader's memory on hostile submissions", hostile.memory),
    ],
    "site": [
        ("Building the site of larger and larger classes", site.building),
        ("Watching the memory of building it", site.memory),
    ],
}


def main() -> None:
    """Measure the named groups, or all groups, and print the table."""
    names = sys.argv[1:] or list(GROUPS)
    if unknown := [name for name in names if name not in GROUPS]:
        raise UsageError(f"There is no group {unknown[0]}; there are {', '.join(GROUPS)}.")
    console = Console()
    figures: list[Figure] = []
    try:
        with watch_for(console) as watch:
            for title, step in (step for name in names for step in GROUPS[name]):
                watch.phase(title, None)
                figures.extend(step())
    finally:  # figures measured before a failure are still worth seeing
        console.print(table_of(figures))


def table_of(figures: list[Figure]) -> Table:
    """Lay out the figures, one row each."""
    table = Table("figure", "measured", "promised", "", "how", title=f"{os.cpu_count()} cores, {sys.platform}")
    for f in figures:
        met = "met" if f.measured < f.goal else "MISSED"
        table.add_row(f.name, f"{f.measured:.3g} {f.unit}", f"under {f.goal:g} {f.unit}", met, f.how)
    return table


if __name__ == "__main__":
    sys.exit(run_command(main))
