"""What a module test says about a value: one failure form with the call, what came back, what was expected, a hint."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from grading.errors import GraderError
from grading.proxy import Proxy
from grading.remote import WorkerFailureError
from grading.render.text import labelled
from grading.testing.diagnose import diagnose, explain_dtype

MAX_SIZE = 1 << 20
"""Elements of an array in a test: what the judge makes of it, in float64 or for each index, has an end with it."""
SHOWN, EDGE, MOST_SHOWN = 24, 3, 500
"""Elements of an array that are written out; of a longer one so many at each end of an axis, but no more in all."""

NO_ANSWER = (WorkerFailureError, GraderError)
"""What no test may take for an exception of student code."""


class Mismatch(AssertionError):  # noqa: N818 - it is read as a word in a report, not raised by callers
    """A value is not what the task asks for."""

    def __init__(
        self,
        *,
        call: str,
        got: str,
        expected: str,
        hint: str | None = None,
        diagnosis: str | None = None,
        returned_nothing: bool = False,
    ):
        self.call, self.got, self.expected, self.hint = call, got, expected, hint
        self.diagnosis = diagnosis
        """How the two values differ, where that is something simple."""
        self.returned_nothing = returned_nothing
        """Whether a call gave None where a value was expected."""
        hints = " ".join(part for part in (diagnosis, hint) if part)
        parts = [("call:     ", call), ("got:      ", got), ("expected: ", expected), ("hint:     ", hints)]
        super().__init__("\n" + "\n".join(labelled(label, text) for label, text in parts if text))


def array(
    got: Any,
    expected: Any,
    *,
    call: str,
    hint: str | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    dtype: Any = None,
    dtype_hint: str | None = None,
    traps: Mapping[str, Any] | None = None,
) -> None:
    """Shape, then dtype (when given), then every value within ``atol + rtol * |expected|``; NaN equals NaN.

    ``hint`` is about shape and values. A wrong dtype has its own, or a general one. ``traps`` are hints on a mistake
    each, with the values it would give: shown for those values only, and in place of everything else.
    """
    actual = pull(got, call=call, hint=hint)
    wanted = np.asarray(expected)
    if actual.shape != wanted.shape:
        shown, other = f"shape {actual.shape}: {show(actual)}", f"shape {wanted.shape}: {show(wanted)}"
        raise Mismatch(call=call, got=shown, expected=other, hint=hint, diagnosis=diagnose(actual, wanted))
    if dtype is not None and actual.dtype != np.dtype(dtype):
        advice = dtype_hint or explain_dtype(actual.dtype, np.dtype(dtype))
        raise Mismatch(call=call, got=f"dtype {actual.dtype}", expected=f"dtype {np.dtype(dtype)}", hint=advice)
    close = np.isclose(actual, wanted, rtol=rtol, atol=atol, equal_nan=True)
    if not close.all():
        shown, other = show_both(actual, wanted, close)
        for advice, values in (traps or {}).items():
            if np.shape(values) == actual.shape and np.allclose(actual, values, rtol=max(rtol, 1e-4), atol=atol):
                raise Mismatch(call=call, got=shown, expected=other, hint=advice)
        raise Mismatch(call=call, got=shown, expected=other, hint=hint, diagnosis=diagnose(actual, wanted))


def equal(got: Any, expected: Any, *, call: str, hint: str | None = None) -> None:
    """Plain values of the same type and value; (2, 3) is not [2, 3] and 1 is not True."""
    if not same(got, expected):
        nothing = got is None and is_call(call)
        raise Mismatch(call=call, got=describe(got), expected=describe(expected), hint=hint, returned_nothing=nothing)


def that(condition: bool, *, call: str, got: Any, expected: str, hint: str | None = None) -> None:
    """Anything else that is true or false on the judge's side."""
    if isinstance(condition, Proxy):
        raise TypeError("a student's object decides nothing: pull a plain value out of it first")
    if not condition:
        shown, nothing = got if isinstance(got, str) else describe(got), got is None and is_call(call)
        raise Mismatch(call=call, got=shown, expected=expected, hint=hint, returned_nothing=nothing)


@contextmanager
def raises(
    kind: type[Exception], *, call: str, mentions: tuple[str, ...] = (), hint: str | None = None
) -> Iterator[None]:
    """The block raises ``kind``, with a message that contains each of ``mentions``."""
    wanted = kind.__name__ + (f" that mentions {' and '.join(mentions)}" if mentions else "")
    try:
        yield
    except kind as error:
        if isinstance(error, NO_ANSWER) or (is_gap(error) and kind is not NotImplementedError):
            raise
        if not all(part in str(error) for part in mentions):
            raise Mismatch(call=call, got=f"{name_of(error)}: {error}", expected=wanted, hint=hint) from error
    except Exception as error:
        if isinstance(error, NO_ANSWER) or is_gap(error):
            raise
        raise Mismatch(call=call, got=f"{name_of(error)}: {error}", expected=wanted, hint=hint) from error
    else:
        raise Mismatch(call=call, got="no exception", expected=wanted, hint=hint)


def pull(value: Any, *, call: str, hint: str | None = None) -> np.ndarray:
    """A tensor's, number's or list's values as an exact ndarray on the judge's side."""
    if type(value) is np.ndarray:
        return _require_bounded_size(value, call=call, hint=hint)
    if not isinstance(value, Proxy) and not hasattr(value, "numpy"):
        if isinstance(value, bool | int | float | np.generic | list | tuple) and not has_objects(value):
            return np.asarray(value)
        wanted, nothing = "a Tensor or an array", value is None and is_call(call)
        raise Mismatch(call=call, got=describe(value), expected=wanted, hint=hint, returned_nothing=nothing)
    try:
        values = value.numpy()
    except AttributeError:
        raise Mismatch(call=call, got=describe(value), expected="a Tensor (or an array)", hint=hint) from None
    if isinstance(values, np.generic):
        values = np.asarray(values)
    if _holds_none(values):  # what a tensor is made of where an op's forward returned nothing
        raise Mismatch(call=call, got="None", expected="a Tensor or an array", hint=hint, returned_nothing=True)
    if type(values) is not np.ndarray:
        raise Mismatch(
            call=f"({call}).numpy()", got=describe(values), expected="a numpy.ndarray, not something like it", hint=hint
        )
    return _require_bounded_size(values, call=call, hint=hint)


def _holds_none(values: Any) -> bool:
    """Whether this is an array whose only element is None. It says so itself: good for a hint and nothing else."""
    if type(values) is np.ndarray:
        return values.dtype == object and values.ndim == 0 and values.item() is None
    try:
        return name_type(values) == "ndarray" and values.item() is None
    except Exception:  # whatever a student's array does when it is asked
        return False


def _require_bounded_size(values: np.ndarray, *, call: str, hint: str | None) -> np.ndarray:
    if values.size > MAX_SIZE:
        wanted = f"no array of more than {MAX_SIZE:,} elements"
        raise Mismatch(call=call, got=f"an array of shape {values.shape}", expected=wanted, hint=hint)
    return values


def values(tensor: Any) -> np.ndarray:
    """A copy of a tensor's values on the judge's side, where they can be computed with.

    A test that needs an array as large as a tensor asks these for their shape: the tensor's own is only a claim.
    """
    return np.array(pull(tensor, call="a tensor's values"))


def show(values: np.ndarray) -> str:
    """An array in at most a few lines."""
    if values.size > SHOWN and math.prod(min(n, 2 * EDGE) for n in values.shape) > MOST_SHOWN:
        # NumPy shortens long axes only; of many short ones it would write every element.
        return f"{', '.join(str(v) for v in values.flat[:EDGE])}, … {values.size} values"
    return np.array2string(values, precision=6, threshold=SHOWN, edgeitems=EDGE, separator=", ")


def show_both(got: np.ndarray, expected: np.ndarray, close: np.ndarray) -> tuple[str, str]:
    """Two arrays of one shape, written with so many digits that they differ, and each column below the other.

    Of long ones only the first element that is wrong is shown.
    """
    if got.size > SHOWN:
        index = tuple(int(i) for i in np.argwhere(~close)[0])
        wrong = f"at index {index} ({int((~close).sum())} of {got.size} values differ)"
        ones, others = _write_columns([got[index].item()], [expected[index].item()], [False])
        return f"{ones[0]} {wrong}", others[0]
    columns = _write_columns(got.ravel().tolist(), expected.ravel().tolist(), close.ravel().tolist())
    one, other = (
        np.array2string(np.array(texts, object).reshape(got.shape), separator=", ", formatter={"all": str})
        for texts in columns
    )
    return one, other


def _write_columns(got: list[Any], expected: list[Any], close: list[bool]) -> tuple[list[str], list[str]]:
    """The numbers as text, all equally wide, with more digits where those that are not close would look the same."""
    for digits in (6, 9, 17):
        texts = [f"{value:.{digits}g}" if isinstance(value, float) else str(value) for value in (*got, *expected)]
        ones, others = texts[: len(got)], texts[len(got) :]
        if all(same or one != other for one, other, same in zip(ones, others, close, strict=True)):
            break
    width = max(map(len, texts))
    return [text.rjust(width) for text in ones], [text.rjust(width) for text in others]


def describe(value: Any) -> str:
    """A plain value with its type; a student's object by its type's name alone."""
    if isinstance(value, Proxy):
        return f"an object of type {name_type(value)}"
    if type(value) is np.ndarray:
        return f"{show(value)} (ndarray of shape {value.shape})"
    text = _BRIEF.repr(value)
    return f"{text if len(text) <= 400 else text[:400] + '…'} ({type(value).__name__})"


def name_type(value: Any) -> str:
    """The name of a value's type where it lives: a student's object is a Tensor, not the proxy that stands for it."""
    return object.__getattribute__(value, "_type_name") if isinstance(value, Proxy) else type(value).__name__


class _Brief(reprlib.Repr):
    """Values of any depth and length in bounded time: arrays among them as `show` writes them."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxtuple, self.maxdict = 10, 100, 100, 100
        self.maxstring = self.maxlong = self.maxother = 500

    def repr_ndarray(self, values: np.ndarray, _level: int) -> str:
        """`array(…)` of a few numbers."""
        return f"array({show(values)})"


_BRIEF = _Brief()


def same(got: Any, expected: Any) -> bool:
    """Equality of exact plain types, all the way down."""
    if type(got) is not type(expected):
        return False
    if isinstance(expected, list | tuple):
        return len(got) == len(expected) and all(map(same, got, expected))
    if isinstance(expected, dict):
        return got.keys() == expected.keys() and all(same(got[k], v) for k, v in expected.items())
    if isinstance(expected, np.ndarray):
        return got.dtype == expected.dtype and bool(np.array_equal(got, expected, equal_nan=got.dtype.kind == "f"))
    if isinstance(expected, float) and expected != expected:
        return got != got
    return bool(got == expected)


def is_call(call: str) -> bool:
    """Whether this says what was called, and not where a value is kept: `x.grad` is not what a function returns."""
    return "(" in call and re.search(r"\.grad\b|gradient of|gradient after|\bafter\b", call) is None


def has_objects(value: Any) -> bool:
    """Whether anything in nested lists is not a number."""
    if isinstance(value, list | tuple):
        return any(map(has_objects, value))
    return not isinstance(value, bool | int | float | np.generic)


def is_gap(error: BaseException) -> bool:
    """Whether this is a task that has not been written yet."""
    return isinstance(error, NotImplementedError) and str(error).startswith("Task ")


def name_of(error: BaseException) -> str:
    """The exception's name on the student's side."""
    return getattr(error, "remote_type", type(error).__name__)
