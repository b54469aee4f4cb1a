"""`tito hint`: show a task's three hints one at a time, each more explicit, never the solution."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from grading.errors import UsageError
from grading.files import write_atomically
from tito import names
from tito.console import make_own_folder, open_console, require_repository
from tito.module import find_module, find_open_tasks

if TYPE_CHECKING:  # the model is slow to import
    from grading.manifest.model import Manifest, Task

STEPS = ("what to think of", "how to begin", "the formula or line")
FILE = "hints.json"


def show_hint(
    task: Annotated[
        str | None,
        typer.Argument(metavar="[TASK]", help="Such as 4.2. Default: the first task that is not written yet."),
    ] = None,
    task_option: Annotated[
        str | None, typer.Option("--task", metavar="ID", help="The task, written as for pytest.")
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show all three hints.")] = False,
) -> int:
    """Show the next hint for a task: what to think of, how to begin, then the formula. Never the solution.

    \b
    Examples:
      tito hint
      tito hint 4.2
      tito hint 4.2 --all
    """
    from grading.manifest.load import load  # slow to import

    root = require_repository()
    manifest = load(root)
    show_next_hint(root, find_task(root, manifest, task or task_option), open_console(), show_all=show_all)
    return 0


def show_next_hint(root: Path, task: Task, out: Console, *, show_all: bool = False) -> None:
    """Show the next of a task's three hints and remember that; after the last one, show it again.

    ``everything`` shows all three.
    """
    seen = read_hint_counts(root)
    already = min(seen.get(task.id, 0), len(task.hints))
    step = len(task.hints) if show_all else min(already + 1, len(task.hints))
    out.print(Text(f"Task {task.id}: {task.title}", style="bold"))
    for number in range(1 if show_all else step, step + 1):
        out.print(Text(f"\nHint {number} of {len(task.hints)}: {STEPS[number - 1]}", style="cyan"))
        out.print(Text(task.hints[number - 1]))
    if step < len(task.hints):
        out.print(Text.assemble("\nStill stuck? ", (f"tito hint --task {task.id}", "bold")))
    else:
        again = "" if show_all or already < step else f" All three: tito hint --task {task.id} --all."
        lesson = f"tito module view {task.id.partition('.')[0]}"
        out.print(Text.assemble(f"\nThat was the last hint.{again} The lesson explains the rest: ", (lesson, "bold")))
    if step > already:
        _save_hint_counts(root, seen | {task.id: step})


def find_task(root: Path, manifest: Manifest, task_name: str | None) -> Task:
    """Find the task that the student names, or the current module's first open one; UsageError if there is none."""
    if task_name is not None:
        current = find_module(root, manifest, None).id if task_name.strip().isdigit() else None
        return names.match_task(manifest.modules, task_name, current)
    module = manifest.module(find_module(root, manifest, None).id)
    gaps = find_open_tasks(root, module)
    first = next((task for task in module.tasks if gaps is None or task.id in gaps), None)
    if first is None:
        last = module.tasks[-1].id
        raise UsageError(
            f"Every task of {module.id} is written. Name the one you want a hint for, such as: tito hint --task {last}"
        )
    return first


def read_hint_counts(root: Path) -> dict[str, int]:
    """Read how many hints of each task were shown: task → 1 to 3. An unreadable file counts as none."""
    try:
        seen = json.loads((make_own_folder(root) / FILE).read_text(encoding="utf-8"))
        return {task: count for task, count in seen.items() if type(count) is int and count > 0}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


def _save_hint_counts(root: Path, counts: dict[str, int]) -> None:
    """Save how many hints of each task were shown."""
    write_atomically(make_own_folder(root) / FILE, (json.dumps(counts, indent=1) + "\n").encode())
