"""Manifest, files and project settings agree, and no file exists that the manifest does not name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from course.checks.course_tree import CourseTree
from course.constraints import LOCK_FILE, find_unlocked_requirements
from course.figures.gallery import list_lesson_images
from course.release import LEFTOVERS
from grading import result_schema
from grading.manifest import schema
from grading.manifest.file_checks import find_missing_file_problems
from grading.manifest.model import Module
from grading.manifest.problems import Problem
from grading.manifest.question_checks import find_question_problems
from grading.render.progress_watch import ProgressWatch
from grading.render.text import format_count

LESSON_LINES = range(150, 401)
CODE_LINES = range(351)


def check_manifest_and_disk(course: CourseTree, watch: ProgressWatch) -> list[Problem]:
    """Every file in the manifest exists, its questions can be asked, and no other module file exists."""
    watch.begin_phase("Comparing manifest and disk", None)
    problems = [
        *find_missing_file_problems(course.manifest, course.root),
        *find_question_problems(course.manifest, course.root),
    ]
    return problems + list(_find_unnamed_files(course))


def check_tasks_are_whole(course: CourseTree, watch: ProgressWatch) -> list[Problem]:
    """Every task has a gap, a test and a heading in its lesson; every test has one task and a title."""
    watch.begin_phase("Following each task through code, tests and lesson", None)
    gaps = course.find_task_gaps()
    return [problem for module in course.built_modules for problem in _check_tasks(course, module, set(gaps))]


def check_sizes_are_kept(course: CourseTree, watch: ProgressWatch) -> list[Problem]:
    """Lessons have 150 to 400 lines, and a student's finished file at most 350."""
    watch.begin_phase("Counting lines", None)
    problems = []
    files = [(module.lesson, course.read_text(module.lesson), LESSON_LINES) for module in course.built_modules]
    files += [(path, text, CODE_LINES) for path, text in course.solutions.items()]
    for path, text, fitting in files:
        if (count := len(text.splitlines())) not in fitting:
            message = f"has {format_count(count, 'line')}; it should have {fitting.start} to {fitting.stop - 1}."
            problems.append(Problem(path.as_posix(), 1, message, "Shorten it, or add what is missing."))
    return problems


def check_settings_agree(course: CourseTree, watch: ProgressWatch) -> list[Problem]:
    """The editable install lists the built modules, the lock meets the requirements, and the schemas are current."""
    watch.begin_phase("Comparing settings and schemas", None)
    problems = []
    text = course.read_text(Path("pyproject.toml"))
    listed = tomllib.loads(text)["tool"]["hatch"]["build"]["dev-mode-dirs"]
    wanted = [".", "site", *(module.folder.as_posix() for module in course.built_modules)]
    if listed != wanted:
        line = next((n for n, one in enumerate(text.splitlines(), 1) if "dev-mode-dirs" in one), 1)
        message = f"dev-mode-dirs is {listed}, but the site and the built modules are {wanted[1:]}."
        problems.append(Problem("pyproject.toml", line, message, f"Write {wanted}."))
    problems += [
        Problem(LOCK_FILE.as_posix(), 1, f"has no version for {requirement}.", "Run `uv lock`.")
        for requirement in find_unlocked_requirements(course.root, course.manifest)
    ]
    for path, current, command in (
        (schema.SCHEMA_PATH, schema.generate_schema_json(), "python -m grading.manifest schema"),
        (result_schema.PATH, result_schema.generate_schema_json(), "python -m grading.result_schema"),
    ):
        if not (course.root / path).is_file() or course.read_text(path) != current:
            problems.append(Problem(path.as_posix(), 1, "does not match the models.", f"Run `{command}`."))
    return problems


def _find_unnamed_files(course: CourseTree) -> Iterator[Problem]:
    """Yield a problem for each file or whole folder under modules/, except caches, that nothing mentions."""
    named = {
        path for module in course.built_modules for path in (module.lesson, module.code, module.tests, module.reference)
    }
    named |= {*course.sources, *course.integration_tests}
    named |= {
        module.folder / image
        for module in course.built_modules
        for image in list_lesson_images(course.read_text(module.lesson))
    }
    folders = {parent for path in named for parent in path.parents}
    for full in sorted((course.root / "modules").rglob("*")):
        path = full.relative_to(course.root)
        if LEFTOVERS & set(path.parts) or path in named or (full.is_dir() and path in folders):
            continue
        if path.parent in folders:  # one problem is enough for a whole folder
            yield Problem(path.as_posix(), 1, "milestones.yaml does not mention this.", "Delete it, or add its module.")


def _check_tasks(course: CourseTree, module: Module, task_ids_with_gap: set[str]) -> Iterator[Problem]:
    """Yield a problem for each task without gap, test or heading, and for each test without title or the right task."""
    tests = [case for case in course.test_cases if case.path == module.tests]
    headings = [line for line in course.read_text(module.lesson).splitlines() if line.startswith("#")]
    for task in module.tasks:
        if task.id not in task_ids_with_gap:
            repair = f"Mark its solution with `# BEGIN SOLUTION {task.id}`."
            yield Problem(module.code.as_posix(), 1, f"task {task.id} has no gap.", repair)
        if not any(task.id in test.tasks for test in tests):
            repair = f'Mark one with `@task("{task.id}")`.'
            yield Problem(module.tests.as_posix(), 1, f"task {task.id} has no test.", repair)
        if not any(re.search(rf"\bTask {re.escape(task.id)}(?!\d|\.\d)", heading) for heading in headings):
            repair = f"Write one with “Task {task.id}”."
            yield Problem(module.lesson.as_posix(), 1, f"task {task.id} has no heading.", repair)
    own = {task.id for task in module.tasks}
    earlier = {task.id for other in course.built_modules if other.number <= module.number for task in other.tasks}
    for test in (case for case in course.test_cases if case.path.parent == module.folder):
        known, whose = (own, "of its module") if test.path == module.tests else (earlier, "of its module or before it")
        if len(test.tasks) != 1 or not set(test.tasks) <= known:
            marked = ", ".join(test.tasks) or "none"
            message = f"{test.name} must have one task {whose}, but has {marked}."
            yield Problem(test.path.as_posix(), test.line, message, f'Mark it with one `@task("{module.number}.…")`.')
        if not test.says:
            yield Problem(test.path.as_posix(), test.line, f"{test.name} has no title.", "Give it a docstring.")
