"""Explain a failed test as a `Failure`, for grading results and for the student's own pytest runs."""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from grading.manifest.model import Task
from grading.remote import DeadlineError, Frame, RemoteError, WorkerFailureError, choose_traceback_frame
from grading.render.text import prefix_text_with_label, to_one_line
from grading.result import Failure
from grading.syntax import SYNTAX_HINT
from grading.testing.expect import Mismatch, get_exception_type_name
from grading.testing.plugin import FailedTest

GAP = re.compile(r"Task (\d{1,2}\.\d{1,2}): ")
PRINTED = 200
"""The number of characters of printed output shown when a value should have been returned."""

RETURN = "The function returned None. Does it end with a `return`?"
RETURN_NOT_PRINT = "`print` only displays a value. Write `return` to return it."
BREAKPOINT = "Delete the line with `breakpoint()`. It works in your own pytest runs, but not when your code is graded."
INPUT = "Delete the call to `input()`. Nobody can answer it while your code is graded."
EXIT = "Your code stopped Python itself. Raise an exception or return instead of calling exit(), quit() or sys.exit()."
ARGUMENTS = "Compare the call with the `def` line of the function: the names, number and order of its arguments."
KEEP_NAMES = "The tests and later modules need this name. Was it renamed or deleted, or is it indented too far?"
NONE = "Something on this line is None: a function without a `return`, or a value that was never set."
UNKNOWN_NAME = "Python does not know this name here. Is it misspelt, not imported, or set only after this line?"
POWER = "`^` is an exclusive or in Python. For a power, write `**`."
ATTRIBUTE = "The attribute was never set or is misspelt, or the value before the dot is not of the type you expect."
WHOLE = "This line needs an integer. `/` always gives a float; `//` divides integers."
TRUTH = "`if`, `not`, `and` and `or` need a single truth value. For arrays, use `~`, `&`, `|`, `.any()` or `.all()`."
MISSPELT = "That module has no such name. Check the spelling and capitalisation in its documentation."
MEMORY = "Something does not fit in memory. Print shapes before this line, or look for a list that grows."
READ_ONLY = (
    "NumPy refuses to write into this array, which others may still need. Write `a = a + b` instead of `a += b`."
)
JSON = "JSON has no arrays. `json.dumps(…, default=np.ndarray.tolist)` turns them into lists."
INVERT = "`~` inverts bools. Check that its operand is an array of bools."
LAYERS = "Did `__init__` set it, or call `super().__init__(*layers)`?"
BY_NAME = "`apply` turns the integers of an input into floats. Pass the target by name, as an attribute: `target=`."
OPERATOR = "An operator on this line does not support the types of its operands. Check both types."
AXES = "Something on this line has fewer axes or elements than the index needs. Print its shape."
ENDLESS = "A function calls itself endlessly."
IMPORT = "Compare the name and its capitalisation with the lesson. Import only from earlier modules."
NEVER_ENDS = "Look for a loop whose condition never changes, or for Python loops over single numbers."
RUNNING = "This line was running when the time was up."
UNPACK = "The number of values that the function returns differs from the number of names on the left of the `=`."
COMMA = "A tuple of one value needs a comma: `return (value,)`. Without it, the parentheses have no effect."
NUMBA = (
    "Numba compiles a loop for the types of its values. It stops at a line that does not work for these types, at an "
    "unknown name, and at an index that is too large."
)

RAISED: tuple[tuple[str, str, str], ...] = (
    ("TypingError|LoweringError|UnsupportedError", "", NUMBA),
    ("BdbQuit", "", BREAKPOINT),
    ("EOFError|OSError", r"EOF when reading a line|reading from stdin", INPUT),
    ("SystemExit", "", EXIT),
    ("SyntaxError|IndentationError|TabError", "", SYNTAX_HINT),
    ("NameError|UnboundLocalError", "", UNKNOWN_NAME),
    ("RecursionError", "", ENDLESS),
    ("ImportError|ModuleNotFoundError", "", IMPORT),
    ("AttributeError", r"^module 'tinytorch\.|^module 'recipe", KEEP_NAMES),
    ("ValueError", r"too many values to unpack \(expected 1\)", COMMA),
    ("ValueError|TypeError", r"values to unpack|cannot unpack", UNPACK),
    ("AttributeError|TypeError", r"NoneType", NONE),
    ("TypeError", r"'bitwise_xor'|for \^", POWER),
    (
        "TypeError|IndexError",
        r"'float' object cannot be interpreted|integers? or a single integer|integers, slices|be integers",
        WHOLE,
    ),
    ("ValueError", r"truth value of an array", TRUTH),
    ("TypeError", r"ufunc 'invert' not supported|operand type for unary ~", INVERT),
    ("TypeError", r"unsupported operand|bad operand|ufunc '.*' not supported|not supported between", OPERATOR),
    ("AttributeError", r"object has no attribute 'layers'", LAYERS),
    ("AttributeError", r"object has no attribute", ATTRIBUTE),
    ("ValueError", r"targets are class numbers.* not float", BY_NAME),
    ("AttributeError", r"^module '", MISSPELT),
    ("ValueError", r"^output array is read-only", READ_ONLY),
    ("TypeError", r"ndarray is not JSON serializable", JSON),
    ("MemoryError|_ArrayMemoryError", "", MEMORY),
    ("ValueError", r"^array is too big", MEMORY),
    ("IndexError", r"tuple index out of range|too many indices", AXES),
    ("TypeError", r"positional argument|keyword(-only)? argument|multiple values for argument", ARGUMENTS),
)
"""For each common error: the exception's type, a pattern that matches its message, and a hint that is more helpful than
the task's own.
"""
ENDED = {
    "was not loaded": "Lines outside functions run when the file is loaded. Look there for a loop that never ends.",
    "is it sleeping": "The code waits for something: a sleep, a lock, an empty queue, or a thread that never ends.",
    "not run:": "This test was not run. Fix the failures before it.",
    "ended the program": EXIT,
    "crashed Python": "A manual view (`as_strided`), a compiled loop or an endless recursion accessed invalid memory.",
    "MB of memory": "Something grows: a list in a loop, or an array by broadcasting (n, 1) with (n,) to (n, n).",
    "closed the pipe": "Your code closes files that it did not open.",
}
"""A hint for each phrase in the messages about workers that died."""


def explain_failure(
    error: BaseException,
    test: FailedTest,
    tasks: Mapping[str, Task],
    *,
    frames: Sequence[Frame] | None = None,
    printed: str = "",
    is_given: Callable[[Frame], bool] = lambda _: False,
) -> Failure:
    """Build the record that explains a failed test, with its call, values, place and hint, from the exception.

    ``frames`` are the lines of student code in the traceback, for an exception that has no traceback of its own.
    ``printed`` is the student code's output during the test. ``is_given`` returns whether the course provided a line.
    """
    told: dict[str, Any] = {"task": test.task, "title": test.title, "test": test.node}
    task = tasks.get(test.task or "")
    hint = task.hint if task else None
    cause = error.__cause__ if isinstance(error, Mismatch) else error
    if frames is None:
        frames = cause.frames if isinstance(cause, (RemoteError, DeadlineError)) else ()
    gap = find_gap_task(error)
    if gap is not None and gap in tasks:
        told |= {"task": gap, "title": tasks[gap].title, "got": f"Task {gap} is not written yet."}
        if frames and frames[-1].function:
            told["got"] = f"Task {gap} is not written yet: `{frames[-1].function}` has a gap."
        hint = tasks[gap].hints[0]
    elif isinstance(error, Mismatch):
        told |= {"call": error.call, "got": error.got, "expected": error.expected}
        hint = (cause and find_exception_hint(cause)) or join_hints(error.diagnosis, error.hint or hint)
        if error.returned_nothing:
            told["got"], hint = _explain_returned_none(printed)
    elif isinstance(error, WorkerFailureError):
        told |= {"call": find_failing_expression(error), "got": str(error)}
        hint = find_exception_hint(error) or hint
    elif frames or isinstance(error, RemoteError):
        told |= {"call": _find_failed_call(error, frames), "got": _describe_exception(error)}
        hint = find_exception_hint(error) or hint
    else:
        told |= {"call": find_failing_expression(error), **_explain_unusable_value(error)}
        hint = told.pop("hint", None) or hint
    if frames:
        place = choose_traceback_frame(frames, test.node.partition("::")[0].rpartition("/")[0], is_given)
        told |= {"file": place.file, "line": place.line}
        hint = join_hints(RUNNING, hint) if isinstance(cause, DeadlineError) else hint
        if gap is None:
            told["detail"] = "\n".join(map(str, frames))
    return Failure(hint=hint, **told)


def find_gap_task(error: BaseException | None) -> str | None:
    """Return the task that an unfilled gap mentions: 2.3 for "Task 2.3: …". Return None for any other exception."""
    named = GAP.match(str(error)) if isinstance(error, NotImplementedError) else None
    return named.group(1) if named else None


def find_exception_hint(error: BaseException) -> str | None:
    """Find the hint for an exception in student code or for a worker that died.

    Return None if there is no hint that is more helpful than the task's or the check's.
    """
    kind, message = get_exception_type_name(error), str(error)
    if isinstance(error, WorkerFailureError):
        ended = NEVER_ENDS if isinstance(error, DeadlineError) else None
        return next((hint for part, hint in ENDED.items() if part in message), ended)
    return next((hint for kinds, part, hint in RAISED if kind in kinds.split("|") and re.search(part, message)), None)


def find_failing_expression(error: BaseException) -> str | None:
    """Find the expression in a test that raised the exception, as in `linear.forward(x, weight)`, or return None."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).name.startswith(("test_", "recipes."))
    ]
    if not frames:
        return None
    last = frames[-1]
    if None in (last.lineno, last.end_lineno, last.colno, last.end_colno) or last.lineno != last.end_lineno:
        return last.line
    line = linecache.getline(last.filename, last.lineno or 0).encode()
    return line[last.colno : last.end_colno].decode(errors="replace").strip() or last.line


def _find_failed_call(error: BaseException, frames: Sequence[Frame]) -> str | None:
    """Find the call that failed in the test, or the first student function if a test helper made the call."""
    line = find_failing_expression(error)
    helped = line is None or line.startswith(("check_gradient(", "recipes."))
    return f"{frames[0].function}(…)" if helped and frames and frames[0].function else line


def join_hints(*hints: str | None) -> str | None:
    """Join hints into one string of complete sentences. Return None if there are no hints."""
    known = [hint if hint.endswith((".", "?", "!")) or hint == hints[-1] else f"{hint}." for hint in hints if hint]
    following = [hint[0].upper() + hint[1:] if re.match(r"[a-z]+[ ,]", hint) else hint for hint in known[1:]]
    return " ".join([*known[:1], *following]) or None


def format_brief_failure(failure: Failure) -> str:
    """Format a failure for the student's own pytest: place, call, value, expected value and hint, if known."""
    place = None if failure.file is None else f"{failure.file}:{failure.line}"
    lines = (failure.detail or "").splitlines()
    shown = next((line for line in lines if place and line.startswith(f"{place} ")), place)
    parts = {"where": shown, "call": failure.call, "got": failure.got, "expected": failure.expected}
    texts = [prefix_text_with_label(f"{name + ':':<10}", text) for name, text in parts.items() if text]
    return "\n".join([*texts, f"hint:     {to_one_line(failure.hint, 600)}"] if failure.hint else texts)


def _describe_exception(error: BaseException) -> str:
    """Describe an exception by its type and message; shorten Numba's, and explain a `breakpoint()` in words."""
    if get_exception_type_name(error) == "BdbQuit":
        return "a breakpoint() stopped your code here, or on the line above"
    if get_exception_type_name(error) == "TypingError":
        return f"TypingError: {_shorten_numba_message(str(error))}".removesuffix(": ")
    return f"{get_exception_type_name(error)}: {error}".removesuffix(": ")


def _shorten_numba_message(message: str) -> str:
    """Shorten Numba's message about a line that it cannot compile to the reason and the line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    signature = re.search(r"^\s*>>> (.+)$", message, re.MULTILINE)
    reason = f"Numba has no {signature[1]}" if signature else "".join(lines[1:2] or lines)
    place = re.search(r"line (\d+):\n(?:.*\n)*?(.*\S)\n\s*\^", message)
    return f"{reason}, in line {place[1]}: {place[2].strip()}" if place else reason


def _explain_returned_none(printed: str) -> tuple[str, str]:
    """Describe a returned None, and choose a hint according to whether the code printed something."""
    if shown := to_one_line(printed, PRINTED):
        return f"None (and your code printed: {shown})", RETURN_NOT_PRINT
    return "None", RETURN


def _explain_unusable_value(error: BaseException) -> dict[str, str]:
    """Explain why a test could not use a returned value, as the fields got, expected and, if there is one, hint."""
    message = str(error)
    if get_exception_type_name(error) == "TypingError":  # the test itself calls a compiled loop
        return {"got": _describe_exception(error), "expected": "code that Numba can compile", "hint": NUMBA}

    def search_message(pattern: str) -> re.Match[str] | None:
        """Search the exception's message for a pattern."""
        return re.search(pattern, message)

    if match := search_message(r"(?:too many|not enough) values to unpack \(expected (\d+)(?:, got (\d+))?\)"):
        count = int(match[1])
        got = f"{match[2]} values" if match[2] else "one value that is not such a tuple" if count == 1 else "more"
        return {
            "got": got,
            "expected": f"a tuple of {count} value{'s' if count != 1 else ''}",
            "hint": COMMA if count == 1 else f"Return {count} values, separated by commas.",
        }
    if match := search_message(r"^module '([\w.]+)' has no attribute '(\w+)'"):
        return {"got": f"no {match[2]} in {match[1]}", "expected": "the names that the course uses", "hint": KEEP_NAMES}
    if "NoneType" in message:
        return {"got": "None", "expected": "a value", "hint": RETURN}
    if match := search_message(r"cannot unpack non-iterable (\w+) object"):
        hint = "Return all values that the docstring lists, separated by commas."
        return {"got": f"one value, of type {match[1]}", "expected": "several values, as a tuple", "hint": hint}
    if match := search_message(r"expected a plain value here, got an object of type (\w+)"):
        hint = "float(…) or .item() converts a Tensor of one element to a number."
        expected = "a plain number, bool, string or tuple"
        return {"got": f"an object of type {match[1]}", "expected": expected, "hint": hint}
    if match := search_message(r"expected an array, got an object of type (\w+)"):
        hint = "`.numpy()` returns the array of a Tensor."
        return {"got": f"an object of type {match[1]}", "expected": "a NumPy array", "hint": hint}
    if match := search_message(r"'(\w+)' object has no attribute '(\w+)'"):
        got, expected = f"a value of type {match[1]}, which has no .{match[2]}", f"a value that has .{match[2]}"
        return {
            "got": got,
            "expected": expected,
            "hint": "Check the docstring to see which type of value the function returns.",
        }
    if match := search_message(r"'(\w+)' object is not \w+|object of type '(\w+)' has no len"):
        hint = "Check the docstring to see which type of value the function returns."
        return {"got": f"a value of type {match[1] or match[2]}", "expected": "several values", "hint": hint}
    if isinstance(error, IndexError):
        return {"got": f"too few elements or axes ({message})", "expected": "as many as the test uses"}
    if isinstance(error, KeyError):
        return {"got": f"nothing under the key {message}", "expected": f"a value for {message}"}
    if isinstance(error, ValueError) and "shape" in message:
        return {"got": f"an array of the wrong shape ({message})", "expected": "the shape that the docstring promises"}
    return {"got": _describe_exception(error), "expected": "a value that the test can use"}
