"""`tito hint`: show a task's three hints one at a time. Each is more explicit, but none gives away the solution."""

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
from tito.console import make_tito_folder, open_console, require_repository
from tito.module import find_module, find_open_tasks

if TYPE_CHECKING:  # the model is slow to import
    from grading.manifest.model import Manifest, Task
    from grading.result import Result

STEPS = ("what to think about", "how to begin", "the formula or line")
FILE = "hints.json"
FAILING = "failing.json"


def show_hint(
    task: Annotated[
        str | None,
        typer.Argument(metavar="[TASK]", help="The task, such as 4.2. Default: the first unsolved task."),
    ] = None,
    task_option: Annotated[
        str | None, typer.Option("--task", metavar="ID", help="The task, in the form that pytest accepts.")
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show all three hints.")] = False,
) -> int:
    """Show the next hint for a task: what to think about, how to begin, then the formula. No hint is the solution.

    \b
    Examples:
      tito hint
      tito hint 4.2
      tito hint 4.2 --all
    """
    from grading.manifest.loader import load_manifest  # slow to import

    root = require_repository()
    manifest = load_manifest(root)
    out, name = open_console(), task or task_option
    failing = find_failing_task(root, manifest) if name is None else None
    if failing is not None:
        told = "Every task has been implemented. This one was the first to fail in the last test run.\n"
        out.print(Text(told, style="dim"))
    show_next_hint(root, failing or find_named_or_open_task(root, manifest, name), out, show_all=show_all)
    return 0


def show_next_hint(root: Path, task: Task, out: Console, *, show_all: bool = False, by_key: bool = False) -> None:
    """Show the next of a task's three hints and remember that it was shown. After the last hint, show that one again.

    ``show_all`` shows all three. ``by_key`` is for `tito watch`: the text then mentions its keys, and no hint appears
    twice.
    """
    seen = read_hint_counts(root)
    already = min(seen.get(task.id, 0), len(task.hints))
    if by_key and already == len(task.hints):
        out.print(
            Text.assemble(
                f"You have seen all {len(task.hints)} hints for task {task.id}. For the lesson on it, press ",
                ("t", "bold"),
                ". To read the hints again: ",
                (f"tito hint --task {task.id} --all", "bold"),
            )
        )
        return
    step = len(task.hints) if show_all else min(already + 1, len(task.hints))
    out.print(Text(f"Task {task.id}: {task.title}", style="bold"))
    for number in range(1 if show_all else step, step + 1):
        out.print(Text(f"\nHint {number} of {len(task.hints)}: {STEPS[number - 1]}", style="cyan"))
        out.print(Text(task.hints[number - 1]))
    if by_key and step < len(task.hints):
        out.print(Text.assemble("\nStill stuck? Press ", ("h", "bold"), " for the next hint."))
    elif by_key:
        out.print(Text.assemble("\nThat was the last hint. For the lesson on this task, press ", ("t", "bold"), "."))
    elif step < len(task.hints):
        out.print(Text.assemble("\nStill stuck? ", (f"tito hint --task {task.id}", "bold")))
    else:
        again = "" if show_all or already < step else f" All three: tito hint --task {task.id} --all."
        lesson = f"tito module view {task.id.partition('.')[0]}"
        out.print(Text.assemble(f"\nThat was the last hint.{again} The lesson explains the rest: ", (lesson, "bold")))
    if step > already:
        _save_hint_counts(root, seen | {task.id: step})


def find_named_or_open_task(root: Path, manifest: Manifest, task_name: str | None) -> Task:
    """Find the named task, or else the current module's first open task; raise UsageError if there is none."""
    if task_name is not None:
        current = find_module(root, manifest, None).id if task_name.strip().isdigit() else None
        return names.match_task(manifest.modules, task_name, current)
    module = manifest.module(find_module(root, manifest, None).id)
    gaps = find_open_tasks(root, module)
    first = next((task for task in module.tasks if gaps is None or task.id in gaps), None)
    if first is None:
        last = module.tasks[-1].id
        raise UsageError(
            f"Every task of {module.id} has been implemented, and no failed test is known. Run its tests first, with "
            f"tito module test {module.id}, or name the task you want a hint for, such as: tito hint --task {last}"
        )
    return first


def find_failing_task(root: Path, manifest: Manifest) -> Task | None:
    """If the current module has no open task, find the task that failed first in its last test run, or in another's.

    Return None if it has one, or if no failed task is known.
    """
    module = manifest.module(find_module(root, manifest, None).id)
    if find_open_tasks(root, module) != set():
        return None
    tasks = read_failing_tasks(root)
    failing = tasks.get(module.id, next(reversed(tasks.values()), None))
    return next((task for one in manifest.modules for task in one.tasks if task.id == failing), None)


def save_failing_task(root: Path, module_id: str, result: Result, *, task: str | None = None) -> None:
    """Save which task failed first when a module was tested, for the next hint; if none failed, forget the last one.

    If only the tests of one ``task`` ran and they passed, the recorded failure of another task is kept.
    """
    failing = read_failing_tasks(root)
    before = failing.pop(module_id, None)
    if result.first_failure is not None:
        now = result.first_failure.task
    else:
        now = before if task is not None and task != before else None
    if now != before:
        new = failing if now is None else failing | {module_id: now}
        write_atomically(make_tito_folder(root) / FAILING, (json.dumps(new, indent=1) + "\n").encode())


def read_failing_tasks(root: Path) -> dict[str, str]:
    """Map each module to the first task that failed in its last test run; return {} if the file is unreadable."""
    try:
        failing = json.loads((make_tito_folder(root) / FAILING).read_text(encoding="utf-8"))
        return {module: task for module, task in failing.items() if isinstance(task, str)}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


def read_hint_counts(root: Path) -> dict[str, int]:
    """Map each task to how many of its hints were shown; {} if unreadable. Make tito's folder if it is missing."""
    try:
        seen = json.loads((make_tito_folder(root) / FILE).read_text(encoding="utf-8"))
        return {task: count for task, count in seen.items() if type(count) is int and count > 0}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


def _save_hint_counts(root: Path, counts: dict[str, int]) -> None:
    """Save how many hints of each task were shown."""
    write_atomically(make_tito_folder(root) / FILE, (json.dumps(counts, indent=1) + "\n").encode())
