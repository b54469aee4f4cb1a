"""`tito module …`: read a lesson, begin it, test it, complete it."""

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
from tito.console import console, item, print_json, repository
from tito.options import Json, Seed
from tito.outline import outline

if TYPE_CHECKING:  # the model is slow to import
    from grading.manifest.model import Module

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Modules: read a lesson, begin it, test it, complete it."
)

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODULE]",
        help="Such as 02_tensor, 02, 2 or tensor; without one, the module that you work on.",
        autocompletion=complete.modules,
    ),
]
Task = Annotated[
    str | None, typer.Option("--task", metavar="ID", help="Only the tests of this task: 4.2, or 2 in module 04.")
]

_STYLES = {"completed": "green", "in_progress": "yellow", "ready": "cyan", "locked": "dim"}


@app.command("list")
def list_(as_json: Json = False) -> int:
    """Show every module and how far you are.

    \b
    Examples:
      tito module list
      tito module list --json
    """
    root = repository()
    states = journey.module_states(outline(root), progress.read(root, thorough=False))
    if as_json:
        keys = ("id", "title", "state", "planned", "started_at", "completed_at")
        print_json([{key: getattr(s, key) for key in keys} for s in states])
        return 0
    out = console()
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


@app.command()
def view(name: Name = None) -> int:
    """Read a module's lesson.

    \b
    Examples:
      tito module view
      tito module view 02
      tito module view tensor > tensor.md
    """
    root = repository()
    module = find_module(root, outline(root), name)
    lesson = Path("modules", module.id, "README.md")
    try:
        text = (root / lesson).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GraderError(
            f"{lesson.as_posix()} cannot be read ({error}). Bring it back: git checkout -- {lesson.as_posix()}"
        ) from None
    out = console()
    if not out.is_terminal:
        out.file.write(text)
        return 0
    from tito.identity import can_ask
    from tito.lesson import show_lesson  # slow to import, needed here only

    show_lesson(text, out, ask=out.input if can_ask(out) else None)
    return 0


def record_start(root: Path, course: journey.CourseLike, module: str) -> progress.History:
    """Note that a module was begun, unless it was before; give back what was known until then."""
    history = progress.read(root, thorough=False)
    if journey.find_module_state(course, history, module).started_at is None:
        progress.record(root, progress.module_event(progress.Kind.MODULE_STARTED, module))
    return history


@app.command()
def start(name: Name = None) -> int:
    """Begin a module: which file to open, what to write first, how to check it.

    \b
    Examples:
      tito module start
      tito module start 02
    """
    from grading.manifest.load import load  # slow to import, needed for the tasks only
    from tito.identity import introduce

    root = repository()
    manifest = load(root)
    module = manifest.module(find_module(root, manifest, name).id)
    history = record_start(root, manifest, module.id)
    out = console()
    introduce(root, out)
    out.print(Text.assemble((f"{module.id}  {module.title}", "bold"), f"\n{module.summary}\n"))
    earlier = [s.id for s in journey.module_states(manifest, history) if s.id < module.id and s.completed_at is None]
    if earlier:
        out.print(Text(f"Not completed yet before it: {', '.join(earlier)}. It builds on them.\n", style="yellow"))
    files = list_student_files(root, module)
    gaps = find_open_tasks(root, module)
    out.print(Text.assemble("Read    ", (f"tito module view {module.id}", "bold")))
    for file in files:
        out.print(Text.assemble("Open    ", (file.as_posix(), "bold")))
    for task in module.tasks:
        sign = "·" if gaps is None else "○" if task.id in gaps else "●"
        out.print(item(sign, f"Task {task.id}  {task.title}"))
    first = next((t for t in module.tasks if gaps is None or t.id in gaps), None)
    if first is not None:
        out.print(
            item("First  ", Text.assemble((f"Task {first.id}: {first.title}", "bold"), f"\n{first.hints[0]}"), indent=0)
        )
    else:
        out.print("Every task is written.")
    out.print(Text("\nWhile you write, after every save:", style="dim"))
    out.print(Text(f"  tito watch {module.id}", style="bold"))
    out.print(Text("In your own process, with a debugger at hand:", style="dim"))
    only = f" --task {first.id}" if first is not None else ""
    out.print(Text(f"  pytest {module.folder.as_posix()}{only} -x", style="bold"))
    out.print(Text("When you are stuck:", style="dim"))
    out.print(Text(f"  tito hint{only}", style="bold"))
    out.print(Text("As it will be judged:", style="dim"))
    out.print(Text(f"  tito module test {module.id}\n  tito module complete {module.id}", style="bold"))
    return 0


def find_module(root: Path, course: journey.CourseLike, name: str | None) -> journey.ModuleLike:
    """The module of this name, or the one that is worked on; UsageError when it is only planned, or there is none."""
    if name is not None:
        return names.built(names.module(course.modules, name))
    current = journey.current_module(course, progress.read(root, thorough=False))
    if current is None:
        raise UsageError("Every module is completed. Say which one you mean, such as: tito module view 02")
    return names.module(course.modules, current.id)


def list_student_files(root: Path, module: Module) -> list[Path]:
    """What students write in a module, relative to the repository: its file, and a milestone's recipe."""
    recipe = module.folder / "recipe.py"
    return [module.code, recipe] if (root / recipe).exists() else [module.code]


def find_open_tasks(root: Path, module: Module) -> set[str] | None:
    """The module's tasks whose gap is still there; None when a file cannot be read."""
    return open_tasks(*(root / file for file in list_student_files(root, module)))


def open_tasks(*files: Path) -> set[str] | None:
    """Tasks whose gap still stands in the student's files, found by reading them; None when one cannot be read."""
    try:
        text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    except (OSError, UnicodeDecodeError):
        return None
    return set(re.findall(r"""NotImplementedError\(\s*f?["']Task (\d+\.\d+)""", text))


@app.command("test")
def check(name: Name = None, task: Task = None, seed: Seed = None) -> int:
    """Run a module's tests as they are judged: through a worker, with fresh inputs.

    \b
    Examples:
      tito module test
      tito module test 02 --task 2.3
      tito module test tensor --seed 1234
    """
    root = repository()
    module = find_module(root, outline(root), name)
    from tito.attempt import grade_and_show_module  # imports the grader

    result = grade_and_show_module(root, module.id, task=task, seed=seed)
    if result.verdict.exit_code == 0:
        what, line = ("All of it", "test") if task else ("Record it", "complete")
        console().print(Text.assemble(f"\n{what}: ", (f"tito module {line} {module.id}", "bold")))
    return result.verdict.exit_code


@app.command()
def reset(name: Name = None, task: Task = None) -> int:
    """Put a module, or one of its tasks, back as it was given; what you wrote is kept beside it.

    \b
    Examples:
      tito module reset 02
      tito module reset 02 --task 2.3
    """
    from grading.manifest.load import load  # slow to import
    from tito.reset import reset_module

    root = repository()
    manifest = load(root)
    module = manifest.module(find_module(root, manifest, name).id)
    one = None if task is None else names.task([module], task, module.id).id
    kept = reset_module(root, module.folder, one)
    out, what = console(), f"Task {one}" if one else f"Module {module.id}"
    if not kept:
        out.print(f"{what} is as it was given: nothing to put back.")
        return 0
    out.print(Text(f"{what} is as it was given.", style="bold"))
    for file in kept:
        if file.copy != file.file:
            out.print(f"\nWhat you had is in {file.copy.as_posix()}. To get it back:", soft_wrap=True)
            out.print(Text(f"  mv {file.copy.as_posix()} {file.file.as_posix()}", style="bold"), soft_wrap=True)
    return 0


@app.command()
def solution(name: Name = None) -> int:
    """Show the course's solution beside your own code, once your module is completed and if the course gives it out.

    \b
    Examples:
      tito module solution 02
    """
    from grading.manifest.load import load  # slow to import
    from tito.lesson import page_through
    from tito.solution import read_solution, show_versions

    root = repository()
    manifest = load(root)
    module = manifest.module(find_module(root, manifest, name).id)
    history = progress.read(root, thorough=False)
    if journey.find_module_state(manifest, history, module.id).completed_at is None:
        raise UsageError(
            f"The solution of {module.id} is shown once its tests have passed: tito module complete {module.id}"
        )
    files = list_student_files(root, module)
    solutions = {file: read_solution(root, manifest, file) for file in files}
    out = console()
    with page_through(out):
        for file, text in solutions.items():
            show_versions(out, file, read_own(root / file), text)
    return 0


def read_own(path: Path) -> str:
    """A student's file; nothing where it is not there. UsageError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None


@app.command("complete")
def complete_(name: Name = None) -> int:
    """Test a module and record that it is done; after a trigger module, go straight on to its milestone.

    \b
    Examples:
      tito module complete
      tito module complete 02
    """
    root = repository()
    course = outline(root)
    module = find_module(root, course, name)
    from tito.attempt import grade_and_show_module, try_milestone  # imports the grader

    result = grade_and_show_module(root, module.id, completing=True)
    out = console()
    if result.verdict.exit_code != 0:
        states = journey.module_states(course, progress.read(root, thorough=False))
        before = next(s.completed_at for s in states if s.id == module.id)
        told = f"Module {module.id} is not completed yet."
        if before is not None:
            told = f"Module {module.id} was completed on {before:%Y-%m-%d}; as it is now, it does not pass."
        out.print(Text(f"\n{told}", style="yellow"))
        return result.verdict.exit_code
    out.print(Text(f"\nModule {module.id} is completed.", style="bold green"))
    milestone = next((m for m in course.milestones if m.trigger == module.id and m.status == "built"), None)
    if milestone is not None:
        out.print(Text(f"It was the last one before milestone {milestone.id}, {milestone.name}. On to its test.\n"))
        return try_milestone(root, milestone.id)
    goal = journey.next_goal(course, progress.read(root, thorough=False))
    out.print(Text.assemble(f"Next: {goal.sentence}\n", (f"  {goal.command}", "bold")))
    return 0
