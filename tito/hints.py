"""`tito hint`: the three hints of a task, one at a time, each of which says more; never the solution."""

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
from tito.console import console, make_own_folder, repository
from tito.module import find_module, find_open_tasks

if TYPE_CHECKING:  # the model is slow to import
    from grading.manifest.model import Manifest, Task

STEPS = ("what to think of", "how to begin", "the formula or line")
FILE = "hints.json"


def hint(
    task: Annotated[
        str | None,
        typer.Argument(metavar="[TASK]", help="Such as 4.2; without one, the first task that is not written yet."),
    ] = None,
    option: Annotated[str | None, typer.Option("--task", metavar="ID", help="The same, as pytest takes it.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show all three steps at once.")] = False,
) -> int:
    """Show the next hint for a task: what to think of, how to begin, the formula; never the solution.

    \b
    Examples:
      tito hint
      tito hint 4.2
      tito hint 4.2 --all
    """
    from grading.manifest.load import load  # slow to import

    root = repository()
    manifest = load(root)
    show_next_hint(root, find_task(root, manifest, task or option), console(), everything=everything)
    return 0


def show_next_hint(root: Path, task: Task, out: Console, *, everything: bool = False) -> None:
    """Show the next of the task's three hints and remember it; after the last one, that one again.

    ``everything`` shows all three at once.
    """
    seen = read_seen(root)
    already = min(seen.get(task.id, 0), len(task.hints))
    step = len(task.hints) if everything else min(already + 1, len(task.hints))
    out.print(Text(f"Task {task.id}: {task.title}", style="bold"))
    for number in range(1 if everything else step, step + 1):
        out.print(Text(f"\nHint {number} of {len(task.hints)}: {STEPS[number - 1]}", style="cyan"))
        out.print(Text(task.hints[number - 1]))
    if step < len(task.hints):
        out.print(Text.assemble("\nStill stuck? ", (f"tito hint --task {task.id}", "bold")))
    else:
        again = "" if everything or already < step else f" All three: tito hint --task {task.id} --all."
        lesson = f"tito module view {task.id.partition('.')[0]}"
        out.print(Text.assemble(f"\nThat was the last hint.{again} The lesson says why: ", (lesson, "bold")))
    if step > already:
        _remember(root, seen | {task.id: step})


def find_task(root: Path, manifest: Manifest, said: str | None) -> Task:
    """The task that is meant, or the first gap of the current module; UsageError when there is none."""
    if said is not None:
        current = find_module(root, manifest, None).id if said.strip().isdigit() else None
        return names.task(manifest.modules, said, current)
    module = manifest.module(find_module(root, manifest, None).id)
    gaps = find_open_tasks(root, module)
    first = next((task for task in module.tasks if gaps is None or task.id in gaps), None)
    if first is None:
        last = module.tasks[-1].id
        raise UsageError(
            f"Every task of {module.id} is written. Say which one you want a hint for, such as: tito hint --task {last}"
        )
    return first


def read_seen(root: Path) -> dict[str, int]:
    """How many hints of each task were shown: task → 1 to 3. What cannot be read counts as none."""
    try:
        seen = json.loads((make_own_folder(root) / FILE).read_text(encoding="utf-8"))
        return {task: count for task, count in seen.items() if type(count) is int and count > 0}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


def _remember(root: Path, seen: dict[str, int]) -> None:
    write_atomically(make_own_folder(root) / FILE, (json.dumps(seen, indent=1) + "\n").encode())
