"""Which line a failure names where the course's own functions and the student's call each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from grading import lock
from grading.manifest.loader import load_manifest
from grading.remote import Frame, choose_traceback_frame
from grading.testing.given_code import GivenCode, list_lines_of_given_functions
from grading.testing.runner import run_tests
from grading.testing.students import WorkerPool

GIVEN = """\
class Shape:
    def __init__(self, sides):
        self.sides = require(sides)

    def area(self):
        raise NotImplementedError("Task 2.1: multiply")

def require(sides):
    if len(sides) != 2:
        raise ValueError("two sides are needed")
    return sides

def measure(shape):
    return shape.area() + 0

def square(side):
    raise NotImplementedError("Task 2.2: give it two sides")
"""
CODE = GIVEN.replace('raise NotImplementedError("Task 2.1: multiply")', "return sides[0] * sides[1]").replace(
    'raise NotImplementedError("Task 2.2: give it two sides")', "return Shape([side])"
)
PLACE = Path("m/tinytorch/code.py")
TESTS = """\
def test_refused(student):
    student.code.square(3)

def test_called(student):
    student.code.measure(student.code.Shape((2, 3)))

def test_all_given(student):
    student.code.require((1, 2, 3))
"""


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """Make a released course whose student has implemented both tasks incorrectly."""
    (tmp_path / "modules/02_tensor").mkdir(parents=True)
    (tmp_path / "modules/02_tensor/test_x.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / lock.BASE).write_bytes(lock.encode_base_file({PLACE: GIVEN.encode()}))
    return tmp_path


@pytest.mark.parametrize("is_released", [True, False])
def test_a_failure_names_the_students_own_line(root: Path, course: Path, worker_of, *, is_released: bool) -> None:
    """A given function raises because of what it was given; without a release the last line is all that is known."""
    if not is_released:
        (course / lock.BASE).unlink()
    students = WorkerPool(lambda: worker_of(CODE), wall_seconds=60)
    outcomes = run_tests(course, [Path("modules/02_tensor/test_x.py")], students, load_manifest(root), seed=1)
    lines = {o.node.partition("::")[2]: CODE.splitlines()[o.failure.line - 1].strip() for o in outcomes if o.failure}
    raised = 'raise ValueError("two sides are needed")'
    assert lines == {
        "test_refused": "return Shape([side])" if is_released else raised,
        "test_called": "return sides[0] * sides[1]",
        "test_all_given": raised,
    }


def test_an_earlier_modules_line_comes_before_a_given_one_of_this_module(course: Path) -> None:
    """A check in the lesson's given code calls a function of an earlier module, which raises."""
    later = "modules/09_autograd/tinytorch/autograd.py"
    given = GivenCode(course)
    frames = [Frame(later, 3, "gradcheck", "f(x)"), Frame(PLACE.as_posix(), 6, "area", "return sides[0]")]
    assert choose_traceback_frame(frames, "modules/09_autograd", given.is_given_frame).line == 3
    (course / lock.BASE).write_bytes(
        lock.encode_base_file({PLACE: GIVEN.encode(), Path(later): b"def gradcheck(f, x):\n    f(x)\n"})
    )
    assert choose_traceback_frame(frames, "modules/09_autograd", GivenCode(course).is_given_frame).line == 6


def test_a_given_function_that_the_student_changed_is_theirs() -> None:
    """Only the lines that stand as they were given count, and no function with a gap does."""
    lines = list_lines_of_given_functions(GIVEN)
    assert ("require", "return sides") in lines
    assert ("require", "return list(sides)") not in lines
    assert not {name for name, _ in lines} & {"area", "square"}
    assert list_lines_of_given_functions("def broken(") == frozenset()
