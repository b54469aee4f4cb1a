"""What a failed test says, in a verdict and in the student's own pytest alike: its exception as a `Failure`."""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grading.manifest.model import Task
from grading.remote import DeadlineError, Frame, RemoteError, WorkerFailureError, choose_frame
from grading.render.text import labelled, one_line
from grading.result import Failure
from grading.testing.expect import Mismatch, name_of
from grading.testing.plugin import FailedTest

GAP = re.compile(r"Task (\d{1,2}\.\d{1,2}): ")
PRINTED = 200
"""Characters shown of what was printed where something should have been returned."""

RETURN = "Nothing came back: does the function end with a `return`?"
RETURN_NOT_PRINT = "`print` only shows a value: write `return` to give it back."
BREAKPOINT = "Delete the line with `breakpoint()`: it works when you run pytest yourself, not when your code is graded."
INPUT = "Delete the call of `input()`: nobody can answer when your code is graded."
EXIT = "Your code ended Python itself: raise an exception or return, instead of exit(), quit() or sys.exit()."
ARGUMENTS = "Compare the call with the `def` line it reaches: names, number and order of the arguments."
KEEP_NAMES = "The tests and later modules look for this name: was it renamed or deleted, or is it indented too far?"
NONE = "Something on this line is None: a function without a `return`, or a value that was never set."
UNKNOWN_NAME = "Python does not know this name here: is it misspelt, not imported, or set only after this line?"
POWER = "`^` is no power in Python: write `**`."
ATTRIBUTE = "It was never set, is misspelt, or what stands before the dot is another kind of value than you think."
WHOLE = "A whole number is needed on this line: `/` always gives a float, `//` divides whole numbers."
TRUTH = "`if`, `not`, `and` and `or` want one truth value: on arrays use `~`, `&`, `|`, or `.any()` and `.all()`."
MISSPELT = "That module has no such name: check the spelling, capitals included, in its documentation."
MEMORY = "Something is too large for the memory: print shapes before this line, or look for a list that grows."
OPERATOR = "An operator on this line does not go with what stands on its sides: look at the types of both."
AXES = "Something on this line has fewer axes or elements than the index asks for: print its shape."
ENDLESS = "A function calls itself without an end."
IMPORT = "Compare the name with the lesson's, capitals included; import only from earlier modules."
SYNTAX = "Python points at the line where it stopped understanding; the mistake may be just before it."
NEVER_ENDS = "Look for a loop whose condition never changes, or Python loops over single numbers."
UNPACK = "The function called here returns another number of values than there are names on the left of the `=`."
COMMA = "A tuple of one value needs its comma: `return (value,)`. Without it the parentheses mean nothing."

RAISED: tuple[tuple[str, str, str], ...] = (
    ("BdbQuit", "", BREAKPOINT),
    ("EOFError|OSError", r"EOF when reading a line|reading from stdin", INPUT),
    ("SystemExit", "", EXIT),
    ("SyntaxError|IndentationError|TabError", "", SYNTAX),
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
    ("TypeError", r"unsupported operand|bad operand|ufunc '.*' not supported|not supported between", OPERATOR),
    ("AttributeError", r"object has no attribute", ATTRIBUTE),
    ("AttributeError", r"^module '", MISSPELT),
    ("MemoryError|_ArrayMemoryError", "", MEMORY),
    ("ValueError", r"^array is too big", MEMORY),
    ("IndexError", r"tuple index out of range|too many indices", AXES),
    ("TypeError", r"positional argument|keyword argument|multiple values for argument", ARGUMENTS),
)
"""An exception's type, what its message holds, and the hint that fits better than the task's own."""
ENDED = {
    "was not loaded": "Lines outside functions run when a file is loaded: look there for a loop that never ends.",
    "does it sleep": "Something waits: a sleep, a lock, an empty queue, or a thread that never ends.",
    "not run:": "This test was not run: fix the failures before it.",
    "ended the program": EXIT,
    "crashed Python": "A view made by hand (`as_strided`), a compiled loop or an endless recursion left its memory.",
    "MB of memory": "Something grows: a list in a loop, or broadcasting, where (n, 1) and (n,) make (n, n).",
    "closed the pipe": "Your code closes files that it did not open.",
}
"""What the words on a worker's end hold, and the hint."""


def explain_failure(
    error: BaseException,
    test: FailedTest,
    tasks: Mapping[str, Task],
    *,
    frames: Sequence[Frame] | None = None,
    printed: str = "",
) -> Failure:
    """The failure of a test that ended with this exception.

    ``frames`` are the lines of student code that it came through, for an exception that does not bring its own;
    ``printed`` is what student code printed in the test.
    """
    told: dict[str, Any] = {"task": test.task, "title": test.title, "test": test.node}
    task = tasks.get(test.task or "")
    hint = task.hint if task else None
    cause = error.__cause__ if isinstance(error, Mismatch) else error
    if frames is None:
        frames = cause.frames if isinstance(cause, RemoteError) else ()
    gap = find_gap(error)
    if gap is not None and gap in tasks:
        told |= {"task": gap, "title": tasks[gap].title, "got": f"Task {gap} is not written yet."}
        hint = tasks[gap].hints[0]
    elif isinstance(error, Mismatch):
        told |= {"call": error.call, "got": error.got, "expected": error.expected}
        hint = (cause and find_hint(cause)) or join_hints(error.diagnosis, error.hint or hint)
        if error.returned_nothing:
            told["got"], hint = _explain_none(printed)
    elif isinstance(error, WorkerFailureError):
        told["got"] = str(error)
        hint = find_hint(error) or (NEVER_ENDS if isinstance(error, DeadlineError) else hint)
    elif frames or isinstance(error, RemoteError):
        told |= {"call": _find_call(error, frames), "got": _describe_exception(error)}
        hint = find_hint(error) or hint
    else:
        told |= {"call": find_test_line(error), **_explain_unusable(error)}
        hint = told.pop("hint", None) or hint
    if frames:
        place = choose_frame(frames, test.node.partition("::")[0].rpartition("/")[0])
        told |= {"file": place.file, "line": place.line}
        if gap is None:
            told["detail"] = "\n".join(map(str, frames))
    return Failure(hint=hint, **told)


def find_gap(error: BaseException | None) -> str | None:
    """The task that an unwritten gap names: 2.3 for "Task 2.3: …"."""
    named = GAP.match(str(error)) if isinstance(error, NotImplementedError) else None
    return named.group(1) if named else None


def find_hint(error: BaseException) -> str | None:
    """The hint that goes with an exception of student code, or a worker's end, wherever it happens.

    None where there is none that fits better than the task's, or the check's.
    """
    kind, message = name_of(error), str(error)
    if isinstance(error, WorkerFailureError):
        return next((hint for part, hint in ENDED.items() if part in message), None)
    return next((hint for kinds, part, hint in RAISED if kind in kinds.split("|") and re.search(part, message)), None)


def find_test_line(error: BaseException) -> str | None:
    """The part of the test's line in which it happened: `linear.forward(x, weight)`."""
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


def _find_call(error: BaseException, frames: Sequence[Frame]) -> str | None:
    """What the test called; where a helper of the tests did, the function of the student's that it reached first."""
    line = find_test_line(error)
    helped = line is None or line.startswith(("check_gradient(", "recipes."))
    return f"{frames[0].function}(…)" if helped and frames and frames[0].function else line


def join_hints(*hints: str | None) -> str | None:
    """Several hints as sentences of one text; None where there is none."""
    known = [hint if hint.endswith((".", "?", "!")) or hint == hints[-1] else f"{hint}." for hint in hints if hint]
    following = [hint[0].upper() + hint[1:] if re.match(r"[a-z]+[ ,]", hint) else hint for hint in known[1:]]
    return " ".join([*known[:1], *following]) or None


def write_brief(failure: Failure) -> str:
    """A failure as the student's own pytest shows it: what was called, what came back, what was expected, a hint."""
    place = None if failure.file is None else f"{failure.file}:{failure.line}"
    lines = (failure.detail or "").splitlines()
    shown = next((line for line in lines if place and line.startswith(f"{place} ")), place)
    parts = {"where": shown, "call": failure.call, "got": failure.got, "expected": failure.expected}
    texts = [labelled(f"{name + ':':<10}", text) for name, text in parts.items() if text]
    return "\n".join([*texts, f"hint:     {one_line(failure.hint, 600)}"] if failure.hint else texts)


def _describe_exception(error: BaseException) -> str:
    if name_of(error) == "BdbQuit":
        return "a breakpoint() stopped your code here, or on the line above"
    return f"{name_of(error)}: {error}".removesuffix(": ")


def _explain_none(printed: str) -> tuple[str, str]:
    """What came back, and the hint, where None did."""
    if shown := one_line(printed, PRINTED):
        return f"None (and your code printed: {shown})", RETURN_NOT_PRINT
    return "None", RETURN


def _explain_unusable(error: BaseException) -> dict[str, str]:
    """What came back and what the test needs, where the test itself could not go on with what student code gave it."""
    message = str(error)

    def found(pattern: str) -> re.Match[str] | None:
        return re.search(pattern, message)

    if match := found(r"(?:too many|not enough) values to unpack \(expected (\d+)(?:, got (\d+))?\)"):
        count = int(match[1])
        got = f"{match[2]} of them" if match[2] else "one value that is not such a tuple" if count == 1 else "more"
        return {
            "got": got,
            "expected": f"a tuple of {count} value{'s' if count != 1 else ''}",
            "hint": COMMA if count == 1 else f"Return {count} values, separated by commas.",
        }
    if match := found(r"^module '([\w.]+)' has no attribute '(\w+)'"):
        return {"got": f"no {match[2]} in {match[1]}", "expected": "the course's own names", "hint": KEEP_NAMES}
    if "NoneType" in message:
        return {"got": "None", "expected": "a value", "hint": RETURN}
    if match := found(r"cannot unpack non-iterable (\w+) object"):
        hint = "Return all the values that the docstring names, separated by commas."
        return {"got": f"one value, of type {match[1]}", "expected": "several values, as a tuple", "hint": hint}
    if match := found(r"expected a plain value here, got an object of type (\w+)"):
        hint = "float(…) or .item() turns a Tensor of one element into a number."
        expected = "a plain number, bool, string or tuple"
        return {"got": f"an object of type {match[1]}", "expected": expected, "hint": hint}
    if match := found(r"expected an array, got an object of type (\w+)"):
        hint = "`.numpy()` gives the array of a Tensor."
        return {"got": f"an object of type {match[1]}", "expected": "a NumPy array", "hint": hint}
    if match := found(r"'(\w+)' object has no attribute '(\w+)'"):
        got, expected = f"a value of type {match[1]}, without .{match[2]}", f"something that has .{match[2]}"
        return {"got": got, "expected": expected, "hint": "Look up in the docstring what kind of value it returns."}
    if match := found(r"'(\w+)' object is not \w+|object of type '(\w+)' has no len"):
        hint = "Look up in the docstring what kind of value it returns."
        return {"got": f"a value of type {match[1] or match[2]}", "expected": "several values", "hint": hint}
    if isinstance(error, IndexError):
        return {"got": f"too few elements or axes ({message})", "expected": "as many as the test looks at"}
    if isinstance(error, KeyError):
        return {"got": f"nothing under the key {message}", "expected": f"a value for {message}"}
    if isinstance(error, ValueError) and "shape" in message:
        return {"got": f"an array of another shape ({message})", "expected": "the shape that the docstring promises"}
    return {"got": _describe_exception(error), "expected": "a value that the test can use"}
