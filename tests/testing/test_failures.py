"""A failed test names the line that raised and what is wrong with it, at the desk and in a verdict alike."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from course.release import render_templates
from grading.manifest.loader import load_manifest
from grading.remote import DeadlineError, Frame, RemoteError, WorkerDiedError, choose_traceback_frame
from grading.testing import expect
from grading.testing.diagnose import describe_difference
from grading.testing.failures import explain_failure, find_exception_hint
from grading.testing.gradients import check_gradient, list_forward_argument_names
from grading.testing.plugin import FailedTest
from grading.testing.runner import run_tests
from grading.testing.students import WorkerPool

CODE = """\
import bdb
import numpy as np

def apply(forward, *arrays):
    try:
        return forward(*arrays)
    except ValueError as error:
        raise ValueError(f"op of {len(arrays)}: {error}") from error

def refuse(a):
    raise ValueError("no")

def add(a, b):
    return a + b

def outer():
    return apply(add, np.ones(3), np.ones(4))

def plain_raise():
    try:
        return add(np.ones(3), np.ones(4))
    except ValueError:
        raise ValueError("again")

def on_purpose():
    try:
        return {}["key"]
    except KeyError:
        raise ValueError("there is no key")

def in_except():
    try:
        return add(np.ones(3), np.ones(4))
    except Missing:
        return None

def without_comma():
    return (np.ones(3))

def prints():
    print("it is 42")

def misspelt():
    return nmae

def asks():
    return input("how many? ")

def stops():
    raise bdb.BdbQuit

def wrong():
    return np.array([[1.0, -2.0], [3.0, 400.0]])

def right():
    return 1
"""
TESTS = """\
import numpy as np

from grading.testing import expect, task

@task("2.1")
def test_cause(student):
    student.code.outer()

@task("2.1")
def test_context(student):
    student.code.plain_raise()

@task("2.1")
def test_purpose(student):
    student.code.on_purpose()

@task("2.1")
def test_in_except(student):
    with expect.raises(ValueError, call="in_except()"):
        student.code.in_except()

@task("2.1")
def test_comma(student):
    (got,) = student.code.without_comma()

@task("2.1")
def test_print(student):
    expect.array(student.code.prints(), [42.0], call="prints()")

@task("2.1")
def test_misspelt(student):
    expect.equal(student.code.misspelt(), 1, call="misspelt()")

@task("2.1")
def test_input(student):
    student.code.asks()

@task("2.1")
def test_breakpoint(student):
    student.code.stops()

@task("2.1")
def test_renamed(student):
    student.code.gone()

@task("2.1")
def test_wrong(student):
    expect.array(student.code.wrong(), [[1.0, 2.0], [3.0, 4.0]], call="wrong()", hint="try two digits")

@task("2.1")
def test_misspelt_again(student):
    student.code.misspelt()

@task("2.1")
def test_no_hint_of_its_own(student):
    expect.equal(student.code.right(), 2, call="right()")
"""
SAID = {
    "test_cause": ["code.py:14 in add: return a + b", "hint: "],
    "test_context": ["code.py:14 in add: return a + b"],
    "test_purpose": ["code.py:29 in on_purpose: raise ValueError"],
    "test_in_except": ["code.py:34 in in_except: except Missing:", "NameError", "misspelt"],
    "test_comma": ["call: ", "a tuple of 1 value", "comma"],
    "test_print": ["call:     prints()", "got:      None", "it is 42", "`return`"],
    "test_misspelt": ["code.py:44 in misspelt: return nmae", "NameError", "misspelt"],
    "test_misspelt_again": [
        "code.py:44",
        "NameError",
        "The reason is the same as in test_misspelt. Fix that one first.",
    ],
    "test_input": ["Delete the call to `input()`"],
    "test_breakpoint": ["Delete the line with `breakpoint()`"],
    "test_renamed": ["gone", "renamed or deleted"],
    "test_wrong": [
        "got:      │ [[  1,  -2],\n          │  [  3, 400]]",
        "expected: │ [[  1,   2],\n          │  [  3,   4]]",
    ],
    "test_no_hint_of_its_own": ["got:      1 (int)", "expected: 2 (int)", "hint:     "],
}


@pytest.fixture
def desk(tmp_path: Path, root: Path):
    """Return `desk(*arguments)`, which runs pytest in a student's repository with the module 02 above."""
    (tmp_path / "modules/02_tensor/tinytorch").mkdir(parents=True)
    (tmp_path / "modules/02_tensor/tinytorch/code.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "modules/02_tensor/test_x.py").write_text(TESTS, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(render_templates(root, load_manifest(root))[Path("pyproject.toml")])
    (tmp_path / "milestones.yaml").write_bytes((root / "milestones.yaml").read_bytes())

    def run(*arguments: str) -> str:
        """Run pytest as a student does, and return its output."""
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "modules/02_tensor", *arguments]
        environment = {"PYTHONPATH": f"{root}:{tmp_path}/modules/02_tensor", "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done.stdout

    return run


def split_failure_sections(output: str) -> dict[str, str]:
    """Map each failed test to what pytest shows of it."""
    output = output.partition("= FAILURES =")[2].partition("= short test summary")[0]
    parts = re.split(r"^_+ (test_\w+) _+$", output, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_pytest_shows_the_failure_and_nothing_else(desk) -> None:
    """The line that raised, the call, what came back, what was expected and a hint: no source of the course's."""
    shown = split_failure_sections(desk())
    assert set(shown) == set(SAID)
    for name, words in SAID.items():
        assert all(part in shown[name] for part in words), f"{name}: {shown[name]}"
        assert len(shown[name].strip().splitlines()) <= 12, shown[name]
        assert "hint:" in shown[name]
        assert "expect.py" not in shown[name]


def test_all_of_it_is_shown_on_demand(desk) -> None:
    """`-vv`, or a style of traceback, brings pytest's own."""
    for arguments in (("-vv",), ("--tb=short",)):
        assert "expect.py" in desk("-k", "test_wrong", *arguments)


def test_the_grader_says_the_same(root: Path, tmp_path: Path, worker_of) -> None:
    """Through a worker the same tests end with the same lines and words."""
    (tmp_path / "modules/02_tensor").mkdir(parents=True)
    tests = Path("modules/02_tensor/test_x.py")
    (tmp_path / tests).write_text(TESTS, encoding="utf-8")
    students = WorkerPool(lambda: worker_of(CODE), wall_seconds=60)
    outcomes = run_tests(tmp_path, [tests], students, load_manifest(root), seed=1)
    failures = {o.node.partition("::")[2]: o.failure for o in outcomes}
    assert set(failures) == set(SAID)
    assert failures["test_cause"].line == failures["test_context"].line == 14
    assert "in outer" in failures["test_cause"].detail
    assert failures["test_purpose"].line == 29
    assert (failures["test_comma"].expected, "comma" in failures["test_comma"].hint) == ("a tuple of 1 value", True)
    assert "it is 42" in failures["test_print"].got
    assert "`return`" in failures["test_print"].hint
    assert "input()" in failures["test_input"].hint
    assert "breakpoint()" in failures["test_breakpoint"].hint
    assert "renamed or deleted" in failures["test_renamed"].hint
    assert all(failure.hint for failure in failures.values())


def make_frame(file: str, line: int) -> Frame:
    """Make a traceback frame in this file and line."""
    return Frame(file, line, "f", "…")


def test_the_module_that_is_worked_on_comes_first() -> None:
    """What an earlier module refuses was handed to it by this one."""
    layers, tensor = "modules/04_layers/tinytorch/layers.py", "modules/02_tensor/tinytorch/tensor.py"
    frames = [make_frame(layers, 10), make_frame(layers, 80), make_frame(tensor, 167), make_frame(tensor, 200)]
    assert choose_traceback_frame(frames, "modules/04_layers").line == 80
    assert choose_traceback_frame(frames).line == 80
    assert choose_traceback_frame(frames[2:], "modules/04_layers").line == 200
    error = RemoteError("ValueError", "no", tuple(frames))
    test = FailedTest("modules/04_layers/test_layers.py::test_it", "It works.", None)
    failure = explain_failure(error, test, {})
    assert (failure.file, failure.line) == (layers, 80)


def catch_exception(text: str) -> Exception:
    """Return the exception that Python raises for an expression."""
    try:
        eval(text, {"np": np, "a": np.ones(3), "f": lambda x: x})  # noqa: S307 - those below
    except Exception as error:
        return error
    raise AssertionError(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2.0 ^ a", "`**`"),
        ("np.ones(2.0 ** 2)", "`//`"),
        ("a[1.0]", "`//`"),
        ("a[0:4/2]", "`//`"),
        ("not a", "a single truth value"),
        ("None + 1", "None"),
        ("(1, 2) - 1", "operator"),
        ("(2, 3)[2]", "fewer axes"),
        ("a[0, 1]", "fewer axes"),
        ("f < 1", "operator"),
        ("f.gone", "never set"),
        ("np.zeroes(2)", "spelling"),
        ("np.ones(1 << 50)", "does not fit in memory"),
        ("np.ones(1 << 60)", "does not fit in memory"),
        ("f()", "`def` line"),
        ("f(1, 2)", "`def` line"),
        ("f(y=1)", "`def` line"),
        ("aa", "misspelt"),
        ("(lambda g: g(g))(lambda g: g(g))", "calls itself"),
        ("[x for (x,) in [a]]", "comma"),
        ("[x + y for x, y in [a]]", "names on the left"),
    ],
)
def test_pythons_own_exceptions_have_a_hint_of_their_own(text: str, words: str) -> None:
    """A slip of Python's is none of the task's, and the task's hint is about other things."""
    assert words in (find_exception_hint(catch_exception(text)) or "")


TYPING = """Failed in nopython mode pipeline (step: nopython frontend)
No implementation of function Function(<built-in function lshift>) found for signature:

 >>> lshift(float64, float64)

There are 6 candidate implementations:
During: typing of intrinsic-call at kernels.py (6)

File "kernels.py", line 6:
def f(x, p):
    <source elided>
    for i in range(3):
        x[i] = x[i] << p[0]
        ^

During: Pass nopython_type_inference"""


@pytest.mark.parametrize(
    ("message", "got"),
    [
        (TYPING, "TypingError: Numba has no lshift(float64, float64), in line 6: x[i] = x[i] << p[0]"),
        ("Failed in nopython mode\nNameError: name 'y' is not defined\nDuring: …", "TypingError: NameError: name 'y'"),
        ("", "TypingError"),
    ],
)
def test_what_numba_cannot_compile_is_named_with_its_line(message: str, got: str) -> None:
    """Numba's message has dozens of lines, of which two help; no frame of the traceback is the loop's."""
    test, frame = FailedTest("modules/13_kernels/test_kernels.py::test_it", "It works.", None), make_frame("a.py", 3)
    for frames in ((), (frame,)):
        failure = explain_failure(RemoteError("TypingError", message, frames), test, {})
        assert (failure.got or "").startswith(got)
        assert "Numba compiles" in (failure.hint or "")
    here = explain_failure(type("TypingError", (Exception,), {})(message), test, {})
    assert (here.got or "").startswith(got)
    assert "Numba compiles" in (here.hint or "")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DeadlineError("no answer within 10 s of CPU time"), "a loop"),
        (DeadlineError("tinytorch.setup was not loaded: no answer within 10 s of CPU time"), "outside functions"),
        (DeadlineError("no answer within 180 s …, and only 0.2 s of CPU time used; is it sleeping or …"), "a lock"),
        (DeadlineError("not run: the earlier tests took more than 180 s in total"), "not run"),
        (WorkerDiedError("not run: your code killed 4 workers, the last one because …"), "not run"),
        (WorkerDiedError("your code ended the program (exit code 0) before it answered"), "exit()"),
        (WorkerDiedError("your code crashed Python (SIGSEGV)"), "as_strided"),
        (WorkerDiedError("your code was stopped by the system: most likely … 2,048 MB of memory"), "grows"),
    ],
)
def test_a_workers_end_has_a_hint_of_its_own(error: Exception, words: str) -> None:
    """The task's hint is about the task."""
    failure = explain_failure(error, FailedTest("modules/04_layers/test_layers.py::test_it", "It works.", None), {})
    assert words in (failure.hint or "")


def test_the_line_that_did_not_end_is_named() -> None:
    """The place, the quoted line and a hint that says why this line is shown."""
    frame = Frame("modules/04_x/tinytorch/x.py", 7, "softmax", "while True:")
    error = DeadlineError("no answer within 10 s of CPU time; is there an endless loop?", (frame,))
    for raised in (error, expect.Mismatch(call="f()", got="an error", expected="1")):
        raised.__cause__ = None if raised is error else error
        failure = explain_failure(raised, FailedTest("modules/04_x/test_x.py::test_it", "It ends.", None), {})
        assert (failure.file, failure.line) == (frame.file, 7)
        assert failure.detail == "modules/04_x/tinytorch/x.py:7 in softmax: while True:"
        assert (failure.hint or "").startswith("This line was running when the time was up. Look for a loop")


def test_the_call_that_did_not_end_is_named() -> None:
    """The part of the test's line that waited, though nothing came back from it."""
    there: dict[str, Any] = {"DeadlineError": DeadlineError}
    exec(compile("def softmax(x):\n    raise DeadlineError('no answer')\n", "proxy.py", "exec"), there)  # noqa: S102
    try:
        abs(there["softmax"](1))
    except DeadlineError as error:
        failure = explain_failure(error, FailedTest("modules/02_x/test_x.py::test_it", "It ends.", None), {})
    assert (failure.call, failure.got) == ('there["softmax"](1)', "no answer")


@pytest.mark.parametrize("call", ["layer.weight.grad", "x.grad after backward()", "linear.backward, gradient of bias"])
def test_a_missing_gradient_is_not_a_missing_return(call: str) -> None:
    """None in an attribute comes from no function without a `return`."""
    with pytest.raises(expect.Mismatch) as caught:
        expect.array(None, np.ones(2), call=call, hint="accumulate_grad")
    assert not caught.value.returned_nothing
    with pytest.raises(expect.Mismatch) as caught:
        expect.array(None, np.ones(2), call="relu(x)")
    assert caught.value.returned_nothing


A = np.array([[1.5, 2.0, -3.0], [4.0, -5.0, 7.5]])


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (-A, "Every sign is wrong"),
        (A / 2, "1/2 times"),
        (A * 6, "6 times"),
        (A + 1, "1 too large"),
        (A * 0, "Every element is 0"),
        (np.full(A.shape, 2.0), "the same, regardless of the input"),
        (np.abs(A), "Only signs"),
        (np.trunc(A), "fractional parts"),
        (A.ravel()[::-1].reshape(A.shape), "their order is wrong"),
        (A.T, "swapped"),
        (A[None], "extra axis of size 1"),
        (np.where(A == 7.5, np.nan, A), "NaN"),
        (np.where(A == 7.5, np.inf, A), "contains infinity"),
        (A.sum(), "reduced over every axis"),
    ],
)
def test_what_two_arrays_have_to_do_with_each_other_is_said(got: np.ndarray, words: str) -> None:
    """A sign, a factor, an offset, an axis."""
    assert words in (describe_difference(np.asarray(got), A) or "")


@pytest.mark.parametrize("got", [A + np.arange(6).reshape(2, 3), np.array(["a"]), A.astype(object), np.zeros(0)])
def test_where_nothing_simple_is_wrong_nothing_is_said(got: np.ndarray) -> None:
    """A guess would mislead."""
    assert describe_difference(got, A) is None


def test_numbers_that_differ_look_different() -> None:
    """Six digits, or more where six are the same on both sides."""
    with pytest.raises(expect.Mismatch) as caught:
        expect.array([1.0000001, 2.0], [1.0, 2.0], call="f()", rtol=0, atol=0)
    assert (caught.value.got, caught.value.expected) == ("[1.0000001,         2]", "[        1,         2]")


def test_an_array_of_many_rows_is_shown_by_its_first_wrong_element() -> None:
    """Twenty rows twice would push the task's name off the screen."""
    with pytest.raises(expect.Mismatch) as caught:
        expect.array(np.ones((2, 2, 3, 2)), np.zeros((2, 2, 3, 2)), call="f()")
    assert (caught.value.got, caught.value.expected) == ("1 at index (0, 0, 0, 0) (24 of 24 values differ)", "0")


def test_an_argument_that_was_written_into_is_shown() -> None:
    """The first changed element is shown next to its old value, and NaN is the same as NaN."""
    before = np.array([[1.0, 2.0], [3.0, np.nan]])
    expect.unchanged(before.copy(), before, call="x after f(x)")
    with pytest.raises(expect.Mismatch, match="make a new one first"):
        expect.unchanged(before / 2, before, call="x after f(x)")


def test_a_hint_on_one_mistake_is_shown_for_that_mistake_alone() -> None:
    """What the mistake would give is compared with what came."""
    traps = {"the mean, not the sum": np.array(6.0)}
    for got, hint in ((6.0, "the mean, not the sum"), (5.0, "look at the formula")):
        with pytest.raises(expect.Mismatch) as caught:
            expect.array(got, 2.0, call="loss()", hint="look at the formula", traps=traps)
        assert caught.value.hint == hint


LINEAR = """
class Op:
    name = "linear"
    def forward(self, x, weight, bias=None): return x @ weight.T + bias
    def backward(self, grad, output, x, weight, bias=None): return grad @ weight, grad.T @ x, grad.mean(axis=0)
linear = Op()
linear.forward, linear.backward = (lambda x, weight, bias=None: x @ weight.T + bias), linear.backward
"""


def test_a_gradient_is_called_by_its_arrays_name(worker_of) -> None:
    """Bias, and not input 2; at the desk and through a worker."""
    names: dict[str, Any] = {}
    exec(LINEAR, names)  # noqa: S102 - the text above
    for op in (names["linear"], worker_of(LINEAR).module("code").linear):
        with pytest.raises(expect.Mismatch) as caught:
            check_gradient(op, np.ones((4, 3)), np.ones((2, 3)), np.ones(2), call="the backward of linear")
        assert caught.value.call == "the backward of linear, gradient of bias"
        assert "1/4 times" in (caught.value.diagnosis or "")
    assert list_forward_argument_names(np.add, 2) == ["input 0", "input 1"]
