"""`python -m course.checks`: runs every check of the course, or those given by name."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from course.checks.allocations import check_sizes_come_from_judge
from course.checks.behaviour import check_gaps_fail_alone, check_skeletons_fail, check_solutions_pass
from course.checks.course_tree import CourseTree
from course.checks.disk import (
    check_manifest_and_disk,
    check_settings_agree,
    check_sizes_are_kept,
    check_tasks_are_whole,
)
from course.checks.leaks import check_hints_hide_solutions, check_no_leaks
from course.checks.picture_checks import check_pictures_are_current
from course.skeleton import SkeletonError
from grading.entry import run_and_get_exit_code
from grading.errors import GraderError, UsageError
from grading.manifest.loader import load_manifest_strictly
from grading.manifest.problems import ManifestError, Problem, suggest_name
from grading.render.progress_watch import ProgressWatch, create_watch

ROOT = Path(__file__).resolve().parents[2]
Check = Callable[[CourseTree, ProgressWatch], list[Problem]]
CHECKS: tuple[Check, ...] = (
    check_manifest_and_disk,
    check_tasks_are_whole,
    check_sizes_are_kept,
    check_settings_agree,
    check_no_leaks,
    check_hints_hide_solutions,
    check_sizes_come_from_judge,
    check_pictures_are_current,
    check_solutions_pass,
    check_skeletons_fail,
    check_gaps_fail_alone,
)
"""The checks in the order in which they run: quick ones come first."""


def get_argument_name(check: Check) -> str:
    """Return the name that selects a check on the command line: its function's name without `check_`."""
    return check.__name__.removeprefix("check_")


def run_check(check: Check, course: CourseTree, watch: ProgressWatch) -> list[Problem]:
    """Run one check and return its problems. An error that stops it, such as an unreadable course, is a problem."""
    try:
        return check(course, watch)
    except (ManifestError, SkeletonError) as error:
        return list(error.problems)
    except FileNotFoundError as error:
        path = Path(error.filename)
        name = path.relative_to(course.root) if path.is_relative_to(course.root) else path
        return [
            Problem(name.as_posix(), 1, "does not exist.", "Create it, or set `status: planned` in milestones.yaml.")
        ]
    except (GraderError, UsageError, OSError) as error:
        return [Problem(get_argument_name(check), 1, f"the check could not be run: {error}", "Fix this first.")]


def main(names: Iterable[str], root: Path = ROOT) -> int:
    """Run the named checks, or all, and print the problems. Return 0 if none, 1 if any, 2 for an unknown name."""
    console, known = Console(highlight=False), {get_argument_name(check): check for check in CHECKS}
    for name in names:
        if name not in known:
            console.print(Text(f"There is no check {name}. {suggest_name(name, known)}"))
            return 2
    try:
        course = CourseTree(root, load_manifest_strictly(root))
    except ManifestError as error:
        console.print(Text(str(error)))
        return 1
    wrong = 0
    for check in [known[name] for name in names] or CHECKS:
        title = (inspect.getdoc(check) or get_argument_name(check)).splitlines()[0]
        with create_watch(console) as watch:
            problems = run_check(check, course, watch)
        console.print(Text(f"{'✗' if problems else '✓'} {title}", style="red" if problems else "green"))
        for problem in problems:
            console.print(Text(f"    {problem}"), soft_wrap=True)
        wrong += len(problems)
    console.print(Text(f"{wrong} to fix." if wrong else "All checks pass.", style="bold"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(run_and_get_exit_code(lambda: main(sys.argv[1:])))
