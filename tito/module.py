"""`tito module …`: list, read, start, test, complete and reset modules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from grading import journey, progress
from grading.errors import GraderError, UsageError
from tito import complete, names
from tito.console import format_list_item, open_console, print_json, require_repository
from tito.options import JsonOption, SeedOption
from tito.outline import read_outline

if TYPE_CHECKING:  # the model is slow to import
    from grading.manifest.model import Module

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Modules: list, read, start, test, complete or reset them."
)

ModuleName = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODULE]",
        help="The module, such as 02_tensor, 02, 2 or tensor. Default: the module that you are working on.",
        autocompletion=complete.list_module_completions,
    ),
]
TaskOption = Annotated[str | None, typer.Option("--task", metavar="ID", help="Only this task: 4.2, or 2 in module 04.")]

_STYLES = {"completed": "green", "in_progress": "yellow", "ready": "cyan", "locked": "dim"}


@app.command("list")
def list_modules(as_json: JsonOption = False) -> int:
    """Show every module and how far you have come.

    \b
    Examples:
      tito module list
      tito module list --json
    """
    root = require_repository()
    states = journey.list_module_states(read_outline(root), progress.read_history(root, thorough=False))
    if as_json:
        keys = ("id", "title", "state", "planned", "started_at", "completed_at")
        print_json([{key: getattr(s, key) for key in keys} for s in states])
        return 0
    out = open_console()
    table = Table.grid(padding=(0, 2, 0, 0))
    for state in states:
        label = "PLANNED" if state.planned and state.state is journey.State.LOCKED else state.state.label
        style = _STYLES[state.state]
        if out.width >= 60:
            table.add_row(Text(state.id, style="bold"), Text(label, style=style), Text(state.title))
        else:
            table.add_row(Text.assemble((state.id, "bold"), "  ", (label, style), f"\n  {state.title}"))
    out.print(table)
    return 0


@app.command("view")
def view_lesson(name: ModuleName = None) -> int:
    """Show a module's lesson with its questions, or print its Markdown if the output is not a terminal.

    \b
    Examples:
      tito module view
      tito module view 02
      tito module view tensor > tensor.md
    """
    root = require_repository()
    module = find_module(root, read_outline(root), name)
    lesson = Path("modules", module.id, "README.md")
    try:
        text = (root / lesson).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GraderError(
            f"{lesson.as_posix()} cannot be read ({error}). Restore it: git checkout -- {lesson.as_posix()}"
        ) from None
    out = open_console()
    if not out.is_terminal:
        out.file.write(text)
        return 0
    from tito.identity import can_ask
    from tito.lesson import show_lesson  # slow to import, and needed only here

    show_lesson(text, out, ask=out.input if can_ask(out) else None)
    return 0


def record_module_start(root: Path, course: journey.CourseLike, module: str) -> progress.History:
    """Record a module's start, unless it was started last or is completed. Return the history before this record.

    A module that was started earlier and then abandoned becomes the current one again.
    """
    history = progress.read_history(root, thorough=False)
    state, current = journey.find_module_state(course, history, module), journey.find_current_module(course, history)
    was_left = state.completed_at is None and (current is None or current.id != module)
    if state.started_at is None or was_left:
        progress.save_event(root, progress.make_module_event(progress.Kind.MODULE_STARTED, module))
    return history


@app.command("start")
def start_module(name: ModuleName = None) -> int:
    """Start a module: see which file to open, what to write first and how to check it.

    \b
    Examples:
      tito module start
      tito module start 02
    """
    from grading.manifest.loader import load_manifest  # slow to import, and needed only to list the tasks
    from tito.identity import ask_for_unknown_student_id

    root = require_repository()
    manifest = load_manifest(root)
    module = manifest.module(find_module(root, manifest, name).id)
    history = record_module_start(root, manifest, module.id)
    out = open_console()
    ask_for_unknown_student_id(root, out)
    out.print(Text.assemble((f"{module.id}  {module.title}", "bold"), f"\n{module.summary}\n"))
    earlier = [
        s.id for s in journey.list_module_states(manifest, history) if s.id < module.id and s.completed_at is None
    ]
    if earlier:
        told = f"This module builds on others that you have not completed: {', '.join(earlier)}. To go back: "
        out.print(Text.assemble((told, "yellow"), (f"tito module start {earlier[0]}", "bold"), "\n"))
    files = list_student_files(root, module)
    gaps = find_open_tasks(root, module)
    out.print(Text.assemble("Read    ", (f"tito module view {module.id}", "bold")))
    for file in files:
        out.print(Text.assemble("Open    ", (file.as_posix(), "bold")))
    for task in module.tasks:
        sign = "·" if gaps is None else "○" if task.id in gaps else "●"
        out.print(format_list_item(sign, f"Task {task.id}  {task.title}"))
    first = next((t for t in module.tasks if gaps is None or t.id in gaps), None)
    if first is not None:
        out.print(
            format_list_item(
                "First  ", Text.assemble((f"Task {first.id}: {first.title}", "bold"), f"\n{first.hints[0]}"), indent=0
            )
        )
    else:
        out.print("Every task has been implemented.")
    out.print(Text("\nTo test after every save:", style="dim"))
    out.print(Text(f"  tito watch {module.id}", style="bold"))
    out.print(Text("To run the tests where a debugger works:", style="dim"))
    only = f" --task {first.id}" if first is not None else ""
    out.print(Text(f"  pytest {module.folder.as_posix()}{only} -x", style="bold"))
    out.print(Text("If you are stuck:", style="dim"))
    out.print(Text(f"  tito hint{only}", style="bold"))
    out.print(Text("To test the module the way it will be graded, and to complete it:", style="dim"))
    out.print(Text(f"  tito module test {module.id}\n  tito module complete {module.id}", style="bold"))
    return 0


def find_module(root: Path, course: journey.CourseLike, name: str | None) -> journey.ModuleLike:
    """Find the module with this name, or the current one; raise UsageError if there is none or it is only planned."""
    if name is not None:
        return names.require_built(names.match_module(course.modules, name))
    current = journey.find_current_module(course, progress.read_history(root, thorough=False))
    if current is None:
        raise UsageError("Every module is completed. Say which one you mean, for example: tito module view 02")
    return names.match_module(course.modules, current.id)


def list_student_files(root: Path, module: Module) -> list[Path]:
    """List the files, relative to ``root``, that students write in a module: its code, and its recipe if it exists."""
    recipe = module.folder / "recipe.py"
    return [module.code, recipe] if (root / recipe).exists() else [module.code]


def find_open_tasks(root: Path, module: Module) -> set[str] | None:
    """Find the module's tasks that still have a gap; return None if a file cannot be read."""
    return find_open_tasks_in_files(*(root / file for file in list_student_files(root, module)))


def find_open_tasks_in_files(*files: Path) -> set[str] | None:
    """Find the tasks that still have a gap in these files; return None if a file cannot be read."""
    try:
        text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    except (OSError, UnicodeDecodeError):
        return None
    return set(re.findall(r"""NotImplementedError\(\s*f?["']Task (\d+\.\d+)""", text))


@app.command("test")
def run_module_tests(name: ModuleName = None, task: TaskOption = None, seed: SeedOption = None) -> int:
    """Run a module's tests the way they are graded: through a worker, with fresh inputs.

    \b
    Examples:
      tito module test
      tito module test 02 --task 2.3
      tito module test tensor --seed 1234
    """
    root = require_repository()
    module = find_module(root, read_outline(root), name)
    from tito.attempt import grade_and_show_module  # imports the grader

    result = grade_and_show_module(root, module.id, task=task, seed=seed)
    if result.verdict.exit_code == 0:
        what, line = ("To test the entire module", "test") if task else ("To record it", "complete")
        open_console().print(Text.assemble(f"\n{what}: ", (f"tito module {line} {module.id}", "bold")))
    return result.verdict.exit_code


@app.command("reset")
def reset_module_files(name: ModuleName = None, task: TaskOption = None) -> int:
    """Reset a module or one task to the release, and keep a copy. A completed module is then in progress again.

    \b
    Examples:
      tito module reset 02
      tito module reset 02 --task 2.3
    """
    from grading.manifest.loader import load_manifest  # slow to import
    from tito.reset import reset_module

    root = require_repository()
    manifest = load_manifest(root)
    module = manifest.module(find_module(root, manifest, name).id)
    one = None if task is None else names.match_task([module], task, module.id).id
    kept = reset_module(root, module.folder, one)
    out, what = open_console(), f"Task {one}" if one else f"Module {module.id}"
    if not kept:
        out.print(f"{what} already matches the release. Nothing was changed.")
        return 0
    history = progress.read_history(root, thorough=False)
    was_completed = journey.find_module_state(manifest, history, module.id).completed_at is not None
    if was_completed:
        progress.save_event(root, progress.make_module_event(progress.Kind.MODULE_RESET, module.id))
    out.print(Text(f"{what} now matches the release again.", style="bold"))
    if was_completed:
        told = f"Module {module.id} is in progress again. Once it passes: "
        out.print(Text.assemble(told, (f"tito module complete {module.id}", "bold")))
    for file in kept:
        if file.copy != file.file:
            out.print(f"\nYour version is in {file.copy.as_posix()}. To restore it:", soft_wrap=True)
            out.print(Text(f"  mv {file.copy.as_posix()} {file.file.as_posix()}", style="bold"), soft_wrap=True)
    return 0


@app.command("solution")
def show_solution(name: ModuleName = None) -> int:
    """Show the course's solution next to your code, if you have completed the module and the course releases solutions.

    \b
    Examples:
      tito module solution 02
    """
    from grading.manifest.loader import load_manifest  # slow to import
    from tito.lesson import send_output_through_pager
    from tito.solution import read_solution, show_both_versions

    root = require_repository()
    manifest = load_manifest(root)
    module = manifest.module(find_module(root, manifest, name).id)
    history = progress.read_history(root, thorough=False)
    if journey.find_module_state(manifest, history, module.id).completed_at is None:
        raise UsageError(
            f"The solution of {module.id} is shown after you complete the module: tito module complete {module.id}"
        )
    files = list_student_files(root, module)
    solutions = {file: read_solution(root, manifest, file) for file in files}
    out = open_console()
    with send_output_through_pager(out):
        for file, text in solutions.items():
            show_both_versions(out, file, read_student_file(root / file), text)
    return 0


def read_student_file(path: Path) -> str:
    """Read a student's file; return "" if it does not exist, and raise UsageError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None


@app.command("complete")
def complete_module(name: ModuleName = None) -> int:
    """Test a module and record that it is completed. After the last module before a milestone, test that milestone.

    \b
    Examples:
      tito module complete
      tito module complete 02
    """
    root = require_repository()
    course = read_outline(root)
    module = find_module(root, course, name)
    from tito.attempt import grade_and_celebrate_milestone, grade_and_show_module  # imports the grader

    result = grade_and_show_module(root, module.id, completing=True)
    out = open_console()
    if result.verdict.exit_code != 0:
        states = journey.list_module_states(course, progress.read_history(root, thorough=False))
        before = next(s.completed_at for s in states if s.id == module.id)
        told = f"Module {module.id} is not completed yet."
        if before is not None:
            told = f"Module {module.id} was completed on {before:%Y-%m-%d}, but its current code does not pass."
        out.print(Text(f"\n{told}", style="yellow"))
        return result.verdict.exit_code
    out.print(Text(f"\nModule {module.id} is completed.", style="bold green"))
    milestone = next((m for m in course.milestones if m.trigger == module.id and m.status == "built"), None)
    if milestone is not None:
        told = f"This was the last module before milestone {milestone.id}, {milestone.name}, which is tested next."
        if milestone.id > 1:
            told += " This takes a minute or more."
        out.print(Text(f"{told}\n"))
        return grade_and_celebrate_milestone(root, milestone.id)
    out.print(format_goals_after_module(course, progress.read_history(root, thorough=False), module.id))
    return 0


def format_goals_after_module(course: journey.CourseLike, history: progress.History, module: str) -> Text:
    """Format the next goal after a completed module and, if that goal is not the next module, how to start that one."""
    goal, other = journey.find_next_goal(course, history), journey.find_following_module_goal(course, history, module)
    text = Text.assemble(f"Next: {goal.sentence}\n", (f"  {goal.command}", "bold"))
    if other is not None:
        text.append_text(Text.assemble(f"\nOr go on: {other.sentence}\n", (f"  {other.command}", "bold")))
    return text
