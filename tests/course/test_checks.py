"""Each check passes on an intact course, and reports whatever is broken."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from course.checks.__main__ import CHECKS, main, run_check
from course.checks.allocations import check_sizes_come_from_judge, find_student_sized_allocations
from course.checks.behaviour import (
    check_gaps_fail_alone,
    check_skeletons_fail,
    check_solutions_pass,
    find_tests_by_gap,
)
from course.checks.course_tree import CourseTree
from course.checks.disk import (
    check_manifest_and_disk,
    check_settings_agree,
    check_sizes_are_kept,
    check_tasks_are_whole,
)
from course.checks.leaks import check_hints_hide_solutions, check_no_leaks, find_leaks, find_secrets
from course.release import build_release_files
from grading.manifest.loader import load_manifest
from grading.render.progress_watch import SilentWatch

from .conftest import CODE, LESSON, TESTS


@pytest.fixture(autouse=True)
def _check_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no processes, each of which would import everything, for a course of three tests."""
    monkeypatch.setattr("course.checks.behaviour._start_pool", lambda: nullcontext(SimpleNamespace(map=map)))


def replace_text(course: CourseTree, path: Path | str, old: str, new: str) -> None:
    """Replace a text that occurs once in the course."""
    file = course.root / path
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def list_problems(check, course: CourseTree) -> str:
    """Run a check and return its problems as text."""
    return "\n".join(map(str, run_check(check, course, SilentWatch())))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_whole_course_passes(whole, check):
    """No check finds anything to fix."""
    assert list_problems(check, whole) == ""


def test_a_wrong_solution_is_named_with_its_test(course):
    """A solution that fails its own test is reported at that test's line."""
    replace_text(course, CODE, "return side * side", "return side + side")
    said = list_problems(check_solutions_pass, course)
    assert said.startswith(f"{TESTS.as_posix()}:6: test_square fails with the solution: 6")


def test_a_test_that_no_gap_touches_is_named(course):
    """A test that passes while its task is open is reported, since it tests something else."""
    replace_text(course, TESTS, "student.shapes.square(3), 9", "9, 9")
    assert "test_square passes while its task 1.1 is open" in list_problems(check_gaps_fail_alone, course)
    assert "test_square passes on the untouched skeleton" in list_problems(check_skeletons_fail, course)


def test_a_gap_that_hides_behind_another_message_is_named(course):
    """A given line that fails before the gap is reached is reported, since it hides the task's message."""
    replace_text(
        course, CODE, '"""Return the area of a square."""', '"""Area."""\n    side = None if side == 3 else side'
    )
    replace_text(course, CODE, "return side * side", "return 9 if side is None else side * side")
    replace_text(course, CODE, "side = None if", "side = None + 1 if")
    assert "names no task: TypeError" in list_problems(check_gaps_fail_alone, course)


SWALLOWS = '''

@task("1.2")
def test_squares_are_areas(student):
    """A square is a rectangle."""
    try:
        area = student.shapes.square(3)
    except NotImplementedError:
        area = None
    expect.equal(area, student.shapes.Rectangle(3, 3).area(), call="square(3)")
'''
"""A test of another task that reaches the gap of task 1.1 and does not name it."""


def test_another_task_s_test_that_hides_the_gap_is_named(course):
    """A test that reaches an open gap must name it, whatever task the test itself belongs to."""
    with (course.root / TESTS).open("a") as tests:
        tests.write(SWALLOWS)
    said = list_problems(check_gaps_fail_alone, course)
    assert "test_squares_are_areas fails while only task 1.1 is open, and names no task" in said
    assert "task 1.2" not in said


def test_only_tests_that_reach_a_gap_are_run_again(course):
    """A test of the other task is listed only if it reaches the gap, fails in the search, or meets compiled code."""
    with (course.root / TESTS).open("a") as tests:
        tests.write(SWALLOWS)
    square, rectangle, refuses, both = (
        f"{TESTS.as_posix()}::test_{name}"
        for name in ("square", "rectangle", "rectangle_refuses_a_negative_side", "squares_are_areas")
    )
    (module,) = course.built_modules
    found = find_tests_by_gap(course, course.solutions, module)
    assert found == {"1.1": (square, both), "1.2": (rectangle, refuses, both)}
    replace_text(course, CODE, "def square(side", "@staticmethod\ndef square(side")
    assert find_tests_by_gap(course, course.solutions, module)["1.1"] == (square, rectangle, refuses, both)
    replace_text(course, CODE, "@staticmethod\ndef square(side", "def square(side")
    replace_text(course, CODE, "(self.width, self.height) < 0:", "(self.width, self.height) < 4:")
    assert find_tests_by_gap(course, course.solutions, module)["1.1"] == (square, rectangle, both)


def test_a_task_whose_gap_breaks_before_its_own_test_is_named(course):
    """A test of one task that also needs a different task is reported, since it shows that task's message."""
    replace_text(course, TESTS, '@task("1.1")', '@task("1.2")')
    said = list_problems(check_gaps_fail_alone, course)
    assert "test_square passes while its task 1.2 is open" in said
    assert "task 1.1 has no test" in list_problems(check_tasks_are_whole, course)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("README.md", "Just write\n    if min( self.width,self.height ) < 0:"),
        ("modules/01_shapes/README.md", "a line\n\n# BEGIN SOLUTION 1.1"),
        ("docs/notes.txt", "Now return self.width * self.height"),
        ("grading/more.py", "KEY = '{formula}'"),
        ("milestones.yaml", "# answer: {formula}"),
        ("tito/path.py", "HOME = '{root}'"),
        ("answers/milestone-1.yaml", "student: course"),
        ("course/release.py", ""),
        ("student.yaml", "id: course"),
    ],
)
def test_a_planted_leak_is_found(whole, path, text):
    """A leak is reported with its file, wherever it is and however it is spaced."""
    formula = next(q.answer for q in whole.manifest.milestone(1).questions if q.kind == "number")
    planted = {Path(path): f"first line\n{text.format(formula=formula, root=whole.root)}\n".encode()}
    (problem,) = {p.file: p for p in find_leaks(planted, find_secrets(whole))}.values()
    assert problem.file == path


def test_a_leaks_line_is_told(whole):
    """The reported line is that of the leak, not the beginning of the file."""
    planted = {Path("README.md"): b"one\ntwo\n  if min(self.width, self.height) < 0:\n"}
    (problem,) = find_leaks(planted, find_secrets(whole))
    assert problem.line == 3


def test_common_lines_are_no_leak(whole):
    """Code that everybody writes and code that students are given do not count as leaks."""
    planted = {Path("README.md"): b"return x\nself.width, self.height = width, height\nexcept ValueError as error:\n"}
    assert find_leaks(planted, find_secrets(whole)) == []


@pytest.mark.parametrize("said", ["never", "always"])
def test_solutions_that_are_given_out_are_no_leak(course, monkeypatch, said):
    """Solutions are no leak if the manifest allows them; keys and paths on this machine always are."""
    file = course.root / "milestones.yaml"
    file.write_text(file.read_text().replace("course:\n", f"course:\n  solutions: {said}\n", 1))
    given = CourseTree(course.root, load_manifest(course.root))
    assert list_problems(check_no_leaks, given) == ""
    path, text = Path("solutions/01_shapes/tinytorch/shapes.py"), "return self.width * self.height\n"
    for more, leaks in (("", said == "never"), (f"HOME = '{course.root}'\n", True), ("# BEGIN SOLUTION 1.1\n", True)):
        files = build_release_files(course.root) | {path: (text + more).encode()}
        monkeypatch.setattr("course.checks.leaks.build_release_files", lambda _, files=files: files)
        assert bool(list_problems(check_no_leaks, given)) == leaks
        monkeypatch.undo()


@pytest.mark.parametrize("step", range(3))
@pytest.mark.parametrize(
    "code", ["`self.width*self.height`", "return min(self.width, self.height) < 0", "side  * side"]
)
def test_a_hint_that_tells_the_solution_is_named(whole, step, code):
    """The hint is reported in any of the three steps, for all or part of the solution, however it is spaced."""
    module = whole.manifest.modules[0]
    hints = list(module.tasks[1].hints)
    hints[step] = f"Think, and write {code} then."
    tasks = (module.tasks[0], module.tasks[1].model_copy(update={"hints": tuple(hints)}))
    manifest = whole.manifest.model_copy(update={"modules": (module.model_copy(update={"tasks": tasks}),)})
    said = list_problems(check_hints_hide_solutions, CourseTree(whole.root, manifest))
    assert f"hint {step + 1} of task 1.2 contains code of the solution" in said


def test_a_lesson_that_shows_the_solution_is_found_in_the_release(course):
    """A lesson on disk that contains the solution is found as a leak in the release."""
    with (course.root / LESSON).open("a") as lesson:
        lesson.write("\n    if min(self.width, self.height) < 0:\n")
    assert f"{LESSON.as_posix()}:171: line 20 of {CODE.as_posix()}'s solution leaks" in list_problems(
        check_no_leaks, course
    )
    assert Path("modules/01_shapes/README.md") in build_release_files(course.root)


def test_files_that_the_manifest_does_not_name_are_found(course):
    """Stray files and folders are reported once each; tools' leftovers and a module's reference.json are not."""
    (course.root / "modules/01_shapes/old.py").write_text("")
    (course.root / "modules/01_shapes/reference.json").write_text("{}")  # any module may have one
    (course.root / "modules/99_draft/deep").mkdir(parents=True)
    (course.root / "modules/99_draft/deep/x.py").write_text("")
    (course.root / "modules/01_shapes/__pycache__").mkdir(exist_ok=True)
    said = list_problems(check_manifest_and_disk, course)
    assert [line.partition(":")[0] for line in said.splitlines()] == ["modules/01_shapes/old.py", "modules/99_draft"]


def test_a_missing_file_is_named(course):
    """Each check that reads the file reports the same problem instead of a traceback."""
    (course.root / LESSON).unlink()
    assert LESSON.as_posix() in list_problems(check_manifest_and_disk, course)
    assert LESSON.as_posix() in list_problems(check_sizes_are_kept, course)


@pytest.mark.parametrize(
    ("path", "old", "new", "says"),
    [
        (LESSON, "## Task 1.2: a rectangle", "## A rectangle", "task 1.2 has no heading"),
        (LESSON, "## Task 1.1: a square", "## Task 1.10: a square", "task 1.1 has no heading"),
        (TESTS, '@task("1.1")\n', "", "test_square must have one task of its module, but has none"),
        (TESTS, '@task("1.1")\n', '@task("1.1")\n@task("1.2")\n', "but has 1.2, 1.1"),
        (TESTS, '@task("1.1")\n', '@task("2.1")\n', "but has 2.1"),
        (TESTS, '    """A square of side 3 has area 9."""\n', "", "test_square has no title"),
        (CODE, "    # BEGIN SOLUTION 1.1\n    return side * side\n    # END SOLUTION\n", "    return 1\n", "no gap"),
    ],
)
def test_a_task_that_is_not_whole_is_named(course, path, old, new, says):
    """A missing gap, test, heading or mark is reported."""
    replace_text(course, path, old, new)
    assert says in list_problems(check_tasks_are_whole, course)


def test_sizes_are_told(course):
    """A lesson that is too short and a file that is too long are reported with their line counts."""
    (course.root / LESSON).write_text("# Shapes\n")
    replace_text(course, CODE, '"""Areas of shapes."""\n', '"""Areas of shapes."""\n' + "# more\n" * 400)
    said = list_problems(check_sizes_are_kept, course)
    assert f"{LESSON.as_posix()}:1: has 1 line;" in said
    assert f"{CODE.as_posix()}:1: has 4" in said


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("parameter = student.f()\n    rng.normal(size=parameter.shape)", "rng.normal(size=parameter.shape)"),
        ("for p in student.net.parameters():\n        np.zeros(p.shape)", "np.zeros(p.shape)"),
        ("list(np.ndindex(student.f(3).shape))", "np.ndindex(student.f(3).shape)"),
        ("count = len(student.f())\n    [0.0] * count", "[0.0] * count"),
        ("kept = []\n    kept.append(student.f())\n    np.empty(kept[0])", "np.empty(kept[0])"),
        ("student.train(lambda step: np.ones(step))", "np.ones(step)"),
        ("def tell(step):\n        np.ones(step)\n    student.train(tell)", "np.ones(step)"),
        ("for x, y in zip([1], student.f(), strict=True):\n        np.zeros(x), np.zeros(y)", "np.zeros(y)"),
        ("help(student.f().size)", "range(size)"),
        ("np.full(ask(student).shape, 1.0)", "np.full(ask(student).shape, 1.0)"),
    ],
)
def test_a_size_from_the_student_is_found(body, found):
    """The size is found however it reaches the judge: via names, loops, lists, reports or functions in the file."""
    source = f"def test_it(student, rng):\n    {body}\n\n\ndef help(size):\n    range(size)\n"
    source += "\n\ndef ask(student):\n    return student.f()\n"
    (problem,) = find_student_sized_allocations(source, TESTS)
    assert f"`{found}`" in str(problem)


@pytest.mark.parametrize(
    "body",
    [
        "x = rng.normal(size=(2, 3))\n    np.zeros(x.shape)",
        "x = values(student.f())\n    np.zeros(x.shape)",
        "x = expect.pull(student.f(), call='f()')\n    np.zeros_like(x)",
        "for got, wanted in zip(student.f(), [(2,)], strict=True):\n        np.zeros(wanted), got",
        "student.tensor.zeros(student.f().shape)",
        "range(min(len(student.f()), 10))",
        "made = [np.zeros(2) for _ in student.f()]\n    np.zeros(made[0].shape)",
    ],
)
def test_a_size_of_the_judges_own_is_none(body):
    """A size set by the test or read from a received array is allowed, and so is any allocation by student code."""
    assert find_student_sized_allocations(f"def test_it(student, rng):\n    {body}\n", TESTS) == []


def test_a_size_from_the_student_is_named_with_its_line(course):
    """The check reads the students' tests on disk, and reports the line."""
    replace_text(course, TESTS, "student.shapes.square(3), 9", "[0] * student.shapes.square(3), 9")
    assert list_problems(check_sizes_come_from_judge, course).startswith(f"{TESTS.as_posix()}:")


def test_settings_and_schemas_that_are_behind_are_told(course):
    """The editable install and both schemas are compared with their sources."""
    replace_text(course, "pyproject.toml", '    "modules/01_shapes",\n', "")
    (course.root / "docs/schema/result.schema.json").write_text("{}")
    said = list_problems(check_settings_agree, course)
    assert "pyproject.toml:" in said
    assert "python -m grading.result_schema" in said


def test_broken_markers_are_told_and_not_thrown(course):
    """A check that cannot read the sources reports the problem with the markers."""
    replace_text(course, CODE, "    # BEGIN SOLUTION 1.1\n", "")
    assert f"{CODE.as_posix()}:7: this block has no beginning" in list_problems(check_no_leaks, course)


def test_the_command_says_all_and_ends_with_0_or_1(course, capsys):
    """Only the named checks run, and a wrong name is answered with the valid names."""
    assert main(["sizes_are_kept"], course.root) == 0
    (course.root / LESSON).write_text("# Shapes\n")
    assert main(["sizes_are_kept"], course.root) == 1
    assert main(["sizes_are_left"], course.root) == 2
    said = capsys.readouterr().out
    assert "All checks pass." in said
    assert "1 to fix." in said
    assert "sizes_are_kept" in said.splitlines()[-1]
