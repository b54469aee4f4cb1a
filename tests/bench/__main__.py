"""Measure the figures that the project promises on this machine, and print them next to their goals.

`nox -s bench` runs this for all figures, or for the named groups: `nox -s bench -- milestone-2`. A missed goal is not
an error, because a machine under load is not a defect. Short runs are repeated, and the median counts.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_info

from grading.entry import run_and_get_exit_code
from grading.errors import UsageError
from grading.render.progress_watch import create_watch
from tests.bench import (
    bench_cifar10,
    bench_desk,
    bench_github,
    bench_grader,
    bench_hostile,
    bench_kernels,
    bench_language,
    bench_large_class,
    bench_mnist,
    bench_site,
    bench_time_to_goal,
    bench_watch,
)
from tests.bench.bench_figure import BenchmarkFigure

NOX = shutil.which("nox") or str(Path(sys.prefix).parent.parent / "bin" / "nox")
BenchmarkStep = tuple[str, Callable[[], Iterator[BenchmarkFigure]]]
GROUPS: dict[str, list[BenchmarkStep]] = {
    "grader": [
        ("Calling a worker", bench_grader.time_worker_calls),
        ("Writing a release", bench_grader.time_release),
        ("Asking for the status", bench_grader.time_status_command),
        ("Grading milestone 1 twice", lambda: bench_grader.time_first_milestone(NOX)),
        ("Grading in a fresh clone with nothing installed", bench_grader.time_bare_machine),
    ],
    "watch": [
        ("Saving one task after another", bench_watch.time_verdicts),
        ("Watching while nothing is saved", bench_watch.measure_idle_cpu),
    ],
    "desk": [
        ("Collecting a class that has not changed", bench_desk.time_unchanged_collection),
        ("Grading on every core", bench_desk.compare_grading_pace),
        ("Showing a class of 800", bench_large_class.time_class_pages),
        ("Comparing 800 submissions", bench_large_class.time_similarity),
    ],
    "milestone-2": [
        ("Taking training steps, ours and PyTorch's", bench_mnist.compare_digit_steps),
        ("Training on more and more digits", bench_mnist.compare_epoch_costs),
        ("Watching the memory of training", bench_mnist.measure_digit_memory),
        ("Grading milestone 2 twice", lambda: bench_mnist.time_milestone(NOX, 2, 90)),
    ],
    "milestone-3": [
        ("Taking training steps, ours and PyTorch's", bench_cifar10.compare_image_steps),
        ("Making batches", bench_cifar10.measure_loader_share),
        ("Watching memory, ours and PyTorch's", bench_cifar10.compare_training_memory),
    ],
    "milestone-4": [
        ("Running and recording operations", bench_kernels.measure_operation_overhead),
        ("Taking training steps, ours and PyTorch's", bench_kernels.compare_kernel_steps),
        ("Training until accuracy passes 75%", bench_time_to_goal.time_until_goal),
        ("Grading milestone 4 twice", lambda: bench_mnist.time_milestone(NOX, 4, 360)),
    ],
    "milestone-5": [
        ("Taking training steps, ours and PyTorch's", bench_language.compare_text_steps),
        ("Writing with the cache", bench_language.measure_writing_speed),
        ("Making the texts of a run", bench_language.time_text_making),
        ("Watching the memory of training", bench_language.measure_text_memory),
        ("Grading milestone 5 twice", lambda: bench_mnist.time_milestone(NOX, 5, 480, "compositions")),
    ],
    "github": [
        ("Grading a pull request, up to its comment", bench_github.measure_waiting_time),
    ],
    "hostile": [
        ("Watching the grader's memory on hostile submissions", bench_hostile.measure_hostile_memory),
    ],
    "site": [
        ("Building the site of larger and larger classes", bench_site.time_site_builds),
        ("Watching the memory of building it", bench_site.measure_site_memory),
    ],
}


def main() -> None:
    """Measure the named groups, or all groups, and print the table."""
    names = sys.argv[1:] or list(GROUPS)
    if unknown := [name for name in names if name not in GROUPS]:
        raise UsageError(f"There is no group {unknown[0]}. The groups are {', '.join(GROUPS)}.")
    console = Console()
    figures: list[BenchmarkFigure] = []
    try:
        with create_watch(console) as watch:
            for title, step in (step for name in names for step in GROUPS[name]):
                watch.begin_phase(title, None)
                figures.extend(step())
    finally:  # also print figures that were measured before a failure
        console.print(make_figure_table(figures))


def make_figure_table(figures: list[BenchmarkFigure]) -> Table:
    """Lay out the figures, one row each, under a title that states the processors and BLAS's kernels."""
    kernels = {library["architecture"] for library in threadpool_info() if "architecture" in library}
    machine = f"{os.cpu_count()} cores, {sys.platform}, NumPy's matrix products: {', '.join(sorted(kernels)) or '?'}"
    table = Table("figure", "measured", "promised", "", "how", title=machine)
    for f in figures:
        met = "met" if f.measured < f.goal else "MISSED"
        table.add_row(f.name, f"{f.measured:.3g} {f.unit}", f"under {f.goal:g} {f.unit}", met, f.how)
    return table


if __name__ == "__main__":
    sys.exit(run_and_get_exit_code(main))
