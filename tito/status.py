"""Show the output of `tito`, `tito milestone status` and `tito milestone timeline`, without slow imports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from grading import journey
from grading.journey import CourseLike, MilestoneState, ModuleState, State
from grading.progress import History, Kind, read_history
from grading.render.text import to_one_line
from tito.console import format_list_item, open_console, print_json, require_repository
from tito.outline import read_outline

_STYLES = {State.COMPLETED: "green", State.IN_PROGRESS: "yellow", State.READY: "cyan", State.LOCKED: "dim"}
_SIGNS = {State.COMPLETED: "●", State.IN_PROGRESS: "◐", State.READY: "○", State.LOCKED: "○"}
_ASCII_SIGNS = {State.COMPLETED: "*", State.IN_PROGRESS: "+", State.READY: "o", State.LOCKED: "."}


def show_milestone_states(*, as_json: bool) -> int:
    """Show each milestone's state, or print it as JSON. Return the exit code."""
    root = require_repository()
    course, history, out = read_outline(root), read_history(root, thorough=False), open_console()
    if as_json:
        print_json(collect_status_for_json(course, history))
        return 0
    out.print(format_milestone_states(course, history, out))
    for line in describe_damaged_records(history):
        out.print(line)
    return 0


def show_current_module() -> int:
    """Show the current module, the progress and the next command, for `tito` without a command.

    Return the exit code.
    """
    root = require_repository()
    course, history, out = read_outline(root), read_history(root, thorough=False), open_console()
    module = journey.find_current_module(course, history)
    if module is not None:
        facts = _describe_module_dates(module) if module.started_at else "not started"
        out.print(Text.assemble((f"Module {module.id}  ", "bold"), module.title, (f"  {facts}", "dim")))
    out.print(Group(*_format_next_goal(course, history, out)))
    for line in describe_damaged_records(history):
        out.print(line)
    out.print(Text("\nMilestones: tito milestone status. Every command: tito --help", style="dim"))
    return 0


def format_milestone_states(course: CourseLike, history: History, out: Console) -> RenderableType:
    """Format each milestone's state and progress, and the next goal."""
    lines: list[RenderableType] = [
        _format_milestone(state, narrow=out.width < 60) for state in journey.list_milestone_states(course, history)
    ]
    return Group(*lines, Text(), *_format_next_goal(course, history, out))


def _format_next_goal(course: CourseLike, history: History, out: Console) -> list[RenderableType]:
    """Format the progress bar, the next goal with its command and, if any modules were skipped, how to go back."""
    goal = journey.find_next_goal(course, history)
    lines: list[RenderableType] = [
        draw_progress_bar(course, history, out),
        Text.assemble(("Next: ", "bold"), goal.sentence),
        Text(f"  {goal.command}", style="bold"),
    ]
    if (way_back := _describe_skipped_modules(course, history)) is not None:
        lines.append(way_back)
    return lines


def _describe_skipped_modules(course: CourseLike, history: History) -> Text | None:
    """Describe the skipped modules and the command that goes back to the first; return None if there are none."""
    current = journey.find_current_module(course, history)
    if current is None or not (skipped := journey.list_skipped_modules(course, history)):
        return None
    names = ", ".join(skipped[:3]) + (", …" if len(skipped) > 3 else "")
    return Text.assemble(
        (f"Not yet completed before {current.id}: {names}. To go back: ", "yellow"),
        (f"tito module start {skipped[0]}", "bold"),
    )


def _format_milestone(state: MilestoneState, *, narrow: bool) -> RenderableType:
    """Format a milestone's name, state and progress."""
    name = (state.name, "bold" if state.state is not State.LOCKED else "")
    label = (state.state.label, f"bold {_STYLES[state.state]}")
    between = "\n  " if narrow else " " * (13 - len(state.state.label))
    head = Text.assemble((f"Milestone {state.id}  ", "bold"), label, between, name)
    return Group(head, format_list_item("", _describe_milestone_progress(state), indent=1 if narrow else 12))


def _describe_milestone_progress(state: MilestoneState) -> str:
    """Describe a milestone's progress in one line."""
    facts = [f"{state.modules_done} of {state.modules} modules"]
    if state.planned:
        facts = ["planned, not built yet"]
    if state.unlocked_at is not None:
        facts.append(f"{'provisionally ' if state.provisional else ''}unlocked {state.unlocked_at:%Y-%m-%d}")
    elif state.best is not None:
        met, of = state.best.criteria_met, len((state.best.raw or {}).get("criteria", ()))
        facts.append(f"best attempt {met} of {of} criteria")
    if state.attempts:
        facts.append(f"{state.attempts} attempt{'s' if state.attempts > 1 else ''}")
    return ", ".join(facts)


def collect_status_for_json(course: CourseLike, history: History) -> dict[str, Any]:
    """Collect each milestone's state, the next goal and damaged records for JSON, as in docs/result-format.md."""
    goal = journey.find_next_goal(course, history)
    return {
        "milestones": [
            {
                "id": s.id,
                "name": s.name,
                "state": s.state.value,
                "planned": s.planned,
                "provisional": s.provisional,
                "modules_done": s.modules_done,
                "modules": s.modules,
                "attempts": s.attempts,
                "unlocked_at": s.unlocked_at,
            }
            for s in journey.list_milestone_states(course, history)
        ],
        "next": {"sentence": goal.sentence, "command": goal.command},
        "damaged": [{"path": d.path, "reason": d.reason} for d in history.damaged],
    }


def draw_progress_bar(course: CourseLike, history: History, out: Console) -> Text:
    """Draw the entire course as one bar with a sign for each module, and count what is completed."""
    modules = journey.list_module_states(course, history)
    done = sum(m.state is State.COMPLETED for m in modules)
    medals = sum(s.state is State.COMPLETED for s in journey.list_milestone_states(course, history))
    signs = _ASCII_SIGNS if out.options.ascii_only else _SIGNS
    line = Text()
    for module in modules:
        line.append(signs[module.state], style=_STYLES[module.state])
    line.append("\n" if out.width < 60 else "  ")
    line.append(f"{done} of {len(modules)} modules, {medals} of {len(course.milestones)} milestones")
    return line


def describe_damaged_records(history: History) -> Iterator[RenderableType]:
    """Describe each damaged record of the history."""
    for damaged in history.damaged:
        where, why = to_one_line(damaged.path.as_posix()), to_one_line(damaged.reason)
        yield format_list_item(
            "!", Text(f"A damaged progress record has been set aside as {where}: {why}", style="yellow"), indent=0
        )


def draw_timeline(course: CourseLike, history: History, figures: dict[int, list[str]], out: Console) -> RenderableType:
    """Draw the journey from top to bottom. Modules are stations; milestones are landmarks with dates and figures."""
    plain = out.options.ascii_only
    signs, rail = (_ASCII_SIGNS, "|") if plain else (_SIGNS, "│")
    milestones = {
        m.trigger: s for m, s in zip(course.milestones, journey.list_milestone_states(course, history), strict=True)
    }
    tries = Counter(
        event.module for event in history.events if event.kind not in (Kind.MODULE_STARTED, Kind.MODULE_RESET)
    )
    lines: list[RenderableType] = []
    for module in journey.list_module_states(course, history):
        repeats = f", {tries[module.id]} tries" if tries[module.id] > 1 else ""
        style = _STYLES[module.state]
        lines.append(
            Text.assemble(
                (f" {signs[module.state]} ", style),
                (module.id, style or "bold"),
                (f"  {_describe_module_dates(module)}{repeats}", "dim"),
            )
        )
        milestone = milestones.get(module.id)
        if milestone is not None:
            lines += _draw_milestone_landmark(milestone, figures.get(milestone.id, []), rail, plain)
        else:
            lines.append(Text(f" {rail}", style="dim"))
    return Group(*lines)


def _draw_milestone_landmark(state: MilestoneState, figures: list[str], rail: str, plain: bool) -> list[RenderableType]:
    """Draw a milestone as a landmark of the timeline."""
    done = state.state is State.COMPLETED
    style = f"bold {_STYLES[state.state]}"
    star = ("#" if plain else "★") if done else ("[]" if plain else "☆")
    bend = "+--" if plain else "╞══"
    facts = state.unlocked_at.strftime("%Y-%m-%d") if state.unlocked_at else _describe_milestone_progress(state)
    if state.provisional:
        facts += ", provisional"
    if state.unlocked_at and state.attempts > 1:
        facts += f", {state.attempts} attempts"
    lines: list[RenderableType] = [
        Text(f" {rail}", style="dim"),
        Text.assemble((f" {bend} {star} Milestone {state.id}: {state.name}", style)),
        Text.assemble((f" {rail}     ", "dim"), (state.state.label, style), f"  {facts}"),
    ]
    lines += [format_list_item(f" {rail}    ", figure, style="dim", indent=0) for figure in figures]
    return [*lines, Text(f" {rail}", style="dim")]


def _describe_module_dates(module: ModuleState) -> str:
    """Describe when a module was completed or started, or else its state."""
    if module.completed_at:
        return f"completed {module.completed_at:%Y-%m-%d}"
    if module.state is State.IN_PROGRESS and module.started_at:
        return f"in progress since {module.started_at:%Y-%m-%d}"
    return "planned" if module.planned else module.state.value
